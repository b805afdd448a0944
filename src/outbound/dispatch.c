/* dispatch: which messages are in hand, next hop by next hop.
 *
 * The queue is in the database; here is only a window of it. Every next hop has
 * a window, connections and a back-off of its own, so that a dead one delays
 * nobody else (promise 6). A hop is here while it has mail or something is to be
 * remembered of it. */
#include "dispatch.h"

#include "smtp_carrier.h"

#include "postern/clock.h"
#include "postern/log.h"

enum {
	REFRESH_MS = 60 * 1000, /* looks at the whole queue at least so often */
	HOPS_MEMORY = 16 * 1024 * 1024,
};

static struct hop *
hop_of(struct dispatch *d, struct span key)
{
	struct hop *h = map_get(&d->by_key, key);

	if (!h) {
		h = hop_new(&d->all, key);
		list_add(&d->hops, &h->link);
		(void)map_put(&d->by_key, h->at.key, h);
	}
	return h;
}

static void
hop_drop(struct dispatch *d, struct hop *h)
{
	if (d->nudged == h)
		d->nudged = NULL;
	(void)map_del(&d->by_key, h->at.key);
	hop_free(h);
}

/* ---- whose turn it is ---- */

static void
look_due(void *host)
{
	struct dispatch *d = host;
	struct list those;

	/* Whoever wants it again meanwhile comes with the next look. */
	list_init(&those);
	LIST_EACH (link, &d->all.wanting) {
		list_del(link);
		list_add(&those, link);
	}
	while (!list_empty(&those)) {
		struct hop *h = LIST_ITEM(those.next, struct hop, wants);

		list_del(&h->wants);
		hop_look(h);
	}
	jobs_flush(d->all.hub->jobs);
	pulse_hurry(&d->all.hub->pulse);
}

/* All that have something to do by now. */
static void
want_all(struct dispatch *d)
{
	int64_t now = clock_wall_ms();

	d->all.held_up = false;
	LIST_EACH (link, &d->hops) {
		struct hop *h = LIST_ITEM(link, struct hop, link);

		if (h->n_ready > 0 || h->wake_ms <= now)
			hop_want(h);
	}
}

/* ---- what settling tells ---- */

static void
queued(void *host, struct span hop)
{
	dispatch_nudge(host, hop);
}

static void
wake(struct hop *h, int64_t at_ms)
{
	hop_wake(h, at_ms);
	hop_want(h);
}

static void
settled(void *host, struct lease *l)
{
	struct dispatch *d = host;
	struct hop *h = l->hop;

	if (l->left > 0 || l->m->n == h->limit)
		h->wake_ms = 0; /* it has, or may have, more recipients than were settled */
	for (size_t i = 0; i < l->m->n; i++) {
		const struct settle_recipient *out = &l->results[i];

		if (l->open[i])
			continue;
		if (out->state == QUEUE_QUEUED || out->state == QUEUE_BOUNCED ||
				out->state == QUEUE_REFUSED)
			wake(out->hop.n > 0 ? hop_of(d, out->hop) : h,
					out->next_try_ms);
	}
	hop_release(l);
	hop_want(h);
	if (d->all.held_up && hops_may_begin(&d->all))
		want_all(d);
}

static void
forgotten(void *host, struct lease *l)
{
	(void)host;
	hop_release(l);
}

static const struct settling_calls settling_calls = {
	.queued = queued, .settled = settled, .forgotten = forgotten
};

/* ---- the door of this file ---- */

void
dispatch_init(struct dispatch *d, struct hub *hub)
{
	uint64_t seed[2];

	*d = (struct dispatch){ .all = { .hub = hub } };
	settling_init(&d->all.settling, hub, &settling_calls, d);
	list_init(&d->all.wanting);
	list_init(&d->all.waiting);
	list_init(&d->hops);
	clock_random(seed, sizeof(seed));
	map_init(&d->by_key, seed[0], seed[1]);
	d->all.look = loop_timer_new(hub->loop, look_due, d);
}

void
dispatch_done(struct dispatch *d)
{
	settle_free(&d->all.settling);
	LIST_EACH (link, &d->hops)
		hop_free(LIST_ITEM(link, struct hop, link));
	map_done(&d->by_key);
	loop_timer_free(d->all.look);
}

/* A hop without mail goes, unless something is to be remembered of it, or mail for it was
 * queued just now. */
