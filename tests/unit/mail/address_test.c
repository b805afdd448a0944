#include "check.h"

#include "postern/address.h"

#include <stdlib.h>
#include <string.h>

/* The members of a field as one text: addresses printed and joined by a blank,
 * bare names as ~name, what cannot be read as !, words as ?, a loose address
 * with a leading *. */
static void
read_all(struct buf *out, struct span body)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 26);
	struct address_list list;

	buf_clear(out);
	address_list_init(&list, &arena, ADDRESS_LIST_MAX);
	address_read(&list, body);
	for (size_t i = 0; i < list.n; i++) {
		const struct address *a = &list.v[i];

		if (i > 0)
			assert_true(buf_addc(out, ' '));
		if (a->kind == ADDRESS_BAD)
			assert_true(buf_addc(out, '!'));
		else if (a->kind == ADDRESS_TEXT)
			assert_true(buf_addc(out, '?'));
		else if (a->kind == ADDRESS_NAME)
			assert_true(buf_addc(out, '~') && address_print(out, a));
		else
			assert_true((!a->loose || buf_addc(out, '*')) &&
					address_print(out, a));
	}
}

static void
fields_are_read_as_people_meant_them(void **state)
{
	static const struct {
		const char *body, *want;
	} rows[] = {
		{ "a@b.c", "a@b.c" },
		{ "a@b.c, d@e.f", "a@b.c d@e.f" },
		{ "", "" },
		{ "<>", "" },
		/* the words of POP3.md section 5 that other readers get wrong */
		{ "Doe, John <a@b.c>", "~Doe a@b.c" },
		{ "a@b.c d@e.f", "a@b.c d@e.f" },
		{ "<a@b.c", "a@b.c" },
		{ "\"a b\"@c.d", "\"a b\"@c.d" },
		{ "a@b.c (Joe) , d@e.f", "a@b.c d@e.f" },
		{ "a@b.c; d@e.f", "a@b.c d@e.f" },
		{ "a@b.c,, d@e.f", "a@b.c d@e.f" },
		{ "<a@b.c> <d@e.f>", "a@b.c d@e.f" },
		{ "a@b.c, <>, d@e.f", "a@b.c d@e.f" },
		{ "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]" },
		{ "<@r1,@r2:a@b.c>", "a@b.c" },
		{ "G: a@b, c@d", "a@b c@d" },
		{ "Joe: x <a@b.c>", "a@b.c" },
		{ "mailto:a@b.c", "a@b.c" },
		{ "<mailto:a@b.c>", "a@b.c" },
		{ "a..b@c.d", "a..b@c.d" },
		{ "a.@docomo", "a.@docomo" },
		{ ".a@b", ".a@b" },
		/* comments and blanks everywhere */
		{ "u @ d . x", "u@d.x" },
		{ "a(x)@(y)b(z).c", "a@b.c" },
		{ "a@b (never closed, c@d", "a@b" },
		{ "(a \\) b, c@d) e@f", "e@f" },
		{ "a@b (x (y) c@d), e@f", "a@b e@f" },
		{ "a .\r\n b@c", "a.b@c" },
		{ "ann@contoso.\r\n test", "ann@contoso.test" },
		/* quotes */
		{ "\"john.doe\"@x", "john.doe@x" },
		{ "\"a\\\"b\"@x", "\"a\\\"b\"@x" },
		{ "\"a\".\"b c\"@x", "\"a.b c\"@x" },
		{ "\"never closed <a@b>, c@d", "a@b c@d" },
		{ "\"a, b; <x@y>\" <c@d>", "c@d" },
		{ "\"\"@x", "\"\"@x" },
		/* what stands before an angle is display text */
		{ "\"victim@ours\" <x@else>", "x@else" },
		{ "victim@ours <x@else>", "x@else" },
		{ "a@b, victim@ours d@e <x@else>", "a@b x@else" },
		{ "victim@ours <x@y@z>", "!" },
		{ "Ann <<a@b>>", "a@b" },
		{ "a@b>", "a@b" },
		{ ">a@b", "a@b" },
		{ "a@b<", "a@b" },
		{ "Ann <a@b, c@d", "a@b c@d" },
		{ "<a@b here>", "a@b" },
		{ "<here a@b>", "!" },
		{ "'a@b' <a@b>", "a@b" },
		{ "'a@b.c'", "a@b.c" },
		/* groups */
		{ "undisclosed-recipients:;", "" },
		{ "Undisclosed recipients: ;, a@b", "a@b" },
		{ "A: a@b, c@d;, e@f", "a@b c@d e@f" },
		{ "A: B: a@b;;", "a@b" },
		/* broken members do not hide sound ones */
		{ "a@b@c, d@e", "! d@e" },
		{ "@x, d@e", "! d@e" },
		{ "x@, d@e", "! d@e" },
		{ "a@\"b\", d@e", "! d@e" },
		{ "a@b..c, d@e", "! d@e" },
		{ "<@x>, d@e", "! d@e" },
		{ "<a@b:25>, d@e", "! d@e" },
		{ "a\\@b, d@e", "! d@e" },
		{ "a@[1.2, d@e", "! d@e" },
		{ "a@b\001, d@e", "! d@e" },
		{ "\"a\001\"@b, d@e", "! d@e" },
		{ "<><><><>a@b", "a@b" },
		/* encoded words are never decoded */
		{ "=?utf-8?Q?a=40b=2Ec?=", "~=?utf-8?Q?a=40b=2Ec?=" },
		{ "=?utf-8?Q?Lee=2C_Ann?= <a@b>", "a@b" },
		{ "=?utf-8?Q?x_:)?= <a@b>", "a@b" },
		{ "=?utf-8?Q?a?=@b", "=?utf-8?Q?a?=@b" },
		/* routing hints in local parts mean nothing */
		{ "a%ours@else", "a%ours@else" },
		{ "else!a@ours", "else!a@ours" },
		{ "\"a@ours\"@else", "\"a@ours\"@else" },
		/* names, words */
		{ "ann", "~ann" },
		{ "<ann>", "~ann" },
		{ "Ann Lee", "?" },
		{ "mailing list x@y", "*x@y" },
		{ "x@y via 10.0.0.1; Fri, 10 Dec 2010", "x@y ~Fri ?" },
		{ "a@b.", "a@b" },
		{ "\303\244nn@b\303\274cher.test", "\303\244nn@b\303\274cher.test" },
	};
	AUTO(buf_done) struct buf got = BUF_MAX(4096);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		read_all(&got, span_of(rows[i].body));
		if (!span_eq(buf_span(&got), span_of(rows[i].want)))
			fail_msg("%s: got " SPAN_FMT ", want %s", rows[i].body,
					SPAN_ARG(buf_span(&got)), rows[i].want);
	}
}

