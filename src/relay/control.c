/* control: what our other processes tell the relay over run/relay.ctl, and the
 * housekeeping of the store. Everything that changes the state becomes a job of
 * the store thread; the answer follows when it is durable. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "room.h"

#include "postern/clock.h"
#include "postern/ctl.h"
#include "postern/log.h"

enum {
	UIDLS_MAX = 300 * 1000, /* of one listing; larger ones are not accounted for */
	LISTING_MEMORY = 48 * 1024 * 1024,
	QUESTION_MEMORY = 2 * CTL_BODY_MAX + 1024 * 1024,
	PRUNE_MS = 3600 * 1000,
	HISTORY_DAYS = 30,
};

/* One question under way: answered when all its jobs are back. */
struct question {
	struct list link;
	struct ctl_peer *peer; /* NULL: gone */
	struct arena arena;
	size_t jobs;
	bool failed;
	char why[240];
};

/* A job and whose it is. */
struct change {
	struct question *q;
	union {
		struct origin_change origins;
		struct poll_result poll;
	};
};

/* A complete listing on its way in, frame by frame. */
struct listing {
	struct list link;
	struct ctl_peer *peer;
	struct arena arena;
	struct span account;
	struct origin_listed *listed;
	size_t n, cap;
	bool too_many;
};

struct control {
	struct relay *r;
	struct ctl_server *server;
	struct list questions, listings;
	struct pruning pruning;
	bool is_pruning;
	int64_t pruned_ms; /* monotonic */
};

/* ---- questions ---- */

static struct question *
question_new(struct control *c, struct ctl_peer *peer, size_t memory)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		abort();
	q->peer = peer;
	q->arena = ARENA_MAX(memory);
	list_add(&c->questions, &q->link);
	return q;
}

static void
question_free(struct question *q)
{
	list_del(&q->link);
	arena_done(&q->arena);
	free(q);
}

static void
question_look(struct question *q)
{
	if (q->jobs > 0)
		return;
	if (q->peer && q->failed)
		(void)ctl_reply(q->peer, CTL_FAILED, span_of(q->why));
	else if (q->peer)
		(void)ctl_reply(q->peer, CTL_OK, SPAN(""));
	question_free(q);
}

static void
say_no(struct ctl_peer *peer, const char *why)
{
	(void)ctl_reply(peer, CTL_FAILED, span_of(why));
}

/* NULL past the question's memory. */
static struct change *
change_new(struct question *q, enum store_work work)
{
	struct change *ch = arena_alloc(&q->arena, sizeof(*ch));

	if (!ch)
		return NULL;
	ch->q = q;
	list_init(&ch->origins.job.link); /* the head of both */
	ch->origins.job.work = work;
	return ch;
}

static void
change_add(struct control *c, struct change *ch)
{
	ch->q->jobs++;
	jobs_add(c->r->jobs, &ch->origins.job);
}

/* ---- origins ---- */

static void
settled(struct control *c, struct ctl_peer *peer, struct span body)
{
	struct span account, uidl;
	uint64_t n;

	if (!ctl_get_span(&body, &account) || !ctl_get_u64(&body, &n) ||
			n > CTL_BODY_MAX / 4 || account.n > STORE_NAME_MAX) {
		say_no(peer, "not understood");
		return;
	}

	struct question *q = question_new(
			c, peer, QUESTION_MEMORY + n * sizeof(struct span));
	struct change *ch = change_new(q, STORE_ORIGINS);
	struct span *uidls = arena_alloc(&q->arena, (n + 1) * sizeof(*uidls));
	bool ok = ch && uidls;
	for (size_t i = 0; ok && i < n; i++) {
		ok = ctl_get_span(&body, &uidl);
		if (ok)
			uidls[i] = arena_dup(&q->arena, uidl);
		ok = ok && uidls[i].p;
	}
	if (!ok) {
		question_free(q);
		say_no(peer, "not understood");
		return;
	}
	ch->origins.act = ORIGIN_ACT_SETTLE;
	ch->origins.account = arena_dup(&q->arena, account);
	ch->origins.now_ms = clock_wall_ms();
	ch->origins.uidls = uidls;
	ch->origins.n = n;
	change_add(c, ch);
}

static void
listing_free(struct listing *l)
{
	list_del(&l->link);
	arena_done(&l->arena);
	free(l->listed);
	free(l);
}

static struct listing *
listing_of(struct control *c, struct ctl_peer *peer, struct span account)
{
	LIST_EACH (link, &c->listings) {
		struct listing *l = LIST_ITEM(link, struct listing, link);

		if (l->peer == peer && span_eq(l->account, account))
			return l;
	}

	struct listing *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->arena = ARENA_MAX(LISTING_MEMORY);
	l->peer = peer;
	l->account = arena_dup(&l->arena, account);
	list_add(&c->listings, &l->link);
	return l;
}

