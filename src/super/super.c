#include "postern/super.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/conf.h"
#include "postern/fd_pass.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/loop.h"
#include "postern/sandbox.h"

enum {
	ROLES_MAX = 4,
	LISTENERS_MAX = FD_PASS_MAX, /* the table has one row more, for the one that fails */
	PAUSE_FIRST_MS = 500, /* before a role that ended is started again */
	PAUSE_MOST_MS = 30000,
	QUIET_MS = 60000, /* a role that ran so long starts with the first pause again */
	DAMAGED_MAX = 5, /* ends with SUPER_DAMAGED, one after the other */
	WORDS_SIZE = 120,
	STOP_MS = 15000, /* for a role to settle what it has in hand */
};

struct child {
	const struct super_role *role;
	pid_t pid; /* 0: not running */
	int ready_fd; /* -1 once it said so */
	int sockets_fd; /* our end of where it gets others; -1: none */
	bool ready;
	int64_t started_ms, start_at_ms, pause_ms;
	unsigned damaged; /* how often it ended so, without a good run between */
};

struct super {
	const struct super_options *o;
	struct conf *conf;
	unsigned version;
	size_t changes; /* of the configuration, at the last reload */
	uint64_t life;
	struct listener {
		int fd;
		char address[128];
	} listeners[LISTENERS_MAX + 1];
	size_t listeners_n;
	struct child children[ROLES_MAX];
	int signal_fd;
	sigset_t old_mask;
	bool stopping, announced, reloaded;
	struct {
		const char *worker;
		char words[WORDS_SIZE];
	} unsettled; /* the first role that did not stop well */
	int status;
};

static void
close_listeners(struct super *s)
{
	for (size_t i = 0; i < s->listeners_n; i++)
		(void)close(s->listeners[i].fd);
	s->listeners_n = 0;
}

/* The socket that listens there already: a port below 1024 could not be bound again
 * once root was given up. */
static int
listening(struct listener *old, size_t n, const char *address)
{
	for (size_t i = 0; i < n; i++) {
		if (old[i].fd >= 0 && strcmp(old[i].address, address) == 0) {
			int fd = old[i].fd;
			old[i].fd = -1;
			return fd;
		}
	}
	return -1;
}

/* Makes the sockets those of the configuration. On failure those that there are now
 * stay open, whatever they are. */
static bool
open_listeners(struct super *s, struct err *err)
{
	const struct conf_listens *all = &s->conf->smtp.listen;
	struct listener old[LISTENERS_MAX + 1];
	size_t n = s->listeners_n;
	bool ok = true;

	memcpy(old, s->listeners, sizeof(old));
	s->listeners_n = 0;
	for (size_t i = 0; ok && i < all->n && i < LISTENERS_MAX; i++) {
		const struct conf_host *at = &all->p[i].address;
		struct listener *l = &s->listeners[s->listeners_n];
		bool v6 = strchr(at->name, ':') != NULL;
		(void)snprintf(l->address, sizeof(l->address), v6 ? "[%s]:%u" : "%s:%u",
				at->name, at->port);
		l->fd = listening(old, n, l->address);
		if (l->fd < 0)
			l->fd = listen_open(l->address, err);
		ok = l->fd >= 0;
		s->listeners_n += ok ? 1 : 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (old[i].fd >= 0)
			(void)close(old[i].fd);
	}
	return ok;
}

static size_t
sockets(const struct super *s, int out[LISTENERS_MAX])
{
	for (size_t i = 0; i < s->listeners_n; i++)
		out[i] = s->listeners[i].fd;
	return s->listeners_n;
}

/* In the child: its own signals, nothing of ours. */
static _Noreturn void
become_role(struct super *s, struct child *c, int ready_fd, int sockets_fd)
{
	(void)pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
	(void)close(s->signal_fd);
	for (size_t i = 0; i < s->o->n; i++)
		fd_done(&s->children[i].sockets_fd);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)prctl(PR_SET_NAME, c->role->name);
	int listeners[LISTENERS_MAX];
	size_t n = sockets(s, listeners);
	const struct super_role_args args = {
		.conf = s->conf,
		.state = s->conf->server.state,
		.listeners = listeners,
		.listeners_n = n,
		.ready_fd = ready_fd,
		.sockets_fd = sockets_fd,
		.life = s->life,
		.reload = s->o->reload,
		.drop = s->o->drop,
		.host = s->o->host,
	};
	/* A role has ended its threads; exit is unsafe only against another exit. */
	exit(c->role->run(&args)); /* NOLINT(concurrency-mt-unsafe) */
}

