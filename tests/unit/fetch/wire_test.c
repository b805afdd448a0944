/* Bounded reading of status lines and listings, whatever the server sends. */
#include <stdio.h>
#include <stdlib.h>

#include "../../../src/fetch/listing.h"
#include "check.h"
#include "memory.h"

enum { HUGE_LINE = 1000000 };

static void
test_status_lines_at_every_split(void **state)
{
	static const struct {
		struct span in;
		enum pop_answer answer;
		const char *text;
	} rows[] = {
		{ { SPAN_INIT("+OK ready  \r\n") }, POP_OK, "ready" },
		{ { SPAN_INIT("+OK\r\n") }, POP_OK, "" },
		{ { SPAN_INIT("-ERR [AUTH] no\r\n") }, POP_ERR, "[AUTH] no" },
		{ { SPAN_INIT("+OKAY\r\n") }, POP_ODD, "+OKAY" },
		{ { SPAN_INIT("+ok\r\n") }, POP_ODD, "+ok" },
		{ { SPAN_INIT("\r\n") }, POP_ODD, "" },
		{ { SPAN_INIT("* OK\r\n") }, POP_ODD, "* OK" },
		{ { SPAN_INIT("+OK no end") }, POP_LOST, "" },
		{ { SPAN_INIT("") }, POP_LOST, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t piece = 1; piece <= rows[i].in.n + 1; piece++) {
			struct memory m = { rows[i].in, piece };
			mailstream *s = memory_stream(&m);
			struct pop_wire w;
			struct span text;

			pop_init(&w, s);
			assert_int_equal(pop_status(&w, &text), rows[i].answer);
			assert_true(span_eq(text, span_of(rows[i].text)));
			mailstream_close(s);
		}
	}
}

static void
test_odd_status_lines(void **state)
{
	char *line = malloc(HUGE_LINE);
	struct memory m = { SPAN("+OK x\0y\r\n"), 3 };
	mailstream *s = memory_stream(&m);
	struct pop_wire w;
	struct span text;

	(void)state;
	pop_init(&w, s);
	assert_int_equal(pop_status(&w, &text), POP_ODD);
	mailstream_close(s);

	assert_non_null(line);
	memset(line, 'x', HUGE_LINE);
	memcpy(line, "+OK ", 4);
	line[HUGE_LINE - 1] = '\n';
	m = (struct memory){ { line, HUGE_LINE }, 4096 };
	s = memory_stream(&m);
	pop_init(&w, s);
	assert_int_equal(pop_status(&w, &text), POP_ODD);
	assert_true(text.n <= WIRE_LINE);
	mailstream_close(s);
	free(line);
}

static void
test_bare_lf_is_believed_only_from_the_first_line_on(void **state)
{
	struct memory m = { SPAN("+OK\r\n+OK forged\n"), 100 };
	mailstream *s = memory_stream(&m);
	struct pop_wire w;
	struct span text;

	(void)state;
	pop_init(&w, s);
	assert_int_equal(pop_status(&w, &text), POP_OK);
	assert_int_equal(pop_status(&w, &text), POP_ODD);
	mailstream_close(s);

	m = (struct memory){ SPAN("+OK\n+OK too\n"), 100 };
	s = memory_stream(&m);
	pop_init(&w, s);
	assert_int_equal(pop_status(&w, &text), POP_OK);
	assert_int_equal(pop_status(&w, &text), POP_OK);
	assert_true(w.lenient);
	mailstream_close(s);
}

static void
test_the_rest_is_handed_back(void **state)
{
	struct memory m = { SPAN("+OK one\r\n+OK two\r\n"), 100 };
	mailstream *s = memory_stream(&m);
	struct pop_wire w;
	struct span text;

	(void)state;
	pop_init(&w, s);
	assert_int_equal(pop_status(&w, &text), POP_OK);
	assert_true(pop_early(&w));
	pop_sync(&w);
	assert_int_equal(s->read_buffer_len, 9);
	assert_memory_equal(s->read_buffer, "+OK two\r\n", 9);
	assert_int_equal(pop_status(&w, &text), POP_OK);
	assert_true(span_eq(text, SPAN("two")));
	assert_false(pop_early(&w));
	mailstream_close(s);
}

/* 0: fine, 4005: refused, 1: the connection ended. */
static int
read_listing(struct pop_listing *l, const char *sizes, const char *uids, size_t piece)
{
	struct memory m = { span_of(sizes), piece };
	mailstream *s = memory_stream(&m);
	struct pop_wire w;
	struct err err = { 0 };
	bool ok;

	pop_listing_init(l);
	pop_init(&w, s);
	ok = pop_listing_read_sizes(l, &w, &err);
	if (ok && uids) {
		m.left = span_of(uids);
		ok = pop_listing_read_uids(l, &w, &err);
		if (ok)
			pop_listing_sort(l);
	}
	mailstream_close(s);
	return ok ? 0 : err.event ? err.event : 1;
}