static bool
listing_add(struct listing *l, struct span uidl)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 256;
		struct origin_listed *more = realloc(l->listed, cap * sizeof(*more));

		if (!more)
			abort();
		l->listed = more;
		l->cap = cap;
	}

	struct span kept = arena_dup(&l->arena, uidl);
	if (!kept.p)
		return false;
	l->listed[l->n] = (struct origin_listed){ .uidl = kept,
		.number = (uint32_t)l->n };
	l->n++;
	return true;
}

static void
origins_change(struct control *c, struct question *q, enum origin_act act,
		struct span account, const struct span *uidls, size_t n)
{
	struct change *ch;

	if (n == 0 && act != ORIGIN_ACT_LISTED)
		return;
	ch = change_new(q, STORE_ORIGINS);
	if (!ch) {
		q->failed = true;
		(void)snprintf(q->why, sizeof(q->why), "too many changes");
		return;
	}
	ch->origins.act = act;
	ch->origins.account = account;
	ch->origins.now_ms = clock_wall_ms();
	ch->origins.uidls = uidls;
	ch->origins.n = n;
	change_add(c, ch);
}

/* The whole listing is here: what it changes goes to the store. */
static void
listing_whole(struct control *c, struct ctl_peer *peer, struct listing *l)
{
	struct question *q = question_new(c, peer, LISTING_MEMORY);
	struct origin_changes changes = { 0 };
	struct err err = { 0 };

	q->jobs++; /* this function: the answer comes last */
	const struct origin_listing whole = { .account = l->account,
		.listed = l->listed,
		.n = l->n,
		.now_ms = clock_wall_ms() };
	if (origin_match(c->r->reader, &whole, &changes, &q->arena, &err)) {
		struct span account = arena_dup(&q->arena, l->account);

		if (changes.known > 0 || l->n > 0)
			origins_change(c, q, ORIGIN_ACT_LISTED, account, changes.absent,
					changes.n_absent);
		origins_change(c, q, ORIGIN_ACT_BACK, account, changes.back,
				changes.n_back);
		origins_change(c, q, ORIGIN_ACT_FORGET, account, changes.forget,
				changes.n_forget);
	} else {
		q->failed = true;
		(void)snprintf(q->why, sizeof(q->why), "%s", err.text);
	}
	listing_free(l);
	q->jobs--;
	question_look(q);
}

static void
listed(struct control *c, struct ctl_peer *peer, struct span body)
{
	struct span account, uidl;
	uint64_t total, more, n;

	if (!ctl_get_span(&body, &account) || !ctl_get_u64(&body, &total) ||
			!ctl_get_u64(&body, &more) || !ctl_get_u64(&body, &n) ||
			account.n > STORE_NAME_MAX) {
		say_no(peer, "not understood");
		return;
	}

	struct listing *l = listing_of(c, peer, account);
	for (uint64_t i = 0; i < n; i++) {
		if (!ctl_get_span(&body, &uidl)) {
			listing_free(l);
			say_no(peer, "not understood");
			return;
		}
		/* Too large to be kept: the origins stay as they are, which is safe. */
		if (l->n >= UIDLS_MAX || (!l->too_many && !listing_add(l, uidl)))
			l->too_many = true;
	}
	if (more == 0 && !l->too_many) {
		listing_whole(c, peer, l);
		return;
	}
	if (more == 0)
		listing_free(l);
	(void)ctl_reply(peer, CTL_OK, SPAN(""));
}

/* ---- results of polls ---- */

static uint64_t
number(const json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));

	return n > 0 ? (uint64_t)n : 0;
}

static void
polled(struct control *c, struct ctl_peer *peer, struct span body)
{
	struct span account, text;
	json_t *o = NULL;

	if (ctl_get_span(&body, &account) && ctl_get_span(&body, &text) &&
			account.n <= STORE_NAME_MAX)
		o = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		say_no(peer, "not understood");
		return;
	}

	struct question *q = question_new(c, peer, QUESTION_MEMORY);
	struct change *ch = change_new(q, STORE_POLLED);
	if (!ch) {
		json_decref(o);
		question_free(q);
		say_no(peer, "out of memory");
		return;
	}
	struct poll_result *p = &ch->poll;
	const char *words = json_string_value(json_object_get(o, "text"));
	p->account = arena_dup(&q->arena, account);
	p->text = arena_dup(&q->arena, span_first(span_of(words), 1000));
	p->started_ms = (int64_t)number(o, "started_ms");
	p->ended_ms = (int64_t)number(o, "ended_ms");
	p->next_ms = (int64_t)number(o, "next_ms");
	p->ok = json_is_true(json_object_get(o, "ok"));
	p->event = (int)(number(o, "event") % 100000);
	p->listed = number(o, "listed");
	p->collected = number(o, "collected");
	p->deleted = number(o, "deleted");
	p->skipped = number(o, "skipped");
	p->failed = number(o, "failed");
	p->octets = number(o, "octets");
	p->waiting = number(o, "waiting");
	json_decref(o);
	change_add(c, ch);
}

/* ---- the rest ---- */

