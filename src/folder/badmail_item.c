/* Reading Badmail. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "badmail_in.h"
#include "postern/date.h"
#include "postern/qid.h"

enum { NAMES_MOST = 3000000 };

static int
badmail_by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

bool
badmail_names(struct badmail *b, struct file_names *out, struct err *err)
{
	size_t kept = 0;

	if (!dir_names(b->batch.dir, NAMES_MOST, out, err))
		return folder_fault(err);
	for (size_t i = 0; i < out->n; i++) {
		struct span name = span_of(out->names[i]);
		uint64_t qid;

		if (name.n == QID_SIZE + 3 &&
				span_eq(span_skip(name, QID_SIZE - 1), SPAN(".BDP")) &&
				qid_parse(span_first(name, QID_SIZE - 1), &qid))
			out->names[kept++] = out->names[i];
		else
			free(out->names[i]);
	}
	out->n = kept;
	/* Ids sort as they were given out. */
	if (kept > 0)
		qsort(out->names, kept, sizeof(*out->names), badmail_by_name);
	return true;
}

static char *
badmail_text(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));
	char *copy = strdup(text ? text : "");

	if (!copy)
		abort();
	return copy;
}

static enum badmail_reason
badmail_reason_of(const json_t *o)
{
	enum badmail_reason r = BADMAIL_GENERAL;

	(void)badmail_reason_parse(
			span_of(json_string_value(json_object_get(o, "reason"))), &r);
	return r;
}

static struct badmail_item *
badmail_build(const json_t *o, uint64_t qid)
{
	struct badmail_item *item = calloc(1, sizeof(*item));
	const json_t *rows = json_object_get(o, "recipients");
	size_t n = json_array_size(rows);

	if (!item)
		abort();
	item->qid = qid;
	item->reason = badmail_reason_of(o);
	item->event = (int)json_integer_value(json_object_get(o, "event"));
	item->size = (uint64_t)json_integer_value(json_object_get(o, "size"));
	item->sender = badmail_text(o, "sender");
	item->message_id = badmail_text(o, "message_id");
	item->account = badmail_text(o, "account");
	item->uidl = badmail_text(o, "uidl");
	item->path = badmail_text(o, "path");
	(void)date_iso_parse(span_of(json_string_value(json_object_get(o, "time"))),
			&item->time_ms);
	item->recipients = calloc(n + 1, sizeof(*item->recipients));
	if (!item->recipients)
		abort();
	for (; item->n_recipients < n; item->n_recipients++) {
		const json_t *row = json_array_get(rows, item->n_recipients);
		struct badmail_row *r = &item->recipients[item->n_recipients];

		r->address = badmail_text(row, "address");
		r->status = badmail_text(row, "status");
		r->reply = badmail_text(row, "reply");
		r->reason = badmail_reason_of(row);
		r->attempts = (uint64_t)json_integer_value(
				json_object_get(row, "attempts"));
	}
	return item;
}

/* NULL and *err: broken. */
static struct badmail_item *
badmail_parse(uint64_t qid, const char *name, struct span text, struct err *err)
{
	json_error_t fault;
	json_t *o = json_loadb(
			text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &fault);

	if (!json_is_object(o)) {
		json_decref(o);
		(void)err_set(err, 0, "%s is broken: %s", name, fault.text);
		return NULL;
	}
	struct badmail_item *item = badmail_build(o, qid);
	json_decref(o);
	item->json = strndup(text.p, text.n);
	if (!item->json)
		abort();
	return item;
}

struct badmail_item *
badmail_get(struct badmail *b, uint64_t qid, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(BADMAIL_JSON_MAX);
	char name[BADMAIL_NAME];
	struct stat st;

	badmail_name(qid, "BAD", "", name);
	if (fstatat(b->batch.dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		(void)err_errno(err, 0, errno, "no such Badmail: %s", name);
		return NULL;
	}
	badmail_name(qid, "BDP", "", name);
	if (!file_read(b->batch.dir, name, FILE_NOFOLLOW | FILE_REGULAR, &text, err))
		return NULL;
	return badmail_parse(qid, name, buf_span(&text), err);
}

bool
badmail_joins(struct badmail *b, uint64_t qid, struct badmail_item **item,
		struct err *err)
{
	static const char *const ext[] = { "BAD", "BDP" };
	AUTO(buf_done) struct buf text = BUF_MAX(BADMAIL_JSON_MAX);
	char name[BADMAIL_NAME];
	struct stat st;

	*item = NULL;
	for (size_t i = 0; i < 2; i++) {
		badmail_name(qid, ext[i], "", name);
		if (fstatat(b->batch.dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			return errno == ENOENT ||
					err_errno(err, 0, errno, "cannot look at %s",
							name);
		if (!S_ISREG(st.st_mode))
			return true;
	}
	if (!file_read(b->batch.dir, name, FILE_NOFOLLOW | FILE_REGULAR, &text, err))
		return false;
	*item = badmail_parse(qid, name, buf_span(&text), NULL);
	return true;
}

void
badmail_item_free(struct badmail_item *item)
{
	if (!item)
		return;
	for (size_t i = 0; i < item->n_recipients; i++) {
		free(item->recipients[i].address);
		free(item->recipients[i].status);
		free(item->recipients[i].reply);
	}
	free(item->recipients);
	free(item->sender);
	free(item->message_id);
	free(item->account);
	free(item->uidl);
	free(item->path);
	free(item->json);
	free(item);
}

bool
badmail_list(struct badmail *b,
		bool (*each)(void *host, const struct badmail_item *item), void *host,
		size_t *broken, struct err *err)
{
	struct file_names names;
	size_t bad = 0;
	bool more = true;

	if (!badmail_names(b, &names, err))
		return false;
	for (size_t i = 0; more && i < names.n; i++) {
		uint64_t qid = 0;
		struct badmail_item *item = NULL;

		if (qid_parse(span_first(span_of(names.names[i]), QID_SIZE - 1), &qid))
			item = badmail_get(b, qid, NULL);
		if (item)
			more = each(host, item);
		else
			bad++;
		badmail_item_free(item);
	}
	file_names_done(&names);
	if (broken)
		*broken = bad;
	return true;
}

int
badmail_message(struct badmail *b, uint64_t qid, uint64_t *size, struct err *err)
{
	char name[BADMAIL_NAME];
	struct stat st;

	badmail_name(qid, "BAD", "", name);
	int fd = openat(b->batch.dir, name,
			O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)err_errno(err, 0, fd < 0 ? errno : EINVAL, "cannot open %s",
				name);
		fd_done(&fd);
		return -1;
	}
	*size = (uint64_t)st.st_size;
	return fd;
}

bool
badmail_words(struct badmail *b, uint64_t qid, struct buf *out, struct err *err)
{
	char name[BADMAIL_NAME];

	badmail_name(qid, "BDR", "", name);
	return file_read(b->batch.dir, name, FILE_NOFOLLOW | FILE_REGULAR, out, err);
}
