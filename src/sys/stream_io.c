/* Bytes in and out of a stream, and its TLS. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "postern/clock.h"
#include "postern/must.h"
#include "sockaddr.h"
#include "stream_in.h"

enum {
	OUT_PRESET = 1024 * 1024,
	OUT_KEEP = 16 * 1024, /* an empty output buffer up to this size stays */
	LINGER_MS = 5000,
};

void
stream_want_read(struct stream *s)
{
	if (s->closed || s->fd < 0 || s->ended)
		return;
	if (!s->paused || s->closing)
		MUST(event_add(s->readable, NULL) == 0);
}

static void
stream_tls_failed(struct stream *s, enum tls_step step)
{
	enum stream_end why = step == TLS_CERT ? STREAM_CERTIFICATE
			: step == TLS_CUT      ? STREAM_RESET
					       : STREAM_TLS;

	stream_end(s, why, tls_io_words(s->io));
}

static bool
stream_host_opened(struct stream *s)
{
	stream_enter(s);
	if (s->calls->opened)
		s->calls->opened(s->host);
	return stream_leave(s);
}

/* false: the stream is gone, or not usable yet. */
static bool
stream_handshake(struct stream *s)
{
	enum tls_step step = tls_io_handshake(s->io);

	switch (step) {
	case TLS_OK:
		s->handshaking = false;
		stream_moved(s);
		stream_want_read(s);
		if (!stream_host_opened(s))
			return false;
		stream_soon(s); /* bytes may wait inside already */
		return true;
	case TLS_WANT_READ:
		MUST(event_add(s->readable, NULL) == 0);
		return false;
	case TLS_WANT_WRITE:
		(void)event_del(s->readable); /* it may be true all the while */
		MUST(event_add(s->writable, NULL) == 0);
		return false;
	case TLS_EOF:
	case TLS_CUT:
	case TLS_CERT:
	case TLS_BAD:
		break;
	}
	stream_tls_failed(s, step);
	return false;
}

static bool
stream_begin_tls(struct stream *s)
{
	if (s->kept.n > 0) {
		stream_end(s, STREAM_INJECTED, NULL);
		return false;
	}
	buf_done(&s->kept);
	s->io = tls_io_new(s->tls, s->fd, s->tls_name, s->tls_name ? &s->peer : NULL);
	s->tls = NULL;
	s->handshaking = true;
	stream_moved(s);
	return stream_handshake(s);
}

static ssize_t
stream_get_plain(struct stream *s, char *p, size_t n, enum stream_end *why)
{
	ssize_t rc;

	do
		rc = recv(s->fd, p, n, 0);
	while (rc < 0 && errno == EINTR);
	if (rc > 0)
		return rc;
	if (rc < 0 && errno == EAGAIN)
		return 0;
	*why = rc == 0 ? STREAM_EOF : STREAM_RESET;
	if (rc < 0)
		(void)err_set(&s->said, 0, "%s", err_words(errno));
	return -1;
}

static ssize_t
stream_get_tls(struct stream *s, char *p, size_t n, enum stream_end *why)
{
	size_t got = 0;

	/* A record is 16 KiB at most: several for one call of the host. */
	while (got < n) {
		size_t more;
		enum tls_step step = tls_io_read(s->io, p + got, n - got, &more);

		got += more;
		if (step == TLS_OK)
			continue;
		if (step == TLS_WANT_WRITE)
			MUST(event_add(s->writable, NULL) == 0);
		if (got > 0 || step == TLS_WANT_READ || step == TLS_WANT_WRITE)
			break; /* a fault comes again with the next read */
		*why = step == TLS_EOF		  ? STREAM_EOF
				: step == TLS_CUT ? STREAM_RESET
						  : STREAM_TLS;
		if (step != TLS_EOF)
			(void)err_set(&s->said, 0, "%s", tls_io_words(s->io));
		return -1;
	}
	return (ssize_t)got;
}

