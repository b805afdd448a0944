/* The words of an event: its template with the fields put in. */
#include <inttypes.h>

#include "postern/enc.h"
#include "postern/event.h"
#include "postern/log.h"
#include "postern/must.h"

enum { VALUE_SHOWN = 2048 }; /* of one field; transcripts are longer */

static const struct field *
field_of(const struct field *fields, struct span name)
{
	for (const struct field *f = fields; f->kind != FIELD_END; f++) {
		if (span_eq(span_of(f->name), name))
			return f;
	}
	return NULL;
}

static bool
is_name(char c)
{
	return (c >= 'a' && c <= 'z') || c == '_';
}

static bool
add_value(struct buf *out, const struct field *f)
{
	switch (f ? f->kind : FIELD_END) {
	case FIELD_NUM:
		return buf_addf(out, "%" PRId64, f->num);
	case FIELD_TEXT:
		return f->text.n == 0
				? buf_addc(out, '-')
				: enc_plain(out, span_first(f->text, VALUE_SHOWN));
	case FIELD_LINES:
		return enc_lines(out, f->text);
	case FIELD_END:
		break;
	}
	return buf_addc(out, '-');
}

bool
log_words(struct buf *out, int id, const struct field *fields)
{
	const struct event *e = event_find(id);
	MUST(e);
	struct span left = span_of(e->text);

	while (left.n > 0) {
		if (!buf_add(out, span_until(&left, '%')))
			return false;
		if (left.n == 0)
			break;
		if (left.p[0] == '%') {
			if (!buf_addc(out, '%'))
				return false;
			left = span_skip(left, 1);
			continue;
		}
		size_t n = 0;
		while (n < left.n && is_name(left.p[n]))
			n++;
		if (!add_value(out, field_of(fields, span_first(left, n))))
			return false;
		left = span_skip(left, n);
	}
	return true;
}
