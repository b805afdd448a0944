/* Who is told that collected mail could not be delivered, what stands in it, and what becomes
 * of those notices that were too many. */
#include "hand.h"

#include "postern/notice.h"

bool __wrap_notice_due(struct reader *r, int64_t now_ms, struct arena *a,
		struct notice_count **out, size_t *n, struct err *err);
static struct notice_count *due;
static size_t due_n;
static bool due_fails;

bool
__wrap_notice_due(struct reader *r, int64_t now_ms, struct arena *a,
		struct notice_count **out, size_t *n, struct err *err)
{
	(void)r, (void)now_ms, (void)a;
	*out = due;
	*n = due_n;
	return due_fails ? err_set(err, 9005, "the counts cannot be read") : true;
}

static int
notice_up(void **state)
{
	due = NULL;
	due_n = 0;
	due_fails = false;
	return set_up(state);
}

/* n recipients of collected mail, all of them bounced. */
static void
bounced(struct gate *g, struct hand *h, size_t n)
{
	hand_take(g, h, "smtp:h.test:25", n);
	h->m.account = SPAN("isp");
	h->m.uidl = SPAN("uidl-1");
	for (size_t i = 0; i < n; i++) {
		h->l->results[i] = (struct settle_recipient){ .seq = h->to[i].seq,
			.state = QUEUE_BOUNCED,
			.attempted = true,
			.code = 550,
			.reply = SPAN("5.1.1 nobody here"),
			.host = SPAN("mx.h.test"),
			.reason = SPAN("rejected") };
		h->l->open[i] = false;
	}
	h->l->left = 0;
}

static void
over(struct gate *g, struct hand *h)
{
	struct hop *hop = h->hop;

	hop_release(h->l);
	hop_over(g->d, hop);
}

static bool
says(struct span text, const char *words)
{
	return memmem(text.p, text.n, words, strlen(words)) != NULL;
}

static void
a_notice_is_a_whole_submission(void **state)
{
	struct gate *g = *state;
	char qid[QID_SIZE], words[100];
	struct hand h;

	bounced(g, &h, 2);
	h.m.sender = SPAN("s@x.test");
	notices_make(&g->d->all.settling, h.l);
	struct notice *n = h.l->job.notices;
	assert_non_null(n);
	assert_null(n->next);
	assert_true(span_eq(n->postmaster, SPAN("admin@contoso.test")));
	const struct submission *mail = &n->mail;
	assert_true(mail->id != 0 && mail->id != h.m.id);
	qid_print(mail->id, qid);
	(void)snprintf(words, sizeof(words), "<%s@gw.contoso.test>", qid);
	assert_true(span_eq(mail->message_id, span_of(words)));
	assert_true(span_eq(mail->source, SPAN("this gateway")));
	assert_int_equal(mail->flags, MESSAGE_NOTICE);
	assert_int_equal(mail->spool_fd, -1);
	assert_int_equal(mail->sender.n + mail->account.n + mail->uidl.n, 0);
	assert_true(mail->arrived_ms > 0);
	assert_int_equal(mail->n, 1);
	assert_true(span_eq(mail->recipients[0].address, SPAN("admin@contoso.test")));
	assert_true(span_eq(mail->recipients[0].hop, SPAN("drop")));
	assert_int_equal(mail->recipients[0].state, QUEUE_QUEUED);
	(void)snprintf(words, sizeof(words), "Message-ID: <%s@gw.contoso.test>", qid);
	assert_true(says(mail->body, words));
	qid_print(h.m.id, qid);
	(void)snprintf(words, sizeof(words), "postern trace %s", qid);
	assert_true(says(mail->body, words));
	(void)snprintf(words, sizeof(words), "Its trace id is %s.", qid);
	assert_true(says(mail->body, words));
	assert_true(says(mail->body, "the mailbox isp"));
	assert_true(says(mail->body, "To: <admin@contoso.test>"));
	assert_true(says(mail->body, "u0@h.test") && says(mail->body, "u1@h.test"));
	assert_true(says(mail->body,
			"mx.h.test said:\r\n    550 5.1.1 nobody here\r\n"));
	assert_false(says(mail->body, "was tried for"));
	assert_true(says(mail->body, "Its sender, <s@x.test>, was not told"));
	over(g, &h);
}

