#include "recipients_scan.h"

#include "postern/trace.h"

#include <string.h>

void
scan_fact(struct scan *s, struct recipients_fact fact)
{
	if (s->out->n_facts < RECIPIENTS_FACTS)
		s->out->facts[s->out->n_facts++] = fact;
}

bool
scan_trusted(const struct scan *s, unsigned above)
{
	return above < s->account->trusted_hops &&
			s->received >= s->account->trusted_hops;
}

static const struct span resent_names[] = {
	{ SPAN_INIT("Resent-To") },
	{ SPAN_INIT("Resent-Cc") },
	{ SPAN_INIT("Resent-Bcc") },
	{ SPAN_INIT("Resent-From") },
	{ SPAN_INIT("Resent-Sender") },
	{ SPAN_INIT("Resent-Date") },
	{ SPAN_INIT("Resent-Message-ID") },
	{ SPAN_INIT("Resent-Reply-To") },
};

enum {
	RESENT_RECIPIENTS = 3,
	RESENT_NAMES = sizeof(resent_names) / sizeof(*resent_names)
};

/* RFC 5322 3.6.6: the fields of one resending stand together, each once. So the
 * topmost block ends at any other field, and where a name comes again. */
static enum role
resent_role(struct scan *s, struct span name, bool *top)
{
	size_t i = 0;

	while (i < RESENT_NAMES && !span_eq_nocase(name, resent_names[i]))
		i++;
	if (i < RESENT_NAMES && s->resent_names & 1u << i)
		s->resent_done = true;
	if (i < RESENT_NAMES)
		s->resent_names |= 1u << i;
	s->resent_open = true;
	*top = !s->resent_done;
	if (i < RESENT_RECIPIENTS && *top)
		s->resent_named = true;
	return i < RESENT_RECIPIENTS ? ROLE_RESENT : ROLE_NONE;
}

static bool
envelope_name(const struct scan *s, struct span name, size_t *out)
{
	for (size_t i = 0; i < s->n_names; i++) {
		if (span_eq_nocase(name, s->names[i])) {
			*out = i;
			return true;
		}
	}
	return false;
}

/* What else the decision wants to know of the header. */
static void
note_field(struct scan *s, const struct header_field *f)
{
	struct span value;

	if (header_is(f, SPAN("Return-Path"))) {
		if (!s->return_path.p && s->received < s->account->trusted_hops)
			s->return_path = f->body;
	} else if (header_is(f, SPAN("From"))) {
		if (!s->from.p)
			s->from = f->body;
	} else if (header_is(f, SPAN("Message-ID"))) {
		if (s->out->message_id.n == 0)
			s->out->message_id = trace_message_id(s->arena, f->body);
	} else if (span_starts_nocase(f->name, SPAN("List-"))) {
		s->automatic = true;
	} else if (header_is(f, SPAN("Precedence"))) {
		value = span_trim(f->body);
		if (span_eq_nocase(value, SPAN("bulk")) ||
				span_eq_nocase(value, SPAN("list")) ||
				span_eq_nocase(value, SPAN("junk")))
			s->automatic = true;
	} else if (header_is(f, SPAN("Auto-Submitted"))) {
		value = span_trim(span_first(f->body, span_find(f->body, ';')));
		if (!span_eq_nocase(value, SPAN("no")))
			s->automatic = true;
	}
}

static struct source
classify(struct scan *s, const struct header_field *f)
{
	struct source src = { .header = f->name, .above = s->received };

	if (span_starts_nocase(f->name, SPAN("Resent-"))) {
		src.role = resent_role(s, f->name, &src.top);
		return src;
	}
	s->resent_done = s->resent_done || s->resent_open;
	if (header_is(f, SPAN("Received")))
		src.role = ROLE_RECEIVED;
	else if (envelope_name(s, f->name, &src.name))
		src.role = ROLE_ENVELOPE;
	else if (header_is(f, SPAN("To")) || header_is(f, SPAN("Cc")) ||
			header_is(f, SPAN("Bcc")))
		src.role = ROLE_VISIBLE;
	else if (header_is(f, SPAN("Apparently-To")))
		src.role = ROLE_APPARENTLY;
	else
		note_field(s, f);
	return src;
}

/* Members without an address: completed when they are bare names (E4), told
 * when they cannot be read. */
static void
settle_members(struct scan *s, const struct source *src)
{
	for (size_t i = src->first; i < src->end; i++) {
		struct address *a = &s->list.v[i];

		if (a->kind == ADDRESS_NAME && s->account->default_domain.n > 0 &&
				src->role != ROLE_RECEIVED) {
			a->kind = ADDRESS_FULL;
			a->domain = s->account->default_domain;
		}
		if (a->kind == ADDRESS_BAD)
			scan_fact(s,
					(struct recipients_fact){ .event = 4039,
							.name = src->header,
							.text = span_first(
									a->raw, 256) });
	}
}

