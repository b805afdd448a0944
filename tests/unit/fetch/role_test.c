/* The collector's schedule and its answers to `postern poll`. */
#include "role.h"

static void
all_are_polled_at_first_and_then_when_they_are_due(void **state)
{
	(void)state;
	begin();
	wait_polls(3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(pool.polled[i], i);
		assert_false(pool.asked[i]);
	}
	/* One that is suspended does not come again; one that came due meanwhile does, and one
	 * that is polled again already waits for that. */
	over(0, 0);
	over(1, -5);
	wait_polls(4);
	assert_int_equal(pool.polled[3], 1);
	pool.views[2].due_ms = 1;
	pool.over[2] = true;
	pool.ended(pool.host);
	over(1, -5);
	wait_polls(5);
	assert_int_equal(pool.polled[4], 1);
	assert_false(pool.asked[4]);
	/* Not before its time: by the timer, and after a time that nobody rang. */
	over(2, 30);
	wait_polls(6);
	assert_int_equal(pool.polled[5], 2);
	assert_true(clock_mono_ms() >= pool.views[2].due_ms);
	over(2, 20 * MINUTE);
	over(1, -5);
	wait_polls(7);
	assert_int_equal(pool.polled[6], 1);
	atomic_fetch_add(&ahead, 20 * MINUTE + MINUTE); /* up to a 20th later */
	over(1, -5);
	wait_polls(9);
	assert_int_equal(pool.polled[7] + pool.polled[8], 3);
	stop();
	assert_false(logged("4017"));
}

static void
a_poll_longer_than_its_interval_is_told(void **state)
{
	(void)state;
	begin();
	wait_polls(3);
	set_idle(); /* that is no reason to end */
	pool.views[0].result = (struct fetch_result){ .ms = 300 * 1000 };
	over(0, -5);
	wait_polls(4);
	pool.views[0].result =
			(struct fetch_result){ .ms = 300 * 1000 + 1, .failed = true };
	over(0, -5);
	wait_polls(5);
	assert_false(logged("4017"));
	pool.views[0].result = (struct fetch_result){ .ms = 300 * 1000 + 1 };
	over(0, -5);
	wait_polls(6);
	assert_true(logged("4017"));
	stop();
}

/* Open on Mondays from 10 to 11; 1970-01-05 was one. */
static void
a_window_that_is_shut_waits(void **state)
{
	static const struct conf_hours hours = { 10 * 60, 11 * 60 };
	const int64_t monday = (int64_t)4 * 24 * 60 * MINUTE;

	(void)state;
	begin();
	wait_polls(3);
	accounts[1].window = (struct conf_window){ &hours, 1 };
	atomic_store(&wall, monday + (int64_t)10 * 60 * MINUTE);
	over(1, -5);
	wait_polls(4); /* it is open */
	atomic_store(&wall, monday + (int64_t)10 * 60 * MINUTE - 10 * MINUTE);
	over(1, -5); /* in ten minutes */
	over(0, -5);
	wait_polls(5);
	assert_int_equal(pool.polled[4], 0);
	atomic_fetch_add(&ahead, 9 * MINUTE);
	over(0, -5);
	wait_polls(6);
	assert_int_equal(pool.polled[5], 0);
	atomic_store(&wall, monday + (int64_t)10 * 60 * MINUTE + MINUTE);
	atomic_fetch_add(&ahead, 2 * MINUTE); /* up to a 20th of its interval later */
	over(0, -5);
	wait_polls(8);
	assert_int_equal(pool.polled[6] + pool.polled[7], 1);

	/* Far away; but the clock may be set, so it is looked at every quarter of an hour. */
	atomic_store(&wall, monday + (int64_t)12 * 60 * MINUTE);
	over(1, -5);
	over(0, -5);
	wait_polls(9);
	atomic_store(&wall, monday + (int64_t)10 * 60 * MINUTE);
	atomic_fetch_add(&ahead, 14 * MINUTE);
	over(0, -5);
	wait_polls(10);
	assert_int_equal(pool.polled[9], 0);
	atomic_fetch_add(&ahead, MINUTE);
	over(0, -5);
	wait_polls(12);
	assert_int_equal(pool.polled[10] + pool.polled[11], 1);
	/* Whoever asks gets it whatever the window says. */
	atomic_store(&wall, monday + (int64_t)12 * 60 * MINUTE);
	over(1, -5);
	over(0, -5);
	wait_polls(13);
	const char *const names[] = { "b" };
	struct ctl_client *c = client();
	ask(c, 1, names);
	wait_polls(14);
	assert_int_equal(pool.polled[13], 1);
	assert_true(pool.asked[13]);
	ctl_client_free(c);
	stop();
}

