/* Next hops and their leases, without sockets and threads. */
#include "gate.h"

#include "dispatch.h"

static const struct policy_domain domains[] = {
	{ .domain = { SPAN_INIT("contoso.test") }, .authoritative = true },
};
static const struct directory_rows rows = { .domains = domains, .n_domains = 1 };

static int
set_up(void **state)
{
	static struct dispatch d;
	struct gate *g = gate_new(&rows);

	gate_fresh(g);
	g->hub.reader = store_reader(g->hub.store);
	g->hub.jobs = jobs_new(g->hub.loop, g->hub.store, &gate_jobs, g);
	dispatch_init(&d, &g->hub);
	g->d = &d;
	*state = g;
	return 0;
}

static int
tear_down(void **state)
{
	struct gate *g = *state;

	dispatch_done(g->d);
	jobs_free(g->hub.jobs);
	gate_free(g);
	return 0;
}

static struct hop *
hop_made(struct dispatch *d, const char *key)
{
	struct hop *h = hop_new(&d->all, span_of(key));

	list_add(&d->hops, &h->link);
	return h;
}

/* Edge 21: the next look is when the first of them wants one, in whatever order they stand. */
static void
a_hop_that_is_shut_delays_no_other(void **state)
{
	enum { MOST = 30 * 1000 };
	struct gate *g = *state;
	struct dispatch *d = g->d;
	struct hop *h[3];

	for (size_t i = 0; i < 3; i++) {
		char key[40];

		(void)snprintf(key, sizeof(key), "smtp:h%zu.test:25", i);
		h[i] = hop_made(d, key);
	}
	assert_int_equal(dispatch_wait(d, MOST), MOST);
	for (size_t shut = 0; shut < 3; shut++) {
		size_t soon = (shut + 1) % 3, late = (shut + 2) % 3;

		h[shut]->wake_ms = 0; /* it has mail, and will not talk for a minute */
		h[shut]->shut_until_ms = loop_now_ms(g->hub.loop) + 60 * 1000;
		h[soon]->wake_ms = clock_wall_ms() + 2000;
		h[late]->wake_ms = clock_wall_ms() + 9000;
		h[soon]->shut_until_ms = h[late]->shut_until_ms = 0;
		assert_in_range(dispatch_wait(d, MOST), 1000, 2000);
		h[soon]->wake_ms = INT64_MAX;
		assert_in_range(dispatch_wait(d, MOST), 8000, 9000);
		h[late]->wake_ms = INT64_MAX;
		assert_int_equal(dispatch_wait(d, MOST), MOST);
		assert_in_range(dispatch_wait(d, 2 * 60 * 1000), 59000, 60000);
	}
}

static uint64_t
queued(struct gate *g, size_t n)
{
	struct submission_recipient to[4];
	struct list jobs;

	for (size_t i = 0; i < n; i++)
		/* No address any more: it stays where it is. */
		to[i] = (struct submission_recipient){ .address = SPAN("?"),
			.hop = SPAN("smtp:h.test:25"),
			.state = QUEUE_QUEUED };
	struct submission sub = { .job = { .work = STORE_SUBMIT },
		.id = store_new_id(g->hub.store, clock_wall_ms()),
		.arrived_ms = clock_wall_ms(),
		.top = SPAN(""),
		.body = SPAN("A: b\r\n\r\nx\r\n"),
		.spool_fd = -1,
		.recipients = to,
		.n = n };
	list_init(&jobs);
	list_add(&jobs, &sub.job.link);
	store_run(g->hub.store, &jobs);
	assert_int_equal(sub.job.result, STORE_DONE);
	return sub.id;
}

/* Edge 5: some recipients have their answers and the memory that they were loaded into is
 * full: the answers are settled, each with its reply, and the others stay as they are. */
static void
answers_are_settled_though_the_batch_is_full(void **state)
{
	struct gate *g = *state;
	struct arena a = ARENA_MAX(1024 * 1024);
	const uint64_t id = queued(g, 4);
	struct hop *h = hop_made(g->d, "smtp:h.test:25");
	struct verdict v[2] = { verdict_make(FATE_DELIVERED, 250, "2.0.0",
						"250 2.0.0 stored"),
		verdict_make(FATE_DEFERRED, 450, "4.2.1", "450 4.2.1 try later") };
	struct queue_story s;
	struct list jobs;
	struct err err = { 0 };
	bool found;

	h->wake_ms = 0;
	h->works = true;
	g->conf->delivery.connections = 1;
	g->d->all.sessions = 1; /* others have all connections: it is only loaded */
	hop_look(h);
	struct lease *l = hop_carrier_calls.take(h);
	assert_non_null(l);
	assert_int_equal(l->m->n, 4);
	while (arena_alloc(&l->batch->arena, 1))
		;
	l->attempted = true;
	settle_verdict(l, 1, &v[0]);
	settle_verdict(l, 2, &v[1]);
	settle_verdict(l, 1, &v[1]); /* the first answer is the one that counts */
	settle_lease(l);
	list_init(&jobs);
	list_del(&l->job.job.link);
	list_add(&jobs, &l->job.job.link);
	store_run(g->hub.store, &jobs);
	assert_int_equal(l->job.job.result, STORE_DONE);
	list_del(&l->job.job.link);
	settle_forget(l);

	assert_true(queue_show(g->hub.reader, id, &a, &s, &found, &err));
	assert_true(found && s.message.n == 4);
	const struct queue_recipient *to = s.message.recipients;
	assert_int_equal(to[0].state, QUEUE_QUEUED);
	assert_int_equal(to[0].attempts, 0);
	assert_int_equal(to[1].state, QUEUE_DELIVERED);
	assert_true(span_eq(to[1].reply, SPAN("2.0.0 stored")));
	assert_int_equal(to[2].state, QUEUE_QUEUED);
	assert_int_equal(to[2].attempts, 1);
	assert_true(span_eq(to[2].reply, SPAN("4.2.1 try later")));
	assert_int_equal(to[3].attempts, 0);
	arena_done(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				a_hop_that_is_shut_delays_no_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
				answers_are_settled_though_the_batch_is_full, set_up,
				tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
