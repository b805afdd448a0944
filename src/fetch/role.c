/* The fetch role: the schedule, and the answers to `postern poll`. All of it but
 * the pool's workers belongs to the loop's thread. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hours.h"
#include "poll.h"
#include "pool.h"
#include "postern/clock.h"
#include "postern/ctl.h"
#include "postern/log.h"
#include "postern/loop.h"
#include "schedule.h"

enum {
	END_MS = 8000, /* for sessions to end in order; then they are cut */
	GIVE_UP_MS = 2000, /* for cut ones */
	PROGRESS_MS = 200,
	JITTER = 20, /* a poll comes up to a 20th of its wait late */
	/* Until then a window that is shut is not looked at again: the clock on the
	 * wall may be set, and the machine may sleep. */
	SHUT_MS = 15 * 60 * 1000,
	BATCH = 256,
};

/* Somebody who asked for polls and waits for their end. */
struct asker {
	struct list link;
	struct ctl_peer *peer;
	uint64_t *since; /* per account: polls that had ended when it asked; ~0: not asked */
	uint64_t *told; /* per account: messages collected as last told */
};

struct role {
	const struct conf *conf;
	struct loop *loop;
	struct loop_timer *due; /* the next poll by schedule */
	struct loop_timer *pulse; /* progress to askers, and the end */
	struct loop_wake *wake;
	struct ctl_server *ctl;
	struct fetch_pool *pool;
	struct list askers;
	struct schedule schedule; /* accounts neither under way nor suspended; monotonic */
	int64_t end_ms; /* monotonic: when what is left is cut; 0: not ending */
	bool cut;
};

/* ---- schedule ---- */

static int64_t
jitter(int64_t range_ms)
{
	uint32_t r;

	clock_random(&r, sizeof(r));
	return range_ms > 0 ? (int64_t)(r % (uint64_t)range_ms) : 0;
}

/* A poll ended: the next one comes by schedule, a little later than it is due so
 * that accounts do not march in step; or not at all, when it is suspended. */
static void
plan_next(struct role *r, size_t i)
{
	const struct conf_account *a = &r->conf->accounts.p[i];
	int64_t now = clock_mono_ms();
	struct fetch_view v;

	fetch_pool_look(r->pool, i, &v);
	if (v.due_ms == 0 || v.busy)
		return;
	if (!v.result.failed && v.result.ms > (uint64_t)a->every_s * 1000)
		log_event(EVENT_POLL_OVERRAN,
				FIELDS(f_str("account", a->name),
						f_str("id", a->name)));
	int64_t wait = v.due_ms > now ? v.due_ms - now : 0;
	schedule_set(&r->schedule, i, now + wait + jitter(wait / JITTER));
}

/* True: the account's window is shut, and it is looked at again later. */
static bool
shut(struct role *r, size_t i, int64_t now)
{
	const struct conf_account *a = &r->conf->accounts.p[i];
	int64_t wall, wait;

	if (a->window.n == 0)
		return false;
	wall = clock_wall_ms();
	wait = hours_open_ms(&a->window, wall) - wall;
	if (wait <= 0)
		return false;
	if (wait > SHUT_MS)
		wait = SHUT_MS;
	else
		wait += jitter(a->every_s * 1000 / JITTER);
	schedule_set(&r->schedule, i, now + wait);
	return true;
}

static void
start_due(void *host)
{
	struct role *r = host;
	int64_t now = clock_mono_ms(), due;
	size_t i;

	while (r->end_ms == 0 && schedule_first(&r->schedule, &i, &due)) {
		if (due > now) {
			loop_timer_set(r->due, due - now);
			return;
		}
		if (shut(r, i, now))
			continue;
		schedule_remove(&r->schedule, i);
		fetch_pool_poll(r->pool, &i, 1, false);
	}
}

/* ---- those who ask ---- */

static void
asker_free(struct asker *a)
{
	list_del(&a->link);
	free(a->since);
	free(a->told);
	free(a);
}

static bool
tell_one(struct role *r, struct asker *a, size_t i, const struct fetch_view *v,
		bool over)
{
	const struct fetch_result *p = &v->result;
	struct buf body = BUF_MAX(4096);
	const char *words = !over ? "collecting" : p->failed ? p->error.text : "ok";
	bool ok = ctl_put_span(&body, span_of(r->conf->accounts.p[i].name)) &&
			ctl_put_span(&body, span_of(words)) &&
			ctl_put_u64(&body, p->listed) &&
			ctl_put_u64(&body, p->collected) &&
			ctl_put_u64(&body, p->octets) && ctl_put_u64(&body, over) &&
			ctl_put_u64(&body, p->failed) &&
			ctl_reply(a->peer, CTL_PROGRESS, buf_span(&body));

	buf_done(&body);
	return ok;
}

