/* The collector's schedule and its answers to `postern poll`, above a pool that polls nothing: a
 * poll ends when the test says so, and the clock goes on when the test says so. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../../src/fetch/pool.h"
#include "check.h"
#include "journal.h"
#include "postern/clock.h"
#include "postern/conf.h"
#include "postern/ctl.h"
#include "postern/log.h"

enum { ACCOUNTS = 3, ASKED = 100, MINUTE = 60 * 1000, WAIT_MS = 5000, TALK_MS = 60000 };

static char dir[32];
static struct conf_account accounts[ACCOUNTS];
static struct conf conf = { .accounts = { accounts, ACCOUNTS } };

static atomic_llong ahead, wall; /* the clocks */

static struct pool {
	pthread_mutex_t lock;
	struct fetch_view views[ACCOUNTS];
	bool over[ACCOUNTS]; /* not taken yet */
	size_t polled[ASKED]; /* accounts, in order */
	bool asked[ASKED];
	size_t n;
	void (*ended)(void *host);
	void *host;
	bool fails, idle;
	unsigned ends, cancels, frees, looks;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the clocks ---- */

static int64_t
us_of(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
clock_wall_ms(void)
{
	return atomic_load(&wall);
}

int64_t
clock_mono_us(void)
{
	return us_of(CLOCK_MONOTONIC) + atomic_load(&ahead) * 1000;
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t
clock_boot_ms(void)
{
	return us_of(CLOCK_BOOTTIME) / 1000;
}

int64_t
clock_cpu_us(void)
{
	return us_of(CLOCK_THREAD_CPUTIME_ID);
}

void
clock_random(void *p, size_t n)
{
	(void)!getrandom(p, n, 0);
}

/* ---- the pool ---- */

struct fetch_pool *
fetch_pool_new(const struct fetch_options *o, struct err *err)
{
	assert_ptr_equal(o->conf, &conf);
	assert_string_equal(o->state, dir);
	assert_int_equal(o->life, 77);
	pool.host = o->host;
	if (!pool.fails)
		return (struct fetch_pool *)(void *)&pool;
	(void)err_set(err, 0, "no pool today");
	return NULL;
}

void
fetch_pool_schedule(struct fetch_pool *p, void (*ended)(void *host))
{
	(void)p;
	pool.ended = ended;
}

void
fetch_pool_poll(struct fetch_pool *p, const size_t *which, size_t n, bool asked)
{
	(void)p;
	(void)pthread_mutex_lock(&pool.lock);
	for (size_t i = 0; i < n; i++) {
		assert_true(which[i] < ACCOUNTS && pool.n < ASKED);
		pool.views[which[i]].busy = true;
		pool.asked[pool.n] = asked;
		pool.polled[pool.n++] = which[i];
	}
	(void)pthread_mutex_unlock(&pool.lock);
}

size_t
fetch_pool_ended(struct fetch_pool *p, size_t *out, size_t n)
{
	size_t got = 0;

	(void)p;
	(void)pthread_mutex_lock(&pool.lock);
	for (size_t i = 0; i < ACCOUNTS && got < n; i++) {
		if (pool.over[i])
			out[got++] = i;
		pool.over[i] = false;
	}
	(void)pthread_mutex_unlock(&pool.lock);
	return got;
}

size_t
fetch_pool_busy(struct fetch_pool *p)
{
	size_t n = 0;

	(void)p;
	(void)pthread_mutex_lock(&pool.lock);
	for (size_t i = 0; i < ACCOUNTS; i++)
		n += pool.views[i].busy;
	(void)pthread_mutex_unlock(&pool.lock);
	return n;
}

void
fetch_pool_look(struct fetch_pool *p, size_t account, struct fetch_view *out)
{
	(void)p;
	(void)pthread_mutex_lock(&pool.lock);
	*out = pool.views[account];
	pool.looks++;
	(void)pthread_mutex_unlock(&pool.lock);
}

void
fetch_pool_end(struct fetch_pool *p)
{
	(void)p;
	(void)pthread_mutex_lock(&pool.lock);
	pool.ends++;
	(void)pthread_mutex_unlock(&pool.lock);
}

void
fetch_pool_cancel(struct fetch_pool *p)
{
	assert_ptr_equal(p, &pool);
	(void)pthread_mutex_lock(&pool.lock);
	pool.cancels++;
	(void)pthread_mutex_unlock(&pool.lock);
}

bool
fetch_pool_idle(struct fetch_pool *p)
{
	bool idle;

	(void)p;
	(void)pthread_mutex_lock(&pool.lock);
	idle = pool.idle;
	(void)pthread_mutex_unlock(&pool.lock);
	return idle;
}

void
fetch_pool_free(struct fetch_pool *p)
{
	if (p)
		pool.frees++;
}

/* ---- the role, on a thread of its own ---- */

static pthread_t thread;
static int result;

static void *
run(void *arg)
{
	const struct fetch_role role = {
		.conf = &conf, .state = dir, .ready_fd = *(int *)arg, .life = 77
	};

	result = fetch_role(&role);
	return NULL;
}

static void
begin(void)
{
	static int ends[2];
	char byte[2];

	memset(pool.views, 0, sizeof(pool.views));
	memset(pool.over, 0, sizeof(pool.over));
	pool.n = pool.ends = pool.cancels = pool.frees = 0;
	pool.fails = pool.idle = false;
	for (size_t i = 0; i < ACCOUNTS; i++)
		accounts[i].window = (struct conf_window){ 0 };
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(pthread_create(&thread, NULL, run, &ends[1]), 0);
	/* One byte, and then its end. */
	assert_int_equal(read(ends[0], byte, 2), 1);
	assert_int_equal(read(ends[0], byte, 2), 0);
	(void)close(ends[0]);
}

static int
joined(void)
{
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(pool.frees, 1);
	return result;
}

/* Waits until so many polls were asked for. */
static void
wait_polls(size_t n)
{
	size_t have = 0;

	for (int i = 0; i < WAIT_MS * 5 && have < n; i++) {
		(void)pthread_mutex_lock(&pool.lock);
		have = pool.n;
		(void)pthread_mutex_unlock(&pool.lock);
		if (have < n)
			(void)usleep(200);
	}
	assert_int_equal(have, n);
}

static void
wait_for(const unsigned *count, unsigned n)
{
	unsigned have = 0;

	for (int i = 0; i < WAIT_MS * 5 && have < n; i++) {
		(void)pthread_mutex_lock(&pool.lock);
		have = *count;
		(void)pthread_mutex_unlock(&pool.lock);
		if (have < n)
			(void)usleep(200);
	}
	assert_true(have >= n);
}

static void
set_idle(void)
{
	(void)pthread_mutex_lock(&pool.lock);
	pool.idle = true;
	(void)pthread_mutex_unlock(&pool.lock);
}

/* The account's poll is over; it wants the next one in so many ms (0: not by itself). */
static void
over(size_t i, int64_t due_in)
{
	(void)pthread_mutex_lock(&pool.lock);
	pool.views[i].busy = pool.views[i].under_way = false;
	pool.views[i].any = true;
	pool.views[i].polls++;
	pool.views[i].due_ms = due_in ? clock_mono_ms() + due_in : 0;
	pool.over[i] = true;
	(void)pthread_mutex_unlock(&pool.lock);
	pool.ended(pool.host);
}

static void
stop(void)
{
	int64_t began = clock_mono_ms();

	set_idle();
	(void)kill(getpid(), SIGTERM);
	assert_int_equal(joined(), 0);
	assert_true(clock_mono_ms() - began < WAIT_MS);
}

static struct ctl_client *
client(void)
{
	char path[100];
	struct err err;

	(void)snprintf(path, sizeof(path), "%s/run/fetch.ctl", dir);
	struct ctl_client *c = ctl_connect(path, TALK_MS, &err);
	assert_non_null(c);
	return c;
}

/* Asks for polls of these accounts. */
static void
ask(struct ctl_client *c, size_t n, const char *const *names)
{
	struct buf body = BUF_MAX(1000);
	struct err err;

	assert_true(ctl_put_u64(&body, n));
	for (size_t i = 0; i < n; i++)
		assert_true(ctl_put_span(&body, span_of(names[i])));
	assert_true(ctl_send(c, CTL_POLL, buf_span(&body), &err));
	buf_done(&body);
}

static void
hears(struct ctl_client *c, enum ctl_kind wanted, const char *words)
{
	struct span body, text;
	enum ctl_kind kind;
	struct err err;

	assert_true(ctl_receive(c, TALK_MS, &kind, &body, &err));
	assert_int_equal(kind, wanted);
	if (!words) {
		assert_int_equal(body.n, 0);
		return;
	}
	assert_true(ctl_get_span(&body, &text));
	if (!span_eq(text, span_of(words)))
		fail_msg(SPAN_FMT, SPAN_ARG(text));
	assert_int_equal(body.n, 0);
}

static void
hears_progress(struct ctl_client *c, const char *name, const char *words,
		const uint64_t numbers[5])
{
	struct span body, text;
	enum ctl_kind kind;
	struct err err;
	uint64_t n;

	assert_true(ctl_receive(c, TALK_MS, &kind, &body, &err));
	assert_int_equal(kind, CTL_PROGRESS);
	assert_true(ctl_get_span(&body, &text));
	assert_true(span_eq(text, span_of(name)));
	assert_true(ctl_get_span(&body, &text));
	assert_true(span_eq(text, span_of(words)));
	for (size_t i = 0; i < 5; i++) {
		assert_true(ctl_get_u64(&body, &n));
		assert_int_equal(n, numbers[i]);
	}
	assert_int_equal(body.n, 0);
}

/* ---- the tests ---- */

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
