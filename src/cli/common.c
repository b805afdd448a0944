#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "postern/conf_load.h"
#include "postern/ctl.h"
#include "postern/file.h"
#include "postern/lock.h"
#include "postern/log.h"
#include "postern/sandbox.h"

int
cli_fail(int status, const char *fmt, ...)
{
	va_list ap;

	char text[2048];

	(void)fflush(stdout);
	(void)fputs("postern: ", stderr);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* It may name what somebody outside has said. */
	cli_print_lines(stderr, span_of(text));
	return status;
}

static const struct cli_option *
option_named(const struct cli_option *options, const char *name)
{
	for (const struct cli_option *o = options; o && o->name; o++) {
		if (strcmp(o->name, name) == 0)
			return o;
	}
	return NULL;
}

bool
cli_options(struct cli *c, const struct cli_option *options, int least, int most)
{
	int kept = 0;
	bool only_arguments = false;

	for (int i = 0; i < c->argc; i++) {
		char *arg = c->argv[i];
		if (only_arguments || arg[0] != '-' || arg[1] == '\0') {
			c->argv[kept++] = arg;
			continue;
		}
		if (strcmp(arg, "--") == 0) {
			only_arguments = true;
			continue;
		}
		const struct cli_option *o = option_named(options, arg);
		if (!o || (o->value && i + 1 == c->argc)) {
			(void)cli_fail(0,
					o ? "%s needs a value, see --help"
					  : "there is no option %s here, see --help",
					arg);
			return false;
		}
		if (o->value)
			*o->value = c->argv[++i];
		else
			*o->flag = true;
	}
	c->argc = kept;
	if (kept < least || kept > most) {
		(void)cli_fail(0,
				kept < least ? "an argument is missing, see --help"
					     : "too many arguments, see --help");
		return false;
	}
	return true;
}

/* Root acts as the owner of the state: what is made is his, and secrets are judged as he
 * meets them. */
static void
find_owner(struct cli *c)
{
	static char name[64];
	char space[1024];
	struct passwd entry, *found = NULL;
	struct stat st;

	if (geteuid() != 0 || c->conf->server.user ||
			stat(c->conf->server.state, &st) != 0 || st.st_uid == 0)
		return;
	if (getpwuid_r(st.st_uid, &entry, space, sizeof(space), &found) == 0 && found)
		(void)snprintf(name, sizeof(name), "%s", found->pw_name);
	else
		(void)snprintf(name, sizeof(name), "#%u:%u", (unsigned)st.st_uid,
				(unsigned)st.st_gid);
	c->conf->server.user = name;
	c->owner = true;
}

bool
cli_conf_faults(struct cli *c, struct conf_faults *faults)
{
	AUTO(buf_done) struct buf text = BUF_MAX(CONF_TEXT_MAX + 1);
	char hostname[256] = "localhost";
	struct err err = { 0 };

	if (!file_read(AT_FDCWD, c->conf_path, FILE_REGULAR, &text, &err)) {
		conf_faults_add(faults,
				&(struct conf_fault){ .file = c->conf_path,
						.text = err.text });
		return false;
	}
	(void)gethostname(hostname, sizeof(hostname) - 1);
	char *cwd = getcwd(NULL, 0);
	const struct conf_source src = { .text = buf_span(&text),
		.path = c->conf_path,
		.cwd = cwd,
		.hostname = hostname };
	c->conf = conf_parse(&src, faults);
	free(cwd);
	/* The tree of a large file would stay resident in every role. */
	(void)malloc_trim(0);
	if (c->conf)
		find_owner(c);
	return c->conf != NULL;
}

