/* Jobs whose statements fail: a job that was not done changes nothing at all, and one that
 * was is done whole. */
#include "deeds.h"
#include "steady.h"

static bool
done(struct state *t, struct store_job *job)
{
	bool ok = fixture_do(t, job) <= STORE_HAD;

	t->err = job->err;
	return ok;
}

static bool
do_submit(struct state *t)
{
	const struct submission_recipient to[] = {
		{ .address = SPAN("ann@contoso.test"),
				.hop = SPAN("new hop"),
				.state = QUEUE_QUEUED,
				.key = { keys[0], STORE_KEY_SIZE } },
		{ .address = SPAN("bob@contoso.test"),
				.hop = SPAN("drop"),
				.state = QUEUE_QUEUED,
				.key = { keys[1], STORE_KEY_SIZE } },
		{ .address = SPAN("carl@contoso.test"),
				.hop = SPAN("badmail"),
				.state = QUEUE_REFUSED,
				.key = { keys[1], STORE_KEY_SIZE } },
		{ .address = SPAN("dora@contoso.test"),
				.hop = SPAN("drop"),
				.state = QUEUE_QUEUED },
	};
	uint64_t copies[4] = { 1, 1, 1, 1 };
	struct submission sub = message(t, "new", to, 4);

	sub.id = id;
	sub.account = SPAN("new account");
	sub.copy_of = copies;
	if (!done(t, &sub.job))
		return false;
	assert_int_equal(copies[0], 0);
	assert_int_equal(copies[1], first_id);
	assert_int_equal(copies[2], first_id);
	assert_int_equal(copies[3], 0);
	return true;
}

static void
check_submit(struct state *t)
{
	enum origin_state is;
	struct queue_story s = fixture_show(t, id);

	assert_int_equal(s.message.n, 4);
	assert_true(s.message.body);
	assert_int_equal(s.message.recipients[0].state, QUEUE_QUEUED);
	assert_int_equal(s.message.recipients[1].state, QUEUE_DUPLICATE);
	assert_int_equal(s.message.recipients[2].state, QUEUE_DUPLICATE);
	assert_int_equal(s.message.recipients[3].state, QUEUE_QUEUED);
	assert_span(s.message.recipients[0].hop, "new hop");
	assert_span(s.message.account, "new account");
	assert_true(origin_look(store_reader(t->store), SPAN("new account"),
			SPAN("new"), &is, NULL, &t->err));
	assert_int_equal(is, ORIGIN_COMMITTED);
	/* Its keys are there for the next copy. */
	struct submission_recipient to = fixture_to;
	uint64_t copy;
	struct submission sub = message(t, NULL, &to, 1);

	to.key = (struct span){ keys[0], STORE_KEY_SIZE };
	sub.copy_of = &copy;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	assert_int_equal(copy, id);
}

static bool
do_copy(struct state *t)
{
	const struct submission_recipient bob = { .address = SPAN("bob@contoso.test"),
		.hop = SPAN("drop"),
		.state = QUEUE_QUEUED,
		.key = { keys[1], STORE_KEY_SIZE } };
	uint64_t copy = 0;
	struct submission sub = message(t, "copy", &bob, 1);

	sub.id = id;
	sub.copy_of = &copy;
	if (!fixture_spool_has(t, id))
		spooled(t, &sub);
	sub.spool_fd = spool_fd;
	sub.spool_size = strlen("a large message");
	return done(t, &sub.job) && copy == first_id;
}

static void
check_copy(struct state *t)
{
	assert_false(fixture_show(t, id).message.body);
	assert_false(fixture_spool_has(t, id));
}

static bool
do_had(struct state *t)
{
	struct submission sub = message(t, "first", &fixture_to, 1);

	sub.id = id;
	if (!done(t, &sub.job))
		return false;
	assert_int_equal(sub.job.result, STORE_HAD);
	assert_int_equal(sub.had, first_id);
	return true;
}

static void
check_had(struct state *t)
{
	struct queue_message *m;

	assert_int_equal(fixture_due(t, "drop", NOW, &m), 2);
}

static bool
do_settle(struct state *t)
{
	const struct settle_recipient r = { .state = QUEUE_DELIVERED,
		.attempted = true,
		.code = 250,
		.host = SPAN("far"),
		.reply = SPAN("ok") };
	struct settlement set = { .job = { .work = STORE_SETTLE },
		.id = second_id,
		.at_ms = NOW,
		.recipients = &r,
		.n = 1 };

	if (!done(t, &set.job))
		return false;
	assert_true(set.settled);
	return true;
}

static void
check_settle(struct state *t)
{
	struct queue_story s = fixture_show(t, second_id);

	assert_int_equal(s.message.recipients[0].state, QUEUE_DELIVERED);
	assert_int_equal(s.n, 1);
	assert_false(s.message.body);
	assert_false(fixture_spool_has(t, second_id));
}

