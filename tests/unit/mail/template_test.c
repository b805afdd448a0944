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
	/* F9: a letter with a usual spelling in ASCII is spelled so */
	{ "%g.%s@x.test", "a", "J\303\274rgen", "M\303\274ller", "", "Jurgen.Muller" },
	{ "%g.%s@x.test", "a", "S\303\270ren", "\303\205ngstr\303\266m", "",
			"Soren.Angstrom" },
	{ "%g.%s@x.test", "a", "Zo\303\253", "Stra\303\237", "", "Zoe.Strass" },
	{ "%g.%s@x.test", "a", "\305\201ukasz", "Dvo\305\231\303\241k", "",
			"Lukasz.Dvorak" },
	{ "%s@x.test", "a", "", "Nguy\341\273\205n", "", "Nguyen" },
	{ "%s@x.test", "a", "", "Mu\314\210ller", "", "Muller" },
	{ "%r\303\274v%s@x.test", "a", "", "M\303\274ller", "", "Mvller" },
	{ "%s@x.test", "a", "", "a\"b(c),d;e:f<g>h[i]j\\k@l", "", "abcdefghijkl" },
	{ "%s@x.test", "a", "", "a\001b\177c\377d", "", "abcd" },
	{ "%1g%s@x.test", "a", "\303\211lan", "Vital", "", "EVital" },
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
			span_of(x->given), span_of(x->surname), span_of(x->display),
			false };
		char out[ADDRESS_LOCAL_MAX];
		size_t at;

		if (template_fault(span_of(x->text), &at))
			fail_msg("%s: %s", x->text,
					template_fault(span_of(x->text), &at));
		struct span got = { out,
			template_local(span_of(x->text), &names, out, NULL) };
		if (!span_eq(got, span_of(x->local)))
			fail_msg("%s: \"%.*s\", not \"%s\"", x->text, SPAN_ARG(got),
					x->local);
	}
	assert_true(span_eq(template_domain(SPAN("%r@-%m@x.test")), SPAN("x.test")));
}

static void
letters_are_spelled_as_the_policy_says(void **state)
{
	static const struct {
		const char *surname, *plain, *german;
		bool left_out;
	} rows[] = {
		{ "M\303\274ller", "Muller", "Mueller", false },
		{ "Mu\314\210ller", "Muller", "Mueller", false },
		{ "\303\226zt\303\274rk", "Ozturk", "Oeztuerk", false },
		{ "Bj\303\266rk\303\251n", "Bjorken", "Bjoerken", false },
		{ "Wei\303\237", "Weiss", "Weiss", false },
		{ "Lee\347\216\213", "Lee", "Lee", true },
		{ "\320\230\320\262", "", "", true },
		{ "van der Berg", "vanderBerg", "vanderBerg", false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int german = 0; german < 2; german++) {
			const struct template_names names = {
				.surname = span_of(rows[i].surname),
				.german = german,
			};
			char out[ADDRESS_LOCAL_MAX];
			bool left_out;
			struct span got = { out,
				template_local(SPAN("%s@x.test"), &names, out,
						&left_out) };

			assert_true(span_eq(got,
					span_of(german ? rows[i].german
						       : rows[i].plain)));
			assert_int_equal(left_out, rows[i].left_out);
		}
	}
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
		cmocka_unit_test(letters_are_spelled_as_the_policy_says),
		cmocka_unit_test(faults_have_their_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
