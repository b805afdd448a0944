/* Writing and pruning Badmail. Reading is in badmail_item.c. */
#include "postern/badmail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "badmail_in.h"
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/date.h"
#include "postern/enc.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/map.h"
#include "postern/qid.h"

enum { YOUNG_S = 3600, DAY_S = 24 * 3600, ORPHAN_S = DAY_S, NAMES_MOST = 3000000 };

struct badmail *
badmail_open(const char *path, uint64_t keep_s, uint64_t max_bytes, struct err *err)
{
	struct batch batch = { 0 };

	if (!batch_open(&batch, path, err))
		return NULL;
	struct badmail *b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	b->batch = batch;
	badmail_limits(b, keep_s, max_bytes);
	return b;
}

void
badmail_limits(struct badmail *b, uint64_t keep_s, uint64_t max_bytes)
{
	b->keep_s = keep_s;
	b->max_bytes = max_bytes;
}

void
badmail_close(struct badmail *b)
{
	if (!b)
		return;
	batch_close(&b->batch);
	free(b->pending);
	free(b);
}

static bool
badmail_put_key(struct buf *out, const char *key, struct span text)
{
	return buf_addf(out, "  \"%s\": ", key) && enc_json(out, text) &&
			buf_add(out, SPAN(",\n"));
}

static bool
badmail_put_row(struct buf *out, const struct badmail_recipient *r, const char *reason,
		bool first)
{
	return buf_addf(out, "%s\n    { \"address\": ", first ? "" : ",") &&
			enc_json(out, r->address) &&
			buf_add(out, SPAN(", \"status\": ")) &&
			enc_json(out, r->status) &&
			buf_add(out, SPAN(", \"reply\": ")) &&
			enc_json(out, r->reply) &&
			buf_addf(out, ", \"attempts\": %llu, \"reason\": \"%s\" }",
					(unsigned long long)r->attempts, reason);
}

/* The rows of the item that is there, but for those that the letter replaces;
 * then the letter's. */
static bool
badmail_put_rows(struct buf *out, const struct badmail_letter *l,
		const struct badmail_item *old)
{
	struct map mine;
	uint64_t seed[2];
	bool fits = true, first = true;

	clock_random(seed, sizeof(seed));
	map_init(&mine, seed[0], seed[1]);
	for (size_t i = 0; i < l->n_recipients; i++)
		(void)map_put(&mine, l->recipients[i].address, &mine);
	for (size_t i = 0; fits && old && i < old->n_recipients; i++) {
		const struct badmail_row *row = &old->recipients[i];
		const struct badmail_recipient kept = { span_of(row->address),
			span_of(row->status), span_of(row->reply), row->attempts };

		if (map_get(&mine, kept.address))
			continue;
		fits = badmail_put_row(
				out, &kept, badmail_reason_name(row->reason), first);
		first = false;
	}
	map_done(&mine);
	for (size_t i = 0; fits && i < l->n_recipients; i++) {
		fits = badmail_put_row(out, &l->recipients[i],
				badmail_reason_name(l->reason), first);
		first = false;
	}
	return fits;
}

static bool
badmail_put_json(struct buf *out, const struct badmail_letter *l,
		const struct badmail_item *old, uint64_t size)
{
	char id[QID_SIZE], when[DATE_ISO_SIZE];
	int64_t time_ms = old ? old->time_ms : l->time_ms;

	qid_print(l->qid, id);
	date_iso(time_ms, when);
	return buf_addf(out, "{\n  \"id\": \"%s\",\n  \"reason\": \"%s\",\n  \"event\": %d,\n",
			       id, badmail_reason_name(old ? old->reason : l->reason),
			       old ? old->event : l->event) &&
			buf_addf(out, "  \"time\": \"%s\",\n  \"size\": %llu,\n", when,
					(unsigned long long)size) &&
			badmail_put_key(out, "sender", l->sender) &&
			badmail_put_key(out, "message_id", l->message_id) &&
			badmail_put_key(out, "account", l->account) &&
			badmail_put_key(out, "uidl", l->uidl) &&
			badmail_put_key(out, "path", l->path) &&
			buf_add(out, SPAN("  \"recipients\": [")) &&
			badmail_put_rows(out, l, old) &&
			buf_add(out, SPAN("\n  ]\n}\n"));
}

static bool
badmail_put_reply(struct buf *out, struct span address, struct span reply)
{
	return buf_add(out, SPAN("  ")) && enc_plain(out, address) &&
			(reply.n == 0 ||
					(buf_add(out, SPAN(": ")) &&
							enc_plain(out, reply))) &&
			buf_add(out, SPAN("\n"));
}

