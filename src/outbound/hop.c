/* hop: what a next hop does with its mail, and what it makes of what its carriers tell. */
#include "hop.h"

#include <stdlib.h>

#include "left.h"
#include "local.h"
#include "smtp_carrier.h"

#include "postern/address.h"
#include "postern/clock.h"
#include "postern/log.h"
#include "postern/must.h"
#include "postern/smtp_path.h"

enum {
	WINDOW_REMOTE = 64, /* messages of a next hop in hand */
	WINDOW_FOLDER = 256, /* more at a time share their directory syncs */
	WINDOW_PROBE_MAX =
			1024, /* put off by one failed connection to a hop that is long dead */
	RECIPIENTS_REMOTE = 1000, /* of one message at a time */
	RECIPIENTS_FOLDER = 10000,
	BATCH_MEMORY = 16 * 1024 * 1024, /* holds one message with RECIPIENTS_FOLDER */
	BACKOFF_FIRST_MS = 5 * 1000,
	BACKOFF_MOST_MS = 5 * 60 * 1000,
	FRUITLESS_MAX = 10, /* sessions that broke, before the hop is left alone */
	KEEP_BAD_MS = 3600 * 1000, /* without Badmail: looked at so often */
};

/* ---- what is in hand ---- */

static bool
is_leased(void *arg, uint64_t id)
{
	const struct hop *h = arg;

	return map_get(&h->leased, (struct span){ (const char *)&id, sizeof(id) });
}

static struct lease *
hop_lease(struct hop *h, struct batch *b, struct queue_message *m)
{
	struct lease *l = lease_new(h, &h->at, &h->all->settling, b, m);

	(void)map_put(&h->leased, lease_key(l), l);
	list_add(&h->ready, &l->link);
	h->n_ready++;
	h->all->leases++;
	return l;
}

void
hop_release(struct lease *l)
{
	struct hop *h = l->hop;

	(void)map_del(&h->leased, lease_key(l));
	h->all->leases--;
	lease_free(l);
}

/* The first of those that nobody works on yet is somebody's now. */
static struct lease *
ready_next(struct hop *h)
{
	struct lease *l = LIST_ITEM(h->ready.next, struct lease, link);

	list_del(&l->link);
	h->n_ready--;
	return l;
}

static void
ready_release(struct hop *h)
{
	while (h->n_ready > 0)
		hop_release(ready_next(h));
}

/* ---- birth and end ---- */

struct hop *
hop_new(struct hops *all, struct span key)
{
	struct hop *h = calloc(1, sizeof(*h));
	uint64_t seed[2];

	if (!h)
		abort();
	h->arena = ARENA_MAX(16 * 1024);
	h->all = all;
	h->wake_ms = INT64_MAX;
	list_init(&h->link);
	list_init(&h->wants);
	list_init(&h->waits);
	list_init(&h->ready);
	list_init(&h->sessions);
	h->at.key = arena_dup(&h->arena, key);
	MUST(h->at.key.p);
	h->at.badmail = span_eq(key, SPAN(QUEUE_HOP_BADMAIL));
	/* A key that this version cannot read any more: its recipients are looked up
	 * anew when they are loaded. */
	if (h->at.badmail || !nexthop_parse(h->at.key, &h->arena, &h->at.to, NULL))
		h->at.to = (struct nexthop){ .kind = NEXTHOP_NONE };
	h->at.to.key = h->at.key.p;
	clock_random(seed, sizeof(seed));
	map_init(&h->leased, seed[0], seed[1]);
	return h;
}

void
hop_free(struct hop *h)
{
	ready_release(h);
	list_del(&h->link);
	list_del(&h->wants);
	list_del(&h->waits);
	map_done(&h->leased);
	arena_done(&h->arena);
	free(h);
}

/* What its last session knew is forgotten with it, so that stays for as long as it matters. */
bool
hop_idle(const struct hop *h)
{
	int64_t now = loop_now_ms(h->all->hub->loop);
	const struct habits *k = &h->habits;

	return h->leased.n == 0 && h->n_sessions == 0 && h->failures == 0 &&
			h->fruitless == 0 && !k->single && k->no_body_until_ms <= now &&
			k->careful_until_ms <= now;
}

