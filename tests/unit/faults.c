#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "postern/crash.h"

int __real_open64(const char *path, int flags, ...);
int __real_openat64(int dir, const char *path, int flags, ...);
ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __real_pread64(int fd, void *p, size_t n, off_t at);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __real_writev(int fd, const struct iovec *iov, int n);
ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t at);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_syncfs(int fd);
int __real_rename(const char *from, const char *to);
int __real_renameat(int dir, const char *from, int to_dir, const char *to);
int __real_renameat2(
		int dir, const char *from, int to_dir, const char *to, unsigned flags);
int __real_unlink(const char *path);
int __real_unlinkat(int dir, const char *path, int flags);
int __real_mkdir(const char *path, mode_t mode);
int __real_mkdirat(int dir, const char *path, mode_t mode);
void __real_crash_here(const char *name);

int __wrap_open64(const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap___open64_2(const char *path, int flags);
int __wrap___openat64_2(int dir, const char *path, int flags);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap_pread64(int fd, void *p, size_t n, off_t at);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int n);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_syncfs(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_renameat(int dir, const char *from, int to_dir, const char *to);
int __wrap_renameat2(
		int dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_unlink(const char *path);
int __wrap_unlinkat(int dir, const char *path, int flags);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdirat(int dir, const char *path, mode_t mode);
void __wrap_crash_here(const char *name);

struct seen {
	enum fault_call call;
	int no; /* made to fail with it, or 0 */
	char *words;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
	_Atomic bool on; /* read without the mutex, to cost nothing while off */
	char below[PATH_MAX];
	struct seen *seen;
	size_t n, cap;
	unsigned calls, wait,
			times; /* of faults_fail: those before it, those that fail */
	int no;
	bool armed, struck;
	char *story;
	void (*hook)(void *host, const char *name);
	void *host;
} the;

/* ---- what a test asks for ---- */

static void
forget(void)
{
	for (size_t i = 0; i < the.n; i++)
		free(the.seen[i].words);
	free(the.seen);
	free(the.story);
	the.seen = NULL;
	the.story = NULL;
	the.n = the.cap = 0;
}

void
faults_begin(const char *below)
{
	pthread_mutex_lock(&mutex);
	forget();
	if (!realpath(below, the.below))
		abort();
	the.on = true;
	the.armed = the.struck = false;
	pthread_mutex_unlock(&mutex);
}

void
faults_fail(unsigned calls, unsigned n, unsigned times, int no)
{
	pthread_mutex_lock(&mutex);
	the.calls = calls;
	the.wait = n - 1;
	the.times = times > 0 ? times : UINT_MAX;
	the.no = no;
	the.armed = true;
	the.struck = false;
	pthread_mutex_unlock(&mutex);
}

void
faults_end(void)
{
	pthread_mutex_lock(&mutex);
	the.on = the.armed = false;
	pthread_mutex_unlock(&mutex);
}

bool
faults_struck(void)
{
	pthread_mutex_lock(&mutex);
	bool struck = the.struck;
	pthread_mutex_unlock(&mutex);
	return struck;
}

unsigned
faults_count(unsigned calls)
{
	unsigned n = 0;

	pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < the.n; i++)
		n += (the.seen[i].call & calls) != 0;
	pthread_mutex_unlock(&mutex);
	return n;
}

const char *
faults_story(unsigned calls)
{
	size_t size = 0;
	FILE *f;

	pthread_mutex_lock(&mutex);
	free(the.story);
	f = open_memstream(&the.story, &size);
	if (!f)
		abort();
	for (size_t i = 0; i < the.n; i++) {
		const struct seen *s = &the.seen[i];

		if (!(s->call & calls))
			continue;
		fputs(s->words, f);
		if (s->no != 0)
			fprintf(f, " = %s", strerrordesc_np(s->no));
		fputc('\n', f);
	}
	if (fclose(f) != 0)
		abort();
	pthread_mutex_unlock(&mutex);
	return the.story;
}

void
faults_at_points(void (*hook)(void *host, const char *name), void *host)
{
	the.hook = hook;
	the.host = host;
	crash_armed = hook != NULL;
}

void
__wrap_crash_here(const char *name)
{
	if (the.hook)
		the.hook(the.host, name);
	else
		__real_crash_here(name);
}

/* ---- what a call is about ---- */

/* The path behind a descriptor, a directory's with a slash. */
static bool
path_of_fd(int fd, char out[PATH_MAX])
{
	char link[40];
	struct stat st;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, out, PATH_MAX - 2);
	if (n <= 0 || out[0] != '/')
		return false;
	out[n] = '\0';
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		memcpy(out + n, "/", 2);
	return true;
}