static bool
badmail_put_words(struct buf *out, const struct badmail_letter *l,
		const struct badmail_item *old)
{
	enum badmail_reason reason = old ? old->reason : l->reason;
	bool fits = buf_addf(out,
				    "Unable to deliver this message because the following error was "
				    "encountered: \"%s\".\n\nReason: %s\nEvent: %d\nSender: ",
				    badmail_reason_words(reason),
				    badmail_reason_name(reason), l->event) &&
			enc_plain(out, l->sender.n > 0 ? l->sender : SPAN("<>")) &&
			buf_add(out, SPAN("\nRecipients:\n"));

	for (size_t i = 0; fits && i < l->n_recipients; i++)
		fits = badmail_put_reply(
				out, l->recipients[i].address, l->recipients[i].reply);
	if (fits && l->n_recipients == 0)
		fits = buf_add(out, SPAN("  none\n"));
	for (size_t i = 0; fits && old && i < old->n_recipients; i++) {
		bool again = false;

		for (size_t k = 0; k < l->n_recipients && k < 100; k++)
			again = again ||
					span_eq(l->recipients[k].address,
							span_of(old->recipients[i].address));
		if (!again)
			fits = badmail_put_reply(out,
					span_of(old->recipients[i].address),
					span_of(old->recipients[i].reply));
	}
	return fits;
}

/* A file of the batch with these bytes, or with the message. */
static bool
badmail_put_file(struct badmail *b, const struct badmail_letter *l, const char *ext,
		struct span bytes, const struct letter_body *body, struct err *err)
{
	uint64_t qid = l->qid;
	char tmp[BADMAIL_NAME], name[BADMAIL_NAME];

	badmail_name(qid, ext, ".tmp", tmp);
	badmail_name(qid, ext, "", name);
	AUTO(fd_done) int fd = batch_create(&b->batch, tmp, err);
	if (fd < 0)
		return false;
	bool ok = body ? letter_copy(fd, body, 0, err)
		       : fd_write_all(fd, bytes) ||
					err_errno(err, 0, errno, "cannot write %s",
							name);
	if (!ok) {
		(void)unlinkat(b->batch.dir, tmp, 0);
		return false;
	}
	if (l->steady_ms > 0)
		file_set_time(b->batch.dir, tmp, l->steady_ms / 1000);
	batch_add(&b->batch, tmp, name);
	return true;
}

static void
badmail_note(struct badmail *b, uint64_t qid)
{
	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 16;
		b->pending = realloc(b->pending, b->cap * sizeof(*b->pending));
		if (!b->pending)
			abort();
	}
	b->pending[b->n++] = qid;
}

static bool
badmail_flush(struct badmail *b, struct err *err)
{
	crash_point("badmail: before sync");
	bool ok = batch_flush(&b->batch, err);
	crash_point("badmail: after sync");

	b->n = 0;
	return ok;
}

bool
badmail_write(struct badmail *b, const struct badmail_letter *l, struct err *err)
{
	AUTO(buf_done) struct buf json = BUF_MAX(BADMAIL_JSON_MAX);
	AUTO(buf_done) struct buf words = BUF_MAX(BADMAIL_JSON_MAX);
	struct badmail_item *old = NULL;

	/* One message twice in a batch: the first must be there to be joined. */
	for (size_t i = 0; i < b->n; i++)
		if (b->pending[i] == l->qid) {
			if (!badmail_flush(b, err))
				return false;
			break;
		}
	if (!batch_sound(&b->batch, err))
		return false;

	if (!badmail_joins(b, l->qid, &old, err))
		return false;
	uint64_t size = old ? old->size : letter_size(&l->body);
	bool fits = badmail_put_json(&json, l, old, size) &&
			badmail_put_words(&words, l, old);
	bool joined = old;
	badmail_item_free(old);
	if (!fits)
		return err_set(err, 0, "a message has too many recipients for Badmail");

	/* The BDP comes last: with it the item exists. */
	size_t before = b->batch.n;
	bool ok = (joined || badmail_put_file(b, l, "BAD", SPAN(""), &l->body, err)) &&
			badmail_put_file(b, l, "BDR", buf_span(&words), NULL, err) &&
			badmail_put_file(b, l, "BDP", buf_span(&json), NULL, err);
	if (!ok) {
		batch_cut(&b->batch, before);
		return false;
	}
	badmail_note(b, l->qid);
	return true;
}

bool
badmail_sync(struct badmail *b, struct err *err)
{
	(void)badmail_flush(b, NULL);
	return batch_sync(&b->batch, err);
}

static bool
badmail_unlink(struct badmail *b, uint64_t qid, struct err *err)
{
	/* The BDP first: without it the rest is an orphan that prune takes. */
	static const char *const ext[] = { "BDP", "BDR", "BAD" };
	char name[BADMAIL_NAME];

	for (size_t i = 0; i < 3; i++) {
		badmail_name(qid, ext[i], "", name);
		if (unlinkat(b->batch.dir, name, 0) != 0 && errno != ENOENT)
			return err_errno(err, EVENT_FOLDER_FAULT, errno,
					"cannot remove %s", name);
	}
	return true;
}

/* Makes a removal durable. */
static bool
badmail_sync_dir(struct badmail *b, struct err *err)
{
	return dir_sync(b->batch.dir, err) || folder_fault(err);
}

bool
badmail_remove(struct badmail *b, uint64_t qid, struct err *err)
{
	return badmail_unlink(b, qid, err) && badmail_sync_dir(b, err);
}

