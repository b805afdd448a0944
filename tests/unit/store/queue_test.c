#include "steady.h"

enum { DAY = 24 * 3600 * 1000 };

static const struct settle_recipient delivered = {
	.state = QUEUE_DELIVERED,
	.attempted = true,
	.code = 250,
	.host = { SPAN_INIT("mail.contoso.test") },
	.reply = { SPAN_INIT("2.0.0 OK") },
};

static struct settle_recipient
deferred(int64_t next_ms)
{
	return (struct settle_recipient){ .state = QUEUE_QUEUED,
		.attempted = true,
		.next_try_ms = next_ms,
		.code = 451,
		.host = SPAN("mail.contoso.test"),
		.reply = SPAN("4.3.2 later") };
}

static void
a_deferred_recipient_comes_again_at_its_time(void **state)
{
	struct state *t = *state;
	struct queue_message *m;
	uint64_t id = fixture_submit(t, "u1");
	assert_int_equal(fixture_due(t, "drop", NOW - 1, &m), 0);
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 1);
	assert_int_equal(m[0].id, id);
	assert_span(m[0].recipients[0].address, "ann@contoso.test");
	assert_false(fixture_settle(t, id, deferred(NOW + 1000)));
	assert_int_equal(fixture_due(t, "drop", NOW + 999, &m), 0);
	assert_int_equal(fixture_due(t, "drop", NOW + 1000, &m), 1);
	assert_int_equal(m[0].recipients[0].attempts, 1);
	assert_int_equal(m[0].recipients[0].code, 451);
	assert_span(m[0].recipients[0].reply, "4.3.2 later");
}

static void
every_attempt_is_remembered(void **state)
{
	struct state *t = *state;
	uint64_t id = fixture_submit(t, "u1");
	fixture_settle(t, id, deferred(NOW + 1));
	fixture_settle(t, id, deferred(NOW + 2));
	assert_true(fixture_settle(t, id, delivered));
	struct queue_story s = fixture_show(t, id);
	assert_false(s.message.body);
	assert_int_equal(s.message.recipients[0].state, QUEUE_DELIVERED);
	assert_int_equal(s.n, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(s.attempts[i].number, i + 1);
	assert_int_equal(s.attempts[1].code, 451);
	assert_int_equal(s.attempts[2].code, 250);
	assert_span(s.attempts[2].reply, "2.0.0 OK");
	assert_int_equal(s.attempts[2].state, QUEUE_DELIVERED);
	bool gone;
	assert_null(body_find(store_reader(t->store), id, &gone, &t->err));
	assert_true(gone);
	/* What is settled stays as it is. */
	fixture_settle(t, id, deferred(NOW));
	s = fixture_show(t, id);
	assert_int_equal(s.message.recipients[0].state, QUEUE_DELIVERED);
	assert_int_equal(s.n, 3);
}

static void
the_body_goes_with_the_last_recipient(void **state)
{
	struct state *t = *state;
	struct submission_recipient to[3] = { fixture_to, fixture_to, fixture_to };
	struct submission sub = fixture_message(t, "u1");
	to[1].hop = SPAN("smtp:other");
	to[2].state = QUEUE_REFUSED;
	to[2].hop = SPAN("badmail");
	sub.recipients = to;
	sub.n = 3;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	struct settle_recipient r = delivered;
	r.seq = 1;
	assert_false(fixture_settle(t, sub.id, r));
	struct queue_message *m;
	assert_int_equal(fixture_due(t, "smtp:other", NOW, &m), 0);
	r.seq = 0;
	assert_false(fixture_settle(t, sub.id, r));
	assert_true(fixture_show(t, sub.id).message.body);
	assert_int_equal(fixture_due(t, "badmail", NOW, &m), 1);
	assert_int_equal(m[0].recipients[0].state, QUEUE_REFUSED);
	assert_int_equal(m[0].recipients[0].seq, 2);
	r = (struct settle_recipient){ .seq = 2, .state = QUEUE_BADMAIL };
	assert_true(fixture_settle(t, sub.id, r));
	struct queue_story s = fixture_show(t, sub.id);
	assert_false(s.message.body);
	assert_int_equal(s.message.recipients[2].state, QUEUE_BADMAIL);
	assert_int_equal(s.message.recipients[2].attempts, 0);
}

static void
a_bounce_moves_to_badmail_with_its_reason(void **state)
{
	struct state *t = *state;
	uint64_t id = fixture_submit(t, "u1");
	assert_false(fixture_settle(t, id,
			(struct settle_recipient){ .state = QUEUE_BOUNCED,
					.attempted = true,
					.next_try_ms = NOW,
					.hop = SPAN("badmail"),
					.code = 550,
					.reply = SPAN("5.1.1 no such user"),
					.reason = SPAN("unknown-user") }));
	struct queue_message *m;
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 0);
	assert_int_equal(fixture_due(t, "badmail", NOW, &m), 1);
	assert_span(m[0].recipients[0].reason, "unknown-user");
	assert_span(m[0].recipients[0].reply, "5.1.1 no such user");
	/* What says no reason or next hop leaves those that are there. */
	fixture_settle(t, id,
			(struct settle_recipient){ .state = QUEUE_BOUNCED,
					.attempted = true,
					.next_try_ms = NOW });
	assert_int_equal(fixture_due(t, "badmail", NOW, &m), 1);
	assert_span(m[0].recipients[0].reason, "unknown-user");
}

