/* The database of a state as it is opened: its schema, its files, its soundness. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "postern/crash.h"
#include "state.h"

static int
count_log(void *arg, sqlite3 *h, const char *name, int pages)
{
	struct store *s = arg;
	(void)h, (void)name;
	s->wal_pages = pages;
	s->log_pages = pages;
	return SQLITE_OK;
}

static bool
pragma_get(struct db *db, const char *pragma, int64_t *out, struct err *e)
{
	sqlite3_stmt *st = NULL;
	db->rc = sqlite3_prepare_v2(db->h, pragma, -1, &st, NULL);
	if (db->rc == SQLITE_OK)
		db->rc = sqlite3_step(st);
	bool good = db->rc == SQLITE_ROW;
	if (good)
		*out = sqlite3_column_int64(st, 0);
	else
		db_failed(db, "the database is damaged", e);
	sqlite3_finalize(st);
	return good;
}

/* Version and owner as this program knows them? */
bool
database_schema(struct db *db, int64_t *version, struct err *e)
{
	int64_t owner, tables;
	if (!pragma_get(db, "PRAGMA user_version", version, e) ||
			!pragma_get(db, "PRAGMA application_id", &owner, e) ||
			!pragma_get(db, "SELECT count(*) FROM sqlite_schema", &tables,
					e))
		return false;
	if (*version > SCHEMA_VERSION)
		return err_set(e, EVENT_DATABASE_TROUBLE,
				"the database is of schema version %" PRId64
				", this program knows versions up to %d",
				*version, SCHEMA_VERSION);
	if (*version < 0 || (*version == 0 && tables > 0) ||
			(*version > 0 && (owner != SCHEMA_APPLICATION || tables == 0)))
		return err_set(e, EVENT_DATABASE_TROUBLE,
				"the database is not one of Postern's");
	return true;
}

/* A database of some size that holds nothing: a first start that was cut short leaves
 * one, and so does whoever exchanges it. */
static bool
never_was(struct store *s, struct err *e)
{
	enum place p = place_beside(s->dir, s->at, "without content", e);
	if (p == PLACE_LOST)
		s->trouble = STORE_DAMAGED;
	return p == PLACE_NEW;
}

/* Up to SCHEMA_VERSION in one transaction: a crash leaves the old one whole. */
static bool
schema_migrate(struct store *s, struct err *e)
{
	struct db *db = &s->self.db;
	int64_t version;
	char stamp[100];
	if (!database_schema(db, &version, e))
		return false;
	if (version == SCHEMA_VERSION)
		return true;
	if (version == 0 && !s->fresh && !never_was(s, e))
		return false;
	if (!db_exec(db, "BEGIN IMMEDIATE", e))
		return false;
	/* Again, now that nobody else can: two may have started at once. */
	bool good = database_schema(db, &version, e);
	int64_t from = version;
	for (; good && version < SCHEMA_VERSION; version++) {
		good = db_exec(db, schema_steps[version], e);
		crash_point("store: schema step");
	}
	(void)snprintf(stamp, sizeof stamp,
			"PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
			SCHEMA_APPLICATION, SCHEMA_VERSION);
	good = good && db_exec(db, stamp, e);
	crash_point("store: migrated");
	if (good) {
		s->migrated_from = from;
		return true;
	}
	if (!sqlite3_get_autocommit(db->h))
		(void)sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
	struct err why = e ? *e : (struct err){ 0 };
	return err_set(e, EVENT_DATABASE_TROUBLE,
			"the database cannot be brought from schema version %" PRId64
			" to %d: %.150s",
			from, SCHEMA_VERSION, why.text);
}

bool
database_check(struct db *db, struct err *e)
{
	sqlite3_stmt *st = NULL;
	db->rc = sqlite3_prepare_v2(db->h, "PRAGMA quick_check(1)", -1, &st, NULL);
	if (db->rc == SQLITE_OK)
		db->rc = sqlite3_step(st);
	bool good = false;
	if (db->rc != SQLITE_ROW)
		db_failed(db, "the database is damaged", e);
	else {
		const char *says = (const char *)sqlite3_column_text(st, 0);
		good = says && strcmp(says, "ok") == 0;
		if (!good)
			err_set(e, EVENT_DATABASE_TROUBLE,
					"the database is damaged: %s",
					says ? says : "no answer");
	}
	sqlite3_finalize(st);
	return good;
}

/* SQLite has made the log in the directory, and passes over it when that cannot be synced:
 * what is committed into a log without a name is nowhere after a power cut. */
static bool
log_named(struct store *s, struct err *e)
{
	if (fsync(s->dir) == 0)
		return true;
	bool full = errno == ENOSPC || errno == EDQUOT;
	s->self.db.rc = full ? SQLITE_FULL : SQLITE_IOERR_DIR_FSYNC;
	return err_errno(e, EVENT_DATABASE_TROUBLE, errno,
			"cannot sync the directory %s", s->at ? s->at : "of the state");
}

static bool
schema_ready(struct store *s, bool migrate, struct err *e)
{
	int64_t version;
	if (migrate)
		return schema_migrate(s, e);
	if (!database_schema(&s->self.db, &version, e))
		return false;
	if (version == SCHEMA_VERSION)
		return true;
	s->self.db.rc = SQLITE_READONLY_DBMOVED;
	return err_set(e, EVENT_DATABASE_MOVED,
			"postern.db was replaced by another while in use");
}

bool
database_open(struct store *s, bool migrate, struct err *e)
{
	struct db *db = &s->self.db;
	if (!migrate && !files_same(s)) {
		db->rc = SQLITE_READONLY_DBMOVED;
		return err_set(e, EVENT_DATABASE_MOVED,
				"postern.db was removed or replaced while in use");
	}
	if (!db_open(db, s->path, DB_WRITE, s->busy_ms, e))
		return false;
	sqlite3_wal_hook(db->h, count_log, s);
	if (schema_ready(s, migrate, e) && log_named(s, e)) {
		files_note(s);
		space_opened(s);
		return true;
	}
	int rc = db->rc;
	db_close(db);
	db->rc = rc;
	return false;
}
