#include "postern/badmail.h"

#include <sys/stat.h>
#include <utime.h>

#include "postern/clock.h"
#include "sweeps.h"

static const struct span text = { SPAN_INIT("Subject: hi\r\n\r\nbody\n") };

static struct badmail_letter
letter(uint64_t qid, const struct badmail_recipient *to, size_t n)
{
	return (struct badmail_letter){
		.qid = qid,
		.reason = BADMAIL_RELAY_DENIED,
		.event = 4032,
		.time_ms = 1234567890123,
		.sender = SPAN("s@x.test"),
		.recipients = to,
		.n_recipients = n,
		.message_id = SPAN("<1@x.test>"),
		.account = SPAN("contoso"),
		.uidl = SPAN("u\xff\"1"),
		.body = { .parts = &text, .n_parts = 1, .fd = -1 },
	};
}

static const char *
name_of(uint64_t qid, const char *ext)
{
	static char name[64];
	char id[QID_SIZE];

	qid_print(qid, id);
	(void)snprintf(name, sizeof(name), "Badmail/%s.%s", id, ext);
	return name;
}

static bool
count_one(void *host, const struct badmail_item *item)
{
	uint64_t *last = host;

	assert_true(item->qid > last[1]);
	last[0]++;
	last[1] = item->qid;
	return true;
}

static uint64_t
listed(struct badmail *b, size_t *broken)
{
	uint64_t seen[2] = { 0 };

	assert_true(badmail_list(b, count_one, seen, broken, NULL));
	return seen[0];
}

static void
test_three_files_and_back(void **state)
{
	struct badmail_recipient to[] = {
		{ SPAN("a@y.test"), SPAN("5.7.1"),
				SPAN("550 5.7.1 Unable to relay for a@y.test"), 1 },
		{ SPAN("b@y.test"), SPAN("5.1.1"), SPAN("550 5.1.1 no\x1b[31m"), 2 },
	};
	struct err err = { 0 };
	struct badmail *b = badmail_open(folder_path("Badmail"), 0, 0, &err);
	AUTO(buf_done) struct buf words = BUF_MAX(10000);
	size_t broken;
	uint64_t size;

	(void)state;
	assert_non_null(b);
	struct badmail_letter l = letter(5, to, 1);
	assert_true(badmail_write(b, &l, &err));
	assert_int_equal(listed(b, &broken), 0);
	assert_true(badmail_sync(b, &err));
	assert_int_equal(folder_count("Badmail"), 3);
	folder_expect(name_of(5, "BAD"), text);

	/* Again, and for one more recipient with another reason. */
	assert_true(badmail_write(b, &l, &err) && badmail_sync(b, &err));
	l.recipients = to + 1;
	l.reason = BADMAIL_UNKNOWN_USER;
	l.time_ms++;
	assert_true(badmail_write(b, &l, &err) && badmail_sync(b, &err));
	assert_int_equal(listed(b, &broken), 1);
	assert_int_equal(broken, 0);

	struct badmail_item *item = badmail_get(b, 5, &err);
	assert_non_null(item);
	assert_int_equal(item->reason, BADMAIL_RELAY_DENIED);
	assert_int_equal(item->event, 4032);
	assert_int_equal(item->time_ms, 1234567890123);
	assert_int_equal(item->size, text.n);
	assert_string_equal(item->sender, "s@x.test");
	assert_string_equal(item->message_id, "<1@x.test>");
	assert_string_equal(item->uidl, "u\xef\xbf\xbd\"1");
	assert_int_equal(item->n_recipients, 2);
	assert_string_equal(item->recipients[0].address, "a@y.test");
	assert_string_equal(item->recipients[0].status, "5.7.1");
	assert_int_equal(item->recipients[1].reason, BADMAIL_UNKNOWN_USER);
	assert_int_equal(item->recipients[1].attempts, 2);
	badmail_item_free(item);

	assert_true(badmail_words(b, 5, &words, &err));
	const char *said = buf_cstr(&words);
	assert_non_null(strstr(said, "Unable to deliver this message because"));
	assert_non_null(strstr(said, "Reason: relay-denied"));
	assert_non_null(strstr(
			said, "a@y.test: 550 5.7.1 Unable to relay for a@y.test"));
	assert_non_null(strstr(said, "no\\x1b[31m"));
	int fd = badmail_message(b, 5, &size, &err);
	assert_true(fd >= 0);
	assert_int_equal(size, text.n);
	(void)close(fd);

	assert_true(badmail_remove(b, 5, &err));
	assert_true(badmail_remove(b, 5, &err));
	assert_int_equal(folder_count("Badmail"), 0);
	assert_null(badmail_get(b, 5, &err));
	badmail_close(b);
}

