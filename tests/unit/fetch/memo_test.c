/* What is remembered of an account: it comes back as it was, and pauses end when they should. */
#include "../../../src/fetch/memo.h"

#include <stdio.h>
#include <string.h>

#include "check.h"

static const int64_t minute = 60000, hour = 60 * minute, day = 24 * hour;
static const int64_t now = 1700000000000;
static const uint64_t seed[2] = { 1, 2 };

/* Every line there is, in the order they are written in. */
static const char whole[] =
		"failures 1\nrefusals 2\nserver 3\nalone 4\ngrounded 5\nflights 6\n"
		"off-octets 7\noff-share 8\ncheck 9\nrefused 10\nlogon 11\n"
		"kept 12\nrounds 13\ntried 14\nproven 1\nheard 15\ndelay 16\n"
		"caps 17\nheld 1\nnewcomer 9 3\nheld_at 18\nretried 19\n"
		"domainless 1\n"
		"message uid-1 1 2 1 0 1 3 0 4 5 6 7 8 9\n";

static void
start(struct fetch_memo *m, const char *text)
{
	fetch_memo_init(m, seed);
	m->loaded = true;
	fetch_memo_read(m, span_of(text));
}

/* Each fact in the place it belongs to. */
static void
every_fact_is_read(void **state)
{
	struct fetch_memo m;

	(void)state;
	start(&m, whole);
	assert_int_equal(m.failures, 1);
	assert_int_equal(m.refusals, 2);
	assert_int_equal(m.server, 3);
	assert_int_equal(m.alone_until_ms, 4);
	assert_int_equal(m.grounded_until_ms, 5);
	assert_int_equal(m.flights_lost, 6);
	assert_int_equal(m.off_octets, 7);
	assert_int_equal(m.off_share, 8);
	assert_int_equal(m.check, 9);
	assert_int_equal(m.refused, 10);
	assert_int_equal(m.logon_ms, 11);
	assert_int_equal(m.kept_ms, 12);
	assert_int_equal(m.kept_rounds, 13);
	assert_int_equal(m.kept_try_ms, 14);
	assert_true(m.proven);
	assert_int_equal(m.heard_ms, 15);
	assert_int_equal(m.login_delay_s, 16);
	assert_int_equal(m.caps, 17);
	assert_true(m.held);
	assert_true(m.newcomer);
	assert_int_equal(m.nobody, 9);
	assert_int_equal(m.nobody_why, 3);
	assert_int_equal(m.held_at, 18);
	assert_int_equal(m.retried, 19);
	assert_true(m.domainless);

	const struct memo_message *msg = fetch_memo_find(&m, SPAN("uid-1"));
	assert_non_null(msg);
	assert_int_equal(msg->attempts, 1);
	assert_int_equal(msg->crashes, 2);
	assert_true(msg->told);
	assert_false(msg->aside);
	assert_true(msg->verified);
	assert_int_equal(msg->octets, 3);
	assert_false(msg->suspect);
	assert_int_equal(msg->listed, 4);
	assert_int_equal(msg->last_ms, 5);
	assert_int_equal(msg->next_ms, 6);
	assert_int_equal(msg->waited_ms, 7);
	assert_int_equal(msg->deletes, 8);
	assert_int_equal(msg->delete_ms, 9);
	fetch_memo_done(&m);
}

/* And written as it was read, whole or one line alone; into a buffer of any size only whole
 * lines go. */
static void
what_is_printed_is_what_was_read(void **state)
{
	struct buf out = BUF_MAX(4096);
	struct fetch_memo m;
	struct span left = SPAN(whole);

	(void)state;
	start(&m, whole);
	assert_false(fetch_memo_print(&m, &out)); /* as the store has it */
	assert_string_equal(buf_cstr(&out), whole);
	for (size_t room = 1; room < sizeof(whole); room++) {
		struct buf tight = BUF_MAX(room);

		(void)fetch_memo_print(&m, &tight);
		assert_true(tight.n == 0 || whole[tight.n - 1] == '\n');
		assert_memory_equal(whole, tight.p ? tight.p : whole, tight.n);
		buf_done(&tight);
	}
	fetch_memo_done(&m);

	while (left.n > 0) {
		struct span line = span_until(&left, '\n');
		bool newcomer = span_starts(line, SPAN("newcomer"));
		char text[128];

		assert_true(line.n + 2 <= sizeof(text));
		memcpy(text, line.p, line.n);
		memcpy(text + line.n, "\n", 2);
		start(&m, text);
		buf_clear(&out);
		(void)fetch_memo_print(&m, &out);
		assert_non_null(strstr(buf_cstr(&out), text));
		assert_int_equal(out.n,
				strlen(text) + (newcomer ? 0 : strlen("newcomer -\n")));
		fetch_memo_done(&m);
	}
	buf_done(&out);
}

