#include "postern/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "letter.h"
#include "postern/address.h"
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/file.h"
#include "postern/list.h"
#include "postern/map.h"
#include "postern/qid.h"

enum {
	NAME_SIZE = 80,
	YOUNG_MS = 5000,
	CUR_MOST = 1000000,
};

struct mailbox_dir {
	struct list link;
	char *path;
	struct batch batch;
	int cur;
	bool looked; /* what is in cur/ is known */
	struct file_names names;
	struct map seen; /* base names of cur/, into names */
	struct map written; /* names below, into the batch */
};

/* The mailboxes of a batch are held open until its end; where there are more of them
 * than may be open, those that are make room by being synced in mid-batch. */
struct maildir {
	struct list boxes;
	struct map by_path;
	size_t n, most; /* open, of so many */
	bool failed; /* such a sync: maildir_sync will fail too */
	struct err err;
	int64_t born_ms;
};

static bool
maildir_part_fits(struct span part)
{
	if (part.n == 0 || part.n > 255 || part.p[0] == '.')
		return false;
	for (size_t i = 0; i < part.n; i++)
		if (part.p[i] == '/' || (unsigned char)part.p[i] < 0x20 ||
				part.p[i] == 0x7f)
			return false;
	return true;
}

static bool
maildir_add_part(struct buf *out, struct span part, struct err *err)
{
	if (!maildir_part_fits(part))
		return err_set(err, 0, "the address has no place in a maildir path");
	for (size_t i = 0; i < part.n; i++)
		if (!buf_addc(out, ascii_lower(part.p[i])))
			return err_set(err, 0, "the maildir path is too long");
	return true;
}

bool
maildir_expand(struct span pattern, struct span address, struct buf *out,
		struct err *err)
{
	char room[ADDRESS_LOCAL_MAX];
	size_t at = span_rfind(address, '@');
	struct span local = address_unquote(span_first(address, at), room);
	struct span domain = at < address.n ? span_skip(address, at + 1) : SPAN("");

	for (size_t i = 0; i < pattern.n; i++) {
		char c = pattern.p[i];
		bool ok = true;

		if (c != '%') {
			if (!buf_addc(out, c))
				return err_set(err, 0, "the maildir path is too long");
			continue;
		}
		switch (++i < pattern.n ? pattern.p[i] : '\0') {
		case 'd':
			ok = maildir_add_part(out, domain, err);
			break;
		case 'u':
			ok = maildir_add_part(out, local, err);
			break;
		case '%':
			ok = buf_addc(out, '%') ||
					err_set(err, 0, "the maildir path is too long");
			break;
		default:
			ok = err_set(err, 0,
					"only %%d, %%u and %%%% have a meaning in a maildir path");
			break;
		}
		if (!ok)
			return false;
	}
	return true;
}

struct maildir *
maildir_new(size_t open_most)
{
	struct maildir *m = calloc(1, sizeof(*m));
	uint64_t seed[2];

	if (!m)
		abort();
	m->most = open_most;
	list_init(&m->boxes);
	clock_random(seed, sizeof(seed));
	map_init(&m->by_path, seed[0], seed[1]);
	m->born_ms = clock_wall_ms();
	return m;
}

static void
maildir_box_free(struct mailbox_dir *box)
{
	batch_close(&box->batch);
	fd_done(&box->cur);
	map_done(&box->seen);
	map_done(&box->written);
	file_names_done(&box->names);
	free(box->path);
	free(box);
}

static void
maildir_empty(struct maildir *m)
{
	map_done(&m->by_path);
	m->n = 0;
	LIST_EACH (link, &m->boxes) {
		list_del(link);
		maildir_box_free(LIST_ITEM(link, struct mailbox_dir, link));
	}
}

void
maildir_free(struct maildir *m)
{
	if (!m)
		return;
	maildir_empty(m);
	free(m);
}

static bool
maildir_open_dirs(struct mailbox_dir *box, struct err *err)
{
	if (!batch_open(&box->batch, box->path, err))
		return false;
	box->batch.home = dir_make(box->batch.dir, "new", 0700, err);
	if (box->batch.home < 0)
		return false;
	box->cur = dir_make(box->batch.dir, "cur", 0700, err);
	if (box->cur < 0)
		return false;
	AUTO(fd_done) int tmp = dir_make(box->batch.dir, "tmp", 0700, err);
	return tmp >= 0;
}

static bool
maildir_sync_files(struct maildir *m, struct err *err)
{
	size_t total = 0;
	dev_t done = 0;
	bool any = false;

	LIST_EACH (link, &m->boxes)
		total += LIST_ITEM(link, struct mailbox_dir, link)->batch.n;
	LIST_EACH (link, &m->boxes) {
		struct batch *b = &LIST_ITEM(link, struct mailbox_dir, link)->batch;
		bool whole = total > BATCH_FEW;

		if (b->n == 0 || (whole && any && done == b->dev))
			continue; /* its filesystem has just been synced */
		if (!batch_sync_files(b, whole, err))
			return false;
		done = b->dev;
		any = true;
	}
	return true;
}

