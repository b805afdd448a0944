/* The beginning and the end of what was said are kept, and nothing else gets in. */
#include "../../../src/fetch/ring.h"

#include <stdio.h>
#include <string.h>

#include "check.h"

static void
assert_text(const struct ring *r, const char *want)
{
	AUTO(buf_done) struct buf out = BUF_MAX(64 * 1024);

	assert_true(ring_print(r, &out));
	assert_string_equal(buf_cstr(&out), want);
}

static void
lines_carry_their_moment(void **state)
{
	struct ring r;

	(void)state;
	ring_init(&r, 1000);
	ring_add(&r, 1000, "S", SPAN("+OK ready"));
	ring_add(&r, 1047, "C", SPAN("CAPA\r\n"));
	ring_add(&r, 13345, "relay S", SPAN("250-one\r\n250 two\r\n"));
	ring_add(&r, 999, "S", SPAN(""));
	assert_text(&r,
			"0.000 S: +OK ready\n0.047 C: CAPA\n12.345 relay S: 250-one\n"
			"12.345 relay S: 250 two\n0.000 S: \n");
	ring_done(&r);
}

static void
bytes_that_a_terminal_obeys_do_not_get_in(void **state)
{
	struct ring r;

	(void)state;
	ring_init(&r, 0);
	ring_add(&r, 0, "S", SPAN("+OK \x1b]0;x\x07 \xe2\x80\xae \0 end"));
	assert_text(&r, "0.000 S: +OK ?]0;x? ??? ? end\n");
	ring_done(&r);
}

static void
the_middle_of_a_long_session_is_counted(void **state)
{
	enum { LINES = 100000 };
	AUTO(buf_done) struct buf out = BUF_MAX(64 * 1024);
	struct ring r;
	char line[40];

	(void)state;
	ring_init(&r, 0);
	for (int i = 0; i < LINES; i++) {
		int n = snprintf(line, sizeof(line), "RETR %d", i);
		ring_add(&r, 0, "C", (struct span){ line, (size_t)n });
	}
	assert_true(ring_print(&r, &out));
	assert_true(out.n <= 2 * RING_PART + 64);
	const char *text = buf_cstr(&out);
	assert_non_null(strstr(text, "C: RETR 0\n"));
	assert_non_null(strstr(text, "C: RETR 99999\n"));
	/* What is printed and what is counted are all the lines. */
	unsigned long long counted = 0, printed = 0;
	const char *at = strchr(text, '(');
	assert_int_equal(sscanf(at, "(%llu lines left out)", &counted), 1);
	for (at = text; (at = strstr(at, "RETR")); at++)
		printed++;
	assert_int_equal(counted + printed, LINES);
	ring_done(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_carry_their_moment),
		cmocka_unit_test(bytes_that_a_terminal_obeys_do_not_get_in),
		cmocka_unit_test(the_middle_of_a_long_session_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
