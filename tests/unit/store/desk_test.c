#include <stdatomic.h>
#include <unistd.h>

#include "fixture.h"
#include "postern/clock.h"
#include "postern/thread.h"
#include "state.h"

enum { MANY = 500, PATIENCE_MS = 20000 };

struct owner {
	struct store_port *port;
	struct mutex *lock;
	struct cond *woken;
	int wakes;
};

static void
wake(void *arg)
{
	struct owner *o = arg;
	mutex_lock(o->lock);
	o->wakes++;
	cond_signal(o->woken);
	mutex_unlock(o->lock);
}

static void
owner_init(struct owner *o, struct state *t)
{
	o->lock = mutex_new();
	o->woken = cond_new();
	o->wakes = 0;
	o->port = store_port_new(t->store, wake, o);
}

static void
owner_done(struct owner *o)
{
	store_port_free(o->port);
	cond_free(o->woken);
	mutex_free(o->lock);
}

/* Takes n completions, woken each time; they stay on the list. */
static void
await(struct owner *o, struct list *done, size_t n)
{
	int64_t until = clock_mono_ms() + PATIENCE_MS;
	size_t have = 0;
	for (;;) {
		struct list some;
		list_init(&some);
		store_port_take(o->port, &some);
		LIST_EACH (at, &some) {
			list_del(at);
			list_add(done, at);
			have++;
		}
		if (have >= n)
			break;
		mutex_lock(o->lock);
		while (o->wakes == 0)
			if (!cond_wait(o->woken, o->lock, until) &&
					clock_mono_ms() >= until)
				fail_msg("no completion came: %zu of %zu", have, n);
		o->wakes = 0;
		mutex_unlock(o->lock);
	}
	assert_int_equal(have, n);
}

static struct submission *
messages(struct state *t, size_t n, struct list *jobs)
{
	struct submission *s = calloc(n, sizeof *s);
	assert_non_null(s);
	for (size_t i = 0; i < n; i++) {
		s[i] = fixture_message(t, NULL);
		list_add(jobs, &s[i].job.link);
	}
	return s;
}

static void
what_is_handed_over_together_shares_a_sync(void **state)
{
	struct state *t = *state;
	struct owner o;
	struct list jobs, done;
	list_init(&jobs);
	list_init(&done);
	struct submission *s = messages(t, MANY, &jobs);
	assert_true(store_start(t->store, &t->err));
	owner_init(&o, t);
	uint64_t before = store_count(t->store).groups;
	store_port_submit(o.port, &jobs);
	assert_true(list_empty(&jobs));
	await(&o, &done, MANY);
	assert_int_equal(store_count(t->store).groups, before + 1);
	size_t i = 0;
	LIST_EACH (at, &done) {
		struct store_job *job = LIST_ITEM(at, struct store_job, link);
		assert_ptr_equal(job, &s[i++].job); /* in the order of hand-over */
		assert_int_equal(job->result, STORE_DONE);
	}
	owner_done(&o);
	free(s);
}

static void
what_comes_during_a_sync_shares_the_next(void **state)
{
	struct state *t = *state;
	struct owner o;
	struct list jobs, done;
	list_init(&jobs);
	list_init(&done);
	struct submission *s = messages(t, MANY, &jobs);
	assert_true(store_start(t->store, &t->err));
	owner_init(&o, t);
	uint64_t before = store_count(t->store).groups;
	for (size_t i = 0; i < MANY; i++) {
		struct list one;
		list_init(&one);
		list_del(&s[i].job.link);
		list_add(&one, &s[i].job.link);
		store_port_submit(o.port, &one);
	}
	await(&o, &done, MANY);
	/* Even here, with a hand-over for each: far fewer than one sync per 20. */
	assert_true(store_count(t->store).groups - before <= MANY / 10);
	owner_done(&o);
	free(s);
}

static void
two_owners_get_back_their_own(void **state)
{
	struct state *t = *state;
	struct owner o[2];
	struct list jobs[2], done[2];
	struct submission *s[2];
	for (int i = 0; i < 2; i++) {
		list_init(&jobs[i]);
		list_init(&done[i]);
		s[i] = messages(t, 50, &jobs[i]);
	}
	assert_true(store_start(t->store, &t->err));
	for (int i = 0; i < 2; i++)
		owner_init(&o[i], t);
	for (int i = 0; i < 2; i++)
		store_port_submit(o[i].port, &jobs[i]);
	for (int i = 0; i < 2; i++) {
		await(&o[i], &done[i], 50);
		LIST_EACH (at, &done[i]) {
			struct submission *sub =
					LIST_ITEM(at, struct submission, job.link);
			assert_true(sub >= s[i] && sub < s[i] + 50);
		}
		owner_done(&o[i]);
		free(s[i]);
	}
}

static void
stopping_finishes_what_was_handed_over(void **state)
{
	struct state *t = *state;
	struct owner o;
	struct list jobs, done;
	list_init(&jobs);
	list_init(&done);
	struct submission *s = messages(t, MANY, &jobs);
	assert_true(store_start(t->store, &t->err));
	owner_init(&o, t);
	store_port_submit(o.port, &jobs);
	store_stop(t->store);
	await(&o, &done, MANY);
	owner_done(&o);
	free(s);
	fixture_reopen(t);
	struct queue_size size;
	assert_true(queue_count(store_reader(t->store), &size, &t->err));
	assert_int_equal(size.messages, MANY);
}

