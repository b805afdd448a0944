/* Giving back: the log into the database, and free pages to the disk. */
#include "state.h"

enum {
	PAGE = 4096,
	/* The log is written back when it has grown to so many pages (32 MB): seldom
	 * enough that its two syncs do not count beside those of the commits. */
	WRITE_BACK_PAGES = 8192,
	WRITE_BACK_TIGHT = 256, /* the same while the disk is tight */
	/* Free pages that are kept while there is room: the next mail fills them, and a
	 * file that breathes with every burst costs more than it saves. */
	SPARE_PAGES = 8192,
	SPARE_LOW = 16, /* the same while the disk is low */
	AGAIN_MS = 1000, /* the disk is full: asked so often */
	SHRINK_MS = 5, /* between two steps, so that others come in between */
};

/* A log that has grown in better times gives its room back, when no reader is in it. */
static void
log_cut(struct store *s)
{
	int busy_ms = s->self.db.busy_ms;
	s->self.db.busy_ms = 0;
	if (sqlite3_wal_checkpoint_v2(s->self.db.h, "main", SQLITE_CHECKPOINT_TRUNCATE,
			    NULL, NULL) == SQLITE_OK) {
		s->wal_pages = s->log_pages = 0;
		s->allocated = 0;
	}
	s->self.db.busy_ms = busy_ms;
}

static bool
shrink_wanted(const struct store *s)
{
	int64_t spare = (int64_t)(atomic_load(&s->spare) / PAGE);
	return s->shrinks &&
			((spare > SPARE_PAGES && spare > s->pages / 2) ||
					(spare > SPARE_LOW && atomic_load(&s->tight)));
}

/* One step: the last pages of the file move to where there are free ones. */
static bool
shrink(struct store *s)
{
	struct err e;
	if (!transaction_begin(s, &e))
		return false;
	struct query q = query_of(&s->self.db, SQL_SHRINK);
	s->shrunk = transaction_end(
			s, query_run(&q, "cannot shrink the database", &e), &e);
	return s->shrunk;
}

int64_t
space_tidy(struct store *s)
{
	bool tight = atomic_load(&s->tight);
	/* A log that has lost its index may have another writer. */
	if (!s->self.db.h || atomic_load(&s->over) || !files_there(s))
		return -1; /* the next group, or look, tells */
	if (s->wal_pages >= (tight ? WRITE_BACK_TIGHT : WRITE_BACK_PAGES) ||
			s->log_short)
		space_write_back(s);
	if (!s->service)
		return -1;
	if (tight && files_log_size(s) > (int64_t)(space_log_used(s) + 2 * s->log_room))
		log_cut(s);
	space_log_look(s);
	if (atomic_load(&s->spent))
		return AGAIN_MS;
	if (shrink_wanted(s))
		return shrink(s) ? SHRINK_MS : AGAIN_MS;
	if (s->shrunk) { /* the file is cut when the log is in it */
		space_write_back(s);
		s->shrunk = false;
	}
	return -1;
}
