#include <stdlib.h>
#include <string.h>

#include "postern/origin.h"
#include "state.h"

/* ---- writing ---- */

static bool
listed(struct store *s, int64_t account, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_ORIGIN_LISTED);
	query_int(&q, account);
	return query_run(&q, "cannot write the listing", e);
}

static bool
change(struct store *s, const struct origin_change *c, struct err *e)
{
	static const enum sql words[] = {
		[ORIGIN_ACT_SETTLE] = SQL_ORIGIN_SETTLE,
		[ORIGIN_ACT_LISTED] = SQL_ORIGIN_ABSENT,
		[ORIGIN_ACT_BACK] = SQL_ORIGIN_BACK,
		[ORIGIN_ACT_FORGET] = SQL_ORIGIN_FORGET,
	};
	int64_t account;
	if (!names_id(s, &s->accounts, c->account, &account, e))
		return false;
	if (c->act == ORIGIN_ACT_LISTED && !c->continued && !listed(s, account, e))
		return false;
	for (size_t i = 0; i < c->n; i++) {
		struct query q = query_of(&s->self.db, words[c->act]);
		query_int(&q, account);
		query_text(&q, c->uidls[i]);
		if (c->act == ORIGIN_ACT_LISTED)
			query_int(&q, c->now_ms);
		if (c->act == ORIGIN_ACT_FORGET)
			query_int(&q, c->now_ms - ORIGIN_KEEP_MS);
		if (!query_run(&q, "cannot write an origin", e))
			return false;
	}
	return true;
}

static bool
polled(struct store *s, const struct poll_result *p, struct err *e)
{
	int64_t account;
	if (!names_id(s, &s->accounts, p->account, &account, e))
		return false;
	struct query q = query_of(&s->self.db, SQL_POLL_PUT);
	query_int(&q, account);
	query_int(&q, p->started_ms);
	query_int(&q, p->ended_ms);
	query_int(&q, p->next_ms);
	query_int(&q, p->ok);
	query_int(&q, p->event);
	query_text(&q, p->text);
	query_int(&q, (int64_t)p->listed);
	query_int(&q, (int64_t)p->collected);
	query_int(&q, (int64_t)p->deleted);
	query_int(&q, (int64_t)p->skipped);
	query_int(&q, (int64_t)p->failed);
	query_int(&q, (int64_t)p->octets);
	query_int(&q, (int64_t)p->waiting);
	return query_run(&q, "cannot write the poll's result", e);
}

bool
origins_do(struct store *s, struct store_job *job, struct err *e)
{
	return job->work == STORE_POLLED
			? polled(s, LIST_ITEM(job, struct poll_result, job), e)
			: change(s, LIST_ITEM(job, struct origin_change, job), e);
}

/* ---- reading ---- */

static int
by_uidl(const void *a, const void *b)
{
	const struct origin_listed *x = a, *y = b;
	int order = span_cmp(x->uidl, y->uidl);
	return order ? order : (x->number > y->number) - (x->number < y->number);
}

static bool
spans_add(struct rows *l, struct arena *a, struct span s)
{
	struct span *at = rows_add(l, a);
	if (!at)
		return false;
	*at = arena_dup(a, s);
	return at->p != NULL;
}

struct match {
	struct origin_listed *listed;
	size_t n, at;
	struct origin_changes *changes;
	struct rows absent, back, forget;
	struct arena *a;
	int64_t now_ms;
};

/* One origin against the listing; both are in the order of octets. */
static bool
match_one(struct match *m, struct query *q)
{
	struct span uidl = query_peek(q, 0);
	bool gone = query_get(q, 4) > 0, found = false;
	while (m->at < m->n && span_cmp(m->listed[m->at].uidl, uidl) < 0)
		m->at++;
	for (size_t i = m->at; i < m->n && span_eq(m->listed[i].uidl, uidl); i++) {
		struct origin_listed *l = &m->listed[i];
		l->id = (uint64_t)query_get(q, 1);
		l->state = query_get(q, 2) ? ORIGIN_SETTLED : ORIGIN_COMMITTED;
		l->committed_ms = query_get(q, 3);
		m->at = i + 1;
		found = true;
	}
	if (!m->changes)
		return true;
	m->changes->known++;
	if (found)
		return !gone || spans_add(&m->back, m->a, uidl);
	m->changes->unlisted++;
	if (!gone)
		return spans_add(&m->absent, m->a, uidl);
	return query_get(q, 5) > m->now_ms - ORIGIN_KEEP_MS ||
			spans_add(&m->forget, m->a, uidl);
}