bool
cli_conf(struct cli *c)
{
	if (c->conf)
		return true;

	AUTO(buf_done) struct buf out = BUF_MAX(1024 * 1024);
	struct conf_faults *faults = malloc(sizeof(*faults));

	if (!faults)
		abort();
	conf_faults_init(faults);
	if (!cli_conf_faults(c, faults)) {
		for (size_t i = 0; i < faults->n; i++)
			(void)!conf_fault_print(&faults->list[i], &out);
		(void)fwrite(out.p ? out.p : "", 1, out.n, stderr);
	}
	conf_faults_done(faults);
	free(faults);
	return c->conf != NULL;
}

const char *
cli_path(const struct cli *c, const char *name)
{
	/* One path after another for the life of a short process. */
	static struct arena paths = { .max = 1024 * 1024 };
	AUTO(buf_done) struct buf b = BUF_MAX(8192);

	if (!buf_addf(&b, "%s/%s", c->conf->server.state, name))
		return name;
	const char *path = arena_str(&paths, buf_span(&b));
	return path ? path : name;
}

/* Started as root, the state belongs to the user that the service drops to. */
static bool
hand_over(const struct cli *c, const char *path, struct err *err)
{
	unsigned uid, gid;

	if (geteuid() != 0 || !c->conf->server.user)
		return true;
	if (!sandbox_lookup(c->conf->server.user, &uid, &gid, err))
		return false;
	return lchown(path, uid, gid) == 0 ||
			err_errno(err, 0, errno, "cannot give %s to %s", path,
					c->conf->server.user);
}

bool
cli_state_as_root(struct cli *c)
{
	struct err err = { 0 };

	if (!cli_conf(c))
		return false;
	const char *state = c->conf->server.state, *run = cli_path(c, "run");
	if (strlen(state) > CLI_STATE_MAX) {
		(void)cli_fail(0, "server.state is longer than %d octets",
				CLI_STATE_MAX);
		return false;
	}
	if (!dir_make_path(state, 0700, &err) || !hand_over(c, state, &err) ||
			!dir_make_path(run, 0700, &err) || !hand_over(c, run, &err)) {
		(void)cli_fail(0, "%s", err.text);
		return false;
	}
	return true;
}

bool
cli_become_user(struct cli *c)
{
	struct err err = { 0 };

	(void)cli_user(); /* who types is known before that */
	if (!c->conf->server.user || sandbox_user(c->conf->server.user, &err))
		return true;
	(void)cli_fail(0, "%s", err.text);
	return false;
}

static const char *
name_of(uid_t uid, char out[64])
{
	struct passwd entry, *found = NULL;
	char space[1024];

	if (getpwuid_r(uid, &entry, space, sizeof(space), &found) == 0 && found)
		(void)snprintf(out, 64, "%s", found->pw_name);
	else
		(void)snprintf(out, 64, "uid %u", (unsigned)uid);
	return out;
}

bool
cli_state_readable(struct cli *c)
{
	const char *state = c->conf->server.state;
	struct stat st = { 0 };
	char owner[64];

	if (faccessat(AT_FDCWD, state, R_OK | X_OK, AT_EACCESS) == 0 || errno != EACCES)
		return true;
	/* Where even its folder is closed, its owner is not known. */
	if (stat(state, &st) == 0 && st.st_uid != 0)
		(void)cli_fail(0,
				"cannot read %s: Permission denied (run as root or %s)",
				state, name_of(st.st_uid, owner));
	else
		(void)cli_fail(0, "cannot read %s: Permission denied (run as root)",
				state);
	c->refused = true;
	return false;
}

/* What another user left in the state (Pickup and Drop may be his on purpose), by a command run
 * as root before a service's user owned it, would stop the service later, and say less. */
