/* An object for LD_PRELOAD: makes the n-th call of one kind fail in one role of postern.
 * Calls on files count when the file lies below one of FAILING_UNDER, so that the loader's,
 * OpenSSL's and the resolver's own are left alone; malloc counts once main has begun.
 *
 *	FAILING_UNDER	paths with ':' between them
 *	FAILING		"ROLE KIND N ERRNO once" or "... good": the N-th only, or from it on
 *	FAILING_TRACE	file to which each failed call is written, and without FAILING each
 *			that was counted: "ROLE KIND N FRAMES FILE"; frames are offsets in the
 *			program, the innermost first
 *
 * The role is "main" until prctl(PR_SET_NAME) gives it another name; each process counts for
 * itself. A role that was started again after its failure fails no second time ("once"), or at
 * its first call ("good"): the trace tells. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, READ, WRITE, SYNC, RENAME, UNLINK, MKDIR, MMAP, MALLOC, KINDS };

static const char *const names[KINDS] = { "open", "read", "write", "sync", "rename",
	"unlink", "mkdir", "mmap", "malloc" };

enum {
	FRAMES_SEEN = 24,
	FRAMES_SAID = 6,
	TRACED_MOST = 64, /* failures of one process in the trace: the first tell enough */
};

static struct {
	bool begun, counting, armed, for_good;
	char role[16], wanted_role[16];
	enum kind wanted;
	unsigned long wanted_n;
	int error;
	const char *under, *trace;
	uintptr_t low, high; /* the program's own code */
	atomic_ulong counts[KINDS];
	atomic_bool fired;
	atomic_uint traced;
} the;

static _Thread_local bool inside; /* what we call ourselves counts for nothing */

/* ---- whether it is that one ---- */

static bool
below(const char *path)
{
	const char *p = the.under;

	while (p && *p) {
		size_t n = strcspn(p, ":");
		if (n > 0 && strncmp(path, p, n) == 0 &&
				(path[n] == '\0' || path[n] == '/' || path[n] == ' '))
			return true;
		p += n + (p[n] == ':');
	}
	return false;
}

static const char *
path_of(int fd, char out[static 512])
{
	char link[40];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	long n = syscall(SYS_readlink, link, out, 511);
	out[n > 0 ? n : 0] = '\0';
	return out;
}

static size_t
add_frames(char *out, size_t size)
{
	void *frames[FRAMES_SEEN];
	int n = backtrace(frames, FRAMES_SEEN);
	size_t at = 0;
	int said = 0;

	for (int i = 0; i < n && said < FRAMES_SAID; i++) {
		uintptr_t pc = (uintptr_t)frames[i];
		if (pc < the.low || pc >= the.high || at + 20 > size)
			continue;
		at += (size_t)snprintf(out + at, size - at, "%s%lx", said++ ? "," : "",
				(unsigned long)(pc - the.low));
	}
	if (at == 0)
		at = (size_t)snprintf(out, size, "-");
	return at;
}

static void
write_trace(enum kind kind, unsigned long n, const char *file)
{
	char line[1024], frames[200];

	if (!the.trace)
		return;
	(void)add_frames(frames, sizeof(frames));
	int size = snprintf(line, sizeof(line), "%s %s %lu %s %s\n", the.role,
			names[kind], n, frames, file);
	long fd = syscall(SYS_openat, AT_FDCWD, the.trace,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	(void)syscall(SYS_write, fd, line, size);
	(void)syscall(SYS_close, fd);
}

/* True when this call is to fail; errno is set then. */
static bool
fails(enum kind kind, const char *file)
{
	if (!the.begun || inside)
		return false;
	unsigned long n = atomic_fetch_add(&the.counts[kind], 1) + 1;
	inside = true;
	if (the.counting)
		write_trace(kind, n, file);
	bool now = the.armed && kind == the.wanted &&
			strcmp(the.role, the.wanted_role) == 0 &&
			(the.for_good ? n >= the.wanted_n
				      : n == the.wanted_n && !atomic_exchange(&the.fired, true));
	if (now && atomic_fetch_add(&the.traced, 1) < TRACED_MOST)
		write_trace(kind, n, file);
	inside = false;
	if (now)
		errno = the.error;
	return now;
}

static bool
fails_fd(enum kind kind, int fd)
{
	char path[512];

	if (!the.begun || inside || !below(path_of(fd, path)))
		return false;
	return fails(kind, path);
}

/* A name relative to the working directory is none of ours: postern has none there. */
static bool
fails_at(enum kind kind, int dir, const char *name)
{
	char path[512], whole[1024];

	if (!the.begun || inside)
		return false;
	if (name[0] == '/')
		return below(name) && fails(kind, name);
	if (dir == AT_FDCWD || !below(path_of(dir, path)))
		return false;
	(void)snprintf(whole, sizeof(whole), "%s/%s", path, name);
	return fails(kind, whole);
}

/* ---- the beginning ---- */

static bool
failed_before(void)
{
	return the.armed && the.trace && syscall(SYS_access, the.trace, F_OK) == 0;
}

static void
take_role(const char *name)
{
	(void)snprintf(the.role, sizeof(the.role), "%s", name);
	for (int i = 0; i < KINDS; i++)
		atomic_store(&the.counts[i], 0);
	atomic_store(&the.traced, 0);
	if (failed_before()) {
		atomic_store(&the.fired, true);
		the.wanted_n = 1;
	}
}

static int
see_program(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	the.low = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr +
				info->dlpi_phdr[i].p_memsz;
		if (info->dlpi_phdr[i].p_type == PT_LOAD && end > the.high)
			the.high = end;
	}
	return 1; /* the first is the program */
}