static void
drop_idle(struct dispatch *d, int64_t now)
{
	LIST_EACH (link, &d->hops) {
		struct hop *h = LIST_ITEM(link, struct hop, link);

		if (h->named != d->reading && h->wake_ms > now && hop_idle(h))
			hop_drop(d, h);
	}
}

/* Reads from the disk which hops have mail, and when. False: it could not. */
static bool
refresh(struct dispatch *d, bool *due, struct err *err)
{
	struct arena arena = ARENA_MAX(HOPS_MEMORY);
	struct queue_hop *rows = NULL;
	size_t n = 0;
	int64_t now = clock_wall_ms();
	bool ok = queue_hops(d->all.hub->reader, &arena, &rows, &n, err);

	*due = false;
	d->refreshed_ms = loop_now_ms(d->all.hub->loop);
	d->all.stale = !ok;
	d->reading++;
	for (size_t i = 0; ok && i < n; i++) {
		struct hop *h = hop_of(d, rows[i].hop);
		int64_t next = retry_clamp(
				&d->all.settling.retry, rows[i].next_try_ms, now);

		h->named = d->reading;
		if (next < rows[i].next_try_ms)
			h->ahead_ms = rows[i].next_try_ms;
		hop_wake(h, next);
		*due |= next <= now && !hop_held(h);
	}
	if (ok)
		drop_idle(d, now);
	arena_done(&arena);
	return ok;
}

static void
refresh_or_say(struct dispatch *d)
{
	struct err err = { 0 };
	bool due;

	if (!refresh(d, &due, &err))
		log_err(&err, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
}

void
dispatch_start(struct dispatch *d)
{
	refresh_or_say(d);
	want_all(d);
}

void
dispatch_refresh(struct dispatch *d)
{
	/* Somebody asked: do not wait out a back-off. */
	LIST_EACH (link, &d->hops)
		LIST_ITEM(link, struct hop, link)->shut_until_ms = 0;
	dispatch_start(d);
}

void
dispatch_reconsider(struct dispatch *d)
{
	LIST_EACH (link, &d->hops)
		hop_reconsider(LIST_ITEM(link, struct hop, link));
}

void
dispatch_stop(struct dispatch *d)
{
	LIST_EACH (link, &d->hops)
		hop_stop(LIST_ITEM(link, struct hop, link), false);
}

void
dispatch_shut(struct dispatch *d)
{
	dispatch_stop(d);
	LIST_EACH (link, &d->hops)
		hop_stop(LIST_ITEM(link, struct hop, link), true);
}

void
dispatch_nudge(struct dispatch *d, struct span key)
{
	struct hop *h = d->nudged && span_eq(d->nudged->at.key, key) ? d->nudged
								     : hop_of(d, key);

	d->nudged = h;
	h->wake_ms = 0;
	hop_want(h);
}

void
dispatch_tick(struct dispatch *d)
{
	int64_t now = loop_now_ms(d->all.hub->loop);

	if (d->all.hub->stopping)
		return;
	if (d->all.stale || now - d->refreshed_ms > REFRESH_MS)
		refresh_or_say(d);
	want_all(d);
}

static void
idle_close(struct dispatch *d)
{
	LIST_EACH (link, &d->hops)
		smtp_carriers_idle_close(&LIST_ITEM(link, struct hop, link)->sessions);
}

bool
dispatch_nothing_due(struct dispatch *d)
{
	struct hub *hub = d->all.hub;
	struct err err = { 0 };
	bool due;

	if (d->all.leases > 0)
		return false;
	if (!refresh(d, &due, &err)) {
		pulse_fail(&hub->pulse, &err);
		return false;
	}
	if (due && !hub->stopping && store_space_spent(hub->store)) {
		err_set(&err, EVENT_DATABASE_TROUBLE,
				"the disk of %s is full: what becomes of mail could not be recorded, so none is delivered",
				hub->state);
		pulse_fail(&hub->pulse, &err);
		return false;
	}
	if (due) {
		want_all(d);
		return false;
	}
	idle_close(d);
	return true;
}

int64_t
dispatch_wait(const struct dispatch *d, int64_t most)
{
	int64_t now = clock_wall_ms(), mono = loop_now_ms(d->all.hub->loop),
		wait = most;

	LIST_EACH (link, &d->hops) {
		const struct hop *h = LIST_ITEM(link, struct hop, link);
		int64_t shut = h->shut_until_ms - mono, due = h->wake_ms - now;

		if (h->wake_ms == INT64_MAX || hop_held(h))
			continue;
		if (due < shut)
			due = shut;
		if (due < wait)
			wait = due;
	}
	return wait < 0 ? 0 : wait;
}