static void
display_text_and_member_are_kept(void **state)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);
	struct address_list list;

	(void)state;
	address_list_init(&list, &arena, 10);
	address_read(&list,
			SPAN(" \"Sales, EU\" <a@b>, c@d (Bob), Sales Team, G: Eve <e@f>;"));
	assert_int_equal(list.n, 4);
	assert_true(span_eq(list.v[0].text, SPAN("\"Sales, EU\"")));
	assert_true(span_eq(list.v[0].raw, SPAN("\"Sales, EU\" <a@b>")));
	assert_true(span_eq(list.v[1].text, SPAN("Bob")));
	assert_int_equal(list.v[2].kind, ADDRESS_TEXT);
	assert_true(span_eq(list.v[2].text, SPAN("Sales Team")));
	assert_true(span_eq(list.v[3].text, SPAN("Eve")));
}

static void
a_list_keeps_at_most_its_limit_and_counts_on(void **state)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);
	struct address_list list;

	(void)state;
	address_list_init(&list, &arena, 2);
	address_read(&list, SPAN("a@b, c@d, e@f, g@h"));
	assert_int_equal(list.n, 2);
	assert_int_equal(list.total, 4);
	/* revoked ones do not count */
	address_list_init(&list, &arena, 2);
	address_read(&list, SPAN("a@b c@d e@f <g@h>"));
	assert_int_equal(list.n, 1);
	assert_int_equal(list.total, 1);
}

static bool
repeat(struct buf *b, const char *s, size_t n)
{
	while (n-- > 0) {
		if (!buf_add(b, span_of(s)))
			return false;
	}
	return true;
}

static void
depth_and_length_are_harmless(void **state)
{
	static const struct {
		const char *head, *many;
		size_t n;
		const char *tail, *want;
	} rows[] = {
		{ "", "(", 50000, "", "" },
		{ "", "((((()))))", 50000, "a@b", "a@b" },
		{ "", ",", 500000, "a@b", "a@b" },
		{ "", "<", 500000, "a@b", "a@b" },
		{ "", "\\\"", 500000, ",a@b", "? a@b" },
		{ "\"", "\\\\", 300000, "\" <a@b>", "a@b" },
		{ "x@", "[", 300000, ",a@b", "! a@b" },
		{ "", "G:", 300000, "a@b", "a@b" },
		{ "<", "@r,", 300000, "@r:a@b>", "a@b" },
		{ "<", "@r:", 300000, ",a@b", "! a@b" },
		{ "", "<>", 300000, "a@b", "a@b" },
	};
	AUTO(buf_done) struct buf body = BUF_MAX(1 << 23);
	AUTO(buf_done) struct buf got = BUF_MAX(4096);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		buf_clear(&body);
		assert_true(repeat(&body, rows[i].head, 1));
		assert_true(repeat(&body, rows[i].many, rows[i].n));
		assert_true(repeat(&body, rows[i].tail, 1));
		read_all(&got, buf_span(&body));
		if (!span_eq(buf_span(&got), span_of(rows[i].want)))
			fail_msg("row %zu: got " SPAN_FMT ", want %s", i,
					SPAN_ARG(buf_span(&got)), rows[i].want);
	}
}

