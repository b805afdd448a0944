#include "postern/csv.h"

void
csv_init(struct csv *c, struct span text)
{
	*c = (struct csv){ .rest = text, .mark = { 1, 1 } };
	if (span_starts(text, SPAN("\xef\xbb\xbf")))
		c->rest = span_skip(text, 3);
	c->ended = c->rest.n == 0;
}

/* Columns are characters, as in the other files. */
static void
step(struct csv *c)
{
	unsigned char b = (unsigned char)c->rest.p[0];

	c->rest = span_skip(c->rest, 1);
	if (b == '\n')
		c->mark = (struct conf_mark){ c->mark.line + 1, 1 };
	else if ((b & 0xc0) != 0x80)
		c->mark.column++;
}

static bool
at_line_end(struct span s)
{
	return s.n == 0 || s.p[0] == '\n' || span_starts(s, SPAN("\r\n"));
}

/* Up to the separator. */
static struct span
plain(struct csv *c)
{
	const char *from = c->rest.p;
	size_t n = c->rest.n;

	while (!at_line_end(c->rest) && c->rest.p[0] != ',')
		step(c);
	return (struct span){ from, n - c->rest.n };
}

/* Behind the opening quote, up to the separator. */
static const char *
quoted(struct csv *c, struct arena *a, struct span *out)
{
	const char *from = c->rest.p;
	size_t n = 0, doubled = 0;

	while (c->rest.n > 0) {
		bool quote = c->rest.p[0] == '"';

		if (quote && !span_starts(c->rest, SPAN("\"\"")))
			break;
		if (quote) {
			step(c);
			n++;
			doubled++;
		}
		step(c);
		n++;
	}
	*out = (struct span){ from, n };
	if (c->rest.n == 0)
		return "a quote is opened and not closed";
	step(c);
	if (!at_line_end(c->rest) && c->rest.p[0] != ',') {
		(void)plain(c);
		return "something stands behind the closing quote";
	}
	if (doubled == 0)
		return NULL;

	char *text = arena_alloc(a, n);
	size_t kept = 0;
	for (size_t i = 0; text && i < n; i++) {
		text[kept++] = from[i];
		i += from[i] == '"';
	}
	*out = (struct span){ text, text ? kept : 0 };
	return text ? NULL : "the file is too large";
}

bool
csv_next(struct csv *c, struct arena *a, struct csv_field *out)
{
	if (c->ended)
		return false;
	*out = (struct csv_field){ .mark = c->mark };
	if (c->rest.n > 0 && c->rest.p[0] == '"') {
		step(c);
		out->fault = quoted(c, a, &out->text);
	} else {
		out->text = plain(c);
		if (span_find(out->text, '"') < out->text.n)
			out->fault = "a quote inside a field that has none around it";
	}
	out->last = at_line_end(c->rest);
	if (!out->last) { /* a comma: another field comes, if an empty one */
		step(c);
		return true;
	}
	if (span_starts(c->rest, SPAN("\r\n")))
		step(c);
	if (c->rest.n > 0)
		step(c);
	c->ended = c->rest.n == 0;
	return true;
}
