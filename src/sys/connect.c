#include "connect.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/dns.h"
#include "postern/file.h"
#include "postern/must.h"
#include "sockaddr.h"

struct connect_race {
	struct pollfd fds[DNS_ADDRS_MAX + 1];
	const struct net_addr *addrs[DNS_ADDRS_MAX];
	nfds_t n;
};

/* Begins the next attempt. The fd when it is connected at once, else -1. */
static int
connect_begin(struct connect_try *t, struct connect_race *r, const struct net_addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = sockaddr_from(a, &ss);
	int fd = sockaddr_socket(a);

	t->peer = a;
	if (fd < 0) {
		t->no = errno;
		return -1;
	}
	if (connect(fd, (const struct sockaddr *)&ss, len) == 0)
		return fd;
	/* EAGAIN is a unix socket with a full backlog: POLLOUT does not tell of it. */
	if (errno != EINPROGRESS && errno != EINTR) {
		t->no = errno;
		fd_done(&fd);
		return -1;
	}
	r->fds[r->n] = (struct pollfd){ .fd = fd, .events = POLLOUT };
	r->addrs[r->n++] = a;
	return -1;
}

/* Looks who has come through; failed ones leave the race. */
static int
connect_look(struct connect_try *t, struct connect_race *r, bool *failed)
{
	for (nfds_t i = 0; i < r->n;) {
		int no = 0;
		socklen_t len = sizeof(no);

		if (!r->fds[i].revents) {
			i++;
			continue;
		}
		if (getsockopt(r->fds[i].fd, SOL_SOCKET, SO_ERROR, &no, &len) != 0)
			no = errno;
		t->peer = r->addrs[i];
		int fd = r->fds[i].fd;
		r->fds[i] = r->fds[--r->n];
		r->addrs[i] = r->addrs[r->n];
		if (no == 0)
			return fd;
		t->no = no;
		*failed = true;
		(void)close(fd);
	}
	return -1;
}

static int
connect_run(struct connect_try *t, struct connect_race *r)
{
	size_t next = 0;
	int64_t start_ms = 0; /* of the next attempt */

	for (;;) {
		int64_t now = clock_mono_ms();

		while (next < t->n && (r->n == 0 || now >= start_ms)) {
			int fd = connect_begin(t, r, &t->addrs[next++]);
			if (fd >= 0)
				return fd;
			start_ms = now + CONNECT_STAGGER_MS;
		}
		if (r->n == 0)
			return -1;
		if (now >= t->until_ms) {
			t->no = ETIMEDOUT;
			return -1;
		}

		int64_t wait = t->until_ms - now;
		if (next < t->n && start_ms - now < wait)
			wait = start_ms - now;
		nfds_t bell = r->n;
		r->fds[bell] = (struct pollfd){ .fd = t->cancel_fd, .events = POLLIN };
		int ready = poll(r->fds, r->n + 1, wait > 60000 ? 60000 : (int)wait);
		if (ready <= 0)
			continue;
		if (r->fds[bell].revents) {
			t->no = ECANCELED;
			return -1;
		}
		bool failed = false;
		int fd = connect_look(t, r, &failed);
		if (fd >= 0)
			return fd;
		if (failed)
			start_ms = 0;
	}
}

int
connect_first(struct connect_try *t)
{
	struct connect_race r = { .n = 0 };

	MUST(t->n <= DNS_ADDRS_MAX);
	t->no = EHOSTUNREACH;
	int fd = connect_run(t, &r);
	for (nfds_t i = 0; i < r.n; i++)
		(void)close(r.fds[i].fd);
	return fd;
}
