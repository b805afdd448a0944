/* RETR in its windows. */
#include "window.h"

static void
a_window_is_filled_when_it_is_half_empty(void **state)
{
	(void)state;
	start(MANY);
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.n_read, MANY);
	assert_int_equal(w.n_asked, MANY);
	assert_int_equal(w.most, WINDOW);
	assert_int_equal(w.flushes, 4);
	assert_int_equal(w.progress, MANY);
	assert_int_equal(w.theirs, MANY);
	assert_int_equal(w.quits, 0); /* never behind RETR */
	assert_int_equal(w.ended, 1);
	assert_int_equal(w.notices, 1);
	assert_int_equal(w.held_dropped, 1);
	assert_true(w.proved > 0 && w.drains == 1 && w.judged == 0);
	assert_true(w.s.came && !w.in_hand);
	assert_ptr_equal(w.s.low.host, &w.s);
}

/* The octets under way bound what an abort wastes; two go in any case. */
static void
a_window_is_bounded_in_octets(void **state)
{
	static const struct {
		uint64_t octets;
		size_t most;
	} rows[] = { { 16 * MB - 1, 2 }, { 100 * MB, 2 }, { 5 * MB, 4 }, { 8 * MB, 2 },
		{ 8 * MB - 1, 3 }, { MB, 16 } };

	(void)state;
	for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		start(40);
		for (size_t i = 0; i < 40; i++)
			w.listed[i].octets = rows[k].octets;
		assert_true(pop_retrieve(&w.s));
		assert_int_equal(w.n_read, 40);
		assert_int_equal(w.most, rows[k].most);
		assert_int_equal(w.most_late, rows[k].most);
	}
}

static void
one_by_one_where_nothing_else_is_understood(void **state)
{
	(void)state;
	for (int how = 0; how < 2; how++) {
		start(20);
		w.s.caps.pipelining = how;
		w.sdps_wanted = how;
		assert_true(pop_retrieve(&w.s));
		assert_int_equal(w.n_read, 20);
		assert_int_equal(w.most, 1);
		assert_int_equal(w.flushes, 20);
		assert_int_equal(w.sdps, 20);
	}
}

/* What failed comes behind the others, and what more came of than should last, by itself. */
static void
troublesome_messages_come_last(void **state)
{
	(void)state;
	start(9);
	w.messages[0].suspect = w.messages[3].suspect = true;
	w.messages[1].blamed = w.messages[3].blamed = true;
	w.messages[4].fate = POP_DELETE;
	w.messages[5].fate = POP_LATER;
	w.messages[6].fate = POP_ASIDE;
	assert_true(pop_retrieve(&w.s));
	check_order("3 8 9 2 1 4");
	assert_int_equal(w.most, 4);
	assert_int_equal(w.flushes, 3);
}

static void
what_was_short_is_asked_for_again_by_itself(void **state)
{
	(void)state;
	start(5);
	w.short_at = 2;
	w.short_times = 2;
	assert_true(pop_retrieve(&w.s));
	check_order("1 2 3 4 5 2 2");
	assert_int_equal(w.flushes, 3);
	assert_false(w.messages[1].again);
	start(5);
	w.short_at = 2;
	w.short_too = 4;
	w.short_times = 2;
	assert_true(pop_retrieve(&w.s));
	check_order("1 2 3 4 5 2 4");
	assert_int_equal(w.flushes, 3);
	start(5);
	w.short_at = 2;
	w.short_times = 2;
	w.breaks_at = 6;
	assert_false(pop_retrieve(&w.s));
	check_order("1 2 3 4 5 2");
	assert_int_equal(w.notices, 0);
}

static void
a_poll_that_is_to_end_asks_for_no_more(void **state)
{
	(void)state;
	start(20);
	w.up_at = 7;
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.n_asked, 7);
	assert_int_equal(w.n_read, 7);
}

/* Of a new account the first ten are answered before any other is asked for. */
static void
a_new_account_is_judged_by_its_first_messages(void **state)
{
	(void)state;
	start(30);
	w.newcomer_most = 10;
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.judged, 1);
	assert_int_equal(w.judged_at, 10);
	assert_int_equal(w.n_read, 30);
	for (int how = 0; how < 4; how++) {
		start(30);
		w.newcomer_most = 10;
		w.judge_fails = how == 0;
		w.prove_fails = how == 1;
		w.drain_fails = how == 2;
		w.submit = how != 3;
		assert_int_equal(pop_retrieve(&w.s), how == 3);
		assert_int_equal(w.n_read, how == 3 ? 30 : 10);
		assert_int_equal(w.s.relay_down, how == 2);
		assert_int_equal(w.event, how == 2 ? 4024 : 0);
		assert_int_equal(w.judged, how == 0 || how == 3);
		assert_int_equal(w.notices, how == 3);
		assert_int_equal(w.ended, 1);
		assert_int_equal(w.held_dropped, 1);
	}
	start(5);
	w.newcomer_most = 10;
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.judged, 0); /* the session does it at its end */
}