/* Tried before, and now one bounces with a notice, the body being damaged. */
static bool
do_bounce(struct state *t)
{
	const struct settle_recipient r = { .state = QUEUE_BOUNCED,
		.attempted = true,
		.next_try_ms = NOW,
		.hop = SPAN("badmail") };
	struct notice n = { .postmaster = SPAN("postmaster@contoso.test"),
		.mail = message(t, NULL, &fixture_to, 1) };
	struct settlement set = { .job = { .work = STORE_SETTLE },
		.id = first_id,
		.at_ms = NOW,
		.recipients = &r,
		.n = 1,
		.notices = &n,
		.damage = SPAN("its file is gone") };

	n.mail.id = id;
	if (!done(t, &set.job))
		return false;
	assert_true(n.queued && set.damage_new && set.again && !set.settled);
	return true;
}

static void
prepare_bounce(struct state *t)
{
	assert_false(fixture_settle(t, first_id,
			(struct settle_recipient){ .state = QUEUE_QUEUED,
					.attempted = true,
					.next_try_ms = NOW * 2,
					.reply = SPAN("4.2.0 later") }));
}

static void
prepare_both(struct state *t)
{
	prepare_bounce(t);
	assert_false(fixture_settle(t, first_id,
			(struct settle_recipient){ .seq = 1,
					.state = QUEUE_QUEUED,
					.next_try_ms = NOW * 2 }));
}

static void
check_bounce(struct state *t)
{
	struct queue_story s = fixture_show(t, first_id);
	enum origin_state is;
	struct queue_message *m;

	assert_int_equal(s.message.recipients[0].state, QUEUE_BOUNCED);
	assert_span(s.message.recipients[0].hop, "badmail");
	assert_int_equal(s.n, 2);
	assert_span(s.attempts[0].reply, "4.2.0 later");
	/* The other one is due at once, the next poll collects it again. */
	assert_int_equal(fixture_due(t, "badmail", NOW, &m), 1);
	assert_int_equal(m->n, 1);
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 3); /* and the notice */
	assert_int_equal(m[0].n + m[1].n + m[2].n, 3);
	assert_true(origin_look(store_reader(t->store), isp, SPAN("first"), &is, NULL,
			&t->err));
	assert_int_equal(is, ORIGIN_NEW);
	assert_int_equal(fixture_show(t, id).message.n, 1);
}

static bool
do_digest(struct state *t)
{
	struct notice_digest d = { .job = { .work = STORE_DIGEST },
		.about = { SPAN("postmaster@contoso.test"), NOW + 5, 1 },
		.at_ms = NOW + NOTICE_WINDOW_MS + 5,
		.mail = message(t, NULL, &fixture_to, 1) };

	d.mail.id = id;
	if (!done(t, &d.job))
		return false;
	assert_true(d.queued);
	return true;
}

static void
prepare_digest(struct state *t)
{
	struct notice n = { .postmaster = SPAN("postmaster@contoso.test"),
		.mail = message(t, NULL, NULL, 0) };
	struct settlement set = { .job = { .work = STORE_SETTLE },
		.id = first_id,
		.at_ms = NOW + 5,
		.notices = &n };

	assert_int_equal(fixture_do(t, &set.job), STORE_DONE);
}

static void
check_digest(struct state *t)
{
	struct notice_count *v;
	size_t n;

	assert_int_equal(fixture_show(t, id).message.n, 1);
	assert_true(notice_due(
			store_reader(t->store), NOW * 2, &t->arena, &v, &n, &t->err));
	assert_int_equal(n, 0);
}

static bool
do_prune(struct state *t)
{
	struct pruning p = { .job = { .work = STORE_PRUNE }, .keep_ms = 1 };

	if (!done(t, &p.job))
		return false;
	assert_int_equal(p.pruned, 1);
	return true;
}

static void
prepare_prune(struct state *t)
{
	uint64_t pruned;

	for (int i = 0; i < 2; i++)
		(void)fixture_settle(t, first_id,
				(struct settle_recipient){ .seq = (uint32_t)i,
						.state = QUEUE_DELIVERED,
						.attempted = true });
	steady_pass(t, 2 * 3600 * 1000);
	(void)steady_prune(t, STORE_HISTORY_MS, &pruned);
}

static void
check_prune(struct state *t)
{
	struct queue_story s;
	bool found;

	assert_true(queue_show(store_reader(t->store), first_id, &t->arena, &s, &found,
			&t->err));
	assert_false(found);
	assert_int_equal(fixture_show(t, second_id).message.n, 1);
}

static bool
do_retime(struct state *t)
{
	struct retiming r = { .job = { .work = STORE_RETIME }, .latest_ms = NOW + 1 };

	if (!done(t, &r.job))
		return false;
	assert_int_equal(r.changed, 1);
	return true;
}

