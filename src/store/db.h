/* db: one SQLite connection, its prepared statements, and how to ask.
 *
 * Every statement is named in sql.c, prepared once at first use, and given its
 * values by binding only. */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <sqlite3.h>
#include <stdint.h>

#include "postern/arena.h"
#include "postern/err.h"
#include "postern/store.h"
#include "sql.h"

struct db {
	sqlite3 *h;
	sqlite3_stmt *st[SQL_COUNT];
	int rc; /* extended result of what failed last */
	int busy_ms;
	int64_t busy_since_ms;
};

enum { DB_WRITE = 1, DB_MAKE = 2 };

/* Opens with every setting that makes it safe; flags: DB_*. */
bool db_open(struct db *db, const char *path, int flags, int busy_ms, struct err *e);
void db_close(struct db *db);
/* What a result of SQLite's means; STORE_SOUND: it says nothing about the database. */
enum store_trouble db_trouble(int rc);
/* Fills *e from db->rc; returns false. */
bool db_failed(struct db *db, const char *doing, struct err *e);
uint64_t db_changes(const struct db *db); /* rows that the last statement changed */
int64_t db_last_row(const struct db *db); /* the id of the row that was added last */
bool db_in_transaction(const struct db *db);
/* A constant statement without values. */
bool db_exec(struct db *db, const char *sql, struct err *e);

/* One use of a statement: opened, values bound in order, stepped, ended. The first
 * failure sticks; query_end tells it and makes the statement free again. */
struct query {
	struct db *db;
	sqlite3_stmt *st;
	int at;
	int rc;
};

struct query query_of(struct db *db, enum sql which);
void query_int(struct query *q, int64_t v);
void query_text(struct query *q, struct span s); /* an empty one is NULL */
void query_blob(struct query *q, struct span s); /* an empty one is an empty blob */
void query_null(struct query *q);
bool query_row(struct query *q); /* false: no more, or failed */
int64_t query_get(struct query *q, int column);
bool query_is_null(struct query *q, int column);
struct span query_peek(struct query *q, int column); /* until the next step */
/* A copy in the arena; at its limit the query fails. */
struct span query_copy(struct query *q, int column, struct arena *a);
bool query_end(struct query *q, const char *doing, struct err *e);
/* Steps to the end and ends it: for what returns no rows. */
bool query_run(struct query *q, const char *doing, struct err *e);
/* An array of rows that grows in an arena by doubling. */
struct rows {
	void *p;
	size_t size; /* of one */
	size_t n, cap;
};

void *rows_add(struct rows *rows,
		struct arena *a); /* zeroed; NULL at the arena's limit */

#endif
