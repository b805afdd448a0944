#include "letter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/body.h"
#include "postern/clock.h"
#include "postern/file.h"

enum { PIECE = 128 * 1024, SWEEP_MOST = 100000 };

bool
folder_fault(struct err *err)
{
	if (err)
		err->event = EVENT_FOLDER_FAULT;
	return false;
}

uint64_t
letter_size(const struct letter_body *body)
{
	uint64_t n = body->fd >= 0 ? body->fd_size : 0;

	for (size_t i = 0; i < body->n_parts; i++)
		n += body->parts[i].n;
	return n;
}

size_t
letter_peek(const struct letter_body *body, char *out, size_t n)
{
	size_t got = 0;

	for (size_t i = 0; i < body->n_parts && got < n; i++) {
		struct span s = span_first(body->parts[i], n - got);

		if (s.n > 0)
			memcpy(out + got, s.p, s.n);
		got += s.n;
	}
	if (got < n && body->fd >= 0) {
		uint64_t left = body->fd_size;
		size_t want = left < n - got ? (size_t)left : n - got;
		ssize_t more = fd_read_at(body->fd, out + got, want, body->fd_at);

		got += more > 0 ? (size_t)more : 0;
	}
	return got;
}

/* The file of the body without its first `skip` octets, which are read all the same: its
 * digest is of all of it. What was written of a damaged one is the caller's to remove. */
static bool
letter_copy_fd(int to, const struct letter_body *body, uint64_t skip, struct err *err)
{
	uint64_t at = 0;
	size_t piece = body->fd_size < PIECE ? (size_t)body->fd_size : PIECE;
	char *p = malloc(piece ? piece : 1);
	struct sum *made = body->fd_sum ? sum_new() : NULL;
	uint8_t sum[SUM_SIZE];
	bool ok = true;

	if (!p)
		abort();
	while (at < body->fd_size) {
		uint64_t left = body->fd_size - at;
		size_t want = left < piece ? (size_t)left : piece;
		ssize_t got = fd_read_at(body->fd, p, want, body->fd_at + at);
		struct span in = { p, want };

		if (got < 0) {
			ok = err_errno(err, EVENT_DATABASE_TROUBLE, errno,
					"cannot read a spooled message");
			break;
		}
		if ((size_t)got < want) {
			ok = err_set(err, EVENT_BODY_DAMAGED, "its file was cut short");
			break;
		}
		if (made)
			sum_add(made, in);
		size_t cut = skip < want ? (size_t)skip : want;
		skip -= cut;
		if (!fd_write_all(to, span_skip(in, cut))) {
			ok = err_errno(err, 0, errno, "cannot write a message");
			break;
		}
		at += want;
	}
	if (ok && made) {
		sum_get(made, sum);
		ok = memcmp(sum, body->fd_sum, SUM_SIZE) == 0 ||
				err_set(err, EVENT_BODY_DAMAGED, BODY_ALTERED);
	}
	sum_free(made);
	free(p);
	return ok;
}

bool
letter_copy(int to, const struct letter_body *body, uint64_t skip, struct err *err)
{
	size_t i = 0;

	while (i < body->n_parts && skip >= body->parts[i].n)
		skip -= body->parts[i++].n;
	if (i < body->n_parts && skip > 0) {
		if (!fd_write_all(to, span_skip(body->parts[i++], (size_t)skip)))
			return err_errno(err, 0, errno, "cannot write a message");
		skip = 0;
	}
	if (i < body->n_parts &&
			!fd_write_parts(to, body->parts + i, body->n_parts - i))
		return err_errno(err, 0, errno, "cannot write a message");
	return body->fd < 0 || letter_copy_fd(to, body, skip, err);
}

bool
batch_open(struct batch *b, const char *path, struct err *err)
{
	struct stat st;

	b->dir = b->home = -1;
	if (!dir_make_path(path, 0700, err))
		return false;
	AUTO(fd_done) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return err_errno(err, 0, errno, "cannot open the folder %s", path);
	b->dev = st.st_dev;
	b->ino = st.st_ino;
	b->dir = b->home = fd_take(&fd);
	return true;
}

void
batch_close(struct batch *b)
{
	batch_cut(b, 0);
	free(b->files);
	if (b->home != b->dir)
		fd_done(&b->home);
	fd_done(&b->dir);
}

