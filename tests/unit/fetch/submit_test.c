/* The collector's session with the relay. */
#include "submission.h"

static void
a_flight_owns_what_it_says(void **state)
{
	enum { PARTS = 12, SIZE = 200 * 1024 };
	struct fetch_flight like = {
		.n = 2, .index = 7, .octets = 11, .reading = true
	};
	struct span to[2],
			*parts[PARTS] = { &to[0], &to[1], &like.trace, &like.sender,
				&like.route, &like.collect.account, &like.collect.uidl,
				&like.collect.provider, &like.collect.ip,
				&like.collect.badmail, &like.collect.hold,
				&like.collect.fallback };
	char *text = malloc((size_t)PARTS * SIZE);

	(void)state;
	like.recipients = to;
	for (int i = 0; i < PARTS; i++) {
		memset(text + i * SIZE, 'a' + i, SIZE);
		*parts[i] = (struct span){ text + i * SIZE, SIZE };
	}
	struct fetch_flight *f = fetch_flight_new(&like);
	memset(text, 0, (size_t)PARTS * SIZE);
	const struct span got[PARTS] = { f->recipients[0], f->recipients[1], f->trace,
		f->sender, f->route, f->collect.account, f->collect.uidl,
		f->collect.provider, f->collect.ip, f->collect.badmail, f->collect.hold,
		f->collect.fallback };
	for (int i = 0; i < PARTS; i++) {
		assert_int_equal(got[i].n, SIZE);
		for (size_t k = 0; k < SIZE; k++)
			if (got[i].p[k] != 'a' + i)
				fail_msg("part %d", i);
	}
	assert_int_equal(f->n, 2);
	assert_int_equal(f->index, 7);
	assert_int_equal(f->octets, 11);
	free(text);
	fetch_flight_free(f);
	fetch_flight_free(NULL);
}

/* The next message does not wait for the answer to the one before, and answers come in
 * order; what the relay says late or in crumbs, and what it takes in crumbs, is no matter. */
static void
messages_follow_each_other(void **state)
{
	(void)state;
	for (int how = 0; how < 16; how++) {
		struct err err;

		start_afresh(3);
		relay.late = how & 1;
		relay.piece = how & 2 ? 3 : 0;
		relay.out_max = how & 4 ? 50 : 0;
		relay.unread = how & 8;
		struct fetch_submit *s = open_it(&err);
		for (size_t i = 0; i < 300; i++)
			assert_true(hand_over(s, flight(i), mail));
		if (relay.late)
			assert_true(n_told < 290);
		assert_true(fetch_submit_drain(s));
		assert_int_equal(n_told, 300);
		assert_int_equal(relay.commits, 300);
		for (size_t i = 0; i < n_told; i++) {
			assert_int_equal(told[i].index, i);
			assert_int_equal(told[i].fate, FATE_DELIVERED);
			assert_int_equal(told[i].accepted, 1);
			assert_int_equal(told[i].refused, 0);
		}
		assert_int_equal(relay.body.n, 300 * mail.n);
		assert_false(fetch_submit_pending(s));
		assert_string_equal(fetch_submit_error(s), "");
		/* RFC 5321 4.5.3.2, and never less than a minute. */
		assert_true(relay.waits + relay.waits_both > 0 || !relay.late);
		if (relay.late)
			assert_true(relay.longest_ms >= 300 * 1000);
		assert_true(relay.waits + relay.waits_both == 0 ||
				relay.shortest_ms >= WAIT_LEAST_MS);
		assert_true(relay.waits_both > 0 || !(how & 8));
		fetch_submit_close(s);
		assert_true(relay.quit && relay.closed);
		assert_true(logged("event=4021") && logged("event=4022") &&
				logged("<C>: QUIT"));
		assert_true(logged("event=4032") && logged("ann@contoso.test"));
		over();
	}
}

/* Whatever call of the connection fails: each message that was begun has one answer, a 250
 * only where the relay took it, and somebody learns why. */
