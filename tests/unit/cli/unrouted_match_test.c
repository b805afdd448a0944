/* What a rule would match, from headers of mail for nobody. */
#include "check.h"

#include <stdio.h>
#include <string.h>

#include "postern/aliasstore.h"
#include "unrouted_match.h"

static const struct {
	const char *header;
	enum unrouted_kind kind;
	const char *match;
} cases[] = {
	/* the list, whatever else there is */
	{ "To: x@else.test\r\nList-Id: Our list <news.else.test>\r\n\r\n",
			UNROUTED_LIST, "news.else.test" },
	{ "List-Id: news.else.test\r\n\r\n", UNROUTED_LIST, "news.else.test" },
	{ "List-Id: \"a <b> c\"\r\n <news.else.test>\r\n\r\n", UNROUTED_LIST,
			"news.else.test" },
	{ "List-Id: <>\r\nTo: x@else.test\r\n\r\n", UNROUTED_RECIPIENT, "x@else.test" },
	{ "List-Id: two words\r\nTo: x@else.test\r\n\r\n", UNROUTED_RECIPIENT,
			"x@else.test" },
	/* the first address that is not ours */
	{ "To: \"Sales\" <sales@Else.TEST>, b@else.test\r\n\r\n", UNROUTED_RECIPIENT,
			"sales@else.test" },
	{ "To: pop@contoso.test\r\nCc: (c) x@else.test\r\n\r\n", UNROUTED_RECIPIENT,
			"x@else.test" },
	{ "To: Sales\r\nCc: x@else.test\r\n\r\n", UNROUTED_RECIPIENT, "x@else.test" },
	/* the text of the first member of To */
	{ "To: Sales\r\n\r\n", UNROUTED_TEXT, "Sales" },
	{ "To: \"Sales  and\r\n  \\\"Support\\\"\"\r\nCc: y\r\n\r\n", UNROUTED_TEXT,
			"Sales and \"Support\"" },
	{ "To: The Sales Team;\r\n\r\n", UNROUTED_TEXT, "The Sales Team" },
	{ "To: Ann <pop@contoso.test>\r\n\r\n", UNROUTED_TEXT, "Ann" },
	{ "To: pop@contoso.test\r\n\r\n", UNROUTED_TEXT, "pop@contoso.test" },
	{ "To: =?utf-8?q?S=C3=A4les?=\r\n\r\n", UNROUTED_ENCODED, "" },
	/* nothing */
	{ "To: undisclosed-recipients:;\r\n\r\n", UNROUTED_NOTHING, "" },
	{ "Subject: x\r\n\r\nTo: x@else.test\r\n", UNROUTED_NOTHING, "" },
	{ "", UNROUTED_NOTHING, "" },
	{ "To: \r\n\r\n", UNROUTED_NOTHING, "" },
};

static void
the_first_that_serves_is_taken(void **state)
{
	static const struct span ours[] = { { SPAN_INIT("contoso.test") } };
	AUTO(arena_done) struct arena a = ARENA_MAX(4096);
	struct domains served;
	struct span bad;

	(void)state;
	assert_true(domains_init(&served, &a, ours, 1, &bad));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(buf_done) struct buf out = BUF_MAX(1024);
		enum unrouted_kind kind =
				unrouted_match(span_of(cases[i].header), &served, &out);

		if (kind != cases[i].kind ||
				!span_eq(buf_span(&out), span_of(cases[i].match)))
			fail_msg("case %zu: kind %d, \"" SPAN_FMT "\"", i, (int)kind,
					SPAN_ARG(buf_span(&out)));
	}
}

/* Nothing longer than a rule may hold is ever offered. */
static void
long_ones_are_nothing(void **state)
{
	static const char *const starts[] = { "List-Id: <", "To: ", "To: \"" };
	char header[2000];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		AUTO(buf_done) struct buf out = BUF_MAX(4096);
		size_t n = strlen(starts[i]);

		memset(header, 'x', sizeof(header));
		memcpy(header, starts[i], n);
		memcpy(header + 1990, ">\"\r\n\r\n", 7);
		assert_int_equal(unrouted_match(span_of(header), NULL, &out),
				UNROUTED_NOTHING);
		assert_int_equal(out.n, 0);
		header[n + ALIAS_MATCH_MAX] = '\0';
		assert_int_not_equal(unrouted_match(span_of(header), NULL, &out),
				UNROUTED_NOTHING);
		assert_int_equal(out.n, ALIAS_MATCH_MAX);
	}
}

static void
without_known_domains_any_address_serves(void **state)
{
	AUTO(buf_done) struct buf out = BUF_MAX(1024);

	(void)state;
	assert_int_equal(unrouted_match(SPAN("To: pop@contoso.test\r\n\r\n"), NULL,
					 &out),
			UNROUTED_RECIPIENT);
	assert_true(span_eq(buf_span(&out), SPAN("pop@contoso.test")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_that_serves_is_taken),
		cmocka_unit_test(long_ones_are_nothing),
		cmocka_unit_test(without_known_domains_any_address_serves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