static void
whoever_asks_is_told_until_the_end(void **state)
{
	static const char *const names[] = { "b", "c" },
				 *const unknown[] = { "b", "x" },
				 *const empty[] = { "" };
	struct ctl_client *one, *two;
	struct err err;

	(void)state;
	begin();
	wait_polls(3);
	one = client();
	two = client();
	/* b is under way and has its listing: only the next poll counts. */
	(void)pthread_mutex_lock(&pool.lock);
	pool.views[1].under_way = true;
	(void)pthread_mutex_unlock(&pool.lock);
	ask(one, 2, names);
	wait_polls(5);
	assert_int_equal(pool.polled[3], 1);
	assert_int_equal(pool.polled[4], 2);
	assert_true(pool.asked[3] && pool.asked[4]);
	(void)pthread_mutex_lock(&pool.lock);
	pool.views[1].polls = 1;
	pool.views[2].any = true;
	pool.views[2].result = (struct fetch_result){
		.listed = 9, .collected = 4, .octets = 70
	};
	(void)pthread_mutex_unlock(&pool.lock);
	hears_progress(one, "c", "collecting", (const uint64_t[]){ 9, 4, 70, 0, 0 });
	/* Others ask meanwhile, for what is there or not. */
	ask(two, 2, unknown);
	hears(two, CTL_FAILED, "there is no such account");
	ask(two, 1, empty);
	hears(two, CTL_FAILED, "there is no such account");
	assert_true(ctl_send(two, CTL_WAKE, SPAN(""), &err));
	hears(two, CTL_FAILED, "this is the collector");
	assert_true(ctl_send(two, CTL_STATUS, SPAN(""), &err));
	hears(two, CTL_OK, "{\"role\":\"fetch\",\"accounts\":3,\"polling\":3}");
	assert_true(ctl_send(two, CTL_POLL, SPAN("x"), &err));
	hears(two, CTL_FAILED, "there is no such account");
	size_t n = pool.n;
	ask(two, 0, NULL);
	wait_polls(n + 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pool.polled[n + i], i);

	(void)pthread_mutex_lock(&pool.lock);
	pool.views[1].result = (struct fetch_result){ .listed = 1, .failed = true };
	(void)err_set(&pool.views[1].result.error, 4003, "the logon failed");
	(void)pthread_mutex_unlock(&pool.lock);
	over(1, 0);
	hears_progress(one, "b", "the logon failed",
			(const uint64_t[]){ 1, 0, 0, 1, 1 });
	(void)pthread_mutex_lock(&pool.lock);
	pool.views[2].result.collected = 5;
	(void)pthread_mutex_unlock(&pool.lock);
	over(2, 0);
	hears_progress(one, "c", "ok", (const uint64_t[]){ 9, 5, 70, 1, 0 });
	hears(one, CTL_OK, NULL);
	/* One that goes away is told no more, and the role goes on. */
	ctl_client_free(two);
	assert_true(ctl_send(one, CTL_STATUS, SPAN(""), &err));
	hears(one, CTL_OK, "{\"role\":\"fetch\",\"accounts\":3,\"polling\":1}");
	over(0, 0);
	assert_true(ctl_send(one, CTL_STATUS, SPAN(""), &err));
	hears(one, CTL_OK, "{\"role\":\"fetch\",\"accounts\":3,\"polling\":0}");
	/* What the pool forgot is over. */
	ask(one, 1, names);
	wait_polls(n + 4);
	(void)pthread_mutex_lock(&pool.lock);
	pool.views[1].busy = false;
	(void)pthread_mutex_unlock(&pool.lock);
	hears_progress(one, "b", "the logon failed",
			(const uint64_t[]){ 1, 0, 0, 1, 1 });
	hears(one, CTL_OK, NULL);
	ctl_client_free(one);
	stop();
}