static void
each_call_of_the_connection_fails_in_turn(void **state)
{
	unsigned n = 0;
	bool failed = true;

	(void)state;
	while (failed) {
		struct err err = { 0 };
		size_t begun = 0, taken = 0;

		start_afresh(3);
		relay.late = true;
		relay.out_max = 100;
		relay.fails_at = ++n;
		struct fetch_submit *s = open_it(&err);
		if (!s) {
			assert_int_equal(err.event, 4024);
			assert_string_equal(err.text, "nobody there");
			over();
			continue;
		}
		bool ok = true;
		for (; ok && begun < 3; begun++)
			ok = hand_over(s, flight(begun), mail);
		ok = fetch_submit_drain(s) && ok;
		failed = relay.calls >= n;
		assert_int_equal(ok, !failed);
		for (size_t i = 0; i < n_told; i++) {
			assert_int_equal(told[i].index, i);
			taken += told[i].fate == FATE_DELIVERED;
		}
		assert_true(taken <= relay.commits);
		assert_true(ok ? n_told == 3 && taken == 3 : taken < 3);
		/* One that could not be begun has none. */
		assert_true(n_told == begun || n_told + 1 == begun);
		if (!ok) {
			assert_non_null(strstr(fetch_submit_error(s), "the relay"));
			assert_false(hand_over(s, flight(9), mail));
			assert_false(fetch_submit_drain(s) || fetch_submit_pending(s));
			fetch_submit_flush(s);
		}
		/* The last call that fails is one of QUIT's. */
		unsigned before = relay.calls;
		fetch_submit_close(s);
		assert_true(relay.closed);
		assert_true(ok || relay.calls == before);
		failed = failed || relay.calls >= n;
		assert_int_equal(n_told, begun - (n_told + 1 == begun));
		over();
	}
	assert_true(n > 20);
}

static void
what_became_of_each_recipient_is_told(void **state)
{
	const struct span to[] = { SPAN("ann@contoso.test"),
		SPAN("nobody@contoso.test"), SPAN("bob@elsewhere.test"),
		SPAN("carl@contoso.test"), SPAN("dora@contoso.test") };

	(void)state;
	for (unsigned level = 0; level <= 3; level += 3) {
		struct err err;

		start_afresh(level);
		relay.unknown = "nobody@contoso.test";
		relay.refused = "bob@elsewhere.test";
		relay.unwanted = "dora@contoso.test";
		struct fetch_submit *s = open_it(&err);
		assert_true(hand_over(s, flight_to(0, to, 5), mail));
		assert_true(fetch_submit_drain(s));
		assert_int_equal(n_told, 1);
		assert_int_equal(told[0].fate, FATE_DELIVERED);
		assert_int_equal(told[0].accepted, 2);
		assert_int_equal(told[0].refused, 3);
		fetch_submit_close(s);
		assert_true(logged("NDR Status Code: 511") &&
				logged("NDR Status Code: 504") &&
				logged("NDR Status Code: 571"));
		/* Who got it is for those who ask for everything. */
		assert_int_equal(logged("NDR Status Code: 0"), level == 3);
		assert_int_equal(logged("SMTP Name: carl@contoso.test"), level == 3);
		assert_true(logged("event=4022"));
		over();
	}
}

/* Said once, of the whole message. */
static void
a_recipient_that_is_put_off_is_not_told_of(void **state)
{
	const struct span to[] = { SPAN("ann@contoso.test"),
		SPAN("carl@contoso.test") };
	struct err err;

	(void)state;
	start_afresh(0);
	relay.later = "carl@contoso.test";
	struct fetch_submit *s = open_it(&err);
	assert_true(hand_over(s, flight_to(0, to, 2), mail));
	(void)fetch_submit_drain(s);
	assert_int_equal(n_told, 1);
	assert_int_equal(told[0].accepted, 1);
	assert_int_equal(told[0].refused, 0);
	fetch_submit_close(s);
	assert_false(logged("event=4032"));
	over();
}