static void
each_recipient_has_the_words_of_his_failure(void **state)
{
	struct gate *g = *state;
	struct hand h;

	bounced(g, &h, 3);
	h.m.arrived_ms = clock_wall_ms() - (3 * 60 + 20) * 60000 - 1000;
	h.l->results[1].reason = SPAN("expired");
	h.l->results[1].code = 0;
	h.l->results[1].reply = SPAN("4.4.1 it does not answer");
	h.l->results[2].reply = SPAN("");
	h.l->results[2].host = SPAN("");
	h.l->results[2].code = 0;
	notices_make(&g->d->all.settling, h.l);
	struct span text = h.l->job.notices->mail.body;
	assert_true(says(text,
			"  u1@h.test\r\n    was tried for 3 h 20 min and is given up. The last "
			"answer:\r\n    mx.h.test said:\r\n    4.4.1 it does not answer\r\n"));
	assert_true(says(text, "  u2@h.test\r\n    no answer\r\n"));
	assert_false(says(text, "0 4.4.1"));
	over(g, &h);
}

/* Which failures are told of at all. */
static void
only_what_was_collected_attempted_and_refused_is_told(void **state)
{
	struct gate *g = *state;

	for (int what = 0; what < 8; what++) {
		struct hand h;
		bool want = what == 7;

		bounced(g, &h, 1);
		if (what == 0)
			h.m.account = SPAN("");
		if (what == 1)
			h.m.flags = MESSAGE_NOTICE;
		if (what == 2)
			h.m.uidl = SPAN(" notice uidl-1"); /* a note about a large one */
		if (what == 3)
			h.hop->at.badmail = true;
		if (what == 4)
			h.l->results[0].attempted = false; /* refused at RCPT before */
		if (what == 5)
			h.l->open[0] = true;
		if (what == 6)
			h.l->results[0].state = QUEUE_QUEUED;
		notices_make(&g->d->all.settling, h.l);
		assert_int_equal(h.l->job.notices != NULL, want);
		notices_settled(&g->d->all.settling, h.l, f_str("account", "isp"),
				f_str("id", "x"));
		TOLD(want, "\"id\":3012");
		forget(g);
		over(g, &h);
	}
}

/* One of three bounced: it alone stands in the letter. */
static void
those_who_did_not_fail_are_not_named(void **state)
{
	struct gate *g = *state;
	struct hand h;

	bounced(g, &h, 3);
	h.l->results[0].state = QUEUE_DELIVERED;
	h.l->results[2].attempted = false;
	notices_make(&g->d->all.settling, h.l);
	struct span text = h.l->job.notices->mail.body;
	assert_true(says(text, "u1@h.test"));
	assert_false(says(text, "u0@h.test") || says(text, "u2@h.test"));
	assert_true(says(text, "to this recipient:"));
	notices_settled(&g->d->all.settling, h.l, f_str("account", "isp"),
			f_str("id", "x"));
	TOLD(1, "\"id\":3012");
	over(g, &h);
}

static void
where_nobody_can_be_told_the_event_says_so(void **state)
{
	struct gate *g = *state;
	const char *ours = g->conf->server.postmaster;
	struct hand h;

	for (int round = 0; round < 2; round++) {
		bounced(g, &h, 2);
		if (round == 0)
			g->conf->server.postmaster = NULL;
		else /* he is the one who failed */
			h.to[0].address = SPAN("admin@contoso.test");
		notices_make(&g->d->all.settling, h.l);
		/* postmaster@contoso.test is told of him, and nobody of the other. */
		assert_int_equal(h.l->job.notices != NULL, round);
		notices_settled(&g->d->all.settling, h.l, f_str("account", "isp"),
				f_str("id", "x"));
		assert_int_equal(event(g, 3012, "no postmaster can be told",
						 "u1@h.test", ""),
				1);
		TOLD(2, "\"id\":3012");
		TOLD(0, "\"id\":3013");
		forget(g);
		over(g, &h);
		g->conf->server.postmaster = ours;
	}
}