bool
origin_match(struct reader *r, const struct origin_listing *l,
		struct origin_changes *changes, struct arena *a, struct err *e)
{
	if (l->n > 0)
		qsort(l->listed, l->n, sizeof *l->listed, by_uidl);
	for (size_t i = 0; i < l->n; i++) {
		l->listed[i].state = ORIGIN_NEW;
		l->listed[i].id = 0;
		l->listed[i].committed_ms = 0;
	}
	if (changes)
		memset(changes, 0, sizeof *changes);
	struct match m = { .listed = l->listed,
		.n = l->n,
		.changes = changes,
		.a = a,
		.now_ms = l->now_ms };
	m.absent.size = m.back.size = m.forget.size = sizeof(struct span);
	struct query q = query_of(&r->db, SQL_ORIGIN_WALK);
	query_text(&q, l->account);
	while (query_row(&q))
		if (!match_one(&m, &q))
			q.rc = SQLITE_NOMEM;
	if (changes) {
		changes->absent = m.absent.p;
		changes->n_absent = m.absent.n;
		changes->back = m.back.p;
		changes->n_back = m.back.n;
		changes->forget = m.forget.p;
		changes->n_forget = m.forget.n;
	}
	return query_end(&q, "cannot read the origins", e);
}

bool
origin_look(struct reader *r, struct span account, struct span uidl,
		enum origin_state *out, uint64_t *id, struct err *e)
{
	*out = ORIGIN_NEW;
	struct query q = query_of(&r->db, SQL_ORIGIN_FIND);
	query_text(&q, account);
	query_text(&q, uidl);
	if (query_row(&q)) {
		*out = query_get(&q, 1) ? ORIGIN_SETTLED : ORIGIN_COMMITTED;
		if (id)
			*id = (uint64_t)query_get(&q, 0);
	}
	return query_end(&q, "cannot read the origins", e);
}

bool
origin_collected(struct reader *r, struct span account, int64_t since_ms, uint64_t *out,
		struct err *e)
{
	struct query q = query_of(&r->db, SQL_ORIGIN_COLLECTED);
	query_text(&q, account);
	query_int(&q, since_ms > 0 && since_ms < INT64_MAX >> 16 ? since_ms << 16 : 0);
	query_int(&q, since_ms);
	*out = query_row(&q) ? (uint64_t)query_get(&q, 0) : 0;
	return query_end(&q, "cannot read the history", e);
}

static bool
poll_get(struct query *q, struct arena *a, struct poll_result *p)
{
	p->account = query_copy(q, 0, a);
	p->started_ms = query_get(q, 1);
	p->ended_ms = query_get(q, 2);
	p->next_ms = query_get(q, 3);
	p->ok = query_get(q, 4) != 0;
	p->event = (int)query_get(q, 5);
	p->text = query_copy(q, 6, a);
	p->listed = (uint64_t)query_get(q, 7);
	p->collected = (uint64_t)query_get(q, 8);
	p->deleted = (uint64_t)query_get(q, 9);
	p->skipped = (uint64_t)query_get(q, 10);
	p->failed = (uint64_t)query_get(q, 11);
	p->octets = (uint64_t)query_get(q, 12);
	p->waiting = (uint64_t)query_get(q, 13);
	return q->rc == SQLITE_ROW;
}

bool
poll_results(struct reader *r, struct arena *a, struct poll_result **out, size_t *n,
		struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	struct query q = query_of(&r->db, SQL_POLL_ALL);
	while (query_row(&q)) {
		struct poll_result *p = rows_add(&rows, a);
		if (!p || !poll_get(&q, a, p))
			q.rc = SQLITE_NOMEM;
	}
	*out = rows.p;
	*n = rows.n;
	return query_end(&q, "cannot read the polls", e);
}
