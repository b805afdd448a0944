#include <stdio.h>

#include "postern/crash.h"
#include "postern/origin.h"
#include "postern/qid.h"
#include "postern/sum.h"
#include "state.h"

static uint64_t
body_octets(const struct submission *sub)
{
	return sub->spool_fd >= 0 ? sub->spool_size : sub->body.n;
}

bool
submit_check(const struct submission *sub, struct err *e)
{
	if (sub->n == 0 || sub->n > STORE_RECIPIENTS_MAX)
		return err_set(e, EVENT_DATABASE_TROUBLE,
				"a message with %zu recipients", sub->n);
	if (sub->account.n > STORE_NAME_MAX || sub->uidl.n > STORE_UIDL_MAX ||
			sub->claim.n > STORE_UIDL_MAX ||
			(sub->account.n > 0) != (sub->uidl.n > 0) ||
			(sub->account.n > 0 && sub->claim.n > 0))
		return err_set(e, EVENT_DATABASE_TROUBLE,
				"a message with no proper origin");
	if (sub->route.n > STORE_ROUTE_MAX)
		return err_set(e, EVENT_DATABASE_TROUBLE,
				"a route record of %zu octets", sub->route.n);
	if (sub->id == 0 || sub->id > INT64_MAX)
		return err_set(e, EVENT_DATABASE_TROUBLE, "a message without queue id");
	for (size_t i = 0; i < sub->n; i++) {
		const struct submission_recipient *r = &sub->recipients[i];
		if (r->key.n > 0 && (r->key.n != STORE_KEY_SIZE || !sub->copy_of))
			return err_set(e, EVENT_DATABASE_TROUBLE,
					"a key of the ledger without its place");
	}
	if (sub->spool_fd < 0 && sub->body.n > BODY_BLOB_MAX)
		return err_set(e, EVENT_DATABASE_TROUBLE,
				"a body of %zu octets outside the spool", sub->body.n);
	return true;
}

static bool
had_already(struct store *s, struct submission *sub, struct span account,
		struct span uidl, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_ORIGIN_FIND);
	query_text(&q, account);
	query_text(&q, uidl);
	if (query_row(&q))
		sub->had = (uint64_t)query_get(&q, 0);
	sub->job.result = STORE_HAD;
	return query_end(&q, "cannot read the origins", e);
}

static bool
add_message(struct store *s, const struct submission *sub, int64_t account,
		struct err *e)
{
	unsigned flags = sub->flags & ~(unsigned)MESSAGE_SPOOLED;
	struct query q = query_of(&s->self.db, SQL_MESSAGE_ADD);
	query_int(&q, (int64_t)sub->id);
	if (sub->account.n)
		query_int(&q, account);
	else
		query_null(&q);
	query_text(&q, sub->uidl);
	query_text(&q, sub->source);
	query_text(&q, sub->sender);
	query_text(&q, sub->message_id);
	query_int(&q, (int64_t)(sub->top.n + body_octets(sub)));
	query_int(&q, sub->arrived_ms);
	query_int(&q, flags | (sub->spool_fd >= 0 ? MESSAGE_SPOOLED : 0));
	query_text(&q, sub->route);
	return query_run(&q, "cannot write the message", e);
}

static bool
add_body(struct store *s, const struct submission *sub, struct err *e)
{
	uint8_t sum[SUM_SIZE];
	bool summed = sub->spool_fd < 0 || sub->spool_sum;
	if (sub->spool_fd < 0)
		sum_of(sub->body, sum);
	else if (sub->spool_sum)
		sum_get(sub->spool_sum, sum);
	struct query q = query_of(&s->self.db, SQL_BODY_ADD);
	query_int(&q, (int64_t)sub->id);
	query_int(&q, (int64_t)(sub->top.n + body_octets(sub)));
	query_blob(&q, sub->top);
	if (sub->spool_fd >= 0)
		query_null(&q);
	else
		query_blob(&q, sub->body);
	if (summed)
		query_blob(&q, (struct span){ (const char *)sum, sizeof sum });
	else
		query_null(&q);
	return query_run(&q, "cannot write the body", e);
}

/* Has this recipient had the mail, or is it on its way to him? *first is the message it
 * came with, 0: no. */
