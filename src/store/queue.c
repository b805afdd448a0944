#include <string.h>

#include "postern/map.h"
#include "postern/qid.h"
#include "state.h"

enum { LIST_MOST = 100, FIND_MOST = 100 };

/* ---- rows ---- */

static bool
ask_message(struct query *q, struct arena *a, struct queue_message *m)
{
	m->id = (uint64_t)query_get(q, 0);
	m->account = query_copy(q, 1, a);
	m->uidl = query_copy(q, 2, a);
	m->source = query_copy(q, 3, a);
	m->sender = query_copy(q, 4, a);
	m->message_id = query_copy(q, 5, a);
	m->size = (uint64_t)query_get(q, 6);
	m->arrived_ms = query_get(q, 7);
	m->flags = (unsigned)query_get(q, 8);
	m->body = query_get(q, 9) != 0;
	return q->rc == SQLITE_ROW;
}

static bool
recipient(struct query *q, struct arena *a, struct queue_recipient *r)
{
	int64_t state = query_get(q, 1);
	/* Bytes on disk are hostile too. */
	r->state = state >= 0 && state <= QUEUE_DUPLICATE ? (enum queue_state)state
							  : QUEUE_HELD;
	r->seq = (uint32_t)query_get(q, 0);
	r->attempts = (uint32_t)query_get(q, 2);
	r->code = (int)query_get(q, 3);
	r->next_try_ms = query_get(q, 4);
	r->last_ms = query_get(q, 5);
	r->address = query_copy(q, 6, a);
	r->hop = query_copy(q, 7, a);
	r->host = query_copy(q, 8, a);
	r->reply = query_copy(q, 9, a);
	r->reason = query_copy(q, 10, a);
	r->asked = query_copy(q, 11, a);
	r->asked_list = query_get(q, 12) != 0;
	return q->rc == SQLITE_ROW;
}

/* The recipients that a query with its values bound gives. */
static bool
ask_recipients(struct query *q, struct arena *a, struct queue_message *m)
{
	struct rows rows = { .size = sizeof *m->recipients };
	while (query_row(q)) {
		struct queue_recipient *r = rows_add(&rows, a);
		if (!r || !recipient(q, a, r))
			q->rc = SQLITE_NOMEM;
	}
	m->recipients = rows.p;
	m->n = rows.n;
	return q->rc == SQLITE_DONE;
}

static bool
all_recipients(struct reader *r, struct arena *a, struct queue_message *m,
		struct err *e)
{
	struct query q = query_of(&r->db, SQL_RECIPIENTS_ALL);
	query_int(&q, (int64_t)m->id);
	(void)ask_recipients(&q, a, m);
	return query_end(&q, "cannot read the recipients", e);
}

static bool
one_message(struct reader *r, uint64_t id, struct arena *a, struct queue_message *m,
		bool *found, struct err *e)
{
	struct query q = query_of(&r->db, SQL_MESSAGE_GET);
	query_int(&q, (int64_t)id);
	*found = query_row(&q);
	if (*found && !ask_message(&q, a, m))
		q.rc = SQLITE_NOMEM;
	return query_end(&q, "cannot read the message", e);
}

/* Several statements, one moment: else a settlement between them would show halves. */
bool
ask_snapshot(struct reader *r, bool *ours, struct err *e)
{
	*ours = !db_in_transaction(&r->db);
	struct query q = query_of(&r->db, SQL_BEGIN_READ);
	return !*ours || query_run(&q, "cannot read the database", e);
}

bool
ask_snapshot_end(struct reader *r, bool ours, bool good)
{
	struct query q = query_of(&r->db, SQL_ROLLBACK);
	if (ours)
		(void)query_run(&q, "snapshot", NULL);
	return good;
}

/* ---- dispatch ---- */

