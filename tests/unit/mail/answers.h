/* What the address reader makes of a header, spelled as the tables of cases and of the
 * corpus spell it: canonical addresses with one blank between them. */
#ifndef TESTS_ANSWERS_H
#define TESTS_ANSWERS_H

#include "check.h"

#include "postern/header.h"
#include "postern/trace.h"

#include <string.h>

/* One address as the tables write it: bytes outside ! to ~ and \ as \ooo. */
static inline void
add_escaped(struct buf *out, struct span s)
{
	if (out->n > 0)
		assert_true(buf_addc(out, ' '));
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < '!' || c > '~' || c == '\\')
			assert_true(buf_addf(out, "\\%03o", c));
		else
			assert_true(buf_addc(out, (char)c));
	}
}

static inline void
add_list(struct buf *out, const struct address_list *list)
{
	AUTO(buf_done) struct buf one = BUF_MAX(1 << 22);

	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].kind != ADDRESS_FULL)
			continue;
		buf_clear(&one);
		assert_true(address_print(&one, &list->v[i]));
		add_escaped(out, buf_span(&one));
	}
}

/* What we make of one field, as the tables spell it. */
static inline void
answer_field(struct buf *out, struct span header, struct span body)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 25);
	struct address_list list;
	struct address a;
	struct trace_received received;

	address_list_init(&list, &arena, ADDRESS_LIST_MAX);
	if (span_eq(header, SPAN("message-id"))) {
		struct span id = trace_message_id(&arena, body);

		if (id.n > 0)
			add_escaped(out, id);
		return;
	}
	if (span_eq(header, SPAN("received-for")))
		trace_read(body, &list, &received);
	else if (!span_eq(header, SPAN("return-path")))
		address_read(&list, body);
	else if (trace_return_path(&arena, body, &a) == TRACE_PATH_ADDRESS)
		list = (struct address_list){ .v = &a, .n = 1 };
	add_list(out, &list);
}

/* Is it one of the fields that name recipients? */
static inline bool
answers_recipients(const struct header_field *f)
{
	static const struct span names[] = {
		{ SPAN_INIT("To") },
		{ SPAN_INIT("Cc") },
		{ SPAN_INIT("Bcc") },
		{ SPAN_INIT("Resent-To") },
		{ SPAN_INIT("Resent-Cc") },
		{ SPAN_INIT("Resent-Bcc") },
		{ SPAN_INIT("Delivered-To") },
		{ SPAN_INIT("X-Original-To") },
		{ SPAN_INIT("X-Envelope-To") },
		{ SPAN_INIT("Envelope-To") },
		{ SPAN_INIT("Apparently-To") },
		{ SPAN_INIT("X-Apparently-To") },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (header_is(f, names[i]))
			return true;
	}
	return false;
}

/* The topmost Received whose "by" is that host, compared as domains are. */
static inline void
answer_by(struct buf *out, struct span block, struct span host)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 20);
	char want[ADDRESS_DOMAIN_MAX + 1], by[ADDRESS_DOMAIN_MAX + 1];
	struct header_scan scan;
	struct header_field f;

	assert_true(domain_canon(host, want));
	header_scan_init(&scan, block);
	while (header_next(&scan, &f)) {
		struct address_list list;
		struct trace_received received;

		address_list_init(&list, &arena, ADDRESS_LIST_MAX);
		if (!header_is(&f, SPAN("Received")))
			continue;
		trace_read(f.body, &list, &received);
		if (domain_canon(received.by, by) && strcmp(want, by) == 0) {
			add_list(out, &list);
			return;
		}
	}
}

#endif
