/* The clock jumps: nothing young is forgotten, and what is old is forgotten all the same. */
#include <fcntl.h>

#include <sqlite3.h>

#include "steady.h"

#define HOUR (INT64_C(3600) * 1000)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)

static const struct settle_recipient delivered = { .state = QUEUE_DELIVERED,
	.attempted = true };

/* The service is started when the wall clock shows this. */
static void
restart(struct state *t, int64_t wall_ms)
{
	const struct store_options o = {
		.service = true, .now_ms = wall_ms, .busy_ms = 20000
	};

	store_close(t->store);
	t->store = store_open(t->dir, &o, &t->found, &t->err);
	if (!t->store)
		fail_msg("%s", t->err.text);
}

static int64_t
shows(struct state *t)
{
	return store_steady_ms(t->store);
}

/* Whatever the machine's load, a test does not take a minute. */
#define assert_about(got, want) \
	assert_in_range((got), (want)-60 * 1000, (want) + 60 * 1000)

static void
a_start_counts_the_time_since_the_last_run_but_no_jump(void **state)
{
	static const struct {
		int64_t moved, counts;
	} cases[] = { { 0, 0 }, { 5 * HOUR, 5 * HOUR }, { DAY, DAY }, { 60 * DAY, DAY },
		{ 10 * YEAR, DAY }, { -HOUR, 0 }, { -10 * YEAR, 0 },
		{ 60 * DAY, DAY } };
	struct state *t = *state;
	int64_t wall = NOW, at = shows(t);

	assert_about(at, NOW);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		wall += cases[i].moved;
		restart(t, wall);
		assert_about(shows(t), at + cases[i].counts);
		assert_in_range(t->found.away_ms + 11 * YEAR,
				cases[i].moved + 11 * YEAR - 60 * 1000,
				cases[i].moved + 11 * YEAR);
		at = shows(t);
	}
}

static void
a_run_goes_by_time_that_passes_and_slowly_to_the_wall_clock(void **state)
{
	static const struct {
		int64_t wall, least, most; /* after an hour */
	} cases[] = {
		{ NOW + HOUR, HOUR, HOUR },
		{ NOW + HOUR + 2000, HOUR + 2000, HOUR + 2000 },
		{ NOW + HOUR - 2000, HOUR - 2000, HOUR - 2000 },
		{ NOW + 60 * DAY, HOUR, HOUR + HOUR / 8 },
		{ NOW + 10 * YEAR, HOUR, HOUR + HOUR / 8 },
		{ NOW - 10 * YEAR, HOUR - HOUR / 8, HOUR },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct steady s = { NOW, NOW, 5000 };
		int64_t got = steady_look(&s, cases[i].wall, 5000 + HOUR) - NOW;
		assert_in_range(got, cases[i].least, cases[i].most);
	}
}

static bool
is_there(struct state *t, uint64_t id)
{
	struct queue_story story;
	bool found;

	assert_true(queue_show(store_reader(t->store), id, &t->arena, &story, &found,
			&t->err));
	return found;
}

static uint64_t
settled_as(struct state *t, const char *uidl, uint64_t id)
{
	struct submission sub = fixture_message(t, uidl);

	sub.id = id;
	sub.arrived_ms = (int64_t)(id >> 16);
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	assert_true(fixture_settle(t, sub.id, delivered));
	return sub.id;
}

static uint64_t
settled_at(struct state *t, const char *uidl, int64_t wall_ms)
{
	return settled_as(t, uidl, store_new_id(t->store, wall_ms));
}

static uint64_t
prune(struct state *t)
{
	uint64_t pruned;

	(void)steady_prune(t, 30 * DAY, &pruned);
	return pruned;
}

