/* Messages held for nobody, their assignment, and the alias rules made with it. */
#include "postern/aliasstore.h"
#include "postern/clock.h"
#include "postern/policystore.h"
#include "steady.h"

static const struct submission_recipient nobody = {
	.address = { "", 0 },
	.hop = { SPAN_INIT("unrouted") },
	.state = QUEUE_HELD,
	.reason = { SPAN_INIT("unrouted") },
};

static uint64_t
hold(struct state *t, const char *uidl)
{
	struct submission sub = fixture_message(t, uidl);
	sub.recipients = &nobody;
	if (fixture_do(t, &sub.job) != STORE_DONE)
		fail_msg("%s", sub.job.err.text);
	return sub.id;
}

static size_t
unrouted(struct state *t, uint64_t after, struct queue_message **m)
{
	size_t n;
	if (!queue_unrouted(store_reader(t->store), after, &t->arena, m, &n, &t->err))
		fail_msg("%s", t->err.text);
	return n;
}

static uint64_t
version(struct state *t)
{
	uint64_t v = 0;
	assert_true(policystore_version(store_reader(t->store), &v, &t->err));
	return v;
}

static bool
assign(struct state *t, uint64_t id, const struct aliasstore_rule *rule, bool *added)
{
	struct queue_assignment x = { .id = id,
		.address = SPAN("ann@contoso.test"),
		.to = &(struct queue_target){ SPAN("ann@contoso.test"), SPAN("drop") },
		.n = 1,
		.now_ms = NOW + 1000,
		.rule = rule };
	bool was;
	if (!queue_assign(t->store, &x, &was, added, &t->err))
		fail_msg("%s", t->err.text);
	return was;
}

/* Nothing but somebody's word moves what is held: not a retry, not pruning. */
static void
held_stays_held(void **state)
{
	struct state *t = *state;
	struct queue_message *m;
	uint64_t id = hold(t, "u1"), changed = 9;
	struct queue_hop *hops;
	size_t n;

	assert_int_equal(fixture_due(t, "unrouted", NOW * 2, &m), 0);
	assert_true(queue_hops(store_reader(t->store), &t->arena, &hops, &n, &t->err));
	assert_int_equal(n, 0);
	assert_true(queue_retry(t->store, id, SPAN(""), NOW, &changed, &t->err));
	assert_int_equal(changed, 0);
	assert_true(queue_retry(t->store, 0, SPAN(""), NOW, &changed, &t->err));
	assert_int_equal(changed, 0);
	(void)fixture_submit(t, "u2");
	uint64_t pruned;
	steady_pass(t, 2 * 3600 * 1000);
	steady_set(t, NOW * 2);
	(void)steady_prune(t, 1, &pruned);
	fixture_reopen(t);
	struct queue_story s = fixture_show(t, id);
	assert_true(s.message.body);
	assert_int_equal(s.message.n, 1);
	assert_int_equal(s.message.recipients[0].state, QUEUE_HELD);
	assert_span(s.message.recipients[0].reason, "unrouted");
	assert_int_equal(s.message.recipients[0].address.n, 0);
}

static void
held_ones_are_listed_in_pages(void **state)
{
	struct state *t = *state;
	struct queue_message *m;
	uint64_t first = hold(t, "u1");
	(void)fixture_submit(t, "u2");
	uint64_t second = hold(t, "u3");

	assert_int_equal(unrouted(t, 0, &m), 2);
	assert_true(m[0].id == first && m[1].id == second);
	assert_span(m[0].uidl, "u1");
	assert_int_equal(m[0].n, 1);
	assert_int_equal(unrouted(t, first, &m), 1);
	assert_true(m[0].id == second);
	assert_int_equal(unrouted(t, second, &m), 0);

	/* More than a page. */
	char uidl[16];
	for (int i = 0; i < QUEUE_UNROUTED_PAGE; i++) {
		(void)snprintf(uidl, sizeof uidl, "page-%d", i);
		(void)hold(t, uidl);
	}
	assert_int_equal(unrouted(t, 0, &m), QUEUE_UNROUTED_PAGE);
	assert_int_equal(unrouted(t, m[QUEUE_UNROUTED_PAGE - 1].id, &m), 2);
}