void
hop_want(struct hop *h)
{
	if (list_empty(&h->wants))
		list_add(&h->all->wanting, &h->wants);
	if (!loop_timer_pending(h->all->look))
		loop_timer_set(h->all->look, 0);
}

/* A mail that was sent and not recorded as sent is sent again after the next start. So
 * nothing is begun while the store owes us the results of what was: whatever its reason
 * (full, locked, broken), not more than what was in hand then can come twice. */
bool
hops_may_begin(struct hops *all)
{
	bool may = !all->hub->stopping && all->settling.owed == 0 &&
			!store_space_spent(all->hub->store);

	all->held_up = all->held_up || !may;
	return may;
}

/* ---- its window ---- */

void
hop_wake(struct hop *h, int64_t at_ms)
{
	if (at_ms < h->wake_ms)
		h->wake_ms = at_ms;
}

static bool
hop_in_folder(const struct hop *h)
{
	return h->at.badmail || h->at.to.kind == NEXTHOP_DROP ||
			h->at.to.kind == NEXTHOP_MAILDIR;
}

static size_t
hop_window(const struct hop *h)
{
	size_t window = WINDOW_REMOTE;

	if (hop_in_folder(h))
		return WINDOW_FOLDER;
	for (unsigned i = 0; i < h->failures && window < WINDOW_PROBE_MAX; i++)
		window *= 2;
	return window;
}

/* ---- where a recipient goes now ---- */

/* The configuration or the policies may have changed since it was queued. */
static const struct nexthop *
route_of(const struct hub *hub, struct span address)
{
	char canon[ADDRESS_DOMAIN_MAX + 1];
	struct smtp_path path;

	if (!smtp_mailbox_parse(address, &path))
		return NULL;
	canon[0] = '\0';
	if (path.domain.n > 0 && !domain_canon(path.domain, canon))
		return NULL;

	const struct rcpt_rules rules = hub_rules(hub);
	return rcpt_hop(&rules, span_of(canon));
}

/* Q12. It is said when it begins; until it expires, or a policy has the domain again. */
static void
wait_for_policy(struct lease *l, size_t i)
{
	struct verdict v = verdict_make(FATE_DEFERRED, 0, "4.7.1",
			"its domain has left the recipient policies");

	l->attempted = true;
	settle_verdict(l, i, &v);
	if (l->results[i].state != QUEUE_QUEUED || span_eq(l->at->key, SPAN(HOP_LEFT)))
		return;
	l->results[i].hop = SPAN(HOP_LEFT);
	left_say(l->m, &l->m->recipients[i]);
}

/* True when some of it is not for this next hop any more: `results` say where to. */
static bool
rerouted(struct lease *l)
{
	struct hop *h = l->hop;
	const struct hub *hub = h->all->hub;
	size_t before = l->left;
	struct span last = { NULL, 0 }; /* most of them go to one */

	if (h->at.badmail)
		return false;
	for (size_t i = 0; i < l->m->n; i++) {
		struct queue_recipient *to = &l->m->recipients[i];
		struct settle_recipient *out = &l->results[i];
		const struct nexthop *now_to = route_of(hub, to->address);

		if (to->state == QUEUE_QUEUED && left_waits(hub, l->m, to)) {
			wait_for_policy(l, i);
			continue;
		}
		if (to->state !=
				QUEUE_QUEUED) { /* refused or bounced, under another name */
			out->hop = SPAN(QUEUE_HOP_BADMAIL);
		} else if (!now_to || span_eq(span_of(now_to->key), h->at.key)) {
			continue;
		} else if (now_to->kind == NEXTHOP_NONE) {
			/* As above, and nobody knows who had sent it. */
			struct verdict v = verdict_make(FATE_DEFERRED, 0, "4.7.1",
					"its domain is in no recipient policy and has no route");
			l->attempted = true;
			settle_verdict(l, i, &v);
			continue;
		} else {
			if (!span_eq(last, span_of(now_to->key)))
				last = lease_words(l, span_of(now_to->key));
			out->hop = last;
		}
		out->state = to->state;
		out->next_try_ms = clock_wall_ms();
		l->open[i] = false;
		l->left--;
	}
	return l->left < before;
}

/* ---- work ---- */

static void
settle_ready(struct hop *h, const struct verdict *v)
{
	while (h->n_ready > 0) {
		struct lease *l = ready_next(h);

		l->attempted = true;
		settle_all(l, v);
		settle_lease(l);
	}
}