/* Told only when it is another text than the store has, and never before that was read. */
static void
it_is_stored_when_it_changed(void **state)
{
	struct buf out = BUF_MAX(4096);
	struct fetch_memo m;

	(void)state;
	fetch_memo_init(&m, seed);
	assert_true(m.newcomer);
	assert_false(fetch_memo_print(&m, &out));
	m.loaded = true;
	buf_clear(&out);
	assert_true(fetch_memo_print(&m, &out));
	assert_string_equal(buf_cstr(&out), "newcomer 0 0\n");
	buf_clear(&out);
	assert_true(fetch_memo_print(&m, &out)); /* it did not get there */
	fetch_memo_kept(&m);
	buf_clear(&out);
	assert_false(fetch_memo_print(&m, &out));
	m.failures = 1;
	buf_clear(&out);
	assert_true(fetch_memo_print(&m, &out));
	fetch_memo_done(&m);
	buf_done(&out);
}

/* What a damaged or a newer store holds harms nothing: numbers that are none or too great count
 * as none, unknown lines are passed over. */
static void
nonsense_is_passed_over(void **state)
{
	struct fetch_memo m;

	(void)state;
	start(&m,
			"whatever 7\n\nfailures x\nserver 65536\ncheck 65536\ncaps 256\nheld 2\n"
			"off-share 1001\nflights\nmessage\nmessage a 1001 5\nrefusals 3");
	assert_int_equal(m.failures, 0);
	assert_int_equal(m.server, 0);
	assert_int_equal(m.check, 0);
	assert_int_equal(m.caps, 0);
	assert_false(m.held);
	assert_int_equal(m.off_share, 0);
	assert_int_equal(m.flights_lost, 0);
	assert_int_equal(m.messages.n, 1);
	assert_int_equal(fetch_memo_find(&m, SPAN("a"))->attempts, 0);
	assert_int_equal(fetch_memo_find(&m, SPAN("a"))->crashes, 5);
	assert_int_equal(m.refusals, 3);
	/* An account of an older program is no newcomer. */
	assert_false(m.newcomer);
	fetch_memo_done(&m);

	start(&m, "");
	assert_true(m.newcomer);
	fetch_memo_done(&m);
	start(&m, "newcomer -\n");
	assert_false(m.newcomer);
	fetch_memo_done(&m);
	start(&m, "newcomer 10 1\n");
	assert_true(m.newcomer);
	assert_int_equal(m.nobody, MEMO_FIRST);
	fetch_memo_done(&m);
	start(&m, "newcomer 11 1\n");
	assert_false(m.newcomer);
	assert_int_equal(m.nobody, 0);
	assert_int_equal(m.nobody_why, 0);
	fetch_memo_done(&m);
}

static void
messages_are_found_and_forgotten(void **state)
{
	struct fetch_memo m;
	char uid[24];

	(void)state;
	start(&m, "");
	assert_null(fetch_memo_find(&m, SPAN("a")));
	assert_null(fetch_memo_get(&m, SPAN("")));
	struct memo_message *a = fetch_memo_get(&m, SPAN("a"));
	assert_non_null(a);
	assert_ptr_equal(fetch_memo_get(&m, SPAN("a")), a);
	assert_ptr_equal(fetch_memo_find(&m, SPAN("a")), a);
	assert_null(fetch_memo_find(&m, SPAN("")));
	fetch_memo_forget(&m, SPAN("b"));
	fetch_memo_forget(&m, SPAN("a"));
	assert_null(fetch_memo_find(&m, SPAN("a")));

	for (int i = 0; i < MEMO_MESSAGES; i++) {
		(void)snprintf(uid, sizeof(uid), "%d", i);
		assert_non_null(fetch_memo_get(&m, span_of(uid)));
	}
	assert_null(fetch_memo_get(&m, SPAN("one more")));
	assert_non_null(fetch_memo_get(&m, SPAN("17")));
	assert_int_equal(m.messages.n, MEMO_MESSAGES);
	fetch_memo_done(&m);
}