bool
queue_hops(struct reader *r, struct arena *a, struct queue_hop **out, size_t *n,
		struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	int64_t hop = 0;
	bool good = true, more = true;
	while (good && more) {
		struct query q = query_of(&r->db, SQL_HOP_NEXT);
		query_int(&q, hop);
		more = query_row(&q);
		struct queue_hop *h = more ? rows_add(&rows, a) : NULL;
		if (h) {
			hop = query_get(&q, 0);
			h->next_try_ms = query_get(&q, 1);
		} else if (more) {
			q.rc = SQLITE_NOMEM;
		}
		good = query_end(&q, "cannot read the queue", e);
		if (!good || !h)
			continue;
		q = query_of(&r->db, SQL_HOP_KEY);
		query_int(&q, hop);
		if (query_row(&q))
			h->hop = query_copy(&q, 0, a);
		good = query_end(&q, "cannot read the queue", e);
	}
	*out = rows.p;
	*n = rows.n;
	return good;
}

struct due {
	struct reader *r;
	const struct queue_due *want;
	struct arena *a;
	int64_t hop;
	struct rows rows;
	struct map taken; /* a message comes up once for each time its recipients are due */
};

static bool
due_message(struct due *d, uint64_t id, struct err *e)
{
	uint64_t *key = arena_alloc(d->a, sizeof *key);
	struct queue_message *m = rows_add(&d->rows, d->a);
	if (!key || !m)
		return err_set(e, EVENT_DATABASE_TROUBLE, "too much is due at once");
	*key = id;
	map_put(&d->taken, (struct span){ (const char *)key, sizeof *key }, key);
	bool found;
	if (!one_message(d->r, id, d->a, m, &found, e))
		return false;
	struct query q = query_of(&d->r->db, SQL_DUE_RECIPIENTS);
	query_int(&q, (int64_t)id);
	query_int(&q, d->hop);
	query_int(&q, d->want->now_ms);
	query_int(&q, (int64_t)d->want->recipients);
	(void)ask_recipients(&q, d->a, m);
	if (!found || m->n == 0)
		d->rows.n--; /* settled since, or a recipient without its message */
	return query_end(&q, "cannot read the recipients", e);
}

/* From message to message by seeking in the index, so that one with 50,000 recipients
 * costs one step. */
static bool
due_walk(struct due *d, struct err *e)
{
	int64_t at_ms = INT64_MIN, id = 0;
	while (d->rows.n < d->want->messages) {
		struct query q = query_of(&d->r->db, SQL_DUE_NEXT);
		query_int(&q, d->hop);
		query_int(&q, at_ms);
		query_int(&q, id);
		query_int(&q, d->want->now_ms);
		bool more = query_row(&q);
		if (more) {
			at_ms = query_get(&q, 0);
			id = query_get(&q, 1);
		}
		if (!query_end(&q, "cannot read the queue", e))
			return false;
		if (!more)
			return true;
		uint64_t found = (uint64_t)id;
		if ((d->want->leased && d->want->leased(d->want->arg, found)) ||
				map_get(&d->taken,
						(struct span){ (const char *)&found,
								sizeof found }))
			continue;
		if (!due_message(d, found, e))
			return false;
	}
	return true;
}

bool
queue_due(struct reader *r, const struct queue_due *want, struct arena *a,
		struct queue_message **out, size_t *n, struct err *e)
{
	struct due d = {
		.r = r, .want = want, .a = a, .rows = { .size = sizeof **out }
	};
	bool ours;
	*n = 0;
	if (!ask_snapshot(r, &ours, e))
		return false;
	struct query q = query_of(&r->db, SQL_HOP_FIND);
	query_text(&q, want->hop);
	bool known = query_row(&q);
	if (known)
		d.hop = query_get(&q, 0);
	map_init(&d.taken, 0, 0); /* keys are our own ids */
	bool good = query_end(&q, "cannot read the queue", e) &&
			(!known || due_walk(&d, e));
	map_done(&d.taken);
	*out = d.rows.p;
	*n = d.rows.n;
	return ask_snapshot_end(r, ours, good);
}

/* ---- questions ---- */

