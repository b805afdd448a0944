/* Policies are loaded by a thread of their own: who waits for them, and when they are in. */
#include "told.h"

#include "postern/policystore.h"

#include "postern/policyload.h"

static unsigned changes;
static struct policyload *load;

static void
changed(void *host)
{
	(void)host;
	changes++;
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
	loop_stop(gate_now->hub.loop);
}

static void
add_domain(struct gate *g, const char *name)
{
	const struct policystore_domain d = { .name = span_of(name),
		.authoritative = true };
	struct err err = { 0 };

	if (!policystore_add_domain(g->hub.store, SPAN("test"), 10, &d, NULL, &err))
		fail_msg("%s", err.text);
}

static void
ask(unsigned who)
{
	waiters[who] = (struct waiter){ .wait.in = in };
	policyload_look(load, &waiters[who].wait);
}

static void
wait_for(struct gate *g, unsigned who)
{
	struct err err = { 0 };

	while (waiters[who].in == 0)
		assert_true(loop_run(g->hub.loop, &err));
}

static int
begin(void **state)
{
	(void)told_up(state);
	gate_now = *state;
	changes = 0;
	gate_now->looks = 0;
	load = policyload_new(&gate_now->hub, changed, NULL);
	return 0;
}

static int
end(void **state)
{
	policyload_free(load);
	return told_down(state);
}

static bool
is_ours(const struct gate *g, const char *domain)
{
	return rcpt_is_ours(g->hub.directory, span_of(domain));
}

static void
what_the_database_says_is_in_when_it_is_told(void **state)
{
	struct gate *g = *state;
	struct err err = { 0 };

	add_domain(g, "one.test");
	assert_true(policyload_first(load, &err));
	assert_true(is_ours(g, "one.test"));
	assert_false(is_ours(g, "contoso.test"));
	const struct directory *first = g->hub.directory;

	/* Nothing is new: it is in already. */
	ask(0);
	assert_int_equal(waiters[0].in, 1);
	assert_false(waiters[0].failed);
	assert_true(policyload_quiet(load));
	assert_ptr_equal(g->hub.directory, first);
	assert_int_equal(changes + g->looks, 0);

	add_domain(g, "two.test");
	ask(0);
	assert_int_equal(waiters[0].in, 0);
	assert_false(policyload_quiet(load));
	/* Who asks while it is read waits for another reading: it may have begun too early. */
	add_domain(g, "three.test");
	ask(1);
	ask(2);
	wait_for(g, 0);
	assert_int_equal(waiters[0].in, 1);
	assert_false(waiters[0].failed);
	assert_true(is_ours(g, "two.test"));
	assert_true(g->looks > 0);
	assert_int_equal(changes, 1);
	wait_for(g, 1);
	wait_for(g, 2);
	assert_true(policyload_quiet(load));
	assert_int_equal(waiters[1].in, 1);
	assert_int_equal(waiters[2].in, 1);
	assert_true(is_ours(g, "three.test"));
	assert_ptr_equal(g->hub.policies, directory_policies(g->hub.directory));
}

/* The old ones stay, and who waits is told. */
static void
what_cannot_be_read_changes_nothing(void **state)
{
	struct gate *g = *state;
	struct err err = { 0 };

	assert_true(policyload_first(load, &err));
	const struct directory *before = g->hub.directory;
	add_domain(g, "one.test");
	g->hub.state = "/nowhere";
	ask(0);
	wait_for(g, 0);
	assert_int_equal(waiters[0].in, 1);
	assert_true(waiters[0].failed);
	assert_ptr_equal(g->hub.directory, before);
	assert_int_equal(changes, 0);
	/* The next time all is well again. */
	g->hub.state = g->dir;
	ask(1);
	wait_for(g, 1);
	assert_false(waiters[1].failed);
	assert_true(is_ours(g, "one.test"));
	assert_int_equal(changes, 1);
}

static void
who_waits_at_the_end_is_told_nothing(void **state)
{
	struct gate *g = *state;

	add_domain(g, "one.test");
	ask(0);
	assert_false(policyload_quiet(load));
	policyload_free(load); /* it waits for its thread */
	load = NULL;
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