static bool
path_of_name(int dir, const char *name, char out[PATH_MAX])
{
	size_t n = 0;

	if (name[0] != '/') {
		if (dir == AT_FDCWD && !getcwd(out, PATH_MAX - 1))
			return false;
		if (dir != AT_FDCWD && !path_of_fd(dir, out))
			return false;
		n = strlen(out);
		if (out[n - 1] != '/')
			out[n++] = '/';
	}
	if (n + strlen(name) >= PATH_MAX)
		return false;
	memcpy(out + n, name, strlen(name) + 1);
	return true;
}

/* The path as it is told, or NULL when it is elsewhere. */
static const char *
told(const char *path)
{
	size_t n = strlen(the.below);

	if (strncmp(path, the.below, n) != 0 || (path[n] != '/' && path[n] != '\0'))
		return NULL;
	return path[n] == '\0' || path[n + 1] == '\0' ? "./" : path + n + 1;
}

/* Records the call; true when it is to fail, with errno set. */
static bool
strikes(enum fault_call call, const char *word, const char *a, const char *b)
{
	bool fails = false;

	pthread_mutex_lock(&mutex);
	const char *at = the.on ? told(a) : NULL;
	const char *to = at && b ? told(b) : NULL;
	if (at) {
		if (the.armed && (call & the.calls) && the.wait > 0) {
			the.wait--;
		} else if (the.armed && (call & the.calls) && the.times > 0) {
			fails = the.struck = true;
			the.times -= the.times != UINT_MAX;
		}
		if (the.n == the.cap) {
			the.cap = the.cap ? the.cap * 2 : 256;
			the.seen = realloc(the.seen, the.cap * sizeof(*the.seen));
			if (!the.seen)
				abort();
		}
		struct seen *s = &the.seen[the.n++];
		*s = (struct seen){ call, fails ? the.no : 0, NULL };
		if (asprintf(&s->words, "%s %s%s%s", word, at, b ? " " : "",
				    !b			 ? ""
						    : to ? to
							 : b) < 0)
			abort();
	}
	int no = the.no;
	pthread_mutex_unlock(&mutex);
	if (fails)
		errno = no;
	return fails;
}

static bool
strikes_fd(enum fault_call call, const char *word, int fd)
{
	char path[PATH_MAX];
	int before = errno;

	if (!the.on || !path_of_fd(fd, path)) {
		errno = before;
		return false;
	}
	errno = before;
	return strikes(call, word, path, NULL);
}

static bool
strikes_name(enum fault_call call, const char *word, int dir, const char *name)
{
	char path[PATH_MAX];

	return the.on && path_of_name(dir, name, path) &&
			strikes(call, word, path, NULL);
}

static bool
strikes_rename(int dir, const char *from, int to_dir, const char *to)
{
	char a[PATH_MAX], b[PATH_MAX];

	return the.on && path_of_name(dir, from, a) && path_of_name(to_dir, to, b) &&
			strikes(FAULT_RENAME, "rename", a, b);
}

/* ---- the calls ---- */

static mode_t
mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int
__wrap_open64(const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	return strikes_name(FAULT_OPEN, "open", AT_FDCWD, path)
			? -1
			: __real_open64(path, flags, mode);
}

