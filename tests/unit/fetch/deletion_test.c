/* DELE in its windows, and QUIT behind it. */
#include "window.h"

static bool
delete_all(size_t **deleted, size_t *n)
{
	*n = 0;
	return pop_delete(&w.s, deleted, n);
}

static void
all_durable(size_t n)
{
	start(n);
	for (size_t i = 0; i < n; i++)
		w.messages[i].durable = true;
}

static void
quit_goes_with_the_last_deletion(void **state)
{
	size_t *deleted, n;

	(void)state;
	for (size_t many = 9; many <= MANY; many += MANY - 9) {
		all_durable(many);
		for (size_t i = 0; i < many; i++)
			w.listed[i].octets = 100 * MB; /* which do not count here */
		w.messages[4].suspect = w.messages[5].blamed = true; /* nor does that */
		assert_true(delete_all(&deleted, &n));
		assert_int_equal(n, many);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(deleted[i], i);
		free(deleted);
		assert_int_equal(w.most, many < WINDOW ? many : WINDOW);
		assert_int_equal(w.quits, 1);
		assert_int_equal(w.quit_behind, many);
		assert_int_equal(w.progress, many);
		assert_int_equal(w.sdps, 0);
		assert_int_equal(w.s.stage, POP_AT_DELE);
	}
	all_durable(9);
	w.s.caps.pipelining = false;
	assert_true(delete_all(&deleted, &n));
	free(deleted);
	assert_int_equal(n, 9);
	assert_int_equal(w.most, 1);
	assert_int_equal(w.quits, 0);
	/* Not before the end. */
	all_durable(9);
	w.up_at = 4;
	assert_true(delete_all(&deleted, &n));
	free(deleted);
	assert_int_equal(n, 4);
	assert_int_equal(w.quits, 0);
	start(9);
	assert_true(delete_all(&deleted, &n));
	free(deleted);
	assert_int_equal(n + w.n_asked + w.quits + w.flushes, 0);
}

static void
only_what_is_here_is_deleted(void **state)
{
	size_t *deleted, n;

	(void)state;
	for (int stateless = 0; stateless < 2; stateless++) {
		all_durable(8);
		if (stateless)
			w.poll.reader = NULL;
		w.messages[1].durable = false;
		w.state[2] = ORIGIN_NEW; /* its body was found damaged */
		w.state[3] = ORIGIN_SETTLED;
		w.store_fails = 5;
		struct memo_message *m = fetch_memo_get(&w.memo, SPAN("uid5"));
		m->deletes = 2;
		m->delete_ms = clock_wall_ms() + 3600 * 1000;
		assert_true(delete_all(&deleted, &n));
		check_order(stateless ? "1 3 4 5 7 8" : "1 4 7 8");
		assert_int_equal(deleted[n - 1], 7);
		assert_int_equal(w.logged_err, !stateless);
		free(deleted);
	}
}

