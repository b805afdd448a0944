/* Whether a unique-id still stands for the message it stood for (edge 6). */
#include "../../../src/fetch/print.h"
#include "check.h"

#define FIELDS_OF(id) \
	"From: a@b\r\nDate: Tue, 1 Dec 2020 08:00:00 +0000\r\nSubject: x\r\nMessage-ID: <" id \
	">\r\n"
#define RECEIVED "Received: by mx id 1\r\n"
#define HEAD RECEIVED FIELDS_OF("1@b") "\r\n"

/* What older states have: 44 bits of the four fields, and the size. */
static const uint64_t old_print = UINT64_C(0xbdf65a5a020003e8);
static const uint64_t old_unnamed[] = { UINT64_C(0x7a1a0a68dfb00064),
	UINT64_C(0xf88dff5b3c300064) };

static void
the_whole_header_and_the_size_decide(void **state)
{
	static const struct {
		const char *says;
		struct span header;
		uint64_t octets;
		enum pop_likeness is;
	} rows[] = {
		{ "nothing", { SPAN_INIT(HEAD) }, 1000, PRINT_SAME },
		{ "another size", { SPAN_INIT(HEAD) }, 1001, PRINT_HEADER },
		{ "a size that differs by a megabyte", { SPAN_INIT(HEAD) },
				1000 + (1 << 20), PRINT_SAME },
		{ "another Message-ID", { SPAN_INIT(RECEIVED FIELDS_OF("2@b") "\r\n") },
				1000, PRINT_OTHER },
		{ "another Received",
				{ SPAN_INIT("Received: by mx id 2\r\n" FIELDS_OF(
						"1@b") "\r\n") },
				1000, PRINT_OTHER },
		{ "a field more", { SPAN_INIT("X-New: 1\r\n" HEAD) }, 1000,
				PRINT_OTHER },
		{ "a field less", { SPAN_INIT(FIELDS_OF("1@b") "\r\n") }, 1000,
				PRINT_OTHER },
		{ "the mark of a server", { SPAN_INIT("Status: RO\r\n" HEAD) }, 1012,
				PRINT_SAME },
		{ "a mark that LIST does not count",
				{ SPAN_INIT("X-UIDL: abc\r\n" HEAD) }, 1000,
				PRINT_SAME },
		{ "the mark of a client", { SPAN_INIT("X-Evolution: 1\r\n" HEAD) },
				1016, PRINT_SAME },
		{ "a mark that covers as much as marks may",
				{ SPAN_INIT("Status: RO\r\n" HEAD) }, 500, PRINT_SAME },
		{ "one octet more", { SPAN_INIT("Status: RO\r\n" HEAD) }, 499,
				PRINT_HEADER },
		{ "several marks",
				{ SPAN_INIT("From x Mon\r\nX-Mozilla-Status: 0001\r\n"
					    "X-Keywords:\r\n\tNonJunk\r\n" HEAD) },
				1059, PRINT_SAME },
		{ "a mark, and an empty line more",
				{ SPAN_INIT("Status: RO\r\n" HEAD) }, 1014,
				PRINT_SAME },
		{ "a mark, and another size", { SPAN_INIT("Status: RO\r\n" HEAD) },
				3000, PRINT_HEADER },
		{ "a mark, and a smaller size", { SPAN_INIT("Status: RO\r\n" HEAD) },
				300, PRINT_HEADER },
	};
	uint64_t print = pop_print(SPAN(HEAD), 1000);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (pop_print_compare(print, rows[i].header, rows[i].octets) !=
				rows[i].is)
			fail_msg("%s", rows[i].says);
}

/* LIST says less than the mark itself takes. */
static void
a_mark_is_no_larger_than_its_message(void **state)
{
	const struct span marked = SPAN("Status: RO\r\n" HEAD);
	uint64_t print = pop_print(SPAN(HEAD), 4);

	(void)state;
	assert_int_equal(pop_print_compare(print, marked, 12), PRINT_SAME);
	assert_int_equal(pop_print_compare(print, marked, 5), PRINT_HEADER);
}

static void
the_first_of_equal_fields_counts(void **state)
{
	(void)state;
	assert_int_equal(pop_print_fields(pop_print(SPAN("Subject: a\r\n\r\n"), 1)),
			pop_print_fields(pop_print(
					SPAN("Subject: a\r\nSubject: b\r\n\r\n"), 1)));
}

static void
no_print_is_the_same_as_nothing(void **state)
{
	(void)state;
	assert_int_equal(pop_print_compare(0, SPAN(HEAD), 1000), PRINT_OTHER);
	assert_int_equal(pop_print_compare(0, SPAN(""), 0), PRINT_OTHER);
	assert_true(pop_print_size_is(0, 1000)); /* nothing says otherwise */
	assert_true(pop_print(SPAN(""), 0) != 0);
}

/* An older state knows the four fields, and that is enough where one of them is an
 * identifier. */
static void
an_old_print_is_believed_with_a_message_id_only(void **state)
{
	static const char *const without[] = { "From: a@b\r\nSubject: x\r\n\r\n",
		"From: a@b\r\nSubject: x\r\nMessage-ID: <>\r\n\r\n" };

	(void)state;
	assert_int_equal(pop_print_compare(old_print, SPAN(HEAD), 1000), PRINT_SAME);
	assert_int_equal(pop_print_compare(old_print, SPAN("X-New: 1\r\n" HEAD), 1000),
			PRINT_SAME);
	assert_int_equal(pop_print_compare(old_print, SPAN(HEAD), 999), PRINT_HEADER);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pop_print_compare(old_unnamed[i], span_of(without[i]),
						 100),
				PRINT_OTHER);
}

static void
storms_are_told_by_what_no_server_changes(void **state)
{
	uint64_t print = pop_print(SPAN(HEAD), 1000);

	(void)state;
	assert_int_equal(pop_print_fields(print),
			pop_print_fields(pop_print(SPAN("X-New: 1\r\n" HEAD), 7)));
	assert_int_equal(pop_print_fields(print), pop_print_fields(old_print));
	assert_int_not_equal(pop_print_fields(print),
			pop_print_fields(pop_print(
					SPAN(RECEIVED FIELDS_OF("2@b") "\r\n"), 7)));
}

static void
what_tells_a_message(void **state)
{
	(void)state;
	assert_true(pop_print_tells(SPAN("Message-ID: <1@b>\r\n\r\n")));
	assert_true(pop_print_tells(SPAN("Date: Tue\r\n\r\n")));
	assert_true(pop_print_tells(SPAN("Received: by mx\r\n\r\n")));
	assert_false(pop_print_tells(
			SPAN("Message-ID: <>\r\nDate: \r\nTo: a@b\r\n\r\n")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_header_and_the_size_decide),
		cmocka_unit_test(a_mark_is_no_larger_than_its_message),
		cmocka_unit_test(the_first_of_equal_fields_counts),
		cmocka_unit_test(no_print_is_the_same_as_nothing),
		cmocka_unit_test(an_old_print_is_believed_with_a_message_id_only),
		cmocka_unit_test(storms_are_told_by_what_no_server_changes),
		cmocka_unit_test(what_tells_a_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
