#include "db.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "postern/clock.h"

enum { BUSY_MS = 10000, BUSY_PAUSE_NS = 1000000 };

/* Short even pauses: those of SQLite's own handler grow to 100 ms, and with them a
 * busy service would hardly ever be met between two of its groups. */
static int
busy(void *arg, int tries)
{
	struct db *db = arg;
	int64_t now = clock_mono_ms();
	if (tries == 0)
		db->busy_since_ms = now;
	if (now - db->busy_since_ms >= db->busy_ms)
		return 0;
	nanosleep(&(struct timespec){ .tv_nsec = BUSY_PAUSE_NS }, NULL);
	return 1;
}

/* in_domain(address, domain): what stands behind the last @ is the domain, ASCII
 * case aside. Pure, and total over any bytes. */
static void
in_domain(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	(void)argc;
	struct span address = { (const char *)sqlite3_value_text(argv[0]),
		(size_t)sqlite3_value_bytes(argv[0]) };
	struct span domain = { (const char *)sqlite3_value_text(argv[1]),
		(size_t)sqlite3_value_bytes(argv[1]) };
	size_t at = span_rfind(address, '@');
	sqlite3_result_int(ctx,
			at < address.n &&
					span_eq_nocase(span_skip(address, at + 1),
							domain));
}

static bool
settings(struct db *db, int flags, int busy_ms, struct err *e)
{
	sqlite3_extended_result_codes(db->h, 1);
	db->busy_ms = busy_ms > 0 ? busy_ms : BUSY_MS;
	sqlite3_busy_handler(db->h, busy, db);
	int was;
	db->rc = sqlite3_db_config(db->h, SQLITE_DBCONFIG_DEFENSIVE, 1, &was);
	if (db->rc == SQLITE_OK)
		db->rc = sqlite3_db_config(
				db->h, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, &was);
	if (db->rc == SQLITE_OK)
		db->rc = sqlite3_db_config(db->h, SQLITE_DBCONFIG_ENABLE_VIEW, 0, &was);
	if (db->rc == SQLITE_OK)
		db->rc = sqlite3_create_function_v2(db->h, "in_domain", 2,
				SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
				NULL, in_domain, NULL, NULL, NULL);
	if (db->rc != SQLITE_OK)
		return db_failed(db, "cannot set up the database connection", e);
	/* secure_delete would write every freed page once more; what is deleted here
	 * was readable by the same user until then. */
	if (!db_exec(db,
			    "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
			    "PRAGMA mmap_size=0; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
			    "PRAGMA secure_delete=OFF; PRAGMA cache_size=-4096;",
			    e))
		return false;
	if (!(flags & DB_WRITE))
		return db_exec(db, "PRAGMA query_only=ON;", e);
	return db_exec(db,
			"PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL;"
			"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			"PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864;",
			e);
}

bool
db_open(struct db *db, const char *path, int flags, int busy_ms, struct err *e)
{
	memset(db, 0, sizeof *db);
	/* Readers open for writing too (and then may not: query_only), since only so
	 * can they recover the log after a crash of the writer. */
	int how = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_PRIVATECACHE |
			(flags & DB_MAKE ? SQLITE_OPEN_CREATE : 0);
	db->rc = sqlite3_open_v2(path, &db->h, how, NULL);
	if (db->rc == SQLITE_OK ? settings(db, flags, busy_ms, e)
				: db_failed(db, "cannot open the database", e))
		return true;
	int rc = db->rc;
	db_close(db);
	db->rc = rc;
	return false;
}

void
db_close(struct db *db)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		sqlite3_finalize(db->st[i]);
		db->st[i] = NULL;
	}
	sqlite3_close_v2(db->h);
	db->h = NULL;
}

enum store_trouble
db_trouble(int rc)
{
	if (rc == SQLITE_READONLY_DBMOVED)
		return STORE_MOVED;
	/* The index of the log could not grow: nothing was written anywhere. */
	if (rc == SQLITE_IOERR_SHMSIZE)
		return STORE_DISK_FULL;
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return STORE_DISK_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL: /* the lock could not be had for long */
		return STORE_LOCKED;
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
	case SQLITE_CONSTRAINT:
	case SQLITE_TOOBIG:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return STORE_SOUND;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return STORE_DAMAGED;
	default:
		return STORE_DISK_FAILS;
	}
}

/* Whoever reads it shall know at once whether to make room, to end another program, or to
 * look for a backup. */
