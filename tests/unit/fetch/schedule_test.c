/* Whose poll is due when: the heap against a plain search, and the rules. */
#include "../../../src/fetch/schedule.h"

#include <stdlib.h>

#include "../../../src/fetch/turns.h"
#include "check.h"

enum { N = 500, STEPS = 20000, S = 1000, M = 60 * S, HOUR = 60 * M };

static void
the_heap_gives_the_soonest(void **state)
{
	struct schedule s;
	int64_t due[N], first_ms;
	bool in[N] = { false };
	size_t first;
	uint32_t r = 1;

	(void)state;
	schedule_init(&s, N);
	assert_false(schedule_first(&s, &first, &first_ms));
	for (int step = 0; step < STEPS; step++) {
		r = r * 1664525 + 1013904223;
		size_t i = r >> 8 & 0xffff;
		int64_t soonest = INT64_MAX;
		size_t n = 0;

		i %= N;
		if (r >> 30 == 0) {
			schedule_remove(&s, i);
			in[i] = false;
		} else {
			due[i] = r % 997; /* many are due together */
			schedule_set(&s, i, due[i]);
			in[i] = true;
		}
		for (size_t k = 0; k < N; k++) {
			n += in[k];
			soonest = in[k] && due[k] < soonest ? due[k] : soonest;
		}
		assert_int_equal(s.n, n);
		assert_int_equal(schedule_first(&s, &first, &first_ms), n > 0);
		if (n == 0)
			continue;
		assert_int_equal(first_ms, soonest);
		assert_true(in[first] && due[first] == soonest);
	}
	/* Taken one after the other they come in order. */
	int64_t last = 0;
	while (schedule_first(&s, &first, &first_ms)) {
		assert_true(first_ms >= last);
		last = first_ms;
		schedule_remove(&s, first);
	}
	assert_int_equal(s.n, 0);
	schedule_done(&s);
}