static void
read_wishes(void)
{
	const char *want = getenv("FAILING");
	char kind[16] = "", span[8] = "";

	the.under = getenv("FAILING_UNDER");
	the.trace = getenv("FAILING_TRACE");
	the.counting = !want && the.trace;
	if (!want ||
			sscanf(want, "%15s %15s %lu %d %7s", the.wanted_role, kind,
					&the.wanted_n, &the.error, span) != 5)
		return;
	the.for_good = strcmp(span, "good") == 0;
	for (int i = 0; i < KINDS; i++) {
		if (strcmp(kind, names[i]) == 0) {
			the.wanted = (enum kind)i;
			the.armed = true;
		}
	}
}

static int (*real_main)(int, char **, char **);

static int
our_main(int argc, char **argv, char **envp)
{
	void *frames[2];

	(void)backtrace(frames, 2); /* loads what it needs now */
	(void)dl_iterate_phdr(see_program, NULL);
	read_wishes();
	take_role("main");
	the.begun = true;
	return real_main(argc, argv, envp);
}

#define REAL(name) \
	static __typeof__(name) *real; \
	if (!real) \
	*(void **)&real = dlsym(RTLD_NEXT, #name)

#define SHOWN __attribute__((visibility("default")))

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv,
		void (*init)(void), void (*fini)(void), void (*ld_fini)(void),
		void *stack_end);

SHOWN int
__libc_start_main(int (*main)(int, char **, char **), int argc, char **argv,
		void (*init)(void), void (*fini)(void), void (*ld_fini)(void),
		void *stack_end)
{
	REAL(__libc_start_main);
	real_main = main;
	return real(our_main, argc, argv, init, fini, ld_fini, stack_end);
}

SHOWN int
prctl(int option, ...)
{
	va_list ap;
	unsigned long a[4];

	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (option == PR_SET_NAME && the.begun)
		take_role((const char *)a[0]);
	return (int)syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
}

/* ---- the calls ---- */

/* The names without and with 64 are one function on this machine. */
#define OPEN_AT(name) \
	SHOWN int name(int dir, const char *path, int flags, ...) \
	{ \
		REAL(name); \
		va_list ap; \
		va_start(ap, flags); \
		mode_t mode = va_arg(ap, mode_t); \
		va_end(ap); \
		return fails_at(OPEN, dir, path) ? -1 : real(dir, path, flags, mode); \
	}
OPEN_AT(openat)
OPEN_AT(openat64)

#define OPEN_PATH(name) \
	SHOWN int name(const char *path, int flags, ...) \
	{ \
		REAL(name); \
		va_list ap; \
		va_start(ap, flags); \
		mode_t mode = va_arg(ap, mode_t); \
		va_end(ap); \
		return fails_at(OPEN, AT_FDCWD, path) ? -1 : real(path, flags, mode); \
	}
OPEN_PATH(open)
OPEN_PATH(open64)

/* What fortified calls of them become. */
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

#define OPEN_AT_2(name) \
	SHOWN int name(int dir, const char *path, int flags) \
	{ \
		REAL(name); \
		return fails_at(OPEN, dir, path) ? -1 : real(dir, path, flags); \
	}
OPEN_AT_2(__openat_2)
OPEN_AT_2(__openat64_2)

