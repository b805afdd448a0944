/* files: postern.db-wal and postern.db-shm, looked at from outside.
 *
 * SQLite opens them once and never looks at their names again. Where one is removed or
 * replaced, it goes on writing to a file that ends with the process, and every commit is
 * answered: all of it would be lost at a kill. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/file.h"
#include "state.h"

static const char *const names[FILES] = { "postern.db", "postern.db-wal",
	"postern.db-shm" };

void
files_note(struct store *s)
{
	for (size_t i = 0; i < FILES; i++) {
		struct stat st;
		s->files[i] = (struct file_seen){ 0 };
		if (fstatat(s->dir, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			s->files[i] = (struct file_seen){ st.st_dev, st.st_ino, true };
	}
}

static bool
own(const struct file_seen *f, const struct stat *st)
{
	return f->seen && st->st_nlink > 0 && st->st_dev == f->dev &&
			st->st_ino == f->ino;
}

int64_t
files_log_size(const struct store *s)
{
	struct stat st;
	return fstatat(s->dir, names[FILE_LOG], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
					own(&s->files[FILE_LOG], &st)
			? (int64_t)st.st_size
			: -1;
}

int
files_log_open(const struct store *s)
{
	struct stat st;
	AUTO(fd_done)
	int fd = openat(s->dir, names[FILE_LOG],
			O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0 || !own(&s->files[FILE_LOG], &st))
		return -1;
	return fd_take(&fd);
}

/* What cannot be looked at now is not lost: the next look tells. */
static bool
lost(struct store *s, size_t i, bool *there)
{
	struct stat st;
	*there = fstatat(s->dir, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!*there)
		return s->files[i].seen && errno == ENOENT;
	if (!s->files[i].seen)
		s->files[i] = (struct file_seen){ st.st_dev, st.st_ino, true };
	return !own(&s->files[i], &st);
}

bool
files_same(struct store *s)
{
	bool there;
	return !lost(s, FILE_DATABASE, &there) && there;
}

bool
files_there(struct store *s)
{
	bool there, all = true;
	for (size_t i = 0; i < FILES; i++)
		all = !lost(s, i, &there) && there && all;
	return all;
}

/* Everything in the log that this connection has open goes into the database. A log that
 * has lost its name has no other writer, and is emptied, so that no process that shares the
 * index looks for more in the file that will bear its name; one that only lost its index
 * may have got another writer, who has made an index of his own: it stays as it is. */
static bool
save(struct store *s, int how)
{
	int log = -1, done = -1;
	int rc = sqlite3_wal_checkpoint_v2(s->self.db.h, "main", how, &log, &done);
	if (rc == SQLITE_BUSY)
		rc = sqlite3_wal_checkpoint_v2(s->self.db.h, "main",
				SQLITE_CHECKPOINT_PASSIVE, &log, &done);
	s->self.db.rc = rc == SQLITE_OK && done < log ? SQLITE_BUSY : rc;
	return s->self.db.rc == SQLITE_OK;
}

bool
files_save(struct store *s)
{
	return save(s, SQLITE_CHECKPOINT_TRUNCATE);
}

/* A foreign log must not be read into the database at the next start. */
static bool
put_aside(struct store *s, bool log_there, char aside[64], struct err *e)
{
	if (log_there) {
		(void)snprintf(aside, 64, "postern.db-wal.%lld",
				(long long)clock_wall_ms());
		if (renameat(s->dir, names[FILE_LOG], s->dir, aside) != 0)
			return err_errno(e, EVENT_DATABASE_MOVED, errno,
					"a foreign postern.db-wal cannot be put aside");
	}
	if (unlinkat(s->dir, names[FILE_INDEX], 0) != 0 && errno != ENOENT)
		return err_errno(e, EVENT_DATABASE_MOVED, errno,
				"postern.db-shm cannot be removed");
	return dir_sync(s->dir, e);
}

static bool
rescue(struct store *s, bool log_lost, bool log_there, struct err *e)
{
	const char *what = log_lost ? names[FILE_LOG] : names[FILE_INDEX];
	char aside[64] = "";
	int on;
	if (!save(s,
			    log_lost ? SQLITE_CHECKPOINT_TRUNCATE
				     : SQLITE_CHECKPOINT_PASSIVE)) {
		struct err why = { 0 };
		db_failed(&s->self.db,
				"its contents could not be written into postern.db",
				&why);
		return err_set(e, EVENT_DATABASE_MOVED,
				"%s was removed or replaced while in use; %s", what,
				why.text);
	}
	/* From here on the names are those of other files. */
	(void)sqlite3_db_config(s->self.db.h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, &on);
	if (log_lost && !put_aside(s, log_there, aside, e))
		return false;
	atomic_store(&s->over, true);
	err_set(&s->over_err, EVENT_DATABASE_MOVED,
			"%s was removed or replaced while in use; what it held is saved in postern.db%s%s",
			what, aside[0] ? ", and what stood in its place is now " : "",
			aside);
	return true;
}

bool
files_ours(struct store *s, struct err *e)
{
	bool log_there, index_there;
	bool log_lost = lost(s, FILE_LOG, &log_there);
	bool index_lost = lost(s, FILE_INDEX, &index_there);
	if (!log_lost && !index_lost)
		return true;
	s->self.db.rc = SQLITE_READONLY_DBMOVED;
	if (rescue(s, log_lost, log_there, e))
		*e = s->over_err;
	s->self.db.rc = SQLITE_READONLY_DBMOVED;
	return false;
}
