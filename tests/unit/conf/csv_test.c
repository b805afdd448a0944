#include "check.h"

#include <string.h>

#include "postern/buf.h"
#include "postern/csv.h"

struct sample {
	const char *text;
	/* every field as LINE:COLUMN[TEXT], "!" behind one with a fault, "/" at a line's end */
	const char *want;
};

static const struct sample samples[] = {
	{ "", "" },
	{ "\xef\xbb\xbf", "" },
	{ "a", "1:1[a]/" },
	{ "a\n", "1:1[a]/" },
	{ "a,b\r\nc,d\r\n", "1:1[a]1:3[b]/2:1[c]2:3[d]/" },
	{ "\xef\xbb\xbf"
	  "a,b",
			"1:1[a]1:3[b]/" },
	{ "a,\nb", "1:1[a]1:3[]/2:1[b]/" },
	{ ",", "1:1[]1:2[]/" },
	{ "\n\na", "1:1[]/2:1[]/3:1[a]/" },
	/* columns are characters */
	{ "\303\274,b", "1:1[\303\274]1:3[b]/" },
	/* quotes */
	{ "\"a,b\",c", "1:1[a,b]1:7[c]/" },
	{ "\"a\nb\",c", "1:1[a\nb]2:4[c]/" },
	{ "\"say \"\"x\"\"\",c", "1:1[say \"x\"]1:13[c]/" },
	{ "\"\",\"\"\"\"", "1:1[]1:4[\"]/" },
	/* a lone CR is no line end */
	{ "a\rb,c", "1:1[a\rb]1:5[c]/" },
	/* faults, and what stands behind them */
	{ "\"a", "1:1[a]!/" },
	{ "\"a\"b,c\nd", "1:1[a]!1:6[c]/2:1[d]/" },
	{ "a\"b,c", "1:1[a\"b]!1:5[c]/" },
	{ "\"", "1:1[]!/" },
};

static void
fields_have_their_text_and_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		AUTO(arena_done) struct arena a = ARENA_MAX(10000);
		AUTO(buf_done) struct buf got = BUF_MAX(10000);
		struct csv_field f;
		struct csv c;

		csv_init(&c, span_of(samples[i].text));
		while (csv_next(&c, &a, &f))
			assert_true(buf_addf(&got, "%u:%u[" SPAN_FMT "]%s%s",
					f.mark.line, f.mark.column, SPAN_ARG(f.text),
					f.fault ? "!" : "", f.last ? "/" : ""));
		assert_false(csv_next(&c, &a, &f));
		if (strcmp(buf_cstr(&got), samples[i].want) != 0)
			fail_msg("\"%s\": %s, not %s", samples[i].text, buf_cstr(&got),
					samples[i].want);
	}
}

static void
a_field_past_the_limit_is_a_fault(void **state)
{
	(void)state;
	struct arena none = ARENA_MAX(2);
	struct csv_field f;
	struct csv c;

	csv_init(&c, SPAN("\"a\"\"b\",c"));
	assert_true(csv_next(&c, &none, &f));
	assert_string_equal(f.fault, "the file is too large");
	assert_true(csv_next(&c, &none, &f));
	assert_true(span_eq(f.text, SPAN("c")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_have_their_text_and_place),
		cmocka_unit_test(a_field_past_the_limit_is_a_fault),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
