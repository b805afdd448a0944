#include "postern/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "letter.h"
#include "postern/buf.h"
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/map.h"
#include "postern/qid.h"

enum {
	BLOCK_MAX = 64 * 1024 * 1024, /* the X- lines of one file */
	BLOCK_PIECE = 64 * 1024,
	LINE_MAX_OCTETS = 4096,
	LEFT_OVER_S = 3600,
};

struct drop {
	struct batch batch;
	struct drop_note { /* what is said when it is durable */
		uint64_t qid;
		size_t recipients;
	} * notes;
	size_t n, cap;
};

struct drop *
drop_open(const char *path, int64_t steady_ms, struct err *err)
{
	struct batch batch = { 0 };

	if (!batch_open(&batch, path, err))
		return NULL;
	struct drop *d = calloc(1, sizeof(*d));
	if (!d)
		abort();
	d->batch = batch;
	batch_sweep(batch.dir, steady_ms / 1000, LEFT_OVER_S);
	return d;
}

void
drop_close(struct drop *d)
{
	if (!d)
		return;
	batch_close(&d->batch);
	free(d->notes);
	free(d);
}

struct drop_id
drop_identity(const struct drop *d)
{
	return (struct drop_id){ d->batch.dev, d->batch.ino };
}

/* Reads the leading X-Sender and X-Receiver lines of a file that is there. */
static bool
drop_read_block(int fd, struct buf *block, struct err *err)
{
	for (;;) {
		char *at = buf_room(block, BLOCK_PIECE);

		if (!at)
			return err_set(err, 0,
					"the envelope of a Drop file is too long");
		ssize_t got = fd_read_at(fd, at, BLOCK_PIECE, block->n);
		if (got < 0)
			return err_errno(err, 0, errno, "cannot read a Drop file");
		buf_grown(block, (size_t)got);
		/* Complete when a line that is none of ours has begun. */
		struct span rest = buf_span(block);
		while (rest.n > 0) {
			size_t n = span_find(rest, '\n');

			if (!span_starts_nocase(rest, SPAN("X-Sender:")) &&
					!span_starts_nocase(
							rest, SPAN("X-Receiver:")) &&
					rest.n > 11)
				return true;
			if (n == rest.n)
				break;
			rest = span_skip(rest, n + 1);
		}
		if (got < BLOCK_PIECE)
			return true;
	}
}

/* Puts the receivers of the file into the set; they point into block. */
static void
drop_receivers(struct span block, struct map *set)
{
	while (block.n > 0) {
		struct span line = span_until(&block, '\n');

		if (span_starts_nocase(line, SPAN("X-Receiver:")))
			(void)map_put(set, span_trim(span_skip(line, 11)), set);
		else if (!span_starts_nocase(line, SPAN("X-Sender:")))
			return;
	}
}

/* The X- lines: those of the file that is there already, then ours. */
static bool
drop_block(const struct letter *l, struct span old, struct buf *out, size_t *added,
		struct err *err)
{
	struct span all = old;
	struct map set;
	uint64_t seed[2];
	bool fits = true;

	clock_random(seed, sizeof(seed));
	map_init(&set, seed[0], seed[1]);
	drop_receivers(old, &set);
	*added = 0;
	fits = buf_addf(out, "X-Sender: ") &&
			buf_add(out, l->sender.n > 0 ? l->sender : SPAN("<>")) &&
			buf_add(out, SPAN("\r\n"));
	while (fits && all.n > 0) {
		struct span line = span_until(&all, '\n');

		if (span_starts_nocase(line, SPAN("X-Sender:")))
			continue;
		if (!span_starts_nocase(line, SPAN("X-Receiver:")))
			break;
		fits = buf_add(out, SPAN("X-Receiver: ")) &&
				buf_add(out, span_trim(span_skip(line, 11))) &&
				buf_add(out, SPAN("\r\n"));
	}
	for (size_t i = 0; fits && i < l->n_recipients; i++) {
		if (map_get(&set, l->recipients[i]))
			continue;
		++*added;
		(void)map_put(&set, l->recipients[i], &set);
		fits = buf_add(out, SPAN("X-Receiver: ")) &&
				buf_add(out, l->recipients[i]) &&
				buf_add(out, SPAN("\r\n"));
	}
	map_done(&set);
	return fits || err_set(err, 0, "the envelope of a message is too long for a Drop file");
}

