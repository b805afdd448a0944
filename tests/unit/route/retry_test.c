#include "check.h"

#include "postern/retry.h"

#define MIN (INT64_C(60) * 1000)
#define HOUR (60 * MIN)
#define DAY (24 * HOUR)

static const int64_t waits[] = { 15 * 60, 30 * 60, 3600, 4 * 3600 };
static const struct retry usual = { { waits, 4 }, 2 * 86400 };
static const int64_t begin = INT64_C(1800000000000);

static void
waits_follow_the_schedule(void **state)
{
	(void)state;
	static const int64_t want[] = { 15 * MIN, 30 * MIN, HOUR, 4 * HOUR, 4 * HOUR,
		4 * HOUR };
	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(retry_next(&usual, i + 1, begin, begin + MIN, 0) -
						begin - MIN,
				want[i]);
	assert_int_equal(retry_next(&usual, 4000000000u, begin, begin, 0) - begin,
			4 * HOUR);
}

static void
jitter_stretches_by_a_tenth_at_most(void **state)
{
	(void)state;
	int64_t none = retry_next(&usual, 1, begin, begin, 0) - begin;
	int64_t half = retry_next(&usual, 1, begin, begin, RETRY_JITTER / 2) - begin;
	int64_t most = retry_next(&usual, 1, begin, begin, RETRY_JITTER - 1) - begin;
	assert_int_equal(none, 15 * MIN);
	assert_int_equal(half, 15 * MIN + 45 * 1000);
	assert_true(most > half && most <= 15 * MIN + 90 * 1000);
}

/* A destination that never answers, tried exactly when told to. */
static unsigned
attempts_until_expired(const struct retry *r, int64_t *age)
{
	int64_t now = begin, next;
	unsigned attempts = 0;

	while ((next = retry_next(r, ++attempts, begin, now, 0)) != RETRY_EXPIRED) {
		assert_true(next > now);
		now = next;
	}
	*age = now - begin;
	return attempts;
}

static void
the_last_attempt_falls_on_the_expiry(void **state)
{
	(void)state;
	static const int64_t second[] = { 1 }, long_wait[] = { 7 * 86400 };
	int64_t age;
	assert_int_equal(attempts_until_expired(&usual, &age), 16);
	assert_int_equal(age, 2 * DAY);
	assert_int_equal(attempts_until_expired(
					 &(struct retry){ { second, 1 }, 5 }, &age),
			6);
	assert_int_equal(age, 5000);
	assert_int_equal(attempts_until_expired(
					 &(struct retry){ { long_wait, 1 }, 10 }, &age),
			2);
	assert_int_equal(age, 10000);
}

static void
a_leap_of_the_clock_bounces_nothing(void **state)
{
	(void)state;
	int64_t later = begin + 3650 * DAY;
	/* One attempt, then ten years go by: the schedule begins, nothing is given up. */
	assert_int_equal(retry_next(&usual, 1, begin, later, 0) - later, 15 * MIN);
	assert_int_equal(retry_next(&usual, 5, begin, later, 0) - later, 4 * HOUR);
	/* It ends all the same, after half of the age in attempts. */
	assert_int_equal(retry_next(&usual, 9, begin, later, 0) - later, 4 * HOUR);
	assert_int_equal(retry_next(&usual, 10, begin, later, 0), RETRY_EXPIRED);
	/* Set back, the message is younger than new: attempts alone decide, as many as the
	 * schedule has. */
	int64_t earlier = begin - 3650 * DAY;
	assert_int_equal(retry_next(&usual, 13, begin, earlier, 0) - earlier, 4 * HOUR);
	assert_int_equal(retry_next(&usual, 16, begin, earlier, 0), RETRY_EXPIRED);
}

static void
a_stored_time_is_never_further_than_the_longest_wait(void **state)
{
	(void)state;
	assert_int_equal(retry_clamp(&usual, begin + MIN, begin), begin + MIN);
	assert_int_equal(retry_clamp(&usual, begin - DAY, begin), begin - DAY);
	assert_int_equal(
			retry_clamp(&usual, begin + 4 * HOUR, begin), begin + 4 * HOUR);
	assert_int_equal(retry_clamp(&usual, begin + 3650 * DAY, begin),
			begin + 4 * HOUR + 24 * MIN);
	/* What retry_next gives, clamping leaves alone. */
	int64_t next = retry_next(&usual, 9, begin, begin, RETRY_JITTER - 1);
	assert_int_equal(retry_clamp(&usual, next, begin), next);
}

/* The last step is not always the longest one. */
static void
the_longest_wait_counts_wherever_it_stands(void **state)
{
	static const int64_t up_and_down[] = { 60, 4 * 3600, 3600 }, one[] = { 600 };
	const struct retry uneven = { { up_and_down, 3 }, 2 * 86400 },
			   single = { { one, 1 }, 86400 };

	(void)state;
	assert_int_equal(retry_latest(&uneven, begin), begin + 4 * HOUR + 24 * MIN);
	assert_int_equal(retry_latest(&single, begin), begin + 11 * MIN);
	/* Exactly that far is left alone, and one more is not. */
	int64_t latest = retry_latest(&uneven, begin);
	assert_int_equal(retry_clamp(&uneven, latest, begin), latest);
	assert_int_equal(retry_clamp(&uneven, latest + 1, begin), latest);
	/* Whatever the jitter, no next attempt is cut, under any clock. */
	for (int64_t years = -10; years <= 10; years += 10) {
		int64_t now = begin + years * 365 * DAY;

		for (unsigned attempts = 1; attempts <= 3; attempts++) {
			int64_t next = retry_next(
					&uneven, attempts, now, now, RETRY_JITTER - 1);
			assert_int_equal(retry_clamp(&uneven, next, now), next);
		}
	}
}

static void
steps_have_their_names(void **state)
{
	(void)state;
	assert_string_equal(retry_step(1), "first");
	assert_string_equal(retry_step(2), "second");
	assert_string_equal(retry_step(3), "third");
	assert_string_equal(retry_step(4), "subsequent");
	assert_string_equal(retry_step(4000000000u), "subsequent");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_follow_the_schedule),
		cmocka_unit_test(jitter_stretches_by_a_tenth_at_most),
		cmocka_unit_test(the_last_attempt_falls_on_the_expiry),
		cmocka_unit_test(a_leap_of_the_clock_bounces_nothing),
		cmocka_unit_test(a_stored_time_is_never_further_than_the_longest_wait),
		cmocka_unit_test(the_longest_wait_counts_wherever_it_stands),
		cmocka_unit_test(steps_have_their_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