static void
test_sizes(void **state)
{
	/* POP3.md 1.3: each of these crashed or fooled somebody. */
	static const struct {
		const char *in;
		int want;
		size_t n;
	} rows[] = {
		{ ".\r\n", 0, 0 },
		{ "1 100\r\n2 200 words\r\n.\r\n", 0, 2 },
		{ "1 18446744073709551616\r\n.\r\n", 4005, 0 },
		{ "1 9223372036854775807\r\n.\r\n", 0, 1 },
		{ "0 100\r\n.\r\n", 4005, 0 },
		{ "2 100\r\n.\r\n", 4005, 0 },
		{ "1 100\r\n1000 100\r\n.\r\n", 4005, 1 },
		{ "1 100\r\n1 100\r\n.\r\n", 4005, 1 },
		{ "200000000 1\r\n.\r\n", 4005, 0 },
		{ "2147483648 1\r\n.\r\n", 4005, 0 },
		{ "4294967297 1\r\n.\r\n", 4005, 0 },
		{ "-1 100\r\n.\r\n", 4005, 0 },
		{ "1 -5\r\n.\r\n", 4005, 0 },
		{ "1\r\n.\r\n", 4005, 0 },
		{ "1 \r\n.\r\n", 4005, 0 },
		{ "one hundred\r\n.\r\n", 4005, 0 },
		{ "\r\n.\r\n", 0, 0 }, /* an empty row is passed over */
		{ "\r\n1 100\r\n\r\n2 200\r\n.\r\n", 0, 2 },
		{ "1 100\r\n", 1, 1 },
		{ "1 100\r\n.\r", 1, 1 },
		{ "", 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t piece = 1; piece < 40; piece++) {
			struct pop_listing l;

			assert_int_equal(read_listing(&l, rows[i].in, NULL, piece),
					rows[i].want);
			assert_int_equal(l.n, rows[i].n);
			pop_listing_done(&l);
		}
	}
}

static void
test_unique_ids(void **state)
{
	static const struct {
		const char *in;
		int want;
		size_t unnamed, twins;
	} rows[] = {
		{ "1 a\r\n2 b\r\n3 c\r\n.\r\n", 0, 0, 0 },
		{ "1 a\r\n2 a\r\n3 c\r\n.\r\n", 0, 2, 2 },
		{ "1 a\r\n2 a\r\n3 a\r\n.\r\n", 0, 3, 3 },
		{ "1 \r\n2\r\n3 c\r\n.\r\n", 0, 2, 0 },
		{ "1 ../../x\r\n2 %s%n\r\n3 \x1b[2J\r\n.\r\n", 0, 1, 0 },
		{ "1 a b\r\n2 b\r\n3 \xe9\r\n.\r\n", 0, 2, 0 },
		{ "1 a\r\n2 b\r\n.\r\n", 4005, 0, 0 },
		{ "1 a\r\n3 b\r\n2 c\r\n.\r\n", 4005, 0, 0 },
		{ "1 a\r\n1 a\r\n2 b\r\n.\r\n", 4005, 0, 0 },
		{ "1 a\r\n2 b\r\n3 c\r\n4 d\r\n.\r\n", 4005, 0, 0 },
		{ "0 a\r\n.\r\n", 4005, 0, 0 },
		{ "-1 a\r\n.\r\n", 4005, 0, 0 },
		{ "4294967297 a\r\n.\r\n", 4005, 0, 0 },
		{ "1 a\r\n2 b\r\n3 c\r\n", 1, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t piece = 1; piece < 20; piece++) {
			struct pop_listing l;

			assert_int_equal(read_listing(&l, "1 1\r\n2 2\r\n3 3\r\n.\r\n",
							 rows[i].in, piece),
					rows[i].want);
			if (rows[i].want == 0) {
				assert_int_equal(l.unnamed, rows[i].unnamed);
				assert_int_equal(l.twins, rows[i].twins);
			}
			pop_listing_done(&l);
		}
	}
}

static void
test_long_unique_ids_name_nothing(void **state)
{
	static const size_t lengths[] = { 70, 71, 255, 256, 1000, 2000, HUGE_LINE };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		char *in = malloc(lengths[i] + 64);
		struct pop_listing l;
		size_t n = lengths[i];

		assert_non_null(in);
		memcpy(in, "1 ", 2);
		memset(in + 2, 'u', n);
		memcpy(in + 2 + n, "\r\n.\r\n", 6);
		assert_int_equal(read_listing(&l, "1 1\r\n.\r\n", in, 4096), 0);
		assert_int_equal(l.unnamed, n > LISTING_UID ? 1 : 0);
		assert_int_equal(pop_listing_uid(&l, 0).n, n > LISTING_UID ? 0 : n);
		pop_listing_done(&l);
		free(in);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_lines_at_every_split),
		cmocka_unit_test(test_odd_status_lines),
		cmocka_unit_test(test_bare_lf_is_believed_only_from_the_first_line_on),
		cmocka_unit_test(test_the_rest_is_handed_back),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_unique_ids),
		cmocka_unit_test(test_long_unique_ids_name_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
