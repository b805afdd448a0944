#include "postern/aliasstore.h"

#include "state.h"

bool
aliasstore_load(struct reader *r, struct span account, struct arena *a,
		struct aliasstore_rule **out, size_t *n, struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	struct query q = query_of(
			&r->db, account.n ? SQL_ALIAS_RULES : SQL_ALIAS_RULES_ALL);
	if (account.n)
		query_text(&q, account);
	while (rows.n < ALIAS_RULES_MAX && query_row(&q)) {
		struct aliasstore_rule *rule = rows_add(&rows, a);
		if (!rule) {
			q.rc = SQLITE_NOMEM;
			break;
		}
		rule->account = query_copy(&q, 0, a);
		rule->match = query_copy(&q, 1, a);
		rule->target = query_copy(&q, 2, a);
		rule->made_ms = query_get(&q, 3);
	}
	*out = rows.p;
	*n = rows.n;
	return query_end(&q, "cannot read the alias rules", e);
}

static bool
raise_version(struct store *s, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_VERSION_RAISE);
	return query_run(&q, "cannot write the alias rules", e);
}

/* Inside a transaction. */
bool
alias_rule_put(struct store *s, const struct aliasstore_rule *rule, bool *added,
		struct err *e)
{
	if (rule->account.n == 0 || rule->account.n > STORE_NAME_MAX ||
			rule->match.n == 0 || rule->match.n > ALIAS_MATCH_MAX ||
			rule->target.n == 0 || rule->target.n > ALIAS_TARGET_MAX)
		return err_set(e, EVENT_DATABASE_TROUBLE, "an alias rule that is none");
	struct query q = query_of(&s->self.db, SQL_ALIAS_RULE_ADD);
	query_text(&q, rule->account);
	query_text(&q, rule->match);
	query_text(&q, rule->target);
	query_int(&q, rule->made_ms);
	if (!query_run(&q, "cannot write the alias rules", e))
		return false;
	*added = db_changes(&s->self.db) > 0;
	return !*added || raise_version(s, e);
}

bool
aliasstore_add(struct store *s, const struct aliasstore_rule *rule, bool *added,
		struct err *e)
{
	if (!transaction_begin(s, e))
		return false;
	return transaction_end(s, alias_rule_put(s, rule, added, e), e);
}

bool
aliasstore_forget(struct store *s, struct span account, struct span match,
		uint64_t *was, struct err *e)
{
	if (!transaction_begin(s, e))
		return false;
	struct query q = query_of(&s->self.db, SQL_ALIAS_RULE_FORGET);
	query_text(&q, account);
	query_text(&q, match);
	bool good = query_run(&q, "cannot write the alias rules", e);
	*was = good ? db_changes(&s->self.db) : 0;
	good = good && (*was == 0 || raise_version(s, e));
	return transaction_end(s, good, e);
}
