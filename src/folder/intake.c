#include "postern/intake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/buf.h"
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/map.h"
#include "postern/qid.h"
#include "postern/watch.h"

enum {
	STABLE_MS = 2000,
	NAMES_MOST = 100000, /* looked at in one pass */
	STATS_MOST = 2000, /* ... and in one call */
};

/* What is known of a file that could not be taken. */
struct noted {
	ino_t ino;
	off_t size;
	struct timespec ctime; /* whatever changes it sets this */
	int64_t since_ms; /* monotonic */
	unsigned pass;
	bool told;
	bool alone; /* put back: nothing will come of it as it is */
	char name[];
};

struct listing {
	struct file_names names;
	size_t at;
	bool open;
};

struct intake {
	struct intake_options o;
	char *path, *work;
	int dir, work_dir;
	struct listing lying, claimed;
	struct map notes; /* by name */
	unsigned pass;
	bool again; /* the work area is to be gone through */
	bool unsynced; /* something may have been moved into it that is not on disk yet */
	bool writers; /* somebody still writes to a file in it */
	bool broken_told; /* the folder itself */
	int64_t wait_ms; /* of this pass */
};

/* ---- notes ---- */

static struct noted *
note_of(struct intake *in, const char *name, const struct stat *st)
{
	struct noted *n = map_get(&in->notes, span_of(name));
	size_t length = strlen(name);

	if (!n) {
		n = calloc(1, sizeof(*n) + length + 1);
		if (!n)
			abort();
		memcpy(n->name, name, length);
		(void)map_put(&in->notes, (struct span){ n->name, length }, n);
	}
	n->pass = in->pass;
	if (n->ino == st->st_ino && n->size == st->st_size &&
			memcmp(&n->ctime, &st->st_ctim, sizeof(n->ctime)) == 0)
		return n;
	n->ino = st->st_ino;
	n->size = st->st_size;
	n->ctime = st->st_ctim;
	n->since_ms = clock_mono_ms();
	n->told = n->alone = false;
	return n;
}

/* Those of files that this pass did not meet, or all. */
static void
notes_drop(struct intake *in, bool all)
{
	struct map kept;
	struct map_slot *slot;
	size_t at = 0;

	map_init(&kept, in->notes.seed[0], in->notes.seed[1]);
	while ((slot = map_next(&in->notes, &at))) {
		struct noted *n = slot->value;

		if (all || n->pass != in->pass)
			free(n);
		else
			(void)map_put(&kept, slot->key, n);
	}
	map_done(&in->notes);
	in->notes = kept;
}

static void
say(const char *file, const char *why)
{
	log_event(EVENT_PICKUP_UNREADABLE,
			FIELDS(f_str("file", file), f_str("err", why)));
}

static void
tell(struct noted *n, const char *why)
{
	if (!n->told)
		say(n->name, why);
	n->told = true;
}

/* ---- the two directories ---- */

struct intake *
intake_open(const struct intake_options *o, struct err *err)
{
	struct intake *in = calloc(1, sizeof(*in));
	uint64_t seed[2];

	if (!in)
		abort();
	in->o = *o;
	in->path = strdup(o->path);
	in->work = strdup(o->work);
	if (!in->path || !in->work)
		abort();
	clock_random(seed, sizeof(seed));
	map_init(&in->notes, seed[0], seed[1]);
	in->again = in->unsynced = true; /* a process before us may have been stopped */
	in->dir = -1;
	in->work_dir = dir_make_path(in->work, 0700, err)
			? dir_make(AT_FDCWD, in->work, 0700, err)
			: -1;
	if (in->work_dir < 0) {
		intake_close(in);
		return NULL;
	}
	/* Else each pass tries, and says what is in the way: other mail goes on. */
	if (dir_make_path(in->path, 0700, NULL))
		in->dir = dir_make(AT_FDCWD, in->path, 0700, NULL);
	return in;
}

static void
listing_close(struct listing *l)
{
	if (l->open)
		file_names_done(&l->names);
	*l = (struct listing){ 0 };
}

void
intake_limit(struct intake *in, uint64_t max_size)
{
	in->o.max_size = max_size;
}

void
intake_close(struct intake *in)
{
	if (!in)
		return;
	listing_close(&in->lying);
	listing_close(&in->claimed);
	notes_drop(in, true);
	map_done(&in->notes);
	fd_done(&in->dir);
	fd_done(&in->work_dir);
	free(in->path);
	free(in->work);
	free(in);
}

static bool
broken(struct intake *in, const char *why)
{
	if (!in->broken_told)
		say(in->path, why);
	in->broken_told = true;
	return false;
}

/* The directory of that name is the one we hold open, and nobody but us and our group
 * can put files of ours into it (FAULTS F02). One that is gone is made again. */