static bool
list(struct reader *r, const struct queue_filter *f, struct arena *a, struct rows *rows,
		struct err *e)
{
	bool open = f->open || (f->by_state && f->state <= QUEUE_HELD);
	struct query q = query_of(&r->db, open ? SQL_LIST_OPEN : SQL_LIST_ALL);
	query_int(&q, f->after > INT64_MAX ? INT64_MAX : (int64_t)f->after);
	query_int(&q, f->by_state ? (int64_t)f->state : -1);
	query_text(&q, f->domain);
	query_int(&q, f->limit ? (int64_t)f->limit : LIST_MOST);
	while (query_row(&q)) {
		struct queue_message *m = rows_add(rows, a);
		if (!m || !ask_message(&q, a, m))
			q.rc = SQLITE_NOMEM;
	}
	if (!query_end(&q, "cannot read the queue", e))
		return false;
	size_t recipients = 0, kept = 0;
	for (; kept < rows->n && recipients < QUEUE_PAGE_RECIPIENTS; kept++) {
		struct queue_message *m = (struct queue_message *)rows->p + kept;
		if (!all_recipients(r, a, m, e))
			return false;
		recipients += m->n;
	}
	rows->n = kept;
	return true;
}

bool
queue_list(struct reader *r, const struct queue_filter *f, struct arena *a,
		struct queue_message **out, size_t *n, struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	bool ours;
	*n = 0;
	if (!ask_snapshot(r, &ours, e))
		return false;
	bool good = list(r, f, a, &rows, e);
	*out = rows.p;
	*n = rows.n;
	return ask_snapshot_end(r, ours, good);
}

static bool
attempts(struct reader *r, struct arena *a, struct queue_story *out, struct err *e)
{
	struct rows rows = { .size = sizeof *out->attempts };
	struct query q = query_of(&r->db, SQL_ATTEMPTS);
	query_int(&q, (int64_t)out->message.id);
	while (query_row(&q)) {
		struct queue_attempt *t = rows_add(&rows, a);
		if (!t) {
			q.rc = SQLITE_NOMEM;
			break;
		}
		int64_t state = query_get(&q, 3);
		t->seq = (uint32_t)query_get(&q, 0);
		t->number = (uint32_t)query_get(&q, 1);
		t->at_ms = query_get(&q, 2);
		t->state = state >= 0 && state <= QUEUE_DUPLICATE
				? (enum queue_state)state
				: QUEUE_HELD;
		t->code = (int)query_get(&q, 4);
		t->host = query_copy(&q, 5, a);
		t->reply = query_copy(&q, 6, a);
	}
	out->attempts = rows.p;
	out->n = rows.n;
	return query_end(&q, "cannot read the attempts", e);
}

static bool
route(struct reader *r, struct arena *a, struct queue_story *out, struct err *e)
{
	struct query q = query_of(&r->db, SQL_ROUTE_GET);
	query_int(&q, (int64_t)out->message.id);
	if (query_row(&q))
		out->route = query_copy(&q, 0, a);
	return query_end(&q, "cannot read the route record", e);
}

bool
queue_show(struct reader *r, uint64_t id, struct arena *a, struct queue_story *out,
		bool *found, struct err *e)
{
	bool ours;
	*found = false;
	if (id > INT64_MAX)
		return true;
	if (!ask_snapshot(r, &ours, e))
		return false;
	struct queue_story story = { 0 };
	bool good = one_message(r, id, a, &story.message, found, e) &&
			(!*found ||
					(all_recipients(r, a, &story.message, e) &&
							route(r, a, &story, e) &&
							attempts(r, a, &story, e)));
	if (good && *found)
		*out = story;
	return ask_snapshot_end(r, ours, good);
}

static bool
find_ids(struct query *q, struct arena *a, struct rows *rows, struct err *e)
{
	while (query_row(q)) {
		uint64_t *id = rows_add(rows, a);
		if (!id) {
			q->rc = SQLITE_NOMEM;
			break;
		}
		*id = (uint64_t)query_get(q, 0);
	}
	return query_end(q, "cannot search the history", e);
}

