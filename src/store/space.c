/* space: what was accepted can be settled, whatever else fills the disk.
 *
 * The room that settling needs is allocated beforehand, at the very place where it will be
 * used: the log reaches s->log_room octets past its last page, and the database file holds
 * all that is in the log before that is committed. Blocks that are there are overwritten
 * without asking the disk. So with 0 octets left a settlement goes into the log, a checkpoint
 * from there into the database, and the log begins anew, for as long as it takes.
 *
 * A file beside the database that is removed when it comes to that would be simpler, but
 * its room goes to whoever writes next, which on a full disk is what filled it, and it
 * protects nothing until it could be made again. File systems that write every block to a
 * new place (btrfs, ZFS) keep no such promise: there the floor has to do, and when even that
 * is gone, attempts wait (hops_may_begin). So they do where the room could not be had.
 *
 * The database gives back what it does not need: pages that are free in it count as room,
 * since new mail goes there first, and are cut off at its end when they are many or the
 * disk is low. */
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>

#include "postern/crash.h"
#include "postern/file.h"
#include "postern/thread.h"
#include "state.h"

enum {
	PAGE = 4096,
	FRAME = PAGE + 24, /* of the log */
	/* The largest settlement: 10,000 recipients of one message that were tried before. It
	 * takes 680 to 980 pages of the log, with answers of 60 to 90 octets; this is room
	 * for 1,018. */
	LOG_ROOM_MOST = 4 * 1024 * 1024,
	LOG_ROOM_LEAST = 256 * 1024,
	STEP = 64 * 1024,
	JOB_PAGES = 4, /* that a submission dirties beside those of its octets */
	CONVERT_PAGES = 16384, /* the most that a start rewrites (64 MB): 0.7 s */
};

/* ---- the log ---- */

uint64_t
space_log_used(const struct store *s)
{
	return (uint64_t)s->log_pages * FRAME;
}

/* Allocates the log up to `want` at least. One that was taken away, or exchanged, is not full:
 * the next look at the files tells. */
static bool
log_allocate(const struct store *s, uint64_t want)
{
	int64_t there = files_log_size(s);
	uint64_t size = (uint64_t)there, step = s->log_room / 4;
	if (there < 0 || size >= want)
		return true;
	want = (want + step - 1) / step * step;
	AUTO(fd_done) int fd = files_log_open(s);
	/* Not posix_fallocate: where the file system cannot, that one writes to the file. */
	return fd >= 0 &&
			(fallocate(fd, 0, (off_t)size, (off_t)(want - size)) == 0 ||
					errno == EOPNOTSUPP);
}

/* How much of it is left. A file system that allocates nothing ahead makes no promise that
 * could be broken. */
void
space_log_look(struct store *s)
{
	bool whole = log_allocate(s, space_log_used(s) + s->log_room);
	int64_t there = whole ? -1 : files_log_size(s);
	uint64_t size = there < 0 ? UINT64_MAX : (uint64_t)there;
	atomic_store(&s->spent, size < space_log_used(s) + s->log_room / 4);
	s->log_short = size < space_log_used(s) + s->log_room / 2;
}

/* ---- the database ---- */

static bool
count_pages(struct store *s, enum sql which, int64_t *out, struct err *e)
{
	struct query q = query_of(&s->self.db, which);
	*out = query_row(&q) ? query_get(&q, 0) : 0;
	return query_end(&q, "cannot count the pages", e);
}

static bool
spare_look(struct store *s, struct err *e)
{
	int64_t spare;
	if (!count_pages(s, SQL_PAGES, &s->pages, e) ||
			!count_pages(s, SQL_PAGES_SPARE, &spare, e))
		return false;
	atomic_store(&s->spare, (uint64_t)spare * PAGE);
	return true;
}

/* Inside a transaction, before its commit: the file holds all that will be in it, and what
 * settling may add, unless there are free pages for that. */
static bool
database_allocate(struct store *s)
{
	uint64_t spare = atomic_load(&s->spare), room = s->log_room / 4;
	sqlite3_int64 want = (sqlite3_int64)s->pages * PAGE +
			(sqlite3_int64)(spare < room ? room - spare : 0);
	if ((uint64_t)want <= s->allocated)
		return true;
	if (sqlite3_file_control(s->self.db.h, "main", SQLITE_FCNTL_SIZE_HINT, &want) !=
			SQLITE_OK)
		return false;
	s->allocated = (uint64_t)want;
	return true;
}

bool
space_before_commit(struct store *s, bool arriving, struct err *e)
{
	if (!spare_look(s, e))
		return false;
	if (!s->service || database_allocate(s) || !arriving)
		return true;
	s->self.db.rc = SQLITE_FULL;
	return err_set(e, EVENT_DATABASE_TROUBLE,
			"the database cannot grow: the disk is full");
}

