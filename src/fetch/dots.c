#include "dots.h"

#include <string.h>

/* Walks lines from `at` until a dot begins one or the piece ends. Returns the
 * place of the dot, or NULL with b->place telling how the piece ended. */
static const char *
find_dot(struct pop_dots *b, const char *at, const char *begin, const char *end)
{
	for (;;) {
		const char *lf = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;

		if (!lf) {
			if (end > begin)
				b->place = end[-1] == '\r' ? DOTS_CR : DOTS_MID;
			return NULL;
		}
		bool starts = b->lenient ||
				(lf > begin ? lf[-1] == '\r' : b->place == DOTS_CR);
		at = lf + 1;
		if (starts && at == end) {
			b->place = DOTS_BOL;
			return NULL;
		}
		if (starts && *at == '.')
			return at;
	}
}

/* One content byte that had to wait for the next piece. */
static void
late_cr(struct pop_dots *b, struct span *out)
{
	*out = SPAN("\r");
	b->place = DOTS_CR;
}

/* The bytes behind a dot at the beginning of a line. True: it was stuffed and
 * content goes on at *at; false: the answer ends here, or the piece does. */
static bool
after_dot(struct pop_dots *b, const char **at, const char *end)
{
	if (*at == end)
		return false;
	if (b->lenient && **at == '\n') {
		*at += 1;
		b->place = DOTS_OVER;
		return false;
	}
	if (**at != '\r') {
		b->place = DOTS_MID;
		return true;
	}
	if (*at + 1 == end) {
		*at += 1;
		b->place = DOTS_DOT_CR;
		return false;
	}
	if ((*at)[1] == '\n') {
		*at += 2;
		b->place = DOTS_OVER;
		return false;
	}
	b->place = DOTS_MID;
	return true;
}

void
pop_dots_next(struct pop_dots *b, struct span *in, struct span *out)
{
	const char *at = in->p, *end = at + in->n;

	*out = (struct span){ at, 0 };
	if (b->place == DOTS_DOT_CR) {
		if (*at != '\n') {
			late_cr(b, out);
			return;
		}
		b->place = DOTS_OVER;
		*in = span_skip(*in, 1);
		return;
	}
	if (b->place == DOTS_BOL && *at == '.') {
		at++;
		b->place = DOTS_DOT;
	}
	if (b->place == DOTS_DOT) {
		bool content = after_dot(b, &at, end);
		*in = (struct span){ at, (size_t)(end - at) };
		*out = (struct span){ at, 0 };
		if (!content)
			return;
	}

	const char *dot = find_dot(b, at, at, end);
	const char *stop = dot ? dot : end;
	*out = (struct span){ at, (size_t)(stop - at) };
	if (dot) {
		b->place = DOTS_DOT;
		stop++;
	}
	*in = (struct span){ stop, (size_t)(end - stop) };
}
