#include "postern/accountstore.h"

#include "state.h"

enum { RETRIES_MAX = 1000 }; /* requests for messages of one account, the last ones */

bool
accountstore_resumed(
		struct reader *r, struct span account, uint64_t *times, struct err *e)
{
	struct query q = query_of(&r->db, SQL_RESUMED);

	query_text(&q, account);
	*times = query_row(&q) ? (uint64_t)query_get(&q, 0) : 0;
	return query_end(&q, "cannot read whether the account goes on", e);
}

bool
accountstore_resume(struct store *s, struct span account, struct err *e)
{
	if (!transaction_begin(s, e))
		return false;
	struct query q = query_of(&s->self.db, SQL_RESUME);
	query_text(&q, account);
	return transaction_end(s,
			query_run(&q, "cannot write that the account goes on", e), e);
}

bool
accountstore_retries(struct reader *r, struct span account, uint64_t *asked,
		void (*each)(void *host, struct span uidl), void *host, struct err *e)
{
	struct query q = query_of(&r->db, SQL_RETRIES);

	query_text(&q, account);
	query_int(&q, (int64_t)*asked);
	while (query_row(&q)) {
		*asked = (uint64_t)query_get(&q, 0);
		each(host, query_peek(&q, 1));
	}
	return query_end(&q, "cannot read what was asked for again", e);
}

bool
accountstore_retry(
		struct store *s, struct span account, struct span uidl, struct err *e)
{
	if (!transaction_begin(s, e))
		return false;
	struct query q = query_of(&s->self.db, SQL_RETRY);
	query_text(&q, account);
	query_text(&q, uidl);
	bool ok = query_run(&q, "cannot write what is asked for again", e);
	if (ok) { /* where all is asked for, what was named before is in it */
		struct query shed = query_of(&s->self.db, SQL_RETRY_SHED);
		query_text(&shed, account);
		query_int(&shed, uidl.n > 0 ? RETRIES_MAX : 0);
		ok = query_run(&shed, "cannot remove what was asked for before", e);
	}
	return transaction_end(s, ok, e);
}
