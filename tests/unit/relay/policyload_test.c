/* Policies are loaded by a thread of their own: who waits for them, and when they are in. */
#include "hand.h"

#include "postern/policystore.h"

static unsigned lefts;
void __wrap_left_look(struct relay *r);

void
__wrap_left_look(struct relay *r)
{
	(void)r;
	lefts++;
}

static struct waiter {
	struct policy_wait wait;
	unsigned in;
	bool failed;
} waiters[4];

static struct gate *gate_now;

static void
in(struct policy_wait *w, const struct err *failed)
{
	struct waiter *me = LIST_ITEM(w, struct waiter, wait);

	me->in++;
	me->failed = failed != NULL;
	loop_stop(gate_now->r.loop);
}

static void
add_domain(struct gate *g, const char *name)
{
	const struct policystore_domain d = { .name = span_of(name),
		.authoritative = true };
	struct err err = { 0 };

	if (!policystore_add_domain(g->r.store, SPAN("test"), 10, &d, NULL, &err))
		fail_msg("%s", err.text);
}

static void
ask(struct gate *g, unsigned who)
{
	waiters[who] = (struct waiter){ .wait.in = in };
	policyload_look(g->r.policyload, &waiters[who].wait);
}

static void
wait_for(struct gate *g, unsigned who)
{
	struct err err = { 0 };

	while (waiters[who].in == 0)
		assert_true(loop_run(g->r.loop, &err));
}

static int
begin(void **state)
{
	(void)set_up(state);
	gate_now = *state;
	lefts = 0;
	gate_now->looks = 0;
	gate_now->r.policyload = policyload_new(&gate_now->r);
	return 0;
}

static int
end(void **state)
{
	policyload_free(((struct gate *)*state)->r.policyload);
	return tear_down(state);
}

static bool
is_ours(const struct gate *g, const char *domain)
{
	return rcpt_is_ours(g->r.directory, span_of(domain));
}

static void
what_the_database_says_is_in_when_it_is_told(void **state)
{
	struct gate *g = *state;
	struct err err = { 0 };

	add_domain(g, "one.test");
	assert_true(policyload_first(&g->r, &err));
	assert_true(is_ours(g, "one.test"));
	assert_false(is_ours(g, "contoso.test"));
	const struct directory *first = g->r.directory;

	/* Nothing is new: it is in already. */
	ask(g, 0);
	assert_int_equal(waiters[0].in, 1);
	assert_false(waiters[0].failed);
	assert_true(policyload_quiet(g->r.policyload));
	assert_ptr_equal(g->r.directory, first);
	assert_int_equal(lefts + g->looks, 0);

	add_domain(g, "two.test");
	ask(g, 0);
	assert_int_equal(waiters[0].in, 0);
	assert_false(policyload_quiet(g->r.policyload));
	/* Who asks while it is read waits for another reading: it may have begun too early. */
	add_domain(g, "three.test");
	ask(g, 1);
	ask(g, 2);
	wait_for(g, 0);
	assert_int_equal(waiters[0].in, 1);
	assert_false(waiters[0].failed);
	assert_true(is_ours(g, "two.test"));
	assert_true(g->looks > 0);
	assert_int_equal(lefts, 1);
	wait_for(g, 1);
	wait_for(g, 2);
	assert_true(policyload_quiet(g->r.policyload));
	assert_int_equal(waiters[1].in, 1);
	assert_int_equal(waiters[2].in, 1);
	assert_true(is_ours(g, "three.test"));
	assert_ptr_equal(g->r.policies, directory_policies(g->r.directory));
}

/* The old ones stay, and who waits is told. */
static void
what_cannot_be_read_changes_nothing(void **state)
{
	struct gate *g = *state;
	struct err err = { 0 };

	assert_true(policyload_first(&g->r, &err));
	const struct directory *before = g->r.directory;
	add_domain(g, "one.test");
	g->r.state = "/nowhere";
	ask(g, 0);
	wait_for(g, 0);
	assert_int_equal(waiters[0].in, 1);
	assert_true(waiters[0].failed);
	assert_ptr_equal(g->r.directory, before);
	assert_int_equal(lefts, 0);
	/* The next time all is well again. */
	g->r.state = g->dir;
	ask(g, 1);
	wait_for(g, 1);
	assert_false(waiters[1].failed);
	assert_true(is_ours(g, "one.test"));
	assert_int_equal(lefts, 1);
}

static void
who_waits_at_the_end_is_told_nothing(void **state)
{
	struct gate *g = *state;

	add_domain(g, "one.test");
	ask(g, 0);
	assert_false(policyload_quiet(g->r.policyload));
	policyload_free(g->r.policyload); /* it waits for its thread */
	g->r.policyload = NULL;
	assert_int_equal(waiters[0].in, 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(what_the_database_says_is_in_when_it_is_told),
		TEST(what_cannot_be_read_changes_nothing),
		TEST(who_waits_at_the_end_is_told_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