/* Sessions get their time to end in order, then they are cut, then they are left. */
static void
it_ends_in_order_then_at_once(void **state)
{
	static const char *const names[] = { "b" };
	struct ctl_client *c;

	(void)state;
	begin();
	wait_polls(3);
	c = client();
	(void)kill(getpid(), SIGTERM);
	wait_for(&pool.ends, 1);
	ask(c, 1, names);
	hears(c, CTL_FAILED, "the service ends");
	over(0, -5); /* no other poll comes, and the end of one is not that of all */
	ask(c, 1, names);
	hears(c, CTL_FAILED, "the service ends");
	assert_int_equal(pool.cancels, 0);
	atomic_fetch_add(&ahead, 7000);
	(void)kill(getpid(), SIGTERM); /* a second one changes nothing */
	wait_for(&pool.ends, 2);
	ask(c, 1, names);
	hears(c, CTL_FAILED, "the service ends");
	assert_int_equal(pool.cancels, 0);
	atomic_fetch_add(&ahead, 1500);
	wait_for(&pool.cancels, 1);
	ask(c, 1, names);
	hears(c, CTL_FAILED, "the service ends");
	ctl_client_free(c);
	atomic_fetch_add(&ahead, 2500);
	assert_int_equal(joined(), 0); /* although they are not idle */
	assert_int_equal(pool.cancels, 2);
	for (size_t i = 3; i < pool.n; i++)
		assert_true(pool.asked[i]);

	/* All ended in order: at once. */
	begin();
	wait_polls(3);
	(void)kill(getpid(), SIGINT);
	wait_for(&pool.ends, 1);
	set_idle();
	over(0, 0);
	assert_int_equal(joined(), 0);
}

static void
what_cannot_begin_is_told(void **state)
{
	const struct fetch_role role = {
		.conf = &conf, .state = dir, .ready_fd = -1, .life = 77
	};
	struct fetch_role away = role;

	(void)state;
	assert_false(logged("1005"));
	pool.fails = true;
	pool.frees = pool.cancels = 0;
	assert_int_equal(fetch_role(&role), 1);
	assert_true(logged("no pool today"));
	assert_true(logged("1005"));
	assert_int_equal(pool.frees, 0);
	assert_int_equal(pool.cancels, 0);
	away.state = "/nowhere/at/all";
	assert_int_equal(fetch_role(&away), 1);
	assert_int_equal(pool.frees, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_polled_at_first_and_then_when_they_are_due),
		cmocka_unit_test(a_poll_longer_than_its_interval_is_told),
		cmocka_unit_test(a_window_that_is_shut_waits),
		cmocka_unit_test(whoever_asks_is_told_until_the_end),
		cmocka_unit_test(it_ends_in_order_then_at_once),
		cmocka_unit_test(what_cannot_begin_is_told),
	};
	static const char *const names[] = { "a", "b", "c" };
	char path[100];
	struct err err;

	(void)setenv("TZ", "UTC0", 1);
	tzset();
	for (size_t i = 0; i < ACCOUNTS; i++)
		accounts[i] = (struct conf_account){ .name = names[i], .every_s = 300 };
	(void)snprintf(dir, sizeof(dir), "/tmp/postern-role-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	(void)snprintf(path, sizeof(path), "%s/run", dir);
	(void)snprintf(journal, sizeof(journal), "%s/events", dir);
	if (mkdir(path, 0700) != 0 ||
			!log_open(&(struct log_options){ .to = journal }, &err))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	log_close();
	(void)unlink(journal);
	(void)snprintf(journal, sizeof(journal), "%s/run/fetch.ctl", dir);
	(void)unlink(journal);
	(void)rmdir(path);
	(void)rmdir(dir);
	return failed;
}
