#include "check.h"

#include "postern/buf.h"
#include "postern/header.h"

#include <string.h>

static void
fields_are_found_whole(void **state)
{
	static const struct {
		enum header_kind kind;
		const char *name, *body;
	} want[] = {
		{ HEADER_MBOX, "", "" },
		{ HEADER_FIELD, "To", " a@b,\r\n\tc@d" },
		{ HEADER_JUNK, "", "" }, /* no colon, with its fold */
		{ HEADER_FIELD, "Subject", " x" },
		{ HEADER_JUNK, "", "" }, /* BOM */
		{ HEADER_FIELD, "Cc", "" },
		{ HEADER_FIELD, "From", " me" },
		{ HEADER_JUNK, "", "" }, /* blank first in the name */
		{ HEADER_FIELD, "X", "a\rb" },
	};
	const struct span block = SPAN("From a@b Mon Jan  1 00:00:00 2024\r\n"
				       "To: a@b,\r\n\tc@d\r\n"
				       "no colon\r\n folded: x\r\n"
				       "Subject : x\n"
				       "\357\273\277To: x\r\n"
				       "Cc:\r\n"
				       "From: me\r\n"
				       ": x\r\n"
				       "X:a\rb\r\n"
				       "\r\nTo: body\r\n");
	struct header_scan s;
	struct header_field f;
	size_t total = 0;

	(void)state;
	header_scan_init(&s, block);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		assert_true(header_next(&s, &f));
		assert_int_equal(f.kind, want[i].kind);
		assert_true(span_eq(f.name, span_of(want[i].name)));
		assert_true(span_eq(f.body, span_of(want[i].body)));
		assert_ptr_equal(f.raw.p, block.p + total);
		total += f.raw.n;
	}
	assert_false(header_next(&s, &f));
	assert_false(header_next(&s, &f));
	assert_int_equal(total + 2, header_length(block));
}

static void
a_header_may_end_anywhere(void **state)
{
	static const struct {
		const char *text;
		size_t n, fields;
	} rows[] = {
		{ "", 0, 0 },
		{ "\r\n", 2, 0 },
		{ "\n", 1, 0 },
		{ "\n\n", 1, 0 },
		{ "\r", 1, 1 },
		{ "a:b", 3, 1 },
		{ "a:b\n", 4, 1 },
		{ "a:b\n\n", 5, 1 },
		{ "a:b\r\n\r\n", 7, 1 },
		{ "a:b\n\r\n", 6, 1 },
		{ "a:b\n\r\r\nc:d\n\n", 12, 3 }, /* CR CR LF is no empty line */
		{ "a:b\n \n\n", 7, 1 }, /* a fold of nothing but a blank */
		{ " x\n\n", 4, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct span text = span_of(rows[i].text);
		struct header_scan s;
		struct header_field f;
		size_t fields = 0;

		assert_int_equal(header_length(text), rows[i].n);
		header_scan_init(&s, text);
		while (header_next(&s, &f))
			fields++;
		assert_int_equal(fields, rows[i].fields);
		/* in two pieces, cut at every place */
		for (size_t cut = 0; cut <= text.n; cut++) {
			struct header_end e = { .found = false };
			size_t n = header_end_feed(&e, span_first(text, cut));

			n += header_end_feed(&e, span_skip(text, cut));
			assert_int_equal(n, rows[i].n);
		}
	}
}

static void
what_is_too_long_is_cut_at_a_member(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(3 * HEADER_MAX);
	struct header_scan s;
	struct header_field f;

	(void)state;
	assert_true(buf_add(&b, SPAN("To: a@b, ")));
	while (b.n < HEADER_FIELD_MAX + 100)
		assert_true(buf_add(&b, SPAN("victim@contoso.testament")));
	assert_true(buf_add(&b, SPAN("\r\nCc: c@d\r\n")));
	header_scan_init(&s, buf_span(&b));
	assert_true(header_next(&s, &f));
	assert_true(f.cut);
	assert_true(span_eq(f.body, SPAN(" a@b")));
	assert_true(header_next(&s, &f));
	assert_false(f.cut);
	assert_int_equal(s.cut_fields, 1);

	/* The field that crosses the end of what is looked at. */
	buf_clear(&b);
	while (b.n < HEADER_MAX - 64)
		assert_true(buf_add(&b,
				SPAN("X: 0123456789012345678901234567890123456789\r\n")));
	assert_true(buf_add(&b, SPAN("To: a@b, ")));
	while (b.n < HEADER_MAX + 64)
		assert_true(buf_add(&b, SPAN("victim@contoso.testament")));
	header_scan_init(&s, buf_span(&b));
	while (header_next(&s, &f)) {
		if (header_is(&f, SPAN("to")))
			assert_true(f.cut && span_eq(f.body, SPAN(" a@b")));
	}
	assert_int_equal(s.cut_fields, 1);
}

static void
the_first_of_a_name_is_found(void **state)
{
	struct header_field f;

	(void)state;
	assert_true(header_find(SPAN("A: 1\nb: 2\nB: 3\n\nC: 4\n"), SPAN("B"), &f));
	assert_true(span_eq(f.body, SPAN(" 2")));
	assert_false(header_find(SPAN("A: 1\n\nC: 4\n"), SPAN("C"), &f));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_found_whole),
		cmocka_unit_test(a_header_may_end_anywhere),
		cmocka_unit_test(what_is_too_long_is_cut_at_a_member),
		cmocka_unit_test(the_first_of_a_name_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
