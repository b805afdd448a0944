/* E2: what an account's provider does is learned, and what is unlike it is not obeyed. */
#include "check.h"

#include "postern/recipients.h"

#include <stdlib.h>

static struct arena setup_arena = { .max = 1 << 20 };
static struct domains served;

static int
setup(void **state)
{
	const struct span entries[] = { SPAN("contoso.test") };
	struct span bad;

	(void)state;
	return domains_init(&served, &setup_arena, entries, 1, &bad) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	arena_done(&setup_arena);
	return 0;
}

static struct recipients_account
account(const struct provider_habits *learned)
{
	return (struct recipients_account){
		.name = SPAN("contoso"),
		.served = &served,
		.policy = &served,
		.first_domain = SPAN("contoso.test"),
		.trusted_hops = 1,
		.provider = SPAN("pop.isp.test"),
		.learned = learned,
	};
}

#define STORE "Received: from mx by store.host.test; Mon\n"
#define MX "Received: from a by mx.host.test for <for@contoso.test>; Mon\n"
#define OTHER "Received: from z by a.else.test; Mon\n"
#define USUAL "Delivered-To: ann@contoso.test\n" STORE MX OTHER "To: x@contoso.test\n"

/* Decides and learns, as the collector does. */
static struct recipients
one(struct provider_habits *p, struct arena *arena, const char *header)
{
	struct recipients_account a = account(p);
	struct recipients r;

	recipients_decide(&a, span_of(header), arena, &r);
	provider_learn(p, &r.seen);
	return r;
}

static void
learn(struct provider_habits *p, unsigned n, const char *header)
{
	for (unsigned i = 0; i < n; i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);

		(void)one(p, &arena, header);
	}
}

static const struct recipients_fact *
fact_of(const struct recipients *r, int event)
{
	for (size_t i = 0; i < r->n_facts; i++) {
		if (r->facts[i].event == event)
			return &r->facts[i];
	}
	return NULL;
}

static void
lines_and_headers_are_learned(void **state)
{
	struct provider_habits p = { .seen = 0 };

	(void)state;
	learn(&p, 24, USUAL);
	assert_int_equal(provider_hops(&p), 0);
	learn(&p, 1, USUAL);
	assert_int_equal(provider_hops(&p), 2);
	assert_true(span_eq(provider_host(&p), SPAN("store.host.test")));
	assert_false(provider_known(&p));
	learn(&p, 25, USUAL);
	assert_true(provider_known(&p));
	assert_true(provider_always(&p, SPAN("delivered-to")));
	assert_false(provider_always(&p, SPAN("X-Original-To")));
	assert_true(provider_usual(&p, SPAN("Delivered-To"), 1));
	assert_false(provider_usual(&p, SPAN("Delivered-To"), 2));
	assert_false(provider_writes(&p, SPAN("X-Envelope-To")));
}

static const struct {
	const char *says, *header, *want;
	int event; /* told; 0: no 4035, 4036 */
	bool strange;
} later[] = {
	{ "as always", USUAL, "Delivered-To: ann@contoso.test", 0, false },
	{ "between the provider's two lines is its own zone too",
			STORE "Delivered-To: ann@contoso.test\n" MX OTHER,
			"Delivered-To: ann@contoso.test", 0, false },
	{ "a forged header of another name above it changes nothing",
			"X-Envelope-To: eve@contoso.test\n" USUAL,
			"Delivered-To: ann@contoso.test", 4036, true },
	{ "nor below it", USUAL "X-Envelope-To: eve@contoso.test\n",
			"Delivered-To: ann@contoso.test", 0, false },
	{ "one of the same name below the provider's lines is nothing",
			USUAL "Delivered-To: eve@contoso.test\n",
			"Delivered-To: ann@contoso.test", 0, false },
	{ "one of the same name above makes both worthless",
			"Delivered-To: eve@contoso.test\n" USUAL,
			"received-for: for@contoso.test", 4036, true },
	{ "even when it says the same", "Delivered-To: ann@contoso.test\n" USUAL,
			"received-for: for@contoso.test", 4036, true },
	{ "missing: told, the next level decides",
			STORE MX OTHER "To: x@contoso.test\n",
			"received-for: for@contoso.test", 4035, true },
	{ "with fewer lines than always the zone is smaller",
			MX "Delivered-To: eve@contoso.test\n" OTHER
			   "To: x@contoso.test\n",
			"received-for: for@contoso.test", 4036, true },
};