static void
test_broken_ones_stop_nobody(void **state)
{
	struct badmail_recipient to = { SPAN("a@y.test"), SPAN(""), SPAN(""), 0 };
	struct err err = { 0 };
	struct badmail *b = badmail_open(folder_path("Badmail"), 0, 0, &err);
	size_t broken;

	(void)state;
	for (uint64_t q = 1; q <= 5; q++) {
		struct badmail_letter l = letter(q, &to, 1);
		assert_true(badmail_write(b, &l, &err));
	}
	assert_true(badmail_sync(b, &err));
	assert_int_equal(truncate(folder_path(name_of(2, "BDP")), 30), 0);
	assert_int_equal(unlink(folder_path(name_of(3, "BDP"))), 0);
	assert_int_equal(unlink(folder_path(name_of(4, "BAD"))), 0);
	assert_int_equal(listed(b, &broken), 2);
	assert_int_equal(broken, 2);
	/* The next attempt mends what a crash left. */
	for (uint64_t q = 2; q <= 4; q++) {
		struct badmail_letter l = letter(q, &to, 1);
		assert_true(badmail_write(b, &l, &err));
	}
	assert_true(badmail_sync(b, &err));
	assert_int_equal(listed(b, &broken), 5);
	badmail_close(b);
}

static void
age(uint64_t qid, int64_t hours)
{
	static const char *const ext[] = { "BAD", "BDR", "BDP" };
	time_t then = (time_t)(clock_wall_ms() / 1000 - hours * 3600);
	struct utimbuf t = { then, then };

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(utime(folder_path(name_of(qid, ext[i])), &t), 0);
}

static void
test_kept_within_limits(void **state)
{
	struct badmail_recipient to = { SPAN("a@y.test"), SPAN(""), SPAN(""), 0 };
	struct err err = { 0 };
	struct badmail *b = badmail_open(folder_path("Badmail"), 100 * 3600, 0, &err);
	size_t broken;
	bool more;

	(void)state;
	for (uint64_t q = 1; q <= 6; q++) {
		struct badmail_letter l = letter(q, &to, 1);
		assert_true(badmail_write(b, &l, &err));
	}
	assert_true(badmail_sync(b, &err));
	age(1, 101);
	age(2, 50);
	age(3, 40);
	age(4, 99);
	assert_true(badmail_prune(b, clock_wall_ms(), &more, &err));
	assert_int_equal(listed(b, &broken), 5);
	assert_null(badmail_get(b, 1, NULL));
	badmail_close(b);

	/* One octet over: the oldest goes, 4. */
	struct stat st;
	uint64_t total = 0;
	for (uint64_t q = 2; q <= 6; q++) {
		static const char *const ext[] = { "BAD", "BDR", "BDP" };
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(stat(folder_path(name_of(q, ext[i])), &st), 0);
			total += (uint64_t)st.st_size;
		}
	}
	b = badmail_open(folder_path("Badmail"), 0, total - 1, &err);
	assert_true(badmail_prune(b, clock_wall_ms(), &more, &err));
	assert_int_equal(listed(b, &broken), 4);
	assert_null(badmail_get(b, 4, NULL));
	badmail_close(b);

	/* Young ones stay, whatever the limit. */
	b = badmail_open(folder_path("Badmail"), 0, 1, &err);
	assert_true(badmail_prune(b, clock_wall_ms(), &more, &err));
	assert_int_equal(listed(b, &broken), 2);
	badmail_close(b);
}

/* ---- what is thrown away, and when ---- */

static const int64_t hour_ms = INT64_C(3600) * 1000,
		     year_ms = INT64_C(365) * 24 * 3600 * 1000;

static struct badmail *
open_limited(uint64_t keep_s, uint64_t max_bytes)
{
	struct badmail *b =
			badmail_open(folder_path("Badmail"), keep_s, max_bytes, NULL);

	assert_non_null(b);
	return b;
}

/* Items from..from+n-1. */
static void
put_items(struct badmail *b, uint64_t from, uint64_t n, int64_t steady_ms)
{
	struct badmail_recipient to = { SPAN("a@y.test"), SPAN(""), SPAN(""), 0 };
	struct err err = { 0 };

	for (uint64_t q = from; q < from + n; q++) {
		struct badmail_letter l = letter(q, &to, 1);

		l.steady_ms = steady_ms;
		assert_true(badmail_write(b, &l, &err));
	}
	assert_true(badmail_sync(b, &err));
}

static size_t
items(void)
{
	return folder_count("Badmail") / 3;
}

static void
expect_pruned(struct badmail *b, int64_t steady_ms, bool more, size_t left)
{
	struct err err = { 0 };
	bool come_again = !more;

	if (!badmail_prune(b, steady_ms, &come_again, &err))
		fail_msg("%s", err.text);
	assert_int_equal(come_again, more);
	assert_int_equal(items(), left);
}