/* It tries again after a pause, a longer one each time. */
static void
pause_more(struct child *c)
{
	if (c->pause_ms == 0)
		c->pause_ms = PAUSE_FIRST_MS;
	else
		c->pause_ms = c->pause_ms * 2 > PAUSE_MOST_MS ? PAUSE_MOST_MS
							      : c->pause_ms * 2;
	c->start_at_ms = clock_mono_ms() + c->pause_ms;
}

static void
say_trouble(const struct child *c, const char *words)
{
	log_event(EVENT_WORKER_STUCK,
			FIELDS(f_str("worker", c->role->name), f_num("seconds", 0),
					f_str("err", words)));
}

static void
start_later(struct child *c, int no)
{
	struct err err = { 0 };

	(void)err_errno(&err, 0, no, "it cannot be started");
	say_trouble(c, err.text);
	pause_more(c);
}

static void
start(struct super *s, struct child *c)
{
	AUTO(fd_done) int ready = -1, heard = -1, ours = -1, its = -1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0) {
		start_later(c, errno);
		return;
	}
	heard = ends[0];
	ready = ends[1];
	if (c->role->renew) {
		struct err err;

		if (!fd_pass_pair(ends, &err)) {
			say_trouble(c, err.text);
			pause_more(c);
			return;
		}
		ours = ends[0];
		its = ends[1];
	}
	pid_t pid = fork();
	if (pid == 0) {
		fd_done(&heard);
		fd_done(&ours);
		become_role(s, c, ready, its);
	}
	if (pid < 0) {
		start_later(c, errno);
		return;
	}
	c->pid = pid;
	c->ready_fd = fd_take(&heard);
	c->sockets_fd = fd_take(&ours);
	c->ready = false;
	c->started_ms = clock_mono_ms();
}

/* Starts what is due: a role waits until the one before it is ready. */
static void
start_due(struct super *s)
{
	for (size_t i = 0; i < s->o->n && !s->stopping; i++) {
		struct child *c = &s->children[i];
		if (c->pid == 0 && clock_mono_ms() >= c->start_at_ms)
			start(s, c);
		if (!c->ready)
			return;
	}
	if (s->announced || s->stopping)
		return;
	s->announced = true;
	if (s->reloaded)
		log_event(EVENT_CONFIG_LOADED,
				FIELDS(f_num("config", s->version),
						f_num("changes", (int64_t)s->changes)));
	else
		log_event(EVENT_STARTED,
				FIELDS(f_str("version", POSTERN_VERSION),
						f_num("pid", getpid()),
						f_num("config", s->version)));
	(void)sd_notify(0, "READY=1");
}

static void
describe(const struct child *c, int status, char words[WORDS_SIZE])
{
	if (WIFSIGNALED(status))
		(void)snprintf(words, WORDS_SIZE, "it was ended by signal %d",
				WTERMSIG(status));
	else if (WEXITSTATUS(status) == SUPER_DAMAGED)
		(void)snprintf(words, WORDS_SIZE,
				"the database is damaged or lost, as event 9005 says%s",
				c->damaged + 1 == DAMAGED_MAX ? "; the service ends"
							      : "");
	else
		(void)snprintf(words, WORDS_SIZE, "it ended with status %d",
				WEXITSTATUS(status));
}

static void
ended(struct super *s, struct child *c, int status)
{
	int64_t ran_ms = clock_mono_ms() - c->started_ms;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	char words[WORDS_SIZE];
	/* One that had not come so far as to look for the signal had nothing in hand. */
	bool well = code == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);

	c->pid = 0;
	c->ready = false;
	if (c->ready_fd >= 0)
		(void)close(c->ready_fd);
	c->ready_fd = -1;
	fd_done(&c->sockets_fd);
	describe(c, status, words);
	if (s->stopping) {
		if (!well && !s->unsettled.worker) {
			s->unsettled.worker = c->role->name;
			memcpy(s->unsettled.words, words, sizeof(words));
		}
		return;
	}
	say_trouble(c, words);
	c->damaged = code != SUPER_DAMAGED ? 0 : ran_ms > QUIET_MS ? 1 : c->damaged + 1;
	if (code == 78 || c->damaged == DAMAGED_MAX) {
		s->status = code == 78 ? 78 : 1;
		s->stopping = true;
		return;
	}
	if (ran_ms > QUIET_MS)
		c->pause_ms = 0;
	pause_more(c);
}

