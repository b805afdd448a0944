/* state: a store as it is opened and closed, readers, and new queue ids. */
#include "state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/file.h"
#include "postern/must.h"
#include "postern/thread.h"

enum {
	/* A small database is read through at every start, a large one only after a
	 * crash: quick_check takes some 3 ms for each megabyte of origins, less of bodies. */
	CHECK_ALWAYS = 4 * 1024 * 1024,
};

#define ID_TIME_MAX (INT64_C(1) << 45) /* the year 3084 */

static bool
seed_ids(struct store *s, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_LAST_ID);
	uint64_t last = query_row(&q) ? (uint64_t)query_get(&q, 0) : 0;
	if (!query_end(&q, "cannot read the queue", e))
		return false;
	/* Half a message may lie there under an id of a clock that was set back since. */
	uint64_t file = 0;
	if (s->service && !spool_last(s->self.spool, &file, e))
		return false;
	atomic_store(&s->last_id, file > last && file < INT64_MAX ? file : last);
	return true;
}

/* Before anybody asks for them. Those that are there stay. */
static bool
make_secrets(struct store *s, struct err *e)
{
	char octets[STORE_SECRET_SIZE];
	clock_random(octets, sizeof octets);
	struct query q = query_of(&s->self.db, SQL_SECRET_MAKE);
	query_text(&q, SPAN("loop"));
	query_blob(&q, (struct span){ octets, sizeof octets });
	return query_run(&q, "cannot write a secret", e);
}

bool
store_secret(struct reader *r, const char *name, uint8_t out[STORE_SECRET_SIZE],
		struct err *e)
{
	struct query q = query_of(&r->db, SQL_SECRET_GET);
	query_text(&q, span_of(name));
	bool there = query_row(&q);
	struct span value = there ? query_peek(&q, 0) : SPAN("");
	bool whole = value.n == STORE_SECRET_SIZE;
	if (whole)
		memcpy(out, value.p, value.n);
	if (!query_end(&q, "cannot read a secret", e))
		return false;
	return whole ||
			err_set(e, EVENT_DATABASE_TROUBLE, "the secret %s is %s", name,
					there ? "damaged" : "not there");
}

static bool
recover(struct store *s, const struct store_options *o, off_t size, bool unclean,
		struct store_recovery *found, struct err *e)
{
	found->unclean = unclean;
	bool suspected = place_suspected(s->dir);
	if ((unclean || suspected || size <= CHECK_ALWAYS) &&
			!database_check(&s->self.db, e)) {
		enum store_trouble t = db_trouble(s->self.db.rc);
		s->trouble = t == STORE_SOUND ? STORE_DAMAGED : t;
		return false;
	}
	if (suspected)
		place_cleared(s->dir);
	struct queue_size open;
	if (!queue_count(&s->self, &open, e))
		return false;
	found->queued = open.messages;
	if (!make_secrets(s, e))
		return false;
	return spool_recover(s, found, o->now_ms, e);
}

struct store *
store_open(const char *dir, const struct store_options *o, struct store_recovery *found,
		struct err *e)
{
	struct store *s = calloc(1, sizeof *s);
	MUST(s && asprintf(&s->path, "%s/postern.db", dir) > 0);
	s->at = dir;
	s->dir = s->self.spool = -1;
	s->service = o->service;
	s->busy_ms = o->busy_ms;
	s->min_free = o->min_free;
	s->removed = BUF_MAX(SIZE_MAX);
	s->lock = mutex_new();
	s->doubtful = BUF_MAX(SIZE_MAX);
	s->steady_lock = mutex_new();
	names_init(&s->accounts, SQL_ACCOUNT_FIND, SQL_ACCOUNT_ADD);
	names_init(&s->hops, SQL_HOP_FIND, SQL_HOP_ADD);

	struct store_recovery ignored;
	off_t size = 0;
	bool unclean = false;
	if (!found)
		found = &ignored;
	memset(found, 0, sizeof *found);
	if (place_make(s, dir, &size, &unclean, e) && database_open(s, true, e) &&
			seed_ids(s, e) && space_start(s, e) &&
			steady_open(s, o->now_ms, &found->away_ms, e) &&
			(!o->service || recover(s, o, size, unclean, found, e))) {
		s->opened = true;
		found->migrated_from = s->migrated_from;
		place_mark(s->dir);
		store_space_look(s);
		s->at = NULL;
		return s;
	}
	if (e && e->event == 0)
		e->event = EVENT_DATABASE_TROUBLE;
	if (found)
		found->trouble = s->trouble ? s->trouble : db_trouble(s->self.db.rc);
	store_close(s);
	return NULL;
}