/* A transaction that was said to end, and never does, holds nobody up for long. */
static void
a_lone_message_is_not_kept_waiting(void **state)
{
	struct state *t = *state;
	struct owner o;
	assert_true(store_start(t->store, &t->err));
	owner_init(&o, t);
	int64_t began = clock_mono_ms();
	for (int expected = 0; expected < 2; expected++) {
		struct list jobs, done;
		list_init(&jobs);
		list_init(&done);
		struct submission *s = messages(t, 1, &jobs);
		store_about_to_end(t->store, expected);
		store_port_submit(o.port, &jobs);
		await(&o, &done, 1);
		free(s);
	}
	assert_true(clock_mono_ms() - began < 5000);
	store_about_to_end(t->store, -1);
	owner_done(&o);
}

/* A sync takes so long here that waiting for a part of one cannot be overlooked. */
static void
syncs_are_slow(struct state *t)
{
	atomic_store(&t->store->sync_us, UINT64_C(60) * 1000 * 1000);
}

/* For a moment nothing is committed. */
static void
it_waits(struct state *t, uint64_t groups)
{
	for (int ms = 0; ms < 200; ms += 10) {
		assert_int_equal(store_count(t->store).groups, groups);
		(void)usleep(10 * 1000);
	}
}

static void
who_is_about_to_end_shares_the_sync(void **state)
{
	struct state *t = *state;
	struct owner o;
	struct list jobs, done;
	struct submission *s[2];
	list_init(&jobs);
	list_init(&done);
	assert_true(store_start(t->store, &t->err));
	owner_init(&o, t);
	syncs_are_slow(t);
	uint64_t before = store_count(t->store).groups;
	store_about_to_end(t->store, 1);
	s[0] = messages(t, 1, &jobs);
	store_port_submit(o.port, &jobs);
	it_waits(t, before);
	s[1] = messages(t, 1, &jobs);
	store_port_submit(o.port, &jobs);
	store_about_to_end(t->store, -1);
	await(&o, &done, 2);
	assert_int_equal(store_count(t->store).groups, before + 1);
	free(s[0]);
	free(s[1]);
	owner_done(&o);
}

/* Else the first of them would wait long for the last. */
static void
no_group_is_larger_than_a_thousand(void **state)
{
	enum { HEAP = 2500 };
	struct state *t = *state;
	struct owner o;
	struct list jobs, done;
	list_init(&jobs);
	list_init(&done);
	struct submission *s = messages(t, HEAP, &jobs);
	assert_true(store_start(t->store, &t->err));
	owner_init(&o, t);
	uint64_t before = store_count(t->store).groups;
	store_port_submit(o.port, &jobs);
	await(&o, &done, HEAP);
	assert_int_equal(store_count(t->store).groups, before + 3);
	owner_done(&o);
	free(s);
}

/* Clients that wait for each answer would fall into two halves, each with its own sync. */
static void
who_was_just_answered_shares_the_next_sync(void **state)
{
	struct state *t = *state;
	struct owner o;
	struct list jobs, done;
	list_init(&jobs);
	list_init(&done);
	assert_true(store_start(t->store, &t->err));
	owner_init(&o, t);
	struct submission *first = messages(t, 2, &jobs);
	store_port_submit(o.port, &jobs);
	await(&o, &done, 2);
	syncs_are_slow(t);
	uint64_t before = store_count(t->store).groups;
	struct submission *again[2];
	for (int i = 0; i < 2; i++) {
		again[i] = messages(t, 1, &jobs);
		store_port_submit(o.port, &jobs);
		if (i == 0)
			it_waits(t, before);
	}
	await(&o, &done, 2);
	assert_int_equal(store_count(t->store).groups, before + 1);
	for (int i = 0; i < 2; i++)
		free(again[i]);
	free(first);
	owner_done(&o);
}

/* The only client there is comes back, and is all that is expected. */
static void
whoever_comes_back_alone_waits_for_nobody(void **state)
{
	struct state *t = *state;
	struct owner o;
	assert_true(store_start(t->store, &t->err));
	owner_init(&o, t);
	int64_t began = clock_mono_ms();
	for (int i = 0; i < 3; i++) {
		struct list jobs, done;
		list_init(&jobs);
		list_init(&done);
		struct submission *s = messages(t, 1, &jobs);
		syncs_are_slow(t);
		store_port_submit(o.port, &jobs);
		await(&o, &done, 1);
		free(s);
	}
	assert_true(clock_mono_ms() - began < 15 * 1000); /* a part is 18 s */
	owner_done(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_handed_over_together_shares_a_sync),
		TEST(what_comes_during_a_sync_shares_the_next),
		TEST(two_owners_get_back_their_own),
		TEST(stopping_finishes_what_was_handed_over),
		TEST(a_lone_message_is_not_kept_waiting),
		TEST(who_is_about_to_end_shares_the_sync),
		TEST(no_group_is_larger_than_a_thousand),
		TEST(who_was_just_answered_shares_the_next_sync),
		TEST(whoever_comes_back_alone_waits_for_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
