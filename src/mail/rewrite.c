#include "postern/rewrite.h"

const struct span rewrite_envelope_names[] = {
	{ SPAN_INIT("X-Envelope-To") },
	{ SPAN_INIT("X-Original-To") },
	{ SPAN_INIT("Envelope-To") },
	{ SPAN_INIT("X-RCPT-TO") },
	{ SPAN_INIT("X-Delivered-To") },
	{ SPAN_INIT("X-Real-To") },
	{ SPAN_INIT("X-Gm-Original-To") },
	{ SPAN_INIT("Delivered-To") },
	{ NULL, 0 },
};

bool
rewrite_is_envelope(struct span name, const struct rewrite_rules *rules)
{
	for (size_t i = 0; rewrite_envelope_names[i].n > 0; i++) {
		if (span_eq_nocase(name, rewrite_envelope_names[i]))
			return true;
	}
	for (size_t i = 0; i < rules->n_names; i++) {
		if (span_eq_nocase(name, rules->names[i]))
			return true;
	}
	return false;
}

enum change { CHANGE_NONE, CHANGE_RENAME, CHANGE_REMOVE };

/* A bare CR is white space to us and a line's end to others: what stands behind it is not
 * read here (E3), and would be a field of its own there. */
static bool
hides_more(struct span body)
{
	body = span_trim(body);
	for (size_t i = 0; i < body.n; i++) {
		unsigned char c = (unsigned char)body.p[i];

		if (c == '\r' && i + 1 < body.n && body.p[i + 1] == '\n')
			i++;
		else if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f)
			return true;
	}
	return false;
}

/* Several addresses in one field, or one that the account serves. */
static void
field_addresses(const struct rewrite_rules *rules, struct span body, bool *several,
		bool *served)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(4 * HEADER_FIELD_MAX);
	struct address_list list;
	size_t n = 0;

	address_list_init(&list, &arena, ADDRESS_LIST_MAX);
	address_read(&list, body);
	*served = false;
	for (size_t i = 0; i < list.n; i++) {
		const struct address *a = &list.v[i];

		n += a->kind == ADDRESS_FULL || a->kind == ADDRESS_NAME;
		if (a->kind == ADDRESS_FULL && rules->served)
			*served = *served || domains_have(rules->served, a->domain);
	}
	*several = n > 1 || list.total > list.n || hides_more(body);
}

/* Does a Bcc name nobody but the one recipient of this copy? */
static bool
names_only_him(const struct rewrite_rules *rules, struct span body)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(4 * HEADER_FIELD_MAX);
	AUTO(buf_done) struct buf his = BUF_MAX(ADDRESS_SIZE);
	AUTO(buf_done) struct buf key = BUF_MAX(ADDRESS_SIZE);
	struct address_list list;
	struct address him;

	address_list_init(&list, &arena, ADDRESS_LIST_MAX);
	address_read(&list, body);
	if (hides_more(body))
		return false;
	if (list.n == 0)
		return list.total == 0;
	if (!address_parse(&arena, rules->only, &him) || !address_key(&his, &him))
		return false;
	for (size_t i = 0; i < list.n; i++) {
		buf_clear(&key);
		if (list.v[i].kind != ADDRESS_FULL || !address_key(&key, &list.v[i]) ||
				!span_eq(buf_span(&key), buf_span(&his)))
			return false;
	}
	return list.total == list.n;
}

/* Does a DKIM signature cover fields of that name (RFC 6376 section 3.5, h=)? */
static bool
signature_has(struct span body, struct span name)
{
	while (body.n > 0) {
		struct span value = span_until(&body, ';');
		struct span tag = span_trim(span_until(&value, '='));

		if (!span_eq_nocase(tag, SPAN("h")))
			continue;
		while (value.n > 0) {
			if (span_eq_nocase(span_trim(span_until(&value, ':')), name))
				return true;
		}
	}
	return false;
}

static bool
is_signed(struct span block, struct span name)
{
	struct header_scan scan;
	struct header_field f;

	header_scan_init(&scan, block);
	while (header_next(&scan, &f)) {
		if (f.kind == HEADER_FIELD &&
				span_eq_nocase(f.name, SPAN("DKIM-Signature")) &&
				signature_has(f.body, name))
			return true;
	}
	return false;
}

static enum change
change_of(const struct header_field *f, const struct rewrite_rules *rules)
{
	bool many = rules->recipients > 1, several, served;

	if (f->kind != HEADER_FIELD)
		return CHANGE_NONE;
	if (span_eq_nocase(f->name, SPAN("Return-Path")))
		return CHANGE_RENAME;
	if (span_eq_nocase(f->name, SPAN("Bcc")) ||
			span_eq_nocase(f->name, SPAN("Resent-Bcc")))
		return many ||
						(rules->recipients == 1 &&
								!names_only_him(rules,
										f->body))
				? CHANGE_REMOVE
				: CHANGE_NONE;
	if (!rewrite_is_envelope(f->name, rules))
		return CHANGE_NONE;
	bool delivered = span_eq_nocase(f->name, SPAN("Delivered-To"));
	if (many && !delivered)
		return CHANGE_REMOVE;
	field_addresses(rules, f->body, &several, &served);
	if (several || (many && served))
		return CHANGE_REMOVE;
	return delivered ? CHANGE_RENAME : CHANGE_NONE;
}

void
rewrite_init(struct rewrite *r, struct span block, const struct rewrite_rules *rules)
{
	*r = (struct rewrite){ .rules = rules, .block = block };
	r->delivered_signed = rules->preserve_signed &&
			is_signed(block, SPAN("Delivered-To"));
	header_scan_init(&r->scan, block);
}

/* Moves n bytes from the block to what is kept. */
static void
keep(struct rewrite *r, size_t n)
{
	if (r->kept.n == 0)
		r->kept.p = r->block.p;
	r->kept.n += n;
	r->block = span_skip(r->block, n);
}

static bool
give(struct span *from, struct span *out)
{
	if (from->n == 0)
		return false;
	*out = *from;
	*from = (struct span){ NULL, 0 };
	return true;
}

bool
rewrite_next(struct rewrite *r, struct span *out)
{
	struct header_field f;

	if (give(&r->next, out))
		return true;
	while (header_next(&r->scan, &f)) {
		enum change change = change_of(&f, r->rules);
		bool last = r->scan.rest.n == 0;

		/* The rest of a field that is not here cannot be changed with it. */
		if (last && (r->rules->open || f.raw.n < r->block.n))
			change = CHANGE_NONE;
		if (change == CHANGE_RENAME && r->delivered_signed &&
				header_is(&f, SPAN("Delivered-To")))
			change = CHANGE_NONE;
		if (change == CHANGE_NONE) {
			keep(r, f.raw.n);
			continue;
		}
		bool any = give(&r->kept, out);
		if (change == CHANGE_REMOVE) {
			r->block = span_skip(r->block, f.raw.n);
			if (any)
				return true;
			continue;
		}
		keep(r, f.raw.n);
		if (any)
			r->next = SPAN("X-Postern-Orig-");
		else
			*out = SPAN("X-Postern-Orig-");
		return true;
	}
	keep(r, r->block.n);
	return give(&r->kept, out);
}
