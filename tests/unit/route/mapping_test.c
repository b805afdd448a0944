/* What addresses become, and whom texts and lists lead to: E6 and level 6 of E1. */
#include "check.h"

#include "postern/directory.h"
#include "postern/header.h"
#include "postern/recipients.h"
#include "postern/words.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct arena setup_arena = { .max = 1 << 20 };
static struct domains served;
static struct directory *people;

static const struct {
	const char *match;
	const char *to[3];
} configured[] = {
	{ "sales", { "ann@contoso.test", "bob@contoso.test" } },
	{ "Vertrieb M\303\274nchen", { "muc@contoso.test" } },
	{ "staff.lists.else.test", { "staff@contoso.test" } },
	{ "news@else.test", { "ann@contoso.test" } },
	{ "info@contoso.test", { "cid@contoso.test" } },
	{ "info@contoso.test", { "never@contoso.test" } },
	{ "*@old.test", { "*@contoso.test" } },
	{ "*@catch.test", { "dora@contoso.test" } },
	{ "broken@", { "ann@contoso.test" } },
	{ "nobody", { "not an address" } },
};

enum { CONFIGURED = sizeof(configured) / sizeof(configured[0]) };

static const struct recipients_rules *
rules_ready(struct arena *arena)
{
	static struct span to[CONFIGURED][3];
	struct recipients_rule v[CONFIGURED];
	size_t left_out;

	for (size_t i = 0; i < CONFIGURED; i++) {
		v[i] = (struct recipients_rule){ span_of(configured[i].match), to[i],
			0 };
		while (v[i].n < 3 && configured[i].to[v[i].n]) {
			to[i][v[i].n] = span_of(configured[i].to[v[i].n]);
			v[i].n++;
		}
	}
	const struct recipients_rules *rules =
			recipients_rules_new(arena, v, CONFIGURED, &left_out);
	assert_non_null(rules);
	assert_int_equal(left_out, 2);
	return rules;
}

static int
setup(void **state)
{
	const struct span entries[] = { SPAN("contoso.test"), SPAN("old.test"),
		SPAN("catch.test") };
	const struct policy_domain domains[] = {
		{ .domain = SPAN("contoso.test"),
				.policy = SPAN("p"),
				.subaddress = SPAN("+-") },
	};
	const struct directory_row rows[] = {
		{ .alias = SPAN("sales"), .primary = SPAN("sales@contoso.test") },
		{ .alias = SPAN("eve"), .primary = SPAN("eve@contoso.test") },
	};
	struct span bad;

	(void)state;
	people = directory_new(&(struct directory_rows){ .recipients = rows,
			.n_recipients = 2,
			.domains = domains,
			.n_domains = 1 });
	return domains_init(&served, &setup_arena, entries, 3, &bad) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	directory_free(people);
	arena_done(&setup_arena);
	return 0;
}

#define ISP "Received: from a.test by mx.isp.test; Mon\n"

