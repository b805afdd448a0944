/* What goes to the store thread comes back to who handed it in, on the loop thread; at the end
 * everybody hears what became of his. */
#include "gate.h"

enum { JOBS = 6 };

struct hands {
	struct gate *gate;
	struct jobs *jobs;
	struct retiming job[JOBS];
	char log[400]; /* what was called, in order */
	int back, stop_after;
};

static void
say(struct hands *h, const char *what, const struct store_job *job)
{
	size_t n = strlen(h->log);
	int which = 0;

	while (job && job != &h->job[which].job)
		which++;
	(void)snprintf(h->log + n, sizeof(h->log) - n, "%s%d ", what, which);
}

static void
result(void *host, const struct store_job *job)
{
	say(host, "result", job);
}

static void
batch_over(void *host)
{
	struct hands *h = host;

	say(h, "batch", NULL);
	if (h->back == h->stop_after)
		loop_stop(h->gate->hub.loop);
}

static const struct jobs_calls hands_calls = { .result = result,
	.batch_over = batch_over };

static void
done(void *host, struct store_job *job)
{
	struct hands *h = host;

	say(h, job->result == STORE_DONE ? "done" : "failed", job);
	h->back++;
}

static int
hands_open(void **state)
{
	static const struct directory_rows nobody;
	static struct hands h;

	h = (struct hands){ .gate = gate_new(&nobody) };
	gate_fresh(h.gate);
	h.jobs = jobs_new(h.gate->hub.loop, h.gate->hub.store, &hands_calls, &h);
	for (size_t i = 0; i < JOBS; i++) {
		h.job[i] = (struct retiming){
			.job = { .work = STORE_RETIME, .done = done, .host = &h }
		};
		list_init(&h.job[i].job.link);
	}
	*state = &h;
	return 0;
}

static int
hands_close(void **state)
{
	struct hands *h = *state;

	store_stop(h->gate->hub.store);
	jobs_free(h->jobs);
	gate_free(h->gate);
	return 0;
}

/* Nobody flushes: the end of the callback does. */
static void
jobs_go_out_together_and_come_back_in_order(void **state)
{
	struct hands *h = *state;
	struct err err = { 0 };

	for (size_t i = 0; i < 3; i++)
		jobs_add(h->jobs, &h->job[i].job);
	assert_int_equal(jobs_under_way(h->jobs), 3);
	assert_true(store_start(h->gate->hub.store, &err));
	h->stop_after = 3;
	assert_true(loop_run(h->gate->hub.loop, &err));
	assert_string_equal(
			h->log, "result0 done0 result1 done1 result2 done2 batch0 ");
	assert_int_equal(jobs_under_way(h->jobs), 0);
}

static void
what_was_not_handed_over_fails_at_the_end(void **state)
{
	struct hands *h = *state;
	struct err err = { 0 };

	assert_true(store_start(h->gate->hub.store, &err));
	jobs_add(h->jobs, &h->job[0].job);
	jobs_flush(h->jobs);
	jobs_add(h->jobs, &h->job[1].job);
	jobs_add(h->jobs, &h->job[2].job);
	store_stop(h->gate->hub.store); /* does what it was given */
	h->stop_after = -1;
	jobs_free(h->jobs);
	h->jobs = NULL;
	assert_string_equal(h->log, "result0 done0 batch0 failed1 failed2 ");
	assert_int_equal(h->job[1].job.result, STORE_FAILED);
	assert_string_equal(h->job[1].job.err.text, "the relay is stopping");
}

/* One whose answer makes somebody ask for more. */
static void
done_again(void *host, struct store_job *job)
{
	struct hands *h = host;

	done(host, job);
	jobs_add(h->jobs, &h->job[5].job);
}

static void
what_is_asked_for_at_the_end_fails_at_once(void **state)
{
	struct hands *h = *state;
	struct err err = { 0 };

	h->job[0].job.done = done_again;
	assert_true(store_start(h->gate->hub.store, &err));
	jobs_add(h->jobs, &h->job[0].job);
	jobs_flush(h->jobs);
	store_stop(h->gate->hub.store);
	h->stop_after = -1;
	jobs_free(h->jobs);
	h->jobs = NULL;
	assert_string_equal(h->log, "result0 done0 failed5 batch0 ");
}

/* And in the middle of life it goes out with the answers of that batch. */
static void
what_an_answer_asks_for_goes_out_at_once(void **state)
{
	struct hands *h = *state;
	struct err err = { 0 };

	h->job[0].job.done = done_again;
	assert_true(store_start(h->gate->hub.store, &err));
	jobs_add(h->jobs, &h->job[0].job);
	h->stop_after = 2;
	assert_true(loop_run(h->gate->hub.loop, &err));
	assert_string_equal(h->log, "result0 done0 batch0 result5 done5 batch0 ");
	assert_int_equal(jobs_under_way(h->jobs), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				jobs_go_out_together_and_come_back_in_order, hands_open,
				hands_close),
		cmocka_unit_test_setup_teardown(
				what_was_not_handed_over_fails_at_the_end, hands_open,
				hands_close),
		cmocka_unit_test_setup_teardown(
				what_is_asked_for_at_the_end_fails_at_once, hands_open,
				hands_close),
		cmocka_unit_test_setup_teardown(
				what_an_answer_asks_for_goes_out_at_once, hands_open,
				hands_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
