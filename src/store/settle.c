#include "state.h"

static bool
change(struct store *s, const struct settlement *set, const struct settle_recipient *r,
		struct err *e)
{
	int64_t hop = 0;
	if (r->hop.n && !names_id(s, &s->hops, r->hop, &hop, e))
		return false;
	if (r->attempted) {
		/* The attempt before this one, if any, becomes a row of history; the last
		 * one stands in the recipient's own row, so a first success costs no row. */
		struct query q = query_of(&s->self.db, SQL_ATTEMPT_KEEP);
		query_int(&q, (int64_t)set->id);
		query_int(&q, r->seq);
		if (!query_run(&q, "cannot write an attempt", e))
			return false;
	}
	struct query q =
			query_of(&s->self.db, r->attempted ? SQL_ATTEMPTED : SQL_MOVED);
	query_int(&q, (int64_t)set->id);
	query_int(&q, r->seq);
	query_int(&q, r->state);
	query_int(&q, r->next_try_ms);
	if (r->hop.n)
		query_int(&q, hop);
	else
		query_null(&q);
	query_text(&q, r->reason);
	if (r->attempted) {
		query_int(&q, set->at_ms);
		query_int(&q, r->code);
		query_text(&q, r->host);
		query_text(&q, r->reply);
	}
	return query_run(&q, "cannot write a recipient", e);
}

static bool
open_after(struct store *s, uint64_t id, int64_t seq, bool *open, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_OPEN_AFTER);
	query_int(&q, (int64_t)id);
	query_int(&q, seq);
	*open = query_row(&q);
	return query_end(&q, "cannot read the recipients", e);
}

/* Recipients are usually settled in their order, so that the next open one stands right
 * behind; only the last look goes over all of them. */
static bool
any_open(struct store *s, const struct settlement *set, bool *open, struct err *e)
{
	int64_t last = set->n ? (int64_t)set->recipients[set->n - 1].seq : -1;
	return open_after(s, set->id, last, open, e) &&
			(*open || open_after(s, set->id, -1, open, e));
}

static bool
drop_body(struct store *s, uint64_t id, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_BODY_SPOOLED);
	query_int(&q, (int64_t)id);
	bool there = query_row(&q), file = there && query_get(&q, 0);
	if (!query_end(&q, "cannot read the body", e))
		return false;
	if (!there)
		return true;
	q = query_of(&s->self.db, SQL_BODY_DELETE);
	query_int(&q, (int64_t)id);
	if (!query_run(&q, "cannot remove the body", e))
		return false;
	return !file ||
			buf_add(&s->removed,
					(struct span){ (const char *)&id, sizeof id });
}

/* Whoever is still to get a damaged body has an answer soon. */
bool
damage_due(struct store *s, uint64_t id, int64_t now_ms, struct err *e)
{
	int64_t badmail;
	if (!names_id(s, &s->hops, SPAN(QUEUE_HOP_BADMAIL), &badmail, e))
		return false;
	struct query q = query_of(&s->self.db, SQL_DAMAGED_DUE);
	query_int(&q, (int64_t)id);
	query_int(&q, now_ms);
	query_int(&q, badmail);
	query_text(&q, SPAN("5.3.0 the stored body is damaged"));
	return query_run(&q, "cannot write to the queue", e);
}

static bool
damage_do(struct store *s, struct settlement *set, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_BODY_TOLD);
	query_int(&q, (int64_t)set->id);
	query_text(&q, set->damage);
	if (!query_run(&q, "cannot write the body", e))
		return false;
	set->damage_new = db_changes(&s->self.db) > 0;
	if (!set->damage_new)
		return true;
	if (!damage_due(s, set->id, set->at_ms, e))
		return false;
	q = query_of(&s->self.db, SQL_DAMAGED_ORIGIN);
	query_int(&q, (int64_t)set->id);
	if (!query_run(&q, "cannot forget an origin", e))
		return false;
	set->again = db_changes(&s->self.db) > 0;
	return true;
}

