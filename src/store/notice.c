#include "postern/notice.h"

#include "postern/crash.h"
#include "state.h"

enum { DUE_MOST = 100 };

/* Runs it; did it change a row? */
static bool
changes(struct store *s, struct query *q, bool *changed, struct err *e)
{
	if (!query_run(q, "cannot count a notice", e))
		return false;
	*changed = db_changes(&s->self.db) > 0;
	return true;
}

/* The window of this postmaster is open; an old one without debts begins anew. */
static bool
open_window(struct store *s, struct span postmaster, int64_t now_ms, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_NOTICE_OPEN);

	query_text(&q, postmaster);
	query_int(&q, now_ms);
	query_int(&q, now_ms - NOTICE_WINDOW_MS);
	return query_run(&q, "cannot count a notice", e);
}

/* May it be told by a notice of its own? */
static bool
may_tell(struct store *s, uint64_t about, struct span postmaster, bool *may,
		struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_NOTICE_ABOUT);

	query_int(&q, (int64_t)about);
	query_text(&q, postmaster);
	if (!changes(s, &q, may, e))
		return false;
	if (!*may)
		return true;
	q = query_of(&s->self.db, SQL_NOTICE_SENT);
	query_text(&q, postmaster);
	query_int(&q, NOTICE_MOST);
	return changes(s, &q, may, e);
}

bool
notice_do(struct store *s, uint64_t about, int64_t now_ms, struct notice *n,
		struct err *e)
{
	struct err unfit;
	bool may = false;

	n->queued = false;
	if (!open_window(s, n->postmaster, now_ms, e) ||
			!may_tell(s, about, n->postmaster, &may, e))
		return false;
	if (!may ||
			!submit_check(&n->mail,
					&unfit)) { /* never for its sake no verdict */
		struct query q = query_of(&s->self.db, SQL_NOTICE_MORE);

		query_text(&q, n->postmaster);
		return query_run(&q, "cannot count a notice", e);
	}
	crash_point("store: notice counted");
	n->queued = submit_do(s, &n->mail, e);
	return n->queued;
}

bool
digest_do(struct store *s, struct notice_digest *d, struct err *e)
{
	struct err unfit;
	bool same = false, mail = submit_check(&d->mail, &unfit);
	struct query q = query_of(&s->self.db, SQL_NOTICE_DIGEST);

	d->queued = false;
	query_text(&q, d->about.postmaster);
	query_int(&q, d->about.began_ms);
	query_int(&q, (int64_t)d->about.more);
	query_int(&q, d->at_ms);
	query_int(&q, mail);
	if (!changes(s, &q, &same, e))
		return false;
	if (!same || !mail)
		return true;
	d->queued = submit_do(s, &d->mail, e);
	return d->queued;
}

bool
notice_due(struct reader *r, int64_t now_ms, struct arena *a, struct notice_count **out,
		size_t *n, struct err *e)
{
	struct rows rows = { .size = sizeof(**out) };
	struct query q = query_of(&r->db, SQL_NOTICE_DUE);

	query_int(&q, now_ms - NOTICE_WINDOW_MS);
	query_int(&q, now_ms);
	query_int(&q, DUE_MOST);
	while (query_row(&q)) {
		struct notice_count *c = rows_add(&rows, a);

		if (!c)
			break;
		c->postmaster = query_copy(&q, 0, a);
		c->began_ms = query_get(&q, 1);
		c->more = (uint64_t)query_get(&q, 2);
	}
	if (!query_end(&q, "cannot read the notices", e))
		return false;
	*out = rows.p;
	*n = rows.n;
	return true;
}
