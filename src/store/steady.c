/* The steady clock of the state: store.h says what it is for.
 *
 * It is kept in meta with the wall clock's time beside it, at each start and end and by
 * each STORE_PRUNE, and at every hour of it a mark says which ids were given out by then.
 * The times in the ids themselves are the wall clock's and prove nothing. */
#include <stdlib.h>

#include "postern/clock.h"
#include "postern/thread.h"
#include "state.h"

enum {
	HOUR_MS = 3600 * 1000,
	DAY_MS = 24 * HOUR_MS,
	SHORT_MS = 1000, /* less is not worth a step */
	PULL = 8, /* towards the wall clock: one part in so many */
};

static int64_t
between(int64_t least, int64_t v, int64_t most)
{
	return v < least ? least : v > most ? most : v;
}

int64_t
steady_look(struct steady *t, int64_t wall_ms, int64_t mono_ms)
{
	int64_t passed = mono_ms - t->mono_ms;
	if (passed < SHORT_MS)
		return t->at_ms + (passed > 0 ? passed : 0);
	t->at_ms += between(passed - passed / PULL, wall_ms - t->at_ms,
			passed + passed / PULL);
	t->wall_ms = wall_ms;
	t->mono_ms = mono_ms;
	return t->at_ms;
}

int64_t
store_steady_ms(struct store *s)
{
	mutex_lock(s->steady_lock);
	int64_t at = steady_look(&s->steady, clock_wall_ms(), clock_mono_ms());
	mutex_unlock(s->steady_lock);
	return at;
}

/* *value stays what it is when there is none. */
static bool
meta_get(struct db *db, const char *key, int64_t *value, struct err *e)
{
	struct query q = query_of(db, SQL_META_GET);
	query_text(&q, span_of(key));
	if (query_row(&q))
		*value = query_get(&q, 0);
	return query_end(&q, "cannot read the clock of the state", e);
}

static bool
meta_put(struct db *db, const char *key, int64_t value, struct err *e)
{
	struct query q = query_of(db, SQL_META_PUT);
	query_text(&q, span_of(key));
	query_int(&q, value);
	return query_run(&q, "cannot write the clock of the state", e);
}

static bool
mark_add(struct store *s, int64_t at_ms, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_MARK_LAST);
	int64_t last = query_row(&q) ? query_get(&q, 0) : 0;
	if (!query_end(&q, "cannot read the marks", e))
		return false;
	if (at_ms - last < HOUR_MS)
		return true;
	q = query_of(&s->self.db, SQL_MARK_ADD);
	query_int(&q, at_ms);
	query_int(&q, (int64_t)atomic_load(&s->last_id));
	if (!query_run(&q, "cannot write a mark", e))
		return false;
	q = query_of(&s->self.db, SQL_MARK_PRUNE);
	query_int(&q, at_ms - STORE_HISTORY_MS);
	return query_run(&q, "cannot prune the marks", e);
}

bool
steady_put(struct store *s, struct err *e)
{
	int64_t at = store_steady_ms(s);
	mutex_lock(s->steady_lock);
	int64_t wall = s->steady.wall_ms;
	int64_t ahead = at - s->steady.at_ms; /* since that look */
	mutex_unlock(s->steady_lock);
	return meta_put(&s->self.db, "steady", at, e) &&
			meta_put(&s->self.db, "steady_wall", wall + ahead, e) &&
			mark_add(s, at, e);
}

/* With a mark for each day before since_ms, when that is not 0. */
static bool
keep(struct store *s, int64_t since_ms, struct err *e)
{
	struct db *db = &s->self.db;
	if (!db_exec(db, "BEGIN IMMEDIATE", e))
		return false;
	struct query q = query_of(db, SQL_MARK_BEFORE);
	query_int(&q, since_ms);
	query_int(&q, STORE_HISTORY_MS);
	bool good = query_run(&q, "cannot write the marks", e) && steady_put(s, e) &&
			db_exec(db, "COMMIT", e);
	if (!good && db_in_transaction(db))
		(void)db_exec(db, "ROLLBACK", NULL);
	return good;
}

void
steady_keep(struct store *s)
{
	(void)keep(s, 0, NULL);
}

bool
steady_mark(struct store *s, int64_t age_ms, uint64_t *id, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_MARK_AT);
	query_int(&q, store_steady_ms(s) - age_ms);
	*id = query_row(&q) ? (uint64_t)query_get(&q, 0) : 0;
	return query_end(&q, "cannot read the marks", e);
}

/* A state that has none yet: it begins with the last that is known to have happened, as
 * if somebody had looked then. What is older is marked by the times in the ids. */
static bool
last_known(struct store *s, int64_t wall_ms, int64_t *out, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_LAST_KNOWN);
	int64_t last = query_row(&q) ? query_get(&q, 0) : 0;
	if (!query_end(&q, "cannot read the polls", e))
		return false;
	*out = last > 0 && last < wall_ms ? last : wall_ms;
	return true;
}

bool
steady_open(struct store *s, int64_t wall_ms, int64_t *away_ms, struct err *e)
{
	int64_t at = -1, then = -1, since = 0;
	*away_ms = 0;
	if (!meta_get(&s->self.db, "steady", &at, e) ||
			!meta_get(&s->self.db, "steady_wall", &then, e))
		return false;
	if (at >= 0 && then >= 0)
		*away_ms = wall_ms - then;
	else if (last_known(s, wall_ms, &since, e))
		at = then = since;
	else
		return false;
	at += between(0, wall_ms - then, DAY_MS);
	s->steady = (struct steady){ at, wall_ms, clock_mono_ms() };
	/* On a full disk it starts all the same: the next one makes up for what is not kept. */
	if (s->service)
		(void)keep(s, since, NULL);
	return steady_mark(s, STORE_LEDGER_MS, &s->ledger_end, e);
}

bool
reader_steady_ms(struct reader *r, int64_t *out, struct err *e)
{
	int64_t at = clock_wall_ms(), then = at;
	if (!meta_get(&r->db, "steady", &at, e) ||
			!meta_get(&r->db, "steady_wall", &then, e))
		return false;
	*out = at + between(0, clock_wall_ms() - then, HOUR_MS);
	return true;
}