static void
each_step_that_fails_ends_it(void **state)
{
	(void)state;
	for (int how = 0; how < 7; how++) {
		start(20);
		w.s.caps.pipelining = how != 3;
		w.command_fails = how == 0 ? 5 : 0;
		w.flush_fails = how == 1;
		w.sdps_fails = how == 2 || how == 3 ? 5 : 0;
		w.breaks_at = how == 4 ? 5 : 0;
		w.prove_fails = how == 5;
		w.notices_fail = how == 6;
		assert_false(pop_retrieve(&w.s));
		assert_int_equal(w.n_read,
				how < 3			   ? 0
						: how == 3 ? 4
						: how == 4 ? 5
							   : 20);
		assert_int_equal(w.ended, 1);
		assert_int_equal(w.held_dropped, 1);
		assert_int_equal(w.notices, how == 6);
		/* A fault in the midst of it is the message's. */
		assert_int_equal(w.in_hand, how == 4);
		assert_int_equal(w.drains, how < 3 ? 0 : 1);
	}
}

static void
answers_that_are_no_message(void **state)
{
	static const enum pop_answer bad[] = { POP_ODD, POP_LOST };

	(void)state;
	start(9);
	w.answers[3] = w.answers[4] = POP_ERR;
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.n_read, 7);
	assert_int_equal(w.refusals, 2);
	assert_int_equal(w.not_retrieved, 0);
	assert_int_equal(w.theirs, 7);
	assert_int_equal(w.progress, 9);
	start(3);
	w.answers[0] = w.answers[1] = w.answers[2] = POP_ERR;
	assert_true(pop_retrieve(&w.s));
	assert_false(w.s.came);
	assert_int_equal(w.refusals, 3);
	/* Nonsense is the message's own where none ended before it. */
	for (int how = 0; how < 4; how++) {
		start(9);
		w.answers[3] = bad[how & 1];
		w.s.ended = how & 2;
		assert_false(pop_retrieve(&w.s));
		assert_int_equal(w.n_read, 3);
		assert_int_equal(w.refusals, 0);
		assert_int_equal(w.not_retrieved, how == 0);
	}
}

static void
a_relay_that_takes_no_more_ends_it(void **state)
{
	(void)state;
	start(20);
	w.relay_down_at = 4;
	assert_false(pop_retrieve(&w.s));
	assert_int_equal(w.n_read, 4);
	assert_int_equal(w.event, 4024);
	assert_int_equal(w.notices, 0);
	/* It is found out with the last answer. */
	start(20);
	w.drain_fails = true;
	assert_false(pop_retrieve(&w.s));
	assert_int_equal(w.event, 4024);
	assert_true(w.s.relay_down);
	assert_string_equal(w.why, "the relay is gone");
	assert_int_equal(w.notices, 1);
	start(20);
	w.relay_down_at = 20;
	w.drain_fails = true;
	assert_false(pop_retrieve(&w.s));
	assert_int_equal(w.fails, 1);
	/* Nobody was asked for anything. */
	start(20);
	w.submit = false;
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.drains, 0);
	start(0);
	w.s.relay_down = true;
	assert_false(pop_retrieve(&w.s));
	assert_int_equal(w.event, 4024);
}

/* While the server is waited for, what was gathered goes to the relay, unless more comes. */
static void
a_wait_is_used_to_hand_over(void **state)
{
	(void)state;
	for (int how = 0; how < 8; how++) {
		start(1);
		assert_true(pop_retrieve(&w.s));
		w.pending = how & 1;
		w.silent = how & 2;
		w.s.submit = how & 4 ? (void *)&the_submit : NULL;
		w.s.low.waiting(w.s.low.host);
		assert_int_equal(w.submit_flushes, how == 7);
		assert_int_equal(w.dial_waits, (how & 5) == 5);
	}
	fetch_memo_done(&w.memo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_is_filled_when_it_is_half_empty),
		cmocka_unit_test(a_window_is_bounded_in_octets),
		cmocka_unit_test(one_by_one_where_nothing_else_is_understood),
		cmocka_unit_test(troublesome_messages_come_last),
		cmocka_unit_test(what_was_short_is_asked_for_again_by_itself),
		cmocka_unit_test(a_poll_that_is_to_end_asks_for_no_more),
		cmocka_unit_test(a_new_account_is_judged_by_its_first_messages),
		cmocka_unit_test(each_step_that_fails_ends_it),
		cmocka_unit_test(answers_that_are_no_message),
		cmocka_unit_test(a_relay_that_takes_no_more_ends_it),
		cmocka_unit_test(a_wait_is_used_to_hand_over),
	};
	const uint64_t seed[2] = { 1, 2 };

	fetch_memo_init(&w.memo, seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
