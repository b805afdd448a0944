/* The thread of the Pickup folder where calls fail, and where the relay ends while it reads: the
 * other files of the slice come, and none is lost. */
#include "picked.h"

enum { SPOOL_CALLS = FAULT_OPEN | FAULT_WRITE };

/* ---- what fails ---- */

static const char *const stories[] = { "a-large.eml", "b-small.eml", "c-large.eml" };

static void
put_all(void)
{
	put("a-large.eml", make(HUGE));
	put("b-small.eml", make(1000));
	put("c-large.eml", make(200 * 1000));
	put("d-bad.eml", SPAN("nothing to be read here"));
	put("e-bad.eml", SPAN("nor here"));
}

/* Of all five each is somewhere, once, and those that came are whole. */
static void
each_is_somewhere(unsigned badmail)
{
	size_t spooled = 0;

	for (size_t i = 0; i < got_n; i++) {
		bool large = strstr(got[i]->claim.file, "large") != NULL;
		struct span all = got[i]->claim.file[0] == 'a'
				? make(HUGE)
				: make(large ? 200 * 1000 : 1000);

		spooled += large;
		holds(got[i], span_skip(all, sizeof(envelope) - 1));
	}
	assert_int_equal(files("spool"), spooled);
	assert_int_equal(files("Pickup") + files("work") + badmail, 5);
}

/* What could not be had now comes with the next look that asks for it, and not before. */
static void
comes_again(unsigned badmail, size_t came)
{
	for (size_t i = 0; i < got_n; i++)
		if (got[i]->spool_fd >= 0)
			spool_remove(g->hub.store, got[i]->id);
	remove_all();
	assert_int_equal(got_n, came);
	forget_all();
	look(false, true);
	assert_int_equal(got_n + looked->badmail, 0);
	forget_all();
	look(true, true);
	assert_false(looked->failed);
	assert_int_equal(got_n, 3 - came);
	assert_int_equal(looked->badmail, 2 - badmail);
	each_is_somewhere(2 + (unsigned)came);
	assert_int_equal(files("Badmail"), 2 * 3);
	for (size_t i = 0; i < got_n; i++)
		if (got[i]->spool_fd >= 0)
			spool_remove(g->hub.store, got[i]->id);
	remove_all();
	forget_all();
	assert_int_equal(files("Pickup") + files("work") + files("spool"), 0);
	{
		struct file_names names;
		int fd = dir_open(AT_FDCWD, path_in("Badmail"), NULL);

		assert_true(dir_names(fd, 10, &names, NULL));
		for (size_t k = 0; k < names.n; k++)
			assert_int_equal(unlinkat(fd, names.names[k], 0), 0);
		file_names_done(&names);
		(void)close(fd);
	}
}

static void
whichever_piece_is_missing_the_others_come(void **state)
{
	unsigned struck = 0;

	(void)state;
	for (unsigned how = CUT; how <= FAILS; how++)
		for (unsigned n = 1;; n++) {
			put_all();
			forget(g);
			reading.how = how;
			reading.n = n;
			reading.struck = false;
			look(false, true);
			reading.n = 0;
			bool hit = reading.struck;
			const unsigned badmail = looked->badmail;
			assert_int_equal(looked->failed, hit);
			assert_int_equal(looked->badmail_failed, 0);
			assert_int_equal(got_n + badmail, hit ? 4 : 5);
			for (size_t i = 0; i < 3; i++)
				assert_int_equal(
						event(g, 5102, stories[i],
								"it became shorter, or cannot be read",
								""),
						!of_file(stories[i]));
			TOLD(hit ? 1u : 0u, "\"id\":5102,");
			assert_int_equal(badmail, 2);
			each_is_somewhere(badmail);
			comes_again(badmail, got_n);
			struck += hit;
			if (!hit)
				break;
		}
	assert_true(struck >= 2 * (6 + 1 + 2));
}

