/* buf: an owned byte buffer with a hard limit chosen by its owner.
 *
 * An add that would pass the limit fails and changes nothing. Out of memory
 * ends the process: the queue is durable, so a restart loses no mail. */
#ifndef POSTERN_BUF_H
#define POSTERN_BUF_H

#include "postern/span.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
	size_t max;
};

#define BUF_MAX(limit) ((struct buf){ .max = (limit) })
#define AUTO(fn) __attribute__((cleanup(fn)))

bool buf_add(struct buf *b, struct span s) __attribute__((warn_unused_result));
bool buf_addc(struct buf *b, char c) __attribute__((warn_unused_result));
bool buf_addf(struct buf *b, const char *fmt, ...)
		__attribute__((format(printf, 2, 3), warn_unused_result));
/* Room for n more bytes to be written at the end, or NULL past the limit; what
 * was written is then made part of b by buf_grown. */
char *buf_room(struct buf *b, size_t n) __attribute__((warn_unused_result));
void buf_grown(struct buf *b, size_t n);
void buf_drop(struct buf *b, size_t n); /* forget the first n bytes */
void buf_clear(struct buf *b); /* empty again, memory kept */
void buf_done(struct buf *b); /* frees what b holds; b is empty again */
struct span buf_span(const struct buf *b);
/* The bytes as a C string: a NUL is put behind them (and not counted). NULL
 * when b is at its limit. Valid until b changes. */
const char *buf_cstr(struct buf *b);

#endif