static bool
find_qid(struct reader *r, struct span text, struct arena *a, struct rows *rows,
		struct err *e)
{
	uint64_t id;
	struct queue_message m = { 0 };
	bool found = false;
	if (text.n != QID_SIZE - 1 || !qid_parse(text, &id) || id > INT64_MAX)
		return true;
	if (!one_message(r, id, a, &m, &found, e))
		return false;
	if (!found)
		return true;
	uint64_t *at = rows_add(rows, a);
	if (at)
		*at = id;
	return at || err_set(e, EVENT_DATABASE_TROUBLE, "too many messages");
}

static bool
find_message_id(struct reader *r, struct span text, struct arena *a, struct rows *rows,
		struct err *e)
{
	AUTO(buf_done) struct buf with = BUF_MAX(4096);
	bool has = text.n > 0 && text.p[0] == '<';
	if (!buf_addf(&with, has ? SPAN_FMT : "<" SPAN_FMT ">",
			    SPAN_ARG(span_first(text, 2048))))
		return true;
	struct query q = query_of(&r->db, SQL_FIND_MESSAGE_ID);
	query_text(&q, buf_span(&with));
	query_int(&q, FIND_MOST);
	return find_ids(&q, a, rows, e);
}

static bool
find_uidl(struct reader *r, struct span text, struct arena *a, struct rows *rows,
		struct err *e)
{
	struct span account = span_until(&text, '/');
	if (account.n == 0 || text.n == 0)
		return true;
	struct query q = query_of(&r->db, SQL_ORIGIN_FIND);
	query_text(&q, account);
	query_text(&q, text);
	if (!find_ids(&q, a, rows, e) || rows->n > 0)
		return rows->n > 0;
	q = query_of(&r->db, SQL_FIND_UIDL); /* forgotten: the history remains */
	query_text(&q, account);
	query_text(&q, text);
	query_int(&q, FIND_MOST);
	return find_ids(&q, a, rows, e);
}

bool
queue_replays(struct reader *r, uint64_t item, struct arena *a,
		struct queue_replay **out, size_t *n, struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	char id[QID_SIZE];
	qid_print(item, id);
	struct query q = query_of(&r->db, SQL_REPLAYS);
	query_text(&q, span_of(id));
	query_int(&q, QUEUE_REPLAYS_MAX);
	while (query_row(&q)) {
		struct queue_replay *one = rows_add(&rows, a);
		if (!one) {
			q.rc = SQLITE_NOMEM;
			break;
		}
		struct span uidl = query_copy(&q, 1, a);
		one->id = (uint64_t)query_get(&q, 0);
		one->address = span_skip(uidl, span_find(uidl, '/') + 1);
		one->at_ms = query_get(&q, 2);
	}
	*out = rows.p;
	*n = rows.n;
	return query_end(&q, "cannot read what was replayed", e);
}

bool
queue_find(struct reader *r, struct span text, struct arena *a, uint64_t **out,
		size_t *n, struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	bool good = find_qid(r, text, a, &rows, e);
	if (good && rows.n == 0)
		good = find_message_id(r, text, a, &rows, e);
	if (good && rows.n == 0 && span_find(text, '/') < text.n)
		good = find_uidl(r, text, a, &rows, e);
	*out = rows.p;
	*n = rows.n;
	return good;
}

bool
queue_unrouted(struct reader *r, uint64_t after, struct arena *a,
		struct queue_message **out, size_t *n, struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	bool ours, good;
	*n = 0;
	if (!ask_snapshot(r, &ours, e))
		return false;
	struct query q = query_of(&r->db, SQL_UNROUTED);
	query_int(&q, after > INT64_MAX ? INT64_MAX : (int64_t)after);
	query_int(&q, QUEUE_UNROUTED_PAGE);
	while (query_row(&q)) {
		struct queue_message *m = rows_add(&rows, a);
		if (!m || !ask_message(&q, a, m))
			q.rc = SQLITE_NOMEM;
	}
	good = query_end(&q, "cannot read the queue", e);
	for (size_t i = 0; good && i < rows.n; i++)
		good = all_recipients(r, a, (struct queue_message *)rows.p + i, e);
	*out = rows.p;
	*n = rows.n;
	return ask_snapshot_end(r, ours, good);
}