static const struct {
	const char *says;
	bool known; /* with the directory */
	const char *header, *want;
} cases[] = {
	/* exact */
	{ "an address of ours has a rule; the first of two counts", false,
			"To: Info@contoso.test\n", "to-cc 5: cid@contoso.test" },
	{ "no rule: it stays as it is", false, "To: Dan@contoso.test\n",
			"to-cc 5: Dan@contoso.test" },
	/* without the tag */
	{ "the rule of the address without its tag", false, "To: info+x@contoso.test\n",
			"to-cc 5: cid@contoso.test" },
	{ "a tag that no rule cares for stays", false, "To: dan+x@contoso.test\n",
			"to-cc 5: dan+x@contoso.test" },
	{ "a hyphen parts nothing unless the policy says so", false,
			"To: info-x@contoso.test\n", "to-cc 5: info-x@contoso.test" },
	{ "the policy's delimiters count", true, "To: info-x+y@contoso.test\n",
			"to-cc 5: cid@contoso.test" },
	{ "an empty user before the tag is none", false, "To: +x@contoso.test\n",
			"to-cc 5: +x@contoso.test" },
	/* a domain for another */
	{ "a domain alias keeps user and tag", false, "To: Ann+t@OLD.test\n",
			"to-cc 5: Ann+t@contoso.test" },
	{ "what it gives is not asked again", false, "To: info@old.test\n",
			"to-cc 5: info@contoso.test" },
	/* texts */
	{ "the user part is the text", false, "To: SALES@contoso.test\n",
			"to-cc 5: ann@contoso.test bob@contoso.test" },
	{ "words of the display text", false,
			"To: \"Our Sales Team\" <office@contoso.test>\n",
			"to-cc 5: ann@contoso.test bob@contoso.test" },
	{ "an encoded display text", false,
			"To: =?utf-8?q?Vertrieb_M=C3=BCnchen?= <x@contoso.test>\n",
			"to-cc 5: muc@contoso.test" },
	{ "part of a word is not the word", false,
			"To: Presales <office@contoso.test>\n",
			"to-cc 5: office@contoso.test" },
	{ "an envelope header has it as user part", false,
			"X-Original-To: sales@contoso.test\n" ISP,
			"X-Original-To 2: ann@contoso.test bob@contoso.test" },
	{ "somebody known is not mapped by a text", true, "To: sales@contoso.test\n",
			"to-cc 5: sales@contoso.test" },
	{ "nor with a tag", true, "To: sales+q1@contoso.test\n",
			"to-cc 5: sales+q1@contoso.test" },
	{ "but an exact rule goes before all", true, "To: info@contoso.test\n",
			"to-cc 5: cid@contoso.test" },
	/* wildcard */
	{ "what nothing else maps", false, "To: any@catch.test\n",
			"to-cc 5: dora@contoso.test" },
	{ "a text goes before it", false, "To: sales@catch.test\n",
			"to-cc 5: ann@contoso.test bob@contoso.test" },
	{ "once for two addresses", false, "To: a@catch.test, b@catch.test\n",
			"to-cc 5: dora@contoso.test" },
	/* once */
	{ "the same recipient by rule and by himself", false,
			"To: ann@contoso.test, sales@contoso.test, BOB@contoso.test\n",
			"to-cc 5: ann@contoso.test bob@contoso.test" },
	/* level 6 */
	{ "a display text beside a foreign address", false, "To: Sales <x@else.test>\n",
			"alias 6: ann@contoso.test bob@contoso.test" },
	{ "a foreign address with a rule", false, "Cc: News@ELSE.test\n",
			"alias 6: ann@contoso.test" },
	{ "a bare name", false, "To: sales\n",
			"alias 6: ann@contoso.test bob@contoso.test" },
	{ "the user part of a foreign address is nobody of ours", false,
			"To: sales@else.test\n",
			"fallback 7: postmaster@contoso.test" },
	{ "a List-Id", false,
			"To: all@else.test\nList-Id: Staff <Staff.Lists.else.test>\n",
			"list-id 6: staff@contoso.test" },
	{ "part of a List-Id is not the List-Id", false,
			"To: all@else.test\nList-Id: <x.staff.lists.else.test>\n",
			"fallback 7: postmaster@contoso.test" },
	{ "a List-Post address", false,
			"To: all@else.test\nList-Post: <mailto:news@else.test?subject=x>\n",
			"list-id 6: ann@contoso.test" },
	{ "List-Post: NO", false, "To: all@else.test\nList-Post: NO (closed)\n",
			"fallback 7: postmaster@contoso.test" },
	{ "no rule is asked where an address was found", false,
			"To: Sales <x@else.test>, dan@contoso.test\n",
			"to-cc 5: dan@contoso.test" },
	{ "a resent block replaces To here too", false,
			ISP "Resent-To: x@else.test\nTo: Sales <x@else.test>\n",
			"fallback 7: postmaster@contoso.test" },
	{ "and is asked itself", false,
			ISP "Resent-To: Sales <x@else.test>\nTo: y@else.test\n",
			"alias 6: ann@contoso.test bob@contoso.test" },
	/* List-Id for strangers */
	{ "a stranger's address on list mail", true,
			"To: old.staff@contoso.test\nList-Id: <staff.lists.else.test>\n",
			"to-cc 5: staff@contoso.test" },
	{ "not where the provider names him", true,
			"X-Original-To: old.staff@contoso.test\n" ISP
			"List-Id: <staff.lists.else.test>\n",
			"X-Original-To 2: old.staff@contoso.test" },
	{ "not where nobody is known at all", false,
			"To: old.staff@contoso.test\nList-Id: <staff.lists.else.test>\n",
			"to-cc 5: old.staff@contoso.test" },
};

