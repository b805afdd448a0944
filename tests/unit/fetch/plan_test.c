/* What becomes of each message of a maildrop, and of what is remembered. */
#include "../../../src/fetch/memo.h"
#include "../../../src/fetch/plan.h"
#include "../../../src/fetch/poll.h"
#include "../../../src/fetch/session.h"
#include "../../../src/fetch/transcript.h"
#include "check.h"
#include "postern/clock.h"

enum { DAY = 24 * 3600 * 1000 };

static void
test_one_message(void **state)
{
	const int64_t now = 100 * (int64_t)DAY;
	const struct {
		const char *what;
		struct pop_rules rules;
		struct pop_message m;
		enum pop_fate fate;
	} rows[] = {
		{ "new", { 0 }, { .named = true }, POP_RETRIEVE },
		{ "new, told by its content", { 0 }, { .named = false }, POP_RETRIEVE },
		{ "here, QUIT was lost", { 0 },
				{ .named = true, .known = POP_COMMITTED }, POP_DELETE },
		{ "deleted, listed again", { 0 },
				{ .named = true, .known = POP_SETTLED }, POP_VERIFY },
		{ "kept for ever", { .keep_ms = -1 },
				{ .named = true, .known = POP_COMMITTED }, POP_LEAVE },
		{ "kept, young", { .keep_ms = 7 * (int64_t)DAY, .now_ms = now },
				{ .named = true,
						.known = POP_COMMITTED,
						.committed_s = (uint32_t)((now - 7 * (int64_t)DAY) /
									       1000) +
								1 },
				POP_LEAVE },
		{ "kept, old", { .keep_ms = 7 * (int64_t)DAY, .now_ms = now },
				{ .named = true,
						.known = POP_COMMITTED,
						.committed_s = (uint32_t)((now - 7 * (int64_t)DAY) /
								1000) },
				POP_DELETE },
		{ "at the limit", { .max_size = 100 }, { .named = true, .octets = 100 },
				POP_RETRIEVE },
		{ "too large", { .max_size = 100 }, { .named = true, .octets = 101 },
				POP_OVERSIZE },
		{ "too large, to be told of", { .max_size = 100, .notice = true },
				{ .named = true, .octets = 101 }, POP_NOTICE },
		{ "too large, told of", { .max_size = 100, .notice = true },
				{ .named = true, .octets = 101, .told = true },
				POP_OVERSIZE },
		{ "adopted", { 0 }, { .named = true, .known = POP_ADOPTED },
				POP_LEAVE },
		{ "here, of another size now", { 0 },
				{ .named = true,
						.known = POP_COMMITTED,
						.changed = true },
				POP_VERIFY },
		{ "large and here", { .max_size = 100 },
				{ .named = true,
						.octets = 101,
						.known = POP_COMMITTED },
				POP_DELETE },
		{ "set aside", { 0 }, { .named = true, .aside = true }, POP_ASIDE },
		{ "deleted in vain, left for today", { 0 },
				{ .named = true, .known = POP_SETTLED, .kept = true },
				POP_LEAVE },
		{ "here, by a clock that was ahead", { .now_ms = now },
				{ .named = true,
						.known = POP_COMMITTED,
						.committed_s = (uint32_t)(now / 1000) +
								1000 },
				POP_DELETE },
		{ "of any size", { 0 }, { .named = true, .octets = 1u << 31 },
				POP_RETRIEVE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pop_message m = rows[i].m;
		struct pop_plan plan = { .fresh = 7, .delete = 7 };

		pop_plan_make(&rows[i].rules, &m, 1, &plan);
		assert_int_equal(plan.fresh, m.known == POP_UNKNOWN);
		assert_int_equal(plan.delete, m.fate == POP_DELETE);
		if (m.fate != rows[i].fate)
			fail_msg("%s: got %d, want %d", rows[i].what, (int)m.fate,
					(int)rows[i].fate);
	}
}

static void
test_a_session_has_its_limit(void **state)
{
	struct pop_rules rules = { .max_per_session = 2 };
	struct pop_message m[6] = {
		{ .named = true, .known = POP_COMMITTED },
		{ .named = true },
		{ .named = true, .known = POP_SETTLED },
		{ .named = true },
		{ .named = true, .known = POP_COMMITTED },
		{ .named = false },
	};
	struct pop_plan plan;

	(void)state;
	pop_plan_make(&rules, m, 6, &plan);
	assert_int_equal(plan.retrieve, 1);
	assert_int_equal(plan.verify, 1);
	assert_int_equal(plan.later, 2);
	assert_int_equal(plan.delete, 2);
	assert_int_equal(plan.fresh, 3);
	assert_int_equal(m[3].fate, POP_LATER);
	/* Where nothing is deleted, a nameless one would come first for ever. */
	rules.keep_ms = -1;
	pop_plan_make(&rules, m, 6, &plan);
	assert_int_equal(m[5].fate, POP_RETRIEVE);
	assert_int_equal(m[3].fate, POP_LATER);
	assert_int_equal(plan.leave, 2);
}

static void
test_failures_wait_longer(void **state)
{
	(void)state;
	assert_int_equal(fetch_memo_wait_ms(60000, 1), 60000);
	assert_int_equal(fetch_memo_wait_ms(60000, 2), 120000);
	assert_int_equal(fetch_memo_wait_ms(60000, 100), 3600 * 1000);
	assert_int_equal(fetch_memo_wait_ms(DAY, 9), DAY);
}

static void
test_memo_is_bounded(void **state)
{
	const uint64_t seed[2] = { 3, 4 };
	struct fetch_memo memo;

	(void)state;
	fetch_memo_init(&memo, seed);
	assert_null(fetch_memo_get(&memo, SPAN("")));
	for (unsigned i = 0; i < MEMO_MESSAGES + 5; i++) {
		struct span uid = { (const char *)&i, sizeof(i) };
		struct memo_message *m = fetch_memo_get(&memo, uid);
		assert_true((m != NULL) == (i < MEMO_MESSAGES));
		if (m)
			m->attempts = i;
	}
	unsigned seven = 7;
	struct span uid = { (const char *)&seven, sizeof(seven) };
	assert_int_equal(fetch_memo_find(&memo, uid)->attempts, 7);
	fetch_memo_forget(&memo, uid);
	assert_null(fetch_memo_find(&memo, uid));
	fetch_memo_done(&memo);
}

/* ---- what is judged by time, when the clock was wrong ---- */

static void
a_clock_that_was_ahead_keeps_no_account_alone(void **state)
{
	const int64_t now = INT64_C(1800000000000), ten_years = 3650 * (int64_t)DAY;
	const struct {
		const char *what;
		int64_t until_ms;
		bool alone;
	} rows[] = {
		{ "never", 0, false },
		{ "just set", now + MEMO_HABIT_MS, true },
		{ "nearly over", now + 1, true },
		{ "over", now, false },
		{ "set when the clock was a little ahead", now + MEMO_HABIT_MS + 1,
				false },
		{ "set when it was ten years ahead", now + MEMO_HABIT_MS + ten_years,
				false },
		{ "set when it was ten years behind", now + MEMO_HABIT_MS - ten_years,
				false },
		{ "as much as a memo holds", INT64_MAX, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct fetch_memo m = { .alone_until_ms = rows[i].until_ms };

		if (fetch_memo_alone(&m, now) != rows[i].alone)
			fail_msg("%s", rows[i].what);
	}
}

static void
capabilities_are_asked_for_again_when_the_clock_was_wrong(void **state)
{
	const int64_t now = clock_wall_ms(), minute = 60 * 1000;
	const struct {
		const char *what;
		int64_t heard_ms, alone_until_ms;
		bool fast;
	} rows[] = {
		{ "heard just now", now - minute, 0, true },
		{ "heard nearly a day ago", now - DAY + minute, 0, true },
		{ "heard a day ago", now - DAY - minute, 0, false },
		{ "heard under a clock that was ahead", now + minute, 0, false },
		{ "heard ten years ahead", now + 3650 * (int64_t)DAY, 0, false },
		{ "out of step today", now - minute, now + minute, false },
		{ "out of step under a clock that was ahead", now - minute,
				now + 3650 * (int64_t)DAY, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct conf_account account = { .password.kind = SECRET_ENV,
			.auth = CONF_AUTH_AUTO };
		struct fetch_memo memo = { .proven = true,
			.caps = MEMO_PIPELINING | MEMO_EARLY | MEMO_USER | MEMO_UIDL,
			.heard_ms = rows[i].heard_ms,
			.alone_until_ms = rows[i].alone_until_ms };
		struct fetch_poll poll = { .account = &account, .memo = &memo };
		const struct pop_session session = { .poll = &poll };

		if (pop_fast(&session) != rows[i].fast)
			fail_msg("%s", rows[i].what);
	}
}

static void
the_habits_of_a_server_outlive_a_restart_and_count_for_no_other(void **state)
{
	static const uint64_t seed[2] = { 1, 2 };
	const int64_t now = INT64_C(1800000000000);
	struct buf text = BUF_MAX(4096);
	struct fetch_memo m, back;

	(void)state;
	fetch_memo_init(&m, seed);
	fetch_memo_init(&back, seed);
	m.loaded = true;
	fetch_memo_at(&m, 7);
	m.alone_until_ms = m.grounded_until_ms = now + MEMO_HABIT_MS;
	m.flights_lost = 1;
	m.off_octets = 120;
	m.off_share = 35;
	assert_true(fetch_memo_print(&m, &text));
	fetch_memo_read(&back, buf_span(&text));
	fetch_memo_at(&back, 7);
	assert_true(fetch_memo_alone(&back, now) && fetch_memo_grounded(&back, now));
	assert_int_equal(back.flights_lost, 1);
	assert_int_equal(back.off_octets, 120);
	assert_int_equal(back.off_share, 35);
	fetch_memo_at(&back, 8);
	assert_false(fetch_memo_alone(&back, now) || fetch_memo_grounded(&back, now));
	assert_int_equal(back.flights_lost + back.off_octets + back.off_share, 0);
	fetch_memo_done(&m);
	fetch_memo_done(&back);
	buf_done(&text);
}

static void
test_transcript_keeps_what_was_refused(void **state)
{
	struct transcript t;

	(void)state;
	transcript_init(&t, false, 4096);
	transcript_add(&t, SPAN(""), SPAN("220 gw"));
	transcript_add(&t, SPAN("EHLO gw"), SPAN("250-gw\n250 OK"));
	transcript_cut(&t, true);
	transcript_add(&t, SPAN("MAIL FROM:<fine>"), SPAN("250 ok"));
	transcript_cut(&t, false);
	assert_false(t.refused);
	transcript_add(&t, SPAN("MAIL FROM:<a>\r\n"), SPAN("250 ok"));
	transcript_add(&t, SPAN("RCPT TO:<b>\r\n"), SPAN("550 5.7.1 no"));
	transcript_cut(&t, false);
	assert_true(t.refused);
	assert_string_equal(buf_cstr(&t.said),
			"<G>: 220 gw\n<C>: EHLO gw\n<S>: 250-gw\n250 OK\n"
			"<C>: MAIL FROM:<a>\n<S>: 250 ok\n<C>: RCPT TO:<b>\n<S>: 550 5.7.1 no\n");
	transcript_done(&t);
}

static void
test_transcript_is_bounded(void **state)
{
	struct transcript t;

	(void)state;
	transcript_init(&t, true, 1024);
	for (int i = 0; i < 1000; i++)
		transcript_add(&t, SPAN("RCPT TO:<somebody@example.test>"),
				SPAN("250 2.1.5 ok"));
	transcript_cut(&t, false);
	assert_true(t.said.n <= 1024 && t.left_out > 0);
	transcript_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_message),
		cmocka_unit_test(test_a_session_has_its_limit),
		cmocka_unit_test(test_failures_wait_longer),
		cmocka_unit_test(test_memo_is_bounded),
		cmocka_unit_test(a_clock_that_was_ahead_keeps_no_account_alone),
		cmocka_unit_test(
				capabilities_are_asked_for_again_when_the_clock_was_wrong),
		cmocka_unit_test(
				the_habits_of_a_server_outlive_a_restart_and_count_for_no_other),
		cmocka_unit_test(test_transcript_keeps_what_was_refused),
		cmocka_unit_test(test_transcript_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