/* One read. > 0; 0: not now; -1: the end, *why. */
static ssize_t
stream_get(struct stream *s, char *p, size_t n, enum stream_end *why)
{
	return s->io ? stream_get_tls(s, p, n, why) : stream_get_plain(s, p, n, why);
}

/* Hands bytes to the host. false: the stream is gone. */
static bool
stream_deliver(struct stream *s, struct span in, size_t *used)
{
	stream_enter(s);
	*used = s->calls->bytes(s->host, in);
	return stream_leave(s);
}

static void
stream_throw_away(struct stream *s)
{
	size_t size;
	char *p = loop_read_buffer(s->loop, &size);
	enum stream_end why;
	ssize_t got = stream_get(s, p, size, &why);

	if (got >= 0) {
		stream_want_read(s);
		return;
	}
	s->ended = true;
	(void)event_del(s->readable);
	if (s->lingering || why != STREAM_EOF)
		stream_end(s, s->lingering ? s->end_why : why,
				s->lingering ? NULL : s->said.text);
}

/* The peer sends no more, or never will again. */
static void
stream_input_over(struct stream *s, enum stream_end why)
{
	s->ended = true;
	(void)event_del(s->readable);
	if (why != STREAM_EOF || s->cannot_write) {
		stream_end(s, why == STREAM_EOF ? STREAM_RESET : why, s->said.text);
		return;
	}
	if (s->calls->ended) {
		stream_enter(s);
		s->calls->ended(s->host);
		if (stream_leave(s))
			stream_advance(s, false);
		return;
	}
	if (s->out.n == 0) {
		stream_end(s, STREAM_EOF, NULL);
		return;
	}
	s->closing = true;
	s->end_why = STREAM_EOF;
	stream_soon(s);
}

static void
stream_read(struct stream *s)
{
	size_t size, used, before = s->kept.n;
	char *p = loop_read_buffer(s->loop, &size);
	enum stream_end why;

	if (before == size) {
		stream_end(s, STREAM_OVERRUN, NULL);
		return;
	}
	ssize_t got = stream_get(s, p + before, size - before, &why);
	if (got < 0) {
		stream_input_over(s, why);
		return;
	}
	if (got == 0) {
		stream_want_read(s);
		return;
	}
	if (before > 0)
		memcpy(p, s->kept.p, before);
	s->in_bytes += (size_t)got;
	stream_moved(s);

	struct span in = { p, before + (size_t)got };
	if (!stream_deliver(s, in, &used))
		return;
	/* A host that has had enough says so; the rest is its own fault. */
	struct span rest = s->closing ? (struct span){ 0 } : span_skip(in, used);
	buf_clear(&s->kept);
	if (rest.n > 0 && !buf_add(&s->kept, rest))
		abort();
	if (rest.n == 0 && s->kept.cap > 0)
		buf_done(&s->kept);
	stream_advance(s, false);
}

void
stream_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	(void)what;
	if (s->handshaking)
		(void)stream_handshake(s);
	else if (s->closing)
		stream_throw_away(s);
	else if (!s->paused && !s->tls && !s->ended)
		stream_read(s);
	else
		(void)event_del(s->readable);
}

void
stream_on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	stream_advance(arg, true);
}

/* The peer takes nothing any more. What it said last may still be read (an SMTP
 * server says 421 and hangs up), so only the output ends here. */
static void
stream_output_over(struct stream *s, const char *words)
{
	s->cannot_write = true;
	s->out.n = s->out.head = 0;
	(void)err_set(&s->said, 0, "%s", words);
}

