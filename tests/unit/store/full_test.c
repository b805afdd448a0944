/* A group on a disk that is full for a while: what was settled is, each by itself, and the rest
 * is put off; nothing between. */
#include "fixture.h"
#include "steps.h"

enum { SETTLED = 3 };

struct group {
	struct submission sub;
	struct settlement set[SETTLED];
	uint64_t id[SETTLED];
};

static const struct settle_recipient delivered = { .state = QUEUE_DELIVERED,
	.attempted = true };

/* Three messages, the second in the spool, that are to be settled. */
static void
prepare(struct state *t, struct group *g)
{
	for (size_t i = 0; i < SETTLED; i++) {
		struct submission sub = fixture_message(t, NULL);

		if (i == 1) {
			sub.spool_fd = spool_create(t->store, sub.id, &t->err);
			assert_true(spool_write(sub.spool_fd, SPAN("large"),
					&sub.spool_size, &t->err));
		}
		assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
		if (i == 1)
			close(sub.spool_fd);
		g->id[i] = sub.id;
		g->set[i] = (struct settlement){ .job = { .work = STORE_SETTLE },
			.id = sub.id,
			.at_ms = NOW,
			.recipients = &delivered,
			.n = 1 };
	}
	g->sub = fixture_message(t, NULL);
}

static void
run(struct state *t, struct group *g)
{
	struct list jobs;
	size_t n = 0;

	list_init(&jobs);
	for (size_t i = 0; i < SETTLED; i++) {
		list_add(&jobs, &g->set[i].job.link);
		if (i == 0)
			list_add(&jobs, &g->sub.job.link);
	}
	store_run(t->store, &jobs);
	/* The list keeps its order. */
	const struct store_job *order[] = { &g->set[0].job, &g->sub.job, &g->set[1].job,
		&g->set[2].job };
	LIST_EACH (at, &jobs)
		assert_ptr_equal(order[n++], LIST_ITEM(at, struct store_job, link));
	assert_int_equal(n, SETTLED + 1);
}

static size_t
check(struct state *t, struct group *g, unsigned step)
{
	struct queue_story s;
	bool found;
	size_t done = 0;

	for (size_t i = 0; i < SETTLED; i++) {
		s = fixture_show(t, g->id[i]);
		bool is = s.message.recipients[0].state == QUEUE_DELIVERED;
		bool said = g->set[i].job.result == STORE_DONE;
		if (is != said || s.message.body == is)
			fail_msg("step %u: settlement %zu: %d", step, i,
					g->set[i].job.result);
		if (!said)
			assert_true(g->set[i].job.err.text[0] &&
					g->set[i].job.err.event == 9005);
		assert_true(!said || g->set[i].settled);
		if (i == 1)
			assert_int_equal(fixture_spool_has(t, g->id[i]), !is);
		done += is;
	}
	assert_true(queue_show(store_reader(t->store), g->sub.id, &t->arena, &s, &found,
			&t->err));
	assert_int_equal(found, g->sub.job.result == STORE_DONE);
	if (!found) {
		assert_int_equal(g->sub.job.result, STORE_FULL);
		assert_int_equal(g->sub.job.trouble, STORE_DISK_FULL);
	}
	return done;
}

/* Full from that step on for so many, and once more. */
static size_t
full(struct state *t, unsigned n, unsigned times, unsigned again, bool *struck)
{
	struct group g;

	prepare(t, &g);
	steps_fail(n, times, SQLITE_FULL);
	steps.again = again;
	run(t, &g);
	*struck = steps_end() && steps.n >= again;
	size_t done = check(t, &g, n);
	assert_int_equal(store_health(t->store).trouble,
			done == SETTLED ? STORE_SOUND : STORE_DISK_FULL);
	/* With room again all of it is done. */
	if (done < SETTLED || g.sub.job.result != STORE_DONE) {
		run(t, &g);
		assert_int_equal(check(t, &g, n), SETTLED);
		assert_int_equal(g.sub.job.result, STORE_DONE);
	}
	return done;
}

static void
deliveries_go_on_where_a_disk_is_full_for_a_moment(void **state)
{
	bool struck = true;

	for (unsigned times = 1; times <= 2; times++, struck = true)
		for (unsigned n = 1; struck; n++) {
			assert_int_equal(full(*state, n, times, 0, &struck), SETTLED);
			assert_true(n < 500);
		}
}

/* Both transactions of the group find no room, then one of those that settle one by one. */
static void
each_is_settled_or_not(void **state)
{
	unsigned by_done[SETTLED + 1] = { 0 };
	bool struck = true;

	for (unsigned n = 3; struck; n++) {
		by_done[full(*state, 1, 2, n, &struck)]++;
		assert_true(n < 500);
	}
	for (size_t i = 0; i <= SETTLED; i++)
		assert_true(by_done[i] > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(deliveries_go_on_where_a_disk_is_full_for_a_moment),
		TEST(each_is_settled_or_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
