#include <fcntl.h>

#include "fixture.h"

static void
a_message_comes_back_as_it_was_given(void **state)
{
	struct state *t = *state;
	static const struct submission_recipient two[] = {
		{ .address = { SPAN_INIT("ann@contoso.test") },
				.hop = { SPAN_INIT("drop") },
				.state = QUEUE_QUEUED,
				.asked = { SPAN_INIT("sales@contoso.test") },
				.asked_list = true },
		{ .address = { SPAN_INIT("bob@else.test") },
				.hop = { SPAN_INIT("badmail") },
				.state = QUEUE_REFUSED,
				.code = 550,
				.reply = { SPAN_INIT(
						"5.7.1 Unable to relay for bob@else.test") },
				.reason = { SPAN_INIT("relay-denied") } },
	};
	struct submission sub = fixture_message(t, "u1");
	sub.recipients = two;
	sub.n = 2;
	sub.flags = MESSAGE_8BIT;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);

	fixture_reopen(t);
	struct queue_story s = fixture_show(t, sub.id);
	assert_span(s.message.account, "isp");
	assert_span(s.message.uidl, "u1");
	assert_span(s.message.source, "pop.isp.test [192.0.2.1]");
	assert_span(s.message.sender, "eve@nwtraders.test");
	assert_span(s.message.message_id, "<one@nwtraders.test>");
	assert_span(s.route, "{\"kept\":1}");
	assert_int_equal(s.message.arrived_ms, NOW);
	assert_int_equal(s.message.flags, MESSAGE_8BIT);
	assert_int_equal(s.message.size, sub.top.n + sub.body.n);
	assert_true(s.message.body);
	assert_int_equal(s.message.n, 2);
	assert_int_equal(s.message.recipients[1].state, QUEUE_REFUSED);
	assert_int_equal(s.message.recipients[1].code, 550);
	assert_span(s.message.recipients[1].address, "bob@else.test");
	assert_span(s.message.recipients[1].hop, "badmail");
	assert_span(s.message.recipients[1].reply,
			"5.7.1 Unable to relay for bob@else.test");
	assert_span(s.message.recipients[1].reason, "relay-denied");
	assert_span(s.message.recipients[0].asked, "sales@contoso.test");
	assert_true(s.message.recipients[0].asked_list);
	assert_int_equal(s.message.recipients[1].asked.n, 0);
	assert_false(s.message.recipients[1].asked_list);
	assert_int_equal(s.n, 0);
}

static void
read_all(struct state *t, uint64_t id, struct buf *out)
{
	struct body *b = body_open(store_reader(t->store), id, &t->err);
	struct span piece;
	if (!b)
		fail_msg("%s", t->err.text);
	do {
		assert_true(body_next(b, &piece, &t->err));
		assert_true(buf_add(out, piece));
	} while (piece.n > 0);
	assert_int_equal(body_size(b), out->n);
	body_close(b);
}

static void
a_body_is_read_byte_for_byte(void **state)
{
	struct state *t = *state;
	AUTO(buf_done) struct buf got = BUF_MAX(1024 * 1024);
	struct submission sub = fixture_message(t, "u1");
	sub.body = (struct span){ "a\0b\n.\r\n\xff", 8 };
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	read_all(t, sub.id, &got);
	assert_int_equal(got.n, sub.top.n + 8);
	assert_memory_equal(got.p + sub.top.n, sub.body.p, 8);
}

static void
spool(struct state *t, struct submission *sub, size_t octets)
{
	static char piece[1000];
	memset(piece, 's', sizeof piece);
	sub->spool_fd = spool_create(t->store, sub->id, &t->err);
	assert_true(sub->spool_fd >= 0);
	while (sub->spool_size < octets)
		assert_true(spool_write(sub->spool_fd,
				(struct span){ piece, sizeof piece }, &sub->spool_size,
				&t->err));
}