static bool
is_leased(void *arg, uint64_t id)
{
	return *(uint64_t *)arg == id;
}

static void
dispatch_is_by_next_hop_and_leaves_leases_out(void **state)
{
	struct state *t = *state;
	uint64_t ids[5];
	for (int i = 0; i < 5; i++) {
		struct submission_recipient to = fixture_to;
		struct submission sub = fixture_message(t, NULL);
		to.hop = i == 2 ? SPAN("slow") : SPAN("drop");
		sub.recipients = &to;
		sub.arrived_ms = NOW - i;
		assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
		ids[i] = sub.id;
	}
	struct queue_hop *hops;
	size_t n;
	assert_true(queue_hops(store_reader(t->store), &t->arena, &hops, &n, &t->err));
	assert_int_equal(n, 2);
	bool slow = span_eq(hops[0].hop, SPAN("slow"));
	assert_int_equal(hops[slow ? 0 : 1].next_try_ms, NOW - 2);
	assert_int_equal(hops[slow ? 1 : 0].next_try_ms, NOW - 4);

	struct queue_due want = { .hop = SPAN("drop"),
		.now_ms = NOW,
		.messages = 2,
		.recipients = 10,
		.leased = is_leased,
		.arg = &ids[3] };
	struct queue_message *m;
	assert_true(queue_due(
			store_reader(t->store), &want, &t->arena, &m, &n, &t->err));
	assert_int_equal(n, 2);
	assert_int_equal(m[0].id, ids[4]); /* longest due first */
	assert_int_equal(m[1].id, ids[1]);
	for (int i = 0; i < 5; i++)
		fixture_settle(t, ids[i], delivered);
	assert_true(queue_hops(store_reader(t->store), &t->arena, &hops, &n, &t->err));
	assert_int_equal(n, 0);
}

static void
many_recipients_are_leased_in_pieces(void **state)
{
	struct state *t = *state;
	enum { MANY = 50000, PIECE = 1000 };
	struct submission_recipient *to = calloc(MANY, sizeof *to);
	struct settle_recipient *done = calloc(PIECE, sizeof *done);
	for (int i = 0; i < MANY; i++)
		to[i] = fixture_to;
	struct submission sub = fixture_message(t, "u1");
	sub.recipients = to;
	sub.n = MANY;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	size_t pieces = 0;
	for (bool settled = false; !settled; pieces++) {
		struct arena a = ARENA_MAX(16 * 1024 * 1024);
		struct queue_due want = { .hop = SPAN("drop"),
			.now_ms = NOW,
			.messages = 10,
			.recipients = PIECE };
		struct queue_message *m;
		size_t n;
		assert_true(queue_due(
				store_reader(t->store), &want, &a, &m, &n, &t->err));
		assert_int_equal(n, 1);
		assert_int_equal(m[0].n, PIECE);
		for (size_t i = 0; i < PIECE; i++) {
			done[i] = delivered;
			done[i].seq = m[0].recipients[i].seq;
		}
		struct settlement set = { .job = { .work = STORE_SETTLE },
			.id = sub.id,
			.at_ms = NOW,
			.recipients = done,
			.n = PIECE };
		assert_int_equal(fixture_do(t, &set.job), STORE_DONE);
		settled = set.settled;
		arena_done(&a);
	}
	assert_int_equal(pieces, MANY / PIECE);
	free(to);
	free(done);
}