void
store_close(struct store *s)
{
	if (!s)
		return;
	if (s->thread)
		store_stop(s);
	mailbox_free(s->inbox);
	if (s->opened && s->service && transaction_look(s))
		steady_keep(s);
	db_close(&s->self.db);
	names_forget(&s->accounts);
	names_forget(&s->hops);
	buf_done(&s->removed);
	buf_done(&s->doubtful);
	mutex_free(s->lock);
	mutex_free(s->steady_lock);
	fd_done(&s->dir);
	fd_done(&s->self.spool);
	free(s->path);
	free(s);
}

static bool
reader_begin(struct reader *r, int dir, const char *path, bool *none, struct err *e)
{
	off_t size;
	int64_t version;
	AUTO(buf_done) struct buf file = BUF_MAX(SIZE_MAX);
	enum place was = place_look(dir, path, &size, e);
	*none = was == PLACE_NEW;
	if (was != PLACE_KEPT || !buf_addf(&file, "%s/postern.db", path))
		return false;
	r->spool = dir_open(dir, "spool", e);
	if (r->spool < 0 || !db_open(&r->db, buf_cstr(&file), 0, 0, e) ||
			!database_schema(&r->db, &version, e))
		return false;
	if (version == SCHEMA_VERSION)
		return true;
	if (version == 0) {
		*none = place_beside(dir, path, "without content", e) == PLACE_NEW;
		return false;
	}
	return err_set(e, EVENT_DATABASE_TROUBLE,
			"the database waits for its migration");
}

struct reader *
reader_find(const char *dir, bool *none, struct err *e)
{
	*none = false;
	AUTO(fd_done) int fd = openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		*none = errno == ENOENT;
		err_errno(e, EVENT_DATABASE_TROUBLE, errno, "cannot open %s", dir);
		return NULL;
	}
	struct reader *r = calloc(1, sizeof *r);
	MUST(r);
	r->spool = -1;
	if (reader_begin(r, fd, dir, none, e))
		return r;
	reader_close(r);
	if (e && e->event == 0)
		e->event = EVENT_DATABASE_TROUBLE;
	return NULL;
}

struct reader *
reader_open(const char *dir, struct err *e)
{
	bool none;
	struct reader *r = reader_find(dir, &none, e);
	if (none)
		err_set(e, EVENT_DATABASE_TROUBLE, "there is no database in %s", dir);
	return r;
}

bool
reader_check(struct reader *r, struct err *e)
{
	return database_check(&r->db, e);
}

void
reader_close(struct reader *r)
{
	if (!r)
		return;
	db_close(&r->db);
	fd_done(&r->spool);
	free(r);
}

struct reader *
store_reader(struct store *s)
{
	return &s->self;
}

uint64_t
store_new_id(struct store *s, int64_t now_ms)
{
	/* Past it there would be no room to count on in what SQLite stores. */
	if (now_ms > ID_TIME_MAX)
		now_ms = ID_TIME_MAX;
	uint64_t now = now_ms > 0 ? (uint64_t)now_ms << 16 : 0;
	uint64_t last = atomic_load(&s->last_id), id;
	uint16_t chance = 0;
	if (!s->service)
		clock_random(&chance, sizeof chance);
	do {
		id = last + 1 > now ? last + 1 : now;
		/* The service counts up from the start of a millisecond; a visitor beside it
		 * draws from the upper half of one. */
		if (!s->service) {
			id = (id & ~UINT64_C(0xffff)) | 0x8000 | chance;
			if (id <= last)
				id += 0x10000;
		} else if (id & 0x8000) { /* the clock was set back for long */
			id = (id | 0xffff) + 1;
		}
	} while (!atomic_compare_exchange_weak(&s->last_id, &last, id));
	return id;
}

struct store_counters
store_count(struct store *s)
{
	return (struct store_counters){
		.groups = atomic_load(&s->groups),
		.jobs = atomic_load(&s->jobs),
		.submitted = atomic_load(&s->submitted),
		.had = atomic_load(&s->had),
		.failed = atomic_load(&s->failed),
		.sync_us = atomic_load(&s->sync_us),
	};
}

void
store_about_to_end(struct store *s, int change)
{
	int before = atomic_fetch_add(&s->about_to_end, change);
	/* Nobody is left to wait for. */
	if (change < 0 && before + change <= 0 && s->inbox)
		mailbox_poke(s->inbox);
}
