#include "postern/header.h"

#include <string.h>

void
header_scan_init(struct header_scan *s, struct span block)
{
	*s = (struct header_scan){
		.rest = span_first(block, HEADER_MAX),
		.limited = block.n >= HEADER_MAX,
	};
}

/* Length of the first line with its LF, or all there is. */
static size_t
line_length(struct span s)
{
	size_t n = span_find(s, '\n');

	return n < s.n ? n + 1 : n;
}

static bool
line_empty(struct span s)
{
	return span_starts(s, SPAN("\n")) || span_starts(s, SPAN("\r\n"));
}

/* RFC 5322 2.2: printable US-ASCII, but no colon. Blanks before the colon are
 * obsolete and let through. */
static bool
name_cut(struct span line, struct span *name)
{
	size_t n = 0, colon;

	while (n < line.n && line.p[n] > 0x20 && line.p[n] < 0x7f && line.p[n] != ':')
		n++;
	for (colon = n; colon < line.n &&
			(line.p[colon] == ' ' || line.p[colon] == '\t');)
		colon++;
	if (n == 0 || colon == line.n || line.p[colon] != ':')
		return false;
	*name = span_first(line, n);
	return true;
}

static struct span
body_cut(struct header_field *f, bool limited)
{
	size_t colon = (size_t)(f->name.p - f->raw.p) + f->name.n;

	colon += span_find(span_skip(f->raw, colon), ':');
	struct span body = span_skip(f->raw, colon + 1);
	if (body.n > 0 && body.p[body.n - 1] == '\n')
		body.n--;
	if (body.n > 0 && body.p[body.n - 1] == '\r')
		body.n--;
	if (body.n > HEADER_FIELD_MAX || limited) {
		/* The member that the cut would go through is left out. */
		body = span_first(body, HEADER_FIELD_MAX);
		size_t comma = span_rfind(body, ',');
		body.n = comma < body.n ? comma : 0;
		f->cut = true;
	}
	return body;
}

bool
header_next(struct header_scan *s, struct header_field *out)
{
	struct span rest = s->rest;

	if (rest.n == 0 || line_empty(rest)) {
		s->rest.n = 0;
		return false;
	}
	*out = (struct header_field){ .kind = HEADER_JUNK };
	size_t n = line_length(rest);

	if (name_cut(span_first(rest, n), &out->name))
		out->kind = HEADER_FIELD;
	else if (!s->begun && span_starts(rest, SPAN("From ")))
		out->kind = HEADER_MBOX;
	while (out->kind != HEADER_MBOX && n < rest.n &&
			(rest.p[n] == ' ' || rest.p[n] == '\t'))
		n += line_length(span_skip(rest, n));
	out->raw = span_first(rest, n);
	s->rest = span_skip(rest, n);
	s->begun = true;
	if (out->kind == HEADER_FIELD) {
		out->body = body_cut(out, s->limited && s->rest.n == 0);
		s->cut_fields += out->cut;
	}
	return true;
}

bool
header_is(const struct header_field *f, struct span name)
{
	return f->kind == HEADER_FIELD && span_eq_nocase(f->name, name);
}

bool
header_find(struct span block, struct span name, struct header_field *out)
{
	struct header_scan s;
	struct header_field f;

	header_scan_init(&s, block);
	while (header_next(&s, &f)) {
		if (header_is(&f, name)) {
			*out = f;
			return true;
		}
	}
	return false;
}

size_t
header_length(struct span message)
{
	struct header_end e = { .found = false };

	return header_end_feed(&e, message);
}

/* What the current line holds: nothing, one CR, or anything else. */
enum { LINE_EMPTY, LINE_CR, LINE_FULL };

size_t
header_end_feed(struct header_end *e, struct span piece)
{
	size_t at = 0;

	while (!e->found && at < piece.n) {
		char c = piece.p[at];

		if (e->line == LINE_FULL) {
			/* The only place where time is spent. */
			size_t lf = span_find(span_skip(piece, at), '\n');

			if (lf == piece.n - at)
				return piece.n;
			at += lf + 1;
			e->line = LINE_EMPTY;
			continue;
		}
		at++;
		if (c == '\n')
			e->found = true;
		else if (c == '\r' && e->line == LINE_EMPTY)
			e->line = LINE_CR;
		else
			e->line = LINE_FULL;
	}
	return at;
}
