#include <string.h>

#include "postern/origin.h"
#include "state.h"

enum { SESSIONS_KEPT = 5, SESSIONS_FAILED = 2 };

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
		[ORIGIN_ACT_ADOPT] = SQL_ORIGIN_ADOPT,
		[ORIGIN_ACT_UNCLAIM] = SQL_ORIGIN_UNCLAIM,
	};
	int64_t account, now_ms = store_steady_ms(s);
	if (!names_id(s, &s->accounts, c->account, &account, e))
		return false;
	if (c->act == ORIGIN_ACT_LISTED && !c->continued && !listed(s, account, e))
		return false;
	for (size_t i = 0; i < c->n; i++) {
		struct query q = query_of(&s->self.db, words[c->act]);
		query_int(&q, account);
		query_text(&q, c->uidls[i]);
		if (c->act == ORIGIN_ACT_LISTED || c->act == ORIGIN_ACT_ADOPT)
			query_int(&q, now_ms);
		if (c->act == ORIGIN_ACT_FORGET)
			query_int(&q, now_ms - ORIGIN_KEEP_MS);
		if (!query_run(&q, "cannot write an origin", e))
			return false;
	}
	return true;
}

static bool
memo_put(struct store *s, int64_t account, struct span memo, struct err *e)
{
	if (!memo.p)
		return true;
	struct query q = query_of(&s->self.db, memo.n ? SQL_MEMO_PUT : SQL_MEMO_DROP);
	query_int(&q, account);
	if (memo.n)
		query_text(&q, memo);
	return query_run(&q, "cannot write the account's memory", e);
}

static bool
session_put(struct store *s, int64_t account, const struct poll_result *p,
		struct err *e)
{
	if (p->session.n == 0)
		return true;
	struct query q = query_of(&s->self.db, SQL_SESSION_PUT);
	query_int(&q, account);
	query_int(&q, p->started_ms);
	query_int(&q, p->ok);
	query_text(&q, p->session);
	if (!query_run(&q, "cannot write the session", e))
		return false;
	q = query_of(&s->self.db, SQL_SESSION_PRUNE);
	query_int(&q, account);
	query_int(&q, SESSIONS_KEPT);
	query_int(&q, SESSIONS_FAILED);
	return query_run(&q, "cannot prune the sessions", e);
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
	query_int(&q, (int64_t)p->waiting_octets);
	query_text(&q, p->says);
	return query_run(&q, "cannot write the poll's result", e) &&
			memo_put(s, account, p->memo, e) &&
			session_put(s, account, p, e);
}

bool
origins_do(struct store *s, struct store_job *job, struct err *e)
{
	return job->work == STORE_POLLED
			? polled(s, LIST_ITEM(job, struct poll_result, job), e)
			: change(s, LIST_ITEM(job, struct origin_change, job), e);
}

/* ---- reading ---- */

static enum origin_state
state_of(int64_t settled)
{
	return settled == 2	  ? ORIGIN_ADOPTED
			: settled ? ORIGIN_SETTLED
				  : ORIGIN_COMMITTED;
}

void
origin_walk(struct reader *r, struct span account)
{
	r->walk = query_of(&r->db, SQL_ORIGIN_WALK);
	query_text(&r->walk, account);
}

bool
origin_walk_next(struct reader *r, struct origin_row *out)
{
	struct query *q = &r->walk;

	if (!query_row(q))
		return false;
	*out = (struct origin_row){
		.uidl = query_peek(q, 0),
		.id = (uint64_t)query_get(q, 1),
		.state = state_of(query_get(q, 2)),
		.committed_ms = query_get(q, 3),
		.absent = query_get(q, 4) > 0,
		.absent_ms = query_get(q, 5),
		.print = (uint64_t)query_get(q, 6),
	};
	return true;
}

bool
origin_walk_end(struct reader *r, struct err *e)
{
	return query_end(&r->walk, "cannot read the origins", e);
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
		*out = state_of(query_get(&q, 1));
		if (id)
			*id = (uint64_t)query_get(&q, 0);
	}
	return query_end(&q, "cannot read the origins", e);
}

bool
origin_since(struct reader *r, struct span account, struct span uidl, int64_t *out,
		struct err *e)
{
	struct query q = query_of(&r->db, SQL_ORIGIN_FIND);
	query_text(&q, account);
	query_text(&q, uidl);
	*out = query_row(&q) ? query_get(&q, 2) : 0;
	return query_end(&q, "cannot read the origins", e);
}

static void
query_since(struct query *q, int64_t since_ms)
{
	query_int(q, id_before(since_ms));
	query_int(q, since_ms);
}

bool
origin_collected_all(struct reader *r, int64_t since_ms, struct arena *a,
		struct collected **out, size_t *n, struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	struct query q = query_of(&r->db, SQL_ORIGIN_COLLECTED_ALL);
	query_since(&q, since_ms);
	while (query_row(&q)) {
		struct collected *c = rows_add(&rows, a);
		if (!c) {
			q.rc = SQLITE_NOMEM;
			break;
		}
		c->account = query_copy(&q, 0, a);
		c->messages = (uint64_t)query_get(&q, 1);
	}
	*out = rows.p;
	*n = rows.n;
	return query_end(&q, "cannot read the history", e);
}

bool
origin_collected(struct reader *r, struct span account, int64_t since_ms, uint64_t *out,
		struct err *e)
{
	struct query q = query_of(&r->db, SQL_ORIGIN_COLLECTED);
	query_text(&q, account);
	query_since(&q, since_ms);
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
	p->success_ms = query_get(q, 14);
	p->waiting_octets = (uint64_t)query_get(q, 15);
	p->says = query_copy(q, 16, a);
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

bool
poll_memo(struct reader *r, struct span account, struct arena *a, struct span *out,
		struct err *e)
{
	*out = SPAN("");
	struct query q = query_of(&r->db, SQL_MEMO_GET);
	query_text(&q, account);
	if (query_row(&q))
		*out = query_copy(&q, 0, a);
	return query_end(&q, "cannot read the account's memory", e);
}

bool
poll_sessions(struct reader *r, struct span account, struct arena *a,
		struct poll_session **out, size_t *n, struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	struct query q = query_of(&r->db, SQL_SESSION_ALL);
	query_text(&q, account);
	while (query_row(&q)) {
		struct poll_session *s = rows_add(&rows, a);
		if (!s) {
			q.rc = SQLITE_NOMEM;
			break;
		}
		s->started_ms = query_get(&q, 0);
		s->ok = query_get(&q, 1) != 0;
		s->text = query_copy(&q, 2, a);
	}
	*out = rows.p;
	*n = rows.n;
	return query_end(&q, "cannot read the sessions", e);
}