/* Domains with one postmaster share a letter; their own postmaster gets one of his own. */
static void
a_postmaster_gets_one_letter_about_a_message(void **state)
{
	struct gate *g = *state;
	struct hand h;

	bounced(g, &h, 4);
	h.to[0].address = SPAN("a@one.test");
	h.to[1].address = SPAN("b@two.test");
	h.to[2].address =
			SPAN("c@contoso.test"); /* postmaster@contoso.test takes mail */
	h.to[3].address = SPAN("d@ONE.test");
	notices_make(&g->d->all.settling, h.l);
	struct notice *n = h.l->job.notices;
	assert_non_null(n);
	assert_non_null(n->next);
	assert_null(n->next->next);
	if (!span_eq(n->postmaster, SPAN("admin@contoso.test")))
		n = n->next;
	const struct notice *own = n == h.l->job.notices ? n->next : h.l->job.notices;
	assert_true(span_eq(n->postmaster, SPAN("admin@contoso.test")));
	assert_true(span_eq(own->postmaster, SPAN("postmaster@contoso.test")));
	assert_true(says(n->mail.body, "a@one.test") &&
			says(n->mail.body, "b@two.test") &&
			says(n->mail.body, "d@ONE.test"));
	assert_false(says(n->mail.body, "c@contoso.test"));
	assert_true(says(own->mail.body, "c@contoso.test"));
	assert_false(says(own->mail.body, "a@one.test"));
	over(g, &h);
}

static void
of_more_domains_than_are_looked_at_the_others_have_their_event(void **state)
{
	enum { MANY = 40, LOOKED_AT = 32 };
	static char names[MANY][40];
	struct gate *g = *state;
	struct hand h;
	size_t named = 0;

	bounced(g, &h, MANY);
	for (size_t i = 0; i < MANY; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "u@d%02zu.test", i);
		h.to[i].address = span_of(names[i]);
	}
	notices_make(&g->d->all.settling, h.l);
	assert_null(h.l->job.notices->next);
	for (size_t i = 0; i < MANY; i++)
		named += says(h.l->job.notices->mail.body, names[i]);
	assert_true(named > 0 && named <= LOOKED_AT);
	h.l->job.notices->queued = true;
	notices_settled(&g->d->all.settling, h.l, f_str("account", "isp"),
			f_str("id", "x"));
	TOLD(MANY, "\"id\":3012");
	assert_int_equal(event(g, 3012, "admin@contoso.test is told", "", ""),
			LOOKED_AT);
	assert_int_equal(event(g, 3012, "no postmaster can be told", "", ""),
			MANY - LOOKED_AT);
	TOLD(1, "\"id\":3013");
	over(g, &h);
}

static void
what_was_only_counted_is_told_as_such_and_nudges_nobody(void **state)
{
	struct gate *g = *state;

	for (int queued = 0; queued < 2; queued++) {
		struct hand h;

		bounced(g, &h, 1);
		notices_make(&g->d->all.settling, h.l);
		h.l->job.notices->queued = queued;
		loop_timer_cancel(g->d->all.look);
		notices_settled(&g->d->all.settling, h.l, f_str("account", "isp"),
				f_str("id", "x"));
		assert_int_equal(event(g, 3012, "has had enough notices", "", ""),
				!queued);
		assert_int_equal(event(g, 3013, "admin@contoso.test", "", ""), queued);
		assert_int_equal(loop_timer_pending(g->d->all.look), queued);
		assert_int_equal(map_get(&g->d->by_key, SPAN("drop")) != NULL, queued);
		forget(g);
		over(g, &h);
	}
}

/* ---- digests ---- */