static void
words_are_read(void **state)
{
	static const struct {
		const char *reply;
		enum schedule_word word;
	} cases[] = {
		{ "[IN-USE] locked", SCHEDULE_IN_USE },
		{ "[in-use] locked", SCHEDULE_IN_USE },
		{ " [LOGIN-DELAY] wait", SCHEDULE_LOGIN_DELAY },
		{ "[SYS/TEMP] disk", SCHEDULE_SYS_TEMP },
		{ "[SYS/PERM] gone", SCHEDULE_NO_WORD },
		{ "[AUTH] no", SCHEDULE_NO_WORD },
		{ "mailbox [IN-USE]", SCHEDULE_NO_WORD },
		{ "", SCHEDULE_NO_WORD },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(schedule_word(span_of(cases[i].reply)), cases[i].word);
}

static void
the_wait_follows_from_the_poll(void **state)
{
	static const struct {
		struct schedule_poll poll;
		int64_t wait;
	} cases[] = {
		/* Good: from the beginning of the poll. */
		{ { .every_ms = 5 * M }, 5 * M },
		{ { .every_ms = 5 * M, .took_ms = 2 * M }, 3 * M },
		{ { .every_ms = 5 * M, .took_ms = 9 * M }, 0 },
		/* Not before the delay between logons is over. */
		{ { .every_ms = 10 * S, .login_delay_ms = 15 * M }, 15 * M },
		{ { .every_ms = 10 * S, .took_ms = M, .login_delay_ms = 15 * M },
				14 * M },
		{ { .every_ms = 10 * S, .login_delay_ms = 500 * HOUR }, HOUR },
		/* Failed: doubled up to an hour, or to `every`. */
		{ { .every_ms = 5 * M, .failed = true, .failures = 1 }, 5 * M },
		{ { .every_ms = 5 * M, .failed = true, .failures = 2 }, 10 * M },
		{ { .every_ms = 5 * M, .failed = true, .failures = 99 }, HOUR },
		{ { .every_ms = 9 * HOUR, .failed = true, .failures = 9 }, 9 * HOUR },
		{ { .every_ms = 10 * S,
				  .failed = true,
				  .failures = 1,
				  .login_delay_ms = M },
				M },
		/* Where it is our own fault nothing is counted. */
		{ { .every_ms = 5 * M, .failed = true, .failures = 0 }, 5 * M },
		/* Somebody else is in: soon, then less often. */
		{ { .every_ms = HOUR,
				  .failed = true,
				  .word = SCHEDULE_IN_USE,
				  .failures = 1 },
				M },
		{ { .every_ms = HOUR,
				  .failed = true,
				  .word = SCHEDULE_HERE,
				  .failures = 3 },
				4 * M },
		{ { .every_ms = HOUR,
				  .failed = true,
				  .word = SCHEDULE_SYS_TEMP,
				  .failures = 99 },
				HOUR },
		{ { .every_ms = 10 * S,
				  .failed = true,
				  .word = SCHEDULE_SYS_TEMP,
				  .failures = 1 },
				10 * S },
		{ { .every_ms = 10 * S,
				  .failed = true,
				  .word = SCHEDULE_SYS_TEMP,
				  .failures = 99 },
				40 * S },
		{ { .every_ms = 10 * S,
				  .failed = true,
				  .word = SCHEDULE_IN_USE,
				  .failures = 1,
				  .login_delay_ms = M },
				M },
		/* Too soon after the last logon. */
		{ { .every_ms = 10 * S,
				  .failed = true,
				  .word = SCHEDULE_LOGIN_DELAY,
				  .failures = 1 },
				5 * M },
		{ { .every_ms = 10 * S,
				  .failed = true,
				  .word = SCHEDULE_LOGIN_DELAY,
				  .failures = 1,
				  .login_delay_ms = 2 * M },
				2 * M },
		{ { .every_ms = 10 * M,
				  .failed = true,
				  .word = SCHEDULE_LOGIN_DELAY,
				  .failures = 2,
				  .login_delay_ms = 2 * M },
				20 * M },
		{ { .every_ms = 10 * S,
				  .failed = true,
				  .word = SCHEDULE_LOGIN_DELAY,
				  .failures = 99 },
				HOUR },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t wait = schedule_wait_ms(&cases[i].poll);

		if (wait != cases[i].wait)
			fail_msg("case %zu: %lld ms, not %lld", i, (long long)wait,
					(long long)cases[i].wait);
	}
}

static void
first_polls_are_spread(void **state)
{
	size_t at_once = 0;
	int64_t last = 0;

	(void)state;
	for (size_t i = 0; i < 10000; i++) {
		int64_t due = schedule_first_ms(i, 10000, HOUR);

		at_once += due == 0;
		last = due > last ? due : last;
		assert_true(schedule_first_ms(i, 10000, 10 * S) < 10 * S);
	}
	assert_int_equal(at_once, 8);
	assert_in_range(last, 90 * S, 100 * S);
	assert_int_equal(schedule_first_ms(4, 5, HOUR), 0);
}

static void
a_host_gets_what_it_bears(void **state)
{
	struct host_limit h;
	unsigned begun[64];

	(void)state;
	host_limit_init(&h, 256, true);
	assert_int_equal(h.allowed, 64);
	assert_int_equal(h.most, 192);
	for (size_t i = 0; i < 64; i++) {
		assert_true(host_limit_room(&h));
		begun[i] = host_limit_begin(&h);
	}
	assert_false(host_limit_room(&h));
	/* All that were under way together count as one sign. */
	for (size_t i = 0; i < 64; i++)
		host_limit_end(&h, begun[i], HOST_STRAINED);
	assert_int_equal(h.allowed, 32);
	for (int i = 0; i < 20; i++)
		host_limit_end(&h, host_limit_begin(&h), HOST_STRAINED);
	assert_int_equal(h.allowed, 1);
	assert_true(host_limit_room(&h));
	host_limit_end(&h, host_limit_begin(&h), HOST_NOTHING);
	assert_int_equal(h.allowed, 1);
	for (int i = 0; i < 500; i++)
		host_limit_end(&h, host_limit_begin(&h), HOST_GOOD);
	assert_int_equal(h.allowed, 192);
	assert_int_equal(h.running, 0);
}

/* Whatever the number of workers, one host leaves some to the others. */
static void
others_are_left_some(void **state)
{
	struct host_limit h;

	(void)state;
	for (unsigned workers = 1; workers < 300; workers++) {
		host_limit_init(&h, workers, true);
		assert_in_range(h.most, 1, workers > 1 ? workers - 1 : 1);
		assert_in_range(h.allowed, 1, h.most);
		host_limit_init(&h, workers, false);
		assert_int_equal(h.most, workers);
	}
}

static void
spelling_does_not_make_another_host(void **state)
{
	struct buf key = BUF_MAX(100);

	(void)state;
	assert_true(host_key(&(struct conf_host){ .name = "2001:DB8::1", .port = 995 },
			&key));
	assert_string_equal(buf_cstr(&key), "2001:db8::1:995");
	buf_done(&key);
}

static size_t
next(struct turns *t)
{
	size_t account = 99;

	return turns_take(t, &account) ? account : 99;
}

/* 0 to 3 at one server, 1 and 2 the same mailbox there; 4 at another. */
static void
accounts_take_turns(void **state)
{
	static const struct conf_account list[] = {
		{ .server = { .name = "a.test", .port = 995 }, .user = "x" },
		{ .server = { .name = "a.test", .port = 995 }, .user = "y" },
		{ .server = { .name = "A.test", .port = 995 }, .user = "y" },
		{ .server = { .name = "a.test", .port = 995 }, .user = "z" },
		{ .server = { .name = "b.test", .port = 995 }, .user = "y" },
	};
	const struct conf_accounts accounts = { list, 5 };
	const uint64_t seed[2] = { 1, 2 };
	struct turns t;

	(void)state;
	turns_init(&t, &accounts, 256, seed);
	assert_false(turns_ready(&t));
	for (size_t i = 0; i < 5; i++)
		turns_put(&t, i);
	assert_int_equal(next(&t), 0);
	assert_int_equal(next(&t), 4); /* the other server's turn */
	assert_int_equal(next(&t), 1);
	assert_int_equal(next(&t), 3); /* past 2, whose mailbox is polled */
	assert_int_equal(next(&t), 99);
	turns_put(&t, 0); /* as if it were over */
	turns_over(&t, 1, HOST_NOTHING);
	assert_int_equal(next(&t), 2); /* it waited longer */
	assert_int_equal(next(&t), 0);
	turns_put(&t, 1);
	assert_int_equal(next(&t), 99);
	turns_drop(&t, 1); /* while it waits for its mailbox */
	turns_over(&t, 2, HOST_NOTHING);
	assert_int_equal(next(&t), 99);
	turns_done(&t);

	/* A server that has all it may have does not hold up the other. */
	turns_init(&t, &accounts, 2, seed);
	for (size_t i = 0; i < 5; i++)
		turns_put(&t, i);
	assert_int_equal(next(&t), 0);
	assert_int_equal(next(&t), 4);
	assert_int_equal(next(&t), 99);
	turns_over(&t, 0, HOST_STRAINED);
	assert_int_equal(next(&t), 1);
	turns_drop(&t, 2);
	turns_drop(&t, 3);
	turns_over(&t, 1, HOST_GOOD);
	assert_false(turns_ready(&t));
	turns_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_heap_gives_the_soonest),
		cmocka_unit_test(words_are_read),
		cmocka_unit_test(the_wait_follows_from_the_poll),
		cmocka_unit_test(first_polls_are_spread),
		cmocka_unit_test(a_host_gets_what_it_bears),
		cmocka_unit_test(others_are_left_some),
		cmocka_unit_test(accounts_take_turns),
		cmocka_unit_test(spelling_does_not_make_another_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
