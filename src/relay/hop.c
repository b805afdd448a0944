/* hop: one next hop, its window of the queue and its state of health. */
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"

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
	KEEP_BAD_MS = 3600 * 1000, /* without Badmail: looked at so often */
	LEASE_MORE = 4, /* words of a lease beside a reply for each recipient */
};

/* ---- leases ---- */

static void
batch_drop(struct batch *b)
{
	if (--b->refs > 0)
		return;
	arena_done(&b->arena);
	free(b);
}

static struct span
lease_key(const struct lease *l)
{
	return (struct span){ (const char *)&l->m->id, sizeof(l->m->id) };
}

struct span
lease_words(struct lease *l, struct span s)
{
	struct span copy = arena_dup(&l->words, s);

	MUST(copy.p);
	return copy;
}

/* What a settlement needs is had before anybody is asked, and not from the batch, which
 * may be full of what was loaded: an answer must never be lost for want of room. */
static struct lease *
lease_new(struct hop *h, struct batch *b, struct queue_message *m)
{
	struct lease *l = calloc(1, sizeof(*l));
	struct settle_recipient *results = calloc(m->n, sizeof(*results));
	bool *open = calloc(m->n, 1);

	MUST(l && results && open);
	l->words = ARENA_MAX((m->n + LEASE_MORE) * sizeof(struct verdict));
	list_init(&l->link);
	list_init(&l->job.job.link);
	l->hop = h;
	l->batch = b;
	l->m = m;
	l->results = results;
	l->open = open;
	l->left = m->n;
	memset(open, 1, m->n);
	for (size_t i = 0; i < m->n; i++)
		results[i].seq = m->recipients[i].seq;
	b->refs++;
	(void)map_put(&h->leased, lease_key(l), l);
	list_add(&h->ready, &l->link);
	h->n_ready++;
	h->d->leases++;
	return l;
}

void
lease_free(struct lease *l)
{
	struct hop *h = l->hop;

	list_del(&l->link);
	(void)map_del(&h->leased, lease_key(l));
	h->d->leases--;
	notices_free(l->notices);
	batch_drop(l->batch);
	arena_done(&l->words);
	free(l->results);
	free(l->open);
	free(l->todo);
	free(l);
}

static bool
is_leased(void *arg, uint64_t id)
{
	const struct hop *h = arg;

	return map_get(&h->leased, (struct span){ (const char *)&id, sizeof(id) });
}

/* ---- birth and end ---- */

struct hop *
hop_new(struct dispatch *d, struct span key)
{
	struct hop *h = calloc(1, sizeof(*h));
	uint64_t seed[2];

	if (!h)
		abort();
	h->arena = ARENA_MAX(16 * 1024);
	h->d = d;
	h->wake_ms = INT64_MAX;
	list_init(&h->ready);
	h->key = arena_dup(&h->arena, key);
	MUST(h->key.p);
	h->badmail = span_eq(key, SPAN(HOP_BADMAIL));
	/* A key that this version cannot read any more: its recipients are looked up
	 * anew when they are loaded. */
	if (h->badmail || !nexthop_parse(h->key, &h->arena, &h->to, NULL))
		h->to = (struct nexthop){ .kind = NEXTHOP_NONE };
	h->to.key = h->key.p;
	clock_random(seed, sizeof(seed));
	map_init(&h->leased, seed[0], seed[1]);
	list_add(&d->hops, &h->link);
	return h;
}