static void
envelopes_take_only_what_is_harmless(void **state)
{
	static const struct {
		const char *text, *why; /* NULL: allowed */
	} rows[] = {
		{ "a@b.c", NULL },
		{ "a..b@c", NULL },
		{ "\"a,b\"@c", NULL },
		{ "a@[192.0.2.1]", NULL },
		{ "a@[IPv6:2001:db8::1]", NULL },
		{ "a@b\303\274cher.test", NULL },
		{ "\303\244@b", NULL },
		{ "\351@b", "has a local part that is not UTF-8" },
		{ "\"a b\"@c", "has a byte that no envelope may hold" },
		{ "\"a\tb\"@c", "has a byte that no envelope may hold" },
		{ "\"a>b\"@c", "has a byte that no envelope may hold" },
		{ "\"a<b\"@c", "has a byte that no envelope may hold" },
		{ "\"\"@c", "has an empty local part" },
		{ "a@b?x", "has no usable domain" },
		{ "a@-b", "has no usable domain" },
		{ "a@b-", "has no usable domain" },
		{ "a@b-.c", "has no usable domain" },
		{ "a@[1.2.3]", "has no usable domain" },
		{ "a@[IPv6:x]", "has no usable domain" },
		{ "a@contoso\343\200\202test", "has no usable domain" },
		{ "a@\357\275\203ontoso.test", "has no usable domain" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b",
				NULL },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b",
				"has a local part over 64 octets" },
		{ "ann", "has no domain" },
	};
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct address_list list;

		address_list_init(&list, &arena, 2);
		address_read(&list, span_of(rows[i].text));
		assert_int_equal(list.n, 1);
		const char *why = address_refused(&list.v[0]);
		if (why ? !rows[i].why || strcmp(why, rows[i].why) != 0
			: rows[i].why != NULL)
			fail_msg("%s: got %s, want %s", rows[i].text,
					why ? why : "allowed",
					rows[i].why ? rows[i].why : "allowed");
	}
}

static void
configured_addresses_are_read_strictly(void **state)
{
	static const struct {
		const char *text, *wire; /* NULL: refused */
	} rows[] = {
		{ "jane@contoso.test", "jane@contoso.test" },
		{ "Jane@CONTOSO.Test.", "Jane@contoso.test" },
		{ "\"jane\"@contoso.test", "jane@contoso.test" },
		{ "a..b@contoso.test", "\"a..b\"@contoso.test" },
		{ "\"a\\\"b\"@x", "\"a\\\"b\"@x" },
		{ "jane@b\303\274cher.test", "jane@xn--bcher-kva.test" },
		{ "jane", NULL },
		{ "", NULL },
		{ " jane@x", NULL },
		{ "jane@x ", NULL },
		{ "<jane@x>", NULL },
		{ "jane@x, bob@x", NULL },
		{ "jane@x (Jane)", NULL },
		{ "g:jane@x", NULL },
		{ "jane@x@y", NULL },
		{ "jane @x", NULL },
		{ "\"ja\nne\"@x", NULL },
		{ "\"ja ne\"@x", NULL },
	};
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct address a;
		bool ok = address_parse(&arena, span_of(rows[i].text), &a);

		if (ok != (rows[i].wire != NULL))
			fail_msg("%s: %s", rows[i].text, ok ? "taken" : "refused");
		buf_clear(&wire);
		if (ok &&
				(!address_wire(&wire, &a) ||
						!span_eq(buf_span(&wire),
								span_of(rows[i].wire))))
			fail_msg("%s: got " SPAN_FMT, rows[i].text,
					SPAN_ARG(buf_span(&wire)));
	}
}

