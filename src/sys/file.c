/* Reading, writing and directories. The log files are in file_log.c. */
#include "postern/file.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

void
fd_done(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

int
fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

bool
fd_write_all(int fd, struct span bytes)
{
	while (bytes.n > 0) {
		ssize_t put = write(fd, bytes.p, bytes.n);
		if (put < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		bytes = span_skip(bytes, (size_t)put);
	}
	return true;
}

bool
fd_write_parts(int fd, const struct span *parts, size_t n)
{
	enum { AT_ONCE = 64 };
	struct iovec iov[AT_ONCE];

	while (n > 0) {
		size_t now = n < AT_ONCE ? n : AT_ONCE, total = 0;

		for (size_t i = 0; i < now; i++) {
			/* writev only reads; its type was made before const. */
			iov[i].iov_base = (void *)(uintptr_t)parts[i].p;
			iov[i].iov_len = parts[i].n;
			total += parts[i].n;
		}
		ssize_t put = total > 0 ? writev(fd, iov, (int)now) : 0;
		if (put < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		/* A short write is rare: finish this handful piece by piece. */
		size_t done = (size_t)put;
		for (size_t i = 0; i < now && (size_t)put < total; i++) {
			size_t skip = done < parts[i].n ? done : parts[i].n;

			done -= skip;
			if (!fd_write_all(fd, span_skip(parts[i], skip)))
				return false;
		}
		parts += now;
		n -= now;
	}
	return true;
}

ssize_t
fd_read_at(int fd, void *p, size_t n, uint64_t at)
{
	size_t got = 0;

	while (got < n) {
		ssize_t more = pread(fd, (char *)p + got, n - got, (off_t)(at + got));
		if (more < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		if (more == 0)
			break;
		got += (size_t)more;
	}
	return (ssize_t)got;
}

bool
fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

int
dir_open(int dir, const char *name, struct err *err)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		(void)err_errno(err, 0, errno, "cannot open the directory %s", name);
	return fd;
}

int
dir_make(int dir, const char *name, mode_t mode, struct err *err)
{
	bool made = mkdirat(dir, name, mode) == 0;

	if (!made && errno != EEXIST) {
		(void)err_errno(err, 0, errno, "cannot make the directory %s", name);
		return -1;
	}
	int fd = dir_open(dir, name, err);
	if (fd >= 0 && made && fchmod(fd, mode) != 0) {
		(void)err_errno(err, 0, errno, "cannot set the mode of %s", name);
		fd_done(&fd);
	}
	return fd;
}

bool
dir_sync(int dir, struct err *err)
{
	if (fsync(dir) != 0)
		return err_errno(err, 0, errno, "cannot sync a directory");
	return true;
}

/* A directory that is new must survive a power cut before anything in it is said
 * to: its name is synced, in the one above it. */
static bool
dir_sync_above(const char *path, struct err *err)
{
	char above[PATH_MAX];
	struct span name = span_of(path);
	size_t slash = span_rfind(name, '/');
	const char *where = slash == name.n ? "." : slash == 0 ? "/" : above;

	(void)snprintf(above, sizeof(above), "%.*s", (int)slash, path);
	AUTO(fd_done) int fd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, 0, errno, "cannot open the directory %s", where);
	return dir_sync(fd, err);
}

bool
dir_make_path(const char *path, mode_t mode, struct err *err)
{
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(part))
		return err_set(err, 0, "no path of a directory: %s", path);
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, mode) == 0) {
			if (chmod(part, mode) != 0)
				return err_errno(err, 0, errno,
						"cannot set the mode of %s", part);
			if (!dir_sync_above(part, err)) {
				/* Found there the next time, it would pass for durable. */
				(void)rmdir(part);
				return false;
			}
		} else if (errno != EEXIST && errno != EISDIR && errno != EROFS &&
				errno != EACCES) {
			return err_errno(err, 0, errno, "cannot make the directory %s",
					part);
		}
	}

	struct stat st;
	if (stat(path, &st) != 0)
		return err_errno(err, 0, errno, "cannot make the directory %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, 0, "%s is not a directory", path);
	return true;
}

static bool
file_checked(int fd, const char *name, int flags, struct stat *st, struct err *err)
{
	if (fstat(fd, st) != 0)
		return err_errno(err, 0, errno, "cannot look at %s", name);
	if (S_ISDIR(st->st_mode))
		return err_set(err, 0, "%s is a directory", name);
	if (flags & (FILE_REGULAR | FILE_PRIVATE) && !S_ISREG(st->st_mode))
		return err_set(err, 0, "%s is not a regular file", name);
	if (flags & FILE_PRIVATE) {
		/* root:postern 0640, Debian's way: the service's own group may read it. */
		mode_t others = st->st_uid == 0 && st->st_gid == getegid()
				? S_IWGRP | S_IXGRP | S_IRWXO
				: S_IRWXG | S_IRWXO;
		if (st->st_mode & others)
			return err_set(err, 0,
					"%s may be read by group or others (mode %04o): chmod 600 it",
					name, (unsigned)(st->st_mode & 07777));
		if (st->st_uid != 0 && st->st_uid != geteuid())
			return err_set(err, 0, "%s belongs to another user (uid %u)",
					name, (unsigned)st->st_uid);
	}
	return true;
}

/* One read behind out. > 0; 0: the end; -1: errno says why, EFBIG that there is
 * more than out may hold. */
static ssize_t
file_read_piece(int fd, size_t piece, struct buf *out)
{
	size_t left = out->max - out->n;
	size_t room = left == 0 ? 1 : piece < left ? piece : left;
	char one, *at = left > 0 ? buf_room(out, room) : &one;
	ssize_t got;

	do
		got = read(fd, at, room);
	while (got < 0 && errno == EINTR);
	if (got > 0 && left == 0) {
		errno = EFBIG;
		return -1;
	}
	if (got > 0)
		buf_grown(out, (size_t)got);
	return got;
}

