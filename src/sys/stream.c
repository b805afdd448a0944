/* The door of streams, their timers, their life and death. */
#include "postern/stream.h"

#include <stdlib.h>
#include <string.h>

#include "postern/must.h"
#include "sockaddr.h"
#include "stream_in.h"

enum {
	DIRECT_LEAST = 32 * 1024, /* a write of this size is not copied first */
	CLOSING_IDLE_MS = 60000,
};

struct stream *
stream_new(struct loop *l, int fd, const struct stream_calls *calls, void *host)
{
	struct stream *s = stream_make(l, calls, host);

	stream_attach(s, fd);
	return s;
}

void
stream_start_tls(struct stream *s, struct tls *tls, const char *name)
{
	if (s->closed || s->dead)
		return;
	MUST(!s->io && !s->tls);
	s->tls = tls;
	free(s->tls_name);
	s->tls_name = name ? strdup(name) : NULL;
	if (name && !s->tls_name)
		abort();
	if (s->readable)
		(void)event_del(s->readable); /* nothing more is read in plain text */
	stream_soon(s);
}

static void
stream_out_add(struct stream_out *o, struct span bytes)
{
	/* Moved only when what moves is the smaller part: no quadratic queue. */
	if (o->cap - o->head - o->n < bytes.n && o->head >= o->n) {
		if (o->n > 0)
			memmove(o->p, o->p + o->head, o->n);
		o->head = 0;
	}
	if (o->cap - o->head - o->n < bytes.n) {
		size_t cap = o->cap ? o->cap : 1024;

		while (cap - o->head - o->n < bytes.n)
			cap *= 2;
		o->p = realloc(o->p, cap);
		if (!o->p)
			abort();
		o->cap = cap;
	}
	memcpy(o->p + o->head + o->n, bytes.p, bytes.n);
	o->n += bytes.n;
}

bool
stream_write(struct stream *s, struct span bytes)
{
	if (s->closed || s->dead || s->closing)
		return false;
	if (bytes.n == 0)
		return true;
	if (bytes.n > s->out.max || s->out.n > s->out.max - bytes.n)
		return false;
	if (s->cannot_write)
		return true; /* nobody reads it; what the peer said last is worth more */
	if (s->out.n == 0)
		stream_moved(s);
	s->wrote = true;
	if (s->out.n == 0 && bytes.n >= DIRECT_LEAST && !s->race && !s->tls &&
			!s->handshaking)
		bytes = span_skip(bytes, stream_put_now(s, bytes));
	if (bytes.n > 0 && !s->cannot_write)
		stream_out_add(&s->out, bytes);
	/* Whoever entered last flushes; elsewhere the next turn of the loop does. */
	if (s->entered == 0 || s->out.n == 0)
		stream_soon(s);
	return true;
}

void
stream_set_out_max(struct stream *s, size_t max)
{
	s->out.max = max;
}

size_t
stream_pending(const struct stream *s)
{
	return s->out.n;
}

void
stream_pause(struct stream *s)
{
	s->paused = true;
	if (s->readable && !s->closed && !s->handshaking && !s->closing)
		(void)event_del(s->readable);
}

void
stream_resume(struct stream *s)
{
	if (!s->paused)
		return;
	s->paused = false;
	s->resumed = true;
	stream_moved(s);
	stream_soon(s);
}

void
stream_close_when_flushed(struct stream *s)
{
	if (s->closed || s->dead || s->closing)
		return;
	s->closing = true;
	s->end_why = STREAM_FLUSHED;
	if (s->idle_ms == 0)
		s->idle_ms = CLOSING_IDLE_MS;
	stream_moved(s);
	stream_soon(s);
}

void
stream_set_idle(struct stream *s, int64_t ms)
{
	s->idle_ms = ms;
	stream_moved(s);
}

const struct net_addr *
stream_peer(const struct stream *s)
{
	return &s->peer;
}

bool
stream_tls_facts(const struct stream *s, struct tls_facts *out)
{
	if (!s->io || s->handshaking)
		return false;
	tls_io_facts(s->io, out);
	return true;
}

uint64_t
stream_bytes_in(const struct stream *s)
{
	return s->in_bytes;
}

uint64_t
stream_bytes_out(const struct stream *s)
{
	return s->out_bytes;
}
