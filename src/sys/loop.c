#include "postern/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop_in.h"
#include "postern/clock.h"
#include "postern/file.h"
#include "postern/must.h"
#include "postern/stream.h"

struct loop {
	struct event_base *base;
	char *shared;
};

struct loop_timer {
	struct event *ev;
	void (*due)(void *host);
	void *host;
};

struct loop_signal {
	struct event *ev;
	void (*came)(void *host, int signo);
	void *host;
};

struct loop_watch {
	struct event *in, *out;
	int want;
	void (*ready)(void *host, int bits);
	void *host;
};

struct loop_wake {
	int fd;
	struct event *ev;
	atomic_bool rung;
	void (*woken)(void *host);
	void *host;
};

static void *
loop_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		abort();
	return p;
}

struct loop *
loop_new(struct err *err)
{
	struct event_config *how = event_config_new();
	struct loop *l = loop_alloc(sizeof(*l));

	if (!how)
		abort();
	(void)event_config_require_features(how, EV_FEATURE_O1);
	(void)event_config_set_flag(
			how, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
	l->base = event_base_new_with_config(how);
	event_config_free(how);
	if (!l->base) {
		free(l);
		(void)err_errno(err, 0, errno, "cannot make an event loop");
		return NULL;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes is a failing write */
	return l;
}

void
loop_free(struct loop *l)
{
	if (!l)
		return;
	event_base_free(l->base);
	free(l->shared);
	free(l);
}

bool
loop_run(struct loop *l, struct err *err)
{
	if (event_base_dispatch(l->base) < 0)
		return err_errno(err, 0, errno, "the event loop failed");
	return true;
}

static void
loop_enough(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

bool
loop_round(struct loop *l, int64_t wait_ms)
{
	struct event *limit = NULL;
	int flags = wait_ms == 0 ? EVLOOP_NONBLOCK : EVLOOP_ONCE;

	if (event_base_get_num_events(l->base,
			    EVENT_BASE_COUNT_ADDED | EVENT_BASE_COUNT_ACTIVE) == 0)
		return false;
	if (wait_ms > 0) {
		struct timeval tv = { wait_ms / 1000, (wait_ms % 1000) * 1000 };

		limit = loop_event(l, -1, EV_TIMEOUT, loop_enough, NULL);
		MUST(event_add(limit, &tv) == 0);
	}
	int rc = event_base_loop(l->base, flags);
	if (limit)
		event_free(limit);
	return rc == 0;
}

void
loop_stop(struct loop *l)
{
	(void)event_base_loopexit(l->base, NULL);
}

int64_t
loop_now_ms(const struct loop *l)
{
	(void)l;
	return clock_mono_ms();
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

char *
loop_read_buffer(struct loop *l, size_t *size)
{
	if (!l->shared)
		l->shared = loop_alloc(STREAM_READ_MAX);
	*size = STREAM_READ_MAX;
	return l->shared;
}

struct event *
loop_event(struct loop *l, int fd, short what, event_callback_fn fn, void *arg)
{
	struct event *ev = event_new(l->base, fd, what, fn, arg);

	if (!ev)
		abort();
	return ev;
}

static void
loop_timer_due(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	t->due(t->host);
}

struct loop_timer *
loop_timer_new(struct loop *l, void (*due)(void *host), void *host)
{
	struct loop_timer *t = loop_alloc(sizeof(*t));

	t->due = due;
	t->host = host;
	t->ev = loop_event(l, -1, EV_TIMEOUT, loop_timer_due, t);
	return t;
}

void
loop_timer_set(struct loop_timer *t, int64_t in_ms)
{
	/* A month is as good as never, and fits every time_t. */
	int64_t most = (int64_t)30 * 24 * 3600 * 1000;
	int64_t ms = in_ms < 0 ? 0 : in_ms > most ? most : in_ms;
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };

	MUST(event_add(t->ev, &tv) == 0);
}

void
loop_timer_cancel(struct loop_timer *t)
{
	MUST(event_del(t->ev) == 0);
}

bool
loop_timer_pending(const struct loop_timer *t)
{
	return event_pending(t->ev, EV_TIMEOUT, NULL) != 0;
}

void
loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	event_free(t->ev);
	free(t);
}

static void
loop_signal_came(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)what;
	s->came(s->host, (int)signo);
}

struct loop_signal *
loop_signal_new(struct loop *l, int signo, void (*came)(void *host, int signo),
		void *host)
{
	struct loop_signal *s = loop_alloc(sizeof(*s));

	s->came = came;
	s->host = host;
	s->ev = loop_event(l, signo, EV_SIGNAL | EV_PERSIST, loop_signal_came, s);
	MUST(event_add(s->ev, NULL) == 0);
	return s;
}

void
loop_signal_free(struct loop_signal *s)
{
	if (!s)
		return;
	event_free(s->ev);
	free(s);
}

static void
loop_watch_ready(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;
	int bits = (what & EV_READ ? LOOP_READ : 0) |
			(what & EV_WRITE ? LOOP_WRITE : 0);

	(void)fd;
	w->ready(w->host, bits);
}

struct loop_watch *
loop_watch_new(struct loop *l, int fd, void (*ready)(void *host, int bits), void *host)
{
	struct loop_watch *w = loop_alloc(sizeof(*w));

	w->ready = ready;
	w->host = host;
	w->in = loop_event(l, fd, EV_READ | EV_PERSIST, loop_watch_ready, w);
	w->out = loop_event(l, fd, EV_WRITE | EV_PERSIST, loop_watch_ready, w);
	return w;
}

void
loop_watch_want(struct loop_watch *w, int bits)
{
	int changed = bits ^ w->want;

	if (changed & LOOP_READ)
		MUST((bits & LOOP_READ ? event_add(w->in, NULL) : event_del(w->in)) ==
				0);
	if (changed & LOOP_WRITE)
		MUST((bits & LOOP_WRITE ? event_add(w->out, NULL)
					: event_del(w->out)) == 0);
	w->want = bits;
}

void
loop_watch_free(struct loop_watch *w)
{
	if (!w)
		return;
	event_free(w->in);
	event_free(w->out);
	free(w);
}

static void
loop_wake_heard(evutil_socket_t fd, short what, void *arg)
{
	struct loop_wake *w = arg;
	uint64_t rings;
	ssize_t got = read((int)fd, &rings, sizeof(rings));

	(void)what;
	(void)got; /* an empty bell is a spurious wake: harmless */
	/* Before the call: a ring during it is a new one. */
	atomic_store(&w->rung, false);
	w->woken(w->host);
}

struct loop_wake *
loop_wake_new(struct loop *l, void (*woken)(void *host), void *host)
{
	struct loop_wake *w = loop_alloc(sizeof(*w));

	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	MUST(w->fd >= 0);
	w->woken = woken;
	w->host = host;
	w->ev = loop_event(l, w->fd, EV_READ | EV_PERSIST, loop_wake_heard, w);
	MUST(event_add(w->ev, NULL) == 0);
	return w;
}

void
loop_wake(struct loop_wake *w)
{
	const uint64_t one = 1;
	int no = errno; /* signal handlers come here too */

	if (!atomic_exchange(&w->rung, true)) {
		ssize_t put = write(w->fd, &one, sizeof(one));
		(void)put; /* only a full counter refuses, and that wakes as well */
	}
	errno = no;
}

void
loop_wake_free(struct loop_wake *w)
{
	if (!w)
		return;
	event_free(w->ev);
	fd_done(&w->fd);
	free(w);
}