static void
assigned_is_queued_and_delivered(void **state)
{
	struct state *t = *state;
	struct queue_message *m;
	uint64_t id = hold(t, "u1");
	bool added;

	assert_true(assign(t, id, NULL, &added));
	assert_false(added);
	fixture_reopen(t);
	assert_int_equal(unrouted(t, 0, &m), 0);
	struct queue_story s = fixture_show(t, id);
	assert_int_equal(s.message.n, 2);
	assert_int_equal(s.message.recipients[0].state, QUEUE_REMOVED);
	assert_span(s.message.recipients[0].reason, "assigned to ann@contoso.test");
	assert_int_equal(s.message.recipients[1].seq, 1);
	assert_int_equal(s.message.recipients[1].state, QUEUE_QUEUED);
	assert_span(s.message.recipients[1].address, "ann@contoso.test");
	assert_int_equal(fixture_due(t, "drop", NOW + 999, &m), 0);
	assert_int_equal(fixture_due(t, "drop", NOW + 1000, &m), 1);
	assert_true(fixture_settle(t, id,
			(struct settle_recipient){ .seq = 1,
					.state = QUEUE_DELIVERED,
					.attempted = true,
					.code = 250 }));
	assert_false(fixture_show(t, id).message.body);
}

/* Twice, an unknown one, one that is queued, one whose body was lost: nothing happens. */
static void
only_held_ones_are_assigned(void **state)
{
	struct state *t = *state;
	const struct aliasstore_rule rule = { SPAN("isp"), SPAN("sales"),
		SPAN("ann@contoso.test"), NOW };
	uint64_t id = hold(t, "u1"), other = fixture_submit(t, "u2");
	struct aliasstore_rule *rules;
	bool added;
	size_t n;

	assert_true(assign(t, id, NULL, &added));
	uint64_t before = version(t);
	assert_false(assign(t, id, &rule, &added));
	assert_false(assign(t, other, &rule, &added));
	assert_false(assign(t, 12345, &rule, &added));
	assert_false(assign(t, UINT64_MAX, &rule, &added));
	assert_int_equal(version(t), before);
	assert_true(aliasstore_load(store_reader(t->store), SPAN(""), &t->arena, &rules,
			&n, &t->err));
	assert_int_equal(n, 0);
	assert_int_equal(fixture_show(t, other).message.n, 1);
	assert_int_equal(fixture_show(t, id).message.n, 2);
}

static void
a_rule_comes_with_the_assignment(void **state)
{
	struct state *t = *state;
	const struct aliasstore_rule rule = { SPAN("isp"), SPAN("sales"),
		SPAN("ann@contoso.test"), NOW };
	struct aliasstore_rule bad = rule, *rules;
	uint64_t before = version(t), id;
	struct queue_message *m;
	bool added, was;
	size_t n;

	assert_true(assign(t, hold(t, "u1"), &rule, &added));
	assert_true(added);
	assert_true(version(t) > before);
	before = version(t);
	assert_true(assign(t, hold(t, "u2"), &rule, &added));
	assert_false(added);
	assert_int_equal(version(t), before);
	fixture_reopen(t);
	assert_true(aliasstore_load(store_reader(t->store), SPAN("isp"), &t->arena,
			&rules, &n, &t->err));
	assert_int_equal(n, 1);
	assert_span(rules[0].match, "sales");
	assert_span(rules[0].target, "ann@contoso.test");
	assert_int_equal(rules[0].made_ms, NOW);

	/* A rule that cannot be kept keeps the message held: one transaction. */
	bad.match = SPAN("");
	id = hold(t, "u3");
	struct queue_assignment x = { .id = id,
		.address = SPAN("ann@contoso.test"),
		.to = &(struct queue_target){ SPAN("ann@contoso.test"), SPAN("drop") },
		.n = 1,
		.now_ms = NOW,
		.rule = &bad };
	assert_false(queue_assign(t->store, &x, &was, &added, &t->err));
	assert_int_equal(unrouted(t, 0, &m), 1);
	assert_int_equal(fixture_show(t, id).message.n, 1);
}

static void
rules_belong_to_their_account(void **state)
{
	struct state *t = *state;
	const struct aliasstore_rule in[] = {
		{ SPAN("isp"), SPAN("sales"), SPAN("cid@contoso.test"), NOW + 2 },
		{ SPAN("isp"), SPAN("sales"), SPAN("bob@contoso.test"), NOW + 1 },
		{ SPAN("isp"), SPAN("list.x.test"), SPAN("ann@contoso.test"), NOW },
		{ SPAN("other"), SPAN("sales"), SPAN("ann@contoso.test"), NOW },
	};
	struct aliasstore_rule *rules;
	uint64_t was, before;
	bool added;
	size_t n;

	for (size_t i = 0; i < sizeof in / sizeof in[0]; i++) {
		assert_true(aliasstore_add(t->store, &in[i], &added, &t->err));
		assert_true(added);
	}
	before = version(t);
	assert_true(aliasstore_add(t->store, &in[0], &added, &t->err));
	assert_false(added);
	assert_int_equal(version(t), before);
	assert_true(aliasstore_load(store_reader(t->store), SPAN("isp"), &t->arena,
			&rules, &n, &t->err));
	assert_int_equal(n, 3);
	assert_span(rules[0].match, "list.x.test");
	assert_span(rules[1].target, "bob@contoso.test");
	assert_span(rules[2].target, "cid@contoso.test");
	assert_true(aliasstore_load(store_reader(t->store), SPAN(""), &t->arena, &rules,
			&n, &t->err));
	assert_int_equal(n, 4);
	assert_span(rules[3].account, "other");

	assert_true(aliasstore_forget(
			t->store, SPAN("isp"), SPAN("Sales"), &was, &t->err));
	assert_int_equal(was, 0);
	assert_int_equal(version(t), before);
	assert_true(aliasstore_forget(
			t->store, SPAN("isp"), SPAN("sales"), &was, &t->err));
	assert_int_equal(was, 2);
	assert_true(version(t) > before);
	assert_true(aliasstore_load(store_reader(t->store), SPAN(""), &t->arena, &rules,
			&n, &t->err));
	assert_int_equal(n, 2);
}