int
__wrap_openat64(int dir, const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	return strikes_name(FAULT_OPEN, "open", dir, path)
			? -1
			: __real_openat64(dir, path, flags, mode);
}

/* What open and openat are called by when _FORTIFY_SOURCE looks at them. */
int
__wrap___open64_2(const char *path, int flags)
{
	return __wrap_open64(path, flags);
}

int
__wrap___openat64_2(int dir, const char *path, int flags)
{
	return __wrap_openat64(dir, path, flags);
}

ssize_t
__wrap_read(int fd, void *p, size_t n)
{
	return strikes_fd(FAULT_READ, "read", fd) ? -1 : __real_read(fd, p, n);
}

ssize_t
__wrap_pread64(int fd, void *p, size_t n, off_t at)
{
	return strikes_fd(FAULT_READ, "read", fd) ? -1 : __real_pread64(fd, p, n, at);
}

/* A disk that fills takes what there is room for; the rest of it fails. */
static ssize_t
write_failed(int fd, const void *p, size_t n)
{
	int no = errno;

	if (no == ENOSPC && n > 1)
		(void)!__real_write(fd, p, n / 2);
	errno = no;
	return -1;
}

ssize_t
__wrap_write(int fd, const void *p, size_t n)
{
	return strikes_fd(FAULT_WRITE, "write", fd) ? write_failed(fd, p, n)
						    : __real_write(fd, p, n);
}

ssize_t
__wrap_writev(int fd, const struct iovec *iov, int n)
{
	if (!strikes_fd(FAULT_WRITE, "write", fd))
		return __real_writev(fd, iov, n);
	return n > 0 ? write_failed(fd, iov[0].iov_base, iov[0].iov_len) : -1;
}

ssize_t
__wrap_pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return strikes_fd(FAULT_WRITE, "write", fd) ? -1
						    : __real_pwrite64(fd, p, n, at);
}

int
__wrap_fsync(int fd)
{
	return strikes_fd(FAULT_SYNC, "sync", fd) ? -1 : __real_fsync(fd);
}

int
__wrap_fdatasync(int fd)
{
	return strikes_fd(FAULT_SYNC, "sync", fd) ? -1 : __real_fdatasync(fd);
}

int
__wrap_syncfs(int fd)
{
	return strikes_fd(FAULT_SYNCFS, "syncfs", fd) ? -1 : __real_syncfs(fd);
}

int
__wrap_rename(const char *from, const char *to)
{
	return strikes_rename(AT_FDCWD, from, AT_FDCWD, to) ? -1
							    : __real_rename(from, to);
}

int
__wrap_renameat(int dir, const char *from, int to_dir, const char *to)
{
	return strikes_rename(dir, from, to_dir, to)
			? -1
			: __real_renameat(dir, from, to_dir, to);
}

int
__wrap_renameat2(int dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	return strikes_rename(dir, from, to_dir, to)
			? -1
			: __real_renameat2(dir, from, to_dir, to, flags);
}

int
__wrap_unlink(const char *path)
{
	return strikes_name(FAULT_UNLINK, "unlink", AT_FDCWD, path)
			? -1
			: __real_unlink(path);
}

int
__wrap_unlinkat(int dir, const char *path, int flags)
{
	return strikes_name(FAULT_UNLINK, "unlink", dir, path)
			? -1
			: __real_unlinkat(dir, path, flags);
}

int
__wrap_mkdir(const char *path, mode_t mode)
{
	return strikes_name(FAULT_MKDIR, "mkdir", AT_FDCWD, path)
			? -1
			: __real_mkdir(path, mode);
}

int
__wrap_mkdirat(int dir, const char *path, mode_t mode)
{
	return strikes_name(FAULT_MKDIR, "mkdir", dir, path)
			? -1
			: __real_mkdirat(dir, path, mode);
}
