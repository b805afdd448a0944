/* Records what a program does to the files below a directory, for tests/crash/power:
 * preloaded, with POSTERN_POWER_ROOT naming the directory (as the kernel names it) and
 * POSTERN_POWER_TRACE the trace, a file that begins with a page of zeros. With
 * POSTERN_POWER_KILL=KIND:N the process is killed right after its N-th record of that
 * kind, 0: of any.
 *
 * One order for all threads and processes: an operation and its record are one step
 * under a lock that lies in the trace's first page. A sync has two records, since it
 * covers only what was there when it began and counts only when it has ended; it runs
 * outside the lock. What is said on a socket is recorded before it is said.
 *
 * What the shim cannot follow is recorded as BLIND, and then the trace counts for
 * nothing. The system calls are made directly: nothing here goes through libc's own. */
#undef _FILE_OFFSET_BITS /* open and open64 are two names here */
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
	MAKE = 1, /* a: directory, b: file; name */
	MAKE_DIR, /* the same of a directory */
	WRITE, /* a: file, b: offset; bytes */
	SIZE, /* a: file, b: new size */
	MOVE, /* a: from directory, b: to directory, c: file; two names, the first of n octets */
	LINK, /* a: directory, b: file; name */
	REMOVE, /* a: directory, b: file; name */
	SYNC_BEGIN, /* a: file, 0: all of them; b: this sync's number; path */
	SYNC_END, /* b: the number */
	SAY, /* a: the peer's port, b: ours; the first octets */
	MAPPED, /* a: file: what it holds is not known any more */
	BLIND, /* what was done */
};

struct record {
	uint32_t size; /* of what follows */
	uint16_t kind, n;
	uint64_t a, b, c;
};

enum { SAY_MOST = 512 };

static struct shared {
	atomic_int lock;
	_Atomic uint64_t syncs;
} * shared;
static int trace = -1;
static char root[PATH_MAX];
static size_t root_n;
static unsigned long kill_at, kill_kind; /* kill_at 0: never */
static unsigned long put_so_far; /* under the lock */

__attribute__((noreturn)) static void
give_up(const char *why)
{
	static const char who[] = "power_shim: ";

	(void)syscall(SYS_write, 2, who, sizeof who - 1);
	(void)syscall(SYS_write, 2, why, strlen(why));
	(void)syscall(SYS_write, 2, "\n", 1);
	abort();
}

/* Runs before main; a preloaded library of a process that records nothing is idle. */
__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("POSTERN_POWER_TRACE");
	const char *below = getenv("POSTERN_POWER_ROOT");

	if (!path || !below || strlen(below) >= sizeof root)
		return;
	int fd = (int)syscall(
			SYS_openat, AT_FDCWD, path, O_RDWR | O_APPEND | O_CLOEXEC, 0);
	if (fd < 0)
		give_up("cannot open the trace");
	/* Far away from the numbers that the program expects. */
	trace = fcntl(fd, F_DUPFD_CLOEXEC, 700);
	(void)syscall(SYS_close, fd);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, trace, 0);
	if (trace < 0 || shared == MAP_FAILED)
		give_up("cannot map the trace");
	const char *end = getenv("POSTERN_POWER_KILL");
	char *colon = NULL;
	kill_kind = end ? strtoul(end, &colon, 10) : 0;
	kill_at = colon && *colon == ':' ? strtoul(colon + 1, NULL, 10) : 0;
	root_n = strlen(below);
	memcpy(root, below, root_n + 1);
}

static void
lock(void)
{
	int expected = 0;

	while (!atomic_compare_exchange_weak(&shared->lock, &expected, 1)) {
		expected = 0;
		sched_yield();
	}
}

static void
unlock(void)
{
	atomic_store(&shared->lock, 0);
}