static void
to_folder(struct hop *h)
{
	struct list leases;

	list_init(&leases);
	while (h->n_ready > 0)
		list_add(&leases, &ready_next(h)->link);
	local_deliver(h->all->local, &leases);
}

/* No Badmail is wanted, and nothing may disappear: it stays in the queue. */
static void
keep_bad(struct hop *h)
{
	while (h->n_ready > 0) {
		struct lease *l = ready_next(h);

		settle_badmail(l, false, KEEP_BAD_MS);
		settle_lease(l);
	}
}

static void
open_sessions(struct hop *h)
{
	struct hops *all = h->all;
	const struct conf_delivery *c = &all->hub->conf->delivery;
	/* One goes ahead; when it was greeted, others follow. */
	size_t most = h->works && c->connections_per_host > 0 ? c->connections_per_host
							      : 1;

	if (h->n_ready > 0)
		smtp_carriers_poke(&h->sessions);
	list_del(&h->waits);
	while (h->n_ready > 2 * (h->n_sessions - h->busy) && h->n_sessions < most) {
		if (all->sessions >= all->hub->share.outgoing) {
			list_add(&all->waiting, &h->waits);
			return;
		}
		h->n_sessions++;
		all->sessions++;
		smtp_carrier_open(&(struct smtp_carrier_setup){ .hub = all->hub,
				.hop = h,
				.calls = &hop_carrier_calls,
				.to = &h->at.to,
				.habits = &h->habits,
				.all = &h->sessions });
	}
}

static void
hop_work(struct hop *h)
{
	const struct hub *hub = h->all->hub;

	if (h->n_ready == 0)
		return;
	if (h->at.badmail && !hub->conf->badmail.enabled) {
		keep_bad(h);
	} else if (hop_in_folder(h)) {
		to_folder(h);
	} else if (h->at.to.kind == NEXTHOP_NONE) {
		struct smtp_path path;
		struct lease *first = LIST_ITEM(h->ready.next, struct lease, link);
		struct verdict v;

		if (!smtp_mailbox_parse(first->m->recipients[0].address, &path))
			path.domain = (struct span){ "", 0 };
		v = nexthop_none_verdict(path.domain);
		settle_ready(h, &v);
	} else if (h->failures > 0 && hub->once && h->n_sessions == 0) {
		/* Nobody waits for it here: the next run tries again. */
		settle_ready(h, &h->last);
	} else {
		open_sessions(h);
	}
}

/* What is due into the window, at most `room` messages. */
static bool
load_some(struct hop *h, size_t room, struct err *err)
{
	struct batch *b = batch_new(BATCH_MEMORY);
	struct queue_message *m = NULL;
	size_t n = 0;
	int64_t now = clock_wall_ms();

	h->limit = hop_in_folder(h) ? RECIPIENTS_FOLDER : RECIPIENTS_REMOTE;

	const struct queue_due q = {
		.hop = h->at.key,
		.now_ms = now > h->ahead_ms ? now : h->ahead_ms,
		.messages = room,
		.recipients = h->limit,
		.leased = is_leased,
		.arg = h,
	};
	if (!queue_due(h->all->hub->reader, &q, &b->arena, &m, &n, err)) {
		batch_drop(b);
		return false;
	}
	h->wake_ms = n == room ? now
			       : INT64_MAX; /* there may be more, or there is not */
	h->ahead_ms = 0;
	h->all->stale |= n < room;
	for (size_t i = 0; i < n; i++) {
		struct lease *l = hop_lease(h, b, &m[i]);

		if (rerouted(l)) {
			list_del(&l->link);
			h->n_ready--;
			settle_lease(l); /* the others come again at once */
		}
	}
	batch_drop(b);
	return true;
}