static struct recipients_account
account(const struct recipients_rules *rules, bool known)
{
	return (struct recipients_account){
		.name = SPAN("contoso"),
		.served = &served,
		.policy = &served,
		.first_domain = SPAN("contoso.test"),
		.trusted_hops = 1,
		.provider = SPAN("pop.isp.test"),
		.rules = rules,
		.directory = known ? people : NULL,
	};
}

static void
addresses_are_mapped_in_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf got = BUF_MAX(1024);
		struct recipients_account a =
				account(rules_ready(&arena), cases[i].known);
		struct recipients r, again;

		recipients_decide(&a, span_of(cases[i].header), &arena, &r);
		assert_true(buf_addf(
				&got, SPAN_FMT " %u:", SPAN_ARG(r.source), r.level));
		for (size_t k = 0; k < r.n; k++)
			assert_true(buf_addc(&got, ' ') && buf_add(&got, r.v[k]));
		if (!span_eq(buf_span(&got), span_of(cases[i].want)))
			fail_msg("%s: got " SPAN_FMT, cases[i].says,
					SPAN_ARG(buf_span(&got)));

		/* What the record keeps leads to the same. */
		assert_false(r.fields_cut);
		recipients_decide(&a, r.fields, &arena, &again);
		assert_int_equal(again.n, r.n);
		assert_int_equal(again.level, r.level);
		for (size_t k = 0; k < r.n; k++)
			assert_true(span_eq(again.v[k], r.v[k]));
	}
}

/* Who a list's rule gives is no answer where the server itself said whom it is for. */
static void
no_list_speaks_for_whom_the_server_told(void **state)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	const struct recipients_envelope told = { SPAN("old.staff@contoso.test"),
		SPAN("x@else.test") };
	struct recipients_account a = account(rules_ready(&arena), true);
	struct recipients r;

	(void)state;
	recipients_decide_told(&a, &told,
			SPAN(ISP "To: all@else.test\n"
				 "List-Id: <staff.lists.else.test>\n"),
			&arena, &r);
	assert_int_equal(r.level, 1);
	assert_int_equal(r.n, 1);
	assert_true(span_eq(r.v[0], told.to));
}

/* A field of a list is read once, whatever comments and quotes in it never end. */
static void
a_long_list_field_is_no_burden(void **state)
{
	static const char *const names[] = { "List-Id:", "List-Post:" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf header = BUF_MAX(HEADER_MAX);
		struct recipients_account a = account(rules_ready(&arena), false);
		struct recipients r;

		assert_true(buf_addf(&header, "To: x@else.test\n%s", names[i]));
		while (header.n < HEADER_FIELD_MAX)
			assert_true(buf_add(&header, SPAN("(<>")));
		assert_true(buf_addc(&header, '\n'));
		clock_t began = clock();
		recipients_decide(&a, buf_span(&header), &arena, &r);
		assert_in_range(clock() - began, 0, 5 * CLOCKS_PER_SEC);
		assert_int_equal(r.outcome, RECIPIENTS_FALLBACK);
	}
}

static void
rules_are_told(void **state)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	struct recipients_account a = account(rules_ready(&arena), false);
	struct recipients r;

	(void)state;
	recipients_decide(&a, SPAN("To: Sales Team <x@else.test>, y@else.test\n"),
			&arena, &r);
	assert_int_equal(r.facts[0].event, 4040);
	assert_true(span_eq(r.facts[0].name, SPAN("sales")));
	assert_true(span_eq(r.facts[0].text, SPAN("Sales Team <x@else.test>")));
	assert_true(span_eq(r.facts[0].more, SPAN("ann@contoso.test")));
	assert_true(r.candidates[0].kept);
	assert_string_equal(r.candidates[0].why,
			"E6: rule \"sales\" gives ann@contoso.test and 1 more");
	assert_false(r.candidates[1].kept);
	assert_string_equal(r.candidates[1].why, "E11: not in the account's domains");
}