/* One write. > 0; 0: not now, or never again. */
static size_t
stream_put_plain(struct stream *s, struct span bytes)
{
	ssize_t rc;

	do
		rc = send(s->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
	while (rc < 0 && errno == EINTR);
	if (rc >= 0)
		return (size_t)rc;
	if (errno == EAGAIN)
		MUST(event_add(s->writable, NULL) == 0);
	else
		stream_output_over(s, err_words(errno));
	return 0;
}

static size_t
stream_put_tls(struct stream *s, struct span bytes)
{
	size_t put = 0;
	enum tls_step step = tls_io_write(s->io, bytes.p, bytes.n, &put);

	if (step == TLS_OK)
		return put;
	if (step == TLS_WANT_READ)
		MUST(event_add(s->readable, NULL) == 0);
	else if (step == TLS_WANT_WRITE)
		MUST(event_add(s->writable, NULL) == 0);
	else
		stream_output_over(s, tls_io_words(s->io));
	return 0;
}

size_t
stream_put_now(struct stream *s, struct span bytes)
{
	size_t put = 0;

	while (put < bytes.n && !s->cannot_write) {
		struct span rest = span_skip(bytes, put);
		size_t some = s->io ? stream_put_tls(s, rest)
				    : stream_put_plain(s, rest);

		if (some == 0)
			break;
		put += some;
		s->out_bytes += some;
	}
	if (put > 0)
		stream_moved(s);
	return put;
}

/* false: the stream is gone. */
static bool
stream_flush(struct stream *s)
{
	struct stream_out *o = &s->out;

	if (o->n > 0) {
		size_t put = stream_put_now(s, (struct span){ o->p + o->head, o->n });

		if (!s->cannot_write) {
			o->head += put;
			o->n -= put;
		}
	}
	if (s->cannot_write) {
		if (s->ended || s->closing || s->paused) {
			stream_end(s, STREAM_RESET, s->said.text);
			return false;
		}
		return true; /* reading tells the rest */
	}
	if (o->n > 0)
		return true;
	o->head = 0;
	if (o->cap > OUT_KEEP) {
		free(o->p);
		*o = (struct stream_out){ .max = o->max };
	}
	if (!s->wrote)
		return true;
	s->wrote = false;
	if (s->closing || !s->calls->drained)
		return true;
	stream_enter(s);
	s->calls->drained(s->host);
	if (!stream_leave(s))
		return false;
	if (o->n > 0)
		stream_soon(s); /* a fast peer must not keep the loop to itself */
	return true;
}

/* All output is out and the host wants no more. */
static void
stream_finish(struct stream *s)
{
	if (s->ended || s->end_why == STREAM_EOF) {
		stream_end(s, s->end_why, NULL);
		return;
	}
	if (s->lingering)
		return;
	s->lingering = true;
	if (s->io)
		tls_io_goodbye(s->io);
	(void)shutdown(s->fd, SHUT_WR);
	s->deadline_ms = clock_mono_ms() + LINGER_MS;
	stream_watch(s);
	buf_done(&s->kept);
	stream_want_read(s);
}

/* What was kept comes again after a pause. false: the stream is gone. */
static bool
stream_again(struct stream *s)
{
	size_t used;

	s->resumed = false;
	if (!stream_deliver(s, buf_span(&s->kept), &used))
		return false;
	buf_drop(&s->kept, used);
	if (s->kept.n == 0)
		buf_done(&s->kept);
	return stream_flush(s);
}

void
stream_advance(struct stream *s, bool own_turn)
{
	if (s->closed || s->dead || s->race || s->fd < 0)
		return;
	if (s->handshaking) {
		(void)stream_handshake(s);
		return;
	}
	if (!stream_flush(s))
		return;
	if (own_turn && s->resumed && !s->paused && !s->closing && !s->tls &&
			s->kept.n > 0 && !stream_again(s))
		return;
	if (s->closing) {
		if (s->out.n == 0)
			stream_finish(s);
		else
			stream_want_read(s);
		return;
	}
	if (s->tls) {
		if (s->out.n == 0)
			(void)stream_begin_tls(s);
		return;
	}
	if (s->paused || s->ended)
		return;
	if (s->io && tls_io_pending(s->io)) {
		/* Decrypted already: the fd will not tell of it. */
		if (own_turn)
			stream_read(s);
		else
			stream_soon(s);
		return;
	}
	stream_want_read(s);
}

/* ---- its beginning ---- */

static void
stream_on_soon(void *host)
{
	stream_advance(host, true);
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
