/* Listening sockets, and taking callers in. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop_in.h"
#include "postern/file.h"
#include "postern/loop.h"
#include "postern/must.h"
#include "sockaddr.h"

enum { BACKLOG = 1024, ACCEPTS_A_ROUND = 64, REST_MS = 100 };

struct loop_listen {
	int fd;
	int reserve; /* given up for a moment when there are no descriptors left */
	char file[sizeof(
			((struct net_addr *)0)->path)]; /* of a unix socket; "": none */
	struct stat made; /* ... as it was made */
	struct event *ev;
	struct loop_timer *rest;
	void (*accepted)(void *host, int fd, const struct loop_peer *peer);
	void (*refused)(void *host, int no);
	void *host;
	bool paused, accepting, dead;
};

static bool
listen_parse(const char *address, struct net_addr *out, int *dir, struct err *err)
{
	struct span text = span_of(address), host;
	uint16_t port;

	if (span_starts(text, SPAN("unix:")))
		text = span_skip(text, 5);
	*dir = -1;
	if (text.n > 0 && text.p[0] == '/')
		return sockaddr_unix(text, out, dir, err);
	if (!net_host_port(text, 0, &host, &port) ||
			(span_find(text, ']') == text.n && host.n == text.n))
		return err_set(err, 0,
				"cannot listen on \"%s\": ADDRESS:PORT is wanted",
				address);
	if (span_eq(host, SPAN("*")))
		host = SPAN("::");
	else if (span_eq_nocase(host, SPAN("localhost")))
		host = SPAN("127.0.0.1");
	if (!net_addr_parse(host, port, out))
		return err_set(err, 0, "cannot listen on \"%s\": it is no address",
				address);
	return true;
}

/* A socket file that nobody listens on is the remains of a crash; so is one in our folder that
 * another user made: whoever listens holds the lock of the state, and that is us. */
static bool
listen_dead_socket(const struct sockaddr_storage *ss, socklen_t n, const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	AUTO(fd_done)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)ss, n) == 0 ||
			(errno != ECONNREFUSED && errno != EACCES))
		return false;
	return unlink(path) == 0;
}

static int
listen_socket(const struct net_addr *a, int *no)
{
	struct sockaddr_storage ss;
	socklen_t n = sockaddr_from(a, &ss);
	int on = 1, off = 0;
	int fd = sockaddr_socket(a);

	if (fd < 0) {
		*no = errno;
		return -1;
	}
	if (a->family == NET_UNIX)
		(void)fchmod(fd, 0600); /* bind gives the file the socket's mode */
	else
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->family == NET_IP6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));

	bool bound = bind(fd, (const struct sockaddr *)&ss, n) == 0;
	if (!bound && errno == EADDRINUSE && a->family == NET_UNIX &&
			listen_dead_socket(&ss, n, a->path))
		bound = bind(fd, (const struct sockaddr *)&ss, n) == 0;
	if (!bound || listen(fd, BACKLOG) != 0) {
		*no = errno == EEXIST ? EADDRINUSE : errno;
		fd_done(&fd);
	}
	return fd;
}

int
listen_open(const char *address, struct err *err)
{
	struct net_addr a = { 0 };
	int no = 0, dir;

	/* The folder of a long path stays open with the socket, which is removed by it. */
	if (!listen_parse(address, &a, &dir, err))
		return -1;
	int fd = listen_socket(&a, &no);
	if (fd < 0 && no == EAFNOSUPPORT && address[0] == '*') {
		a = (struct net_addr){ .family = NET_IP4, .port = a.port };
		fd = listen_socket(&a, &no);
	}
	if (fd < 0) {
		fd_done(&dir);
		(void)err_errno(err, 0, no, "cannot listen on %s", address);
	}
	return fd;
}

bool
listen_address(int fd, struct net_addr *out)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t n = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &n) != 0)
		return false;
	sockaddr_to(&ss, n, out);
	return out->family != NET_NONE;
}