static void
hop_load(struct hop *h, size_t room)
{
	struct err err = { 0 };

	/* So many recipients that the memory does not hold the window: one by one. */
	if (load_some(h, room, &err) || (room > 1 && load_some(h, 1, &err)))
		return;
	log_err(&err, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
	h->wake_ms = clock_wall_ms() + BACKOFF_FIRST_MS;
}

/* `once --queue-only`: everything waits, but what nobody may have is put away. */
bool
hop_held(const struct hop *h)
{
	return h->all->hub->hold && !h->at.badmail;
}

void
hop_look(struct hop *h)
{
	const struct hub *hub = h->all->hub;
	int64_t now = clock_wall_ms();
	size_t held = h->leased.n, window = hop_window(h);

	/* A window is refilled when half of it is done, not message by message. */
	bool room = held <= window / 2;
	bool shut = h->shut_until_ms > loop_now_ms(hub->loop) && !hub->once;
	if (hop_held(h) || shut || !hops_may_begin(h->all))
		return;
	if (h->wake_ms <= now && room)
		hop_load(h, window - held);
	hop_work(h);
}

/* ---- its health ---- */

static void
hop_shut(struct hop *h, const struct verdict *why)
{
	int64_t wait = BACKOFF_FIRST_MS;

	if (h->failures++ == 0)
		log_event(EVENT_DESTINATION,
				FIELDS(f_span("host", h->at.key),
						f_str("state", "closed"),
						f_str("why", why->text)));
	for (unsigned i = 1; i < h->failures && wait < BACKOFF_MOST_MS; i++)
		wait *= 2;
	if (wait > BACKOFF_MOST_MS)
		wait = BACKOFF_MOST_MS;
	h->shut_until_ms = loop_now_ms(h->all->hub->loop) + wait;
	h->works = false;
	h->last = *why;
}

/* It would not talk to us: what was taken for it is put off, and it is left alone for a while
 * (5008). */
void
hop_failed(struct hop *h, const struct verdict *why)
{
	/* Connections that fail together are one failure. */
	if (h->shut_until_ms <= loop_now_ms(h->all->hub->loop))
		hop_shut(h, why);
	if (!h->all->hub->stopping)
		settle_ready(h, why);
}

/* It talks to us, or does again. */
void
hop_works(struct hop *h)
{
	if (h->failures > 0)
		log_event(EVENT_DESTINATION,
				FIELDS(f_span("host", h->at.key),
						f_str("state", "open"),
						f_str("why", "it answers again")));
	h->works = true;
	h->failures = 0;
	h->shut_until_ms = 0;
}

/* ---- what carriers tell ---- */

static struct lease *
carrier_takes(struct hop *h)
{
	return h->n_ready > 0 && hops_may_begin(h->all) ? ready_next(h) : NULL;
}

static void
carrier_again(struct hop *h)
{
	h->wake_ms = 0;
	hop_want(h);
}

static void
carrier_busy(struct hop *h, bool busy)
{
	h->busy += busy ? 1u : -1u;
}

static void
carrier_greeted(struct hop *h)
{
	/* One that greets us and then always hangs up has to do more than greet. */
	if (h->fruitless < FRUITLESS_MAX)
		hop_works(h);
	hop_want(h);
}

static void
carrier_answered(struct hop *h)
{
	if (h->fruitless == 0)
		return;
	h->fruitless = 0;
	hop_works(h);
	hop_want(h);
}

static void
carrier_gone(struct hop *h, enum carrier_end end, const struct verdict *why)
{
	struct hops *all = h->all;

	h->n_sessions--;
	all->sessions--;
	if (end == CARRIER_BROKE)
		h->fruitless++;
	if (end == CARRIER_FAILED ||
			(end == CARRIER_BROKE && h->fruitless >= FRUITLESS_MAX))
		hop_failed(h, why);
	hop_want(h);
	if (!list_empty(&all->waiting)) { /* who has waited longest */
		struct hop *next = LIST_ITEM(all->waiting.next, struct hop, waits);

		list_del(&next->waits);
		hop_want(next);
	}
	pulse_look(&all->hub->pulse);
}

const struct carrier_calls hop_carrier_calls = {
	.take = carrier_takes,
	.again = carrier_again,
	.busy = carrier_busy,
	.greeted = carrier_greeted,
	.answered = carrier_answered,
	.gone = carrier_gone,
};

/* ---- for dispatch ---- */

void
hop_stop(struct hop *h, bool now)
{
	ready_release(h);
	smtp_carriers_stop(&h->sessions, now);
}

void
hop_reconsider(struct hop *h)
{
	if (h->n_ready == 0)
		return;
	ready_release(h);
	h->wake_ms = 0;
	hop_want(h);
}