static void
goes_in_pieces(uint64_t keep_s, uint64_t max_bytes)
{
	struct badmail *b = open_limited(keep_s, max_bytes);
	int64_t now = clock_wall_ms(), then = now - 101 * hour_ms;

	/* As many as go at once, and one that is young. */
	put_items(b, 1, BADMAIL_AT_ONCE, then);
	put_items(b, 2000, 1, now);
	expect_pruned(b, now, false, 1);
	put_items(b, 1, BADMAIL_AT_ONCE + 2, then);
	expect_pruned(b, now, true, 3);
	assert_int_equal(
			access(folder_path(name_of(BADMAIL_AT_ONCE, "BDP")), F_OK), -1);
	assert_int_equal(access(folder_path(name_of(BADMAIL_AT_ONCE + 1, "BDP")), F_OK),
			0);
	expect_pruned(b, now, false, 1);
	expect_pruned(b, now, false, 1);
	badmail_close(b);
}

static void
what_is_too_old_goes_in_pieces(void **state)
{
	(void)state;
	goes_in_pieces(100 * 3600, 0);
}

static void
what_is_too_much_goes_in_pieces(void **state)
{
	(void)state;
	goes_in_pieces(0, 1);
}

/* The limit of size takes no more than it must, and the oldest first, whatever the order
 * of their numbers. */
static void
the_oldest_make_room_for_the_rest(void **state)
{
	struct badmail *b = open_limited(0, 0);
	int64_t now = clock_wall_ms();
	struct stat st;
	uint64_t each = 0;

	(void)state;
	for (uint64_t q = 1; q <= 5; q++)
		put_items(b, q, 1, now - (int64_t)(q + 1) * hour_ms);
	for (size_t i = 0; i < 3; i++) {
		static const char *const ext[] = { "BAD", "BDR", "BDP" };

		assert_int_equal(stat(folder_path(name_of(1, ext[i])), &st), 0);
		each += (uint64_t)st.st_size;
	}
	badmail_close(b);
	b = open_limited(0, 3 * each);
	expect_pruned(b, now, false, 3);
	for (uint64_t q = 1; q <= 5; q++)
		assert_int_equal(access(folder_path(name_of(q, "BDP")), F_OK),
				q <= 3 ? 0 : -1);
	badmail_close(b);
}

/* Edge 3: the steady clock is right, the wall's is not. */
static void
a_wall_clock_that_is_years_off_removes_nothing_young(void **state)
{
	static const int64_t jumps[] = { 10, -10 };
	struct badmail *b = open_limited(100 * 3600, 1);
	int64_t now = clock_wall_ms();

	(void)state;
	put_items(b, 1, 1, now); /* as the relay writes them */
	put_items(b, 2, 1, 0); /* with the time that the kernel gave */
	put_items(b, 3, 1, now);
	assert_int_equal(unlink(folder_path(name_of(3, "BDP"))), 0);
	assert_int_equal(unlink(folder_path(name_of(3, "BDR"))), 0);
	folder_put("Badmail/.half.BAD.tmp");
	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		bool more;

		clock_move(jumps[i] * year_ms);
		assert_true(badmail_prune(b, now, &more, NULL));
		clock_move(-jumps[i] * year_ms);
		assert_int_equal(folder_count("Badmail"), 3 + 3 + 1 + 1);
	}
	/* All of it goes when it is old by both. */
	clock_move(101 * hour_ms);
	bool more;
	assert_true(badmail_prune(b, now + 101 * hour_ms, &more, NULL));
	clock_move(-101 * hour_ms);
	assert_int_equal(folder_count("Badmail"), 0);
	badmail_close(b);
}

/* It came under a clock that was ahead: nobody knows when. */
static void
an_item_of_the_future_is_young_from_now_on(void **state)
{
	struct badmail *b = open_limited(100 * 3600, 0);
	int64_t now = clock_wall_ms();

	(void)state;
	put_items(b, 1, 1, now + 10 * year_ms);
	put_items(b, 2, 1, now + 10 * year_ms);
	expect_pruned(b, now, false, 2);
	expect_pruned(b, now + 99 * hour_ms, false, 2);
	expect_pruned(b, now + 101 * hour_ms, false, 0);
	badmail_close(b);
}

static void
sweep_badmail(void *b, int64_t steady_ms)
{
	bool more;

	assert_true(badmail_prune(b, steady_ms, &more, NULL));
}

static void
a_left_over_goes_when_it_is_old_by_both_clocks(void **state)
{
	struct badmail *b = open_limited(0, 0);

	(void)state;
	expect_sweeps("Badmail", sweep_badmail, b);
	badmail_close(b);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				test_three_files_and_back, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(test_broken_ones_stop_nobody,
				folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
				test_kept_within_limits, folder_make, folder_remove),
		TEST(what_is_too_old_goes_in_pieces),
		TEST(what_is_too_much_goes_in_pieces),
		TEST(the_oldest_make_room_for_the_rest),
		TEST(a_wall_clock_that_is_years_off_removes_nothing_young),
		TEST(an_item_of_the_future_is_young_from_now_on),
		TEST(a_left_over_goes_when_it_is_old_by_both_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
