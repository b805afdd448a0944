/* The arguments of MAIL: the reverse-path and its parameters, a row each. */
#include "postern/num.h"
#include "session.h"

static enum smtp_refusal
on_size(struct smtp_server *s, struct smtp_mail *m, struct span value)
{
	/* RFC 1870: at most 20 digits; more than fits is no number of octets. */
	if (value.n > 20 || !num_u64(value, INT64_MAX, &m->size))
		return SMTP_REFUSE_ARGUMENT;
	m->sized = true;
	return s->size_limit > 0 && m->size > s->size_limit ? SMTP_REFUSE_SIZE
							    : SMTP_REFUSALS;
}

static enum smtp_refusal
on_body(struct smtp_server *s, struct smtp_mail *m, struct span value)
{
	(void)s;
	if (span_eq_nocase(value, SPAN("7BIT")))
		m->body = SMTP_BODY_7BIT;
	else if (span_eq_nocase(value, SPAN("8BITMIME")))
		m->body = SMTP_BODY_8BITMIME;
	else if (span_eq_nocase(value, SPAN("BINARYMIME")))
		m->body = SMTP_BODY_BINARYMIME;
	else
		return SMTP_REFUSE_ARGUMENT;
	return SMTP_REFUSALS;
}

/* RFC 6531 3.1: announced to those who said EHLO only. */
static enum smtp_refusal
on_smtputf8(struct smtp_server *s, struct smtp_mail *m, struct span value)
{
	(void)value;
	m->utf8 = true;
	return s->esmtp ? SMTP_REFUSALS : SMTP_REFUSE_PARAMETER;
}

static enum smtp_refusal
on_xcollect(struct smtp_server *s, struct smtp_mail *m, struct span value)
{
	buf_clear(&s->decoded);
	m->collected = collect_parse(value, &s->decoded, &m->collect);
	return m->collected ? SMTP_REFUSALS : SMTP_REFUSE_ARGUMENT;
}

static enum smtp_refusal
on_xbadmail(struct smtp_server *s, struct smtp_mail *m, struct span value)
{
	(void)s;
	m->collect.badmail = value;
	return collect_reason_valid(value) ? SMTP_REFUSALS : SMTP_REFUSE_ARGUMENT;
}

static enum smtp_refusal
on_xhold(struct smtp_server *s, struct smtp_mail *m, struct span value)
{
	(void)s;
	m->collect.hold = value;
	return collect_reason_valid(value) ? SMTP_REFUSALS : SMTP_REFUSE_ARGUMENT;
}

static enum smtp_refusal
on_xfallback(struct smtp_server *s, struct smtp_mail *m, struct span value)
{
	(void)s;
	m->collect.fallback = value;
	return collect_reason_valid(value) ? SMTP_REFUSALS : SMTP_REFUSE_ARGUMENT;
}

/* Only NO is said: whoever says nothing wants the ledger asked. */
static enum smtp_refusal
on_xdedup(struct smtp_server *s, struct smtp_mail *m, struct span value)
{
	(void)s;
	m->collect.copies = span_eq_nocase(value, SPAN("NO"));
	return m->collect.copies ? SMTP_REFUSALS : SMTP_REFUSE_ARGUMENT;
}

static const struct parameter {
	struct span name;
	bool internal;
	bool bare; /* has no value */
	enum smtp_refusal (*read)(
			struct smtp_server *, struct smtp_mail *, struct span value);
} parameters[] = {
	{ { SPAN_INIT("SIZE") }, false, false, on_size },
	{ { SPAN_INIT("BODY") }, false, false, on_body },
	{ { SPAN_INIT("SMTPUTF8") }, false, true, on_smtputf8 },
	{ { SPAN_INIT("XCOLLECT") }, true, false, on_xcollect },
	{ { SPAN_INIT("XBADMAIL") }, true, false, on_xbadmail },
	{ { SPAN_INIT("XHOLD") }, true, false, on_xhold },
	{ { SPAN_INIT("XFALLBACK") }, true, false, on_xfallback },
	{ { SPAN_INIT("XDEDUP") }, true, false, on_xdedup },
};

enum { PARAMETERS = sizeof(parameters) / sizeof(parameters[0]) };

static enum smtp_refusal
read_parameter(struct smtp_server *s, struct smtp_mail *m, struct span word,
		unsigned *seen)
{
	struct span whole = word, name = span_until(&word, '=');

	for (unsigned i = 0; i < PARAMETERS; i++) {
		const struct parameter *p = &parameters[i];

		if (!span_eq_nocase(name, p->name) || (p->internal && !s->internal))
			continue;
		if (*seen & 1u << i || (p->bare && name.n < whole.n))
			return SMTP_REFUSE_ARGUMENT;
		*seen |= 1u << i;
		return p->read(s, m, word);
	}
	return SMTP_REFUSE_PARAMETER;
}

enum smtp_refusal
mail_parse(struct smtp_server *s, struct span arg, struct smtp_mail *out)
{
	struct smtp_mail m = { .body = SMTP_BODY_7BIT };
	enum smtp_refusal size = SMTP_REFUSALS;
	unsigned seen = 0;

	if (!span_starts_nocase(arg, SPAN("FROM:")))
		return SMTP_REFUSE_ARGUMENT;
	arg = span_trim(span_skip(arg, 5));
	if (!smtp_path_cut(&arg, true, &m.sender) || (arg.n > 0 && arg.p[0] != ' '))
		return SMTP_REFUSE_SENDER;
	arg = span_trim(arg);
	while (arg.n > 0) {
		enum smtp_refusal why = read_parameter(s, &m, span_word(&arg), &seen);

		/* Too large is said only when all else is right. */
		if (why == SMTP_REFUSE_SIZE)
			size = why;
		else if (why != SMTP_REFUSALS)
			return why;
	}
	unsigned words = collect_words(&m.collect);
	if (words > 1 || ((words > 0 || m.collect.copies) && !m.collected))
		return SMTP_REFUSE_ARGUMENT;
	if (m.sender.utf8 && !m.utf8)
		return SMTP_REFUSE_UTF8;
	if (size == SMTP_REFUSALS)
		*out = m;
	return size;
}
