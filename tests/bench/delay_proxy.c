/* A line that is long, for the benchmarks: what comes in on one side leaves on the
 * other so many milliseconds later. TCP itself is accepted here and at once, so the
 * handshake costs nothing, whoever connects; bandwidth is not limited, nothing is lost.
 *
 *   delay_proxy LISTEN-PORT SERVER-PORT MILLISECONDS-EACH-WAY
 *
 * Prints a line when it listens, and ends with its standard input. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 256 * 1024, HELD_MAX = 128 * 1024 * 1024, EVENTS = 256 };

struct piece {
	struct piece *next;
	int64_t due_us;
	size_t n, sent; /* n == 0: the end */
	char bytes[];
};

/* One direction: read from `from`, written to `to`. */
struct lane {
	int from, to;
	struct piece *first, **last;
	size_t held;
	int ended; /* nothing more is read */
	int closed; /* the end was passed on */
};

struct line {
	struct line *next;
	struct lane lanes[2];
};

static struct line *lines;
static int64_t delay_us;
static char incoming[PIECE];

static int64_t
now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void
hold(struct lane *l, const char *p, size_t n)
{
	struct piece *piece = malloc(sizeof(*piece) + n);

	if (!piece)
		abort();
	piece->next = NULL;
	piece->due_us = now_us() + delay_us;
	piece->n = n;
	piece->sent = 0;
	if (n > 0)
		memcpy(piece->bytes, p, n);
	*l->last = piece;
	l->last = &piece->next;
	l->held += n;
}

static void
take(struct lane *l)
{
	while (!l->ended && l->held < HELD_MAX) {
		ssize_t n = recv(l->from, incoming, sizeof(incoming), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		l->ended = n <= 0;
		hold(l, incoming, n > 0 ? (size_t)n : 0);
	}
}

/* Passes on what is due; returns when the next piece is, or -1. */
static int64_t
pass(struct lane *l)
{
	while (l->first && !l->closed) {
		struct piece *p = l->first;

		if (p->due_us > now_us())
			return p->due_us;
		while (p->sent < p->n) {
			ssize_t n = send(l->to, p->bytes + p->sent, p->n - p->sent,
					MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n < 0 && errno == EAGAIN)
				return now_us() + 500;
			if (n < 0)
				break;
			p->sent += (size_t)n;
		}
		if (p->sent < p->n || p->n == 0) {
			(void)shutdown(l->to, SHUT_WR);
			l->closed = 1;
		}
		l->held -= p->n;
		l->first = p->next;
		if (!l->first)
			l->last = &l->first;
		free(p);
	}
	return -1;
}

static void
open_line(int epoll, int fd, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port) };
	struct line *l = calloc(1, sizeof(*l));
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!l || server < 0 ||
			connect(server, (struct sockaddr *)&to, sizeof(to)) != 0) {
		(void)close(fd);
		(void)close(server);
		free(l);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	l->lanes[0] = (struct lane){ .from = fd, .to = server };
	l->lanes[1] = (struct lane){ .from = server, .to = fd };
	for (int i = 0; i < 2; i++) {
		struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };

		l->lanes[i].last = &l->lanes[i].first;
		(void)epoll_ctl(epoll, EPOLL_CTL_ADD, l->lanes[i].from, &e);
	}
	l->next = lines;
	lines = l;
}

/* All lines: what came is taken, what is due is passed on; when to come again. */
static int64_t
work(void)
{
	int64_t soonest = -1;

	for (struct line **at = &lines; *at;) {
		struct line *l = *at;

		for (int i = 0; i < 2; i++) {
			take(&l->lanes[i]);
			int64_t due = pass(&l->lanes[i]);
			if (due >= 0 && (soonest < 0 || due < soonest))
				soonest = due;
		}
		if (l->lanes[0].closed && l->lanes[1].closed) {
			*at = l->next;
			(void)close(l->lanes[0].from);
			(void)close(l->lanes[1].from);
			free(l);
		} else {
			at = &l->next;
		}
	}
	return soonest;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int epoll = epoll_create1(EPOLL_CLOEXEC), one = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event events[EVENTS], e = { .events = EPOLLIN };

	if (argc != 4)
		return 2;
	at.sin_port = htons((uint16_t)strtol(argv[1], NULL, 10));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	delay_us = strtol(argv[3], NULL, 10) * 1000;
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
			listen(listener, 1024) != 0)
		return 1;
	(void)epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
	(void)epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &e);
	(void)puts("ready");
	(void)fflush(stdout);
	for (;;) {
		int64_t soonest = work();
		struct timespec wait = { 0 };
		int64_t left = soonest < 0 ? 1000000 : soonest - now_us();
		struct pollfd fds = { .fd = epoll, .events = POLLIN };

		left = left < 0 ? 0 : left;
		wait.tv_sec = left / 1000000;
		wait.tv_nsec = left % 1000000 * 1000;
		(void)ppoll(&fds, 1, &wait, NULL);
		(void)epoll_wait(epoll, events, EVENTS, 0);
		for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
			open_line(epoll, fd, (int)strtol(argv[2], NULL, 10));
		struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
		if (poll(&in, 1, 0) > 0)
			return 0;
	}
}
