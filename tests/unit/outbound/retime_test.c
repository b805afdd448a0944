/* What waits is due earlier: after a clock that was ahead, and when policies are others. */
#include "hand.h"

#include "left.h"
#include "retime.h"

static unsigned refreshed;
static struct retime all, left;

void __wrap_dispatch_refresh(struct dispatch *d);

void
__wrap_dispatch_refresh(struct dispatch *d)
{
	(void)d;
	refreshed++;
}

static int
retime_up(void **state)
{
	(void)set_up(state);
	struct gate *g = *state;

	refreshed = 0;
	retime_init(&all, g->d, (struct span){ NULL, 0 });
	retime_init(&left, g->d, SPAN(HOP_LEFT));
	return 0;
}

/* The one job that was handed in, off the list. */
static struct retiming *
handed_one(void)
{
	assert_false(list_empty(&handed));
	struct store_job *job = LIST_ITEM(handed.next, struct store_job, link);

	assert_ptr_equal(handed.next->next, &handed);
	assert_int_equal(job->work, STORE_RETIME);
	list_del(&job->link);
	return LIST_ITEM(job, struct retiming, job);
}

static void
comes_back(struct retiming *r, enum store_result result, uint64_t changed)
{
	r->changed = changed;
	r->job.result = result;
	r->job.done(r->job.host, &r->job);
}

/* Only what changed is looked for; one job at a time, and the last that was asked for is done. */
static void
what_is_due_earlier_now_is_looked_for(void **state)
{
	(void)state;
	retime_by(&all, 1000);
	struct retiming *r = handed_one();
	assert_int_equal(r->latest_ms, 1000);
	assert_int_equal(r->hop.n, 0);
	retime_by(&all, 900); /* while it is under way: once more afterwards */
	retime_by(&all, 800);
	assert_true(list_empty(&handed));
	comes_back(r, STORE_DONE, 0);
	assert_int_equal(refreshed, 0);
	r = handed_one();
	assert_int_equal(r->latest_ms, 800);
	comes_back(r, STORE_FAILED, 3);
	assert_int_equal(refreshed, 0);
	assert_true(list_empty(&handed));
	retime_by(&all, 700);
	comes_back(handed_one(), STORE_DONE, 3);
	assert_int_equal(refreshed, 1);
	assert_true(list_empty(&handed));
}

static void
what_waits_for_a_policy_is_a_hop_of_its_own(void **state)
{
	(void)state;
	retime_by(&left, 5000);
	struct retiming *r = handed_one();
	assert_true(span_eq(r->hop, SPAN("no-policy")));
	assert_int_equal(r->latest_ms, 5000);
	comes_back(r, STORE_DONE, 2);
	assert_int_equal(refreshed, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_due_earlier_now_is_looked_for,
				retime_up, tear_down),
		cmocka_unit_test_setup_teardown(
				what_waits_for_a_policy_is_a_hop_of_its_own, retime_up,
				tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