static void
what_is_unlike_it_is_not_obeyed(void **state)
{
	struct provider_habits p = { .seen = 0 };

	(void)state;
	learn(&p, PROVIDER_LEARN, USUAL);
	for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf got = BUF_MAX(1024);
		struct provider_habits copy = p;
		struct recipients r = one(&copy, &arena, later[i].header);

		assert_true(buf_addf(&got, SPAN_FMT ":", SPAN_ARG(r.source)));
		for (size_t k = 0; k < r.n; k++)
			assert_true(buf_addc(&got, ' ') && buf_add(&got, r.v[k]));
		if (!span_eq(buf_span(&got), span_of(later[i].want)))
			fail_msg("%s: got " SPAN_FMT, later[i].says,
					SPAN_ARG(buf_span(&got)));
		bool told = later[i].event ? fact_of(&r, later[i].event) != NULL
					   : !fact_of(&r, 4035) && !fact_of(&r, 4036);
		if (!told || copy.strange != later[i].strange)
			fail_msg("%s: told %d, strange %u", later[i].says, told,
					copy.strange);
	}
}

/* Nine of ten messages decide: a sender makes only his own ones look different. */
static void
senders_cannot_teach(void **state)
{
	struct provider_habits p = { .seen = 0 };

	(void)state;
	for (unsigned i = 0; i < 25; i++)
		learn(&p, 1,
				i % 8 == 0 ? "Delivered-To: ann@contoso.test\n" STORE
					     "Received: from x by y.host.test; Mon\n"
					     "Received: from x by y.host.test; Mon\n" MX
					   : USUAL);
	assert_int_equal(provider_hops(&p), 2);
	learn(&p, 1, "X-Envelope-To: eve@contoso.test\n" USUAL);
	learn(&p, 24, USUAL);
	assert_true(provider_known(&p));
	assert_false(provider_writes(&p, SPAN("X-Envelope-To")));
}

/* E18 (4) at its hardest: even on top of all, where no sender can write. */
static void
forged_headers_on_top_change_nothing(void **state)
{
	static const char *const names[] = { "X-Envelope-To", "X-Original-To",
		"Envelope-To", "X-RCPT-TO", "X-Delivered-To", "X-Real-To",
		"X-Gm-Original-To" };
	struct provider_habits p = { .seen = 0 };
	unsigned seed = 4;

	(void)state;
	learn(&p, PROVIDER_LEARN, USUAL);
	for (unsigned round = 0; round < 5000; round++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf header = BUF_MAX(4096);
		struct provider_habits copy = p;

		for (int n = 1 + rand_r(&seed) % 5; n > 0; n--)
			assert_true(buf_addf(&header, "%s: eve%d@contoso.test\n",
					names[rand_r(&seed) % 7], n));
		assert_true(buf_add(&header, SPAN(USUAL)) && buf_cstr(&header));
		struct recipients r = one(&copy, &arena, header.p);
		assert_int_equal(r.n, 1);
		assert_true(span_eq(r.v[0], SPAN("ann@contoso.test")));
		assert_non_null(fact_of(&r, 4036));
	}
}