bool
queue_collected(struct reader *r, const struct queue_since *f,
		uint64_t out[QUEUE_IDS_PAGE], size_t *n, struct err *e)
{
	int64_t first = id_before(f->since_ms);
	int64_t after = f->after > INT64_MAX ? INT64_MAX : (int64_t)f->after;
	struct query q = query_of(&r->db, SQL_COLLECTED_AFTER);
	query_int(&q, after > first ? after : first);
	query_int(&q, f->since_ms);
	query_text(&q, f->account);
	query_int(&q, QUEUE_IDS_PAGE);
	*n = 0;
	while (*n < QUEUE_IDS_PAGE && query_row(&q))
		out[(*n)++] = (uint64_t)query_get(&q, 0);
	return query_end(&q, "cannot read the history", e);
}

bool
queue_source(struct reader *r, uint64_t id, struct arena *a, struct queue_source *out,
		struct err *e)
{
	struct query q = query_of(&r->db, SQL_MESSAGE_SOURCE);
	query_int(&q, (int64_t)id);
	*out = (struct queue_source){ SPAN(""), 0 };
	if (query_row(&q))
		*out = (struct queue_source){ query_copy(&q, 0, a), query_get(&q, 1) };
	return query_end(&q, "cannot read the queue", e);
}

bool
queue_heaps(struct reader *r, int64_t now_ms, struct queue_heap out[QUEUE_HEAPS],
		struct err *e)
{
	const int64_t hour = 3600 * 1000;
	static const struct queue_heap none[QUEUE_HEAPS] = {
		{ .state = QUEUE_QUEUED },
		{ .state = QUEUE_QUEUED, .deferred = true },
		{ .state = QUEUE_REFUSED },
		{ .state = QUEUE_BOUNCED },
		{ .state = QUEUE_HELD },
	};
	memcpy(out, none, sizeof none);
	struct query q = query_of(&r->db, SQL_HEAPS);
	query_int(&q, now_ms - hour);
	query_int(&q, now_ms - 24 * hour);
	while (query_row(&q)) {
		int64_t at = query_get(&q, 0);
		if (at < 0 || at >= QUEUE_HEAPS)
			continue;
		out[at].messages = (uint64_t)query_get(&q, 1);
		out[at].of_hour = (uint64_t)query_get(&q, 2);
		out[at].of_day = (uint64_t)query_get(&q, 3);
		out[at].unrouted = (uint64_t)query_get(&q, 4);
		out[at].oldest_ms = query_get(&q, 5);
	}
	return query_end(&q, "cannot count the queue", e);
}

bool
queue_count(struct reader *r, struct queue_size *out, struct err *e)
{
	memset(out, 0, sizeof *out);
	struct query q = query_of(&r->db, SQL_OPEN_COUNT);
	if (query_row(&q)) {
		out->messages = (uint64_t)query_get(&q, 0);
		out->recipients = (uint64_t)query_get(&q, 1);
	}
	if (!query_end(&q, "cannot count the queue", e))
		return false;
	q = query_of(&r->db, SQL_OPEN_OLDEST);
	if (query_row(&q))
		out->oldest_ms = query_get(&q, 0);
	return query_end(&q, "cannot count the queue", e);
}

/* ---- words ---- */

bool
queue_retry(struct store *s, uint64_t id, struct span domain, int64_t now_ms,
		uint64_t *changed, struct err *e)
{
	if (!transaction_begin(s, e))
		return false;
	struct query q = query_of(&s->self.db,
			id			   ? SQL_RETRY_ONE
					: domain.n ? SQL_RETRY_DOMAIN
						   : SQL_RETRY_ALL);
	query_int(&q, now_ms);
	if (id)
		query_int(&q, id > INT64_MAX ? -1 : (int64_t)id);
	else if (domain.n)
		query_text(&q, domain);
	bool good = query_run(&q, "cannot write to the queue", e);
	*changed = good ? db_changes(&s->self.db) : 0;
	return transaction_end(s, good, e);
}