bool
batch_sound(const struct batch *b, struct err *err)
{
	if (b->failed && err)
		*err = b->err;
	return !b->failed;
}

void
batch_fail(struct batch *b, const struct err *err)
{
	if (!b->failed)
		b->err = *err;
	b->failed = true;
	b->renamed = false;
	batch_cut(b, 0);
}

int
batch_create(const struct batch *b, const char *tmp, struct err *err)
{
	if (!batch_sound(b, err))
		return -1;
	if (unlinkat(b->dir, tmp, 0) != 0 && errno != ENOENT) {
		(void)err_errno(err, 0, errno, "cannot remove the left-over %s", tmp);
		return -1;
	}
	int fd = openat(b->dir, tmp,
			O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		(void)err_errno(err, 0, errno, "cannot create %s", tmp);
	return fd;
}

void
batch_add(struct batch *b, const char *tmp, const char *name)
{
	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 16;
		b->files = realloc(b->files, b->cap * sizeof(*b->files));
		if (!b->files)
			abort();
	}
	struct batch_file *f = &b->files[b->n++];
	f->tmp = strdup(tmp);
	f->name = strdup(name);
	if (!f->tmp || !f->name)
		abort();
}

bool
batch_sync_files(const struct batch *b, bool whole, struct err *err)
{
	/* One pass over the filesystem costs one commit of its journal; a sync per
	 * file costs one each. */
	if (whole) {
		if (b->n > 0 && syncfs(b->home) != 0)
			return err_errno(err, 0, errno, "cannot sync a folder");
		return true;
	}
	for (size_t i = 0; i < b->n; i++) {
		AUTO(fd_done)
		int fd = openat(b->dir, b->files[i].tmp,
				O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (fd < 0 || fsync(fd) != 0)
			return err_errno(err, 0, errno, "cannot sync %s",
					b->files[i].tmp);
	}
	return true;
}

bool
batch_rename(struct batch *b, struct err *err)
{
	for (size_t i = 0; i < b->n; i++) {
		struct batch_file *f = &b->files[i];

		if (renameat(b->dir, f->tmp, b->dir, f->name) != 0)
			return err_errno(err, 0, errno, "cannot rename %s to %s",
					f->tmp, f->name);
		b->renamed = true;
		free(f->tmp);
		f->tmp = NULL; /* nothing to remove any more */
	}
	return true;
}

bool
batch_sync_home(struct batch *b, struct err *err)
{
	if (!b->renamed)
		return true;
	/* Where home is one of several directories in dir, it may be new itself. That
	 * costs nothing when it is not. */
	if (!dir_sync(b->home, err) || (b->home != b->dir && !dir_sync(b->dir, err)))
		return false;
	b->renamed = false;
	return true;
}

void
batch_cut(struct batch *b, size_t n)
{
	while (b->n > n) {
		struct batch_file *f = &b->files[--b->n];

		if (f->tmp)
			(void)unlinkat(b->dir, f->tmp, 0);
		free(f->tmp);
		free(f->name);
	}
}

bool
batch_flush(struct batch *b, struct err *err)
{
	struct err why = { 0 };

	if (!b->failed) {
		if (batch_sync_files(b, b->n > BATCH_FEW, &why) &&
				batch_rename(b, &why) && batch_sync_home(b, &why))
			batch_cut(b, 0);
		else
			batch_fail(b, &why);
	}
	return batch_sound(b, err);
}

bool
batch_sync(struct batch *b, struct err *err)
{
	bool ok = batch_flush(b, err);

	b->failed = false;
	return ok;
}

static bool
is_left_over(const char *name)
{
	return name[0] == '.' && span_ends_nocase(span_of(name), SPAN(".tmp"));
}

void
batch_sweep(int dir, int64_t steady_s, int64_t age_s)
{
	struct file_names names;
	int64_t wall_s = clock_wall_ms() / 1000;

	if (!dir_names(dir, SWEEP_MOST, &names, NULL))
		return;
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.names[i];
		struct stat st;

		if (!is_left_over(name) ||
				fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
				!S_ISREG(st.st_mode))
			continue;
		int64_t then = st.st_mtime;
		if (then < steady_s - age_s && then < wall_s - age_s)
			(void)unlinkat(dir, name, 0);
		else if (then > steady_s + age_s && then > wall_s + age_s)
			file_set_time(dir, name, wall_s);
	}
	file_names_done(&names);
}
