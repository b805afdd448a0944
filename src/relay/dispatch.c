/* dispatch: which messages are in hand, next hop by next hop.
 *
 * The queue is in the database; here is only a window of it. Every next hop has
 * a window, connections and a back-off of its own, so that a dead one delays
 * nobody else (promise 6). A lease is memory: a crash gives it back. */
#include "dispatch.h"

#include <stdlib.h>

#include "postern/clock.h"
#include "postern/log.h"

enum {
	REFRESH_MS = 60 * 1000, /* looks at the whole queue at least so often */
	FRUITLESS_MAX = 10, /* sessions that broke, before the hop is left alone */
	HOPS_MEMORY = 16 * 1024 * 1024,
};

static void
look_soon(struct dispatch *d)
{
	if (!loop_timer_pending(d->look))
		loop_timer_set(d->look, 0);
}

static struct hop *
hop_of(struct dispatch *d, struct span key)
{
	struct hop *h = map_get(&d->by_key, key);

	if (!h) {
		h = hop_new(d, key);
		(void)map_put(&d->by_key, h->key, h);
	}
	return h;
}

struct span
dispatch_key(struct dispatch *d, struct span key)
{
	return hop_of(d, key)->key;
}

void
dispatch_reconsider(struct dispatch *d)
{
	LIST_EACH (link, &d->hops) {
		struct hop *h = LIST_ITEM(link, struct hop, link);

		if (list_empty(&h->ready))
			continue;
		LIST_EACH (each, &h->ready) {
			h->n_ready--;
			lease_free(LIST_ITEM(each, struct lease, link));
		}
		h->wake_ms = 0;
	}
	look_soon(d);
}

void
dispatch_renew(struct dispatch *d)
{
	d->retry = (struct retry){ .waits = d->r->conf->delivery.retry,
		.expire_s = d->r->conf->delivery.expire_s };
}

static void
look_due(void *host)
{
	struct dispatch *d = host;

	LIST_EACH (link, &d->hops)
		hop_look(LIST_ITEM(link, struct hop, link));
	jobs_flush(d->r->jobs);
	pulse_hurry(&d->r->pulse);
}

/* ---- the door of this file ---- */

struct dispatch *
dispatch_new(struct relay *r)
{
	struct dispatch *d = calloc(1, sizeof(*d));
	uint64_t seed[2];

	if (!d)
		abort();
	d->r = r;
	list_init(&d->hops);
	list_init(&d->sessions);
	clock_random(seed, sizeof(seed));
	map_init(&d->by_key, seed[0], seed[1]);
	d->look = loop_timer_new(r->loop, look_due, d);
	dispatch_renew(d);
	return d;
}

void
dispatch_free(struct dispatch *d)
{
	if (!d)
		return;
	LIST_EACH (link, &d->hops)
		hop_free(LIST_ITEM(link, struct hop, link));
	map_done(&d->by_key);
	loop_timer_free(d->look);
	free(d);
}

/* Reads from the disk which hops have mail, and when. False: it could not. */
static bool
refresh(struct dispatch *d, bool *due, struct err *err)
{
	struct arena arena = ARENA_MAX(HOPS_MEMORY);
	struct queue_hop *rows = NULL;
	size_t n = 0;
	int64_t now = clock_wall_ms();
	bool ok = queue_hops(d->r->reader, &arena, &rows, &n, err);

	*due = false;
	d->refreshed_ms = loop_now_ms(d->r->loop);
	d->stale = !ok;
	for (size_t i = 0; ok && i < n; i++) {
		struct hop *h = hop_of(d, rows[i].hop);
		int64_t next = retry_clamp(&d->retry, rows[i].next_try_ms, now);

		if (next < rows[i].next_try_ms)
			h->ahead_ms = rows[i].next_try_ms;
		hop_wake(h, next);
		*due |= next <= now && !hop_held(h);
	}
	arena_done(&arena);
	return ok;
}