/* What a provider puts around the user, and where it appends its field. */
static void
envelope_fields_are_read_as_configured(void **state)
{
	static const struct span strips[] = { { SPAN_INIT("mbox-") },
		{ SPAN_INIT("*-pop") } };
	static const struct {
		bool bottom;
		const char *header, *want;
	} rows[] = {
		{ false, "Delivered-To: MBOX-ann@contoso.test\n" ISP,
				"ann@contoso.test" },
		{ false, "Delivered-To: bob-pop@contoso.test\n" ISP,
				"bob@contoso.test" },
		{ false, "Delivered-To: mbox-bob-pop@contoso.test\n" ISP,
				"bob-pop@contoso.test" },
		{ false, "Delivered-To: mbox-@contoso.test\n" ISP,
				"mbox-@contoso.test" },
		{ false, ISP "To: mbox-ann@contoso.test\n", "mbox-ann@contoso.test" },
		{ true, ISP "To: x@else\nX-Envelope-To: ann@contoso.test\n\nbody",
				"ann@contoso.test" },
		{ true, ISP "X-Envelope-To: eve@contoso.test\nTo: ann@contoso.test\n",
				"ann@contoso.test" },
		{ true,
				"X-Envelope-To: eve@contoso.test\n" ISP
				"To: ann@contoso.test\n",
				"ann@contoso.test" },
		{ true,
				"X-Envelope-To: eve@contoso.test\n" ISP
				"X-Envelope-To: ann@contoso.test\n",
				"ann@contoso.test" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		struct recipients_account a = account(NULL, false);
		struct recipients r;

		a.strip = strips;
		a.n_strip = 2;
		a.bottom = rows[i].bottom;
		recipients_decide(&a, span_of(rows[i].header), &arena, &r);
		if (r.n != 1 || !span_eq(r.v[0], span_of(rows[i].want)))
			fail_msg("%s: got " SPAN_FMT, rows[i].header,
					SPAN_ARG(r.n ? r.v[0] : SPAN("nobody")));
	}
}

/* Letters, blanks and a hyphen, so that short texts stand in long ones, as words or not. */
static void
random_text(struct buf *out, unsigned *seed, int max)
{
	buf_clear(out);
	for (int n = 1 + rand_r(seed) % max; n > 0; n--)
		assert_true(buf_addc(out, "aab -"[rand_r(seed) % 5]));
}

/* Texts are searched for all at once; the same comes out as one after the other. */
static void
the_first_text_that_stands_there_is_taken(void **state)
{
	unsigned seed = 9, found = 0;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf raw = BUF_MAX(256), text = BUF_MAX(1024);
		AUTO(buf_done) struct buf header = BUF_MAX(512);
		struct recipients_rule v[20];
		struct span to[20], want = { NULL, 0 };
		struct recipients r;
		size_t left_out;

		random_text(&raw, &seed, 24);
		assert_true(words_fold(&text, buf_span(&raw)));
		assert_true(buf_addf(&header, "To: \"" SPAN_FMT "\" <x@else.test>\n",
				SPAN_ARG(buf_span(&raw))));
		for (size_t i = 0; i < 20; i++) {
			AUTO(buf_done) struct buf key = BUF_MAX(256);
			AUTO(buf_done) struct buf folded = BUF_MAX(1024);

			random_text(&key, &seed, 6);
			assert_true(words_fold(&folded, buf_span(&key)));
			buf_clear(&raw);
			assert_true(buf_addf(&raw, "u%zu@contoso.test", i));
			to[i] = arena_dup(&arena, buf_span(&raw));
			v[i] = (struct recipients_rule){
				arena_dup(&arena, buf_span(&key)), &to[i], 1
			};
			if (want.n == 0 &&
					words_have(buf_span(&text), buf_span(&folded)))
				want = to[i];
		}
		struct recipients_account a = account(
				recipients_rules_new(&arena, v, 20, &left_out), false);
		recipients_decide(&a, buf_span(&header), &arena, &r);
		if (r.outcome == RECIPIENTS_FOUND) {
			found++;
			assert_true(r.n == 1 && span_eq(r.v[0], want));
		} else {
			assert_int_equal(want.n, 0);
		}
	}
	assert_true(found > 1000 && found < 2900);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_mapped_in_order),
		cmocka_unit_test(no_list_speaks_for_whom_the_server_told),
		cmocka_unit_test(a_long_list_field_is_no_burden),
		cmocka_unit_test(rules_are_told),
		cmocka_unit_test(the_first_text_that_stands_there_is_taken),
		cmocka_unit_test(envelope_fields_are_read_as_configured),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