static void
a_large_body_lives_in_the_spool_until_it_is_settled(void **state)
{
	struct state *t = *state;
	AUTO(buf_done) struct buf got = BUF_MAX(8 * 1024 * 1024);
	struct submission sub = fixture_message(t, "u1");
	spool(t, &sub, 3000000);
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	close(sub.spool_fd);

	fixture_reopen(t);
	assert_int_equal(t->found.verified, 1);
	assert_int_equal(t->found.queued, 1);
	read_all(t, sub.id, &got);
	assert_int_equal(got.n, sub.top.n + 3000000);
	assert_int_equal(got.p[got.n - 1], 's');
	struct body *b = body_open(store_reader(t->store), sub.id, &t->err);
	assert_true(fixture_settle(t, sub.id,
			(struct settle_recipient){ .state = QUEUE_DELIVERED }));
	assert_false(fixture_spool_has(t, sub.id));
	/* Whoever was reading goes on. */
	struct span piece;
	size_t sum = 0;
	do {
		assert_true(body_next(b, &piece, &t->err));
		sum += piece.n;
	} while (piece.n > 0);
	assert_int_equal(sum, got.n);
	body_close(b);
}

static void
a_spool_file_that_is_not_what_was_said_fails_alone(void **state)
{
	struct state *t = *state;
	struct submission bad = fixture_message(t, "u1"),
			  good = fixture_message(t, "u2");
	struct list jobs;
	spool(t, &bad, 100000);
	bad.spool_size++;
	list_init(&jobs);
	list_add(&jobs, &bad.job.link);
	list_add(&jobs, &good.job.link);
	store_run(t->store, &jobs);
	assert_int_equal(bad.job.result, STORE_FAILED);
	assert_int_equal(good.job.result, STORE_DONE);
	close(bad.spool_fd);
}

static void
an_origin_is_queued_once(void **state)
{
	struct state *t = *state;
	uint64_t first = fixture_submit(t, "u1");
	struct submission again = fixture_message(t, "u1");
	spool(t, &again, 100000);
	assert_int_equal(fixture_do(t, &again.job), STORE_HAD);
	assert_int_equal(again.had, first);
	assert_false(fixture_spool_has(t, again.id));
	close(again.spool_fd);

	fixture_reopen(t);
	again = fixture_message(t, "u1");
	assert_int_equal(fixture_do(t, &again.job), STORE_HAD);
	struct queue_message *m;
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 1);
	/* The same UIDL elsewhere is another message; so is one without origin. */
	again = fixture_message(t, "u1");
	again.account = SPAN("other");
	assert_int_equal(fixture_do(t, &again.job), STORE_DONE);
	fixture_submit(t, NULL);
	fixture_submit(t, NULL);
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 4);
}

static void
the_same_origin_twice_in_one_group_is_queued_once(void **state)
{
	struct state *t = *state;
	struct submission a = fixture_message(t, "u1"), b = fixture_message(t, "u1");
	struct list jobs;
	list_init(&jobs);
	list_add(&jobs, &a.job.link);
	list_add(&jobs, &b.job.link);
	store_run(t->store, &jobs);
	assert_int_equal(a.job.result, STORE_DONE);
	assert_int_equal(b.job.result, STORE_HAD);
	assert_int_equal(b.had, a.id);
}

/* The file of a claim is queued once; its message is of no account. */
static void
a_claim_is_queued_once(void **state)
{
	struct state *t = *state;
	const struct span name = SPAN("0000000000001.a.eml");
	struct submission first = fixture_message(t, NULL);
	first.claim = name;
	assert_int_equal(fixture_do(t, &first.job), STORE_DONE);
	fixture_reopen(t);
	struct submission again = fixture_message(t, NULL);
	again.claim = name;
	assert_int_equal(fixture_do(t, &again.job), STORE_HAD);
	assert_int_equal(again.had, first.id);
	assert_span(fixture_show(t, first.id).message.account, "");
	/* Either a claim or an account. */
	again = fixture_message(t, "u1");
	again.claim = name;
	assert_int_equal(fixture_do(t, &again.job), STORE_FAILED);
	/* Once the file is gone, its name means nothing any more. */
	struct origin_change over = { .job = { .work = STORE_ORIGINS },
		.act = ORIGIN_ACT_UNCLAIM,
		.account = SPAN(ORIGIN_CLAIMS),
		.uidls = &name,
		.n = 1 };
	assert_int_equal(fixture_do(t, &over.job), STORE_DONE);
	again = fixture_message(t, NULL);
	again.claim = name;
	assert_int_equal(fixture_do(t, &again.job), STORE_DONE);
}

