/* The door of streams, their timers, their life and death. */
#include "postern/stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/file.h"
#include "postern/must.h"
#include "sockaddr.h"
#include "stream_in.h"

enum {
	OUT_PRESET = 1024 * 1024,
	DIRECT_LEAST = 32 * 1024, /* a write of this size is not copied first */
	CLOSING_IDLE_MS = 60000,
};

static const char *const end_names[] = {
	[STREAM_EOF] = "closed by the other side",
	[STREAM_RESET] = "connection broken",
	[STREAM_REFUSED] = "cannot connect",
	[STREAM_IDLE] = "timed out",
	[STREAM_DEADLINE] = "took too long",
	[STREAM_CERTIFICATE] = "certificate not accepted",
	[STREAM_TLS] = "TLS failed",
	[STREAM_INJECTED] = "plain text behind STARTTLS",
	[STREAM_OVERRUN] = "input left unused",
	[STREAM_FLUSHED] = "closed",
};

const char *
stream_end_name(enum stream_end end)
{
	return end_names[end];
}

void *
stream_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		abort();
	return p;
}

static void
stream_destroy(struct stream *s)
{
	stream_race_free(s);
	if (s->readable)
		event_free(s->readable);
	if (s->writable)
		event_free(s->writable);
	loop_timer_free(s->soon);
	loop_timer_free(s->watchdog);
	if (s->io)
		tls_io_goodbye(s->io);
	tls_io_free(s->io);
	fd_done(&s->fd);
	buf_done(&s->kept);
	free(s->out.p);
	free(s->tls_name);
	free(s);
}

void
stream_enter(struct stream *s)
{
	s->entered++;
}

bool
stream_leave(struct stream *s)
{
	s->entered--;
	if (s->dead && s->entered == 0) {
		stream_destroy(s);
		return false;
	}
	return !s->dead && !s->closed;
}

void
stream_end(struct stream *s, enum stream_end why, const char *words)
{
	if (s->closed || s->dead)
		return;
	s->closed = true;
	stream_race_free(s);
	if (s->readable)
		(void)event_del(s->readable);
	if (s->writable)
		(void)event_del(s->writable);
	loop_timer_cancel(s->soon);
	loop_timer_cancel(s->watchdog);
	if (s->io)
		tls_io_goodbye(s->io);
	fd_done(&s->fd);

	/* The words may belong to what is about to be freed. */
	struct err said;
	(void)err_set(&said, 0, "%s", words && *words ? words : end_names[why]);
	stream_enter(s);
	s->calls->closed(s->host, why, said.text);
	(void)stream_leave(s);
}

/* The moment when somebody must look again; 0: never. */
static int64_t
stream_due(const struct stream *s)
{
	bool waits = s->race || !s->paused || s->out.n > 0 || s->handshaking ||
			s->closing;
	int64_t due = s->idle_ms > 0 && waits ? s->moved_ms + s->idle_ms : 0;

	if (s->deadline_ms > 0 && (due == 0 || s->deadline_ms < due))
		due = s->deadline_ms;
	return due;
}

void
stream_watch(struct stream *s)
{
	int64_t due = stream_due(s);

	if (s->closed || due == 0)
		return;
	/* A timer that comes too early only looks and is set again: cheaper than
	 * moving it with every byte. */
	if (loop_timer_pending(s->watchdog) && s->watched_ms <= due)
		return;
	s->watched_ms = due;
	loop_timer_set(s->watchdog, due - clock_mono_ms());
}

static void
stream_bark(void *host)
{
	struct stream *s = host;
	int64_t due = stream_due(s), now = clock_mono_ms();

	if (due == 0)
		return;
	if (now < due) {
		stream_watch(s);
		return;
	}
	if (s->lingering)
		stream_end(s, s->end_why, NULL);
	else if (s->deadline_ms > 0 && now >= s->deadline_ms)
		stream_end(s, STREAM_DEADLINE, s->said.text);
	else
		stream_end(s, STREAM_IDLE, NULL);
}

void
stream_moved(struct stream *s)
{
	s->moved_ms = clock_mono_ms();
	stream_watch(s);
}

static void
stream_on_soon(void *host)
{
	stream_advance(host, true);
}

void
stream_soon(struct stream *s)
{
	if (!s->closed && !s->dead && !loop_timer_pending(s->soon))
		loop_timer_set(s->soon, 0);
}

struct stream *
stream_make(struct loop *l, const struct stream_calls *calls, void *host)
{
	struct stream *s = stream_alloc(sizeof(*s));

	s->loop = l;
	s->calls = calls;
	s->host = host;
	s->fd = -1;
	s->kept = BUF_MAX(STREAM_READ_MAX);
	s->out.max = OUT_PRESET;
	s->soon = loop_timer_new(l, stream_on_soon, s);
	s->watchdog = loop_timer_new(l, stream_bark, s);
	s->moved_ms = clock_mono_ms();
	return s;
}

void
stream_attach(struct stream *s, int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t n = sizeof(ss);

	s->fd = fd;
	if (getpeername(fd, (struct sockaddr *)&ss, &n) == 0)
		sockaddr_to(&ss, n, &s->peer);
	s->readable = loop_event(
			s->loop, fd, EV_READ | EV_PERSIST, stream_on_readable, s);
	s->writable = loop_event(s->loop, fd, EV_WRITE, stream_on_writable, s);
	stream_want_read(s);
}

struct stream *
stream_new(struct loop *l, int fd, const struct stream_calls *calls, void *host)
{
	struct stream *s = stream_make(l, calls, host);

	stream_attach(s, fd);
	return s;
}

void
stream_free(struct stream *s)
{
	if (!s || s->dead)
		return;
	s->dead = true;
	if (s->entered == 0)
		stream_destroy(s);
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

void
stream_set_deadline(struct stream *s, int64_t in_ms)
{
	s->deadline_ms = in_ms > 0 ? clock_mono_ms() + in_ms : 0;
	stream_watch(s);
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
