/* A held message is given to somebody: one transaction. */
#include <stdio.h>

#include "state.h"

static bool
settle_held(struct store *s, const struct queue_assignment *x, bool *was, struct err *e)
{
	AUTO(buf_done) struct buf reason = BUF_MAX(1024);
	if (!buf_addf(&reason, "assigned to " SPAN_FMT, SPAN_ARG(x->address)))
		return err_set(e, EVENT_DATABASE_TROUBLE, "the address is too long");
	struct query q = query_of(&s->self.db, SQL_ASSIGN_HELD);
	query_int(&q, x->id > INT64_MAX ? -1 : (int64_t)x->id);
	query_text(&q, buf_span(&reason));
	query_int(&q, x->now_ms);
	bool good = query_run(&q, "cannot write to the queue", e);
	*was = good && db_changes(&s->self.db) > 0;
	return good;
}

static bool
add_recipient(struct store *s, const struct queue_assignment *x, size_t i,
		struct err *e)
{
	const struct queue_target *to = &x->to[i];
	bool other = !span_eq_nocase(to->address, x->address);
	int64_t hop;
	if (!names_id(s, &s->hops, to->hop, &hop, e))
		return false;
	struct query q = query_of(&s->self.db, SQL_ASSIGN_TO);
	query_int(&q, (int64_t)x->id);
	query_text(&q, to->address);
	query_int(&q, hop);
	query_int(&q, x->now_ms);
	query_text(&q, other ? x->address : SPAN(""));
	query_int(&q, other && x->list);
	return query_run(&q, "cannot write a recipient", e);
}

static bool
add_recipients(struct store *s, const struct queue_assignment *x, struct err *e)
{
	for (size_t i = 0; i < x->n; i++)
		if (!add_recipient(s, x, i, e))
			return false;
	return true;
}

bool
queue_assign(struct store *s, const struct queue_assignment *x, bool *was, bool *added,
		struct err *e)
{
	bool held = false, rule = false;
	bool good = x->address.n > 0 && x->n > 0;
	for (size_t i = 0; i < x->n; i++)
		good = good && x->to[i].address.n > 0 && x->to[i].hop.n > 0;
	if (!good)
		return err_set(e, EVENT_DATABASE_TROUBLE, "nobody to assign to");
	if (!transaction_begin(s, e))
		return false;
	good = settle_held(s, x, &held, e) && (!held || add_recipients(s, x, e)) &&
			(!held || !x->rule || alias_rule_put(s, x->rule, &rule, e));
	if (!transaction_end(s, good, e))
		return false;
	*was = held;
	*added = rule;
	return true;
}
