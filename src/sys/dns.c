#include "postern/dns.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns_ask.h"
#include "postern/clock.h"
#include "postern/list.h"
#include "postern/loop.h"

struct dns_fd {
	struct list link;
	struct dns *dns;
	int channel;
	int fd;
	struct loop_watch *watch;
};

/* Which of the two channels calls: c-ares gives only one pointer. */
struct dns_side {
	struct dns *dns;
	int channel;
};

struct dns {
	struct loop *loop;
	struct dns_channels channels;
	struct dns_side sides[DNS_CHANNELS];
	struct list fds;
	struct list queries;
	struct loop_timer *timer;
};

struct dns_query {
	struct dns_ask ask; /* first: `moved` gives this pointer back */
	struct list link;
	struct dns *dns;
	struct loop_timer *due; /* to answer: at once, or when the grace is over */
	bool gone; /* answered or cancelled; c-ares may still hold it */
	void (*answered)(void *host, enum dns_answer answer,
			const struct net_addr *addrs, size_t n, const char *words);
	void *host;
};

static void
dns_rearm(struct dns *d)
{
	int64_t least = -1;

	for (int i = 0; i < DNS_CHANNELS; i++) {
		struct timeval tv;

		if (!ares_timeout(d->channels.at[i], NULL, &tv))
			continue;
		int64_t ms = (int64_t)tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000;
		least = least < 0 || ms < least ? ms : least;
	}
	if (least >= 0)
		loop_timer_set(d->timer, least);
	else
		loop_timer_cancel(d->timer);
}

static void
dns_tick(void *host)
{
	struct dns *d = host;

	for (int i = 0; i < DNS_CHANNELS; i++)
		ares_process_fd(d->channels.at[i], ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	dns_rearm(d);
}

static void
dns_fd_ready(void *host, int bits)
{
	const struct dns_fd *f = host;
	struct dns *d = f->dns;
	int fd = f->fd;

	/* f may be gone when this returns. */
	ares_process_fd(d->channels.at[f->channel],
			bits & LOOP_READ ? fd : ARES_SOCKET_BAD,
			bits & LOOP_WRITE ? fd : ARES_SOCKET_BAD);
	dns_rearm(d);
}

static void
dns_fd_changed(void *arg, ares_socket_t fd, int readable, int writable)
{
	const struct dns_side *side = arg;
	struct dns *d = side->dns;
	struct dns_fd *f = NULL;

	LIST_EACH (link, &d->fds) {
		struct dns_fd *one = LIST_ITEM(link, struct dns_fd, link);

		if (one->fd == fd && one->channel == side->channel)
			f = one;
	}
	if (!readable && !writable) {
		if (f) {
			list_del(&f->link);
			loop_watch_free(f->watch);
			free(f);
		}
		return;
	}
	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f)
			abort();
		f->dns = d;
		f->fd = fd;
		f->channel = side->channel;
		f->watch = loop_watch_new(d->loop, fd, dns_fd_ready, f);
		list_add(&d->fds, &f->link);
	}
	loop_watch_want(f->watch,
			(readable ? LOOP_READ : 0) | (writable ? LOOP_WRITE : 0));
}

struct dns *
dns_new(struct loop *l, const struct dns_setup *setup, struct err *err)
{
	struct dns *d = calloc(1, sizeof(*d));

	if (!d)
		abort();
	d->loop = l;
	list_init(&d->fds);
	list_init(&d->queries);
	d->timer = loop_timer_new(l, dns_tick, d);
	for (int i = 0; i < DNS_CHANNELS; i++)
		d->sides[i] = (struct dns_side){ d, i };
	void *const sides[DNS_CHANNELS] = { &d->sides[DNS_UDP], &d->sides[DNS_TCP] };
	if (!dns_channels_open(&d->channels, setup, dns_fd_changed, sides, err)) {
		loop_timer_free(d->timer);
		free(d);
		return NULL;
	}
	return d;
}

static void
dns_query_drop(struct dns_query *q)
{
	q->gone = true;
	if (q->ask.open > 0)
		return; /* c-ares still points to it; dropped when it lets go */
	list_del(&q->link);
	loop_timer_free(q->due);
	free(q);
}

bool
dns_idle(const struct dns *d)
{
	return list_empty(&d->queries);
}

void
dns_free(struct dns *d)
{
	if (!d)
		return;
	LIST_EACH (link, &d->queries)
		LIST_ITEM(link, struct dns_query, link)->gone = true;
	dns_channels_close(&d->channels); /* lets go of the queries it holds */
	LIST_EACH (link, &d->queries)
		dns_query_drop(LIST_ITEM(link, struct dns_query, link));
	loop_timer_free(d->timer);
	free(d);
}

static void
dns_query_due(void *host)
{
	struct dns_query *q = host;
	struct net_addr addrs[DNS_ADDRS_MAX];
	struct err words = { 0 };
	size_t n = 0;

	if (q->gone) {
		dns_query_drop(q);
		return;
	}
	enum dns_answer a = dns_ask_result(&q->ask, addrs, DNS_ADDRS_MAX, &n, &words);
	struct dns_query told = *q;
	/* First: the host may free everything from its callback. */
	dns_query_drop(q);
	told.answered(told.host, a, addrs, n, words.text);
}

static void
dns_query_moved(struct dns_ask *ask)
{
	struct dns_query *q = (struct dns_query *)(void *)ask;

	/* Never from here: we are inside c-ares, and the host may free anything. */
	if (ask->open == 0)
		loop_timer_set(q->due, 0);
	else if (dns_ask_found(ask))
		loop_timer_set(q->due, DNS_GRACE_MS);
}