static void
one_that_fails_does_not_fail_its_group(void **state)
{
	struct state *t = *state;
	struct submission s[5];
	struct list jobs;
	list_init(&jobs);
	static const char *const uidls[] = { "a", "b", "c", "d", "e" };
	for (int i = 0; i < 5; i++) {
		s[i] = fixture_message(t, uidls[i]);
		list_add(&jobs, &s[i].job.link);
	}
	s[2].id = s[0].id; /* found out by the database only */
	s[4].n = 0; /* found out before */
	uint64_t groups = store_count(t->store).groups;
	store_run(t->store, &jobs);
	assert_int_equal(s[0].job.result, STORE_DONE);
	assert_int_equal(s[1].job.result, STORE_DONE);
	assert_int_equal(s[2].job.result, STORE_FAILED);
	assert_true(s[2].job.err.event != 0 && s[2].job.err.text[0]);
	assert_int_equal(s[3].job.result, STORE_DONE);
	assert_int_equal(s[4].job.result, STORE_FAILED);
	assert_int_equal(store_count(t->store).groups, groups + 1);
	/* Nothing of it stays: its origin can come again. */
	fixture_submit(t, "c");
	struct queue_message *m;
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 4);
}

static void
what_may_not_be_stored_is_refused(void **state)
{
	struct state *t = *state;
	static char big[BODY_BLOB_MAX + 1];
	struct submission s = fixture_message(t, "u1");
	s.body = (struct span){ big, sizeof big };
	assert_int_equal(fixture_do(t, &s.job), STORE_FAILED);
	s = fixture_message(t, "u1");
	s.route = (struct span){ big, STORE_ROUTE_MAX + 1 };
	assert_int_equal(fixture_do(t, &s.job), STORE_FAILED);
	s = fixture_message(t, "u1");
	s.uidl = (struct span){ 0 };
	assert_int_equal(fixture_do(t, &s.job), STORE_FAILED);
	s = fixture_message(t, "u1");
	s.account = (struct span){ 0 };
	assert_int_equal(fixture_do(t, &s.job), STORE_FAILED);
	s = fixture_message(t, "u1");
	s.id = 0;
	assert_int_equal(fixture_do(t, &s.job), STORE_FAILED);
	struct queue_size size;
	assert_true(queue_count(store_reader(t->store), &size, &t->err));
	assert_int_equal(size.messages, 0);
}

static void
refused(struct state *t, struct submission s, const char *words)
{
	if (fixture_do(t, &s.job) != STORE_FAILED || s.job.err.event != 9005 ||
			!strstr(s.job.err.text, words))
		fail_msg("%d %s, not %s", s.job.result, s.job.err.text, words);
}