/* ---- giving back ---- */

/* Passive: waits for nobody. What readers hold up now is written back next time. */
void
space_write_back(struct store *s)
{
	int log = 0, done = 0;
	int rc = sqlite3_wal_checkpoint_v2(
			s->self.db.h, "main", SQLITE_CHECKPOINT_PASSIVE, &log, &done);
	bool whole = rc == SQLITE_OK && done >= log;
	s->wal_pages = whole ? 0 : s->wal_pages / 2;
	if (!whole)
		return;
	s->log_pages = 0; /* the next commit begins it anew; if not, it will say so */
	s->allocated = 0; /* the file was cut to its length */
}

bool
space_for_group(struct store *s, uint64_t octets, size_t jobs)
{
	uint64_t want = octets + jobs * JOB_PAGES * FRAME + s->log_room;
	if (!s->service || log_allocate(s, space_log_used(s) + want))
		return true;
	space_write_back(s); /* then it begins anew */
	return log_allocate(s, space_log_used(s) + want);
}

/* ---- at the start ---- */

/* A state of an older version cannot give pages back until it was written anew once. That
 * is done while it is small, or has become so; until then its free pages only count as room. */
static void
convert(struct store *s, const struct statvfs *v)
{
	int64_t how, pages, spare;
	if (!count_pages(s, SQL_SHRINKS, &how, NULL) || how != 0 ||
			!count_pages(s, SQL_PAGES, &pages, NULL) ||
			!count_pages(s, SQL_PAGES_SPARE, &spare, NULL))
		return;
	uint64_t live = (uint64_t)(pages - spare) * PAGE;
	if (pages - spare > CONVERT_PAGES ||
			(uint64_t)v->f_bavail * v->f_frsize < 3 * live + s->min_free)
		return;
	/* What fails leaves it as it was. */
	(void)db_exec(&s->self.db, "PRAGMA auto_vacuum=INCREMENTAL; VACUUM", NULL);
	crash_point("store: database written anew");
}

void
space_opened(struct store *s)
{
	int step = (int)(s->log_room / 4);
	s->allocated = 0;
	if (files_log_size(s) == 0)
		s->wal_pages = s->log_pages = 0;
	if (s->service)
		(void)sqlite3_file_control(
				s->self.db.h, "main", SQLITE_FCNTL_CHUNK_SIZE, &step);
}

bool
space_start(struct store *s, struct err *e)
{
	struct statvfs v;
	if (!s->service)
		return spare_look(s, e);
	if (fstatvfs(s->self.spool, &v) != 0)
		return err_errno(e, EVENT_DATABASE_TROUBLE, errno,
				"cannot ask for the room of the disk");
	uint64_t part = (uint64_t)v.f_blocks * v.f_frsize / 16;
	s->log_room = part > LOG_ROOM_MOST	? LOG_ROOM_MOST
			: part < LOG_ROOM_LEAST ? LOG_ROOM_LEAST
						: part / STEP * STEP;
	space_opened(s);
	convert(s, &v);
	int64_t how;
	if (!count_pages(s, SQL_SHRINKS, &how, e) || !spare_look(s, e))
		return false;
	s->shrinks = how != 0;
	space_log_look(s);
	return true;
}

/* ---- how it stands ---- */

void
store_min_free(struct store *s, uint64_t octets)
{
	atomic_store(&s->min_free, octets);
}

bool
store_space_look(struct store *s)
{
	struct statvfs v;
	/* What cannot be asked is not full; the write will tell. */
	bool asked = fstatvfs(s->self.spool, &v) == 0, was = atomic_load(&s->low);
	uint64_t left = asked ? (uint64_t)v.f_bavail * v.f_frsize : UINT64_MAX / 2;
	/* A little more is asked for to be well again, so that it is not said each second. */
	uint64_t least = atomic_load(&s->min_free);
	uint64_t more = was ? least / 8 : 0;
	uint64_t floor = least < UINT64_MAX - more ? least + more : least;
	/* Free pages take the next mail, but files are written beside it too. */
	bool low = atomic_load(&s->spent) || left < floor / 4 ||
			left + atomic_load(&s->spare) < floor;
	bool tight = low || left - left / 3 < floor;
	atomic_store(&s->low, low);
	if (tight && !atomic_exchange(&s->tight, true) && s->inbox)
		mailbox_poke(s->inbox); /* what can be given back is */
	atomic_store(&s->tight, tight);
	return low;
}

bool
store_space_low(struct store *s)
{
	return atomic_load(&s->low);
}

bool
store_space_spent(struct store *s)
{
	return atomic_load(&s->spent);
}
