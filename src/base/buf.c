#include "postern/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *
buf_room(struct buf *b, size_t n)
{
	if (n > b->max - b->n)
		return NULL;
	if (b->cap - b->n >= n && b->p)
		return b->p + b->n;

	size_t cap = b->cap ? b->cap : 64;
	while (cap - b->n < n)
		cap = cap > b->max / 2 ? b->max : cap * 2;

	char *p = realloc(b->p, cap);
	if (!p)
		abort();
	b->p = p;
	b->cap = cap;
	return b->p + b->n;
}

void
buf_grown(struct buf *b, size_t n)
{
	b->n += n;
}

bool
buf_add(struct buf *b, struct span s)
{
	if (s.n == 0)
		return true;

	char *at = buf_room(b, s.n);
	if (!at)
		return false;
	memcpy(at, s.p, s.n);
	b->n += s.n;
	return true;
}

bool
buf_addc(struct buf *b, char c)
{
	return buf_add(b, (struct span){ &c, 1 });
}

bool
buf_addf(struct buf *b, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		return false;
	if ((size_t)n < sizeof(line))
		return buf_add(b, (struct span){ line, (size_t)n });

	/* Longer than usual: print in place, with room for the NUL. */
	char *at = buf_room(b, (size_t)n + 1);
	if (!at)
		return false;
	va_start(ap, fmt);
	(void)vsnprintf(at, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
	return true;
}

void
buf_drop(struct buf *b, size_t n)
{
	b->n -= n;
	if (b->n > 0)
		memmove(b->p, b->p + n, b->n);
}

void
buf_clear(struct buf *b)
{
	b->n = 0;
}

void
buf_done(struct buf *b)
{
	free(b->p);
	*b = BUF_MAX(b->max);
}

struct span
buf_span(const struct buf *b)
{
	return (struct span){ b->p, b->n };
}

const char *
buf_cstr(struct buf *b)
{
	char *end = buf_room(b, 1);

	if (!end)
		return NULL;
	*end = '\0';
	return b->p;
}