/* One write: records of several processes never mix. */
static void
put(struct record r, const struct iovec *bytes, int n)
{
	struct iovec all[16] = { { &r, sizeof r } };
	int no = errno, used = 1;
	size_t total = sizeof r;

	for (int i = 0; i < n && used < 16; i++) {
		all[used++] = bytes[i];
		total += bytes[i].iov_len;
	}
	r.size = (uint32_t)(total - sizeof r);
	if (syscall(SYS_writev, trace, all, used) != (ssize_t)total)
		give_up("cannot write the trace");
	/* No thread is between an operation and its record then: all wait for the lock, which
	 * stays taken. Who starts the next process opens it. */
	if ((kill_kind == 0 || kill_kind == r.kind) && ++put_so_far == kill_at)
		(void)syscall(SYS_kill, getpid(), SIGKILL);
	errno = no;
}

static void
put_text(struct record r, const char *text)
{
	struct iovec v = { (void *)(uintptr_t)text, strlen(text) };

	put(r, &v, 1);
}

/* The path of a descriptor, when it is below the root. */
static bool
below_root(int fd, char path[PATH_MAX])
{
	char link[40];

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return strncmp(path, root, root_n) == 0 &&
			(path[root_n] == '/' || path[root_n] == '\0');
}

static bool
followed(int fd, uint64_t *ino)
{
	int no = errno;
	struct stat st;
	char path[PATH_MAX];
	bool ours = shared && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
			below_root(fd, path);

	if (ours)
		*ino = st.st_ino;
	errno = no;
	return ours;
}

/* Where a name is: the directory's number and the last part; false: not below the root. */
struct place {
	uint64_t dir;
	char name[NAME_MAX + 1];
};

static bool
place_of(int at, const char *path, struct place *p)
{
	char whole[PATH_MAX], seen[PATH_MAX];
	size_t n = strlen(path);
	int no = errno;
	bool ours = false;
	struct stat st;

	if (!shared || n == 0 || n >= sizeof whole)
		return false;
	memcpy(whole, path, n + 1);
	while (n > 1 && whole[n - 1] == '/')
		whole[--n] = '\0';
	char *slash = strrchr(whole, '/');
	const char *name = slash ? slash + 1 : whole;
	if (strlen(name) > NAME_MAX)
		return false;
	memcpy(p->name, name, strlen(name) + 1);
	if (slash)
		slash[slash == whole] = '\0';
	int fd = (int)syscall(SYS_openat, at, slash ? whole : ".",
			O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd >= 0 && below_root(fd, seen) && fstat(fd, &st) == 0) {
		p->dir = st.st_ino;
		ours = true;
	}
	if (fd >= 0)
		(void)syscall(SYS_close, fd);
	errno = no;
	return ours;
}

static uint64_t
number_of(int at, const char *path)
{
	struct stat st;
	int no = errno;
	uint64_t ino = fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;

	errno = no;
	return ino;
}

static void
blind(const char *what)
{
	lock();
	put_text((struct record){ .kind = BLIND }, what);
	unlock();
}

/* ---- opening ---- */

static int
do_open(int at, const char *path, int flags, mode_t mode)
{
	struct place p;
	bool writes = flags & (O_CREAT | O_TRUNC);

	if (!writes || (flags & O_TMPFILE) == O_TMPFILE || !place_of(at, path, &p)) {
		int fd = (int)syscall(SYS_openat, at, path, flags, mode);
		uint64_t ino;

		if (fd >= 0 && (flags & O_TMPFILE) == O_TMPFILE && followed(fd, &ino))
			blind("O_TMPFILE");
		return fd;
	}
	lock();
	uint64_t was = number_of(at, path);
	int fd = (int)syscall(SYS_openat, at, path, flags, mode);
	uint64_t ino;
	if (fd >= 0 && followed(fd, &ino)) {
		if (was == 0)
			put_text((struct record){ .kind = MAKE, .a = p.dir, .b = ino },
					p.name);
		else if (flags & O_TRUNC)
			put((struct record){ .kind = SIZE, .a = ino }, NULL, 0);
	}
	unlock();
	return fd;
}