static bool
listed(void *host, struct span uid)
{
	unsigned *asked = host;

	*asked += 1;
	return span_eq(uid, SPAN("b"));
}

static void
what_is_not_listed_is_swept(void **state)
{
	struct fetch_memo m;
	unsigned asked = 0;

	(void)state;
	start(&m, "message a 1\nmessage b 1\nmessage c 1\n");
	fetch_memo_sweep(&m, listed, &asked);
	assert_int_equal(asked, 3);
	assert_int_equal(m.messages.n, 1);
	assert_non_null(fetch_memo_find(&m, SPAN("b")));
	fetch_memo_done(&m);
}

/* From none to six hours; three days of them set it aside, then it is asked for daily. */
static void
the_pauses_of_a_message_grow(void **state)
{
	static const int pauses[] = { 0, 0, 5, 15, 30, 60, 120, 240, 360, 360, 360 };
	struct memo_message m = { .attempts = 0 };
	int64_t wall = now;

	(void)state;
	for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++)
		assert_int_equal(fetch_memo_pause_ms(i), pauses[i] * minute);
	assert_true(fetch_memo_due(&m, wall));
	for (unsigned i = 1; i < MEMO_ATTEMPTS; i++) {
		assert_false(fetch_memo_failed(&m, wall));
		assert_int_equal(m.attempts, i);
		assert_int_equal(m.last_ms, wall);
		assert_int_equal(m.next_ms - wall, fetch_memo_pause_ms(i));
		assert_int_equal(fetch_memo_due(&m, wall), i == 1);
		wall = m.next_ms;
		assert_true(fetch_memo_due(&m, wall));
	}
	assert_true(fetch_memo_failed(&m, wall));
	assert_int_equal(m.next_ms, wall + day);
	assert_false(fetch_memo_due(&m, wall + day - 1));
	assert_true(fetch_memo_due(&m, wall + day));
	/* The clock was years ahead when it failed. */
	assert_true(fetch_memo_due(&m, wall - 1));
}

static void
time_that_passed_counts_but_a_day_at_most(void **state)
{
	struct memo_message m = { .attempts = 0 };

	(void)state;
	assert_false(fetch_memo_failed(&m, now));
	assert_int_equal(m.waited_ms, 0); /* since never */
	assert_false(fetch_memo_failed(&m, now + 100 * day)); /* the service was off */
	assert_int_equal(m.waited_ms, day);
	assert_false(fetch_memo_failed(&m, now)); /* the clock was set back */
	assert_int_equal(m.waited_ms, day);
	assert_false(fetch_memo_failed(&m, now + hour));
	assert_int_equal(m.waited_ms, day + hour);
	assert_false(fetch_memo_failed(&m, now + hour + day));
	assert_true(fetch_memo_failed(&m, now + 2 * day));
	assert_int_equal(m.waited_ms, 3 * day);

	struct memo_message at_once = { .attempts = 1 };
	fetch_memo_set_aside(&at_once, now);
	assert_true(at_once.aside);
	assert_int_equal(at_once.last_ms, now);
	assert_false(fetch_memo_due(&at_once, now));
	assert_false(fetch_memo_due(&at_once, now + day - 1));
	assert_true(fetch_memo_due(&at_once, now + day));
	assert_true(fetch_memo_failed(&at_once, now + day));
	assert_int_equal(at_once.next_ms, now + 2 * day);
}