bool
settle_do(struct store *s, struct settlement *set, struct err *e)
{
	bool open = true;
	set->settled = set->damage_new = set->again = false;
	for (size_t i = 0; i < set->n; i++)
		if (!set->recipients[i].untouched &&
				!change(s, set, &set->recipients[i], e))
			return false;
	for (struct notice *n = set->notices; n; n = n->next)
		if (!notice_do(s, set->id, set->at_ms, n, e))
			return false;
	if (set->damage.n > 0 && !damage_do(s, set, e))
		return false;
	if (!any_open(s, set, &open, e) || (!open && !drop_body(s, set->id, e)))
		return false;
	set->settled = !open;
	return true;
}

static bool
prune_ledger(struct store *s, struct pruning *p, struct err *e)
{
	if (!steady_mark(s, STORE_LEDGER_MS, &s->ledger_end, e))
		return false;
	struct query q = query_of(&s->self.db, SQL_PRUNE_LEDGER);
	query_int(&q, (int64_t)s->ledger_end);
	query_int(&q, PRUNE_KEYS);
	if (!query_run(&q, "cannot prune the ledger", e))
		return false;
	p->more |= db_changes(&s->self.db) == PRUNE_KEYS;
	return true;
}

/* Next hops that no recipient names any more. To find them takes a walk over all recipients,
 * so it is made when many have come since the last one. */
static bool
prune_hops(struct store *s, struct err *e)
{
	int64_t n = 0;
	struct query q = query_of(&s->self.db, SQL_HOP_COUNT);
	if (query_row(&q))
		n = query_get(&q, 0);
	if (!query_end(&q, "cannot count the next hops", e))
		return false;
	if (n < s->hops_kept + HOPS_MANY)
		return true;
	q = query_of(&s->self.db, SQL_PRUNE_HOPS);
	if (!query_run(&q, "cannot forget next hops", e))
		return false;
	s->hops_kept = n - (int64_t)db_changes(&s->self.db);
	names_forget(&s->hops);
	return true;
}

bool
prune_do(struct store *s, struct pruning *p, struct err *e)
{
	int64_t ids[PRUNE_AT_ONCE];
	uint64_t end;
	size_t n = 0;
	if (!steady_put(s, e) || !steady_mark(s, p->keep_ms, &end, e))
		return false;
	struct query q = query_of(&s->self.db, SQL_PRUNE_FIND);
	query_int(&q, (int64_t)end);
	query_int(&q, PRUNE_AT_ONCE);
	while (n < PRUNE_AT_ONCE && query_row(&q))
		ids[n++] = query_get(&q, 0);
	if (!query_end(&q, "cannot read the history", e))
		return false;
	static const enum sql parts[] = { SQL_PRUNE_RECIPIENTS, SQL_PRUNE_ATTEMPTS,
		SQL_PRUNE_NOTICES, SQL_PRUNE_MESSAGE };
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
			q = query_of(&s->self.db, parts[k]);
			query_int(&q, ids[i]);
			if (!query_run(&q, "cannot forget history", e))
				return false;
		}
	p->pruned = n;
	p->more = n == PRUNE_AT_ONCE;
	return prune_ledger(s, p, e) && (p->more || prune_hops(s, e));
}

static bool
retime_hop(struct store *s, struct retiming *t, int64_t hop, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_RETIME);
	query_int(&q, hop);
	query_int(&q, t->latest_ms);
	if (!query_run(&q, "cannot write to the queue", e))
		return false;
	t->changed += db_changes(&s->self.db);
	return true;
}

bool
retime_do(struct store *s, struct retiming *t, struct err *e)
{
	int64_t hop = -1;
	t->changed = 0;
	if (t->hop.n > 0) {
		struct query q = query_of(&s->self.db, SQL_HOP_FIND);
		query_text(&q, t->hop);
		bool known = query_row(&q);
		hop = known ? query_get(&q, 0) : hop;
		return query_end(&q, "cannot read the queue", e) &&
				(!known || retime_hop(s, t, hop, e));
	}
	for (;;) {
		struct query q = query_of(&s->self.db, SQL_HOP_NEXT);
		query_int(&q, hop);
		bool more = query_row(&q);
		hop = more ? query_get(&q, 0) : hop;
		if (!query_end(&q, "cannot read the queue", e))
			return false;
		if (!more)
			return true;
		if (!retime_hop(s, t, hop, e))
			return false;
	}
}