#define MODE_OF(flags) \
	mode_t mode = 0; \
	if (((flags)&O_CREAT) || ((flags)&O_TMPFILE) == O_TMPFILE) { \
		va_list more; \
		va_start(more, flags); \
		mode = va_arg(more, mode_t); \
		va_end(more); \
	}

int
open(const char *path, int flags, ...)
{
	MODE_OF(flags)
	return do_open(AT_FDCWD, path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
	MODE_OF(flags)
	return do_open(AT_FDCWD, path, flags, mode);
}

int
openat(int at, const char *path, int flags, ...)
{
	MODE_OF(flags)
	return do_open(at, path, flags, mode);
}

int
openat64(int at, const char *path, int flags, ...)
{
	MODE_OF(flags)
	return do_open(at, path, flags, mode);
}

/* The names that _FORTIFY_SOURCE gives to those without a mode. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int at, const char *path, int flags);
int __openat64_2(int at, const char *path, int flags);

int
__open_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

int
__open64_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

int
__openat_2(int at, const char *path, int flags)
{
	return do_open(at, path, flags, 0);
}

int
__openat64_2(int at, const char *path, int flags)
{
	return do_open(at, path, flags, 0);
}

int
creat(const char *path, mode_t mode)
{
	return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int
creat64(const char *path, mode_t mode)
{
	return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* ---- what is said ---- */

/* The port of an IP socket's other or own end; 0: it has none. */
static uint16_t
port_of(int fd, bool peer)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof a;

	if ((peer ? getpeername(fd, (struct sockaddr *)&a, &n)
		  : getsockname(fd, (struct sockaddr *)&a, &n)) != 0)
		return 0;
	if (a.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&a)->sin_port);
	return a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port)
				       : 0;
}

static void
say(int fd, const struct iovec *v, int n)
{
	struct stat st;
	int no = errno;

	if (!shared || fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode)) {
		errno = no;
		return;
	}
	uint16_t peer = port_of(fd, true), own = port_of(fd, false);
	char first[SAY_MOST];
	size_t got = 0;
	for (int i = 0; peer && i < n && got < sizeof first; i++) {
		size_t piece = v[i].iov_len < sizeof first - got ? v[i].iov_len
								 : sizeof first - got;
		memcpy(first + got, v[i].iov_base, piece);
		got += piece;
	}
	if (got > 0) {
		lock();
		put((struct record){ .kind = SAY, .a = peer, .b = own },
				&(struct iovec){ first, got }, 1);
		unlock();
	}
	errno = no;
}

ssize_t
send(int fd, const void *p, size_t n, int flags)
{
	say(fd, &(struct iovec){ (void *)(uintptr_t)p, n }, 1);
	return syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}

ssize_t
sendto(int fd, const void *p, size_t n, int flags, __CONST_SOCKADDR_ARG to,
		socklen_t to_n)
{
	say(fd, &(struct iovec){ (void *)(uintptr_t)p, n }, 1);
	return syscall(SYS_sendto, fd, p, n, flags, to.__sockaddr__, to_n);
}

ssize_t
sendmsg(int fd, const struct msghdr *m, int flags)
{
	say(fd, m->msg_iov, (int)m->msg_iovlen);
	return syscall(SYS_sendmsg, fd, m, flags);
}

/* ---- writing ---- */

/* at < 0: where the descriptor stands. */
static ssize_t
do_write(int fd, const struct iovec *v, int n, off_t at)
{
	uint64_t ino;

	if (!followed(fd, &ino)) {
		if (at >= 0)
			return syscall(SYS_pwritev, fd, v, n, at, 0L);
		say(fd, v, n);
		return syscall(SYS_writev, fd, v, n);
	}
	lock();
	int flags = fcntl(fd, F_GETFL);
	off_t from = at;
	if (at < 0)
		from = lseek(fd, 0, flags & O_APPEND ? SEEK_END : SEEK_CUR);
	ssize_t done = at < 0 ? syscall(SYS_writev, fd, v, n)
			      : syscall(SYS_pwritev, fd, v, n, at, 0L);
	size_t left = done > 0 ? (size_t)done : 0;
	for (int i = 0; left > 0; i++) {
		struct iovec piece = { v[i].iov_base,
			v[i].iov_len < left ? v[i].iov_len : left };

		put((struct record){ .kind = WRITE, .a = ino, .b = (uint64_t)from },
				&piece, 1);
		from += (off_t)piece.iov_len;
		left -= piece.iov_len;
	}
	unlock();
	return done;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	return do_write(fd, &(struct iovec){ (void *)(uintptr_t)p, n }, 1, -1);
}