static void
deletions_are_left_out_for_a_day(void **state)
{
	struct memo_message m = { .deletes = 0 };

	(void)state;
	assert_true(fetch_memo_may_delete(&m, now));
	assert_false(fetch_memo_not_deleted(&m, 2, now));
	assert_true(fetch_memo_may_delete(&m, now));
	assert_true(fetch_memo_not_deleted(&m, 2, now));
	assert_false(fetch_memo_may_delete(&m, now + day - 1));
	assert_true(fetch_memo_may_delete(&m, now + day));
	assert_true(fetch_memo_not_deleted(&m, 2, now + day));
	assert_false(fetch_memo_may_delete(&m, now + day));

	struct fetch_memo all = { .kept_rounds = MEMO_ROUNDS - 1, .kept_try_ms = now };
	assert_false(fetch_memo_leaves_kept(&all, now));
	all.kept_rounds = MEMO_ROUNDS;
	assert_true(fetch_memo_leaves_kept(&all, now));
	assert_true(fetch_memo_leaves_kept(&all, now + day - 1));
	assert_false(fetch_memo_leaves_kept(&all, now + day));
}

static void
troubles_are_counted(void **state)
{
	struct memo_troubles t;
	struct fetch_memo m;

	(void)state;
	start(&m, "");
	fetch_memo_troubles(&m, &t);
	assert_int_equal(t.aside + t.waiting, 0);
	assert_int_equal(t.again_ms, 0);
	fetch_memo_done(&m);
	/* e was never asked for in vain: only its size is known. */
	start(&m,
			"message a 3 0 0 0 0 0 0 0 1 500\nmessage b 1 0 0 0 0 0 0 0 1 300\n"
			"message c 0 0 0 1 0 0 0 0 1 400\nmessage d 9 0 0 1 0 0 0 0 1 900\n"
			"message e 0 0 0 0 1 77 0 0 0 100\n");
	fetch_memo_troubles(&m, &t);
	assert_int_equal(t.aside, 2);
	assert_int_equal(t.waiting, 2);
	assert_int_equal(t.again_ms, 300);
	fetch_memo_done(&m);
}

/* `accounts retry`: of one message, or of all and the logon. */
static void
pauses_are_ended_by_hand(void **state)
{
	static const char text[] = "logon 50\nmessage a 1 0 0 0 0 0 0 0 1 500 0 1 600\n"
				   "message b 1 0 0 0 0 0 0 0 1 500 0 1 600\n";
	struct fetch_memo m;

	(void)state;
	start(&m, text);
	fetch_memo_retry(&m, SPAN("c"));
	fetch_memo_retry(&m, SPAN("a"));
	assert_int_equal(fetch_memo_find(&m, SPAN("a"))->next_ms, 0);
	assert_int_equal(fetch_memo_find(&m, SPAN("a"))->delete_ms, 0);
	assert_int_equal(fetch_memo_find(&m, SPAN("b"))->next_ms, 500);
	assert_int_equal(fetch_memo_find(&m, SPAN("b"))->delete_ms, 600);
	assert_int_equal(m.logon_ms, 50);
	fetch_memo_retry(&m, SPAN(""));
	assert_int_equal(fetch_memo_find(&m, SPAN("b"))->next_ms, 0);
	assert_int_equal(fetch_memo_find(&m, SPAN("b"))->delete_ms, 0);
	assert_int_equal(m.logon_ms, 0);
	fetch_memo_done(&m);
}

static void
habits_are_those_of_one_server(void **state)
{
	struct fetch_memo m;

	(void)state;
	/* Of older programs, which did not say which server: they stay. */
	start(&m, "alone 4\ngrounded 5\nflights 6\noff-octets 7\noff-share 8\n");
	fetch_memo_at(&m, 3);
	assert_int_equal(m.server, 3);
	assert_int_equal(m.flights_lost, 6);
	fetch_memo_at(&m, 3);
	assert_int_equal(m.alone_until_ms, 4);
	assert_int_equal(m.grounded_until_ms, 5);
	assert_int_equal(m.flights_lost, 6);
	assert_int_equal(m.off_octets, 7);
	assert_int_equal(m.off_share, 8);
	fetch_memo_at(&m, 9);
	assert_int_equal(m.server, 9);
	assert_int_equal(m.alone_until_ms, 0);
	assert_int_equal(m.grounded_until_ms, 0);
	assert_int_equal(m.flights_lost, 0);
	assert_int_equal(m.off_octets, 0);
	assert_int_equal(m.off_share, 0);

	/* For four weeks; what is further away was set by a clock that was ahead. */
	assert_false(fetch_memo_alone(&m, now));
	m.alone_until_ms = now + MEMO_HABIT_MS;
	assert_true(fetch_memo_alone(&m, now));
	assert_false(fetch_memo_grounded(&m, now));
	assert_false(fetch_memo_alone(&m, now - 1));
	assert_true(fetch_memo_alone(&m, now + MEMO_HABIT_MS - 1));
	assert_false(fetch_memo_alone(&m, now + MEMO_HABIT_MS));
	m.grounded_until_ms = now + MEMO_HABIT_MS;
	assert_true(fetch_memo_grounded(&m, now));
	assert_false(fetch_memo_grounded(&m, now + MEMO_HABIT_MS));
	fetch_memo_done(&m);
}

