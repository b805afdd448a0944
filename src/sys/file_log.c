#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/file.h"

enum { LOOK_EVERY_MS = 1000 };

struct file_log {
	char *path;
	mode_t mode;
	int fd;
	dev_t dev;
	ino_t ino;
	int64_t looked_ms;
};

static bool
file_log_reopen(struct file_log *f, struct err *err)
{
	struct stat st;
	int fd = open(f->path,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
					O_NONBLOCK,
			f->mode);

	if (fd < 0)
		return err_errno(err, 0, errno, "cannot open %s", f->path);
	if (fstat(fd, &st) != 0) {
		int no = errno;

		fd_done(&fd);
		return err_errno(err, 0, no, "cannot look at %s", f->path);
	}
	fd_done(&f->fd);
	f->fd = fd;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	return true;
}

struct file_log *
file_log_open(const char *path, mode_t mode, struct err *err)
{
	struct file_log *f = calloc(1, sizeof(*f));

	if (!f || !(f->path = strdup(path)))
		abort();
	f->mode = mode;
	f->fd = -1;
	if (!file_log_reopen(f, err)) {
		file_log_close(f);
		return NULL;
	}
	return f;
}

bool
file_log_add(struct file_log *f, struct span record, struct err *err)
{
	int64_t now = clock_mono_ms();
	struct stat st;

	if (now - f->looked_ms >= LOOK_EVERY_MS) {
		f->looked_ms = now;
		bool same = stat(f->path, &st) == 0 && st.st_dev == f->dev &&
				st.st_ino == f->ino;
		if (!same && !file_log_reopen(f, err))
			return false;
	}
	for (;;) {
		ssize_t put = write(f->fd, record.p, record.n);
		if (put >= 0)
			return (size_t)put == record.n ||
					err_set(err, 0, "%s took only a part of a record",
							f->path);
		if (errno != EINTR)
			return err_errno(err, 0, errno, "cannot write to %s", f->path);
	}
}

bool
file_log_rotate(struct file_log *f, uint64_t max_bytes, unsigned keep, struct err *err)
{
	struct stat st;
	size_t room = strlen(f->path) + 16;

	if (stat(f->path, &st) != 0 || (uint64_t)st.st_size <= max_bytes)
		return true;

	/* Several processes come here at the same time; the lock lets one move. */
	AUTO(fd_done) int own = open(f->path, O_RDONLY | O_CLOEXEC);
	if (own < 0 || flock(own, LOCK_EX | LOCK_NB) != 0)
		return true;
	struct stat mine;
	if (fstat(own, &mine) != 0 || stat(f->path, &st) != 0 ||
			mine.st_ino != st.st_ino)
		return true;

	char *from = malloc(room), *to = malloc(room);
	bool ok = true;
	if (!from || !to)
		abort();
	for (unsigned i = keep; ok && i > 0; i--) {
		if (i == 1)
			(void)snprintf(from, room, "%s", f->path);
		else
			(void)snprintf(from, room, "%s.%u", f->path, i - 1);
		(void)snprintf(to, room, "%s.%u", f->path, i);
		if (rename(from, to) != 0 && errno != ENOENT)
			ok = err_errno(err, 0, errno, "cannot move %s", from);
	}
	if (ok && keep == 0 && unlink(f->path) != 0)
		ok = err_errno(err, 0, errno, "cannot remove %s", f->path);
	free(from);
	free(to);
	return ok && file_log_reopen(f, err);
}

void
file_log_close(struct file_log *f)
{
	if (!f)
		return;
	fd_done(&f->fd);
	free(f->path);
	free(f);
}
