#include "postern/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "postern/buf.h"
#include "postern/file.h"
#include "postern/num.h"

static pid_t
lock_pid_text(int fd)
{
	char text[32];
	uint64_t pid = 0;
	ssize_t n = fd_read_at(fd, text, sizeof(text), 0);

	if (n <= 0 ||
			!num_u64(span_trim((struct span){ text, (size_t)n }), INT_MAX,
					&pid))
		return 0;
	return (pid_t)pid;
}

static int
lock_file(const char *dir, struct err *err)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/lock", dir);

	if (n < 0 || (size_t)n >= sizeof(path)) {
		(void)err_set(err, 0, "the path of the state directory is too long");
		return -1;
	}
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		(void)err_errno(err, 0, errno, "cannot open %s", path);
	return fd;
}

int
lock_take(const char *dir, pid_t *holder, struct err *err)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	AUTO(fd_done) int fd = lock_file(dir, err);

	if (holder)
		*holder = 0;
	if (fd < 0)
		return -1;
	if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
		if (errno != EAGAIN && errno != EACCES) {
			(void)err_errno(err, 0, errno, "cannot lock %s/lock", dir);
			return -1;
		}
		/* The holder writes its pid right after it got the lock: until then the
		 * text may be of the one before. It is only for people. */
		pid_t pid = lock_pid_text(fd);
		if (holder)
			*holder = pid;
		(void)err_set(err, 0, "%s is in use by another Postern (process %d)",
				dir, (int)pid);
		return -1;
	}

	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
		(void)err_errno(err, 0, errno, "cannot write %s/lock", dir);
		return -1;
	}
	return fd_take(&fd);
}

pid_t
lock_holder(const char *dir, struct err *err)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/lock", dir);
	AUTO(fd_done) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		(void)err_errno(err, 0, errno, "cannot open %s", path);
		return -1;
	}
	if (fcntl(fd, F_OFD_GETLK, &whole) != 0) {
		(void)err_errno(err, 0, errno, "cannot ask for the lock %s", path);
		return -1;
	}
	if (whole.l_type == F_UNLCK)
		return 0;
	pid_t pid = lock_pid_text(fd);
	return pid > 0 ? pid : 1; /* held, though nobody has signed yet */
}

int
lock_octet(const char *path, uint64_t at, bool make, bool *taken, struct err *err)
{
	struct flock one = { .l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)at,
		.l_len = 1 };
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0);
	AUTO(fd_done) int fd = open(path, flags, 0600);

	*taken = false;
	if (fd < 0) {
		(void)err_errno(err, 0, errno, "cannot open %s", path);
		return -1;
	}
	if (fcntl(fd, F_OFD_SETLK, &one) == 0)
		return fd_take(&fd);
	*taken = errno == EAGAIN || errno == EACCES;
	if (!*taken)
		(void)err_errno(err, 0, errno, "cannot lock %s", path);
	return -1;
}
