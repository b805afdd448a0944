#include "postern/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "postern/file.h"
#include "postern/must.h"
#include "state.h"

enum { PIECE = 128 * 1024 };

struct body {
	uint64_t size, at;
	size_t top; /* octets of `held` that stand before the file */
	struct buf held; /* top, and the body when it is no file */
	int fd; /* or -1 */
	char *piece;
	bool left; /* body_open_left: nothing is checked */
	bool summed; /* the digest is known */
	uint8_t want[SUM_SIZE];
	struct sum *sum; /* of what was read of the file */
	char damage[160]; /* it is known to be damaged */
};

/* Also one of another size than it should have: whoever put it there did not make the row. */
static bool
row_holds(const struct body *b, size_t top, bool file)
{
	uint8_t sum[SUM_SIZE];

	if (file ? b->size < top : b->size != b->held.n)
		return false;
	if (file || !b->summed)
		return true;
	sum_of(span_skip(buf_span(&b->held), top), sum);
	return memcmp(sum, b->want, SUM_SIZE) == 0;
}

static bool
take(struct query *q, struct body *b, bool *file)
{
	b->size = (uint64_t)query_get(q, 0);
	*file = query_is_null(q, 2);
	MUST(buf_add(&b->held, query_peek(q, 1)));
	size_t top = b->held.n;
	MUST(buf_add(&b->held, query_peek(q, 2))); /* nothing where it is a file */
	b->top = b->held.n;

	struct span sum = query_peek(q, 3), damage = query_peek(q, 4);
	b->summed = sum.n == SUM_SIZE;
	if (b->summed)
		memcpy(b->want, sum.p, SUM_SIZE);
	damage = span_first(damage, sizeof b->damage - 1);
	if (damage.n > 0)
		memcpy(b->damage, damage.p, damage.n);
	return row_holds(b, top, *file);
}

/* What the row says is there; the file may have another opinion. */
static bool
open_file(struct reader *r, uint64_t id, struct body *b, struct err *e)
{
	uint64_t has = 0;

	if (!b->left) {
		b->fd = spool_open_body(r->spool, id, b->size - b->top, e);
		return b->fd >= 0;
	}
	b->fd = spool_open_any(r->spool, id, &has, e);
	b->size = b->top + has;
	return b->fd >= 0 || e->event == EVENT_BODY_DAMAGED;
}

static struct body *
open_body(struct reader *r, uint64_t id, bool left, bool *gone, struct err *e)
{
	struct body *b = calloc(1, sizeof *b);
	MUST(b);
	b->fd = -1;
	b->left = left;
	b->held = BUF_MAX(SIZE_MAX);
	struct query q = query_of(&r->db, SQL_BODY_GET);
	query_int(&q, id > INT64_MAX ? -1 : (int64_t)id);
	bool found = query_row(&q), file = false;
	bool whole = found && take(&q, b, &file);
	bool good = query_end(&q, "cannot read the body", e);
	*gone = good && !found;
	if (*gone)
		good = err_set(e, EVENT_DATABASE_TROUBLE,
				"the message is not there, or settled");
	else if (good && !left && b->damage[0])
		good = err_set(e, EVENT_BODY_DAMAGED, "%s", b->damage);
	else if (good && !left && !whole)
		good = err_set(e, EVENT_BODY_DAMAGED, BODY_ALTERED);
	else if (good && file)
		good = open_file(r, id, b, e);
	else if (good)
		b->size = b->top;
	if (good)
		return b;
	body_close(b);
	return NULL;
}

struct body *
body_open(struct reader *r, uint64_t id, struct err *e)
{
	bool gone;
	return open_body(r, id, false, &gone, e);
}

struct body *
body_find(struct reader *r, uint64_t id, bool *gone, struct err *e)
{
	return open_body(r, id, false, gone, e);
}

struct body *
body_open_left(struct reader *r, uint64_t id, struct err *e)
{
	bool gone;
	return open_body(r, id, true, &gone, e);
}

struct body_lay
body_lay(const struct body *b)
{
	return (struct body_lay){
		.held = buf_span(&b->held),
		.fd = b->fd,
		.fd_size = b->size - b->top,
		.fd_sum = b->summed && !b->left ? b->want : NULL,
	};
}

uint64_t
body_size(const struct body *b)
{
	return b->size;
}

/* Some of the file was read. At its end: was it what was stored? */
static bool
sum_goes_on(struct body *b, struct span piece)
{
	uint8_t sum[SUM_SIZE];

	if (!b->summed || b->left)
		return true;
	if (!b->sum)
		b->sum = sum_new();
	sum_add(b->sum, piece);
	if (b->at < b->size)
		return true;
	sum_get(b->sum, sum);
	return memcmp(sum, b->want, SUM_SIZE) == 0;
}

bool
body_next(struct body *b, struct span *out, struct err *e)
{
	*out = (struct span){ "", 0 };
	if (b->at < b->top) {
		*out = span_skip(buf_span(&b->held), (size_t)b->at);
		b->at = b->top;
		return true;
	}
	if (b->at == b->size)
		return true;
	if (!b->piece) {
		b->piece = malloc(PIECE);
		MUST(b->piece);
	}
	uint64_t left = b->size - b->at;
	ssize_t n = fd_read_at(b->fd, b->piece, left < PIECE ? (size_t)left : PIECE,
			b->at - b->top);
	if (n < 0)
		return err_errno(e, EVENT_DATABASE_TROUBLE, errno,
				"cannot read the spool file");
	if (n == 0)
		return err_set(e, EVENT_BODY_DAMAGED, "its file was cut short");
	b->at += (uint64_t)n;
	if (!sum_goes_on(b, (struct span){ b->piece, (size_t)n }))
		return err_set(e, EVENT_BODY_DAMAGED, BODY_ALTERED);
	*out = (struct span){ b->piece, (size_t)n };
	return true;
}

void
body_rewind(struct body *b)
{
	b->at = 0;
	sum_free(b->sum);
	b->sum = NULL;
}

void
body_close(struct body *b)
{
	if (!b)
		return;
	fd_done(&b->fd);
	buf_done(&b->held);
	sum_free(b->sum);
	free(b->piece);
	free(b);
}
