#include "postern/gleaner.h"

enum {
	AT_LINE, /* nothing of the line has been seen */
	AT_NAME, /* in what may be a field's name */
	AT_COLON, /* blanks behind it */
	AT_BODY, /* of a field that is wanted */
	AT_REST, /* of a line that is not */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

void
gleaner_init(struct gleaner *w, const struct span *names, size_t n_names)
{
	*w = (struct gleaner){ .names = names, .n_names = n_names, .field = n_names };
}

size_t
gleaner_feed(struct gleaner *w, struct span piece)
{
	size_t n = header_end_feed(&w->end, piece);

	w->in = span_first(piece, n);
	return n;
}

static void
line_begins(struct gleaner *w)
{
	if (is_blank(w->in.p[0])) {
		w->at = w->field < w->n_names ? AT_BODY : AT_REST;
		return;
	}
	w->field = w->n_names;
	w->name_n = 0;
	w->at = AT_NAME;
}

/* As header.h has it: printable US-ASCII, blanks before the colon let through. */
static bool
name_goes_on(struct gleaner *w, char c)
{
	if (is_blank(c) && w->name_n > 0) {
		w->at = AT_COLON;
		return true;
	}
	if (w->at != AT_NAME || c <= ' ' || c >= 0x7f || w->name_n == GLEANER_NAME_MAX)
		return false;
	w->name[w->name_n++] = c;
	return true;
}

/* True when a field begins that is wanted. */
static bool
name_ends(struct gleaner *w)
{
	struct span name = { w->name, w->name_n };

	w->at = AT_REST;
	for (size_t i = 0; i < w->n_names; i++) {
		if (!span_eq_nocase(name, w->names[i]))
			continue;
		w->field = i;
		w->at = AT_BODY;
		w->words = w->parted = false;
		return true;
	}
	return false;
}

/* A word, as far as it is here. False: only what parts words was, or the line's end. */
static bool
word_cut(struct gleaner *w, struct span *out)
{
	size_t n = 0;

	while (n < w->in.n && !is_blank(w->in.p[n]) && w->in.p[n] != '\r' &&
			w->in.p[n] != '\n')
		n++;
	if (n > 0) {
		*out = span_first(w->in, n);
		w->in = span_skip(w->in, n);
		return true;
	}
	w->parted = w->words;
	if (w->in.p[0] == '\n')
		w->at = AT_LINE;
	w->in = span_skip(w->in, 1);
	return false;
}

static void
rest_skipped(struct gleaner *w)
{
	size_t n = span_find(w->in, '\n');

	if (n < w->in.n) {
		w->at = AT_LINE;
		n++;
	}
	w->in = span_skip(w->in, n);
}

/* True when a field begins that is wanted. */
static bool
name_step(struct gleaner *w)
{
	char c = w->in.p[0];

	if (c != ':' && !name_goes_on(w, c)) {
		w->at = AT_REST; /* no field: a line that is passed over */
		return false;
	}
	w->in = span_skip(w->in, 1);
	return c == ':' && name_ends(w);
}

bool
gleaner_next(struct gleaner *w, struct gleaner_bit *out)
{
	struct span bytes;

	while (w->in.n > 0) {
		if (w->at == AT_LINE)
			line_begins(w);
		if (w->at == AT_REST) {
			rest_skipped(w);
		} else if (w->at == AT_BODY) {
			if (!word_cut(w, &bytes))
				continue;
			*out = (struct gleaner_bit){
				.field = w->field, .parted = w->parted, .bytes = bytes
			};
			w->words = true;
			w->parted = false;
			return true;
		} else if (name_step(w)) {
			*out = (struct gleaner_bit){ .field = w->field,
				.begins = true };
			return true;
		}
	}
	return false;
}