/* A start under each wrong clock, and one when it is right again. */
static void
a_jump_of_the_clock_forgets_no_history(void **state)
{
	static const int64_t jumps[] = { 60 * DAY, 10 * YEAR, -10 * YEAR };
	struct state *t = *state;
	uint64_t first = settled_at(t, "a", NOW);

	steady_pass(t, 2 * HOUR);
	settled_at(t, "b", NOW + 2 * HOUR);
	for (size_t i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
		restart(t, NOW + jumps[i]);
		assert_int_equal(prune(t), 0);
		restart(t, NOW + 2 * HOUR);
		assert_int_equal(prune(t), 0);
	}
	assert_true(is_there(t, first));
}

/* `once` from cron: seconds each day, and still the month passes. */
static void
days_between_short_runs_count(void **state)
{
	struct state *t = *state;
	uint64_t first = settled_at(t, "a", NOW);

	settled_at(t, "b", NOW);
	for (int day = 1; day <= 30; day++) {
		restart(t, NOW + day * DAY);
		assert_int_equal(prune(t), 0);
		assert_true(is_there(t, first));
	}
	restart(t, NOW + 31 * DAY + HOUR);
	restart(t, NOW + 32 * DAY);
	assert_int_equal(prune(t), 1);
	assert_false(is_there(t, first));
}

/* Its id stays ahead, and those after it: nothing waits ten years to be forgotten. */
static void
one_message_from_years_ahead_does_not_stop_anything(void **state)
{
	struct state *t = *state;
	uint64_t ahead = settled_at(t, "a", NOW + 10 * YEAR);
	uint64_t next = settled_at(t, "b", NOW);

	assert_int_equal(ahead >> 16, NOW + 10 * YEAR);
	assert_true(next > ahead);
	restart(t, NOW);
	uint64_t last = settled_at(t, "c", NOW);
	assert_true(last > next);
	steady_pass(t, 2 * HOUR);
	assert_int_equal(prune(t), 0);
	steady_set(t, NOW + 30 * DAY + HOUR / 2); /* none of them is a month old yet */
	assert_int_equal(prune(t), 0);
	steady_set(t, NOW + 30 * DAY + 3 * HOUR);
	assert_int_equal(prune(t), 2); /* ids continue from the last */
	assert_true(is_there(t, last));
}

static void
an_id_has_room_to_count_whatever_the_clock_shows(void **state)
{
	struct state *t = *state;
	uint64_t far = store_new_id(t->store, INT64_MAX / 2);

	assert_true(far < INT64_MAX / 2);
	assert_true(store_new_id(t->store, NOW) > far);
}

/* A clock that stands still for 100,000 messages: visitors keep their half. */
static void
ids_of_the_service_stay_out_of_the_visitors_half(void **state)
{
	struct state *t = *state;
	uint64_t last = 0;

	for (int i = 0; i < 100000; i++) {
		uint64_t id = store_new_id(t->store, NOW);
		assert_true(id > last);
		assert_int_equal(id & 0x8000, 0);
		last = id;
	}
}

static void
raw_do(struct state *t, const char *sql)
{
	char path[128];
	sqlite3 *h;

	snprintf(path, sizeof path, "%s/postern.db", t->dir);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
}

/* The program before had no such clock: the last that happened begins it, and what it
 * had goes by the times in its ids. */
static void
the_first_start_of_an_old_state_under_a_wrong_clock_forgets_nothing(void **state)
{
	struct state *t = *state;
	uint64_t old = settled_as(t, "a", (uint64_t)(NOW - 40 * DAY) << 16);
	uint64_t young = settled_as(t, "b", (uint64_t)(NOW - 29 * DAY) << 16);

	settled_at(t, "c", NOW);
	store_close(t->store);
	t->store = NULL;
	raw_do(t, "DELETE FROM mark; DELETE FROM meta WHERE key LIKE 'steady%'");
	restart(t, NOW + 60 * DAY);
	assert_about(shows(t), NOW + DAY);
	steady_set(t, NOW);
	assert_int_equal(prune(t), 1);
	assert_false(is_there(t, old));
	assert_true(is_there(t, young));
}

