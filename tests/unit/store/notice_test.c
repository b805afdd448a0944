/* Notices about recipients who failed: with them or not at all, once, and not too many. */
#include "postern/notice.h"

#include "fixture.h"

static const struct submission_recipient postmaster = {
	.address = { SPAN_INIT("postmaster@contoso.test") },
	.hop = { SPAN_INIT("lmtp:box") },
	.state = QUEUE_QUEUED,
};

static struct notice
notice_new(struct state *t, const char *to)
{
	return (struct notice){ .postmaster = span_of(to),
		.mail = { .id = store_new_id(t->store, NOW),
				.message_id = SPAN("<notice@gw>"),
				.arrived_ms = NOW,
				.flags = MESSAGE_NOTICE,
				.body = SPAN("Subject: it failed\r\n\r\n"),
				.spool_fd = -1,
				.recipients = &postmaster,
				.n = 1 } };
}

/* The recipient bounces at that time, and these are told. */
static enum store_result
bounce(struct state *t, uint64_t id, int64_t at_ms, struct notice *notices)
{
	struct settle_recipient r = { .state = QUEUE_BOUNCED,
		.attempted = true,
		.next_try_ms = at_ms,
		.hop = SPAN("badmail"),
		.code = 550,
		.reply = SPAN("5.1.1 no"),
		.reason = SPAN("unknown-user") };
	struct settlement set = { .job = { .work = STORE_SETTLE },
		.id = id,
		.at_ms = at_ms,
		.recipients = &r,
		.n = 1,
		.notices = notices };

	return fixture_do(t, &set.job);
}

static size_t
due(struct state *t, int64_t now_ms, struct notice_count **v)
{
	size_t n;

	if (!notice_due(store_reader(t->store), now_ms, &t->arena, v, &n, &t->err))
		fail_msg("%s", t->err.text);
	return n;
}

static void
test_told_with_the_failure(void **state)
{
	struct state *t = *state;
	uint64_t id = fixture_submit(t, "u1");
	struct notice n = notice_new(t, "postmaster@contoso.test");
	struct queue_message *m;

	assert_int_equal(bounce(t, id, NOW + 5, &n), STORE_DONE);
	assert_true(n.queued);
	assert_int_equal(fixture_due(t, "lmtp:box", NOW + 9, &m), 1);
	assert_int_equal(m->id, n.mail.id);
	assert_true(m->flags & MESSAGE_NOTICE);
	assert_int_equal(m->account.n, 0);
	assert_int_equal(m->sender.n, 0);
	assert_int_equal(fixture_due(t, "badmail", NOW + 9, &m), 1);
	assert_int_equal(m->id, id);
	/* Both are there after a restart. */
	fixture_reopen(t);
	assert_int_equal(fixture_due(t, "lmtp:box", NOW + 9, &m), 1);
	assert_int_equal(fixture_due(t, "badmail", NOW + 9, &m), 1);
}

/* A notice that cannot be written takes the failure back with it: the attempt is made
 * again, so nobody fails unheard. */
static void
test_both_or_none(void **state)
{
	struct state *t = *state;
	uint64_t id = fixture_submit(t, "u1"), other = fixture_submit(t, "u2");
	struct notice n = notice_new(t, "postmaster@contoso.test");
	struct queue_message *m;

	n.mail.id = other; /* taken already */
	assert_int_equal(bounce(t, id, NOW + 5, &n), STORE_FAILED);
	assert_int_equal(fixture_due(t, "badmail", NOW + 9, &m), 0);
	assert_int_equal(fixture_due(t, "drop", NOW + 9, &m), 2);
	n.mail.id = store_new_id(t->store, NOW);
	assert_int_equal(bounce(t, id, NOW + 5, &n), STORE_DONE);
	assert_true(n.queued);
	assert_int_equal(fixture_due(t, "lmtp:box", NOW + 9, &m), 1);
}

/* One that no submission may be holds up nothing; it is counted. */
static void
test_an_unfit_notice_is_counted(void **state)
{
	struct state *t = *state;
	struct notice n = notice_new(t, "postmaster@contoso.test");
	struct notice_count *v;

	n.mail.n = 0;
	assert_int_equal(bounce(t, fixture_submit(t, "u1"), NOW, &n), STORE_DONE);
	assert_false(n.queued);
	assert_int_equal(due(t, NOW + NOTICE_WINDOW_MS, &v), 1);
}

static void
test_one_of_a_message_for_a_postmaster(void **state)
{
	struct state *t = *state;
	uint64_t id = fixture_submit(t, "u1");
	struct notice first = notice_new(t, "postmaster@contoso.test"),
		      second = notice_new(t, "postmaster@fabrikam.test"),
		      again = notice_new(t, "postmaster@contoso.test");
	struct notice_count *v;

	first.next = &second;
	assert_int_equal(bounce(t, id, NOW + 5, &first), STORE_DONE);
	assert_true(first.queued && second.queued);
	assert_int_equal(bounce(t, id, NOW + 6, &again), STORE_DONE);
	assert_false(again.queued);
	assert_int_equal(due(t, NOW + NOTICE_WINDOW_MS, &v), 0);
	assert_int_equal(due(t, NOW + 5 + NOTICE_WINDOW_MS, &v), 1);
	assert_span(v[0].postmaster, "postmaster@contoso.test");
	assert_int_equal(v[0].more, 1);
}

