/* One write transaction: its beginning on files that are ours, its commit and the time that takes,
 * and what a failure means for the connection. */
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/thread.h"
#include "state.h"

bool
transaction_word(struct store *s, enum sql which, const char *doing, struct err *e)
{
	struct query q = query_of(&s->self.db, which);
	return query_run(&q, doing, e);
}

void
transaction_undo(struct store *s)
{
	int rc = s->self.db.rc;
	if (db_in_transaction(&s->self.db))
		(void)transaction_word(s, SQL_ROLLBACK, "rollback", NULL);
	s->self.db.rc = rc;
	names_forget(&s->accounts);
	names_forget(&s->hops);
	buf_clear(&s->removed);
}

/* Has somebody removed or replaced the files under us? What would be committed then is
 * nowhere. */
static bool
still_ours(struct store *s, struct err *e)
{
	int moved = 0;
	if (atomic_load(&s->over)) {
		s->self.db.rc = SQLITE_READONLY_DBMOVED;
		*e = s->over_err;
		return false;
	}
	s->self.db.rc = sqlite3_file_control(
			s->self.db.h, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
	if (s->self.db.rc == SQLITE_OK && !moved)
		return files_ours(s, e);
	/* Where it was moved, it is whole there from now on. */
	(void)files_save(s);
	s->self.db.rc = SQLITE_READONLY_DBMOVED;
	return err_set(e, EVENT_DATABASE_MOVED,
			"postern.db was removed or replaced while in use: put it back, or restart the "
			"service with another");
}

/* The database is open, and its files are ours: before that nothing is asked of them. */
bool
transaction_ready(struct store *s, struct err *e)
{
	return (s->self.db.h || database_open(s, false, e)) && still_ours(s, e);
}

bool
transaction_begin(struct store *s, struct err *e)
{
	buf_clear(&s->removed);
	if (!s->service) /* which may have pruned the table meanwhile */
		names_forget(&s->hops);
	return transaction_ready(s, e) &&
			transaction_word(s, SQL_BEGIN, "cannot write to the database",
					e);
}

/* One sync. Its time, smoothed, tells how long gathering may take. */
bool
transaction_commit(struct store *s, bool arriving, struct err *e)
{
	if (!space_before_commit(s, arriving, e))
		return false;
	crash_point("store: before commit");
	int64_t began = clock_mono_us();
	if (!transaction_word(s, SQL_COMMIT, "cannot commit", e))
		return false;
	crash_point("store: after commit, before answers");
	/* Into a log that has lost its name meanwhile: nobody is answered before what it holds
	 * is saved. */
	if (!files_ours(s, e) && !atomic_load(&s->over))
		return false;
	uint64_t took = (uint64_t)(clock_mono_us() - began),
		 was = atomic_load(&s->sync_us);
	atomic_store(&s->sync_us, was ? was - was / 8 + took / 8 : took);
	return true;
}

/* Nothing that this connection says counts any more. */
bool
transaction_distrusts(enum store_trouble t)
{
	return t == STORE_DISK_FAILS || t == STORE_DAMAGED || t == STORE_MOVED;
}

/* After a failed write or sync nothing that this connection remembers counts: a new
 * one reads what is really there. Fails quietly; the next group tries again. */
void
transaction_reopen(struct store *s)
{
	struct err ignored;
	/* A log without a name would end with the connection that has it open. */
	if (atomic_load(&s->over) || (s->self.db.h && !files_ours(s, &ignored)))
		return;
	db_close(&s->self.db);
	(void)database_open(s, false, &ignored);
}

void
transaction_feel(struct store *s, enum store_trouble t, const struct err *e)
{
	mutex_lock(s->lock);
	if (atomic_load(&s->over)) {
		t = STORE_MOVED;
		e = &s->over_err;
	}
	s->health.trouble = t;
	if (transaction_distrusts(t))
		s->health.broken++;
	else
		s->health.broken = 0;
	s->health.over = atomic_load(&s->over);
	s->health.err = *e;
	if (t != STORE_SOUND && e->event == 0)
		s->health.err.event = EVENT_DATABASE_TROUBLE;
	mutex_unlock(s->lock);
}

bool
transaction_look(struct store *s)
{
	struct err e = { 0 };
	if (!s->self.db.h || atomic_load(&s->over))
		return false; /* the next group opens it again, if ever */
	if (still_ours(s, &e))
		return true;
	transaction_feel(s, STORE_MOVED, &e);
	return false;
}

struct store_health
store_health(struct store *s)
{
	mutex_lock(s->lock);
	struct store_health h = s->health;
	mutex_unlock(s->lock);
	return h;
}

bool
transaction_end(struct store *s, bool good, struct err *e)
{
	if (good && transaction_commit(s, false, e))
		return true;
	transaction_undo(s);
	int rc = s->self.db.rc;
	if (transaction_distrusts(db_trouble(rc)))
		transaction_reopen(s);
	s->self.db.rc = rc;
	return false;
}