void
dispatch_start(struct dispatch *d)
{
	struct err err = { 0 };
	bool due;

	if (!refresh(d, &due, &err))
		log_err(&err, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
	look_soon(d);
}

void
dispatch_refresh(struct dispatch *d)
{
	dispatch_start(d);
	/* Somebody asked: do not wait out a back-off. */
	LIST_EACH (link, &d->hops)
		LIST_ITEM(link, struct hop, link)->shut_until_ms = 0;
}

void
dispatch_stop(struct dispatch *d)
{
	d->stopping = true;
	LIST_EACH (link, &d->hops) {
		struct hop *h = LIST_ITEM(link, struct hop, link);

		LIST_EACH (each, &h->ready) {
			h->n_ready--;
			lease_free(LIST_ITEM(each, struct lease, link));
		}
	}
	outbound_stop(&d->sessions, false);
}

void
dispatch_shut(struct dispatch *d)
{
	dispatch_stop(d);
	outbound_stop(&d->sessions, true);
}

void
dispatch_nudge(struct dispatch *d, struct span key)
{
	struct hop *h = d->nudged && span_eq(d->nudged->key, key) ? d->nudged
								  : hop_of(d, key);

	d->nudged = h;
	h->wake_ms = 0;
	look_soon(d);
}

void
dispatch_tick(struct dispatch *d)
{
	int64_t now = loop_now_ms(d->r->loop);
	struct err err = { 0 };
	bool due;

	if (d->stopping)
		return;
	if ((d->stale || now - d->refreshed_ms > REFRESH_MS) && !refresh(d, &due, &err))
		log_err(&err, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
	look_soon(d);
}

bool
dispatch_quiet(const struct dispatch *d)
{
	return d->leases == 0;
}

bool
dispatch_nothing_due(struct dispatch *d)
{
	struct err err = { 0 };
	bool due;

	if (d->leases > 0)
		return false;
	if (!refresh(d, &due, &err)) {
		pulse_fail(&d->r->pulse, &err);
		return false;
	}
	if (due && !d->stopping && store_space_spent(d->r->store)) {
		err_set(&err, 9005,
				"the disk of %s is full: what becomes of mail could not be recorded, so none is delivered",
				d->r->state);
		pulse_fail(&d->r->pulse, &err);
		return false;
	}
	if (due) {
		look_soon(d);
		return false;
	}
	outbound_idle_close(&d->sessions);
	return true;
}

bool
dispatch_disconnected(const struct dispatch *d)
{
	return d->sessions_n == 0;
}

int64_t
dispatch_wait(const struct dispatch *d, int64_t most)
{
	int64_t now = clock_wall_ms(), mono = loop_now_ms(d->r->loop), wait = most;

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

size_t
dispatch_leases(const struct dispatch *d)
{
	return d->leases;
}

const struct retry *
dispatch_retry(const struct dispatch *d)
{
	return &d->retry;
}

/* A mail that was sent and not recorded as sent is sent again after the next start. So
 * nothing is begun while the store owes us the results of what was: whatever its reason
 * (full, locked, broken), not more than what was in hand then can come twice. */
bool
dispatch_may_begin(const struct dispatch *d)
{
	return !d->stopping && d->r->owed == 0 && !store_space_spent(d->r->store);
}

/* ---- for sessions ---- */

struct lease *
dispatch_take(struct hop *h)
{
	if (!dispatch_may_begin(h->d) || list_empty(&h->ready))
		return NULL;

	struct lease *l = LIST_ITEM(h->ready.next, struct lease, link);
	list_del(&l->link);
	h->n_ready--;
	return l;
}

void
dispatch_forget(struct lease *l)
{
	lease_free(l);
}

void
dispatch_settled(struct lease *l)
{
	struct hop *h = l->hop;

	if (l->left > 0 || l->m->n == h->limit)
		h->wake_ms = 0; /* it has, or may have, more recipients than were settled */
	for (size_t i = 0; i < l->m->n; i++) {
		const struct settle_recipient *out = &l->results[i];

		if (l->open[i])
			continue;
		if (out->state == QUEUE_QUEUED || out->state == QUEUE_BOUNCED ||
				out->state == QUEUE_REFUSED)
			hop_wake(out->hop.n > 0 ? hop_of(h->d, out->hop) : h,
					out->next_try_ms);
	}
	lease_free(l);
	look_soon(h->d);
}

void
dispatch_session_works(struct hop *h)
{
	/* One that greets us and then always hangs up has to do more than greet. */
	if (h->fruitless < FRUITLESS_MAX)
		hop_works(h);
	look_soon(h->d);
}

void
dispatch_session_answers(struct hop *h)
{
	if (h->fruitless == 0)
		return;
	h->fruitless = 0;
	hop_works(h);
	look_soon(h->d);
}

void
dispatch_session_gone(struct hop *h, enum session_end end, const struct verdict *why)
{
	h->sessions--;
	h->d->sessions_n--;
	if (end == SESSION_BROKE)
		h->fruitless++;
	if (end == SESSION_FAILED ||
			(end == SESSION_BROKE && h->fruitless >= FRUITLESS_MAX))
		hop_failed(h, why);
	look_soon(h->d);
	pulse_look(&h->d->r->pulse);
}