/* Each limit by itself, one octet further than it goes. */
static void
each_limit_of_a_message_is_kept(void **state)
{
	struct state *t = *state;
	static char big[BODY_BLOB_MAX + 1];
	const struct span longer = { big, STORE_UIDL_MAX + 1 },
			  longest = { big, STORE_UIDL_MAX };
	struct submission s = fixture_message(t, "u");
	struct submission_recipient *many =
			calloc(STORE_RECIPIENTS_MAX + 1, sizeof *many);
	struct submission_recipient key = fixture_to;
	uint64_t copy;

	memset(big, 'a', sizeof big);
	s.recipients = many;
	s.n = STORE_RECIPIENTS_MAX + 1;
	refused(t, s, "a message with 65537 recipients");
	s.n = 0;
	refused(t, s, "a message with 0 recipients");
	free(many);
	s = fixture_message(t, "u");
	s.account = longer;
	refused(t, s, "no proper origin");
	s = fixture_message(t, "u");
	s.uidl = longer;
	refused(t, s, "no proper origin");
	s = fixture_message(t, NULL);
	s.claim = longer;
	refused(t, s, "no proper origin");
	s.account = SPAN("isp");
	refused(t, s, "no proper origin");
	s.claim = SPAN("c");
	s.uidl = SPAN("u");
	refused(t, s, "no proper origin");
	s = fixture_message(t, "u");
	s.route = (struct span){ big, STORE_ROUTE_MAX + 1 };
	refused(t, s, "a route record of 65537 octets");
	s = fixture_message(t, "u");
	s.id = (uint64_t)INT64_MAX + 1;
	refused(t, s, "without queue id");
	s.id = 0;
	refused(t, s, "without queue id");
	s = fixture_message(t, "u");
	s.recipients = &key;
	key.key = (struct span){ big, STORE_KEY_SIZE };
	refused(t, s, "a key of the ledger");
	s.copy_of = &copy;
	key.key.n = STORE_KEY_SIZE - 1;
	refused(t, s, "a key of the ledger");
	s = fixture_message(t, "u");
	s.body = (struct span){ big, BODY_BLOB_MAX + 1 };
	refused(t, s, "a body of 65537 octets");
	/* Each as long as it may be. */
	s = fixture_message(t, NULL);
	s.account = s.uidl = longest;
	s.route = (struct span){ big, STORE_ROUTE_MAX };
	s.body = (struct span){ big, BODY_BLOB_MAX };
	assert_int_equal(fixture_do(t, &s.job), STORE_DONE);
	s = fixture_message(t, NULL);
	s.claim = longest;
	assert_int_equal(fixture_do(t, &s.job), STORE_DONE);
}

static void
bytes_from_outside_stay_bytes(void **state)
{
	struct state *t = *state;
	struct submission s = fixture_message(t, NULL);
	s.account = SPAN("isp");
	s.uidl = (struct span){ "x');DROP TABLE origin;--", 24 };
	s.sender = (struct span){ "\xff\xfe'\"\0z@a.test", 13 };
	assert_int_equal(fixture_do(t, &s.job), STORE_DONE);
	struct queue_story story = fixture_show(t, s.id);
	assert_int_equal(story.message.sender.n, 13);
	assert_memory_equal(story.message.sender.p, s.sender.p, 13);
	enum origin_state is;
	assert_true(origin_look(
			store_reader(t->store), s.account, s.uidl, &is, NULL, &t->err));
	assert_int_equal(is, ORIGIN_COMMITTED);
}

static void
ids_rise_whatever_the_clock_says(void **state)
{
	struct state *t = *state;
	uint64_t last = 0;
	static const int64_t clocks[] = { NOW, NOW, NOW + 1, NOW - 1000000, NOW, 0,
		-5 };
	for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
		uint64_t id = store_new_id(t->store, clocks[i]);
		assert_true(id > last);
		last = id;
	}
	uint64_t committed = fixture_submit(t, "u1");
	assert_true(committed > last);
	fixture_reopen(t);
	assert_true(store_new_id(t->store, NOW - 1000000000) > committed);
	/* Half a message from before the clock was set back. */
	uint64_t late = store_new_id(t->store, NOW + 1000000);
	close(spool_create(t->store, late, &t->err));
	fixture_reopen(t);
	assert_true(store_new_id(t->store, NOW) > late);
	/* A visitor's never meet the service's. */
	struct state visitor = *t;
	assert_non_null(fixture_open(&visitor, false));
	for (int i = 0; i < 1000; i++)
		assert_int_equal(store_new_id(visitor.store, NOW) & 0x8000, 0x8000);
	store_close(visitor.store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_message_comes_back_as_it_was_given),
		TEST(a_body_is_read_byte_for_byte),
		TEST(a_large_body_lives_in_the_spool_until_it_is_settled),
		TEST(a_spool_file_that_is_not_what_was_said_fails_alone),
		TEST(an_origin_is_queued_once),
		TEST(the_same_origin_twice_in_one_group_is_queued_once),
		TEST(a_claim_is_queued_once),
		TEST(one_that_fails_does_not_fail_its_group),
		TEST(what_may_not_be_stored_is_refused),
		TEST(each_limit_of_a_message_is_kept),
		TEST(bytes_from_outside_stay_bytes),
		TEST(ids_rise_whatever_the_clock_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
