/* The one reader of addresses in commands. */
#include "postern/smtp_path.h"

#include <string.h>

#include "check.h"
#include "postern/buf.h"
#include "postern/must.h"

static void
test_forward_paths(void **state)
{
	static const struct {
		const char *path, *mailbox, *domain; /* NULL: refused */
	} cases[] = {
		{ "<u@d.test>", "u@d.test", "d.test" },
		{ "<U.x+y@D.Test>", "U.x+y@D.Test", "D.Test" },
		{ "<Postmaster>", "Postmaster", "" },
		{ "<postmaster@d>", "postmaster@d", "d" },
		{ "<postmasters>", NULL, NULL },
		{ "<>", NULL, NULL },
		{ "<u>", NULL, NULL },
		{ "<@d>", NULL, NULL },
		{ "<u@>", NULL, NULL },
		{ "u@d", NULL, NULL },
		{ "<u@d", NULL, NULL },
		/* R1 to R3: what looks like routing is a local part, routes are thrown away */
		{ "<u%x@d>", "u%x@d", "d" },
		{ "<x!u@d>", "x!u@d", "d" },
		{ "<\"u@x\"@d>", "\"u@x\"@d", "d" },
		{ "<\"u@x\">", NULL, NULL },
		{ "<u@x@d>", NULL, NULL },
		{ "<@h:u@x>", "u@x", "x" },
		{ "<@[192.0.2.1]:u@x>", "u@x", "x" },
		{ "<@a,@b.c:u@x>", "u@x", "x" },
		{ "<@a,b:u@x>", NULL, NULL },
		{ "<@a:@b:u@x>", NULL, NULL },
		{ "<@a,:u@x>", NULL, NULL },
		{ "<@a:>", NULL, NULL },
		{ "<@:u@x>", NULL, NULL },
		{ "<u@[192.0.2.1]>", "u@[192.0.2.1]", "[192.0.2.1]" },
		{ "<u@[IPv6:::1]>", "u@[IPv6:::1]", "[IPv6:::1]" },
		{ "<u@[ipv6:2001:db8::192.0.2.1]>", "u@[ipv6:2001:db8::192.0.2.1]",
				"[ipv6:2001:db8::192.0.2.1]" },
		/* R4 */
		{ "<u@d.>", NULL, NULL },
		{ "<u@.d>", NULL, NULL },
		{ "<u@d..test>", NULL, NULL },
		{ "<u@-d>", NULL, NULL },
		{ "<u@d->", NULL, NULL },
		{ "<u@d:25>", NULL, NULL },
		{ "<u@d/x>", NULL, NULL },
		{ "<u@d test>", NULL, NULL },
		{ "<u@(c)d>", NULL, NULL },
		{ "<u@\"d\">", NULL, NULL },
		{ "<u@d\\>", NULL, NULL },
		{ "<u@[192.0.2.256]>", NULL, NULL },
		{ "<u@[192.0.2]>", NULL, NULL },
		{ "<u@[192.0.2.01]>", NULL, NULL },
		{ "<u@[0x7f.1]>", NULL, NULL },
		{ "<u@[IPv6:1::2::3]>", NULL, NULL },
		{ "<u@[IPv6:1:2:3:4:5:6:7]>", NULL, NULL },
		{ "<u@[IPv6:1:2:3:4:5:6:7:8:9]>", NULL, NULL },
		{ "<u@[IPv6:1:192.0.2.1]>", NULL, NULL },
		{ "<u@[IPv6:1:2:3:4:5:6:192.0.2.1]>", "u@[IPv6:1:2:3:4:5:6:192.0.2.1]",
				"[IPv6:1:2:3:4:5:6:192.0.2.1]" },
		{ "<u@[IPv6:12345::]>", NULL, NULL },
		{ "<u@[IPv6::]>", NULL, NULL },
		{ "<u@[]>", NULL, NULL },
		{ "<u@[d>", NULL, NULL },
		{ "<u@2130706433>", "u@2130706433", "2130706433" },
		{ "<u@a_b.test>", "u@a_b.test", "a_b.test" },
		/* R5, R7, S13 */
		{ "<u@d><v@d>", "u@d", "d" },
		{ "<u@d,v@d>", NULL, NULL },
		{ "<a b@d>", NULL, NULL },
		{ "<;sleep 66;@d>", NULL, NULL },
		{ "<|id@d>", "|id@d", "d" },
		{ "<.u@d>", NULL, NULL },
		{ "<u.@d>", NULL, NULL },
		{ "<u..v@d>", NULL, NULL },
		{ "<\"a b\"@d>", "\"a b\"@d", "d" },
		{ "<\"a\\\"b\\\\\"@d>", "\"a\\\"b\\\\\"@d", "d" },
		{ "<\"a\\\"@d>", NULL, NULL },
		{ "<\"a\nb\"@d>", NULL, NULL },
		{ "<\"a\"b@d>", NULL, NULL },
		{ "<\"a>@d>", NULL, NULL },
		{ "<\"\">@d>", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span s = span_of(cases[i].path);
		struct smtp_path path;
		bool ok = smtp_path_cut(&s, false, &path);

		if (ok != !!cases[i].mailbox)
			fail_msg("%s: %s", cases[i].path, ok ? "taken" : "refused");
		if (!ok)
			continue;
		assert_true(span_eq(path.mailbox, span_of(cases[i].mailbox)));
		assert_true(span_eq(path.domain, span_of(cases[i].domain)));
		/* What was accepted is read the same again. */
		struct smtp_path again;
		assert_true(smtp_mailbox_parse(path.mailbox, &again));
		assert_true(span_eq(again.domain, path.domain));
		assert_true(span_eq(again.local, path.local));
	}
}

/* RFC 6531 3.3: what is not ASCII, and is told to be so. */
static void
test_utf8_paths(void **state)
{
#define LABEL_60 \
	"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc" \
	"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc" \
	"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	static const struct {
		const char *what, *path;
		bool taken;
	} cases[] = {
		{ "a local part of two octets", "<\xc3\xa9@d.test>", true },
		{ "ASCII and the rest, dots between",
				"<a.\xc3\xa9.\xe4\xb8\xad@d.test>", true },
		{ "four octets", "<\xf0\x9f\x93\xa8@d.test>", true },
		{ "in quotes", "<\"a \xc3\xa9\"@d.test>", true },
		{ "behind a backslash only ASCII may stand", "<\"a\\\xc3\xa9\"@d.test>",
				false },
		{ "a U-label",
				"<u@b\xc3\xbc"
				"cher.test>",
				true },
		{ "one in the route that is thrown away",
				"<@b\xc3\xbc"
				"cher.test:u@d.test>",
				true },
		{ "a label longer than 63 octets whose A-label is shorter",
				"<u@" LABEL_60 "\xc3\xbc\xc3\xbc.test>", true },
		{ "a look-alike that UTS 46 turns into plain ASCII",
				"<u@\xef\xbd\x84.test>", false },
		{ "an ideographic full stop", "<u@a\xe3\x80\x82test>", false },
		{ "half a character", "<\xc3@d.test>", false },
		{ "half a character in a label", "<u@a\xc3.test>", false },
		{ "half a character in a route", "<@a\xc3.test:u@d.test>", false },
		{ "Latin-1", "<\xe9t\xe9@d.test>", false },
		{ "a form that is too long", "<\xc0\xaf@d.test>", false },
		{ "half of a surrogate pair", "<\xed\xa0\x80@d.test>", false },
		{ "beyond Unicode", "<\xf4\x90\x80\x80@d.test>", false },
		{ "64 octets", "<" LABEL_60 "abcd@d.test>", true },
		{ "65 octets, though fewer characters", "<" LABEL_60 "abcde@d.test>",
				false },
	};
	struct smtp_path path, again;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span s = span_of(cases[i].path);
		bool ok = smtp_path_cut(&s, false, &path);

		if (ok != cases[i].taken)
			fail_msg("%s: %s", cases[i].what, ok ? "taken" : "refused");
		if (!ok)
			continue;
		assert_true(path.utf8);
		assert_true(smtp_mailbox_parse(path.mailbox, &again));
		assert_true(again.utf8 ||
				span_starts(span_of(cases[i].path), SPAN("<@")));
	}
	struct span plain = SPAN("<u@d.test>");
	assert_true(smtp_path_cut(&plain, false, &path));
	assert_false(path.utf8);
	assert_false(smtp_domain_valid(SPAN("b\xc3\xbc"
					    "cher.test")));
}

