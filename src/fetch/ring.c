#include "ring.h"

char
ring_tame(char c)
{
	if (c < ' ' || c > '~')
		return '?';
	return c;
}

void
ring_init(struct ring *r, int64_t mono_ms)
{
	*r = (struct ring){
		.head = BUF_MAX(RING_PART),
		.tail = BUF_MAX(RING_PART),
		.began_ms = mono_ms,
	};
}

/* The older half of the tail goes, by whole lines. */
static void
make_room(struct ring *r)
{
	struct span text = buf_span(&r->tail);
	size_t gone = 0;

	while (gone < text.n / 2) {
		gone += span_find(span_skip(text, gone), '\n') + 1;
		r->left_out++;
	}
	buf_drop(&r->tail, gone < text.n ? gone : text.n);
}

static void
put(struct ring *r, struct span line)
{
	if (r->tail.n == 0 && r->left_out == 0 && r->head.n + line.n <= r->head.max) {
		(void)!buf_add(&r->head, line);
		return;
	}
	if (r->tail.n + line.n > r->tail.max)
		make_room(r);
	(void)!buf_add(&r->tail, line);
}

/* "12.345 C: "; by hand, since this is done for every line that is said. */
static size_t
print_mark(char out[64], int64_t ms, const char *who)
{
	char digits[24];
	size_t n = 0, at = 0;
	uint64_t left = ms > 0 ? (uint64_t)ms : 0;

	do {
		if (n == 3)
			digits[n++] = '.';
		digits[n++] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0 || n < 5);
	while (n > 0)
		out[at++] = digits[--n];
	out[at++] = ' ';
	for (; *who && at < 48; who++)
		out[at++] = *who;
	out[at++] = ':';
	out[at++] = ' ';
	return at;
}

void
ring_add(struct ring *r, int64_t now_ms, const char *who, struct span text)
{
	do {
		struct span line = span_until(&text, '\n');
		char out[RING_LINE + 72];
		size_t at = print_mark(out, now_ms - r->began_ms, who);

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		line = span_first(line, RING_LINE);
		for (size_t i = 0; i < line.n; i++)
			out[at++] = ring_tame(line.p[i]);
		out[at++] = '\n';
		put(r, (struct span){ out, at });
	} while (text.n > 0);
}

bool
ring_print(const struct ring *r, struct buf *out)
{
	return buf_add(out, buf_span(&r->head)) &&
			(r->left_out == 0 ||
					buf_addf(out, "(%llu lines left out)\n",
							(unsigned long long)
									r->left_out)) &&
			buf_add(out, buf_span(&r->tail));
}

void
ring_done(struct ring *r)
{
	buf_done(&r->head);
	buf_done(&r->tail);
}