static void
a_window_that_is_over_gives_a_digest(void **state)
{
	struct gate *g = *state;
	struct notice_count counts[2] = { { .postmaster = SPAN("admin@contoso.test"),
							  .began_ms = 1767600000000,
							  .more = 17 },
		{ .postmaster = SPAN("gone@else.test"), .more = 3 } };

	due = counts;
	due_n = 2;
	notices_tick(&g->d->all.settling);
	assert_int_equal(g->d->all.settling.digests, 2);
	notices_tick(&g->d->all.settling); /* not while these are under way */
	assert_int_equal(g->d->all.settling.digests, 2);
	struct store_job *first = LIST_ITEM(handed.next, struct store_job, link);
	struct store_job *second = LIST_ITEM(handed.next->next, struct store_job, link);
	struct notice_digest *d = LIST_ITEM(first, struct notice_digest, job);

	assert_int_equal(first->work, STORE_DIGEST);
	assert_true(span_eq(d->about.postmaster, SPAN("admin@contoso.test")));
	assert_int_equal(d->about.more, 17);
	assert_int_equal(d->about.began_ms, 1767600000000);
	assert_true(d->at_ms > 0);
	assert_int_equal(d->mail.n, 1);
	assert_true(says(d->mail.body, "\r\n17 more failures of collected mail"));
	assert_true(says(d->mail.body, "5 Jan 2026"));
	assert_true(span_eq(d->mail.source, SPAN("this gateway")));
	assert_int_equal(d->mail.flags, MESSAGE_NOTICE);
	/* Nobody can be told any more: only the count ends. */
	struct notice_digest *lost = LIST_ITEM(second, struct notice_digest, job);
	assert_true(span_eq(lost->about.postmaster, SPAN("gone@else.test")));
	assert_int_equal(lost->mail.n, 0);

	loop_timer_cancel(g->d->all.look);
	list_del(&second->link);
	second->result = STORE_FAILED;
	second->done(second->host, second);
	assert_int_equal(g->d->all.settling.digests, 1);
	assert_false(loop_timer_pending(g->d->all.look));
	list_del(&first->link);
	first->result = STORE_DONE;
	d->queued = true;
	first->done(first->host, first);
	assert_int_equal(g->d->all.settling.digests, 0);
	assert_true(loop_timer_pending(g->d->all.look));
	assert_non_null(map_get(&g->d->by_key, SPAN("drop")));
	/* A minute until the next look. */
	notices_tick(&g->d->all.settling);
	assert_int_equal(g->d->all.settling.digests, 0);
	assert_true(list_empty(&handed));
}

static void
a_digest_that_became_more_or_was_not_stored_nudges_nobody(void **state)
{
	struct gate *g = *state;
	struct notice_count count = { .postmaster = SPAN("admin@contoso.test"),
		.more = 1 };

	for (int stored = 0; stored < 2; stored++) {
		due = &count;
		due_n = 1;
		g->d->all.settling.digest_at_ms = 0;
		notices_tick(&g->d->all.settling);
		struct store_job *job = LIST_ITEM(handed.next, struct store_job, link);
		struct notice_digest *d = LIST_ITEM(job, struct notice_digest, job);

		list_del(&job->link);
		job->result = stored ? STORE_DONE : STORE_FAILED;
		d->queued = !stored;
		job->done(job->host, job);
		assert_false(loop_timer_pending(g->d->all.look));
	}
}

static void
counts_that_cannot_be_read_are_told_and_looked_for_later(void **state)
{
	struct gate *g = *state;

	due_fails = true;
	notices_tick(&g->d->all.settling);
	TOLD(1, "\"id\":9005");
	assert_int_equal(g->d->all.settling.digests, 0);
	notices_tick(&g->d->all.settling);
	TOLD(1, "\"id\":9005");
}

#define NOTICE(f) cmocka_unit_test_setup_teardown(f, notice_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		NOTICE(a_notice_is_a_whole_submission),
		NOTICE(each_recipient_has_the_words_of_his_failure),
		NOTICE(only_what_was_collected_attempted_and_refused_is_told),
		NOTICE(those_who_did_not_fail_are_not_named),
		NOTICE(where_nobody_can_be_told_the_event_says_so),
		NOTICE(a_postmaster_gets_one_letter_about_a_message),
		NOTICE(of_more_domains_than_are_looked_at_the_others_have_their_event),
		NOTICE(what_was_only_counted_is_told_as_such_and_nudges_nobody),
		NOTICE(a_window_that_is_over_gives_a_digest),
		NOTICE(a_digest_that_became_more_or_was_not_stored_nudges_nobody),
		NOTICE(counts_that_cannot_be_read_are_told_and_looked_for_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
