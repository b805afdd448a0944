#include <string.h>

#include "postern/ctl.h"

enum { HEAD = 5 };

static void
put_le(char *p, uint64_t n, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (char)(n >> (8 * i) & 0xff);
}

static uint64_t
get_le(const char *p, size_t bytes)
{
	uint64_t n = 0;

	for (size_t i = 0; i < bytes; i++)
		n |= (uint64_t)(unsigned char)p[i] << (8 * i);
	return n;
}

bool
ctl_put_u64(struct buf *body, uint64_t n)
{
	char bytes[8];

	put_le(bytes, n, sizeof(bytes));
	return buf_add(body, (struct span){ bytes, sizeof(bytes) });
}

bool
ctl_put_span(struct buf *body, struct span s)
{
	return ctl_put_u64(body, s.n) && buf_add(body, s);
}

bool
ctl_get_u64(struct span *body, uint64_t *out)
{
	if (body->n < 8)
		return false;
	*out = get_le(body->p, 8);
	*body = span_skip(*body, 8);
	return true;
}

bool
ctl_get_span(struct span *body, struct span *out)
{
	struct span rest = *body;
	uint64_t n;

	if (!ctl_get_u64(&rest, &n) || n > rest.n)
		return false;
	*out = span_first(rest, (size_t)n);
	*body = span_skip(rest, (size_t)n);
	return true;
}

bool
ctl_frame(struct buf *out, enum ctl_kind kind, struct span body)
{
	char head[HEAD];

	if (body.n > CTL_BODY_MAX || body.n + HEAD > out->max - out->n)
		return false;
	put_le(head, body.n + 1, 4);
	head[4] = (char)kind;
	return buf_add(out, (struct span){ head, HEAD }) && buf_add(out, body);
}

enum ctl_step
ctl_unframe(struct span *in, enum ctl_kind *kind, struct span *body)
{
	if (in->n < 4)
		return CTL_MORE;

	uint64_t n = get_le(in->p, 4);
	if (n < 1 || n > CTL_BODY_MAX + 1)
		return CTL_BROKEN;
	if (in->n - 4 < n)
		return CTL_MORE;
	unsigned char k = (unsigned char)in->p[4];
	if (k < CTL_OK || k > CTL_RELOAD)
		return CTL_BROKEN;
	*kind = (enum ctl_kind)k;
	*body = (struct span){ in->p + HEAD, (size_t)n - 1 };
	*in = span_skip(*in, 4 + (size_t)n);
	return CTL_ONE;
}
