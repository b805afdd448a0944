#include "postern/descriptors.h"

#include "check.h"

/* Everybody has something, and together they have no more than there is. */
static void
the_shares_fit_into_the_limit(void **state)
{
	(void)state;
	for (size_t limit = 64; limit <= 4096; limit++) {
		struct descriptors d;

		descriptors_divide(limit, false, 1000, 100, &d);
		assert_in_range(d.workers, 2, DESCRIPTORS_WORKERS);
		assert_in_range(d.outgoing, 2, 100);
		assert_in_range(d.drops, 1, DESCRIPTORS_DROPS);
		assert_in_range(d.maildirs, 1, DESCRIPTORS_MAILDIRS);
		assert_in_range(d.pickups, 2, DESCRIPTORS_PICKUPS);
		assert_in_range(d.clients, 1, 1000);
		assert_in_range(d.kept + 2 * d.clients, 1, limit - 32);
		/* The collectors' own process: twelve each. */
		assert_in_range(12 * d.workers, 1, limit - 12);
	}
}

static void
a_high_limit_leaves_what_was_asked_for(void **state)
{
	struct descriptors d;

	(void)state;
	descriptors_divide(65536, false, 1000, 100, &d);
	assert_int_equal(d.clients, 1000);
	assert_int_equal(d.outgoing, 100);
	assert_int_equal(d.workers, DESCRIPTORS_WORKERS);
	descriptors_divide(65536, false, 3, 1, &d);
	assert_int_equal(d.clients, 3);
	assert_int_equal(d.outgoing, 1);
}

static void
an_absurd_limit_still_leaves_one_of_each(void **state)
{
	struct descriptors d;

	(void)state;
	descriptors_divide(1, false, 1000, 100, &d);
	assert_int_equal(d.clients, 1);
	assert_int_equal(d.workers, 2);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shares_fit_into_the_limit),
		cmocka_unit_test(a_high_limit_leaves_what_was_asked_for),
		cmocka_unit_test(an_absurd_limit_still_leaves_one_of_each),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