static void
whichever_write_fails_the_others_come(void **state)
{
	unsigned struck = 0;

	(void)state;
	for (unsigned n = 1;; n++) {
		put_all();
		forget(g);
		faults_begin(path_in("spool"));
		/* One, or all of them from here on: then both large ones. */
		faults_fail(SPOOL_CALLS, n, n % 2, ENOSPC);
		look(false, true);
		bool hit = faults_struck();
		faults_end();
		assert_int_equal(looked->failed, hit);
		assert_int_equal(looked->badmail, 2);
		assert_non_null(of_file("b-small.eml"));
		TOLD(hit ? 1u : 0u, "\"id\":9005,"); /* once for all of a slice */
		if (hit)
			assert_true(got_n < 3);
		each_is_somewhere(2);
		comes_again(2, got_n);
		struck += hit;
		if (!hit)
			break;
	}
	assert_true(struck >= 8);
}

static void
whichever_call_of_badmail_fails_no_file_is_lost(void **state)
{
	unsigned struck = 0;

	(void)state;
	for (unsigned n = 1;; n++) {
		put_all();
		forget(g);
		faults_begin(path_in("Badmail"));
		faults_fail(FAULT_ALL, n, n % 2, ENOSPC);
		look(false, true);
		bool hit = faults_struck();
		faults_end();
		const unsigned badmail = looked->badmail;
		assert_int_equal(got_n, 3);
		assert_int_equal(badmail + looked->badmail_failed, 2);
		assert_int_equal(looked->failed, looked->badmail_failed > 0);
		TOLD(badmail, "\"id\":4164,");
		if (badmail < 2)
			assert_true(event(g, 5108, path_in("Badmail"), "", "") == 1);
		each_is_somewhere(badmail);
		comes_again(badmail, 3);
		struck += hit;
		if (!hit)
			break;
	}
	assert_true(struck >= 5);
}

/* Of three one cannot be removed: it is known by its claim, and that stays. Nor is any gone
 * for good before the directory says so. */
static void
what_is_removed_is_told_one_by_one(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 5; n++) {
		char name[20];

		for (unsigned i = 0; i < 3; i++) {
			(void)snprintf(name, sizeof(name), "%u.eml", i);
			put(name, make(500 + i));
		}
		look(true, true);
		assert_int_equal(got_n, 3);
		forget(g);
		faults_begin(path_in("work"));
		if (n > 0)
			faults_fail(n < 4 ? FAULT_UNLINK : FAULT_SYNC, n < 4 ? n : 1, 1,
					EIO);
		remove_all();
		faults_end();
		assert_int_equal(got_n, 3);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(got[i]->task, PICKED_REMOVED);
			assert_int_equal(got[i]->removed, n != 4 && i + 1 != n);
		}
		TOLD(n >= 1 && n <= 3 ? 1u : 0u, "\"id\":5102,");
		assert_int_equal(event(g, 5108, path_in("Pickup"), "", ""), n == 4);
		forget_all();
		assert_int_equal(files("work"), n >= 1 && n <= 3);
		if (n >= 1 && n <= 3) { /* as at the next start */
			look(true, true);
			assert_int_equal(got_n, 1);
			remove_all();
			forget_all();
		}
	}
}

/* ---- the end ---- */

static void
who_leaves_reads_no_further(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 7; n++) {
		put_all();
		forget(g);
		reading.how = STOPS;
		reading.n = n;
		work.leaving = n == 0;
		look(true, true);
		reading.n = 0;
		work.leaving = 0;
		if (n == 0)
			assert_int_equal(got_n + looked->badmail, 0);
		else
			assert_true(got_n + looked->badmail < 5);
		/* Nothing has gone wrong. */
		TOLD(0, "\"id\":5108,");
		TOLD(0, "\"id\":5102,");
		TOLD(0, "\"id\":9005,");
		each_is_somewhere(looked->badmail);
		const unsigned badmail = looked->badmail;
		comes_again(badmail, got_n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PICKUP(whichever_piece_is_missing_the_others_come),
		IN_PICKUP(whichever_write_fails_the_others_come),
		IN_PICKUP(whichever_call_of_badmail_fails_no_file_is_lost),
		IN_PICKUP(what_is_removed_is_told_one_by_one),
		IN_PICKUP(who_leaves_reads_no_further),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