/* False when the asker has got its last word, or reads too slowly. */
static bool
tell_asker(struct role *r, struct asker *a)
{
	bool waits = false;

	for (size_t i = 0; i < r->conf->accounts.n; i++) {
		struct fetch_view v;

		if (a->since[i] == UINT64_MAX)
			continue;
		fetch_pool_look(r->pool, i, &v);
		/* An end to the account's ending: the pool forgot it. */
		bool over = v.polls > a->since[i] || !v.busy;
		if ((over || (v.any && v.result.collected != a->told[i])) &&
				!tell_one(r, a, i, &v, over))
			return false;
		a->told[i] = v.result.collected;
		if (over)
			a->since[i] = UINT64_MAX;
		waits = waits || !over;
	}
	if (!waits)
		(void)ctl_reply(a->peer, CTL_OK, SPAN(""));
	return waits;
}

static bool
ask_for(struct role *r, struct asker *a, struct span name)
{
	for (size_t i = 0; i < r->conf->accounts.n; i++) {
		struct fetch_view v;

		if (name.n > 0 && !span_eq(name, span_of(r->conf->accounts.p[i].name)))
			continue;
		fetch_pool_look(r->pool, i, &v);
		/* A poll under way has its listing already: the next one counts. */
		a->since[i] = v.polls + (v.under_way ? 1 : 0);
		schedule_remove(&r->schedule, i);
		fetch_pool_poll(r->pool, &i, 1, true);
		if (name.n > 0)
			return true;
	}
	return name.n == 0;
}

static void
refuse(struct ctl_peer *peer, const char *why)
{
	struct buf body = BUF_MAX(1024);

	if (ctl_put_span(&body, span_of(why)))
		(void)ctl_reply(peer, CTL_FAILED, buf_span(&body));
	buf_done(&body);
}

static void
on_poll(struct role *r, struct ctl_peer *peer, struct span body)
{
	size_t n = r->conf->accounts.n;
	uint64_t count;
	struct span name;
	struct asker *a = calloc(1, sizeof(*a));

	if (!a)
		abort();
	list_init(&a->link);
	a->peer = peer;
	a->since = malloc((n + 1) * sizeof(*a->since));
	a->told = calloc(n + 1, sizeof(*a->told));
	if (!a->since || !a->told)
		abort();
	memset(a->since, 0xff, (n + 1) * sizeof(*a->since));

	bool ok = ctl_get_u64(&body, &count);
	if (ok && count == 0)
		ok = ask_for(r, a, SPAN(""));
	for (uint64_t i = 0; ok && i < count; i++)
		ok = ctl_get_span(&body, &name) && name.n > 0 && ask_for(r, a, name);
	if (!ok || r->end_ms > 0) {
		refuse(peer, ok ? "the service ends" : "there is no such account");
		asker_free(a);
		return;
	}
	list_add(&r->askers, &a->link);
	loop_timer_set(r->pulse, 0);
}

static void
on_status(struct role *r, struct ctl_peer *peer)
{
	struct buf json = BUF_MAX(1024), body = BUF_MAX(2048);

	if (buf_addf(&json, "{\"role\":\"fetch\",\"accounts\":%zu,\"polling\":%zu}",
			    r->conf->accounts.n, fetch_pool_busy(r->pool)) &&
			ctl_put_span(&body, buf_span(&json)))
		(void)ctl_reply(peer, CTL_OK, buf_span(&body));
	buf_done(&json);
	buf_done(&body);
}

static void
said(void *host, struct ctl_peer *peer, enum ctl_kind kind, struct span body)
{
	struct role *r = host;

	if (kind == CTL_POLL)
		on_poll(r, peer, body);
	else if (kind == CTL_STATUS)
		on_status(r, peer);
	else
		refuse(peer, "this is the collector");
}

static void
gone(void *host, struct ctl_peer *peer)
{
	struct role *r = host;

	LIST_EACH (link, &r->askers) {
		struct asker *a = LIST_ITEM(link, struct asker, link);
		if (a->peer == peer)
			asker_free(a);
	}
}

/* ---- the loop ---- */