static void
a_provider_that_changes_is_learned_again(void **state)
{
	static const char changed[] = "X-Original-To: bob@contoso.test\n" STORE MX;
	struct provider_habits p = { .seen = 0 };
	AUTO(arena_done) struct arena arena = ARENA_MAX(64 * 1024 * 1024);

	(void)state;
	learn(&p, PROVIDER_LEARN, USUAL);
	learn(&p, PROVIDER_STRANGE - 1, changed);
	assert_int_equal(p.strange, PROVIDER_STRANGE - 1);
	struct recipients r = one(&p, &arena, USUAL);
	assert_int_equal(p.strange, 0); /* one of the old kind: it has not changed */
	learn(&p, PROVIDER_STRANGE, changed);
	assert_int_equal(p.seen, 0);
	learn(&p, PROVIDER_LEARN, changed);
	r = one(&p, &arena, changed);
	assert_int_equal(r.level, 2);
	assert_true(span_eq(r.v[0], SPAN("bob@contoso.test")));
}

/* A mailbox that is filled from here and there teaches nothing. */
static void
no_habit_forbids_nothing(void **state)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	struct provider_habits p = { .seen = 0 };

	(void)state;
	for (unsigned i = 0; i < PROVIDER_LEARN; i++)
		learn(&p, 1,
				i % 3 ? "Delivered-To: ann@contoso.test\n" MX
				      : "To: bob@contoso.test\n" OTHER);
	assert_true(provider_known(&p));
	struct recipients r = one(&p, &arena, "X-Original-To: eve@contoso.test\n" MX);
	assert_int_equal(r.level, 2);
	r = one(&p, &arena,
			"Delivered-To: eve@contoso.test\n"
			"Delivered-To: eve@contoso.test\n" MX);
	assert_int_equal(r.level, 2);

	/* Never any header is a habit too. */
	p = (struct provider_habits){ .seen = 0 };
	learn(&p, PROVIDER_LEARN, STORE MX "To: bob@contoso.test\n");
	r = one(&p, &arena,
			"X-Original-To: eve@contoso.test\n" STORE MX
			"To: bob@contoso.test\n");
	assert_true(r.level > 2);
	assert_non_null(fact_of(&r, 4036));
}

static void
configured_lines_are_not_learned(void **state)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	struct provider_habits p = { .seen = 0 };
	struct recipients r;

	(void)state;
	learn(&p, PROVIDER_LEARN, USUAL);
	struct recipients_account a = account(&p);
	a.hops_fixed = true;
	recipients_decide(&a,
			SPAN(STORE "Delivered-To: eve@contoso.test\n" MX
				   "To: ann@contoso.test\n"),
			&arena, &r);
	assert_int_equal(r.level, 5);
}

static void
habits_survive_as_text(void **state)
{
	AUTO(buf_done) struct buf text = BUF_MAX(4096), again = BUF_MAX(4096);
	struct provider_habits p = { .seen = 0 }, q = { .seen = 0 };

	(void)state;
	assert_true(provider_print(&p, &text) && text.n == 0);
	learn(&p, 37, USUAL);
	learn(&p, 20, "X-Original-To: a@contoso.test\n" USUAL);
	assert_true(provider_print(&p, &text));
	for (struct span rest = buf_span(&text); rest.n > 0;) {
		struct span line = span_until(&rest, '\n');

		assert_true(span_eq(span_word(&line), SPAN("provider")));
		provider_read(&q, line);
	}
	assert_true(provider_print(&q, &again));
	assert_true(span_eq(buf_span(&text), buf_span(&again)));
	provider_read(&q, SPAN("seen 99999999999999999999 -1"));
	provider_read(&q, SPAN("hops"));
	provider_read(&q, SPAN("header"));
	provider_read(&q, SPAN(""));
	assert_int_equal(q.seen, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_and_headers_are_learned),
		cmocka_unit_test(what_is_unlike_it_is_not_obeyed),
		cmocka_unit_test(senders_cannot_teach),
		cmocka_unit_test(forged_headers_on_top_change_nothing),
		cmocka_unit_test(a_provider_that_changes_is_learned_again),
		cmocka_unit_test(no_habit_forbids_nothing),
		cmocka_unit_test(configured_lines_are_not_learned),
		cmocka_unit_test(habits_survive_as_text),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