static void
source_add(struct scan *s, const struct source *src)
{
	if (s->n_sources == s->cap_sources) {
		size_t cap = s->cap_sources ? s->cap_sources * 2 : 16;
		struct source *v = arena_alloc(s->arena, cap * sizeof(*v));

		if (!v) {
			s->full = true;
			s->list.n = src->first;
			return;
		}
		if (s->n_sources > 0)
			memcpy(v, s->sources, s->n_sources * sizeof(*v));
		s->sources = v;
		s->cap_sources = cap;
	}
	s->sources[s->n_sources++] = *src;
}

static void
scan_field(struct scan *s, const struct header_field *f)
{
	struct source src = classify(s, f);
	struct trace_received received;

	if (src.role == ROLE_NONE)
		return;
	src.first = s->list.n;
	if (src.role == ROLE_RECEIVED) {
		trace_read(f->body, &s->list, &received);
		s->received++;
		src.header = SPAN("received-for");
		src.single = received.recipients == 1;
		src.provider = recipients_is_provider(
				s->account->provider, received.by);
	} else {
		address_read(&s->list, f->body);
	}
	if (src.role == ROLE_ENVELOPE) {
		if (src.above < s->account->trusted_hops)
			s->inside[src.name]++;
		else
			s->outside[src.name]++;
	}
	src.end = s->list.n;
	if (src.end == src.first)
		return;
	settle_members(s, &src);
	source_add(s, &src);
}

static bool
names_init(struct scan *s)
{
	const struct recipients_account *a = s->account;
	size_t known = 0, own = a->mode == RECIPIENTS_NAMES ? a->n_names : 0;

	while (rewrite_envelope_names[known].n > 0)
		known++;
	s->n_names = own + known;
	struct span *names = arena_alloc(s->arena, s->n_names * sizeof(*names));
	s->inside = arena_alloc(s->arena, s->n_names * sizeof(*s->inside));
	s->outside = arena_alloc(s->arena, s->n_names * sizeof(*s->outside));
	if (!names || !s->inside || !s->outside)
		return false;
	for (size_t i = 0; i < own; i++)
		names[i] = a->names[i];
	memcpy(names + own, rewrite_envelope_names, known * sizeof(*names));
	s->names = names;
	s->first_name = 0;
	s->last_name = s->n_names;
	if (a->mode == RECIPIENTS_NAMES)
		s->last_name = own;
	else if (a->mode == RECIPIENTS_NONE)
		s->last_name = 0;
	return true;
}

void
scan_header(struct scan *s, struct span block)
{
	struct header_scan fields;
	struct header_field f;

	address_list_init(&s->list, s->arena, ADDRESS_LIST_MAX);
	if (!names_init(s)) {
		s->full = true;
		return;
	}
	header_scan_init(&fields, block);
	while (header_next(&fields, &f)) {
		if (f.kind == HEADER_FIELD)
			scan_field(s, &f);
	}
	s->out->received = s->received;
	s->looks = arena_alloc(s->arena, (s->list.n + 1) * sizeof(*s->looks));
	if (!s->looks) {
		s->full = true;
		s->list.n = s->n_sources = 0;
	}
	for (size_t i = 0; i < s->n_sources; i++) {
		for (size_t k = s->sources[i].first; k < s->sources[i].end; k++)
			s->looks[k].source = &s->sources[i];
	}
	if (s->list.total > s->list.n || s->full)
		scan_fact(s,
				(struct recipients_fact){ .event = 4038,
						.name = SPAN("addresses"),
						.n = s->list.total,
						.m = ADDRESS_LIST_MAX });
	if (block.n >= HEADER_MAX)
		scan_fact(s,
				(struct recipients_fact){ .event = 4038,
						.name = SPAN("header octets"),
						.n = block.n,
						.m = HEADER_MAX });
	else if (fields.cut_fields > 0)
		scan_fact(s,
				(struct recipients_fact){ .event = 4038,
						.name = SPAN("field octets"),
						.n = block.n,
						.m = HEADER_FIELD_MAX });
}

/* The wire form of a, when it may be sent. */
static bool
sender_take(struct scan *s, const struct address *a)
{
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);

	if (address_refused(a) || (address_utf8(a) && !s->account->smtputf8) ||
			!address_wire(&wire, a))
		return false;
	struct span text = arena_dup(s->arena, buf_span(&wire));
	if (!text.p)
		return false;
	s->out->sender = text;
	s->out->utf8 = s->out->utf8 || address_utf8(a);
	return true;
}

void
scan_sender(struct scan *s)
{
	struct address_list list;
	struct address a;

	if (s->return_path.p && scan_trusted(s, 0)) {
		enum trace_path path = trace_return_path(s->arena, s->return_path, &a);

		if (path == TRACE_PATH_NULL ||
				(path == TRACE_PATH_ADDRESS && sender_take(s, &a)))
			return;
	}
	s->out->no_notify = true;
	if (!s->automatic && s->from.p) {
		address_list_init(&list, s->arena, 8);
		address_read(&list, s->from);
		for (size_t i = 0; i < list.n; i++) {
			if (list.v[i].kind != ADDRESS_FULL)
				continue;
			(void)sender_take(s, &list.v[i]);
			break;
		}
	}
	scan_fact(s,
			(struct recipients_fact){ .event = 4043,
					.text = s->out->sender.n > 0 ? s->out->sender
								     : SPAN("<>") });
}
