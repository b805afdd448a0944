#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/body.h"
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/file.h"
#include "postern/must.h"
#include "postern/qid.h"
#include "postern/sum.h"
#include "postern/thread.h"
#include "state.h"

/* Why BODY_BLOB_MAX is 64 KB. Two cores, ext4 on a virtual disk with a sync of 0.2 ms, one
 * message of that size from hand-over to durable, as a blob and as a file, alone and in
 * groups of 64 (tests/unit/store/store_load.c):
 *
 *	octets     alone: blob  file     grouped: blob  file     us of wall time each
 *	16 K               303  1138                70   100+
 *	32 K               356  1096               147   107
 *	64 K               503  1165               206   246
 *	128 K              607  1278               462   390
 *	256 K             1089  1397              1037   817
 *
 * Up to 64 KB a blob is never much worse and alone it is twice as fast: a new file costs two
 * more commits of the file system's journal. Beyond, a file costs less, is not copied
 * through the log, and need not be whole in memory. */

/* Write-out begins each time so many octets have come, so that the sync at the
 * commit has little left to do and dirty pages stay few. */
enum { WRITE_OUT = 1024 * 1024, VERIFY_PIECE = 128 * 1024 };

int
spool_create(struct store *s, uint64_t id, struct err *e)
{
	char name[QID_SIZE];
	qid_print(id, name);
	int fd = openat(s->self.spool, name,
			O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
			0600);
	if (fd < 0)
		err_errno(e, EVENT_DATABASE_TROUBLE, errno, "cannot make spool/%s",
				name);
	return fd;
}

bool
spool_write(int fd, struct span bytes, uint64_t *written, struct err *e)
{
	if (!fd_write_all(fd, bytes))
		return err_errno(e, EVENT_DATABASE_TROUBLE, errno,
				"cannot write to the spool");
	uint64_t before = *written / WRITE_OUT,
		 after = (*written + bytes.n) / WRITE_OUT;
	*written += bytes.n;
	if (after > before) /* only a hint: its failure shows at the sync */
		(void)sync_file_range(fd, (off64_t)(before * WRITE_OUT),
				(off64_t)((after - before) * WRITE_OUT),
				SYNC_FILE_RANGE_WRITE);
	return true;
}

void
spool_unlink(const struct store *s, uint64_t id)
{
	char name[QID_SIZE];
	qid_print(id, name);
	(void)unlinkat(s->self.spool, name, 0); /* what stays is swept later */
}

void
spool_doubt(struct store *s, uint64_t id)
{
	mutex_lock(s->lock);
	MUST(buf_add(&s->doubtful, (struct span){ (const char *)&id, sizeof id }));
	mutex_unlock(s->lock);
}

void
spool_remove(struct store *s, uint64_t id)
{
	bool doubtful = false;
	mutex_lock(s->lock);
	for (size_t i = 0; i < s->doubtful.n && !doubtful; i += sizeof id)
		doubtful = memcmp(s->doubtful.p + i, &id, sizeof id) == 0;
	mutex_unlock(s->lock);
	if (!doubtful)
		spool_unlink(s, id);
}

static bool
gone(int no)
{
	return no == ENOENT || no == ELOOP || no == ENXIO || no == ENOTDIR;
}

int
spool_open_any(int spool, uint64_t id, uint64_t *size, struct err *e)
{
	char name[QID_SIZE];
	struct stat st;
	qid_print(id, name);
	AUTO(fd_done)
	int fd = openat(spool, name,
			O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && gone(errno)) {
		(void)err_set(e, EVENT_BODY_DAMAGED, "its file is gone");
		return -1;
	}
	if (fd < 0 || fstat(fd, &st) != 0) {
		(void)err_errno(e, EVENT_DATABASE_TROUBLE, errno,
				"cannot open spool/%s", name);
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		(void)err_set(e, EVENT_BODY_DAMAGED, "its file is gone");
		return -1;
	}
	*size = (uint64_t)st.st_size;
	return fd_take(&fd);
}

int
spool_open_body(int spool, uint64_t id, uint64_t size, struct err *e)
{
	uint64_t has = 0;
	AUTO(fd_done) int fd = spool_open_any(spool, id, &has, e);
	if (fd < 0)
		return -1;
	if (has != size) {
		(void)err_set(e, EVENT_BODY_DAMAGED,
				"its file has %" PRIu64 " octets instead of %" PRIu64,
				has, size);
		return -1;
	}
	return fd_take(&fd);
}

