#include "postern/evidence.h"

#include "folder_dir.h"
#include "postern/clock.h"

static const int64_t hour_ms = INT64_C(3600) * 1000;

/* A file that is so old. */
static void
put(unsigned n, int64_t now_ms, int64_t hours)
{
	char name[64];

	(void)mkdir(folder_path("evidence"), 0700);
	(void)snprintf(name, sizeof(name), "evidence/contoso-%04u.txt", n);
	int fd = open(folder_path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	file_set_time(AT_FDCWD, folder_path(name), (now_ms - hours * hour_ms) / 1000);
}

static bool
is_there(unsigned n)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "evidence/contoso-%04u.txt", n);
	return access(folder_path(name), F_OK) == 0;
}

static void
expect_pruned(int64_t steady_ms, uint64_t keep_s, size_t most, bool more, size_t left)
{
	const struct evidence_limits l = { steady_ms, keep_s, most };
	struct err err = { 0 };
	bool come_again = !more;

	if (!evidence_prune(folder_dir, &l, &come_again, &err))
		fail_msg("%s", err.text);
	assert_int_equal(come_again, more);
	assert_int_equal(folder_count("evidence"), left);
}

static void
no_evidence_is_no_fault(void **state)
{
	const struct evidence_limits l = { clock_wall_ms(), 1, 1 };
	struct err err = { 0 };
	bool more = true;

	(void)state;
	assert_true(evidence_prune(folder_dir, &l, &more, &err));
	assert_false(more);
}

static void
what_is_too_old_goes(void **state)
{
	int64_t now = clock_wall_ms();

	(void)state;
	put(1, now, 99);
	put(2, now, 101);
	put(3, now, 0);
	put(4, now, 50000);
	expect_pruned(now, 0, EVIDENCE_MOST, false, 4);
	expect_pruned(now, 100 * 3600, EVIDENCE_MOST, false, 2);
	assert_true(is_there(1) && is_there(3));
}

static void
the_oldest_of_what_is_too_many_go(void **state)
{
	int64_t now = clock_wall_ms();

	(void)state;
	put(1, now, 1);
	put(2, now, 5);
	put(3, now, 2);
	put(4, now, 4);
	put(5, now, 3);
	expect_pruned(now, 0, 5, false, 5);
	expect_pruned(now, 0, 3, false, 3);
	assert_true(is_there(1) && is_there(3) && is_there(5));
	/* Both limits: whichever takes more. */
	expect_pruned(now, 9000, 3, false, 2);
	assert_true(is_there(1) && is_there(3));
}

static void
put_many(int64_t now_ms)
{
	for (unsigned n = 1; n <= EVIDENCE_AT_ONCE; n++)
		put(n, now_ms, 200);
	put(2000, now_ms, 0);
}

static void
it_goes_in_pieces(void **state)
{
	int64_t now = clock_wall_ms();

	(void)state;
	put_many(now);
	expect_pruned(now, 100 * 3600, EVIDENCE_MOST, false, 1);
	put_many(now);
	put(1001, now, 300);
	put(1002, now, 300);
	expect_pruned(now, 100 * 3600, EVIDENCE_MOST, true, 3);
	assert_false(is_there(1001) || is_there(1002)); /* the oldest come first */
	expect_pruned(now, 100 * 3600, EVIDENCE_MOST, false, 1);
	put_many(now);
	put(1001, now, 300);
	expect_pruned(now, 0, 1, true, 2);
	expect_pruned(now, 0, 1, false, 1);
	assert_true(is_there(2000));
}

/* It came under a clock that was ahead: nobody knows when. */
static void
what_is_of_the_future_is_young_from_now_on(void **state)
{
	int64_t now = clock_wall_ms();

	(void)state;
	put(1, now, -10 * 365 * 24);
	put(2, now, 10);
	expect_pruned(now, 100 * 3600, EVIDENCE_MOST, false, 2);
	expect_pruned(now + 95 * hour_ms, 100 * 3600, EVIDENCE_MOST, false, 1);
	assert_true(is_there(1));
	expect_pruned(now + 101 * hour_ms, 100 * 3600, EVIDENCE_MOST, false, 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		TEST(no_evidence_is_no_fault),
		TEST(what_is_too_old_goes),
		TEST(the_oldest_of_what_is_too_many_go),
		TEST(it_goes_in_pieces),
		TEST(what_is_of_the_future_is_young_from_now_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