/* The relay may be busy for one message and take the next. */
static void
one_message_is_refused_and_the_others_are_taken(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++) {
		struct err err;
		bool by_mail = how & 1;

		start_afresh(0);
		relay.why = relay.commit_why =
				how & 2 ? SMTP_REFUSE_SIZE : SMTP_REFUSE_BUSY;
		relay.mail = by_mail ? 2 : 0;
		relay.commit = by_mail ? 0 : 2;
		struct fetch_submit *s = open_it(&err);
		for (size_t i = 0; i < 3; i++)
			assert_true(hand_over(s, flight(i), mail));
		assert_true(fetch_submit_drain(s));
		assert_int_equal(n_told, 3);
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(told[i].fate,
					i != 1			  ? FATE_DELIVERED
							: how & 2 ? FATE_BOUNCED
								  : FATE_DEFERRED);
		assert_int_equal(relay.commits, 2);
		fetch_submit_close(s);
		assert_true(relay.quit);
		assert_true(logged("event=4022"));
		over();
	}
}

/* At level 0 a session in which nothing was refused is nobody's business. */
static void
a_good_session_is_told_to_whoever_asks(void **state)
{
	struct err err;

	(void)state;
	start_afresh(0);
	struct fetch_submit *s = open_it(&err);
	assert_true(hand_over(s, flight(0), mail));
	assert_true(fetch_submit_drain(s));
	fetch_submit_close(s);
	assert_false(logged("event=4022") || logged("event=4032"));
	struct buf said = BUF_MAX(64 * 1024);
	assert_true(ring_print(&ring, &said));
	assert_non_null(strstr(buf_cstr(&said), "relay C"));
	assert_non_null(strstr(buf_cstr(&said), "RCPT TO:<ann@contoso.test>"));
	assert_non_null(strstr(buf_cstr(&said), "relay S"));
	assert_non_null(strstr(buf_cstr(&said), "Queued mail for delivery"));
	assert_null(strstr(buf_cstr(&said), "hello"));
	buf_done(&said);
	fetch_submit_close(NULL);
	over();
}

static void
mail_is_given_to_no_other_server(void **state)
{
	struct err err;

	(void)state;
	for (int how = 0; how < 5; how++) {
		start_afresh(how == 4 ? 0 : 3);
		relay.foreign = how == 0;
		relay.no_greeting = how == 1;
		relay.cancelled = how == 2;
		relay.greeting = how == 4 ? "421 4.3.2 not now\r\n250 but\r\n" : NULL;
		struct fetch_submit *s = open_it(&err);
		if (how == 3)
			smtp_server_end(relay.engine, SMTP_REFUSE_SHUTDOWN);
		struct fetch_flight *f = flight(0);
		assert_false(fetch_submit_begin(s, f));
		assert_true(f->over);
		fetch_flight_free(f);
		const char *const why[] = { "our own relay",
			"the relay does not answer: timed out",
			"the relay does not answer: cancelled", "421", "421" };
		assert_non_null(strstr(fetch_submit_error(s), why[how]));
		assert_int_equal(relay.waits + relay.waits_both, how == 1);
		if (how == 1)
			assert_int_equal(relay.longest_ms, 300 * 1000);
		assert_int_equal(relay.mails, 0);
		assert_int_equal(n_told, 0);
		fetch_submit_close(s);
		assert_true(relay.closed && relay.quit == (how == 3));
		if (how == 4)
			assert_true(logged("event=4022") && logged("<G>: 421 4.3.2"));
		over();
	}
}

/* What was handed over before is answered; of the rest the relay keeps nothing. */
static void
a_message_that_is_given_up_is_nowhere(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		struct err err;

		start_afresh(3);
		relay.late = late;
		struct fetch_submit *s = open_it(&err);
		for (size_t i = 0; i < 5; i++)
			assert_true(hand_over(s, flight(i), mail));
		struct fetch_flight *f = flight(5);
		assert_true(fetch_submit_begin(s, f));
		assert_true(fetch_submit_body(s, mail, false));
		fetch_submit_abandon(s, "it was cut");
		assert_true(f->over);
		assert_int_equal(n_told, 6);
		for (size_t i = 0; i < 6; i++)
			assert_int_equal(told[i].fate,
					i < 5 ? FATE_DELIVERED : FATE_DEFERRED);
		assert_int_equal(relay.commits, 5);
		assert_string_equal(fetch_submit_error(s), "it was cut");
		assert_false(fetch_submit_drain(s));
		fetch_submit_abandon(s, "again"); /* there is nothing left of it */
		assert_string_equal(fetch_submit_error(s), "it was cut");
		fetch_submit_close(s);
		fetch_flight_free(f);
		assert_false(relay.quit);
		over();
	}
}