static void
reap(struct super *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < s->o->n; i++) {
			if (s->children[i].pid == pid)
				ended(s, &s->children[i], status);
		}
	}
}

static bool
any_running(const struct super *s, size_t from)
{
	for (size_t i = from; i < s->o->n; i++) {
		if (s->children[i].pid != 0)
			return true;
	}
	return false;
}

/* Ends the roles from the last to this one: the relay outlives who feeds it. False, and
 * told, when one of them could not settle what it had in hand. */
static bool
stop_roles(struct super *s, size_t from)
{
	s->unsettled.worker = NULL;
	s->stopping = true;
	for (size_t i = s->o->n; i-- > from;) {
		struct child *c = &s->children[i];
		int64_t give_up_ms = clock_mono_ms() + STOP_MS;
		if (c->pid != 0)
			(void)kill(c->pid, SIGTERM);
		while (c->pid != 0 && clock_mono_ms() < give_up_ms) {
			struct pollfd p = { .fd = s->signal_fd, .events = POLLIN };
			struct signalfd_siginfo info;
			if (poll(&p, 1, 100) > 0)
				(void)!read(s->signal_fd, &info, sizeof(info));
			reap(s);
		}
		if (c->pid != 0)
			(void)kill(c->pid, SIGKILL);
	}
	while (any_running(s, from)) {
		int status;
		pid_t pid = wait(&status);
		if (pid < 0 && errno != EINTR)
			break;
		for (size_t i = 0; i < s->o->n; i++) {
			if (s->children[i].pid == pid)
				ended(s, &s->children[i], status);
		}
	}
	if (!s->unsettled.worker)
		return true;
	log_event(EVENT_STOPPED_UNSETTLED,
			FIELDS(f_str("version", POSTERN_VERSION),
					f_str("worker", s->unsettled.worker),
					f_str("err", s->unsettled.words)));
	return false;
}

static void
fresh(struct super *s, size_t from)
{
	for (size_t i = from; i < s->o->n; i++) {
		s->children[i] = (struct child){
			.role = &s->o->roles[i], .ready_fd = -1, .sockets_fd = -1
		};
	}
}

/* Sockets, log and policies as the configuration has them; the roles from this one on are
 * to be started. */
static bool
begin(struct super *s, size_t from, struct err *err)
{
	/* Ports below 1024 need root; nothing after them does. */
	struct err unbound = { 0 };
	bool bound = open_listeners(s, &unbound);
	if (!sandbox_user(s->conf->server.user, err) ||
			!s->o->prepare(s->o->host, s->conf, err))
		return false;
	if (!bound) {
		const char *address = s->listeners[s->listeners_n].address;
		log_event(EVENT_BIND_FAILED,
				FIELDS(f_str("listen", address),
						f_str("err", unbound.text)));
		*err = unbound;
		return false;
	}
	s->version++;
	clock_random(&s->life, sizeof(s->life));
	fresh(s, from);
	return true;
}

static void
reject(struct super *s, const char *why)
{
	log_event(EVENT_CONFIG_REJECTED,
			FIELDS(f_num("config", s->version), f_str("err", why)));
}

/* Why it cannot follow on the one in use; NULL: it can. */
static const char *
takes_restart(const struct conf_server *now, const struct conf_server *next)
{
	/* This service holds the lock of the one, and the other's may be held. */
	if (strcmp(now->state, next->state) != 0)
		return "server.state is another directory now; that takes a restart";
	/* Whoever becomes another user can no longer end processes of the one before. */
	if (strcmp(now->user ? now->user : "", next->user ? next->user : "") != 0)
		return "server.user is another user now; that takes a restart";
	return NULL;
}

/* The configuration of the file, when it may follow on the one in use; NULL: said why not. */
static struct conf *
read_next(struct super *s)
{
	struct conf *next = s->o->reload(s->o->host);
	const char *why = next ? takes_restart(&s->conf->server, &next->server)
			       : "the file has faults, see postern check";

	if (!why)
		return next;
	reject(s, why);
	if (next)
		s->o->drop(next);
	return NULL;
}

/* How many roles, from the first one, may go on and take it as they are. */
static size_t
renewable(const struct super *s)
{
	size_t n = 0;

	while (n < s->o->n && s->children[n].ready && s->o->roles[n].renew)
		n++;
	return n;
}

