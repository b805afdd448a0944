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
};

static bool
take(struct query *q, struct body *b, bool *file)
{
	b->size = (uint64_t)query_get(q, 0);
	*file = sqlite3_column_type(q->st, 2) == SQLITE_NULL;
	struct span top = query_peek(q, 1);
	bool good = buf_add(&b->held, top);
	if (good && !*file)
		good = buf_add(&b->held, query_peek(q, 2));
	b->top = b->held.n;
	return good && (*file ? b->size >= b->top : b->size == b->top);
}

struct body *
body_find(struct reader *r, uint64_t id, bool *gone, struct err *e)
{
	struct body *b = calloc(1, sizeof *b);
	MUST(b);
	b->fd = -1;
	b->held = BUF_MAX(SIZE_MAX);
	struct query q = query_of(&r->db, SQL_BODY_GET);
	query_int(&q, id > INT64_MAX ? -1 : (int64_t)id);
	bool found = query_row(&q), file = false;
	bool whole = found && take(&q, b, &file);
	bool good = query_end(&q, "cannot read the body", e);
	*gone = good && !found;
	if (*gone) {
		good = err_set(e, EVENT_DATABASE,
				"the message is not there, or settled");
	} else if (good && !whole) {
		good = err_set(e, EVENT_DATABASE,
				"the stored body has not the size it should have");
	} else if (good && file) {
		b->fd = spool_open_at(r->spool, id);
		good = b->fd >= 0 ||
				err_errno(e, EVENT_DATABASE, errno,
						"cannot open the spool file");
	}
	if (good)
		return b;
	body_close(b);
	return NULL;
}

struct body *
body_open(struct reader *r, uint64_t id, struct err *e)
{
	bool gone;
	return body_find(r, id, &gone, e);
}

struct body_lay
body_lay(const struct body *b)
{
	return (struct body_lay){
		.held = buf_span(&b->held),
		.fd = b->fd,
		.fd_size = b->size - b->top,
	};
}

uint64_t
body_size(const struct body *b)
{
	return b->size;
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
		return err_errno(
				e, EVENT_DATABASE, errno, "cannot read the spool file");
	if (n == 0)
		return err_set(e, EVENT_DATABASE, "the spool file was cut short");
	b->at += (uint64_t)n;
	*out = (struct span){ b->piece, (size_t)n };
	return true;
}

void
body_rewind(struct body *b)
{
	b->at = 0;
}

void
body_close(struct body *b)
{
	if (!b)
		return;
	fd_done(&b->fd);
	buf_done(&b->held);
	free(b->piece);
	free(b);
}
