#include "check.h"

#include <stdio.h>
#include <string.h>

#include "postern/policy.h"

static const struct policy_domain rows[] = {
	{ { SPAN_INIT("contoso.test") }, false, true, { SPAN_INIT("contoso") }, 10,
			false, { SPAN_INIT("+") }, false },
	{ { SPAN_INIT("fabrikam.test") }, false, false, { SPAN_INIT("late") }, 20,
			false, { SPAN_INIT("+") }, false },
	{ { SPAN_INIT("fabrikam.test") }, false, true, { SPAN_INIT("early") }, 5, false,
			{ SPAN_INIT("+") }, false },
	{ { SPAN_INIT("fabrikam.test") }, false, true, { SPAN_INIT("default") }, 1,
			false, { SPAN_INIT("+") }, false },
	{ { SPAN_INIT("branch.test") }, true, true, { SPAN_INIT("branches") }, 10,
			false, { SPAN_INIT("+") }, false },
	{ { SPAN_INIT("deep.branch.test") }, true, true, { SPAN_INIT("deep") }, 99,
			false, { SPAN_INIT("+") }, false },
	{ { SPAN_INIT("[192.0.2.1]") }, false, true, { SPAN_INIT("literal") }, 10,
			false, { SPAN_INIT("+") }, false },
	{ { SPAN_INIT("same.test") }, false, true, { SPAN_INIT("b") }, 10, false,
			{ SPAN_INIT("+") }, false },
	{ { SPAN_INIT("same.test") }, false, true, { SPAN_INIT("a") }, 10, false,
			{ SPAN_INIT("+") }, false },
};

struct question {
	const char *local, *domain;
	const char *policy; /* NULL: refused; "": accepted without one */
};

static const struct question questions[] = {
	{ "ann", "contoso.test", "contoso" },
	{ "", "contoso.test", NULL },
	{ "ann", "sub.contoso.test", NULL },
	{ "ann", "xcontoso.test", NULL },
	{ "ann", "test", NULL },
	{ "ann", "contoso.test.evil.test", NULL },
	{ "ann", "fabrikam.test", "early" },
	{ "ann", "same.test", "a" },
	{ "ann", "branch.test", NULL },
	{ "ann", "x.branch.test", "branches" },
	{ "ann", "y.x.branch.test", "branches" },
	{ "ann", "deep.branch.test", "branches" },
	{ "ann", "x.deep.branch.test", "deep" },
	{ "ann", "xbranch.test", NULL },
	{ "ann", "[192.0.2.1]", "literal" },
	{ "ann", "[192.0.2.2]", NULL },
	{ "ann", "[x.branch.test]", NULL },
	/* %, ! and @ in a local part mean nothing: relay tests of KB304897. */
	{ "ann%contoso.test", "evil.test", NULL },
	{ "contoso.test!ann", "evil.test", NULL },
	{ "ann@evil.test", "contoso.test", "contoso" },
	{ "ann%evil.test", "contoso.test", "contoso" },
	{ "postmaster", "", "" },
	{ "PostMaster", "", "" },
	{ "postmaster", "evil.test", NULL },
	{ "ann", "", NULL },
	{ "", "", NULL },
	{ "ann", ".", NULL },
	{ "ann", "..", NULL },
};

static void
recipients_are_decided_by_domain_alone(void **state)
{
	(void)state;
	struct policy_set *set = policy_new(rows, sizeof(rows) / sizeof(rows[0]));
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		const struct question *q = &questions[i];
		struct policy_answer a = policy_decide(
				set, span_of(q->local), span_of(q->domain));
		if (a.accepted != (q->policy != NULL))
			fail_msg("%s@%s: %d", q->local, q->domain, a.accepted);
		assert_int_equal(a.code, a.accepted ? 250 : 550);
		assert_string_equal(a.esc, a.accepted ? "2.1.5" : "5.7.1");
		if (!q->policy || !*q->policy)
			assert_null(a.row);
		else if (!span_eq(a.row->policy, span_of(q->policy)))
			fail_msg("%s@%s: %.*s", q->local, q->domain,
					SPAN_ARG(a.row->policy));
	}
	policy_free(set);
}

static void
the_set_is_sorted_and_distinct(void **state)
{
	(void)state;
	struct policy_set *set = policy_new(rows, sizeof(rows) / sizeof(rows[0]));
	assert_int_equal(policy_size(set), 6);
	for (size_t i = 1; i < policy_size(set); i++)
		assert_true(span_cmp(policy_at(set, i - 1)->domain,
					    policy_at(set, i)->domain) < 0);
	assert_true(span_eq(policy_at(set, 4)->domain, SPAN("fabrikam.test")));
	assert_true(policy_at(set, 4)->authoritative);
	policy_free(set);

	set = policy_new(NULL, 0);
	assert_int_equal(policy_size(set), 0);
	assert_false(policy_decide(set, SPAN("ann"), SPAN("contoso.test")).accepted);
	policy_free(set);
	policy_free(NULL);
}

static void
an_exact_domain_and_those_below_it_live_side_by_side(void **state)
{
	(void)state;
	const struct policy_domain both[] = {
		{ { SPAN_INIT("a.test") }, true, true, { SPAN_INIT("below") }, 1, false,
				{ SPAN_INIT("+") }, false },
		{ { SPAN_INIT("a.test") }, false, true, { SPAN_INIT("exact") }, 2,
				false, { SPAN_INIT("+") }, false },
	};
	struct policy_set *set = policy_new(both, 2);
	assert_int_equal(policy_size(set), 2);
	assert_true(span_eq(policy_find(set, SPAN("a.test"))->policy, SPAN("exact")));
	assert_true(span_eq(policy_find(set, SPAN("x.a.test"))->policy, SPAN("below")));
	policy_free(set);
}

static void
the_reply_names_the_recipient_as_spelled(void **state)
{
	(void)state;
	struct policy_set *set = policy_new(rows, 1);
	struct buf out = BUF_MAX(1000);
	struct policy_answer a = policy_decide(set, SPAN("X"), SPAN("evil.test"));
	assert_true(policy_reply(&a, SPAN("X@Evil.test"), &out));
	assert_string_equal(
			buf_cstr(&out), "550 5.7.1 Unable to relay for X@Evil.test");
	buf_clear(&out);
	a = policy_decide(set, SPAN("ann"), SPAN("contoso.test"));
	assert_true(policy_reply(&a, SPAN("ann@contoso.test"), &out));
	assert_string_equal(buf_cstr(&out), "250 2.1.5 ann@contoso.test");
	buf_done(&out);
	policy_free(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_are_decided_by_domain_alone),
		cmocka_unit_test(the_set_is_sorted_and_distinct),
		cmocka_unit_test(an_exact_domain_and_those_below_it_live_side_by_side),
		cmocka_unit_test(the_reply_names_the_recipient_as_spelled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