/* They take it. If one does not, it ends and begins again, and all behind it. */
static void
renew(struct super *s, size_t n)
{
	int listeners[LISTENERS_MAX];
	size_t listeners_n = sockets(s, listeners);

	for (size_t i = 0; i < n; i++) {
		struct err err = { 0 };

		if (fd_pass_send(s->children[i].sockets_fd, listeners, listeners_n,
				    &err) &&
				s->o->roles[i].renew(s->conf, &err))
			continue;
		say_trouble(&s->children[i], err.text);
		(void)stop_roles(s, i);
		s->stopping = false;
		fresh(s, i);
		return;
	}
}

/* A new configuration: those roles that can take it as they are, the others settle, end, and
 * start again with it. */
static void
reload(struct super *s)
{
	struct err err = { 0 };
	size_t kept = renewable(s);

	(void)sd_notify(0, "RELOADING=1");
	struct conf *next = read_next(s);
	if (!next) {
		(void)sd_notify(0, "READY=1");
		return;
	}
	(void)stop_roles(s, kept); /* told; the new ones go on with what is left */
	s->stopping = false;
	struct conf *old = s->conf;
	s->conf = next;
	s->changes = conf_changes(old, next);
	s->announced = false;
	s->reloaded = true; /* 1002 comes when the roles are ready */
	if (begin(s, kept, &err)) {
		renew(s, kept);
		s->o->drop(old);
		return;
	}
	reject(s, err.text);
	s->conf = old;
	s->o->drop(next);
	if (!begin(s, kept, &err)) {
		s->status = 1;
		s->stopping = true;
	}
}

static void
take_signals(struct super *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(s);
			break;
		case SIGHUP:
			reload(s);
			break;
		default:
			s->stopping = true;
		}
	}
}

static void
hear_ready(struct child *c)
{
	char byte;

	c->ready = read(c->ready_fd, &byte, 1) == 1;
	(void)close(c->ready_fd);
	c->ready_fd = -1;
}

/* How long to sleep: until a role is to be started, or the watchdog is due. One that waits
 * for the role before it has no time of its own: that one's word wakes us. */
static int
patience(const struct super *s)
{
	int64_t now = clock_mono_ms(), ms = 1000;

	for (size_t i = 0; i < s->o->n; i++) {
		const struct child *c = &s->children[i];
		if (c->pid == 0 && c->start_at_ms - now < ms)
			ms = c->start_at_ms > now ? c->start_at_ms - now : 0;
		if (!c->ready)
			break;
	}
	return (int)ms;
}

static void
wait_and_see(struct super *s)
{
	struct pollfd p[1 + ROLES_MAX] = { { .fd = s->signal_fd, .events = POLLIN } };

	for (size_t i = 0; i < s->o->n; i++)
		p[1 + i] = (struct pollfd){ .fd = s->children[i].ready_fd,
			.events = POLLIN };
	if (poll(p, (nfds_t)(1 + s->o->n), patience(s)) < 0)
		return;
	for (size_t i = 0; i < s->o->n; i++) {
		if (p[1 + i].revents != 0 && s->children[i].ready_fd >= 0)
			hear_ready(&s->children[i]);
	}
	if (p[0].revents != 0)
		take_signals(s);
	(void)sd_notify(0, "WATCHDOG=1");
}

static bool
take_over_signals(struct super *s, struct err *err)
{
	sigset_t ours;

	(void)sigemptyset(&ours);
	(void)sigaddset(&ours, SIGTERM);
	(void)sigaddset(&ours, SIGINT);
	(void)sigaddset(&ours, SIGHUP);
	(void)sigaddset(&ours, SIGCHLD);
	(void)pthread_sigmask(SIG_BLOCK, &ours, &s->old_mask);
	s->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd >= 0 ||
			err_errno(err, 0, errno, "cannot watch for signals");
}

int
super_run(struct conf *conf, const struct super_options *o)
{
	struct super s = { .o = o, .conf = conf };
	struct err err = { 0 };

	if (!take_over_signals(&s, &err) || !begin(&s, 0, &err)) {
		(void)fprintf(stderr, "postern: %s\n", err.text);
		close_listeners(&s);
		o->drop(s.conf);
		return 1;
	}
	while (!s.stopping) {
		start_due(&s);
		wait_and_see(&s);
	}
	(void)sd_notify(0, "STOPPING=1");
	if (!stop_roles(&s, 0) && s.status == 0)
		s.status = 1;
	close_listeners(&s);
	(void)close(s.signal_fd);
	if (s.status == 0)
		log_event(EVENT_STOPPED, FIELDS(f_str("version", POSTERN_VERSION)));
	o->drop(s.conf);
	return s.status;
}