#define OPEN_PATH_2(name) \
	SHOWN int name(const char *path, int flags) \
	{ \
		REAL(name); \
		return fails_at(OPEN, AT_FDCWD, path) ? -1 : real(path, flags); \
	}
OPEN_PATH_2(__open_2)
OPEN_PATH_2(__open64_2)

SHOWN FILE *
fopen64(const char *path, const char *mode)
{
	REAL(fopen64);
	return fails_at(OPEN, AT_FDCWD, path) ? NULL : real(path, mode);
}

#define ON_FD(kind, name, parameters, arguments, type) \
	SHOWN type name parameters \
	{ \
		REAL(name); \
		return fails_fd(kind, fd) ? -1 : real arguments; \
	}
ON_FD(READ, read, (int fd, void *p, size_t n), (fd, p, n), ssize_t)
ON_FD(READ, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), ssize_t)
ON_FD(READ, pread64, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at), ssize_t)
ON_FD(READ, readv, (int fd, const struct iovec *p, int n), (fd, p, n), ssize_t)
ON_FD(WRITE, write, (int fd, const void *p, size_t n), (fd, p, n), ssize_t)
ON_FD(WRITE, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at),
		ssize_t)
ON_FD(WRITE, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at),
		ssize_t)
ON_FD(WRITE, writev, (int fd, const struct iovec *p, int n), (fd, p, n), ssize_t)
ON_FD(WRITE, ftruncate, (int fd, off_t n), (fd, n), int)
ON_FD(WRITE, ftruncate64, (int fd, off64_t n), (fd, n), int)
ON_FD(WRITE, fallocate, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n), int)
ON_FD(WRITE, fallocate64, (int fd, int mode, off64_t at, off64_t n), (fd, mode, at, n),
		int)
ON_FD(SYNC, fsync, (int fd), (fd), int)
ON_FD(SYNC, fdatasync, (int fd), (fd), int)
ON_FD(SYNC, syncfs, (int fd), (fd), int)

/* These give the error instead of setting errno. */
#define ALLOCATES(name, type) \
	SHOWN int name(int fd, type at, type n) \
	{ \
		REAL(name); \
		return fails_fd(WRITE, fd) ? errno : real(fd, at, n); \
	}
ALLOCATES(posix_fallocate, off_t)
ALLOCATES(posix_fallocate64, off64_t)

#define ON_NAME(kind, name, parameters, arguments, dir, path) \
	SHOWN int name parameters \
	{ \
		REAL(name); \
		return fails_at(kind, dir, path) ? -1 : real arguments; \
	}
ON_NAME(RENAME, rename, (const char *from, const char *to), (from, to), AT_FDCWD, to)
ON_NAME(RENAME, renameat, (int d, const char *from, int e, const char *to),
		(d, from, e, to), e, to)
ON_NAME(RENAME, renameat2,
		(int d, const char *from, int e, const char *to, unsigned flags),
		(d, from, e, to, flags), e, to)
ON_NAME(RENAME, link, (const char *from, const char *to), (from, to), AT_FDCWD, to)
ON_NAME(RENAME, linkat, (int d, const char *from, int e, const char *to, int flags),
		(d, from, e, to, flags), e, to)
ON_NAME(UNLINK, unlink, (const char *path), (path), AT_FDCWD, path)
ON_NAME(UNLINK, unlinkat, (int d, const char *path, int flags), (d, path, flags), d,
		path)
ON_NAME(UNLINK, rmdir, (const char *path), (path), AT_FDCWD, path)
ON_NAME(MKDIR, mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
ON_NAME(MKDIR, mkdirat, (int d, const char *path, mode_t mode), (d, path, mode), d,
		path)

#define MAPS(name, type) \
	SHOWN void *name(void *p, size_t n, int prot, int flags, int fd, type at) \
	{ \
		REAL(name); \
		return fd >= 0 && fails_fd(MMAP, fd) \
				? MAP_FAILED \
				: real(p, n, prot, flags, fd, at); \
	}
MAPS(mmap, off_t)
MAPS(mmap64, off64_t)

/* dlsym allocates: these have names of their own in glibc. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

SHOWN void *
malloc(size_t n)
{
	return fails(MALLOC, "-") ? NULL : __libc_malloc(n);
}

SHOWN void *
calloc(size_t n, size_t size)
{
	return fails(MALLOC, "-") ? NULL : __libc_calloc(n, size);
}

SHOWN void *
realloc(void *p, size_t n)
{
	return fails(MALLOC, "-") ? NULL : __libc_realloc(p, n);
}
