#include "postern/smtp_body.h"

#include <string.h>

/* Eight octets at a time: this looks at every octet of every message. */
static bool
has_eight_bit(struct span s)
{
	uint64_t any = 0, word = 0;
	size_t i = 0;

	for (; i + sizeof(word) <= s.n; i += sizeof(word)) {
		memcpy(&word, s.p + i, sizeof(word));
		any |= word;
	}
	word = 0;
	memcpy(&word, s.p + i, s.n - i);
	return (any | word) & 0x8080808080808080u;
}

/* Has s a CR or LF that is not part of a CRLF? A CR at its end is not judged. */
static bool
has_bare(struct span s)
{
	const char *p = s.p, *end = s.p + s.n, *lf;

	while ((lf = memchr(p, '\n', (size_t)(end - p)))) {
		if (lf == p || lf[-1] != '\r' || memchr(p, '\r', (size_t)(lf - 1 - p)))
			return true;
		p = lf + 1;
	}

	const char *cr = memchr(p, '\r', (size_t)(end - p));
	return cr && cr + 1 < end;
}

void
smtp_scan_add(struct smtp_scan *s, struct span piece)
{
	if (piece.n == 0)
		return;
	if (!s->eight_bit)
		s->eight_bit = has_eight_bit(piece);
	if (!s->nul)
		s->nul = span_find(piece, '\0') < piece.n;
	if (s->bare)
		return;
	if (s->cr) {
		s->bare = piece.p[0] != '\n';
		s->cr = false;
		piece = span_skip(piece, piece.p[0] == '\n' ? 1 : 0);
	}
	if (!s->bare && piece.n > 0) {
		s->bare = has_bare(piece);
		s->cr = piece.p[piece.n - 1] == '\r';
	}
}

void
smtp_scan_end(struct smtp_scan *s)
{
	s->bare |= s->cr;
	s->cr = false;
}

/* Cuts content off *in up to what needs a decision: the line that starts with a dot,
 * or the end. *in begins in the middle of a line or, when `line`, with one. */
static struct span
plain_run(struct smtp_dots *d, struct span *in, bool line)
{
	struct span rest = *in;
	size_t took = 0;

	for (;;) {
		if (line && (rest.n == 0 || rest.p[0] == '.')) {
			d->at = SMTP_DOTS_LINE;
			break;
		}

		size_t lf = span_find(rest, '\n');
		size_t cr = span_find(span_first(rest, lf), '\r');
		if (lf == rest.n) {
			d->bare |= cr + 1 < lf;
			d->at = rest.n > 0 && rest.p[rest.n - 1] == '\r'
					? SMTP_DOTS_CR
					: SMTP_DOTS_TEXT;
			took += rest.n;
			break;
		}
		line = lf > 0 && rest.p[lf - 1] == '\r';
		d->bare |= !line || cr + 1 < lf;
		took += lf + 1;
		rest = span_skip(rest, lf + 1);
		if (rest.n == 0 && !line) {
			d->at = SMTP_DOTS_TEXT;
			break;
		}
	}

	struct span out = span_first(*in, took);
	*in = span_skip(*in, took);
	return out;
}

enum smtp_step
smtp_dots_next(struct smtp_dots *d, struct span *in, struct span *out, bool *ended)
{
	*ended = false;
	while (in->n > 0) {
		char c = in->p[0];

		switch (d->at) {
		case SMTP_DOTS_LINE:
			if (c == '.') {
				d->at = SMTP_DOTS_DOT;
				*in = span_skip(*in, 1);
				continue;
			}
			*out = plain_run(d, in, true);
			return SMTP_ONE;
		case SMTP_DOTS_DOT:
			if (c == '\r') {
				d->at = SMTP_DOTS_DOT_CR;
				*in = span_skip(*in, 1);
				continue;
			}
			break; /* a stuffed dot: the dot is gone, the rest stays */
		case SMTP_DOTS_DOT_CR:
			if (c == '\n') {
				*in = span_skip(*in, 1);
				*ended = true;
				return SMTP_MORE;
			}
			d->bare = true;
			d->at = SMTP_DOTS_TEXT;
			*out = SPAN("\r");
			return SMTP_ONE;
		case SMTP_DOTS_CR:
			if (c == '\n') {
				*out = span_first(*in, 1);
				*in = span_skip(*in, 1);
				d->at = SMTP_DOTS_LINE;
				return SMTP_ONE;
			}
			d->bare = true;
			break;
		case SMTP_DOTS_TEXT:
			break;
		}
		*out = plain_run(d, in, false);
		return SMTP_ONE;
	}
	return SMTP_MORE;
}

