/* control: what our other processes tell the relay over run/relay.ctl, and the
 * housekeeping of the store. Everything that changes the state becomes a job of
 * the store thread; the answer follows when it is durable. */
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "room.h"

#include "postern/clock.h"
#include "postern/ctl.h"
#include "postern/log.h"
#include "postern/origin.h"

enum {
	QUESTION_MEMORY = 2 * CTL_BODY_MAX + 1024 * 1024,
	PRUNE_MS = 3600 * 1000,
	HISTORY_DAYS = 30,
	TIDY_MS = 10 * 1000, /* so long `once` goes on with it */
};

/* One question under way: answered when all its jobs are back. */
struct question {
	struct list link;
	struct ctl_peer *peer; /* NULL: gone */
	struct arena arena;
	size_t jobs;
	bool failed;
	char why[240];
	struct control *c;
	struct policy_wait policies;
};

/* A job and whose it is. */
struct change {
	struct question *q;
	union {
		struct origin_change origins;
		struct poll_result poll;
	};
};

struct control {
	struct relay *r;
	struct ctl_server *server;
	struct list questions;
	struct pruning pruning;
	bool is_pruning;
	int64_t pruned_ms; /* monotonic; begun then, in `once` */
};

/* ---- questions ---- */

static struct question *
question_new(struct control *c, struct ctl_peer *peer, size_t memory)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		abort();
	q->c = c;
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
question_failed(struct question *q, const struct err *err)
{
	q->failed = true;
	(void)snprintf(q->why, sizeof(q->why), "%s", err->text);
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

static void
change_done(void *host, struct store_job *job)
{
	struct change *ch = host;
	struct question *q = ch->q;

	if (job->result != STORE_DONE)
		question_failed(q, &job->err);
	q->jobs--;
	question_look(q);
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
	ch->origins.job.done = change_done;
	ch->origins.job.host = ch;
	return ch;
}

static void
change_add(struct control *c, struct change *ch)
{
	ch->q->jobs++;
	jobs_add(c->r->hub.jobs, &ch->origins.job);
}

/* ---- origins ---- */

/* The UIDLs of one act, cut off *body into a job. NULL: not understood, or no memory. */
static struct change *
uidls_read(struct question *q, struct span *body, enum origin_act act)
{
	struct change *ch = change_new(q, STORE_ORIGINS);
	struct span uidl;
	uint64_t n;

	if (!ch || !ctl_get_u64(body, &n) || n > CTL_BODY_MAX / 4)
		return NULL;
	struct span *uidls = arena_alloc(&q->arena, (size_t)(n + 1) * sizeof(*uidls));
	for (uint64_t i = 0; uidls && i < n; i++) {
		if (!ctl_get_span(body, &uidl))
			return NULL;
		uidls[i] = arena_dup(&q->arena, uidl);
		if (!uidls[i].p)
			return NULL;
	}
	ch->origins.act = act;
	ch->origins.uidls = uidls;
	ch->origins.n = (size_t)n;
	return uidls ? ch : NULL;
}

static void
settled(struct control *c, struct ctl_peer *peer, struct span body)
{
	struct question *q = question_new(c, peer, 2 * QUESTION_MEMORY);
	struct span account;
	struct change *ch = NULL;

	if (ctl_get_span(&body, &account) && account.n <= STORE_NAME_MAX)
		ch = uidls_read(q, &body, ORIGIN_ACT_SETTLE);
	if (!ch) {
		question_free(q);
		say_no(peer, "not understood");
		return;
	}
	ch->origins.account = arena_dup(&q->arena, account);
	change_add(c, ch);
}

/* What a listing changes. The store checks each: it forgets nothing too early. */
static void
listed(struct control *c, struct ctl_peer *peer, struct span body)
{
	static const enum origin_act acts[] = { ORIGIN_ACT_LISTED, ORIGIN_ACT_BACK,
		ORIGIN_ACT_FORGET };
	enum { ACTS = sizeof(acts) / sizeof(acts[0]) };
	struct question *q = question_new(c, peer, 4 * QUESTION_MEMORY);
	struct change *changes[ACTS];
	struct span account;
	uint64_t continued;
	bool ok = ctl_get_span(&body, &account) && ctl_get_u64(&body, &continued) &&
			account.n <= STORE_NAME_MAX;

	if (ok)
		account = arena_dup(&q->arena, account);
	for (size_t i = 0; ok && i < ACTS; i++) {
		changes[i] = uidls_read(q, &body, acts[i]);
		ok = changes[i];
	}
	if (!ok || !account.p) {
		question_free(q);
		say_no(peer, "not understood");
		return;
	}
	for (size_t i = 0; i < ACTS; i++) {
		if (changes[i]->origins.n == 0 &&
				(acts[i] != ORIGIN_ACT_LISTED || continued))
			continue;
		changes[i]->origins.account = account;
		changes[i]->origins.continued = continued != 0;
		change_add(c, changes[i]);
	}
	question_look(q);
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
	struct span account, text, memo, session;
	uint64_t changed;
	json_t *o = NULL;

	if (ctl_get_span(&body, &account) && ctl_get_span(&body, &text) &&
			ctl_get_u64(&body, &changed) && ctl_get_span(&body, &memo) &&
			ctl_get_span(&body, &session) && account.n <= STORE_NAME_MAX &&
			memo.n <= POLL_MEMO_MAX && session.n <= POLL_SESSION_MAX)
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
	p->waiting_octets = number(o, "waiting_octets");
	words = json_string_value(json_object_get(o, "says"));
	p->says = arena_dup(&q->arena, span_first(span_of(words), 1000));
	if (changed)
		p->memo = arena_dup(&q->arena, memo.n ? memo : SPAN(""));
	p->session = arena_dup(&q->arena, session);
	json_decref(o);
	change_add(c, ch);
}

/* ---- the rest ---- */

static void
status(struct control *c, struct ctl_peer *peer)
{
	const struct relay *r = c->r;
	struct store_counters n = store_count(r->hub.store);
	char json[1024];
	struct buf body = BUF_MAX(2048);

	(void)snprintf(json, sizeof(json),
			"{\"role\":\"relay\",\"sessions\":%zu,\"in_hand\":%zu,"
			"\"delivered\":%llu,\"deferred\":%llu,\"refused\":%llu,\"badmail\":%llu,"
			"\"submitted\":%llu,\"groups\":%llu,\"sync_us\":%llu,\"disk_low\":%s,"
			"\"log_lost\":%llu}",
			inbound_sessions(r->inbound), outbound_leases(r->outbound),
			(unsigned long long)r->hub.sum.delivered,
			(unsigned long long)r->hub.sum.deferred,
			(unsigned long long)r->hub.sum.refused,
			(unsigned long long)r->hub.sum.badmail,
			(unsigned long long)n.submitted, (unsigned long long)n.groups,
			(unsigned long long)n.sync_us, r->space_low ? "true" : "false",
			(unsigned long long)log_lost());
	if (ctl_put_span(&body, span_of(json)))
		(void)ctl_reply(peer, CTL_OK, buf_span(&body));
	buf_done(&body);
}

static void
awake(struct policy_wait *w, const struct err *failed)
{
	struct question *q = LIST_ITEM(w, struct question, policies);

	if (failed)
		question_failed(q, failed);
	else
		outbound_refresh(q->c->r->outbound);
	q->jobs--;
	question_look(q);
}

static void
wake(struct control *c, struct ctl_peer *peer)
{
	struct question *q = question_new(c, peer, QUESTION_MEMORY);

	q->policies.in = awake;
	q->jobs++;
	policyload_look(c->r->policyload, &q->policies);
}

static void
reload(struct control *c, struct ctl_peer *peer)
{
	struct err err = { 0 };

	if (c->r->hub.stopping || !renew(c->r, &err))
		say_no(peer,
				c->r->hub.stopping ? "the relay is about to end"
						   : err.text);
	else
		wake(c, peer);
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
	case CTL_RELOAD:
		reload(c, peer);
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
}

static const struct ctl_calls calls = { .said = said, .gone = gone };

static void prune_done(void *host, struct store_job *job);

static void
prune(struct control *c)
{
	c->is_pruning = true;
	c->pruning = (struct pruning){
		.job = { .work = STORE_PRUNE, .done = prune_done, .host = c },
		.keep_ms = HISTORY_DAYS * INT64_C(86400000)
	};
	list_init(&c->pruning.job.link);
	jobs_add(c->r->hub.jobs, &c->pruning.job);
}

static void
prune_done(void *host, struct store_job *job)
{
	struct control *c = host;
	int64_t now = loop_now_ms(c->r->hub.loop);

	c->is_pruning = false;
	if (job->result != STORE_DONE || !c->pruning.more)
		return;
	if (!c->r->hub.once)
		c->pruned_ms = now - PRUNE_MS; /* the rest at the next tick */
	else if (!c->r->hub.stopping && now - c->pruned_ms < TIDY_MS)
		prune(c);
}

void
control_tidy(struct control *c)
{
	if (c->is_pruning)
		return;
	c->pruned_ms = loop_now_ms(c->r->hub.loop);
	prune(c);
}

void
control_tick(struct control *c)
{
	if (!c->r->hub.once && loop_now_ms(c->r->hub.loop) - c->pruned_ms >= PRUNE_MS)
		control_tidy(c);
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
	char path[PATH_MAX + 32];

	if (!c)
		abort();
	c->r = r;
	list_init(&c->questions);
	c->pruned_ms = loop_now_ms(r->hub.loop); /* never in the first hour */
	(void)snprintf(path, sizeof(path), "%s/run/relay.ctl", r->hub.state);
	c->server = ctl_server_new(r->hub.loop, path, &calls, c, err);
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
	free(c);
}