static bool
sync_one(struct submission *sub)
{
	struct stat st;
	if (fdatasync(sub->spool_fd) == 0 && fstat(sub->spool_fd, &st) == 0) {
		if ((uint64_t)st.st_size == sub->spool_size)
			return true;
		sub->job.result = STORE_FAILED;
		sub->job.trouble = STORE_DISK_FAILS;
		err_set(&sub->job.err, EVENT_DATABASE_TROUBLE,
				"the spool file has not the size it should have");
		return false;
	}
	bool full = errno == ENOSPC || errno == EDQUOT;
	sub->job.result = full ? STORE_FULL : STORE_FAILED;
	sub->job.trouble = full ? STORE_DISK_FULL : STORE_DISK_FAILS;
	err_errno(&sub->job.err, EVENT_DATABASE_TROUBLE, errno,
			"cannot sync the spool");
	return false;
}

static struct submission *
spooled(struct list *at)
{
	struct submission *sub = LIST_ITEM(at, struct submission, job.link);
	return sub->job.work == STORE_SUBMIT && !sub->job.decided && sub->spool_fd >= 0
			? sub
			: NULL;
}

static bool
sync_files(struct list *jobs, struct err *e)
{
	bool good = true;
	LIST_EACH (at, jobs)
		if (spooled(at) && !sync_one(spooled(at))) {
			struct store_job *job = LIST_ITEM(at, struct store_job, link);
			job->decided = true;
			if (job->result == STORE_FAILED) {
				good = false;
				*e = job->err;
			}
		}
	return good;
}

/* Every spool file of the group, then their directory, once. The one that fails is
 * decided; when the directory did, all are. False: the disk failed, and *e says how. */
bool
spool_sync(struct store *s, struct list *jobs, struct err *e)
{
	size_t files = 0;
	LIST_EACH (at, jobs)
		if (spooled(at)) {
			files++;
			(void)sync_file_range(spooled(at)->spool_fd, 0, 0,
					SYNC_FILE_RANGE_WRITE);
		}
	if (files == 0)
		return true;
	bool good = sync_files(jobs, e);
	crash_point("store: spool files synced");
	if (dir_sync(s->self.spool, e)) {
		crash_point("store: spool directory synced");
		return good;
	}
	e->event = EVENT_DATABASE_TROUBLE;
	LIST_EACH (at, jobs)
		if (spooled(at)) {
			struct store_job *job = LIST_ITEM(at, struct store_job, link);
			job->decided = true;
			job->result = STORE_FAILED;
			job->trouble = STORE_DISK_FAILS;
			job->err = *e;
		}
	return false;
}

/* ---- what lies there ---- */

