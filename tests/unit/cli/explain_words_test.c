/* A decision in words: for every case the whole sentence. */
#include "check.h"

#include <string.h>

#include "explain_words.h"

#define OUTSIDE "E11: not in the account's domains"

static const struct span ann[] = { { SPAN_INIT("ann@contoso.test") } };
#define WORDS(reason) \
	{ \
		{ SPAN_INIT("bob@fabrikam.test") }, \
				{ SPAN_INIT("550 5.7.1 Unable to relay for bob@fabrikam.test") }, \
		{ \
			SPAN_INIT(reason) \
		} \
	}

static const struct words_refused bob[] = { WORDS("relay-denied") };
static const struct words_refused bob_fallback[] = { WORDS("no-recipients") };
static const struct words_refused two_reasons[] = {
	{ { SPAN_INIT("x@contoso.test") },
			{ SPAN_INIT("550 5.1.1 User unknown x@contoso.test") },
			{ SPAN_INIT("unknown-user") } },
	WORDS("relay-denied"),
	{ { SPAN_INIT("y@contoso.test") },
			{ SPAN_INIT("550 5.1.1 User unknown y@contoso.test") },
			{ SPAN_INIT("unknown-user") } },
};
static const struct words_refused hopped[] = {
	{ { SPAN_INIT("ann@contoso.test") },
			{ SPAN_INIT("554 5.4.6 Hop count exceeded - possible mail loop") },
			{ SPAN_INIT("hop-count") } },
};
static const struct span seven[] = {
	{ SPAN_INIT("a@x") },
	{ SPAN_INIT("b@x") },
	{ SPAN_INIT("c@x") },
	{ SPAN_INIT("d@x") },
	{ SPAN_INIT("e@x") },
	{ SPAN_INIT("f@x") },
	{ SPAN_INIT("g@x") },
};
static const struct recipients_candidate outside[] = {
	{ { SPAN_INIT("a@else.test") }, { SPAN_INIT("To") }, false, OUTSIDE },
	{ { SPAN_INIT("b@else.test") }, { SPAN_INIT("To") }, false, OUTSIDE },
	{ { SPAN_INIT("c@else.test") }, { SPAN_INIT("Cc") }, false, OUTSIDE },
};
static const struct recipients_candidate mixed[] = {
	{ { SPAN_INIT("a@else.test") }, { SPAN_INIT("To") }, false, OUTSIDE },
	{ { SPAN_INIT("pop@contoso.test") }, { SPAN_INIT("Delivered-To") }, false,
			"E1.2: the account's own address" },
	{ { SPAN_INIT("b@else.test") }, { SPAN_INIT("To") }, false, OUTSIDE },
	{ { SPAN_INIT("c@contoso.test") }, { SPAN_INIT("To") }, false, "odd" },
};

static const struct recipients_candidate hidden[] = {
	{ { SPAN_INIT("ann@contoso.test") }, { SPAN_INIT("BCC") }, true, "E1.5: ..." },
	{ { SPAN_INIT("ann@contoso.test") }, { SPAN_INIT("Resent-Bcc") }, true,
			"E1.4" },
	{ { SPAN_INIT("b@else.test") }, { SPAN_INIT("To") }, false, OUTSIDE },
};

#define SOURCE(text) .source = { SPAN_INIT(text) }
#define ACCEPTED(list) \
	.accepted = (list), .n_accepted = sizeof(list) / sizeof((list)[0])
#define REFUSED(list) .refused = (list), .n_refused = sizeof(list) / sizeof((list)[0])
#define SEEN(list) \
	.candidates = (list), .n_candidates = sizeof(list) / sizeof((list)[0])
#define DOMAINS .domains = { SPAN_INIT("contoso.test") }
#define UNROUTED(text) .unrouted = { SPAN_INIT(text) }

