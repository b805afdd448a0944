/* The timers of a stream, and its death. */
#include <stdlib.h>

#include "postern/clock.h"
#include "postern/file.h"
#include "stream_in.h"

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

void
stream_race_free(struct stream *s)
{
	struct stream_race *r = s->race;

	if (!r)
		return;
	for (size_t i = 0; i < r->next; i++) {
		if (r->tries[i].ev)
			event_free(r->tries[i].ev);
		fd_done(&r->tries[i].fd);
	}
	loop_timer_free(r->stagger);
	free(r);
	s->race = NULL;
}

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

void
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

void
stream_soon(struct stream *s)
{
	if (!s->closed && !s->dead && !loop_timer_pending(s->soon))
		loop_timer_set(s->soon, 0);
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
stream_set_deadline(struct stream *s, int64_t in_ms)
{
	s->deadline_ms = in_ms > 0 ? clock_mono_ms() + in_ms : 0;
	stream_watch(s);
}