/* No address may end its line and begin another. */
static bool
drop_addresses_fit(const struct letter *l, struct err *err)
{
	for (size_t i = 0; i <= l->n_recipients; i++) {
		struct span a = i < l->n_recipients ? l->recipients[i] : l->sender;

		if (a.n > LINE_MAX_OCTETS)
			return err_set(err, 0,
					"an address is too long for a Drop file");
		for (size_t k = 0; k < a.n; k++)
			if ((unsigned char)a.p[k] < 0x20 || a.p[k] == 0x7f)
				return err_set(err, 0,
						"an address holds a control byte");
	}
	return true;
}

static bool
drop_put(struct drop *d, const struct letter *l, const char *tmp, struct span block,
		struct err *err)
{
	AUTO(fd_done) int fd = batch_create(&d->batch, tmp, err);
	char first[11];
	uint64_t skip = 0;

	if (fd < 0)
		return false;
	struct span begins = { first, letter_peek(&l->body, first, sizeof(first)) };
	struct span head[2] = { block, SPAN("") };
	/* A message that begins with such a line itself would lengthen the envelope
	 * when the file comes back through Pickup (FAULTS H06). */
	if (span_starts_nocase(begins, SPAN("X-Sender:")) ||
			span_starts_nocase(begins, SPAN("X-Receiver:"))) {
		head[1] = SPAN("X-Old-");
		skip = 2;
	}
	bool ok = fd_write_parts(fd, head, 2) ||
			err_errno(err, 0, errno, "cannot write a Drop file");
	ok = ok && letter_copy(fd, &l->body, skip, err);
	if (!ok)
		(void)unlinkat(d->batch.dir, tmp, 0);
	return ok;
}

static void
drop_note(struct drop *d, uint64_t qid, size_t recipients)
{
	if (d->n == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 16;
		d->notes = realloc(d->notes, d->cap * sizeof(*d->notes));
		if (!d->notes)
			abort();
	}
	d->notes[d->n++] = (struct drop_note){ qid, recipients };
}

static bool
drop_flush(struct drop *d, struct err *err)
{
	crash_point("drop: before sync");
	bool ok = batch_flush(&d->batch, err);
	crash_point("drop: after sync");

	for (size_t i = 0; ok && i < d->n; i++) {
		char id[QID_SIZE], name[QID_SIZE + 8];

		qid_print(d->notes[i].qid, id);
		(void)snprintf(name, sizeof(name), "%s.eml", id);
		log_event(EVENT_DROP_WRITTEN,
				FIELDS(f_str("file", name),
						f_num("recipients",
								(int64_t)d->notes[i]
										.recipients),
						f_str("id", id)));
	}
	d->n = 0;
	return ok;
}

bool
drop_write(struct drop *d, const struct letter *l, struct err *err)
{
	AUTO(buf_done) struct buf old = BUF_MAX(BLOCK_MAX);
	AUTO(buf_done) struct buf block = BUF_MAX(BLOCK_MAX);
	char id[QID_SIZE], name[QID_SIZE + 8], tmp[QID_SIZE + 8];
	size_t added = 0;

	/* One message twice in a batch: the first must be there to be joined. */
	for (size_t i = 0; i < d->n; i++)
		if (d->notes[i].qid == l->qid) {
			if (!drop_flush(d, err))
				return false;
			break;
		}
	if (!batch_sound(&d->batch, err))
		return false;
	if (!drop_addresses_fit(l, err))
		return false;
	qid_print(l->qid, id);
	(void)snprintf(name, sizeof(name), "%s.eml", id);
	(void)snprintf(tmp, sizeof(tmp), ".%s.tmp", id);

	AUTO(fd_done)
	int there = openat(d->batch.dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (there < 0 && errno != ENOENT)
		return err_errno(err, 0, errno, "cannot look at %s", name);
	if (there >= 0 && !drop_read_block(there, &old, err))
		return false;
	if (!drop_block(l, buf_span(&old), &block, &added, err))
		return false;
	if (there >= 0 && added == 0) {
		d->batch.renamed = true; /* by whom a crash stopped before the sync */
		return true;
	}
	if (!drop_put(d, l, tmp, buf_span(&block), err))
		return false;
	batch_add(&d->batch, tmp, name);
	drop_note(d, l->qid, l->n_recipients);
	return true;
}

bool
drop_sync(struct drop *d, struct err *err)
{
	(void)drop_flush(d, NULL);
	return batch_sync(&d->batch, err);
}