/* A large message goes out while it comes in, and what the relay has refused already is
 * not handed over to its end. */
static void
a_large_message_is_gathered_in_bounds(void **state)
{
	enum { PIECES = 200, PIECE = 16 * 1024 };
	static char piece[PIECE];

	(void)state;
	memset(piece, 'x', sizeof(piece));
	for (int how = 0; how < 3; how++) {
		struct err err;
		bool over_early = false, refused = how == 1;

		start_afresh(3);
		relay.unread = how == 2;
		relay.mail = refused;
		struct fetch_submit *s = open_it(&err);
		struct fetch_flight *f = flight(0);
		assert_true(fetch_submit_begin(s, f));
		for (int i = 0; i < PIECES; i++) {
			assert_true(fetch_submit_body(s,
					(struct span){ piece, sizeof(piece) },
					i == PIECES - 1));
			over_early = over_early || (i == PIECES / 2 && f->over);
			if (i == PIECES / 2 && !refused)
				assert_true(relay.body.n > PIECE);
		}
		assert_int_equal(over_early, refused);
		assert_true(relay.most <= SUBMIT_BATCH + 2 * PIECE);
		assert_true(fetch_submit_drain(s));
		assert_true(f->over);
		fetch_flight_free(f);
		assert_int_equal(relay.body.n, refused ? 0 : PIECES * PIECE);
		assert_int_equal(n_told, 1);
		fetch_submit_close(s);
		over();
	}
}

/* What is small is kept until somebody waits. */
static void
what_is_gathered_goes_out_on_demand(void **state)
{
	struct err err;

	(void)state;
	start_afresh(3);
	struct fetch_submit *s = open_it(&err);
	assert_true(hand_over(s, flight(0), mail));
	assert_true(fetch_submit_pending(s));
	assert_int_equal(relay.commits, 0);
	fetch_submit_flush(s);
	assert_int_equal(relay.commits, 1);
	assert_int_equal(n_told, 1);
	assert_false(fetch_submit_pending(s));
	fetch_submit_flush(s);
	assert_int_equal(relay.waits + relay.waits_both, 0);
	fetch_submit_close(s);
	over();
}

/* Answers that are still owed when the collector leaves are waited for by nobody: no QUIT. */
static void
who_leaves_early_says_nothing(void **state)
{
	struct err err;

	(void)state;
	start_afresh(3);
	struct fetch_submit *s = open_it(&err);
	assert_true(hand_over(s, flight(0), mail));
	fetch_submit_close(s);
	assert_true(relay.closed && !relay.quit);
	assert_int_equal(n_told, 0);
	over();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flight_owns_what_it_says),
		cmocka_unit_test(messages_follow_each_other),
		cmocka_unit_test(each_call_of_the_connection_fails_in_turn),
		cmocka_unit_test(what_became_of_each_recipient_is_told),
		cmocka_unit_test(a_recipient_that_is_put_off_is_not_told_of),
		cmocka_unit_test(one_message_is_refused_and_the_others_are_taken),
		cmocka_unit_test(a_good_session_is_told_to_whoever_asks),
		cmocka_unit_test(mail_is_given_to_no_other_server),
		cmocka_unit_test(a_message_that_is_given_up_is_nowhere),
		cmocka_unit_test(a_large_message_is_gathered_in_bounds),
		cmocka_unit_test(what_is_gathered_goes_out_on_demand),
		cmocka_unit_test(who_leaves_early_says_nothing),
	};

	(void)snprintf(journal, sizeof(journal), "/tmp/postern-submit-%d",
			(int)getpid());
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(journal);
	return failed;
}
