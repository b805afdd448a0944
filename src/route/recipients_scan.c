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
scan_trusted(const struct scan *s, const struct source *src)
{
	if (s->account->bottom && src->role == ROLE_ENVELOPE)
		return !s->open && src->field == s->fields;
	return src->above < s->hops && s->received >= s->hops;
}

unsigned
scan_all(const struct scan *s, size_t name)
{
	unsigned n = 0;

	for (size_t i = 0; i < SCAN_ABOVE; i++)
		n += s->times[name * SCAN_ABOVE + i];
	return n;
}

unsigned
scan_inside(const struct scan *s, size_t name)
{
	unsigned n = 0;

	if (s->account->bottom) {
		for (size_t i = 0; i < s->n_sources; i++)
			n += s->sources[i].role == ROLE_ENVELOPE &&
					s->sources[i].name == name &&
					scan_trusted(s, &s->sources[i]);
		return n;
	}
	for (size_t i = 0; s->received >= s->hops && i < s->hops; i++)
		n += s->times[name * SCAN_ABOVE + i];
	return n;
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

/* The word a field says, without parameters, comments and what else stands behind it
 * (RFC 3834 5); a bare CR is white space (E3). */
static struct span
word_of(struct span body)
{
	struct span word = span_trim(body);

	for (size_t i = 0; i < word.n; i++) {
		if (word.p[i] == ';' || word.p[i] == '(' ||
				(unsigned char)word.p[i] <= ' ')
			return span_first(word, i);
	}
	return word;
}

/* What else the decision wants to know of the header. */
static void
note_field(struct scan *s, const struct header_field *f)
{
	struct span value = word_of(f->body);

	if (header_is(f, SPAN("Return-Path"))) {
		if (!s->return_path.p) {
			s->return_path = f->body;
			s->return_above = s->received;
		}
	} else if (header_is(f, SPAN("From"))) {
		if (!s->from.p)
			s->from = f->body;
	} else if (header_is(f, SPAN("Message-ID"))) {
		if (s->out->message_id.n == 0)
			s->out->message_id = trace_message_id(s->arena, f->body);
	} else if (span_starts_nocase(f->name, SPAN("List-"))) {
		s->automatic = true;
		if (!s->list_id.p && header_is(f, SPAN("List-Id")))
			s->list_id = f->body;
		if (!s->list_post.p && header_is(f, SPAN("List-Post")))
			s->list_post = f->body;
	} else if (header_is(f, SPAN("Precedence"))) {
		if (span_eq_nocase(value, SPAN("bulk")) ||
				span_eq_nocase(value, SPAN("list")) ||
				span_eq_nocase(value, SPAN("junk")))
			s->automatic = true;
	} else if (header_is(f, SPAN("Auto-Submitted"))) {
		if (!span_eq_nocase(value, SPAN("no")))
			s->automatic = true;
	}
}

static struct source
classify(struct scan *s, const struct header_field *f)
{
	struct source src = {
		.header = f->name, .field = s->fields, .above = s->received
	};

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

/* What the provider adds around an address, off again (E1.2). */
static void
strip(const struct scan *s, struct address *a)
{
	for (size_t i = 0; i < s->account->n_strip; i++) {
		struct span behind = s->account->strip[i];
		struct span before = span_until(&behind, '*'), local = a->local;

		if (local.n <= before.n + behind.n ||
				!span_starts_nocase(local, before) ||
				!span_ends_nocase(local, behind))
			continue;
		a->local = span_first(span_skip(local, before.n),
				local.n - before.n - behind.n);
		return;
	}
}

/* May the default domain stand behind this bare name (E4)? Not behind the account's
 * login where the provider tells a recipient (E1.2), nor behind an encoded word, which
 * is a display text that nobody may decode into an address. */
static bool
completes(const struct scan *s, const struct source *src, struct span name)
{
	bool encoded = span_starts(name, SPAN("=?")) &&
			span_ends_nocase(name, SPAN("?="));
	bool login = src->role == ROLE_ENVELOPE &&
			span_eq_nocase(name, s->account->login);

	return s->account->default_domain.n > 0 && src->role != ROLE_RECEIVED &&
			!encoded && !login;
}

/* Members without an address: completed when they are bare names (E4), told
 * when they cannot be read. */
static void
settle_members(struct scan *s, const struct source *src)
{
	for (size_t i = src->first; i < src->end; i++) {
		struct address *a = &s->list.v[i];

		if (a->kind == ADDRESS_NAME && completes(s, src, a->local)) {
			a->kind = ADDRESS_FULL;
			a->domain = s->account->default_domain;
		}
		if (a->kind == ADDRESS_FULL && src->role == ROLE_ENVELOPE)
			strip(s, a);
		if (a->kind == ADDRESS_BAD)
			scan_fact(s,
					(struct recipients_fact){
							.event = EVENT_ADDRESS_UNPARSABLE,
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

/* ---- what the decision looks at, kept for replays ---- */

struct keeper {
	struct buf fields;
	bool off;
	enum { GAP_NONE, GAP_JUNK, GAP_FIELD } gap; /* what stands for lines not kept */
};

static void
keep(struct scan *s, struct keeper *k, struct span name, struct span body)
{
	size_t before = k->fields.n;

	k->gap = GAP_NONE;
	if (k->off ||
			(buf_add(&k->fields, name) && buf_addc(&k->fields, ':') &&
					buf_add(&k->fields, body) &&
					buf_add(&k->fields, SPAN("\r\n"))))
		return;
	k->fields.n = before;
	k->off = s->out->fields_cut = true;
}

/* Where a field ends a resent block, or is the last of all, it counts that it is there. */
static void
keep_gap(struct scan *s, struct keeper *k)
{
	if (k->gap != GAP_FIELD)
		keep(s, k, SPAN("X"), SPAN(""));
	k->gap = GAP_FIELD;
}

static void
keep_junk(struct keeper *k)
{
	if (k->gap == GAP_NONE && !k->off && buf_add(&k->fields, SPAN("-\r\n")))
		k->gap = GAP_JUNK;
}

/* The addresses from `first` on are those of the for-clause. */
static void
keep_received(struct scan *s, struct keeper *k, const struct trace_received *r,
		size_t first)
{
	AUTO(buf_done) struct buf body = BUF_MAX(RECIPIENTS_FIELDS_MAX);
	char by[ADDRESS_DOMAIN_MAX + 1];
	const char *sep = " for <";
	bool ok = r->by.n == 0 ||
			(buf_add(&body, SPAN(" by ")) &&
					buf_add(&body,
							domain_canon(r->by, by)
									? span_of(by)
									: SPAN("?")));

	for (size_t i = first; ok && i < s->list.n; i++) {
		if (s->list.v[i].kind != ADDRESS_FULL)
			continue;
		ok = buf_add(&body, span_of(sep)) &&
				address_print(&body, &s->list.v[i]) &&
				buf_addc(&body, '>');
		sep = ",<";
	}
	/* That there were several counts, even if one alone could be read. */
	if (ok && r->recipients > 1 && sep[0] == ',')
		ok = buf_add(&body, SPAN(",<>"));
	if (!ok)
		k->off = s->out->fields_cut = true;
	keep(s, k, SPAN("Received"), buf_span(&body));
}

/* E1.3: is this a host of the provider's? As configured, else the server's domain and what
 * was learned. Nothing is known and the lines were counted by hand: whoever wrote a line
 * that counts as trusted. */
static bool
is_provider_host(const struct scan *s, struct span by)
{
	const struct recipients_account *a = s->account;

	if (a->hosts)
		return domains_have(a->hosts, by);
	if (recipients_is_provider(a->provider, by))
		return true;
	if (a->learned && provider_host(a->learned).n > 0)
		return recipients_is_provider(provider_host(a->learned), by);
	return a->hops_fixed && by.n > 0;
}

static void
scan_received(struct scan *s, const struct header_field *f, struct source *src,
		struct keeper *k)
{
	struct trace_received r;

	trace_read(f->body, &s->list, &r);
	if (s->received == 0)
		s->top_by = r.by;
	if (s->lead == s->received && r.by.n > 0 &&
			(s->received == 0 || recipients_is_provider(s->top_by, r.by)))
		s->lead++;
	s->received++;
	src->header = SPAN("received-for");
	src->single = r.recipients == 1;
	src->provider = is_provider_host(s, r.by);
	keep_received(s, k, &r, src->first);
}

/* A field that names no recipient. */
static void
scan_other(struct scan *s, const struct header_field *f, struct keeper *k)
{
	if (span_starts_nocase(f->name, SPAN("Resent-")))
		keep(s, k, f->name, SPAN(""));
	else if (header_is(f, SPAN("List-Id")) || header_is(f, SPAN("List-Post")))
		keep(s, k, f->name, f->body);
	else
		keep_gap(s, k);
}

static void
scan_field(struct scan *s, const struct header_field *f, struct keeper *k)
{
	struct source src = classify(s, f);

	if (src.role == ROLE_NONE) {
		scan_other(s, f, k);
		return;
	}
	src.first = s->list.n;
	if (src.role == ROLE_RECEIVED) {
		scan_received(s, f, &src, k);
	} else {
		address_read(&s->list, f->body);
		keep(s, k, f->name, f->body);
	}
	if (src.role == ROLE_ENVELOPE && src.above < SCAN_ABOVE)
		s->times[src.name * SCAN_ABOVE + src.above]++;
	src.end = s->list.n;
	if (src.end == src.first)
		return;
	settle_members(s, &src);
	source_add(s, &src);
}

/* Who the server says it is for, before the header is asked. */
static void
scan_told(struct scan *s)
{
	struct source src = { .role = ROLE_TOLD, .header = SPAN("*ENV") };

	if (!s->told || s->account->user)
		return;
	s->out->told = s->told->to;
	address_read(&s->list, s->told->to);
	src.end = s->list.n;
	if (src.end == 0)
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
	s->times = arena_alloc(s->arena, s->n_names * SCAN_ABOVE * sizeof(*s->times));
	if (!names || !s->times)
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

/* Received lines that are the provider's: as configured, else as learned. With fewer
 * than it always adds, only as many as stand together count. */
static unsigned
hops_of(const struct scan *s)
{
	const struct recipients_account *a = s->account;
	unsigned learned = a->learned && !a->hops_fixed ? provider_hops(a->learned) : 0;

	if (learned == 0)
		return a->trusted_hops;
	if (s->lead >= learned)
		return learned;
	return s->lead > 0 ? s->lead : 1;
}

/* What provider_learn is to be told. */
static void
observe(struct scan *s)
{
	struct provider_seen *seen = &s->out->seen;
	const struct provider_habits *p = s->account->learned;
	char by[ADDRESS_DOMAIN_MAX + 1];

	seen->hops = s->lead;
	if (domain_canon(s->top_by, by)) {
		seen->by = arena_dup(s->arena, span_of(by));
		seen->beside = p && p->host[0] != '\0' &&
				recipients_is_provider(span_of(p->host), seen->by);
	}
	for (size_t i = s->first_name; i < s->last_name && seen->n < PROVIDER_NAMES;
			i++) {
		unsigned times = scan_inside(s, i);

		if (times == 0)
			continue;
		seen->v[seen->n].name = s->names[i];
		seen->v[seen->n++].times = times;
	}
	seen->strange = p && !s->account->hops_fixed && s->lead < provider_hops(p);
}

static void
tell_limits(struct scan *s, const struct header_scan *fields, size_t octets)
{
	if (s->list.total > s->list.n || s->full)
		scan_fact(s,
				(struct recipients_fact){
						.event = EVENT_TOO_MANY_ADDRESSES,
						.name = SPAN("addresses"),
						.n = s->list.total,
						.m = ADDRESS_LIST_MAX });
	if (octets >= HEADER_MAX)
		scan_fact(s,
				(struct recipients_fact){
						.event = EVENT_TOO_MANY_ADDRESSES,
						.name = SPAN("header octets"),
						.n = octets,
						.m = HEADER_MAX });
	else if (fields->cut_fields > 0)
		scan_fact(s,
				(struct recipients_fact){
						.event = EVENT_TOO_MANY_ADDRESSES,
						.name = SPAN("field octets"),
						.n = octets,
						.m = HEADER_FIELD_MAX });
}

void
scan_header(struct scan *s, struct span block)
{
	struct keeper k = { .fields = BUF_MAX(RECIPIENTS_FIELDS_MAX),
		.off = s->account->user };
	struct header_scan fields;
	struct header_field f;

	address_list_init(&s->list, s->arena, ADDRESS_LIST_MAX);
	if (!names_init(s)) {
		s->full = true;
		return;
	}
	scan_told(s);
	header_scan_init(&fields, block);
	while (header_next(&fields, &f)) {
		s->fields++;
		if (f.kind == HEADER_FIELD)
			scan_field(s, &f, &k);
		else
			keep_junk(&k);
	}
	s->open = block.n >= HEADER_MAX;
	s->out->fields_cut = s->out->fields_cut || s->open;
	s->out->received = s->received;
	s->out->fields = arena_dup(s->arena, buf_span(&k.fields));
	buf_done(&k.fields);
	s->hops = hops_of(s);
	observe(s);
	s->looks = arena_alloc(s->arena, (s->list.n + 1) * sizeof(*s->looks));
	if (!s->looks) {
		s->full = true;
		s->list.n = s->n_sources = 0;
	}
	for (size_t i = 0; i < s->n_sources; i++) {
		for (size_t m = s->sources[i].first; m < s->sources[i].end; m++)
			s->looks[m].source = &s->sources[i];
	}
	tell_limits(s, &fields, block.n);
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

	if (s->told && (s->told->from.n == 0 || span_eq(s->told->from, SPAN("<>"))))
		return;
	if (s->told && address_parse(s->arena, s->told->from, &a) && sender_take(s, &a))
		return;
	if (s->return_path.p && s->return_above < s->hops && s->received >= s->hops) {
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
			(struct recipients_fact){ .event = EVENT_SENDER_GUESSED,
					.text = s->out->sender.n > 0 ? s->out->sender
								     : SPAN("<>") });
}