bool
file_read(int dir, const char *name, int flags, struct buf *out, struct err *err)
{
	int how = O_RDONLY | O_CLOEXEC | O_NOCTTY;
	struct stat st;

	if (flags & FILE_NOFOLLOW)
		how |= O_NOFOLLOW;
	if (flags & (FILE_REGULAR | FILE_PRIVATE))
		how |= O_NONBLOCK; /* a FIFO must not hold us */
	AUTO(fd_done) int fd = openat(dir, name, how);
	if (fd < 0)
		return err_errno(err, 0, errno, "cannot open %s", name);
	if (!file_checked(fd, name, flags, &st, err))
		return false;

	size_t before = out->n;
	/* One more than it should have, to see the end in the same read. */
	size_t piece = st.st_size > 0 && st.st_size < 1 << 20 ? (size_t)st.st_size + 1
							      : 4096;
	ssize_t got;
	while ((got = file_read_piece(fd, piece, out)) > 0)
		piece = 64 * 1024;
	if (got == 0)
		return true;
	int no = errno;
	out->n = before;
	return no == EFBIG ? err_set(err, 0, "%s is too large", name)
			   : err_errno(err, 0, no, "cannot read %s", name);
}

void
file_set_time(int dir, const char *name, int64_t at_s)
{
	const struct timespec at[2] = { { .tv_sec = (time_t)at_s },
		{ .tv_sec = (time_t)at_s } };

	(void)utimensat(dir, name, at, AT_SYMLINK_NOFOLLOW);
}

bool
file_write_atomic(int dir, const char *name, mode_t mode, struct span bytes,
		struct err *err)
{
	AUTO(buf_done) struct buf b = BUF_MAX(PATH_MAX);
	struct span all = span_of(name);
	size_t slash = span_rfind(all, '/');
	struct span home_name = slash < all.n ? span_first(all, slash + 1) : SPAN("./");
	struct span last = slash < all.n ? span_skip(all, slash + 1) : all;

	if (!buf_add(&b, home_name) ||
			!buf_addf(&b, "." SPAN_FMT ".%d.tmp", SPAN_ARG(last),
					(int)getpid()) ||
			!buf_cstr(&b))
		return err_set(err, 0, "the name %s is too long", name);
	const char *tmp = b.p;
	(void)unlinkat(dir, tmp, 0);
	AUTO(fd_done)
	int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			mode);
	if (fd < 0)
		return err_errno(err, 0, errno, "cannot create %s", tmp);
	if (fchmod(fd, mode) != 0 || !fd_write_all(fd, bytes) || fsync(fd) != 0 ||
			renameat(dir, tmp, dir, name) != 0) {
		int no = errno;

		(void)unlinkat(dir, tmp, 0);
		return err_errno(err, 0, no, "cannot write %s", name);
	}

	b.p[home_name.n] = '\0';
	AUTO(fd_done) int home = openat(dir, b.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (home < 0)
		return err_errno(
				err, 0, errno, "cannot open the directory of %s", name);
	return dir_sync(home, err);
}

bool
file_space(const char *path, uint64_t *free_bytes, uint64_t *total, struct err *err)
{
	struct statvfs st;

	if (statvfs(path, &st) != 0)
		return err_errno(err, 0, errno, "cannot ask for the space below %s",
				path);
	*free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	if (total)
		*total = (uint64_t)st.f_blocks * st.f_frsize;
	return true;
}

static void
file_names_add(struct file_names *f, size_t *cap, const char *name)
{
	if (f->n == *cap) {
		*cap = *cap ? *cap * 2 : 16;
		char **grown = realloc(f->names, *cap * sizeof(*grown));
		if (!grown)
			abort();
		f->names = grown;
	}
	char *copy = strdup(name);
	if (!copy)
		abort();
	f->names[f->n++] = copy;
}

/* A folder that is not there has no files; one that cannot be read may have some. */
static int
glob_stops(const char *path, int no)
{
	(void)path;
	return no != ENOENT && no != ENOTDIR;
}

bool
file_glob(const char *pattern, struct file_names *out, struct err *err)
{
	glob_t g;
	size_t cap = 0;
	/* Unsafe only with GLOB_TILDE, for the sake of getpwnam. */
	int rc = glob(pattern, 0, glob_stops, &g); /* NOLINT(concurrency-mt-unsafe) */

	*out = (struct file_names){ 0 };
	if (rc == GLOB_NOMATCH)
		return true;
	if (rc != 0)
		return err_errno(err, 0, errno, "cannot look for %s", pattern);
	for (size_t i = 0; i < g.gl_pathc; i++)
		file_names_add(out, &cap, g.gl_pathv[i]);
	globfree(&g);
	return true;
}

bool
dir_names(int dir, size_t max, struct file_names *out, struct err *err)
{
	size_t cap = 0;
	int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = own >= 0 ? fdopendir(own) : NULL;

	*out = (struct file_names){ 0 };
	if (!d) {
		int no = errno;

		fd_done(&own);
		return err_errno(err, 0, no, "cannot list a directory");
	}
	errno = 0;
	for (struct dirent *e; out->n < max && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			file_names_add(out, &cap, e->d_name);
	int no = errno;
	(void)closedir(d);
	if (no != 0 && out->n < max) {
		file_names_done(out);
		return err_errno(err, 0, no, "cannot list a directory");
	}
	return true;
}

void
file_names_done(struct file_names *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->names[i]);
	free(f->names);
	*f = (struct file_names){ 0 };
}

char *
file_path(const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		abort();
	return path;
}