static bool
state_is_ours(struct cli *c)
{
	static const char *const names[] = { "", "lock", "postern.db", "postern.db-wal",
		"postern.db-shm", "postern.made", "events.jsonl", "spool", "run",
		"run/mailboxes.lock", "run/pickup", "Badmail", "evidence" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *path = cli_path(c, names[i]);
		struct stat st;
		char owner[64], us[64];

		if (lstat(path, &st) != 0 || S_ISLNK(st.st_mode))
			continue;
		int how = S_ISDIR(st.st_mode) ? R_OK | W_OK | X_OK : R_OK | W_OK;
		if (faccessat(AT_FDCWD, path, how, AT_EACCESS) == 0 || errno != EACCES)
			continue;
		(void)cli_fail(0,
				"cannot use %s: it belongs to %s; chown it to %s, or run this "
				"command as %s",
				path, name_of(st.st_uid, owner), name_of(geteuid(), us),
				owner);
		c->refused = true;
		return false;
	}
	return true;
}

bool
cli_state(struct cli *c)
{
	return cli_conf(c) && cli_state_readable(c) && cli_state_as_root(c) &&
			cli_become_user(c) && state_is_ours(c);
}

int
cli_lock(const struct cli *c)
{
	enum { TRIES = 150, PAUSE_NS = 100 * 1000 * 1000 };
	const struct timespec pause = { 0, PAUSE_NS };
	struct err err = { 0 };
	pid_t holder = 0;

	/* A service that was killed leaves roles behind which settle what they have in
	 * hand: they hold the lock a little longer than the process it names. */
	for (int i = 0; i < TRIES; i++) {
		int fd = lock_take(c->conf->server.state, &holder, &err);
		if (fd >= 0 && hand_over(c, cli_path(c, "lock"), &err))
			return fd;
		if (fd >= 0)
			(void)close(fd);
		if (holder <= 0 || kill(holder, 0) == 0 || errno != ESRCH)
			break;
		(void)nanosleep(&pause, NULL);
	}
	(void)cli_fail(0, "%s", err.text);
	return -1;
}

static bool
log_to(const struct conf *conf, bool terminal, struct err *err)
{
	static const char *const sinks[] = {
		[CONF_LOG_STDERR] = "stderr",
		[CONF_LOG_SYSLOG] = "syslog",
		[CONF_LOG_JOURNALD] = "journald",
	};
	AUTO(buf_done) struct buf journal = BUF_MAX(8192);

	if (!buf_addf(&journal, "%s/events.jsonl", conf->server.state))
		return err_set(err, 0, "the path of the state directory is too long");
	const struct log_options options = {
		.to = conf->log.to.kind == CONF_LOG_FILE ? conf->log.to.path
							 : sinks[conf->log.to.kind],
		.json = conf->log.format == CONF_LOG_JSON,
		.level = conf->log.level,
		.journal = buf_cstr(&journal),
	};
	struct log_options o = options;
	if (!terminal && conf->log.to.kind == CONF_LOG_STDERR)
		o.to = NULL;
	return log_open(&o, err);
}

bool
cli_log(const struct conf *conf, struct err *err)
{
	return log_to(conf, true, err);
}

bool
cli_log_quietly(const struct conf *conf, struct err *err)
{
	return log_to(conf, false, err);
}

const char *
cli_user(void)
{
	static char name[64];

	if (name[0] == '\0')
		(void)name_of(getuid(), name);
	return name;
}

void
cli_changed(const struct cli *c, const char *action, const char *detail)
{
	struct err err = { 0 };

	if (cli_log_quietly(c->conf, &err))
		log_event(EVENT_ADMIN_ACTION,
				FIELDS(f_str("user", cli_user()),
						f_str("action", action),
						f_str("detail", detail)));
	else
		(void)cli_fail(0, "the change is made, but not in the log: %s",
				err.text);
	log_close();
	cli_wake_relay(c);
}

void
cli_wake_relay(const struct cli *c)
{
	struct ctl_client *relay =
			ctl_connect(cli_path(c, "run/relay.ctl"), 2000, NULL);
	struct err err = { 0 };

	if (relay && !ctl_ask(relay, CTL_WAKE, SPAN(""), &err))
		(void)cli_fail(0,
				"the change is made, but the relay did not hear of it: %s",
				err.text);
	ctl_client_free(relay);
}
