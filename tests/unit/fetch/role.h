/* The collector's role above a pool that polls nothing: a poll ends when the test says so, and the
 * clock goes on when the test says so. One group of tests includes it once. */
#ifndef TESTS_FETCH_ROLE_H
#define TESTS_FETCH_ROLE_H

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

#endif