struct dns_query *
dns_lookup(struct dns *d, const char *host, uint16_t port,
		void (*answered)(void *host, enum dns_answer answer,
				const struct net_addr *addrs, size_t n,
				const char *words),
		void *hosting)
{
	struct dns_query *q = calloc(1, sizeof(*q));

	if (!q)
		abort();
	q->dns = d;
	q->answered = answered;
	q->host = hosting;
	q->ask.channels = &d->channels;
	q->ask.port = port;
	q->ask.moved = dns_query_moved;
	q->due = loop_timer_new(d->loop, dns_query_due, q);
	list_add(&d->queries, &q->link);
	if (strlen(host) >= sizeof(q->ask.name)) {
		(void)snprintf(q->ask.name, sizeof(q->ask.name), "%.200s...", host);
		(void)dns_ask_known(&q->ask);
		q->ask.legs[0].done = q->ask.legs[1].done = true;
		q->ask.legs[0].answer = q->ask.legs[1].answer = DNS_NO_NAME;
		loop_timer_set(q->due, 0);
		return q;
	}
	(void)snprintf(q->ask.name, sizeof(q->ask.name), "%s", host);
	if (dns_ask_known(&q->ask)) {
		loop_timer_set(q->due, 0);
		return q;
	}
	dns_ask_start(&q->ask);
	dns_rearm(d);
	return q;
}

void
dns_cancel(struct dns_query *q)
{
	dns_query_drop(q);
}

static void
dns_wait_moved(struct dns_ask *ask)
{
	(void)ask;
}

/* What c-ares waits for. */
struct dns_polled {
	struct pollfd fds[DNS_CHANNELS * ARES_GETSOCK_MAXNUM + 1]; /* one to cancel */
	int owner[DNS_CHANNELS * ARES_GETSOCK_MAXNUM];
	nfds_t n;
};

static void
dns_poll_add(struct dns_polled *p, const struct dns_channels *c, int channel)
{
	ares_socket_t socks[ARES_GETSOCK_MAXNUM];
	unsigned bits = (unsigned)ares_getsock(
			c->at[channel], socks, ARES_GETSOCK_MAXNUM);

	for (int k = 0; k < ARES_GETSOCK_MAXNUM; k++) {
		/* c-ares' own macros shift into the sign. */
		unsigned in = bits >> k & 1,
			 out = bits >> (k + ARES_GETSOCK_MAXNUM) & 1;
		short events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0));

		if (!events)
			continue;
		p->owner[p->n] = channel;
		p->fds[p->n++] = (struct pollfd){ .fd = socks[k], .events = events };
	}
}

/* The sooner of left_ms and what the channel itself wants to wait at most. */
static int64_t
dns_patience(ares_channel channel, int64_t left_ms)
{
	struct timeval tv;

	if (!ares_timeout(channel, NULL, &tv))
		return left_ms;
	int64_t ms = (int64_t)tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000;
	return ms < left_ms ? ms : left_ms;
}

/* One wait for c-ares' sockets. false: cancelled. */
static bool
dns_wait_round(const struct dns_channels *c, int64_t left_ms, int cancel_fd)
{
	struct dns_polled p = { .n = 0 };

	for (int i = 0; i < DNS_CHANNELS; i++) {
		dns_poll_add(&p, c, i);
		left_ms = dns_patience(c->at[i], left_ms);
	}
	p.fds[p.n] = (struct pollfd){ .fd = cancel_fd, .events = POLLIN };
	int ready = poll(p.fds, p.n + 1, left_ms > 60000 ? 60000 : (int)left_ms);
	if (ready > 0 && p.fds[p.n].revents)
		return false;
	for (nfds_t k = 0; k < p.n && ready > 0; k++) {
		const struct pollfd *at = &p.fds[k];
		if (at->revents)
			ares_process_fd(c->at[p.owner[k]],
					at->revents & ~POLLOUT ? at->fd
							       : ARES_SOCKET_BAD,
					at->revents & POLLOUT ? at->fd
							      : ARES_SOCKET_BAD);
	}
	for (int i = 0; i < DNS_CHANNELS; i++)
		ares_process_fd(c->at[i], ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	return true;
}

/* Until all legs are done, the deadline, or a call to stop. */
static void
dns_wait_legs(const struct dns_ask *ask, const struct dns_question *q)
{
	int64_t until = q->deadline_ms;
	bool graced = false;

	while (ask->open > 0) {
		int64_t now = clock_mono_ms();

		if (!graced && dns_ask_found(ask)) {
			graced = true;
			until = now + DNS_GRACE_MS < until ? now + DNS_GRACE_MS : until;
		}
		if (now >= until ||
				!dns_wait_round(ask->channels, until - now,
						q->cancel_fd))
			return;
	}
}

enum dns_answer
dns_wait(const struct dns_setup *setup, const struct dns_question *q,
		struct net_addr *addrs, size_t *n, struct err *err)
{
	struct dns_channels channels;
	struct dns_ask ask = { .port = q->port, .moved = dns_wait_moved };
	size_t max = *n;

	*n = 0;
	if (strlen(q->host) >= sizeof(ask.name)) {
		(void)err_set(err, 0, "the name %.100s... is too long", q->host);
		return DNS_NO_NAME;
	}
	(void)snprintf(ask.name, sizeof(ask.name), "%s", q->host);
	if (dns_ask_known(&ask)) /* without opening anything */
		return dns_ask_result(&ask, addrs, max, n, err);
	if (!dns_channels_open(&channels, setup, NULL, NULL, err))
		return DNS_TEMPORARY;
	ask.channels = &channels;
	if (!dns_ask_known(&ask)) { /* a hosts file of the setup knows more */
		dns_ask_start(&ask);
		dns_wait_legs(&ask, q);
	}
	enum dns_answer answer = dns_ask_result(&ask, addrs, max, n, err);
	dns_channels_close(&channels);
	return answer;
}