ssize_t
writev(int fd, const struct iovec *v, int n)
{
	return do_write(fd, v, n, -1);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return do_write(fd, &(struct iovec){ (void *)(uintptr_t)p, n }, 1, at);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return do_write(fd, &(struct iovec){ (void *)(uintptr_t)p, n }, 1, at);
}

ssize_t
pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	return do_write(fd, v, n, at);
}

ssize_t
pwritev64(int fd, const struct iovec *v, int n, off_t at)
{
	return do_write(fd, v, n, at);
}

static int
do_size(int fd, off_t n)
{
	uint64_t ino;

	if (!followed(fd, &ino))
		return (int)syscall(SYS_ftruncate, fd, n);
	lock();
	int rc = (int)syscall(SYS_ftruncate, fd, n);
	if (rc == 0)
		put((struct record){ .kind = SIZE, .a = ino, .b = (uint64_t)n }, NULL,
				0);
	unlock();
	return rc;
}

int
ftruncate(int fd, off_t n)
{
	return do_size(fd, n);
}

int
ftruncate64(int fd, off_t n)
{
	return do_size(fd, n);
}

int
fallocate(int fd, int mode, off_t at, off_t n)
{
	uint64_t ino;
	struct stat st;

	if (!followed(fd, &ino))
		return (int)syscall(SYS_fallocate, fd, mode, at, n);
	if (mode & ~FALLOC_FL_KEEP_SIZE)
		blind("fallocate that takes away");
	lock();
	int rc = (int)syscall(SYS_fallocate, fd, mode, at, n);
	if (rc == 0 && mode == 0 && fstat(fd, &st) == 0)
		put((struct record){ .kind = SIZE,
				    .a = ino,
				    .b = (uint64_t)st.st_size },
				NULL, 0);
	unlock();
	return rc;
}

int
fallocate64(int fd, int mode, off_t at, off_t n)
{
	return fallocate(fd, mode, at, n);
}

int
posix_fallocate(int fd, off_t at, off_t n)
{
	return fallocate(fd, 0, at, n) == 0 ? 0 : errno;
}

int
posix_fallocate64(int fd, off_t at, off_t n)
{
	return posix_fallocate(fd, at, n);
}

int
truncate(const char *path, off_t n)
{
	struct place p;

	if (place_of(AT_FDCWD, path, &p))
		blind("truncate");
	return (int)syscall(SYS_truncate, path, n);
}

#define BLIND_FD(fd, what) \
	do { \
		uint64_t ino; \
		if (followed((fd), &ino)) \
			blind(what); \
	} while (0)

ssize_t
sendfile(int to, int from, off_t *at, size_t n)
{
	BLIND_FD(to, "sendfile");
	return syscall(SYS_sendfile, to, from, at, n);
}

ssize_t
copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t n,
		unsigned flags)
{
	BLIND_FD(to, "copy_file_range");
	return syscall(SYS_copy_file_range, from, from_at, to, to_at, n, flags);
}

static void *
do_map(void *where, size_t n, int rights, int flags, int fd, off_t at)
{
	uint64_t ino;

	if (fd >= 0 && (rights & PROT_WRITE) && (flags & MAP_SHARED) &&
			followed(fd, &ino)) {
		lock();
		put((struct record){ .kind = MAPPED, .a = ino }, NULL, 0);
		unlock();
	}
	/* An int in a register of the system call, whatever the type of the result. */
	return (void *)syscall(SYS_mmap, where, n, rights, flags, fd, at);
}