static bool
look_up(struct store *s, struct span key, uint64_t *first, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_LEDGER_FIND);
	query_blob(&q, key);
	query_int(&q, (int64_t)s->ledger_end);
	*first = query_row(&q) ? (uint64_t)query_get(&q, 0) : 0;
	return query_end(&q, "cannot read the ledger", e);
}

/* The same, and if not: it has from now on. Mostly it has not, so that comes first. *first
 * is 0 before. */
static bool
enter(struct store *s, const struct submission *sub, size_t i, uint64_t *first,
		struct err *e)
{
	struct span key = sub->recipients[i].key;
	struct query q = query_of(&s->self.db, SQL_LEDGER_ADD);
	query_blob(&q, key);
	query_int(&q, (int64_t)sub->id);
	query_int(&q, (int64_t)i);
	query_int(&q, (int64_t)s->ledger_end);
	if (!query_run(&q, "cannot write to the ledger", e))
		return false;
	if (db_changes(&s->self.db) == 0)
		return look_up(s, key, first, e);
	crash_point("store: ledger written");
	return true;
}

static bool
in_ledger(struct store *s, const struct submission *sub, size_t i, uint64_t *first,
		struct err *e)
{
	const struct submission_recipient *r = &sub->recipients[i];
	*first = 0;
	if (r->key.n == 0)
		return true;
	if (r->state == QUEUE_QUEUED)
		return enter(s, sub, i, first, e);
	return r->state != QUEUE_REFUSED || look_up(s, r->key, first, e);
}

static bool
add_recipient(struct store *s, struct submission *sub, size_t i, bool *open,
		struct err *e)
{
	const struct submission_recipient *r = &sub->recipients[i];
	char qid[QID_SIZE], copy[64];
	uint64_t first;
	int64_t hop;
	if (!names_id(s, &s->hops, r->hop.n ? r->hop : SPAN("-"), &hop, e) ||
			!in_ledger(s, sub, i, &first, e))
		return false;
	if (sub->copy_of)
		sub->copy_of[i] = first;
	qid_print(first, qid);
	(void)snprintf(copy, sizeof copy, "Copy of %s", qid);
	*open |= first == 0;
	struct query q = query_of(&s->self.db, SQL_RECIPIENT_ADD);
	query_int(&q, (int64_t)sub->id);
	query_int(&q, (int64_t)i);
	query_text(&q, r->address);
	query_int(&q, first ? QUEUE_DUPLICATE : r->state);
	query_int(&q, hop);
	query_int(&q, sub->arrived_ms);
	query_int(&q, first ? 0 : r->code);
	query_text(&q, first ? span_of(copy) : r->reply);
	query_text(&q, first ? SPAN("") : r->reason);
	query_text(&q, r->asked);
	query_int(&q, r->asked_list);
	return query_run(&q, "cannot write a recipient", e);
}

/* No body where nobody is to get it; its file goes after the commit. */
static bool
add_rest(struct store *s, struct submission *sub, struct err *e)
{
	bool open = false;
	for (size_t i = 0; i < sub->n; i++)
		if (!add_recipient(s, sub, i, &open, e))
			return false;
	if (open)
		return add_body(s, sub, e);
	return sub->spool_fd < 0 ||
			buf_add(&s->removed,
					(struct span){ (const char *)&sub->id,
							sizeof sub->id });
}

bool
submit_do(struct store *s, struct submission *sub, struct err *e)
{
	struct span name = sub->claim.n ? SPAN(ORIGIN_CLAIMS) : sub->account;
	struct span uidl = sub->claim.n ? sub->claim : sub->uidl;
	int64_t account = 0;
	sub->had = 0;
	if (name.n) {
		if (!names_id(s, &s->accounts, name, &account, e))
			return false;
		struct query q = query_of(&s->self.db, SQL_ORIGIN_ADD);
		query_int(&q, account);
		query_text(&q, uidl);
		query_int(&q, (int64_t)sub->id);
		query_int(&q, store_steady_ms(s));
		query_int(&q, (int64_t)sub->print);
		if (!query_run(&q, "cannot write the origin", e))
			return false;
		if (db_changes(&s->self.db) == 0)
			return had_already(s, sub, name, uidl, e);
		crash_point("store: origin written");
	}
	return add_message(s, sub, account, e) && add_rest(s, sub, e);
}