static void
test_reverse_paths(void **state)
{
	struct span null = SPAN("<> SIZE=3"), bare = SPAN("<postmaster>"),
		    nul = { "<a\0b@c>", 7 };
	struct smtp_path path;

	(void)state;
	assert_true(smtp_path_cut(&null, true, &path));
	assert_int_equal(path.mailbox.n, 0);
	assert_true(span_eq(null, SPAN(" SIZE=3")));
	assert_false(smtp_path_cut(&bare, true, &path));
	assert_false(smtp_path_cut(&nul, true, &path));
	assert_false(smtp_mailbox_parse(SPAN(""), &path));
	assert_false(smtp_mailbox_parse(SPAN("u@d>"), &path));
	assert_false(smtp_mailbox_parse(SPAN("<u@d>"), &path));
}

static bool
fits(size_t local, size_t domain, size_t route)
{
	AUTO(buf_done) struct buf b = BUF_MAX(2000);
	struct smtp_path path;

	MUST(buf_addc(&b, '<'));
	if (route > 0) {
		MUST(buf_addc(&b, '@'));
		for (size_t i = 0; i < route; i++)
			MUST(buf_addc(&b, i % 60 == 59 ? '.' : 'r'));
		MUST(buf_addc(&b, ':'));
	}
	for (size_t i = 0; i < local; i++)
		MUST(buf_addc(&b, 'l'));
	MUST(buf_addc(&b, '@'));
	for (size_t i = 0; i < domain; i++)
		MUST(buf_addc(&b, i % 60 == 59 && i + 1 < domain ? '.' : 'd'));
	MUST(buf_addc(&b, '>'));

	struct span s = buf_span(&b);
	return smtp_path_cut(&s, false, &path);
}

/* S11 */
static void
test_limits(void **state)
{
	(void)state;
	assert_true(fits(64, 20, 0));
	assert_false(fits(65, 20, 0));
	assert_true(fits(1, 252, 0)); /* path of 256 with its <> */
	assert_false(fits(1, 253, 0));
	assert_true(fits(10, 20, 200));
	assert_false(fits(10, 20, 240));
	assert_true(smtp_domain_valid(SPAN("a.b-c.test")));
	assert_false(smtp_domain_valid(SPAN("")));
	assert_false(smtp_domain_valid(SPAN("a.b ")));
	/* labels */
	assert_true(smtp_domain_valid(SPAN(
			"123456789012345678901234567890123456789012345678901234567890123.x")));
	assert_false(smtp_domain_valid(SPAN(
			"1234567890123456789012345678901234567890123456789012345678901234.x")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward_paths),
		cmocka_unit_test(test_utf8_paths),
		cmocka_unit_test(test_reverse_paths),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
