/* The message in a Pickup file: line ends, the lone dot, what is cut away. */
#include "postern/pickup.h"

void
pickup_body_init(struct pickup_body *b, const struct pickup *file)
{
	*b = (struct pickup_body){ .file = file, .state = PICKUP_AT_LINE };
}

/* Behind a dot that was kept back. What it turns out to be content is given out, and
 * *in stays where it is. */
static bool
after_dot(struct pickup_body *b, struct span *in, struct span *out)
{
	char c = in->p[0];
	bool kept = true;

	if (b->state == PICKUP_AT_DOT && c == '\r')
		b->state = PICKUP_AT_DOT_CR;
	else if (b->state == PICKUP_AT_DOT && c == '\n')
		b->state = PICKUP_AT_DOT_LF;
	else if (b->state == PICKUP_AT_DOT_CR && c == '\n')
		b->state = PICKUP_AT_DOT_CRLF;
	else
		kept = false;
	if (kept) {
		*in = span_skip(*in, 1);
		b->at++;
		return false;
	}
	bool line = b->state == PICKUP_AT_DOT_LF || b->state == PICKUP_AT_DOT_CRLF;
	bool cr = b->state == PICKUP_AT_DOT_CR;
	*out = b->state == PICKUP_AT_DOT_CRLF ? SPAN(".\r\n")
			: cr		      ? SPAN(".\r")
			: !line		      ? SPAN(".")
			: b->file->text	      ? SPAN(".\r\n")
					      : SPAN(".\n");
	b->state = line ? PICKUP_AT_LINE : cr ? PICKUP_AT_CR : PICKUP_AT_TEXT;
	return true;
}

/* Up to the end of the line, or of what is here. */
static void
rest_of_line(struct pickup_body *b, struct span *in, struct span *out)
{
	size_t lf = span_find(*in, '\n');
	bool cr = lf > 0 ? in->p[lf - 1] == '\r' : b->state == PICKUP_AT_CR;

	if (lf == in->n) {
		*out = *in;
		b->state = cr ? PICKUP_AT_CR : PICKUP_AT_TEXT;
	} else if (cr || !b->file->text) {
		*out = span_first(*in, lf + 1);
		b->state = PICKUP_AT_LINE;
	} else if (lf > 0) { /* the bare LF comes by itself */
		*out = span_first(*in, lf);
		b->state = PICKUP_AT_TEXT;
	} else {
		*out = SPAN("\r\n");
		*in = span_skip(*in, 1);
		b->at++;
		b->state = PICKUP_AT_LINE;
		return;
	}
	*in = span_skip(*in, out->n);
	b->at += out->n;
}

/* Skips what is cut away, and says how much of *in stands before the next cut. */
static size_t
to_next_cut(struct pickup_body *b, struct span *in)
{
	while (b->cut < b->file->n_cuts) {
		const struct pickup_cut *c = &b->file->cuts[b->cut];

		if (b->at < c->at)
			return c->at - b->at < in->n ? (size_t)(c->at - b->at) : in->n;
		uint64_t left = c->at + c->n - b->at;
		size_t n = left < in->n ? (size_t)left : in->n;
		*in = span_skip(*in, n);
		b->at += n;
		if (n < left)
			return 0;
		b->cut++;
	}
	return in->n;
}

bool
pickup_body_next(struct pickup_body *b, struct span *in, struct span *out)
{
	for (;;) {
		size_t n = to_next_cut(b, in);
		struct span piece = span_first(*in, n);
		bool gave = true;

		if (n == 0)
			return false;
		if (b->state >= PICKUP_AT_DOT) {
			gave = after_dot(b, &piece, out);
		} else if (b->file->ours) {
			*out = piece;
			piece = span_skip(piece, n);
			b->at += n;
		} else if (b->state == PICKUP_AT_LINE && piece.p[0] == '.') {
			b->state = PICKUP_AT_DOT;
			piece = span_skip(piece, 1);
			b->at++;
			gave = false;
		} else {
			rest_of_line(b, &piece, out);
		}
		*in = span_skip(*in, n - piece.n);
		if (gave)
			return true;
	}
}

struct span
pickup_body_end(struct pickup_body *b)
{
	/* ".\r" alone is no line; the others are the lone dot, which goes. */
	return b->state == PICKUP_AT_DOT_CR ? SPAN(".\r") : SPAN("");
}