void *
mmap(void *where, size_t n, int rights, int flags, int fd, off_t at)
{
	return do_map(where, n, rights, flags, fd, at);
}

void *
mmap64(void *where, size_t n, int rights, int flags, int fd, off_t at)
{
	return do_map(where, n, rights, flags, fd, at);
}

/* ---- names ---- */

static int
do_move(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	struct place a, b;
	bool left = place_of(from_at, from, &a), came = place_of(to_at, to, &b);

	if (!left && !came)
		return (int)syscall(
				SYS_renameat2, from_at, from, to_at, to, (long)flags);
	if (!left || !came || (flags & ~(unsigned)RENAME_NOREPLACE))
		blind("rename over the root's edge, or one that exchanges");
	lock();
	int rc = (int)syscall(SYS_renameat2, from_at, from, to_at, to, (long)flags);
	if (rc == 0) {
		struct iovec names[2] = { { a.name, strlen(a.name) },
			{ b.name, strlen(b.name) } };

		put((struct record){ .kind = MOVE,
				    .n = (uint16_t)names[0].iov_len,
				    .a = a.dir,
				    .b = b.dir,
				    .c = number_of(to_at, to) },
				names, 2);
	}
	unlock();
	return rc;
}

int
rename(const char *from, const char *to)
{
	return do_move(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
renameat(int from_at, const char *from, int to_at, const char *to)
{
	return do_move(from_at, from, to_at, to, 0);
}

int
renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	return do_move(from_at, from, to_at, to, flags);
}

int
linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
	struct place p;
	bool ours = place_of(to_at, to, &p);

	if (ours)
		lock();
	int rc = (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
	if (ours && rc == 0)
		put_text((struct record){ .kind = LINK,
					 .a = p.dir,
					 .b = number_of(to_at, to) },
				p.name);
	if (ours)
		unlock();
	return rc;
}

int
link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
unlinkat(int at, const char *path, int flags)
{
	struct place p;
	bool ours = place_of(at, path, &p);

	if (ours)
		lock();
	uint64_t ino = ours ? number_of(at, path) : 0;
	int rc = (int)syscall(SYS_unlinkat, at, path, flags);
	if (ours && rc == 0)
		put_text((struct record){ .kind = REMOVE, .a = p.dir, .b = ino },
				p.name);
	if (ours)
		unlock();
	return rc;
}

int
unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int
rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int
mkdirat(int at, const char *path, mode_t mode)
{
	struct place p;
	bool ours = place_of(at, path, &p);

	if (ours)
		lock();
	int rc = (int)syscall(SYS_mkdirat, at, path, mode);
	if (ours && rc == 0)
		put_text((struct record){ .kind = MAKE_DIR,
					 .a = p.dir,
					 .b = number_of(at, path) },
				p.name);
	if (ours)
		unlock();
	return rc;
}

int
mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* ---- syncs ---- */

/* whole: the filesystem. */
static int
do_sync(int fd, long call, bool whole)
{
	char path[PATH_MAX];
	struct stat st;
	uint64_t number = 0;
	bool ours = shared && below_root(fd, path) && fstat(fd, &st) == 0;

	if (ours) {
		number = atomic_fetch_add(&shared->syncs, 1) + 1;
		lock();
		put_text((struct record){ .kind = SYNC_BEGIN,
					 .a = whole ? 0 : st.st_ino,
					 .b = number },
				path + root_n);
		unlock();
	}
	int rc = (int)syscall(call, fd);
	if (ours && rc == 0) {
		lock();
		put((struct record){ .kind = SYNC_END, .b = number }, NULL, 0);
		unlock();
	}
	return rc;
}

int
fsync(int fd)
{
	return do_sync(fd, SYS_fsync, false);
}

int
fdatasync(int fd)
{
	return do_sync(fd, SYS_fdatasync, false);
}

int
syncfs(int fd)
{
	return do_sync(fd, SYS_syncfs, true);
}