static void
status(struct control *c, struct ctl_peer *peer)
{
	const struct relay *r = c->r;
	struct store_counters n = store_count(r->store);
	char json[1024];
	struct buf body = BUF_MAX(2048);

	(void)snprintf(json, sizeof(json),
			"{\"role\":\"relay\",\"sessions\":%zu,\"in_hand\":%zu,"
			"\"delivered\":%llu,\"deferred\":%llu,\"refused\":%llu,\"badmail\":%llu,"
			"\"submitted\":%llu,\"groups\":%llu,\"sync_us\":%llu,\"disk_low\":%s,"
			"\"log_lost\":%llu}",
			inbound_sessions(r->inbound), dispatch_leases(r->dispatch),
			(unsigned long long)r->sum.delivered,
			(unsigned long long)r->sum.deferred,
			(unsigned long long)r->sum.refused,
			(unsigned long long)r->sum.badmail,
			(unsigned long long)n.submitted, (unsigned long long)n.groups,
			(unsigned long long)n.sync_us, r->space_low ? "true" : "false",
			(unsigned long long)log_lost());
	if (ctl_put_span(&body, span_of(json)))
		(void)ctl_reply(peer, CTL_OK, buf_span(&body));
	buf_done(&body);
}

static void
wake(struct control *c, struct ctl_peer *peer)
{
	struct err err = { 0 };

	if (!policyload(c->r, &err)) {
		say_no(peer, err.text);
		return;
	}
	dispatch_refresh(c->r->dispatch);
	(void)ctl_reply(peer, CTL_OK, SPAN(""));
}

static void
said(void *host, struct ctl_peer *peer, enum ctl_kind kind, struct span body)
{
	struct control *c = host;

	switch (kind) {
	case CTL_WAKE:
		wake(c, peer);
		return;
	case CTL_SETTLED:
		settled(c, peer, body);
		return;
	case CTL_LISTED:
		listed(c, peer, body);
		return;
	case CTL_POLLED:
		polled(c, peer, body);
		return;
	case CTL_STATUS:
		status(c, peer);
		return;
	case CTL_OK:
	case CTL_FAILED:
	case CTL_POLL:
	case CTL_PROGRESS:
		break;
	}
	say_no(peer, "this is the relay");
}

static void
gone(void *host, struct ctl_peer *peer)
{
	struct control *c = host;

	LIST_EACH (link, &c->questions) {
		struct question *q = LIST_ITEM(link, struct question, link);

		if (q->peer == peer)
			q->peer = NULL; /* what it asked for is done all the same */
	}
	LIST_EACH (link, &c->listings) {
		struct listing *l = LIST_ITEM(link, struct listing, link);

		if (l->peer == peer)
			listing_free(l);
	}
}

static const struct ctl_calls calls = { .said = said, .gone = gone };

static void
prune_done(struct control *c)
{
	c->is_pruning = false;
	if (c->pruning.job.result != STORE_DONE) {
		log_err(&c->pruning.job.err, (struct span){ NULL, 0 },
				(struct span){ NULL, 0 });
		return;
	}
	if (c->pruning.more)
		c->pruned_ms -= PRUNE_MS; /* the rest at the next tick */
}

void
control_done(struct control *c, struct store_job *job)
{
	if (job->work == STORE_PRUNE) {
		prune_done(c);
		return;
	}

	struct change *ch = LIST_ITEM(job, struct change, origins.job);
	struct question *q = ch->q;
	if (job->result != STORE_DONE) {
		q->failed = true;
		(void)snprintf(q->why, sizeof(q->why), "%s", job->err.text);
	}
	q->jobs--;
	question_look(q);
}

void
control_tick(struct control *c)
{
	int64_t now = loop_now_ms(c->r->loop);

	if (c->is_pruning || now - c->pruned_ms < PRUNE_MS)
		return;
	c->pruned_ms = now;
	c->is_pruning = true;
	c->pruning = (struct pruning){ .job.work = STORE_PRUNE,
		.now_ms = clock_wall_ms(),
		.before_ms = clock_wall_ms() - HISTORY_DAYS * INT64_C(86400000) };
	list_init(&c->pruning.job.link);
	jobs_add(c->r->jobs, &c->pruning.job);
}

bool
control_quiet(const struct control *c)
{
	return list_empty(&c->questions);
}

struct control *
control_new(struct relay *r, struct err *err)
{
	struct control *c = calloc(1, sizeof(*c));
	char path[512];

	if (!c)
		abort();
	c->r = r;
	list_init(&c->questions);
	list_init(&c->listings);
	c->pruned_ms = loop_now_ms(r->loop) -
			PRUNE_MS / 2; /* not while a start is busy */
	(void)snprintf(path, sizeof(path), "%s/run/relay.ctl", r->state);
	c->server = ctl_server_new(r->loop, path, &calls, c, err);
	if (!c->server) {
		control_free(c);
		return NULL;
	}
	return c;
}

void
control_free(struct control *c)
{
	if (!c)
		return;
	ctl_server_free(c->server);
	LIST_EACH (link, &c->questions)
		question_free(LIST_ITEM(link, struct question, link));
	LIST_EACH (link, &c->listings)
		listing_free(LIST_ITEM(link, struct listing, link));
	free(c);
}