static void
collected_ones_are_found_by_time(void **state)
{
	struct state *t = *state;
	struct submission sub = fixture_message(t, NULL);
	uint64_t ids[QUEUE_IDS_PAGE], first = fixture_submit(t, "u1");
	size_t n;

	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE); /* came by SMTP */
	sub = fixture_message(t, "0/b@x");
	sub.account = SPAN(":badmail"); /* replayed: no collection */
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	sub = fixture_message(t, "u2");
	sub.account = SPAN("other");
	sub.arrived_ms = NOW + 60000;
	sub.id = store_new_id(t->store, NOW + 60000);
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);

	const struct {
		struct queue_since f;
		size_t n;
		uint64_t last;
	} cases[] = {
		{ { SPAN(""), NOW, 0 }, 2, sub.id },
		{ { SPAN(""), NOW, first }, 1, sub.id },
		{ { SPAN(""), NOW, sub.id }, 0, 0 },
		{ { SPAN(""), NOW, UINT64_MAX }, 0, 0 },
		{ { SPAN("other"), NOW, 0 }, 1, sub.id },
		{ { SPAN("isp"), NOW, 0 }, 1, first },
		{ { SPAN("isp"), 0, 0 }, 1, first },
		{ { SPAN("nobody"), NOW, 0 }, 0, 0 },
		{ { SPAN(""), NOW + 1, 0 }, 1, sub.id },
		{ { SPAN(""), INT64_MAX, 0 }, 0, 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_true(queue_collected(
				store_reader(t->store), &cases[i].f, ids, &n, &t->err));
		assert_int_equal(n, cases[i].n);
		if (n > 0)
			assert_int_equal(ids[n - 1], cases[i].last);
	}
}

/* The longest list there can be: each member once, behind what is there, in one go that
 * does not keep the database from the service for long. */
static void
a_long_list_is_assigned_in_one_go(void **state)
{
	enum { MEMBERS = 50000, PATIENCE_MS = 20000 };
	struct state *t = *state;
	static struct queue_target to[MEMBERS];
	static char names[MEMBERS][32];
	uint64_t id = hold(t, "u1");
	bool was = false, added;
	size_t n = 0;

	for (size_t i = 0; i < MEMBERS; i++) {
		snprintf(names[i], sizeof names[i], "m%zu@contoso.test", i);
		to[i] = (struct queue_target){ span_of(names[i]), SPAN("drop") };
	}
	struct queue_assignment x = { .id = id,
		.address = SPAN("all@contoso.test"),
		.to = to,
		.n = MEMBERS,
		.list = true,
		.now_ms = NOW + 1000 };
	int64_t began = clock_mono_ms();
	assert_true(queue_assign(t->store, &x, &was, &added, &t->err));
	assert_true(was);
	assert_in_range(clock_mono_ms() - began, 0, PATIENCE_MS);
	struct queue_story s = fixture_show(t, id);
	assert_int_equal(s.message.n, MEMBERS + 1);
	assert_int_equal(s.message.recipients[0].state, QUEUE_REMOVED);
	for (; n < MEMBERS; n++) {
		const struct queue_recipient *r = &s.message.recipients[n + 1];

		assert_int_equal(r->seq, n + 1);
		assert_int_equal(r->state, QUEUE_QUEUED);
		assert_span(r->address, names[n]);
		assert_span(r->asked, "all@contoso.test");
		assert_true(r->asked_list);
	}
	/* Once. */
	assert_true(queue_assign(t->store, &x, &was, &added, &t->err));
	assert_false(was);
	assert_int_equal(fixture_show(t, id).message.n, MEMBERS + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(held_stays_held),
		TEST(held_ones_are_listed_in_pages),
		TEST(a_long_list_is_assigned_in_one_go),
		TEST(assigned_is_queued_and_delivered),
		TEST(only_held_ones_are_assigned),
		TEST(a_rule_comes_with_the_assignment),
		TEST(rules_belong_to_their_account),
		TEST(collected_ones_are_found_by_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