static const char *
words_of(struct db *db, char space[160])
{
	bool last = db->h && sqlite3_extended_errcode(db->h) == db->rc;
	const char *says = last ? sqlite3_errmsg(db->h) : sqlite3_errstr(db->rc);
	int no = last ? sqlite3_system_errno(db->h) : 0;
	switch (db_trouble(db->rc)) {
	case STORE_DISK_FULL:
		return "the disk is full";
	case STORE_LOCKED:
		return "database is locked by another program";
	case STORE_DAMAGED:
		(void)snprintf(space, 160, "the database is damaged (%s)", says);
		return space;
	case STORE_MOVED:
		return "its files were removed or replaced while in use";
	case STORE_DISK_FAILS:
		if (no == 0)
			return says;
		(void)snprintf(space, 160, "%s (%s)", says, err_words(no));
		return space;
	case STORE_SOUND:
		break;
	}
	return says;
}

bool
db_failed(struct db *db, const char *doing, struct err *e)
{
	char space[160];
	return err_set(e, EVENT_DATABASE_TROUBLE, "%s: %s", doing, words_of(db, space));
}

uint64_t
db_changes(const struct db *db)
{
	return (uint64_t)sqlite3_changes64(db->h);
}

int64_t
db_last_row(const struct db *db)
{
	return sqlite3_last_insert_rowid(db->h);
}

bool
db_in_transaction(const struct db *db)
{
	return !sqlite3_get_autocommit(db->h);
}

bool
db_exec(struct db *db, const char *sql, struct err *e)
{
	db->rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);
	return db->rc == SQLITE_OK || db_failed(db, "database", e);
}

struct query
query_of(struct db *db, enum sql which)
{
	struct query q = { .db = db, .rc = SQLITE_OK };
	if (!db->st[which])
		q.rc = sqlite3_prepare_v3(db->h, sql_text[which], -1,
				SQLITE_PREPARE_PERSISTENT, &db->st[which], NULL);
	q.st = db->st[which];
	return q;
}

static void
bound(struct query *q, int rc)
{
	if (q->rc == SQLITE_OK)
		q->rc = rc;
}

void
query_int(struct query *q, int64_t v)
{
	bound(q, sqlite3_bind_int64(q->st, ++q->at, v));
}

void
query_null(struct query *q)
{
	bound(q, sqlite3_bind_null(q->st, ++q->at));
}

/* Values are bound in place: they outlive the statement's run. */
void
query_text(struct query *q, struct span s)
{
	if (s.n == 0)
		query_null(q);
	else
		bound(q,
				sqlite3_bind_text64(q->st, ++q->at, s.p, s.n,
						SQLITE_STATIC, SQLITE_UTF8));
}

void
query_blob(struct query *q, struct span s)
{
	bound(q,
			sqlite3_bind_blob64(q->st, ++q->at, s.n ? s.p : "", s.n,
					SQLITE_STATIC));
}

bool
query_row(struct query *q)
{
	if (q->rc == SQLITE_OK || q->rc == SQLITE_ROW)
		q->rc = sqlite3_step(q->st);
	return q->rc == SQLITE_ROW;
}

int64_t
query_get(struct query *q, int column)
{
	return sqlite3_column_int64(q->st, column);
}

bool
query_is_null(struct query *q, int column)
{
	return sqlite3_column_type(q->st, column) == SQLITE_NULL;
}

struct span
query_peek(struct query *q, int column)
{
	const char *p = sqlite3_column_blob(q->st, column);
	return (struct span){ p, p ? (size_t)sqlite3_column_bytes(q->st, column) : 0 };
}

struct span
query_copy(struct query *q, int column, struct arena *a)
{
	struct span s = query_peek(q, column);
	if (s.n == 0)
		return (struct span){ "", 0 };
	s = arena_dup(a, s);
	if (!s.p) {
		q->rc = SQLITE_NOMEM;
		s.n = 0;
	}
	return s;
}

bool
query_end(struct query *q, const char *doing, struct err *e)
{
	bool good = q->rc == SQLITE_OK || q->rc == SQLITE_ROW || q->rc == SQLITE_DONE;
	if (!good) {
		q->db->rc = q->rc;
		db_failed(q->db, doing, e);
	}
	if (q->st) {
		sqlite3_reset(q->st);
		sqlite3_clear_bindings(q->st);
	}
	return good;
}

bool
query_run(struct query *q, const char *doing, struct err *e)
{
	while (query_row(q))
		;
	return query_end(q, doing, e);
}

void *
rows_add(struct rows *rows, struct arena *a)
{
	if (rows->n == rows->cap) {
		size_t cap = rows->cap ? rows->cap * 2 : 16;
		void *p = arena_alloc(a, cap * rows->size);
		if (!p)
			return NULL;
		if (rows->n)
			memcpy(p, rows->p, rows->n * rows->size);
		rows->p = p;
		rows->cap = cap;
	}
	return (char *)rows->p + rows->n++ * rows->size;
}