static void
only_what_was_answered_well_is_deleted(void **state)
{
	static const enum pop_answer bad[] = { POP_ODD, POP_LOST };
	size_t *deleted, n;

	(void)state;
	all_durable(9);
	w.answers[2] = POP_ERR;
	assert_true(delete_all(&deleted, &n));
	assert_int_equal(n, 8);
	assert_int_equal(deleted[2], 3);
	assert_int_equal(w.progress, 9);
	assert_int_equal(fetch_memo_find(&w.memo, SPAN("uid2"))->deletes, 1);
	assert_int_equal(w.logged + w.poll.refused, 0);
	free(deleted);
	for (int how = 0; how < 2; how++) {
		all_durable(9);
		w.answers[2] = bad[how];
		assert_false(delete_all(&deleted, &n));
		free(deleted);
		assert_int_equal(n, 2);
		assert_int_equal(w.odd, how == 0);
		assert_int_equal(w.lost, how == 1);
		assert_int_equal(fetch_memo_alone(&w.memo, clock_wall_ms()), how == 0);
		assert_int_equal(w.logged, 0);
		/* The second time it is told of, and left out from then on. */
		w.n_asked = w.n_flushed = w.n_answered = w.quits = 0;
		w.s.quit_sent = false;
		assert_false(delete_all(&deleted, &n));
		free(deleted);
		assert_int_equal(w.logged, 1);
		w.n_asked = w.n_flushed = w.n_answered = w.quits = 0;
		assert_true(delete_all(&deleted, &n));
		free(deleted);
		check_order("1 2 4 5 6 7 8 9");
		assert_int_equal(w.logged, 1);
	}
	/* Of a message without a name nothing can be remembered. */
	all_durable(9);
	w.poll.reader = NULL;
	w.uids[2][0] = '\0';
	w.answers[2] = POP_ODD;
	assert_false(delete_all(&deleted, &n));
	free(deleted);
	assert_int_equal(w.odd, 1);
	assert_int_equal(w.logged, 0);
	/* A server that does not pipeline is no other for it. */
	all_durable(9);
	w.s.caps.pipelining = false;
	w.answers[2] = POP_ODD;
	assert_false(delete_all(&deleted, &n));
	free(deleted);
	assert_false(fetch_memo_alone(&w.memo, clock_wall_ms()));
}

static void
again(size_t **deleted, size_t *n)
{
	w.n_asked = w.n_flushed = w.n_answered = w.quits = 0;
	w.s.quit_sent = false;
	assert_true(delete_all(deleted, n));
	free(*deleted);
}

/* One is told of, and left out, at the fifth time; all of them are the account's trouble, told
 * at each time, and left out from the fifth on. */
static void
what_is_refused_is_asked_for_five_times_and_then_once_a_day(void **state)
{
	size_t *deleted, n;

	(void)state;
	all_durable(3);
	w.answers[1] = POP_ERR;
	for (int i = 1; i <= 6; i++) {
		again(&deleted, &n);
		check_order(i < 6 ? "1 2 3" : "1 3");
		assert_int_equal(n, 2);
		assert_int_equal(w.logged, i >= 5);
		assert_int_equal(w.poll.refused, 0);
	}
	all_durable(3);
	for (size_t i = 0; i < 3; i++)
		w.answers[i] = POP_ERR;
	for (int i = 1; i <= 6; i++) {
		w.poll.refused = 0;
		again(&deleted, &n);
		assert_int_equal(w.n_asked, i < 6 ? 3 : 0);
		assert_int_equal(w.poll.refused, i < 6 ? 3 : 0);
		assert_int_equal(w.logged, 0);
		assert_true(i == 6 ||
				strncmp(w.poll.refusal.text, "DELE: -ERR", 10) == 0);
	}
	/* Where RETRs were refused, that is said. */
	all_durable(3);
	for (size_t i = 0; i < 3; i++)
		w.answers[i] = POP_ERR;
	w.poll.refused = 7;
	again(&deleted, &n);
	assert_int_equal(w.poll.refused, 7);
}

static void
each_step_of_a_deletion_that_fails_ends_it(void **state)
{
	size_t *deleted, n;

	(void)state;
	for (int how = 0; how < 3; how++) {
		all_durable(9);
		w.command_fails = how == 0 ? 5 : 0;
		w.flush_fails = how == 1;
		w.quit_fails = how == 2;
		assert_false(delete_all(&deleted, &n));
		assert_int_equal(n, 0);
		assert_int_equal(w.n_answered, 0);
		free(deleted);
	}
	fetch_memo_done(&w.memo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quit_goes_with_the_last_deletion),
		cmocka_unit_test(only_what_is_here_is_deleted),
		cmocka_unit_test(only_what_was_answered_well_is_deleted),
		cmocka_unit_test(
				what_is_refused_is_asked_for_five_times_and_then_once_a_day),
		cmocka_unit_test(each_step_of_a_deletion_that_fails_ends_it),
	};
	const uint64_t seed[2] = { 1, 2 };

	fetch_memo_init(&w.memo, seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
