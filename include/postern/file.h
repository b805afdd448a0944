/* file: files and directories, with every result checked.
 *
 * All files are opened close-on-exec. Directories may be given as an open fd
 * (dir) and a name, so that nobody can swap them meanwhile; AT_FDCWD works. */
#ifndef POSTERN_FILE_H
#define POSTERN_FILE_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/types.h>

#include "postern/buf.h"
#include "postern/err.h"

/* For AUTO(fd_done): closes *fd unless it is negative, and makes it -1. */
void fd_done(int *fd);
/* The descriptor, which AUTO(fd_done) then no longer closes. */
int fd_take(int *fd);
/* All of it, through short writes and interruptions. false: errno says why. */
bool fd_write_all(int fd, struct span bytes) __attribute__((warn_unused_result));
/* The parts in order, in as few calls as can be. */
bool fd_write_parts(int fd, const struct span *parts, size_t n)
		__attribute__((warn_unused_result));
/* n bytes at that place; -1 with errno, less than n at the end of the file. */
ssize_t fd_read_at(int fd, void *p, size_t n, uint64_t at);
bool fd_nonblock(int fd);

/* Makes the directory unless it is there, with the mode whatever the umask, and
 * gives it open: a directory, no link. -1 and *err. */
int dir_make(int dir, const char *name, mode_t mode, struct err *err);
int dir_open(int dir, const char *name, struct err *err);
/* What was created, renamed or removed in it survives a power cut. */
bool dir_sync(int dir, struct err *err);
/* The same as mkdir -p, without opening. New ones get the mode and survive a power
 * cut. */
bool dir_make_path(const char *path, mode_t mode, struct err *err);

enum {
	FILE_NOFOLLOW = 1, /* refuse a link */
	FILE_PRIVATE = 2, /* refuse when group or others may read, or a foreign owner */
	FILE_REGULAR = 4, /* refuse what is no regular file, without waiting on FIFOs */
};

/* Appends the whole file to *out; more than its limit has room for is an error.
 * flags: FILE_*. */
bool file_read(int dir, const char *name, int flags, struct buf *out, struct err *err);
/* "DIR/NAME", for free(); never NULL. */
char *file_path(const char *dir, const char *name);
/* Its times; what cannot be set is as it was. */
void file_set_time(int dir, const char *name, int64_t at_s);
/* A new file that has all bytes or does not exist: written beside it, synced,
 * renamed over, directory synced. */
bool file_write_atomic(int dir, const char *name, mode_t mode, struct span bytes,
		struct err *err);
/* Bytes that are free for us below path (f_bavail), and of how many. */
bool file_space(const char *path, uint64_t *free_bytes, uint64_t *total,
		struct err *err);

/* The names that match a shell pattern, sorted; none is no error. The caller
 * walks them and ends with file_names_done. */
struct file_names {
	char **names;
	size_t n;
};
bool file_glob(const char *pattern, struct file_names *out, struct err *err);
/* The names in a directory without . and .., in no order, at most max of them. */
bool dir_names(int dir, size_t max, struct file_names *out, struct err *err);
void file_names_done(struct file_names *f);

/* A log that several processes append to: one write per record, so records
 * never mix. Reopened by itself when somebody has moved or removed it. */
struct file_log;
struct file_log *file_log_open(const char *path, mode_t mode, struct err *err);
bool file_log_add(struct file_log *f, struct span record, struct err *err);
/* When it is larger than max_bytes: moved to PATH.1, that to PATH.2, up to keep. */
bool file_log_rotate(
		struct file_log *f, uint64_t max_bytes, unsigned keep, struct err *err);
void file_log_close(struct file_log *f);

#endif