static struct notice_digest
digest_of(struct state *t, const struct notice_count *about, int64_t at_ms)
{
	return (struct notice_digest){ .job = { .work = STORE_DIGEST },
		.about = *about,
		.at_ms = at_ms,
		.mail = notice_new(t, "").mail };
}

static void
test_not_too_many_then_how_many_more(void **state)
{
	struct state *t = *state;
	int64_t later = NOW + NOTICE_WINDOW_MS;
	struct queue_message *m;
	struct notice_count *v;
	char uidl[16];

	for (int i = 0; i < NOTICE_MOST + 3; i++) {
		struct notice n = notice_new(t, "postmaster@contoso.test");

		(void)snprintf(uidl, sizeof(uidl), "u%d", i);
		uint64_t id = fixture_submit(t, uidl);
		assert_int_equal(bounce(t, id, NOW + i, &n), STORE_DONE);
		assert_int_equal(n.queued, i < NOTICE_MOST);
	}
	assert_int_equal(fixture_due(t, "lmtp:box", NOW, &m), NOTICE_MOST);
	assert_int_equal(due(t, later - 1, &v), 0);
	assert_int_equal(due(t, later, &v), 1);
	assert_int_equal(v[0].more, 3);
	assert_int_equal(due(t, NOW - 1, &v), 1); /* the clock was set back */

	/* One more came between the question and the digest: it is asked again. */
	struct notice_digest d = digest_of(t, &v[0], later);
	struct notice n = notice_new(t, "postmaster@contoso.test");
	assert_int_equal(bounce(t, fixture_submit(t, "late"), later, &n), STORE_DONE);
	assert_false(n.queued);
	assert_int_equal(fixture_do(t, &d.job), STORE_DONE);
	assert_false(d.queued);
	assert_int_equal(due(t, later, &v), 1);
	assert_int_equal(v[0].more, 4);
	d = digest_of(t, &v[0], later);
	assert_int_equal(fixture_do(t, &d.job), STORE_DONE);
	assert_true(d.queued);
	assert_int_equal(fixture_due(t, "lmtp:box", NOW, &m), NOTICE_MOST + 1);
	/* Twice the same is once. */
	d = digest_of(t, &v[0], later);
	assert_int_equal(fixture_do(t, &d.job), STORE_DONE);
	assert_false(d.queued);
	assert_int_equal(due(t, later + NOTICE_WINDOW_MS, &v), 0);

	/* The next window has room again, and one after it without debts too. */
	n = notice_new(t, "postmaster@contoso.test");
	assert_int_equal(
			bounce(t, fixture_submit(t, "new"), later + 1, &n), STORE_DONE);
	assert_true(n.queued);
}

static void
test_a_window_without_debts_begins_anew(void **state)
{
	struct state *t = *state;
	char uidl[16];

	for (int i = 0; i < 2 * NOTICE_MOST; i++) {
		struct notice n = notice_new(t, "postmaster@contoso.test");

		(void)snprintf(uidl, sizeof(uidl), "u%d", i);
		assert_int_equal(
				bounce(t, fixture_submit(t, uidl),
						NOW +
								(i >= NOTICE_MOST ? NOTICE_WINDOW_MS
										  : 0),
						&n),
				STORE_DONE);
		assert_true(n.queued);
	}
}

static void
test_a_digest_for_nobody_ends_the_count(void **state)
{
	struct state *t = *state;
	uint64_t id = fixture_submit(t, "u1");
	struct notice n = notice_new(t, "gone@contoso.test"), again = n;
	struct notice_count *v;

	again.mail.id = store_new_id(t->store, NOW);
	assert_int_equal(bounce(t, id, NOW, &n), STORE_DONE);
	assert_int_equal(bounce(t, id, NOW, &again), STORE_DONE);
	assert_int_equal(due(t, NOW + NOTICE_WINDOW_MS, &v), 1);
	struct notice_digest d = digest_of(t, &v[0], NOW + NOTICE_WINDOW_MS);
	d.mail.n = 0;
	assert_int_equal(fixture_do(t, &d.job), STORE_DONE);
	assert_false(d.queued);
	assert_int_equal(due(t, NOW + 3 * (int64_t)NOTICE_WINDOW_MS, &v), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_told_with_the_failure),
		TEST(test_both_or_none),
		TEST(test_an_unfit_notice_is_counted),
		TEST(test_one_of_a_message_for_a_postmaster),
		TEST(test_not_too_many_then_how_many_more),
		TEST(test_a_window_without_debts_begins_anew),
		TEST(test_a_digest_for_nobody_ends_the_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
