/* What a decision says about itself, as the fields of its event. */
#include "postern/log.h"
#include "postern/routing.h"

void
routing_fact_fields(const struct recipients_fact *f, size_t aliases, struct field *out)
{
	struct field *at = out;

	switch (f->event) {
	case EVENT_RECIPIENTS_DETERMINED:
		*at++ = f_span("source", f->name);
		*at++ = f_num("accepted", (int64_t)f->n);
		*at++ = f_num("ignored", (int64_t)f->m);
		*at++ = f_num("aliases", (int64_t)aliases);
		break;
	case EVENT_NOBODY_FOUND:
		*at++ = f_span("postmaster", f->text.n ? f->text : SPAN("Badmail"));
		break;
	case EVENT_ALIAS_APPLIED:
		*at++ = f_span("rule", f->name);
		*at++ = f_span("from", f->text);
		*at++ = f_span("to", f->more);
		break;
	case EVENT_ENVELOPE_UNTRUSTED:
		*at++ = f_span("header", f->name);
		*at++ = f_num("occurrences", (int64_t)f->n);
		break;
	case EVENT_TOO_MANY_ADDRESSES:
		*at++ = f_num("addresses", (int64_t)f->n);
		*at++ = f_num("max", (int64_t)f->m);
		break;
	case EVENT_SENDER_GUESSED:
		*at++ = f_span("sender", f->text);
		break;
	default: /* 4035, 4039 */
		*at++ = f_span("header", f->name);
		*at++ = f_span("what", f->text);
		break;
	}
	*at = (struct field){ 0 };
}

/* Only what may stand in a field's name, so that nothing from a message can end the
 * line or begin another. */
static bool
is_name(struct span s)
{
	enum { NAME_MAX_SHOWN = 77 };

	if (s.n == 0 || s.n > NAME_MAX_SHOWN)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == ':' || s.p[i] == ';')
			return false;
	}
	return true;
}

bool
routing_header_line(const struct recipients *r, struct buf *out)
{
	struct span reason = span_of(r->reason);

	if (r->outcome != RECIPIENTS_FOUND)
		return buf_addf(out, "X-Postern-Route: none; reason=" SPAN_FMT "\r\n",
				SPAN_ARG(is_name(reason) ? reason
							 : SPAN("no-recipients")));
	return buf_addf(out, "X-Postern-Route: " SPAN_FMT "; rule=E%s",
			       SPAN_ARG(is_name(r->source) ? r->source
							   : SPAN("header")),
			       r->level == 0 ? "0" : "1.") &&
			(r->level == 0 || buf_addf(out, "%u", r->level)) &&
			buf_add(out, SPAN("\r\n"));
}