/* Polls that ended get their next moment. */
static void
on_wake(void *host)
{
	struct role *r = host;
	size_t ended[BATCH], n;

	do {
		n = fetch_pool_ended(r->pool, ended, BATCH);
		for (size_t i = 0; i < n; i++)
			plan_next(r, ended[i]);
	} while (n == BATCH);
	start_due(r);
	if (!list_empty(&r->askers) && !loop_timer_pending(r->pulse))
		loop_timer_set(r->pulse, 0);
	if (r->end_ms > 0 && fetch_pool_idle(r->pool))
		loop_stop(r->loop);
}

static void
on_pulse(void *host)
{
	struct role *r = host;

	LIST_EACH (link, &r->askers) {
		struct asker *a = LIST_ITEM(link, struct asker, link);
		/* A refused reply has dropped the peer, `gone` may have come already. */
		if (!tell_asker(r, a)) {
			asker_free(a);
			break;
		}
	}
	if (r->end_ms > 0) {
		int64_t left = r->end_ms - clock_mono_ms();

		if (fetch_pool_idle(r->pool) || (left <= 0 && r->cut)) {
			loop_stop(r->loop);
			return;
		}
		if (left <= 0) {
			r->cut = true;
			r->end_ms = clock_mono_ms() + GIVE_UP_MS;
			fetch_pool_cancel(r->pool);
		}
	}
	if (!list_empty(&r->askers) || r->end_ms > 0)
		loop_timer_set(r->pulse, PROGRESS_MS);
}

static void
on_signal(void *host, int signo)
{
	struct role *r = host;

	(void)signo;
	if (r->end_ms == 0)
		r->end_ms = clock_mono_ms() + END_MS;
	fetch_pool_end(r->pool);
	loop_timer_set(r->pulse, 0);
}

/* On a worker's thread: only a bell. */
static void
ended(void *host)
{
	struct role *r = host;

	loop_wake(r->wake);
}

static bool
open_role(struct role *r, const struct fetch_role *o, struct err *err)
{
	static const struct ctl_calls calls = { .said = said, .gone = gone };
	const struct fetch_options pool = {
		.conf = o->conf,
		.state = o->state,
		.life = o->life,
		.host = r,
	};
	size_t n = o->conf->accounts.n;
	char *path = NULL;

	list_init(&r->askers);
	r->conf = o->conf;
	schedule_init(&r->schedule, n);
	if (asprintf(&path, "%s/run/fetch.ctl", o->state) < 0)
		abort();
	r->loop = loop_new(err);
	if (r->loop) {
		r->due = loop_timer_new(r->loop, start_due, r);
		r->pulse = loop_timer_new(r->loop, on_pulse, r);
		r->wake = loop_wake_new(r->loop, on_wake, r);
		r->ctl = ctl_server_new(r->loop, path, &calls, r, err);
	}
	free(path);
	r->pool = r->ctl ? fetch_pool_new(&pool, err) : NULL;
	if (!r->pool)
		return false;
	fetch_pool_schedule(r->pool, ended);
	int64_t now = clock_mono_ms();
	for (size_t i = 0; i < n; i++)
		schedule_set(&r->schedule, i,
				now +
						schedule_first_ms(i, n,
								o->conf->accounts.p[i].every_s *
										1000));
	return true;
}

static void
close_role(struct role *r)
{
	ctl_server_free(r->ctl);
	LIST_EACH (link, &r->askers)
		asker_free(LIST_ITEM(link, struct asker, link));
	if (r->pool)
		fetch_pool_cancel(r->pool);
	fetch_pool_free(r->pool);
	if (r->loop) {
		loop_wake_free(r->wake);
		loop_timer_free(r->due);
		loop_timer_free(r->pulse);
		loop_free(r->loop);
	}
	schedule_done(&r->schedule);
}

int
fetch_role(const struct fetch_role *o)
{
	struct role r = { 0 };
	struct err err = { 0 };
	struct loop_signal *term = NULL, *interrupt = NULL;
	bool ok = open_role(&r, o, &err);

	if (ok) {
		term = loop_signal_new(r.loop, SIGTERM, on_signal, &r);
		interrupt = loop_signal_new(r.loop, SIGINT, on_signal, &r);
		if (o->ready_fd >= 0 && write(o->ready_fd, "", 1) == 1)
			(void)close(o->ready_fd);
		start_due(&r);
		ok = loop_run(r.loop, &err);
		loop_signal_free(term);
		loop_signal_free(interrupt);
	}
	if (!ok)
		log_event(err.event ? err.event : EVENT_WORKER_STUCK,
				FIELDS(f_str("worker", "fetch"),
						f_str("err", err.text)));
	close_role(&r);
	return ok ? 0 : 1;
}