static void
the_queue_is_listed_by_state_and_domain(void **state)
{
	struct state *t = *state;
	uint64_t a = fixture_submit(t, "a"), b = fixture_submit(t, "b");
	struct submission_recipient to = fixture_to;
	struct submission sub = fixture_message(t, "c");
	to.address = SPAN("bob@Fabrikam.test");
	to.state = QUEUE_HELD;
	sub.recipients = &to;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	fixture_settle(t, a, delivered);

	struct reader *r = store_reader(t->store);
	struct queue_message *m;
	size_t n;
	assert_true(queue_list(
			r, &(struct queue_filter){ 0 }, &t->arena, &m, &n, &t->err));
	assert_int_equal(n, 3);
	assert_int_equal(m[0].n, 1);
	assert_true(queue_list(r, &(struct queue_filter){ .open = true }, &t->arena, &m,
			&n, &t->err));
	assert_int_equal(n, 2);
	assert_int_equal(m[0].id, b);
	assert_true(queue_list(r, &(struct queue_filter){ .open = true, .after = b },
			&t->arena, &m, &n, &t->err));
	assert_int_equal(n, 1);
	assert_true(queue_list(r,
			&(struct queue_filter){ .domain = SPAN("fabrikam.test") },
			&t->arena, &m, &n, &t->err));
	assert_int_equal(n, 1);
	assert_int_equal(m[0].id, sub.id);
	assert_true(queue_list(r,
			&(struct queue_filter){
					.by_state = true, .state = QUEUE_DELIVERED },
			&t->arena, &m, &n, &t->err));
	assert_int_equal(n, 1);
	assert_int_equal(m[0].id, a);
	assert_true(queue_list(r,
			&(struct queue_filter){ .by_state = true, .state = QUEUE_HELD },
			&t->arena, &m, &n, &t->err));
	assert_int_equal(n, 1);
	struct queue_size size;
	assert_true(queue_count(r, &size, &t->err));
	assert_int_equal(size.messages, 2);
	assert_int_equal(size.recipients, 2);
	assert_int_equal(size.oldest_ms, NOW);
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 1); /* held is not due */
}

static void
a_message_is_found_by_any_of_its_names(void **state)
{
	struct state *t = *state;
	uint64_t id = fixture_submit(t, "a/b"), *ids;
	uint64_t second = fixture_submit(t, "c");
	struct reader *r = store_reader(t->store);
	char qid[QID_SIZE];
	size_t n;
	qid_print(id, qid);
	assert_true(queue_find(r, span_of(qid), &t->arena, &ids, &n, &t->err));
	assert_true(n == 1 && ids[0] == id);
	assert_true(queue_find(r, SPAN("isp/a/b"), &t->arena, &ids, &n, &t->err));
	assert_true(n == 1 && ids[0] == id);
	assert_true(queue_find(
			r, SPAN("one@nwtraders.test"), &t->arena, &ids, &n, &t->err));
	assert_true(n == 2 && ids[0] == second);
	assert_true(queue_find(
			r, SPAN("<one@nwtraders.test>"), &t->arena, &ids, &n, &t->err));
	assert_int_equal(n, 2);
	assert_true(queue_find(r, SPAN("nothing/here"), &t->arena, &ids, &n, &t->err));
	assert_int_equal(n, 0);
	assert_true(queue_find(r, SPAN("0000000000000"), &t->arena, &ids, &n, &t->err));
	assert_int_equal(n, 0);
}

