#include "check.h"

#include <string.h>

#include "postern/template.h"

struct expansion {
	const char *text;
	const char *alias, *given, *surname, *display;
	const char *local;
};

static const struct expansion expansions[] = {
	/* every code of the contract */
	{ "%m@x.test", "alee", "Ann", "Lee", "Ann Lee", "alee" },
	{ "%g.%s@x.test", "alee", "Ann", "Lee", "Ann Lee", "Ann.Lee" },
	{ "%d@x.test", "alee", "Ann", "Lee", "Ann Lee", "AnnLee" },
	{ "%1g%s@x.test", "alee", "Ann", "Lee", "", "ALee" },
	{ "%9g%2s@x.test", "alee", "Ann", "Lee", "", "AnnLe" },
	{ "%g.%1s@x.test", "alee", "Ann", "Lee", "", "Ann.L" },
	{ "%3m@x.test", "alee", "", "", "", "ale" },
	{ "%g%%%s@x.test", "alee", "Ann", "Lee", "", "Ann%Lee" },
	/* the initial is that of the second name, or of the only one */
	{ "%g.%i.%s@x.test", "a", "Mary Ann", "Lee", "", "MaryAnn.A.Lee" },
	{ "%i%s@x.test", "a", "Ann", "Lee", "", "ALee" },
	{ "%i%s@x.test", "a", "", "Lee", "", "Lee" },
	/* replacements hold for the values behind them, not for what is literal */
	{ "%r -%g.%s@x.test", "a", "Mary Ann", "van der Berg", "",
			"Mary-Ann.van-der-Berg" },
	{ "%g.%r-_%s-x@x.test", "a", "An-na", "Le-e", "", "An-na.Le_e-x" },
	{ "%r''%s@x.test", "a", "", "O'Neil", "", "ONeil" },
	{ "%rab%rbc%m@x.test", "aab", "", "", "", "ccc" },
	{ "%r\303\274u%s@x.test", "a", "", "M\303\274ller", "", "Muller" },
	{ "%r@-%m@x.test", "a@b", "", "", "", "a-b" },
	/* what may not stand there is left out */
	{ "%s@x.test", "a", "", "M\303\274ller", "", "Mller" },
	{ "%s@x.test", "a", "", "a\"b(c),d;e:f<g>h[i]j\\k@l", "", "abcdefghijkl" },
	{ "%s@x.test", "a", "", "a\001b\177c\377d", "", "abcd" },
	{ "%1g%s@x.test", "a", "\303\211lan", "Vital", "", "lVital" },
	/* dots */
	{ "%g.%s@x.test", "a", "", "Lee", "", "Lee" },
	{ "%g.%s@x.test", "a", "Ann", "", "", "Ann" },
	{ "%g.%s@x.test", "a", "J.", "Lee", "", "J.Lee" },
	{ "%m@x.test", "..a..b..", "", "", "", "a.b" },
	/* nothing comes of nothing */
	{ "%g.%s@x.test", "a", "", "", "", "" },
	{ "%s@x.test", "a", "", "\347\216\213", "", "" },
	/* a local part has 64 octets */
	{ "%s@x.test", "a", "",
			"0123456789012345678901234567890123456789012345678901234567890123456789",
			"",
			"0123456789012345678901234567890123456789012345678901234567890123" },
};

static void
templates_give_local_parts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(expansions) / sizeof(expansions[0]); i++) {
		const struct expansion *x = &expansions[i];
		const struct template_names names = { span_of(x->alias),
			span_of(x->given), span_of(x->surname), span_of(x->display) };
		char out[ADDRESS_LOCAL_MAX];
		size_t at;

		if (template_fault(span_of(x->text), &at))
			fail_msg("%s: %s", x->text,
					template_fault(span_of(x->text), &at));
		struct span got = { out,
			template_local(span_of(x->text), &names, out) };
		if (!span_eq(got, span_of(x->local)))
			fail_msg("%s: \"%.*s\", not \"%s\"", x->text, SPAN_ARG(got),
					x->local);
	}
	assert_true(span_eq(template_domain(SPAN("%r@-%m@x.test")), SPAN("x.test")));
}

struct bad {
	const char *text;
	size_t at;
	const char *want;
};

static const struct bad bads[] = {
	{ "ab%x@x.test", 2, "no code" },
	{ "%", 0, "before and a domain" },
	{ "@x.test", 0, "before and a domain" },
	{ "%m", 0, "before and a domain" },
	{ "%g%@x.test", 2, "nothing behind" },
	{ "%1i@x.test", 0, "a number stands before" },
	{ "%1@x.test", 0, "a number stands before" },
	{ "%0g@x.test", 0, "no code" },
	{ "%m%ra@x.test", 2, "two characters" },
	{ "%m%r@x.test", 2, "two characters" },
	{ "%M@x.test", 0, "no code" },
	{ "a b@x.test", 1, "may not stand" },
	{ "a\303\274@x.test", 1, "may not stand" },
};

static void
faults_have_their_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		size_t at = 99;
		const char *why = template_fault(span_of(bads[i].text), &at);
		if (!why || !strstr(why, bads[i].want) || at != bads[i].at)
			fail_msg("%s: %s at %zu", bads[i].text, why ? why : "no fault",
					at);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(templates_give_local_parts),
		cmocka_unit_test(faults_have_their_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