static DIR *
entries(int spool)
{
	int fd = openat(spool, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	return d;
}

static bool
next_entry(DIR *d, uint64_t *id, char name[QID_SIZE])
{
	const struct dirent *de;
	while ((de = readdir(d))) {
		if (!qid_parse(span_of(de->d_name), id))
			continue;
		qid_print(*id, name);
		if (strcmp(name, de->d_name) == 0)
			return true;
	}
	return false;
}

/* The highest id that a file there is named by, 0 when there is none. */
bool
spool_last(int spool, uint64_t *last, struct err *e)
{
	uint64_t id;
	char name[QID_SIZE];
	DIR *d = entries(spool);
	*last = 0;
	if (!d)
		return err_errno(e, EVENT_DATABASE_TROUBLE, errno,
				"cannot read the spool");
	while (next_entry(d, &id, name))
		*last = id > *last ? id : *last;
	closedir(d);
	return true;
}

static bool
row_there(struct db *db, enum sql which, uint64_t id, bool *there, struct err *e)
{
	struct query q = query_of(db, which);
	query_int(&q, (int64_t)id);
	*there = query_row(&q);
	return query_end(&q, "cannot read the queue", e);
}

/* Older than any session: by the steady clock and by the wall's, since the file has its time
 * from the one, and either may be wrong. A file of the future is young from now on. */
static bool
outlived(struct store *s, const char *name, int64_t steady_ms, int64_t wall_ms)
{
	struct stat st;
	if (fstatat(s->self.spool, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	int64_t then = (int64_t)st.st_mtime * 1000;
	if (then > steady_ms + SPOOL_KEEP_MS && then > wall_ms + SPOOL_KEEP_MS)
		(void)utimensat(s->self.spool, name, NULL, AT_SYMLINK_NOFOLLOW);
	return then < steady_ms - SPOOL_KEEP_MS && then < wall_ms - SPOOL_KEEP_MS;
}

/* Half a message of the service's own: when it starts, and so holds the lock of the state,
 * nobody writes to it any more. Visitors (ids with bit 15) may be at work. */
static bool
forsaken(uint64_t id, bool starting)
{
	return starting && !(id & 0x8000);
}

bool
spool_sweep(struct store *s, bool starting, uint64_t *removed, struct err *e)
{
	int64_t steady_ms = store_steady_ms(s), wall_ms = clock_wall_ms();
	DIR *d = entries(s->self.spool);
	if (!d)
		return err_errno(e, EVENT_DATABASE_TROUBLE, errno,
				"cannot read the spool");
	uint64_t id;
	char name[QID_SIZE];
	bool good = true;
	while (good && next_entry(d, &id, name)) {
		bool open = false, known = false;
		good = row_there(&s->self.db, SQL_BODY_SPOOLED, id, &open, e) &&
				(open ||
						row_there(&s->self.db, SQL_ROUTE_GET,
								id, &known, e));
		if (!good || open)
			continue;
		/* Its message is settled, or its session cannot be alive any more. */
		if (known || forsaken(id, starting) ||
				outlived(s, name, steady_ms, wall_ms)) {
			if (unlinkat(s->self.spool, name, 0) == 0)
				(*removed)++;
		}
	}
	closedir(d);
	return good;
}

/* ---- at a start ---- */

/* The sum of the newest files is looked at after a crash, of so many octets: they are those
 * that it may have torn, and the start does not wait for more (from a disk of 200 MB/s it
 * is a second). Of all others the size is; the sum is whenever one is read for delivery,
 * before its end goes out. */
enum { VERIFY_MOST = 256 * 1024 * 1024 };

static bool
sum_holds(int fd, uint64_t size, struct span sum, struct err *e)
{
	AUTO(buf_done) struct buf piece = BUF_MAX(VERIFY_PIECE);
	char *p = buf_room(&piece, VERIFY_PIECE);
	struct sum *made = sum_new();
	uint8_t got[SUM_SIZE];
	uint64_t at = 0;
	ssize_t n = 0;

	MUST(p);
	while (at < size && (n = fd_read_at(fd, p, VERIFY_PIECE, at)) > 0) {
		sum_add(made, (struct span){ p, (size_t)n });
		at += (uint64_t)n;
	}
	int no = errno;
	sum_get(made, got);
	sum_free(made);
	if (n < 0)
		return err_errno(e, EVENT_DATABASE_TROUBLE, no,
				"cannot read the spool file");
	return span_eq(sum, (struct span){ (const char *)got, sizeof got }) ||
			err_set(e, EVENT_BODY_DAMAGED, BODY_ALTERED);
}

static bool
whole(struct store *s, uint64_t id, uint64_t size, struct span sum, uint64_t *left,
		struct err *e)
{
	AUTO(fd_done) int fd = spool_open_body(s->self.spool, id, size, e);

	if (fd < 0)
		return false;
	if (sum.n != SUM_SIZE || size > *left)
		return true;
	*left -= size;
	return sum_holds(fd, size, sum, e);
}

struct lost {
	uint64_t id;
	char how[160];
};

static bool
lost_write(struct store *s, const struct lost *l, int64_t now_ms, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_BODY_DAMAGED);
	query_int(&q, (int64_t)l->id);
	query_text(&q, span_of(l->how));
	return query_run(&q, "cannot write the body", e) &&
			damage_due(s, l->id, now_ms, e);
}

/* What is damaged becomes due at once: whoever tries to deliver it says so, and settles it. */
bool
spool_recover(struct store *s, struct store_recovery *found, int64_t now_ms,
		struct err *e)
{
	AUTO(buf_done) struct buf lost = BUF_MAX(SIZE_MAX);
	uint64_t left = found->unclean ? VERIFY_MOST : 0;
	struct query q = query_of(&s->self.db, SQL_SPOOLED_WALK);
	while (query_row(&q)) {
		struct lost l = { .id = (uint64_t)query_get(&q, 0) };
		uint64_t size = (uint64_t)query_get(&q, 1);
		struct err why = { 0 };
		if (whole(s, l.id, size, query_peek(&q, 2), &left, &why)) {
			found->verified++;
		} else if (why.event == EVENT_BODY_DAMAGED) {
			(void)snprintf(l.how, sizeof l.how, "%.159s", why.text);
			MUST(buf_add(&lost,
					(struct span){ (const char *)&l, sizeof l }));
			found->damaged++;
		}
	}
	if (!query_end(&q, "cannot read the queue", e))
		return false;
	if (lost.n > 0) {
		bool good = group_begin(s, e);
		for (size_t i = 0; good && i < lost.n; i += sizeof(struct lost)) {
			struct lost l;
			memcpy(&l, lost.p + i, sizeof l);
			good = lost_write(s, &l, now_ms, e);
		}
		if (!group_end(s, good, e))
			return false;
	}
	return spool_sweep(s, true, &found->resumed, e);
}