static bool
folder_ready(struct intake *in)
{
	struct stat named = { 0 },
		    held; /* the number 0, which no file has: there is none */
	struct err err = { 0 };

	if (lstat(in->path, &named) != 0 && errno != ENOENT)
		return broken(in, err_words(errno));
	if (fstat(in->dir, &held) != 0 || named.st_ino != held.st_ino ||
			named.st_dev != held.st_dev) {
		fd_done(&in->dir);
		in->dir = dir_make(AT_FDCWD, in->path, 0700, &err);
		if (in->dir < 0)
			return broken(in, err.text);
		log_event(EVENT_FOLDER_MISSING,
				FIELDS(f_str("path", in->path),
						f_str("err", "it was made or opened anew")));
		if (fstat(in->dir, &held) != 0)
			return broken(in, err_words(errno));
	}
	if (held.st_mode & S_IWOTH)
		return broken(in,
				"anybody may write into the folder; nothing is taken from "
				"it until its mode is 0700 or 0770");
	in->broken_told = false;
	return true;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their names, which is what people mean by the order of files. */
static bool
listing_open(struct listing *l, int dir, struct err *err)
{
	l->open = dir_names(dir, NAMES_MOST, &l->names, err);
	if (l->names.n > 0)
		qsort(l->names.names, l->names.n, sizeof(*l->names.names), by_name);
	return l->open;
}

/* ---- may it be taken? ---- */

/* Why it never will be as it is, or NULL. */
static const char *
unfit(const struct intake *in, const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return "it is a directory";
	if (S_ISLNK(st->st_mode))
		return "it is a link";
	if (!S_ISREG(st->st_mode))
		return "it is no regular file";
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return "it belongs neither to the service's user nor to root";
	if (st->st_nlink != 1)
		return "it has other names beside this one (hard links)";
	if ((st->st_mode & S_IWUSR) == 0)
		return "it is read-only";
	if (in->o.max_size > 0 && (uint64_t)st->st_size > in->o.max_size)
		return "it is larger than smtp.limits.message";
	return NULL;
}

/* Milliseconds until it may be called stable, 0 when it is. */
static int64_t
unstable(const struct noted *n)
{
	int64_t changed = n->ctime.tv_sec * INT64_C(1000) + n->ctime.tv_nsec / 1000000;
	int64_t age = clock_wall_ms() - changed;
	int64_t seen = clock_mono_ms() - n->since_ms;

	/* Any write sets ctime, and nobody can set it back. Where the clock was, what we
	 * saw ourselves counts. */
	if (age < seen)
		age = seen;
	return age >= STABLE_MS ? 0 : STABLE_MS - age;
}

static void
wait_for(struct intake *in, int64_t ms)
{
	if (in->wait_ms == 0 || ms < in->wait_ms)
		in->wait_ms = ms;
}

static bool
same_file(int fd, int dir, const char *name, struct stat *st)
{
	struct stat named;

	return fstat(fd, st) == 0 &&
			fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
			named.st_ino == st->st_ino && named.st_dev == st->st_dev;
}

static int
open_plainly(int dir, const char *name)
{
	return openat(dir, name,
			O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

/* Into the work area. False: it stays where it is; *why, unless it is only to be
 * looked at again. */
static bool
claim_by_rename(struct intake *in, const char *name, struct claim *c, struct err *err)
{
	char id[QID_SIZE];
	struct stat st;

	c->id = in->o.new_id(in->o.host);
	qid_print(c->id, id);
	(void)snprintf(c->file, sizeof(c->file), "%s", name);
	(void)snprintf(c->name, sizeof(c->name), "%s.%.*s", id, NAME_MAX - QID_SIZE,
			name);
	crash_point("pickup: before rename");
	if (renameat2(in->dir, name, in->work_dir, c->name, RENAME_NOREPLACE) != 0) {
		if (errno != ENOENT)
			(void)err_errno(err, 0, errno,
					"it cannot be moved into the work area");
		return false;
	}
	in->unsynced = true;
	crash_point("pickup: renamed");
	if (!same_file(c->fd, in->work_dir, c->name, &st) || unfit(in, &st)) {
		/* Somebody replaced it, or gave it another name, between our look and the
		 * rename. */
		(void)renameat2(in->work_dir, c->name, in->dir, name, RENAME_NOREPLACE);
		wait_for(in, STABLE_MS);
		return false;
	}
	if (watch_has_writer(
			    c->fd)) { /* opened in that same moment: it is ours already */
		in->writers = true;
		return false;
	}
	c->size = (uint64_t)st.st_size;
	return true;
}

static bool
claim_lying(struct intake *in, const char *name, struct claim *c)
{
	struct err err = { 0 };
	struct stat st;

	if (name[0] == '.' || fstatat(in->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	struct noted *n = note_of(in, name, &st);
	int64_t wait = unstable(n);
	const char *why = unfit(in, &st);
	if (n->alone)
		return false;
	if (wait > 0 && S_ISREG(st.st_mode)) {
		wait_for(in, wait);
		return false;
	}
	if (why) {
		tell(n, why);
		return false;
	}

	AUTO(fd_done) int fd = open_plainly(in->dir, name);
	if (fd < 0) {
		if (errno != ENOENT)
			tell(n, err_words(errno));
		return false;
	}
	if (!same_file(fd, in->dir, name, &st) || unfit(in, &st) ||
			watch_has_writer(fd)) {
		wait_for(in, STABLE_MS);
		return false;
	}
	c->fd = fd;
	if (!claim_by_rename(in, name, c, &err)) {
		if (err.text[0])
			tell(n, err.text);
		return false;
	}
	(void)fd_take(&fd);
	return true;
}

/* A file that a crash, or a trouble of ours, left in the work area. */
static bool
claim_left(struct intake *in, const char *name, struct claim *c)
{
	struct span all = span_of(name);
	struct stat st;

	if (all.n <= QID_SIZE || name[QID_SIZE - 1] != '.' ||
			!qid_parse(span_first(all, QID_SIZE - 1), &c->id)) {
		say(name, "it is no claim, though it lies in the work area");
		return false;
	}
	c->fd = open_plainly(in->work_dir, name);
	if (c->fd < 0 || fstat(c->fd, &st) != 0 || !S_ISREG(st.st_mode) ||
			(st.st_uid != geteuid() && st.st_uid != 0)) {
		say(name,
				c->fd < 0 ? err_words(errno)
					  : "it is no file of ours, though it lies in the work area");
		fd_done(&c->fd);
		return false;
	}
	if (watch_has_writer(c->fd)) {
		in->writers = true;
		fd_done(&c->fd);
		return false;
	}
	c->size = (uint64_t)st.st_size;
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	(void)snprintf(c->file, sizeof(c->file), "%s", name + QID_SIZE);
	return true;
}

/* ---- passes ---- */

/* From one listing; true when it has come to its end. */
static bool
go_on(struct intake *in, struct listing *l, struct claim *out, size_t most, size_t *n)
{
	size_t looked = 0;

	while (*n < most && l->at < l->names.n && looked < STATS_MOST) {
		const char *name = l->names.names[l->at++];
		struct claim *c = &out[*n];

		if (l == &in->lying ? claim_lying(in, name, c)
				    : claim_left(in, name, c))
			++*n;
		looked++;
	}
	return l->at == l->names.n;
}

/* The renames are on disk before anything is made of what they moved: else a power
 * cut could give a file back to Pickup whose message is queued. */
static bool
claims_sync(struct intake *in, struct err *err)
{
	if (!in->unsynced)
		return true;
	if (!dir_sync(in->work_dir, err) || (in->dir >= 0 && !dir_sync(in->dir, err)))
		return false;
	in->unsynced = false;
	return true;
}

static void
pass_begin(struct intake *in, struct err *err)
{
	in->pass++;
	in->wait_ms = 0;
	if (in->again && listing_open(&in->claimed, in->work_dir, err)) {
		in->again = false;
		in->writers = false;
	}
	if (folder_ready(in))
		(void)listing_open(&in->lying, in->dir, err);
}

static void
pass_end(struct intake *in, struct intake_look *look)
{
	notes_drop(in, false);
	if (in->writers) {
		in->again = true;
		wait_for(in, STABLE_MS);
	}
	look->wait_ms = in->wait_ms;
}

size_t
intake_take(struct intake *in, struct claim *out, size_t most, struct intake_look *look)
{
	struct err err = { 0 };
	size_t n = 0;

	*look = (struct intake_look){ 0 };
	if (!in->lying.open && !in->claimed.open)
		pass_begin(in, &err);
	if (go_on(in, &in->claimed, out, most, &n))
		listing_close(&in->claimed);
	if (!in->claimed.open && go_on(in, &in->lying, out, most, &n))
		listing_close(&in->lying);
	if (n > 0 && !claims_sync(in, &err)) {
		while (n > 0)
			fd_done(&out[--n].fd);
		in->again = true;
	}
	look->more = in->lying.open || in->claimed.open;
	if (!look->more)
		pass_end(in, look);
	if (err.text[0])
		(void)broken(in, err.text);
	crash_point("pickup: claimed");
	return n;
}

void
intake_again(struct intake *in)
{
	in->again = true;
}

bool
intake_remove(struct intake *in, const struct claim *c)
{
	if (unlinkat(in->work_dir, c->name, 0) == 0 || errno == ENOENT)
		return true;
	say(c->file, err_words(errno));
	return false;
}

void
intake_put_back(struct intake *in, const struct claim *c, const char *why)
{
	struct stat st;

	if (renameat2(in->work_dir, c->name, in->dir, c->file, RENAME_NOREPLACE) != 0 ||
			fstatat(in->dir, c->file, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		say(c->name, why);
		return;
	}
	struct noted *n = note_of(in, c->file, &st);
	n->alone = true;
	tell(n, why);
}

bool
intake_sync(struct intake *in, struct err *err)
{
	return dir_sync(in->work_dir, err);
}