static const struct {
	struct words_decision d;
	const char *says;
} cases[] = {
	{ { SOURCE("X-Original-To"), .level = 2, ACCEPTED(ann) },
			"Delivered to ann@contoso.test: found in X-Original-To, which the provider "
			"wrote (E1.2)." },
	{ { SOURCE("received-for"), .level = 3, ACCEPTED(ann) },
			"Delivered to ann@contoso.test: found in the for-clause of the provider's "
			"Received line (E1.3)." },
	{ { SOURCE("resent-to"), .level = 4, ACCEPTED(ann) },
			"Delivered to ann@contoso.test: found in the topmost resent block, "
			"Resent-To and Resent-Cc (E1.4)." },
	{ { SOURCE("to-cc"), .level = 5, ACCEPTED(seven) },
			"Delivered to a@x, b@x, c@x, d@x, e@x and 2 more: found in To and Cc (E1.5)." },
	{ { SOURCE("to-cc"), .level = 5, ACCEPTED(ann), SEEN(hidden) },
			"Delivered to ann@contoso.test: found in To, Cc and Bcc (E1.5)." },
	{ { SOURCE("resent-to"), .level = 4, ACCEPTED(ann), SEEN(hidden) },
			"Delivered to ann@contoso.test: found in the topmost resent block, "
			"Resent-To, Resent-Cc and Resent-Bcc (E1.4)." },
	{ { SOURCE("apparently-to"), .level = 5, ACCEPTED(ann) },
			"Delivered to ann@contoso.test: found in apparently-to (E1.5)." },
	{ { SOURCE("alias"), .level = 6, ACCEPTED(ann) },
			"Delivered to ann@contoso.test: named by an alias rule (E1.6)." },
	{ { SOURCE("list-id"), .level = 6, .rule = { SPAN_INIT("books.x") },
			  ACCEPTED(ann) },
			"Delivered to ann@contoso.test: named by an alias rule for \"books.x\" (E1.6)." },
	{ { .user = true,
			  SOURCE("account"),
			  .account = { SPAN_INIT("jane") },
			  ACCEPTED(ann) },
			"Delivered to ann@contoso.test: the recipient of the user account jane, "
			"whose headers are not asked (E0)." },
	{ { .past = true, SOURCE("to-cc"), .level = 5, ACCEPTED(ann) },
			"Decided for ann@contoso.test: found in To and Cc (E1.5)." },
	/* refused by policy: some of them, all of them */
	{ { SOURCE("to-cc"), .level = 5, ACCEPTED(ann), REFUSED(bob) },
			"Delivered to ann@contoso.test: found in To and Cc (E1.5). Not to "
			"bob@fabrikam.test: the relay refuses: 550 5.7.1 Unable to relay for "
			"bob@fabrikam.test. That copy goes to Badmail (relay-denied)." },
	{ { SOURCE("to-cc"), .level = 5, REFUSED(bob) },
			"Nobody gets it: bob@fabrikam.test is found in To and Cc (E1.5), but the "
			"relay refuses: 550 5.7.1 Unable to relay for bob@fabrikam.test. It goes to "
			"Badmail (relay-denied)." },
	{ { SOURCE("to-cc"), .level = 5, ACCEPTED(ann), REFUSED(two_reasons) },
			"Delivered to ann@contoso.test: found in To and Cc (E1.5). Not to "
			"x@contoso.test, bob@fabrikam.test, y@contoso.test: the relay refuses: 550 "
			"5.1.1 User unknown x@contoso.test; 550 5.7.1 Unable to relay for "
			"bob@fabrikam.test. That copy goes to Badmail (unknown-user, relay-denied)." },
	{ { .past = true, SOURCE("to-cc"), .level = 5, REFUSED(two_reasons) },
			"Nobody got it: x@contoso.test, bob@fabrikam.test, y@contoso.test were found "
			"in To and Cc (E1.5), but the relay refused: 550 5.1.1 User unknown "
			"x@contoso.test; 550 5.7.1 Unable to relay for bob@fabrikam.test. It went to "
			"Badmail (unknown-user, relay-denied)." },
	/* too many hops: whoever was found, or nobody */
	{ { SOURCE("to-cc"), .level = 5, REFUSED(hopped), .hops = 51, .max_hops = 50 },
			"Nobody gets it: ann@contoso.test is found in To and Cc (E1.5), but the "
			"relay refuses: 554 5.4.6 Hop count exceeded - possible mail loop. It goes "
			"to Badmail (hop-count). It has 51 Received lines, more hops than "
			"smtp.max_hops (50)." },
	{ { .past = true, SOURCE("to-cc"), .level = 5, REFUSED(hopped), .hops = 51 },
			"Nobody got it: ann@contoso.test was found in To and Cc (E1.5), but the "
			"relay refused: 554 5.4.6 Hop count exceeded - possible mail loop. It went "
			"to Badmail (hop-count). It had 51 Received lines, more hops than may be." },
	{ { .outcome = RECIPIENTS_HOLD,
			  .level = 7,
			  UNROUTED("hold"),
			  .hops = 51,
			  .max_hops = 50 },
			"Nobody is found: no recipient field of the header names an address. With "
			"unrouted: hold it would be held, but goes to Badmail (hop-count). It has 51 "
			"Received lines, more hops than smtp.max_hops (50)." },
	{ { .past = true,
			  .outcome = RECIPIENTS_FALLBACK,
			  .level = 7,
			  REFUSED(hopped),
			  .hops = 51 },
			"Nobody was found: no recipient field of the header names an address. It "
			"would go to ann@contoso.test, but the relay refused: 554 5.4.6 Hop count "
			"exceeded - possible mail loop. It went to Badmail (hop-count). It had 51 "
			"Received lines, more hops than may be." },
	/* nobody */
	{ { .outcome = RECIPIENTS_FALLBACK,
			  .level = 7,
			  SEEN(outside),
			  DOMAINS,
			  UNROUTED("postmaster"),
			  ACCEPTED(ann) },
			"Nobody is found: 3 addresses were seen, none of them is in the account's "
			"domains (contoso.test). With unrouted: postmaster it goes to "
			"ann@contoso.test." },
	{ { .outcome = RECIPIENTS_FALLBACK,
			  .level = 7,
			  UNROUTED("help@fabrikam.test"),
			  REFUSED(bob_fallback) },
			"Nobody is found: no recipient field of the header names an address. With "
			"unrouted: help@fabrikam.test it would go to bob@fabrikam.test, but the relay "
			"refuses: 550 5.7.1 Unable to relay for bob@fabrikam.test. It goes to Badmail "
			"(no-recipients)." },
	{ { .past = true,
			  .outcome = RECIPIENTS_HOLD,
			  .level = 7,
			  SEEN(outside),
			  .n_seen = 9000 },
			"Nobody was found: 9000 addresses were seen, none of them counts: of the "
			"first 3, 3 not in the account's domains (E11). It was held as unrouted." },
	{ { .outcome = RECIPIENTS_HOLD,
			  .level = 7,
			  .candidates = outside,
			  .n_candidates = 1,
			  DOMAINS,
			  UNROUTED("hold") },
			"Nobody is found: 1 address was seen, it is not in the account's domains "
			"(contoso.test). With unrouted: hold it is held until somebody says who gets "
			"it (postern unrouted assign)." },
	{ { .past = true, .outcome = RECIPIENTS_HOLD, .level = 7, SEEN(outside) },
			"Nobody was found: 3 addresses were seen, none of them is in the account's "
			"domains. It was held as unrouted." },
	{ { .outcome = RECIPIENTS_BADMAIL,
			  .level = 7,
			  SEEN(mixed),
			  UNROUTED("badmail") },
			"Nobody is found: 4 addresses were seen, none of them counts: 2 not in the "
			"account's domains (E11); 1 the account's own address (E1.2); 1 odd. With "
			"unrouted: badmail it goes to Badmail (no-recipients)." },
	{ { .outcome = RECIPIENTS_BADMAIL,
			  .level = 7,
			  .candidates = mixed + 1,
			  .n_candidates = 1,
			  UNROUTED("postmaster") },
			"Nobody is found: 1 address was seen, it does not count: the account's own "
			"address (E1.2). With unrouted: postmaster it would go to a postmaster, but "
			"none of their addresses is in a policy domain. It goes to Badmail "
			"(no-recipients)." },
	{ { .past = true, .outcome = RECIPIENTS_BADMAIL, .level = 7 },
			"Nobody was found: no recipient field of the header names an address. It "
			"went to Badmail (no-recipients)." },
	{ { .user = true,
			  .outcome = RECIPIENTS_BADMAIL,
			  .level = 7,
			  .account = { SPAN_INIT("jane") },
			  UNROUTED("badmail") },
			"Nobody is found: the recipient of the user account jane is no usable "
			"address. With unrouted: badmail it goes to Badmail (no-recipients)." },
};