static bool
do_retime_hop(struct state *t)
{
	struct retiming r = { .job = { .work = STORE_RETIME },
		.hop = SPAN("drop"),
		.latest_ms = NOW + 1 };

	if (!done(t, &r.job))
		return false;
	assert_int_equal(r.changed, 1);
	return true;
}

static void
check_retime(struct state *t)
{
	struct queue_message *m;

	assert_int_equal(fixture_due(t, "drop", NOW + 1, &m), 2);
	assert_int_equal(m[0].n + m[1].n, 3);
}

static bool
change_of(struct state *t, enum origin_act act)
{
	static const struct span uidls[] = { { SPAN_INIT("first") },
		{ SPAN_INIT("second") } };
	struct origin_change c = { .job = { .work = STORE_ORIGINS },
		.act = act,
		.account = isp,
		.uidls = uidls,
		.n = 2 };

	return done(t, &c.job);
}

static void
check_origins(struct state *t, enum origin_state want, bool absent)
{
	struct origin_row row;
	size_t n = 0;

	origin_walk(store_reader(t->store), isp);
	while (origin_walk_next(store_reader(t->store), &row)) {
		assert_int_equal(row.state, want);
		assert_int_equal(row.absent, absent);
		n++;
	}
	assert_true(origin_walk_end(store_reader(t->store), &t->err));
	assert_int_equal(n, 2);
}

static bool
do_settled(struct state *t)
{
	return change_of(t, ORIGIN_ACT_SETTLE);
}

static void
check_settled(struct state *t)
{
	check_origins(t, ORIGIN_SETTLED, false);
}

static bool
do_listed(struct state *t)
{
	return change_of(t, ORIGIN_ACT_LISTED);
}

static void
check_listed(struct state *t)
{
	check_origins(t, ORIGIN_COMMITTED, true);
}

static void
prepare_back(struct state *t)
{
	assert_true(do_listed(t));
}

static bool
do_back(struct state *t)
{
	return change_of(t, ORIGIN_ACT_BACK);
}

static void
check_back(struct state *t)
{
	check_origins(t, ORIGIN_COMMITTED, false);
}

static void
prepare_adopt(struct state *t)
{
	assert_true(do_settled(t));
}

static bool
do_adopt(struct state *t)
{
	return change_of(t, ORIGIN_ACT_ADOPT);
}

static void
check_adopt(struct state *t)
{
	check_origins(t, ORIGIN_ADOPTED, false);
}

static bool
polled(struct state *t, int64_t started_ms)
{
	struct poll_result p = { .job = { .work = STORE_POLLED },
		.account = SPAN("new account"),
		.started_ms = started_ms,
		.ok = true,
		.text = SPAN("ok"),
		.listed = 7,
		.memo = SPAN("memo"),
		.session = SPAN("S: +OK\n") };

	return done(t, &p.job);
}

static bool
do_polled(struct state *t)
{
	return polled(t, NOW);
}

static void
prepare_polled(struct state *t)
{
	for (int i = 1; i <= 5; i++)
		assert_true(polled(t, NOW - i));
}

static void
check_polled(struct state *t)
{
	struct poll_result *p;
	struct poll_session *v;
	struct span memo;
	size_t n;
	struct reader *r = store_reader(t->store);

	assert_true(poll_results(r, &t->arena, &p, &n, &t->err));
	assert_int_equal(n, 1);
	assert_int_equal(p->listed, 7);
	assert_true(poll_memo(r, SPAN("new account"), &t->arena, &memo, &t->err));
	assert_span(memo, "memo");
	assert_true(poll_sessions(r, SPAN("new account"), &t->arena, &v, &n, &t->err));
	assert_int_equal(n, 5);
}

static const struct deed deeds[] = {
	{ "submit", NULL, do_submit, check_submit },
	{ "a copy in the spool", NULL, do_copy, check_copy },
	{ "had already", NULL, do_had, check_had },
	{ "settle", NULL, do_settle, check_settle },
	{ "bounce", prepare_both, do_bounce, check_bounce },
	{ "digest", prepare_digest, do_digest, check_digest },
	{ "prune", prepare_prune, do_prune, check_prune },
	{ "retime", prepare_bounce, do_retime, check_retime },
	{ "retime a hop", prepare_bounce, do_retime_hop, check_retime },
	{ "settled", NULL, do_settled, check_settled },
	{ "listed", NULL, do_listed, check_listed },
	{ "back", prepare_back, do_back, check_back },
	{ "adopt", prepare_adopt, do_adopt, check_adopt },
	{ "polled", prepare_polled, do_polled, check_polled },
};

static void
a_step_that_fails_takes_all_of_it_back(void **state)
{
	(void)state;
	all_of_them(deeds, sizeof deeds / sizeof deeds[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_that_fails_takes_all_of_it_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