static void
a_refused_logon_waits(void **state)
{
	static const int quarters[] = { 1, 2, 4, 8, 16, 24, 24 };
	struct fetch_memo m = { .refusals = MEMO_REFUSALS, .logon_ms = now };

	(void)state;
	for (unsigned i = 0; i < sizeof(quarters) / sizeof(quarters[0]); i++)
		assert_int_equal(fetch_memo_suspension_ms(MEMO_REFUSALS + i),
				quarters[i] * 15 * minute);
	assert_int_equal(fetch_memo_suspension_ms(0), 15 * minute);
	assert_int_equal(fetch_memo_suspension_ms(1000000), 6 * hour);

	assert_true(fetch_memo_suspended(&m, now - 1));
	assert_false(fetch_memo_suspended(&m, now));
	assert_true(fetch_memo_suspended(&m, now - day));
	assert_false(fetch_memo_suspended(&m, now - day - 1));
	m.refusals--;
	assert_false(fetch_memo_suspended(&m, now - 1));
}

static void
a_failed_poll_waits(void **state)
{
	static const struct {
		int64_t every;
		unsigned failures;
		int64_t wait;
	} cases[] = {
		{ 5 * 60000, 0, 5 * 60000 },
		{ 5 * 60000, 1, 5 * 60000 },
		{ 5 * 60000, 2, 10 * 60000 },
		{ 5 * 60000, 4, 40 * 60000 },
		{ 5 * 60000, 5, 60 * 60000 },
		{ 15 * 60000, 3, 60 * 60000 },
		{ 5 * 60000, 1000000, 60 * 60000 },
		{ 90 * 60000, 1, 90 * 60000 },
		{ 90 * 60000, 7, 90 * 60000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(fetch_memo_wait_ms(cases[i].every, cases[i].failures),
				cases[i].wait);
}

/* 16 bits that differ where the texts do, and never none. */
static void
a_check_tells_texts_apart(void **state)
{
	const struct span ab[] = { { SPAN_INIT("a") }, { SPAN_INIT("b") } };
	bool high = false, low = false;

	(void)state;
	assert_int_equal(fetch_memo_check(ab, 2), fetch_memo_check(ab, 2));
	assert_int_not_equal(fetch_memo_check(ab, 2), fetch_memo_check(ab, 1));
	for (int i = 0; i < 150000; i++) {
		char text[12];

		(void)snprintf(text, sizeof(text), "%d", i);
		const struct span one = span_of(text);
		unsigned check = fetch_memo_check(&one, 1);
		assert_in_range(check, 1, 0xffff);
		high = high || check > 0xff;
		low = low || (check & 0xff) != 0;
	}
	assert_true(high && low);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fact_is_read),
		cmocka_unit_test(what_is_printed_is_what_was_read),
		cmocka_unit_test(it_is_stored_when_it_changed),
		cmocka_unit_test(nonsense_is_passed_over),
		cmocka_unit_test(messages_are_found_and_forgotten),
		cmocka_unit_test(what_is_not_listed_is_swept),
		cmocka_unit_test(the_pauses_of_a_message_grow),
		cmocka_unit_test(time_that_passed_counts_but_a_day_at_most),
		cmocka_unit_test(deletions_are_left_out_for_a_day),
		cmocka_unit_test(troubles_are_counted),
		cmocka_unit_test(pauses_are_ended_by_hand),
		cmocka_unit_test(habits_are_those_of_one_server),
		cmocka_unit_test(a_refused_logon_waits),
		cmocka_unit_test(a_failed_poll_waits),
		cmocka_unit_test(a_check_tells_texts_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