static void
every_decision_has_its_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(buf_done) struct buf out = BUF_MAX(4096);

		assert_true(words_sentence(&cases[i].d, &out));
		if (!span_eq(buf_span(&out), span_of(cases[i].says)))
			fail_msg("case %zu: \"" SPAN_FMT "\"", i,
					SPAN_ARG(buf_span(&out)));
	}
}

/* What to do, where there is something to do. */
static const struct {
	struct words_decision d;
	const char *says;
} advices[] = {
	{ { SOURCE("to-cc"), .level = 5, ACCEPTED(ann) }, "" },
	{ { .outcome = RECIPIENTS_FALLBACK,
			  .level = 7,
			  SEEN(outside),
			  .account = { SPAN_INIT("box") },
			  ACCEPTED(ann) },
			"If one of these domains is yours: put it into domains: of account box and "
			"into a policy. For single addresses and mailing lists: aliases: of the "
			"account." },
	{ { SOURCE("to-cc"), .level = 5, ACCEPTED(ann), REFUSED(two_reasons) },
			"If somebody is to have x@contoso.test: postern recipient add ALIAS --primary "
			"x@contoso.test. If fabrikam.test is yours: postern policy add fabrikam.test. "
			"Then postern badmail replay sends what came before." },
	{ { SOURCE("to-cc"), .level = 5, REFUSED(hopped), .hops = 51, .max_hops = 50 },
			"Hosts that come again in its Received lines mean a loop; where there is "
			"none, raise smtp.max_hops. Then postern badmail replay sends what came "
			"before." },
	{ { .outcome = RECIPIENTS_HOLD, .level = 7 },
			"Where the provider writes the recipient into a header of its own, name it "
			"in envelope:." },
	{ { .user = true,
			  .outcome = RECIPIENTS_BADMAIL,
			  .level = 7,
			  .account = { SPAN_INIT("jane") } },
			"Set recipient: of account jane to the alias or the address of a recipient." },
};

