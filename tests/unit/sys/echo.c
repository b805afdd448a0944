#include "echo.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "postern/list.h"
#include "postern/loop.h"
#include "postern/must.h"
#include "postern/stream.h"
#include "postern/thread.h"

enum { BIG = 3000000, PIECE = 100000 };

struct echo {
	struct loop *loop;
	struct loop_listen *listen;
	struct loop_wake *stop;
	struct thread *thread;
	struct tls *tls;
	bool implicit;
	uint16_t port;
	struct list guests;
	atomic_int last_end;
	atomic_uint open;
	char last_words[256];
};

struct guest {
	struct list link;
	struct echo *echo;
	struct stream *s;
	struct loop_timer *later;
	bool mute;
	size_t big; /* still to be sent */
};

static void
guest_big(struct guest *g)
{
	static char piece[PIECE];

	while (g->big > 0 && stream_pending(g->s) == 0) {
		size_t n = g->big < PIECE ? g->big : PIECE;

		memset(piece, 'b', sizeof(piece));
		MUST(stream_write(g->s, (struct span){ piece, n }));
		g->big -= n;
	}
}

static size_t
guest_bytes(void *host, struct span in)
{
	struct guest *g = host;
	size_t used = 0;

	while (used < in.n) {
		struct span rest = span_skip(in, used);
		size_t n = span_find(rest, '\n');

		if (n == rest.n)
			break;
		struct span line = span_first(rest, n + 1);
		used += line.n;
		if (g->mute)
			continue;
		if (span_eq(line, SPAN("MUTE\n"))) {
			g->mute = true;
		} else if (span_eq(line, SPAN("QUIT\n"))) {
			MUST(stream_write(g->s, SPAN("bye\n")));
			stream_close_when_flushed(g->s);
			return used;
		} else if (span_eq(line, SPAN("STLS\n"))) {
			MUST(stream_write(g->s, SPAN("+OK\n")));
			stream_start_tls(g->s, g->echo->tls, NULL);
			return used;
		} else if (span_eq(line, SPAN("BIG\n"))) {
			g->big = BIG;
			guest_big(g);
		} else if (span_eq(line, SPAN("LATER\n"))) {
			stream_pause(g->s);
			loop_timer_set(g->later, 50);
			return used;
		} else {
			MUST(stream_write(g->s, line));
		}
	}
	return used;
}

static void
guest_drained(void *host)
{
	guest_big(host);
}

static void
guest_later(void *host)
{
	struct guest *g = host;

	stream_resume(g->s);
}

static void
guest_closed(void *host, enum stream_end why, const char *words)
{
	struct guest *g = host;
	struct echo *e = g->echo;

	(void)snprintf(e->last_words, sizeof(e->last_words), "%s", words);
	atomic_store(&e->last_end, (int)why);
	atomic_fetch_sub(&e->open, 1);
	list_del(&g->link);
	stream_free(g->s);
	loop_timer_free(g->later);
	free(g);
}

static const struct stream_calls guest_calls = {
	.bytes = guest_bytes,
	.drained = guest_drained,
	.closed = guest_closed,
};

static void
echo_accepted(void *host, int fd, const struct loop_peer *peer)
{
	struct echo *e = host;
	struct guest *g = calloc(1, sizeof(*g));

	(void)peer;
	if (!g)
		abort();
	g->echo = e;
	g->s = stream_new(e->loop, fd, &guest_calls, g);
	g->later = loop_timer_new(e->loop, guest_later, g);
	stream_set_out_max(g->s, 64 * 1024 * 1024);
	stream_set_idle(g->s, 2000);
	if (e->implicit)
		stream_start_tls(g->s, e->tls, NULL);
	list_add(&e->guests, &g->link);
	atomic_fetch_add(&e->open, 1);
}

static void
echo_woken(void *host)
{
	struct echo *e = host;

	loop_stop(e->loop);
}

static void
echo_run(void *arg)
{
	struct echo *e = arg;

	MUST(loop_run(e->loop, NULL));
}

struct echo *
echo_start(const char *address, struct tls *tls, bool implicit)
{
	struct echo *e = calloc(1, sizeof(*e));
	struct net_addr at;
	struct err err = { 0 };

	if (!e)
		abort();
	list_init(&e->guests);
	atomic_store(&e->last_end, -1);
	e->tls = tls;
	e->implicit = implicit;
	e->loop = loop_new(&err);
	int fd = listen_open(address, &err);
	assert_string_equal(err.text, "");
	assert_true(fd >= 0);
	assert_true(listen_address(fd, &at));
	e->port = at.port;
	e->listen = loop_listen_new(e->loop, fd, echo_accepted, NULL, e);
	e->stop = loop_wake_new(e->loop, echo_woken, e);
	e->thread = thread_start("echo", 0, echo_run, e, NULL);
	assert_non_null(e->thread);
	return e;
}

uint16_t
echo_port(const struct echo *e)
{
	return e->port;
}

int
echo_last_end(const struct echo *e)
{
	return atomic_load(&e->last_end);
}

const char *
echo_last_words(const struct echo *e)
{
	return e->last_words;
}

unsigned
echo_open(const struct echo *e)
{
	return atomic_load(&e->open);
}

void
echo_stop(struct echo *e)
{
	loop_wake(e->stop);
	thread_join(e->thread);
	LIST_EACH (link, &e->guests) {
		struct guest *g = LIST_ITEM(link, struct guest, link);

		list_del(link);
		stream_free(g->s);
		loop_timer_free(g->later);
		free(g);
	}
	loop_listen_free(e->listen);
	loop_wake_free(e->stop);
	loop_free(e->loop);
	free(e);
}