static void
retry_makes_due_what_is_named(void **state)
{
	struct state *t = *state;
	uint64_t a = fixture_submit(t, "a"), changed;
	struct submission_recipient to = fixture_to;
	struct submission sub = fixture_message(t, "b");
	to.address = SPAN("bob@fabrikam.test");
	sub.recipients = &to;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	fixture_settle(t, a, deferred(NOW + DAY));
	fixture_settle(t, sub.id, deferred(NOW + DAY));
	struct queue_message *m;
	struct span none = { 0 };
	assert_true(queue_retry(
			t->store, 0, SPAN("FABRIKAM.test"), NOW, &changed, &t->err));
	assert_int_equal(changed, 1);
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 1);
	assert_int_equal(m[0].id, sub.id);
	fixture_settle(t, sub.id, deferred(NOW + DAY));
	assert_true(queue_retry(t->store, a, none, NOW, &changed, &t->err));
	assert_int_equal(changed, 1);
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 1);
	assert_int_equal(m[0].id, a);
	assert_true(queue_retry(t->store, 0, none, NOW, &changed, &t->err));
	assert_int_equal(changed, 2);
}

/* Badmail could not be written, and now there is room. */
static void
retry_makes_due_what_waits_for_badmail(void **state)
{
	struct state *t = *state;
	uint64_t a = fixture_submit(t, "a"), changed;
	struct settle_recipient out = deferred(NOW + DAY);
	struct span none = { 0 };
	struct queue_message *m;

	out.state = QUEUE_BOUNCED;
	fixture_settle(t, a, out);
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 0);
	assert_true(queue_retry(t->store, 0, none, NOW, &changed, &t->err));
	assert_int_equal(changed, 1);
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 1);
	assert_int_equal(m[0].recipients[0].state, QUEUE_BOUNCED);
}

static int64_t
hops(struct state *t)
{
	struct query q = query_of(&t->store->self.db, SQL_HOP_COUNT);
	assert_true(query_row(&q));
	int64_t n = query_get(&q, 0);
	assert_true(query_end(&q, "count", &t->err));
	return n;
}

static void
next_hops_that_nobody_names_are_forgotten(void **state)
{
	struct state *t = *state;
	struct queue_message *m;
	uint64_t pruned;
	(void)fixture_submit(t, "a");
	int64_t before = hops(t);
	assert_true(db_exec(&t->store->self.db,
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
			" INSERT INTO hop (key) SELECT 'smtp:old.test:' || i FROM n",
			&t->err));
	(void)steady_prune(t, STORE_HISTORY_MS, &pruned);
	assert_int_equal(hops(t), before);
	/* Those that are named again are found, or made again. */
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 1);
	struct submission_recipient to = fixture_to;
	struct submission sub = fixture_message(t, "b");
	to.hop = SPAN("smtp:old.test:7");
	sub.recipients = &to;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	assert_int_equal(fixture_due(t, "smtp:old.test:7", NOW, &m), 1);
	assert_int_equal(hops(t), before + 1);
}

static void
history_is_pruned_and_the_queue_is_not(void **state)
{
	struct state *t = *state;
	uint64_t old = fixture_submit(t, "a"), open = fixture_submit(t, "b");
	fixture_settle(t, old, deferred(NOW));
	fixture_settle(t, old, delivered);
	uint64_t last = fixture_submit(t, "c");
	fixture_settle(t, last, delivered);
	uint64_t pruned;
	steady_pass(t, DAY / 12);
	(void)steady_prune(t, DAY, &pruned);
	assert_int_equal(pruned, 0);
	steady_set(t, NOW + 2 * DAY);
	(void)steady_prune(t, DAY, &pruned);
	assert_int_equal(pruned, 1);
	struct queue_story story;
	bool found;
	assert_true(queue_show(store_reader(t->store), old, &t->arena, &story, &found,
			&t->err));
	assert_false(found);
	assert_int_equal(fixture_show(t, open).message.n, 1);
	assert_int_equal(fixture_show(t, last).message.n, 1); /* ids continue from it */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_deferred_recipient_comes_again_at_its_time),
		TEST(every_attempt_is_remembered),
		TEST(the_body_goes_with_the_last_recipient),
		TEST(a_bounce_moves_to_badmail_with_its_reason),
		TEST(dispatch_is_by_next_hop_and_leaves_leases_out),
		TEST(many_recipients_are_leased_in_pieces),
		TEST(the_queue_is_listed_by_state_and_domain),
		TEST(a_message_is_found_by_any_of_its_names),
		TEST(retry_makes_due_what_is_named),
		TEST(retry_makes_due_what_waits_for_badmail),
		TEST(next_hops_that_nobody_names_are_forgotten),
		TEST(history_is_pruned_and_the_queue_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