void
hop_free(struct hop *h)
{
	LIST_EACH (link, &h->ready)
		lease_free(LIST_ITEM(link, struct lease, link));
	list_del(&h->link);
	map_done(&h->leased);
	arena_done(&h->arena);
	free(h);
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
	return h->badmail || h->to.kind == NEXTHOP_DROP ||
			h->to.kind == NEXTHOP_MAILDIR;
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
route_of(const struct relay *r, struct span address)
{
	char canon[ADDRESS_DOMAIN_MAX + 1];
	struct smtp_path path;

	if (!smtp_mailbox_parse(address, &path))
		return NULL;
	canon[0] = '\0';
	if (path.domain.n > 0 && !domain_canon(path.domain, canon))
		return NULL;

	const struct rcpt_rules rules = rcpt_rules_now(r);
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
	if (l->results[i].state != QUEUE_QUEUED || span_eq(l->hop->key, SPAN(HOP_LEFT)))
		return;
	l->results[i].hop = SPAN(HOP_LEFT);
	left_say(l->m, &l->m->recipients[i]);
}

/* True when some of it is not for this next hop any more: `results` say where to. */
static bool
rerouted(struct lease *l)
{
	struct hop *h = l->hop;
	struct relay *r = h->d->r;
	size_t before = l->left;

	if (h->badmail)
		return false;
	for (size_t i = 0; i < l->m->n; i++) {
		struct queue_recipient *to = &l->m->recipients[i];
		struct settle_recipient *out = &l->results[i];
		const struct nexthop *now_to = route_of(r, to->address);

		if (to->state == QUEUE_QUEUED && left_waits(r, l->m, to)) {
			wait_for_policy(l, i);
			continue;
		}
		if (to->state !=
				QUEUE_QUEUED) { /* refused or bounced, under another name */
			out->hop = SPAN(HOP_BADMAIL);
		} else if (!now_to || span_eq(span_of(now_to->key), h->key)) {
			continue;
		} else if (now_to->kind == NEXTHOP_NONE) {
			/* As above, and nobody knows who had sent it. */
			struct verdict v = verdict_make(FATE_DEFERRED, 0, "4.7.1",
					"its domain is in no recipient policy and has no route");
			l->attempted = true;
			settle_verdict(l, i, &v);
			continue;
		} else {
			out->hop = dispatch_key(h->d, span_of(now_to->key));
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
	LIST_EACH (link, &h->ready) {
		struct lease *l = LIST_ITEM(link, struct lease, link);

		list_del(link);
		h->n_ready--;
		l->attempted = true;
		settle_all(l, v);
		settle_lease(h->d->r, l);
	}
}

static void
to_folder(struct hop *h)
{
	struct list leases;

	list_init(&leases);
	LIST_EACH (link, &h->ready) {
		list_del(link);
		list_add(&leases, link);
		h->n_ready--;
	}
	if (!list_empty(&leases))
		local_deliver(h->d->r->local, &leases);
}

/* No Badmail is wanted, and nothing may disappear: it stays in the queue. */
static void
keep_bad(struct hop *h)
{
	LIST_EACH (link, &h->ready) {
		struct lease *l = LIST_ITEM(link, struct lease, link);

		list_del(link);
		h->n_ready--;
		settle_badmail(l, false, KEEP_BAD_MS);
		settle_lease(h->d->r, l);
	}
}

static void
open_sessions(struct hop *h)
{
	struct dispatch *d = h->d;
	const struct conf_delivery *c = &d->r->conf->delivery;
	/* One goes ahead; when it was greeted, others follow. */
	size_t most = h->works && c->connections_per_host > 0 ? c->connections_per_host
							      : 1;

	outbound_poke(&d->sessions, h);
	while (h->n_ready > 2 * (h->sessions - h->busy) && h->sessions < most &&
			d->sessions_n < d->r->share.outgoing) {
		h->sessions++;
		d->sessions_n++;
		outbound_open(d->r, h, &d->sessions);
	}
}

static void
hop_work(struct hop *h)
{
	struct relay *r = h->d->r;

	if (h->n_ready == 0)
		return;
	if (h->badmail && !r->conf->badmail.enabled) {
		keep_bad(h);
	} else if (hop_in_folder(h)) {
		to_folder(h);
	} else if (h->to.kind == NEXTHOP_NONE) {
		struct smtp_path path;
		struct lease *first = LIST_ITEM(h->ready.next, struct lease, link);
		struct verdict v;

		if (!smtp_mailbox_parse(first->m->recipients[0].address, &path))
			path.domain = (struct span){ "", 0 };
		v = nexthop_none_verdict(path.domain);
		settle_ready(h, &v);
	} else if (h->failures > 0 && r->once && h->sessions == 0) {
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
	struct dispatch *d = h->d;
	struct batch *b = calloc(1, sizeof(*b));
	struct queue_message *m = NULL;
	size_t n = 0;
	int64_t now = clock_wall_ms();

	if (!b)
		abort();
	b->arena = ARENA_MAX(BATCH_MEMORY);
	b->refs = 1;
	h->limit = hop_in_folder(h) ? RECIPIENTS_FOLDER : RECIPIENTS_REMOTE;

	const struct queue_due q = {
		.hop = h->key,
		.now_ms = now > h->ahead_ms ? now : h->ahead_ms,
		.messages = room,
		.recipients = h->limit,
		.leased = is_leased,
		.arg = h,
	};
	if (!queue_due(d->r->reader, &q, &b->arena, &m, &n, err)) {
		batch_drop(b);
		return false;
	}
	h->wake_ms = n == room ? now
			       : INT64_MAX; /* there may be more, or there is not */
	h->ahead_ms = 0;
	d->stale |= n < room;
	for (size_t i = 0; i < n; i++) {
		struct lease *l = lease_new(h, b, &m[i]);

		if (rerouted(l)) {
			list_del(&l->link);
			h->n_ready--;
			settle_lease(d->r, l); /* the others come again at once */
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
	return h->d->r->hold && !h->badmail;
}

void
hop_look(struct hop *h)
{
	struct dispatch *d = h->d;
	int64_t now = clock_wall_ms();
	size_t held = h->leased.n, window = hop_window(h);

	/* A window is refilled when half of it is done, not message by message. */
	bool room = held <= window / 2;
	bool shut = h->shut_until_ms > loop_now_ms(d->r->loop) && !d->r->once;
	if (hop_held(h) || shut || !dispatch_may_begin(d))
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
		log_event(5008,
				FIELDS(f_span("host", h->key), f_str("state", "closed"),
						f_str("why", why->text)));
	for (unsigned i = 1; i < h->failures && wait < BACKOFF_MOST_MS; i++)
		wait *= 2;
	if (wait > BACKOFF_MOST_MS)
		wait = BACKOFF_MOST_MS;
	h->shut_until_ms = loop_now_ms(h->d->r->loop) + wait;
	h->works = false;
	h->last = *why;
}

/* What was taken for it is put off, and it is left alone for a while (5008). */
void
hop_failed(struct hop *h, const struct verdict *why)
{
	/* Connections that fail together are one failure. */
	if (h->shut_until_ms <= loop_now_ms(h->d->r->loop))
		hop_shut(h, why);
	if (!h->d->stopping)
		settle_ready(h, why);
}

void
hop_works(struct hop *h)
{
	if (h->failures > 0)
		log_event(5008,
				FIELDS(f_span("host", h->key), f_str("state", "open"),
						f_str("why", "it answers again")));
	h->works = true;
	h->failures = 0;
	h->shut_until_ms = 0;
}