static void
what_to_do_is_said_where_there_is_something_to_do(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
		AUTO(buf_done) struct buf out = BUF_MAX(4096);

		assert_true(words_advice(&advices[i].d, &out));
		if (!span_eq(buf_span(&out), span_of(advices[i].says)))
			fail_msg("case %zu: \"" SPAN_FMT "\"", i,
					SPAN_ARG(buf_span(&out)));
	}
}

/* At every limit it fails, and never writes past it. */
static void
a_limit_is_a_limit(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t max = 1; max < strlen(cases[i].says); max++) {
			AUTO(buf_done) struct buf out = BUF_MAX(max);

			assert_false(words_sentence(&cases[i].d, &out));
			assert_true(out.n <= max);
		}
	}
}

/* More kinds of reasons than are told apart are counted together. */
static void
many_reasons_are_counted(void **state)
{
	static const char *const whys[] = { "E1: a", "E1: b", "E1: c", "E1: d", "E1: e",
		"E1: f", "E1: g", "E1: h", "E1: i", "E1: j" };
	struct recipients_candidate c[10] = { 0 };
	struct words_decision d = {
		.outcome = RECIPIENTS_BADMAIL, .candidates = c, .n_candidates = 10
	};
	AUTO(buf_done) struct buf out = BUF_MAX(4096);

	(void)state;
	for (size_t i = 0; i < 10; i++)
		c[i].why = whys[i];
	assert_true(words_sentence(&d, &out) && buf_cstr(&out));
	assert_non_null(strstr(out.p, "1 g (E1); 3 of other reasons."));
}

static void
domains_are_listed_and_cut(void **state)
{
	static const struct span entries[] = {
		{ SPAN_INIT("fabrikam.test") },
		{ SPAN_INIT("*.branch.test") },
		{ SPAN_INIT("contoso.test") },
	};
	AUTO(arena_done) struct arena a = ARENA_MAX(4096);
	AUTO(buf_done) struct buf out = BUF_MAX(4096);
	struct domains set;
	struct span bad;

	(void)state;
	assert_true(domains_init(&set, &a, entries, 3, &bad));
	assert_true(words_domains(&set, 200, &out));
	assert_true(span_eq(buf_span(&out),
			SPAN("contoso.test, fabrikam.test, *.branch.test")));
	buf_clear(&out);
	assert_true(words_domains(&set, 20, &out));
	assert_true(span_eq(buf_span(&out), SPAN("contoso.test, ...")));
	buf_clear(&out);
	assert_true(words_domains(NULL, 20, &out));
	assert_int_equal(out.n, 0);
}

/* Who advises a command is believed: what the sender wrote is no part of it. */
static void
no_command_holds_what_a_shell_would_read(void **state)
{
	static const struct {
		const char *address, *reason, *without;
	} hostile[] = {
		{ "`id`@contoso.test", "unknown-user", "--primary `" },
		{ "a|b&c@contoso.test", "unknown-user", "--primary a" },
		{ "\"$(id)\"@contoso.test", "general", "policy test \"" },
		{ "-x@contoso.test", "general", "policy test -" },
		{ "a@[1;id]", "relay-denied", "policy add [" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		AUTO(buf_done) struct buf out = BUF_MAX(4096);
		const struct words_refused r = { span_of(hostile[i].address), SPAN(""),
			span_of(hostile[i].reason) };

		assert_true(words_refused_advice(&r, &out));
		assert_null(strstr(buf_cstr(&out), hostile[i].without));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_decision_has_its_sentence),
		cmocka_unit_test(what_to_do_is_said_where_there_is_something_to_do),
		cmocka_unit_test(no_command_holds_what_a_shell_would_read),
		cmocka_unit_test(a_limit_is_a_limit),
		cmocka_unit_test(many_reasons_are_counted),
		cmocka_unit_test(domains_are_listed_and_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