static void
keys_are_equal_where_addresses_are(void **state)
{
	static const char *const same[][2] = {
		{ "ANN@Contoso.TEST", "ann@contoso.test" },
		{ "\"john.doe\"@x", "john.doe@x" },
		{ "a@x.", "a@x" },
		{ "a@B\303\234CHER.test", "a@xn--bcher-kva.test" },
	};
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		AUTO(buf_done) struct buf x = BUF_MAX(ADDRESS_SIZE);
		AUTO(buf_done) struct buf y = BUF_MAX(ADDRESS_SIZE);
		struct address a, b;

		assert_true(address_parse(&arena, span_of(same[i][0]), &a));
		assert_true(address_parse(&arena, span_of(same[i][1]), &b));
		assert_true(address_key(&x, &a) && address_key(&y, &b));
		assert_true(span_eq(buf_span(&x), buf_span(&y)));
	}
}

static void
sets_of_domains_match_exactly_or_below(void **state)
{
	const struct span entries[] = {
		SPAN("Contoso.test."),
		SPAN("*.branch.test"),
		SPAN("b\303\274cher.test"),
		SPAN("[192.0.2.1]"),
	};
	static const struct {
		const char *domain;
		bool have;
	} rows[] = {
		{ "contoso.test", true },
		{ "CONTOSO.TEST.", true },
		{ "sub.contoso.test", false },
		{ "evilcontoso.test", false },
		{ "contoso.test.evil.test", false },
		{ "contoso.test..", false },
		{ ".contoso.test", false },
		{ "contoso.test?x", false },
		{ "contoso\343\200\202test", false },
		{ "branch.test", false },
		{ "a.branch.test", true },
		{ "a.b.branch.test", true },
		{ "xbranch.test", false },
		{ "xn--bcher-kva.test", true },
		{ "bu\314\210cher.test",
				false }, /* not NFC: idn2 refuses or maps, never a guess */
		{ "[192.0.2.1]", true },
		{ "[192.0.2.2]", false },
		{ "", false },
	};
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);
	struct domains set;
	struct span bad;

	(void)state;
	assert_true(domains_init(&set, &arena, entries, 4, &bad));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (i == 14)
			continue; /* either answer names the same domain */
		if (domains_have(&set, span_of(rows[i].domain)) != rows[i].have)
			fail_msg("%s", rows[i].domain);
	}
	const struct span wrong[] = { SPAN("ok.test"), SPAN("not ok") };
	assert_false(domains_init(&set, &arena, wrong, 2, &bad));
	assert_true(span_eq(bad, SPAN("not ok")));
}

/* Random fields made of the bytes that matter: printed and read again, every
 * address is the same, and no control byte gets through. */
static void
printing_and_reading_again_gives_the_same(void **state)
{
	static const char alphabet[] =
			"ab.@\"\\(),;:<>[] \t\r\n'=?\0\001\303\251\377-1";
	unsigned seed = 20240229;
	AUTO(buf_done) struct buf text = BUF_MAX(1024);
	AUTO(buf_done) struct buf again = BUF_MAX(1024);

	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);
		struct address_list list, second;
		char body[24];
		size_t n = 1 + (size_t)rand_r(&seed) % sizeof(body);

		for (size_t i = 0; i < n; i++)
			body[i] = alphabet[(size_t)rand_r(&seed) %
					(sizeof(alphabet) - 1)];
		address_list_init(&list, &arena, 100);
		address_read(&list, (struct span){ body, n });
		for (size_t i = 0; i < list.n; i++) {
			const struct address *a = &list.v[i];

			if (a->kind != ADDRESS_FULL)
				continue;
			buf_clear(&text);
			assert_true(address_print(&text, a));
			address_list_init(&second, &arena, 100);
			address_read(&second, buf_span(&text));
			assert_int_equal(second.n, 1);
			assert_int_equal(second.v[0].kind, ADDRESS_FULL);
			assert_true(span_eq(second.v[0].local, a->local));
			assert_true(span_eq(second.v[0].domain, a->domain));
			if (address_refused(a))
				continue;
			buf_clear(&again);
			assert_true(address_wire(&again, a));
			for (size_t k = 0; k < again.n; k++)
				assert_true((unsigned char)again.p[k] > 0x20 &&
						again.p[k] != 0x7f);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_read_as_people_meant_them),
		cmocka_unit_test(display_text_and_member_are_kept),
		cmocka_unit_test(a_list_keeps_at_most_its_limit_and_counts_on),
		cmocka_unit_test(depth_and_length_are_harmless),
		cmocka_unit_test(envelopes_take_only_what_is_harmless),
		cmocka_unit_test(configured_addresses_are_read_strictly),
		cmocka_unit_test(keys_are_equal_where_addresses_are),
		cmocka_unit_test(sets_of_domains_match_exactly_or_below),
		cmocka_unit_test(printing_and_reading_again_gives_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
