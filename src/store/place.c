/* place: the state directory: what is made there, and what lies beside a database that is
 * missing or empty. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/file.h"
#include "postern/must.h"
#include "state.h"

/* Made when the database has been, and never removed: a database that is missing beside it
 * was lost. */
#define MARKER "postern.made"
#define SUSPECT "postern.suspect"

/* The highest queue id in spool/, 0 when there is none or no spool. */
static bool
spool_beside(int dir, const char *path, uint64_t *last, struct err *e)
{
	int spool = openat(
			dir, "spool", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	*last = 0;
	if (spool < 0)
		return errno == ENOENT ||
				err_errno(e, EVENT_DATABASE_TROUBLE, errno,
						"cannot open %s/spool", path);
	bool read = spool_last(spool, last, e);
	close(spool);
	return read;
}

enum place
place_beside(int dir, const char *path, const char *how, struct err *e)
{
	struct stat st;
	uint64_t last;
	if (!spool_beside(dir, path, &last, e))
		return PLACE_UNKNOWN;
	if (last > 0) {
		err_set(e, EVENT_DATABASE_TROUBLE,
				"%s/postern.db is %s, but spool/ beside it holds mail: restore it",
				path, how);
		return PLACE_LOST;
	}
	if (fstatat(dir, MARKER, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		err_set(e, EVENT_DATABASE_TROUBLE,
				"%s/postern.db is %s, but there was one, as %s beside it says: restore it "
				"(or remove %s too, to begin anew)",
				path, how, MARKER, MARKER);
		return PLACE_LOST;
	}
	if (errno == ENOENT)
		return PLACE_NEW;
	err_errno(e, EVENT_DATABASE_TROUBLE, errno, "cannot look into %s", path);
	return PLACE_UNKNOWN;
}

enum place
place_look(int dir, const char *path, off_t *size, struct err *e)
{
	struct stat st;
	*size = 0;
	bool there = fstatat(dir, "postern.db", &st, 0) == 0;
	if (!there && errno != ENOENT) {
		err_errno(e, EVENT_DATABASE_TROUBLE, errno,
				"cannot look at %s/postern.db", path);
		return PLACE_UNKNOWN;
	}
	if (!there || st.st_size == 0)
		return place_beside(dir, path, there ? "empty" : "missing", e);
	*size = st.st_size;
	return PLACE_KEPT;
}

void
place_mark(int dir)
{
	static const char words[] =
			"postern.db beside this file was made by Postern. If it is missing one day, it was "
			"lost:\nrestore it. Remove this file too only to begin anew.\n";
	int fd = openat(dir, MARKER,
			O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) /* it is there; or it cannot be made now, and the next start tries again */
		return;
	if (fd_write_all(fd, (struct span){ words, sizeof words - 1 }))
		(void)dir_sync(dir, NULL);
	close(fd);
}

/* As far as it can be done on a disk that may be failing: without the file a large database
 * is not read through after an orderly end, and its damage shows when it is met again. */
void
place_suspect(int dir)
{
	int fd = openat(dir, SUSPECT, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			0600);
	fd_done(&fd);
}

bool
place_suspected(int dir)
{
	return faccessat(dir, SUSPECT, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void
place_cleared(int dir)
{
	(void)unlinkat(dir, SUSPECT, 0);
}

/* Makes the file, with its mode, before SQLite would make it with another. One that was
 * lost is never taken for new. */
bool
place_make(struct store *s, const char *path, off_t *size, bool *unclean, struct err *e)
{
	struct stat st;
	if (!dir_make_path(path, 0700, e))
		return false;
	s->dir = dir_open(AT_FDCWD, path, e);
	if (s->dir < 0)
		return false;
	s->self.spool = dir_make(s->dir, "spool", 0700, e);
	if (s->self.spool < 0)
		return false;
	enum place was = place_look(s->dir, path, size, e);
	if (was == PLACE_LOST)
		s->trouble = STORE_DAMAGED;
	if (was == PLACE_LOST || was == PLACE_UNKNOWN)
		return false;
	s->fresh = was == PLACE_NEW;
	*unclean = fstatat(s->dir, "postern.db-wal", &st, 0) == 0 && st.st_size > 0;
	int fd = openat(s->dir, "postern.db", O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY,
			0600);
	if (fd < 0)
		return err_errno(e, EVENT_DATABASE_TROUBLE, errno,
				"cannot open %s/postern.db", path);
	close(fd);
	return !s->fresh || dir_sync(s->dir, e);
}