static void
listen_peer(int fd, const struct sockaddr_storage *ss, socklen_t n,
		struct loop_peer *peer)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	int on = 1;

	sockaddr_to(ss, n, &peer->addr);
	peer->uid = (uid_t)-1;
	if (peer->addr.family != NET_UNIX) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	} else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0) {
		peer->uid = who.uid;
	}
}

static void
listen_exhausted(struct loop_listen *ll, int no)
{
	/* The caller would stay in the queue and wake us for ever: take it in on
	 * the reserve descriptor and let it go. */
	if (ll->reserve >= 0 && (no == EMFILE || no == ENFILE)) {
		fd_done(&ll->reserve);
		int fd = accept4(ll->fd, NULL, NULL, SOCK_CLOEXEC);
		fd_done(&fd);
		ll->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	(void)event_del(ll->ev);
	loop_timer_set(ll->rest, REST_MS);
	if (ll->refused)
		ll->refused(ll->host, no);
}

/* The file of a socket that nobody listens on any more, unless another has its name. */
static void
listen_remove(struct loop_listen *ll)
{
	struct stat now;

	if (ll->file[0] && lstat(ll->file, &now) == 0 &&
			now.st_ino == ll->made.st_ino && now.st_dev == ll->made.st_dev)
		(void)unlink(ll->file);
}

static void
listen_destroy(struct loop_listen *ll)
{
	listen_remove(ll);
	event_free(ll->ev);
	loop_timer_free(ll->rest);
	fd_done(&ll->fd);
	fd_done(&ll->reserve);
	free(ll);
}

static void
listen_ready(evutil_socket_t from, short what, void *arg)
{
	struct loop_listen *ll = arg;

	(void)from;
	(void)what;
	ll->accepting = true;
	for (int i = 0; i < ACCEPTS_A_ROUND && !ll->dead && !ll->paused; i++) {
		struct sockaddr_storage ss = { 0 };
		socklen_t n = sizeof(ss);
		struct loop_peer peer;
		int fd = accept4(ll->fd, (struct sockaddr *)&ss, &n,
				SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			listen_peer(fd, &ss, n, &peer);
			ll->accepted(ll->host, fd, &peer);
		} else if (errno == EAGAIN) {
			break;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
				errno == ENOMEM) {
			listen_exhausted(ll, errno);
			break;
		} /* else: the caller is gone again, or its network is; next, please */
	}
	ll->accepting = false;
	if (ll->dead)
		listen_destroy(ll);
}

static void
listen_rested(void *host)
{
	struct loop_listen *ll = host;

	if (!ll->paused)
		MUST(event_add(ll->ev, NULL) == 0);
}

struct loop_listen *
loop_listen_new(struct loop *l, int fd,
		void (*accepted)(void *host, int fd, const struct loop_peer *peer),
		void (*refused)(void *host, int no), void *host)
{
	struct loop_listen *ll = calloc(1, sizeof(*ll));

	if (!ll)
		abort();
	MUST(fd_nonblock(fd));
	ll->fd = fd;
	ll->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct net_addr at;
	if (listen_address(fd, &at) && at.family == NET_UNIX &&
			lstat(at.path, &ll->made) == 0)
		memcpy(ll->file, at.path, sizeof(ll->file));
	ll->accepted = accepted;
	ll->refused = refused;
	ll->host = host;
	ll->ev = loop_event(l, fd, EV_READ | EV_PERSIST, listen_ready, ll);
	ll->rest = loop_timer_new(l, listen_rested, ll);
	MUST(event_add(ll->ev, NULL) == 0);
	return ll;
}

void
loop_listen_pause(struct loop_listen *ll, bool pause)
{
	ll->paused = pause;
	if (pause)
		(void)event_del(ll->ev);
	else if (!loop_timer_pending(ll->rest))
		MUST(event_add(ll->ev, NULL) == 0);
}

void
loop_listen_free(struct loop_listen *ll)
{
	if (!ll)
		return;
	if (ll->accepting) {
		ll->dead = true;
		(void)event_del(ll->ev);
		return;
	}
	listen_destroy(ll);
}
