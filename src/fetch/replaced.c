/* A server that takes us for one that cannot read raw UTF-8 in a header may give a notice
 * of its own in place of the message (RFC 6856 section 4; Courier does): a multipart
 * with the message inside as message/global. It has no Received, no Date and no
 * Message-ID, which no mail that travelled lacks; its recipients are not the message's. */
#include "message.h"
#include "print.h"

static bool
is_multipart(struct span header)
{
	struct header_field f;

	return header_find(header, SPAN("Content-Type"), &f) &&
			span_starts_nocase(span_trim(f.body), SPAN("multipart/"));
}

/* "Content-Type: message/global", not message/global-headers and the like. */
static bool
is_global(struct span line)
{
	struct span name = span_until(&line, ':'), type = span_trim(line);
	const struct span global = SPAN("message/global");

	if (!span_eq_nocase(span_trim(name), SPAN("Content-Type")) ||
			!span_starts_nocase(type, global))
		return false;
	type = span_skip(type, global.n);
	return type.n == 0 || type.p[0] == ';' || type.p[0] == ' ';
}

bool
reading_replaced(const struct reading *r, struct span start)
{
	struct span header = buf_span(&r->s->head);

	if (r->key.n > 0 || r->begun || pop_print_tells(header) ||
			!is_multipart(header))
		return false;
	while (start.n > 0)
		if (is_global(span_until(&start, '\n')))
			return true;
	return false;
}