/* All names before any directory: then one commit of the journal carries them. */
static bool
maildir_sync_all(struct maildir *m, struct err *err)
{
	if (!maildir_sync_files(m, err))
		return false;
	LIST_EACH (link, &m->boxes)
		if (!batch_rename(&LIST_ITEM(link, struct mailbox_dir, link)->batch,
				    err))
			return false;
	LIST_EACH (link, &m->boxes)
		if (!batch_sync_home(&LIST_ITEM(link, struct mailbox_dir, link)->batch,
				    err))
			return false;
	return true;
}

static bool
maildir_sound(const struct maildir *m, struct err *err)
{
	if (m->failed && err)
		*err = m->err;
	return !m->failed;
}

/* Makes durable what was written so far, and closes all mailboxes: where it failed before
 * there are none. */
static bool
maildir_flush(struct maildir *m, struct err *err)
{
	struct err why = { 0 };

	crash_point("maildir: before sync");
	if (!maildir_sync_all(m, &why)) {
		m->failed = true;
		m->err = why;
	}
	crash_point("maildir: after sync");
	maildir_empty(m);
	return maildir_sound(m, err);
}

static struct mailbox_dir *
maildir_box(struct maildir *m, const char *path, struct err *err)
{
	struct mailbox_dir *box = map_get(&m->by_path, span_of(path));
	uint64_t seed[2];

	if (box)
		return box;
	if (m->n >= m->most && !maildir_flush(m, err))
		return NULL;
	box = calloc(1, sizeof(*box));
	if (!box || !(box->path = strdup(path)))
		abort();
	clock_random(seed, sizeof(seed));
	map_init(&box->seen, seed[0], seed[1]);
	map_init(&box->written, seed[0], seed[1]);
	box->batch.dir = box->batch.home = box->cur = -1;
	if (!maildir_open_dirs(box, err)) {
		maildir_box_free(box);
		return NULL;
	}
	list_add(&m->boxes, &box->link);
	(void)map_put(&m->by_path, span_of(box->path), box);
	m->n++;
	return box;
}

/* Readers move a message to cur/ and put flags behind its name. */
static bool
maildir_in_cur(struct mailbox_dir *box, const char *name, struct err *err, bool *there)
{
	if (!box->looked) {
		if (!dir_names(box->cur, CUR_MOST, &box->names, err))
			return false;
		for (size_t i = 0; i < box->names.n; i++) {
			struct span whole = span_of(box->names.names[i]);
			struct span base = span_first(whole, span_find(whole, ':'));

			if (span_ends_nocase(base, SPAN(".postern")))
				(void)map_put(&box->seen, base, box);
		}
		box->looked = true;
	}
	*there = map_get(&box->seen, span_of(name)) != NULL;
	return true;
}

static bool
maildir_there(int dir, const char *name, bool *there, struct err *err)
{
	*there = faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	/* Only this says no: what cannot be looked at may well be there. */
	return *there || errno == ENOENT ||
			err_errno(err, 0, errno, "cannot look for %s", name);
}

/* Was it delivered by an attempt that was cut short before the store knew? */
static bool
maildir_delivered(const struct maildir *m, struct mailbox_dir *box, uint64_t qid,
		const char *name, bool *there, struct err *err)
{
	char plain[NAME_SIZE + 8];
	int64_t queued_ms = (int64_t)(qid >> 16);
	/* One of the future came when the clock was ahead, nobody knows when. */
	int64_t age_ms = clock_wall_ms() - queued_ms;

	(void)snprintf(plain, sizeof(plain), "%s:2,", name);
	if (!maildir_there(box->batch.home, name, there, err) ||
			(!*there && !maildir_there(box->cur, plain, there, err)))
		return false;
	/* A young message is here for the first time: no need to read all of cur/. */
	if (*there || (queued_ms >= m->born_ms && age_ms >= 0 && age_ms < YOUNG_MS))
		return true;
	return maildir_in_cur(box, name, err, there);
}

bool
maildir_write(struct maildir *m, const char *path, uint64_t qid, uint64_t recipient,
		const struct letter_body *body, struct err *err)
{
	char id[QID_SIZE], name[NAME_SIZE], tmp[NAME_SIZE + 8], final[NAME_SIZE + 8];
	bool there = false;

	if (!maildir_sound(m, err))
		return false;
	struct mailbox_dir *box = maildir_box(m, path, err);
	if (!box)
		return false;
	qid_print(qid, id);
	(void)snprintf(name, sizeof(name), "%llu.Q%sR%llu.postern",
			(unsigned long long)(qid >> 16) / 1000, id,
			(unsigned long long)recipient);
	if (!maildir_delivered(m, box, qid, name, &there, err))
		return false;
	if (there) {
		box->batch.renamed = true;
		return true;
	}
	(void)snprintf(tmp, sizeof(tmp), "tmp/%s", name);
	(void)snprintf(final, sizeof(final), "new/%s", name);
	if (map_get(&box->written, span_of(final)))
		return true; /* the same again in one batch */
	AUTO(fd_done) int fd = batch_create(&box->batch, tmp, err);
	if (fd < 0)
		return false;
	if (!letter_copy(fd, body, 0, err)) {
		(void)unlinkat(box->batch.dir, tmp, 0);
		return false;
	}
	batch_add(&box->batch, tmp, final);
	(void)map_put(&box->written, span_of(box->batch.files[box->batch.n - 1].name),
			box);
	return true;
}

bool
maildir_sync(struct maildir *m, struct err *err)
{
	bool ok = maildir_flush(m, err);

	m->failed = false;
	return ok;
}