struct badmail_weight {
	uint64_t qid;
	uint64_t bytes;
	int64_t at_s;
};

static int
badmail_older(const void *a, const void *b)
{
	const struct badmail_weight *x = a, *y = b;

	return x->at_s != y->at_s ? (x->at_s < y->at_s ? -1 : 1)
				  : (x->qid > y->qid) - (x->qid < y->qid);
}

static void
badmail_weigh_one(struct badmail *b, struct badmail_weight *w, int64_t now_s)
{
	static const char *const ext[] = { "BAD", "BDR", "BDP" };
	char name[BADMAIL_NAME];
	struct stat st;

	w->bytes = 0;
	w->at_s = now_s;
	for (size_t k = 0; k < 3; k++) {
		badmail_name(w->qid, ext[k], "", name);
		if (fstatat(b->batch.dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		w->bytes += (uint64_t)st.st_size;
		w->at_s = st.st_mtime; /* the BDP's in the end */
	}
	/* The clock was ahead when somebody put it there. */
	if (w->at_s > now_s + DAY_S) {
		w->at_s = now_s;
		file_set_time(b->batch.dir, name, now_s);
	}
}

static struct badmail_weight *
badmail_weigh(struct badmail *b, int64_t now_s, size_t *n, uint64_t *total,
		struct err *err)
{
	struct file_names names;
	struct badmail_weight *all;

	if (!badmail_names(b, &names, err))
		return NULL;
	all = calloc(names.n + 1, sizeof(*all));
	if (!all)
		abort();
	*n = 0;
	*total = 0;
	for (size_t i = 0; i < names.n; i++) {
		struct badmail_weight *w = &all[*n];

		if (!qid_parse(span_first(span_of(names.names[i]), QID_SIZE - 1),
				    &w->qid))
			continue;
		badmail_weigh_one(b, w, now_s);
		*total += w->bytes;
		++*n;
	}
	file_names_done(&names);
	qsort(all, *n, sizeof(*all), badmail_older);
	return all;
}

/* What a crash left without its BDP. */
static void
badmail_orphans(struct badmail *b, int64_t now_s)
{
	struct file_names names;

	batch_sweep(b->batch.dir, now_s, YOUNG_S);
	if (!dir_names(b->batch.dir, NAMES_MOST, &names, NULL))
		return;
	for (size_t i = 0; i < names.n; i++) {
		struct span name = span_of(names.names[i]);
		char item[BADMAIL_NAME];
		struct stat st;
		uint64_t qid;

		if (name.n != QID_SIZE + 3 ||
				!qid_parse(span_first(name, QID_SIZE - 1), &qid) ||
				!(span_ends_nocase(name, SPAN(".BAD")) ||
						span_ends_nocase(name, SPAN(".BDR"))))
			continue;
		badmail_name(qid, "BDP", "", item);
		if (faccessat(b->batch.dir, item, F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
				fstatat(b->batch.dir, names.names[i], &st,
						AT_SYMLINK_NOFOLLOW) == 0 &&
				now_s - st.st_mtime > ORPHAN_S)
			(void)unlinkat(b->batch.dir, names.names[i], 0);
	}
	file_names_done(&names);
}

static void
badmail_say_pruned(uint64_t qid, bool old)
{
	char id[QID_SIZE];

	qid_print(qid, id);
	log_event(EVENT_BADMAIL_PRUNED,
			FIELDS(f_str("badmail", id), f_str("id", id),
					f_str("why",
							old ? "older than badmail.keep"
							    : "the folder is over badmail.max")));
}

bool
badmail_prune(struct badmail *b, int64_t steady_ms, bool *more, struct err *err)
{
	int64_t now_s = steady_ms / 1000;
	uint64_t total;
	size_t n, gone = 0;
	struct badmail_weight *all = badmail_weigh(b, now_s, &n, &total, err);
	bool ok = all;

	*more = false;
	for (size_t i = 0; ok && i < n; i++) {
		int64_t age = now_s - all[i].at_s;
		bool old = b->keep_s > 0 && age > 0 && (uint64_t)age > b->keep_s;
		bool over = b->max_bytes > 0 && total > b->max_bytes && age > YOUNG_S;

		if (!old && !over)
			continue;
		*more = gone == BADMAIL_AT_ONCE;
		if (*more)
			break;
		ok = badmail_unlink(b, all[i].qid, err);
		if (!ok)
			break;
		gone++;
		total -= all[i].bytes;
		badmail_say_pruned(all[i].qid, old);
	}
	free(all);
	if (gone > 0)
		ok = badmail_sync_dir(b, ok ? err : NULL) && ok;
	if (!ok || *more)
		return ok;
	if (b->max_bytes > 0 && total > b->max_bytes)
		log_event(EVENT_BADMAIL_OVER_LIMIT,
				FIELDS(f_num("bytes", (int64_t)total),
						f_num("max", (int64_t)b->max_bytes)));
	badmail_orphans(b, now_s);
	return true;
}
