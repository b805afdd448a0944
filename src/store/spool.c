#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/crash.h"
#include "postern/file.h"
#include "postern/must.h"
#include "postern/qid.h"
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
enum { WRITE_OUT = 1024 * 1024 };

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

DIR *
spool_entries(int spool)
{
	int fd = openat(spool, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	return d;
}

bool
spool_next(DIR *d, uint64_t *id, char name[QID_SIZE])
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
	DIR *d = spool_entries(spool);
	*last = 0;
	if (!d)
		return err_errno(e, EVENT_DATABASE_TROUBLE, errno,
				"cannot read the spool");
	while (spool_next(d, &id, name))
		*last = id > *last ? id : *last;
	closedir(d);
	return true;
}