/* Two next hops, three messages: what could not be set by the schedule is brought to it. */
static void
what_is_due_in_ten_years_is_due_by_the_schedule(void **state)
{
	struct state *t = *state;
	uint64_t far = fixture_submit(t, "a"), near = fixture_submit(t, "b"),
		 other = fixture_submit(t, "c");
	struct settle_recipient r = {
		.state = QUEUE_QUEUED, .attempted = true, .next_try_ms = NOW + 10 * YEAR
	};

	fixture_settle(t, far, r);
	r.hop = SPAN("mx:");
	fixture_settle(t, other, r);
	r.hop = (struct span){ 0 };
	r.next_try_ms = NOW + HOUR;
	fixture_settle(t, near, r);
	struct retiming job = { .job = { .work = STORE_RETIME },
		.latest_ms = NOW + 4 * HOUR };
	assert_int_equal(fixture_do(t, &job.job), STORE_DONE);
	assert_int_equal(job.changed, 2);
	assert_int_equal(fixture_show(t, far).message.recipients[0].next_try_ms,
			NOW + 4 * HOUR);
	assert_int_equal(fixture_show(t, other).message.recipients[0].next_try_ms,
			NOW + 4 * HOUR);
	assert_int_equal(fixture_show(t, near).message.recipients[0].next_try_ms,
			NOW + HOUR);
	assert_int_equal(fixture_do(t, &job.job), STORE_DONE);
	assert_int_equal(job.changed, 0);
}

/* Never much at once: a month's heap goes by pieces, and other work goes between them. */
static void
history_goes_by_pieces(void **state)
{
	enum { MESSAGES = 2 * PRUNE_AT_ONCE + 50 };
	struct state *t = *state;
	char uidl[16];

	for (int i = 0; i < MESSAGES; i++) {
		snprintf(uidl, sizeof uidl, "u%d", i);
		settled_at(t, uidl, NOW + i);
	}
	steady_pass(t, 2 * HOUR);
	settled_at(t, "last", NOW + DAY);
	steady_set(t, NOW + 31 * DAY);
	struct pruning p = { .job = { .work = STORE_PRUNE }, .keep_ms = 30 * DAY };
	assert_int_equal(fixture_do(t, &p.job), STORE_DONE);
	assert_int_equal(p.pruned, PRUNE_AT_ONCE);
	assert_true(p.more);
	assert_int_equal(fixture_do(t, &p.job), STORE_DONE);
	assert_true(p.more);
	assert_int_equal(fixture_do(t, &p.job), STORE_DONE);
	assert_int_equal(p.pruned, 50);
	assert_false(p.more);
}

/* `keep` at the provider goes by it, too: the collector reads it from the state. */
static void
a_reader_sees_it_within_an_hour(void **state)
{
	struct state *t = *state;
	int64_t got;

	/* The wall clock is years ahead of where the store saw it. */
	assert_true(reader_steady_ms(store_reader(t->store), &got, &t->err));
	assert_about(got, NOW + HOUR);
	assert_true(origin_since(
			store_reader(t->store), SPAN("isp"), SPAN("a"), &got, &t->err));
	assert_int_equal(got, 0);
	settled_at(t, "a", NOW + 10 * YEAR);
	assert_true(origin_since(
			store_reader(t->store), SPAN("isp"), SPAN("a"), &got, &t->err));
	assert_about(got, NOW);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_start_counts_the_time_since_the_last_run_but_no_jump),
		TEST(a_run_goes_by_time_that_passes_and_slowly_to_the_wall_clock),
		TEST(a_jump_of_the_clock_forgets_no_history),
		TEST(days_between_short_runs_count),
		TEST(one_message_from_years_ahead_does_not_stop_anything),
		TEST(an_id_has_room_to_count_whatever_the_clock_shows),
		TEST(ids_of_the_service_stay_out_of_the_visitors_half),
		TEST(the_first_start_of_an_old_state_under_a_wrong_clock_forgets_nothing),
		TEST(what_is_due_in_ten_years_is_due_by_the_schedule),
		TEST(history_goes_by_pieces),
		TEST(a_reader_sees_it_within_an_hour),
	};

	return cmocka_run_group_tests_name("steady", tests, NULL, NULL);
}
