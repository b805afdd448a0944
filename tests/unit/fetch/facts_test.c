/* The X-Postern-Route line: what it says, and that nothing breaks out of it. */
#include "check.h"

#include "postern/buf.h"
#include "postern/log.h"
#include "postern/routing.h"

static const struct {
	struct recipients r;
	const char *line;
} cases[] = {
	{ { .level = 2, .source = { SPAN_INIT("X-Original-To") } },
			"X-Postern-Route: X-Original-To; rule=E1.2\r\n" },
	{ { .level = 5, .source = { SPAN_INIT("to-cc") } },
			"X-Postern-Route: to-cc; rule=E1.5\r\n" },
	{ { .source = { SPAN_INIT("account") } },
			"X-Postern-Route: account; rule=E0\r\n" },
	{ { .outcome = RECIPIENTS_HOLD,
			  .level = 7,
			  .reason = "no-recipients",
			  .source = { SPAN_INIT("fallback") } },
			"X-Postern-Route: none; reason=no-recipients\r\n" },
	{ { .outcome = RECIPIENTS_BADMAIL, .level = 7 },
			"X-Postern-Route: none; reason=no-recipients\r\n" },
	/* what cannot be a field's name is not shown */
	{ { .level = 2, .source = { SPAN_INIT("X\r\nBcc: eve@else.test") } },
			"X-Postern-Route: header; rule=E1.2\r\n" },
	{ { .level = 2, .source = { SPAN_INIT("X-\xc3\xa4") } },
			"X-Postern-Route: header; rule=E1.2\r\n" },
	{ { .level = 2, .source = { SPAN_INIT("X\0Y") } },
			"X-Postern-Route: header; rule=E1.2\r\n" },
	{ { .level = 2, .source = { SPAN_INIT("") } },
			"X-Postern-Route: header; rule=E1.2\r\n" },
	{ { .outcome = RECIPIENTS_FALLBACK, .reason = "a\nb" },
			"X-Postern-Route: none; reason=no-recipients\r\n" },
};

static void
the_line_says_source_and_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(buf_done) struct buf out = BUF_MAX(256);

		assert_true(routing_header_line(&cases[i].r, &out));
		if (!span_eq(buf_span(&out), span_of(cases[i].line)))
			fail_msg("case %zu: " SPAN_FMT, i, SPAN_ARG(buf_span(&out)));
	}
}

/* Every byte that a name may not hold, at every place; and names of every length. */
static void
no_byte_breaks_the_line(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		for (size_t at = 0; at < 3; at++) {
			AUTO(buf_done) struct buf out = BUF_MAX(256);
			char name[3] = { 'a', 'b', 'c' };
			struct recipients r = { .level = 2, .source = { name, 3 } };
			bool plain = c > ' ' && c <= '~' && c != ':' && c != ';';

			name[at] = (char)c;
			assert_true(routing_header_line(&r, &out));
			assert_int_equal(span_find(buf_span(&out), '\r'), out.n - 2);
			assert_int_equal(span_find(buf_span(&out), '\n'), out.n - 1);
			assert_int_equal(
					span_starts(buf_span(&out),
							SPAN("X-Postern-Route: header;")),
					!plain);
		}
	}
	char longer[300];
	for (size_t n = 1; n < sizeof(longer); n++) {
		AUTO(buf_done) struct buf out = BUF_MAX(256);
		struct recipients r = { .level = 2, .source = { longer, n } };

		longer[n - 1] = 'x';
		assert_true(routing_header_line(&r, &out));
		assert_true(out.n < 120);
	}
}

/* Each event gets the fields that its words name. */
static void
facts_have_their_fields(void **state)
{
	static const struct {
		struct recipients_fact fact;
		const char *words;
	} facts[] = {
		{ { 4035, { SPAN_INIT("X-Envelope-To") }, { 0 }, { 0 }, 0, 0 },
				"Envelope header X-Envelope-To missing in u1; To/Cc used." },
		{ { 4036, { SPAN_INIT("X-Original-To") }, { 0 }, { 0 }, 2, 0 },
				"Envelope header X-Original-To in u1 is outside the trusted zone or "
				"ambiguous (2 occurrences); ignored." },
		{ { 4038, { SPAN_INIT("addresses") }, { 0 }, { 0 }, 20000, 10000 },
				"Header address list of u1 has 20000 addresses, limit 10000." },
		{ { 4039, { SPAN_INIT("To") }, { SPAN_INIT("a@@b") }, { 0 }, 0, 0 },
				"Unparsable address in To of u1: a@@b." },
		{ { 4043, { 0 }, { SPAN_INIT("<>") }, { 0 }, 0, 0 },
				"No Return-Path in u1; envelope sender set to <>, notifications off." },
		{ { 4040, { SPAN_INIT("sales") }, { SPAN_INIT("Sales <x@y>") },
				  { SPAN_INIT("ann@z") }, 0, 0 },
				"Alias rule sales applied: Sales <x@y> -> ann@z." },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		AUTO(buf_done) struct buf out = BUF_MAX(1024);
		struct field fields[1 + ROUTING_FACT_FIELDS] = { f_str("uidl", "u1") };

		routing_fact_fields(&facts[i].fact, 0, fields + 1);
		(void)log_words(&out, facts[i].fact.event, fields);
		if (!span_eq(buf_span(&out), span_of(facts[i].words)))
			fail_msg("case %zu: " SPAN_FMT, i, SPAN_ARG(buf_span(&out)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_line_says_source_and_rule),
		cmocka_unit_test(no_byte_breaks_the_line),
		cmocka_unit_test(facts_have_their_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