/* Length of what may go out as it is from the start of s, which begins a line when
 * `line`; *at_line tells whether it ends behind a CRLF. */
static size_t
clean_run(const struct smtp_stuff *st, struct span s, bool line, bool *at_line)
{
	size_t took = 0;

	for (;;) {
		struct span rest = span_skip(s, took);

		*at_line = line;
		if (rest.n == 0 || (line && st->dots && rest.p[0] == '.'))
			return took;

		size_t lf = span_find(rest, '\n');
		size_t cr = span_find(span_first(rest, lf), '\r');
		if (cr + 1 < lf || (cr + 1 == lf && lf == rest.n)) {
			/* A CR that is bare, or is the last byte known. */
			*at_line = line && cr == 0;
			return took + cr;
		}
		if (lf == rest.n) {
			*at_line = false;
			return s.n;
		}
		if (cr == lf) { /* a bare LF */
			*at_line = line && lf == 0;
			return took + lf;
		}
		took += lf + 1;
		line = true;
	}
}

/* A line end of any kind goes out; `taken` octets of *in are it. */
static struct span
line_end(struct smtp_stuff *s, struct span *in, size_t taken, bool pair)
{
	struct span as_it_is = taken > 0 ? SPAN("\n") : SPAN("\r");

	*in = span_skip(*in, taken);
	s->changed |= !pair && s->crlf;
	s->at = pair || s->crlf ? SMTP_STUFF_LINE : SMTP_STUFF_TEXT;
	return pair || s->crlf ? SPAN("\r\n") : as_it_is;
}

bool
smtp_stuff_next(struct smtp_stuff *s, struct span *in, struct span *out)
{
	if (in->n > 0 && in->p[0] == '\r' && s->at != SMTP_STUFF_CR) {
		s->at = SMTP_STUFF_CR; /* kept back until it is known what follows */
		*in = span_skip(*in, 1);
	}
	if (in->n == 0)
		return false;

	bool lf = in->p[0] == '\n';
	bool line = s->at == SMTP_STUFF_LINE;
	if (s->at == SMTP_STUFF_CR) {
		*out = line_end(s, in, lf, lf);
	} else if (lf) {
		*out = line_end(s, in, 1, false);
	} else if (line && s->dots && in->p[0] == '.') {
		/* The second dot is the message's own: it goes with its line. */
		s->at = SMTP_STUFF_TEXT;
		*out = SPAN(".");
	} else {
		size_t n = clean_run(s, *in, line, &line);

		*out = span_first(*in, n);
		*in = span_skip(*in, n);
		s->at = line ? SMTP_STUFF_LINE : SMTP_STUFF_TEXT;
	}
	return true;
}

struct span
smtp_stuff_end(struct smtp_stuff *s)
{
	bool cr = s->at == SMTP_STUFF_CR;
	bool line = s->at == SMTP_STUFF_LINE;

	s->at = SMTP_STUFF_LINE;
	s->changed |= cr && s->crlf;
	if (!s->dots)
		return cr ? s->crlf ? SPAN("\r\n") : SPAN("\r") : SPAN("");
	if (cr)
		return s->crlf ? SPAN("\r\n.\r\n") : SPAN("\r\r\n.\r\n");
	return line ? SPAN(".\r\n") : SPAN("\r\n.\r\n");
}
