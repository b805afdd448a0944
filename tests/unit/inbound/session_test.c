/* A session: what its client is told, and what is kept of it. */
#include "at_socket.h"

/* ---- who it is ---- */

static void
each_is_known_by_its_address(void **state)
{
	static const struct conf_cidr nets[] = {
		{ { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0 }, 120 },
		{ { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 0 }, 104 },
	};
	struct gate *g = *state;
	char size[40];

	g->conf->smtp.relay_from = (struct conf_cidrs){ nets, 2 };
	(void)snprintf(size, sizeof(size), "-SIZE %llu\r\n",
			(unsigned long long)g->conf->smtp.limits.message);
	int64_t before = loop_now_ms(g->hub.loop);
	struct session *s = session(g, "192.0.2.7", false);
	assert_string_equal(s->ip, "192.0.2.7");
	assert_true(s->may_relay);
	assert_false(s->internal);
	assert_in_range(s->stamp_ms, before, loop_now_ms(g->hub.loop));
	assert_true(s->stamp_ms > 0);
	assert_int_equal(in.n, 1);
	assert_int_equal(in.n_internal, 0);
	assert_int_equal(g->hurries, 1);
	told_client("220 gw.contoso.test ");
	greet(g);
	told_client("192.0.2.7");
	told_client(size);
	/* What may be relayed for it may also be asked. */
	say(g, "VRFY <x@elsewhere.test>\r\n");
	told_client("252 ");
	session_free(s);
	(void)close(client.fd);
	client.n = 0;

	s = session(g, "198.51.100.1", false);
	assert_false(s->may_relay);
	greet(g);
	say(g, "VRFY <x@elsewhere.test>\r\n");
	told_client("5");
	session_free(s);
	(void)close(client.fd);
	client.n = 0;

	/* Our own: it comes by a socket without an address, and relays by what it says. */
	s = session(g, "192.0.2.7", true);
	assert_string_equal(s->ip, "127.0.0.1");
	assert_false(s->may_relay);
	assert_int_equal(in.n, 1);
	assert_int_equal(in.n_internal, 1);
	greet(g);
	told_client("XCOLLECT");
	assert_null(strstr(client.said, size));
	say(g, "VRFY <x@elsewhere.test>\r\n");
	told_client("252 ");
}

/* ---- a message ---- */

static void
each_result_is_told_when_the_store_is_done(void **state)
{
	static const struct {
		enum store_result result;
		const char *words;
	} answers[] = { { STORE_DONE, "250 2.6.0 " }, { STORE_HAD, "already have it" },
		{ STORE_FULL, "452 4.3.1 " }, { STORE_BUSY, "451 4.3.0 " },
		{ STORE_FAILED, "451 4.3.0 " } };
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);

	greet(g);
	for (unsigned i = 0; i < 5; i++) {
		flushes = 0;
		send_one(g);
		assert_int_equal(client.n, 0); /* nothing is promised yet */
		assert_true(flushes > 0);
		assert_int_equal(about_to_end, 0);
		assert_int_equal(g->in->receiving, 0);
		assert_true(g->in->pending > 0);
		assert_int_equal(s->messages, i + 1);
		assert_null(s->mail);
		assert_false(list_empty(&s->waiting));
		store_says(g, answers[i].result);
		told_client(answers[i].words);
		assert_int_equal(g->in->pending, 0);
		assert_true(list_empty(&s->waiting));
		assert_true(list_empty(&in.dirty));
	}
	say(g, "QUIT\r\n");
	told_client("221 ");
	hangs_up(g);
	assert_true(g->looks > 0);
}

/* What is known of the client is part of what is said of its mail. */
static void
its_mail_says_how_it_came(void **state)
{
	static const char *const hellos[] = { "EHLO pc.test\r\n", "HELO pc.test\r\n" };
	struct gate *g = *state;

	for (unsigned i = 0; i < 2; i++) {
		client.n = 0;
		struct session *s = session(g, "192.0.2.7", false);
		s->may_relay = i;
		say(g, hellos[i]);
		send_one(g);
		const struct submission *sub =
				LIST_ITEM(handed.next, struct submission, job.link);
		assert_int_equal(sub->flags & MESSAGE_POLICY, i ? 0 : MESSAGE_POLICY);
		assert_true(memmem(sub->top.p, sub->top.n,
				i ? " with SMTP " : " with ESMTP ", i ? 11 : 12));
		assert_true(span_eq(sub->source, SPAN("pc.test [192.0.2.7]")));
		store_says(g, STORE_DONE);
		session_free(s);
		(void)close(client.fd);
	}
}

/* Two answers in one batch, and one that nobody waits for any more. */
static void
answers_of_one_batch_go_together(void **state)
{
	struct gate *g = *state;

	for (unsigned gone = 0; gone < 2; gone++) {
		struct session *s = session(g, "192.0.2.7", true);

		greet(g);
		say(g,
				"MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nBDAT 6 LAST\r\nA: b\r\n"
				"MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nBDAT 6 LAST\r\nA: b\r\n");
		for (unsigned i = 0; i < 2; i++) {
			struct store_job *job =
					LIST_ITEM(handed.next, struct store_job, link);

			assert_false(list_empty(&handed));
			list_del(&job->link);
			job->result = i ? STORE_BUSY : STORE_DONE;
			job->done(job->host, job);
		}
		client.n = 0;
		s->stamp_ms = 0;
		if (gone)
			session_free(s);
		inbound_flush(&in);
		turn(g);
		if (gone)
			continue;
		assert_true(s->stamp_ms > 0);
		told_client("250 2.6.0 ");
		told_client("451 4.3.0 ");
		session_free(s);
		(void)close(client.fd);
		client.n = 0;
	}
}

static void
so_many_recipients_and_errors_are_borne(void **state)
{
	struct gate *g = *state;

	g->conf->smtp.limits.recipients = 2;
	g->conf->smtp.limits.errors = 3;
	for (unsigned internal = 0; internal < 2; internal++) {
		client.n = 0;
		struct session *s = session(g, "192.0.2.7", internal);
		greet(g);
		say(g,
				"MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\n"
				"RCPT TO:<v@contoso.test>\r\n");
		say(g, "RCPT TO:<w@contoso.test>\r\n");
		told_client(internal ? "250 " : "452 4.5.3 ");
		say(g, "FOO\r\nFOO\r\nFOO\r\nFOO\r\nFOO\r\n");
		assert_int_equal(client.closed, !internal);
		session_free(s);
		(void)close(client.fd);
		client.closed = false;
	}
}

/* Many in one flight: each answer in its place. */
static void
answers_keep_their_order(void **state)
{
	struct gate *g = *state;

	(void)session(g, "192.0.2.7", false);
	greet(g);
	say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nDATA\r\n");
	say(g,
			"A: b\r\n\r\n.\r\n"
			"MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nRSET\r\nNOOP\r\n");
	assert_int_equal(client.n, 0);
	store_says(g, STORE_BUSY);
	told_client("451 4.3.0 ");
	assert_int_equal(about_to_end, 0);
	assert_ptr_equal(strstr(client.said, "451 "), client.said);
	told_client("\r\n250 2.1.0 ");
	assert_int_equal(g->in->receiving, 0);
}

static void
a_client_that_goes_leaves_what_it_sent(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);

	greet(g);
	send_one(g);
	say(g, "MAIL FROM:<a@x.test>\r\n");
	assert_true(s->mail && about_to_end == 1);
	session_free(s);
	assert_int_equal(in.n, 0);
	assert_int_equal(g->in->receiving, 0);
	assert_int_equal(about_to_end, 0);
	struct store_job *job = LIST_ITEM(handed.next, struct store_job, link);
	list_del(&job->link);
	job->result = STORE_DONE;
	job->done(job->host, job);
	assert_int_equal(g->in->pending, 0);
	assert_true(list_empty(&in.dirty));
	assert_int_equal(event(g, 2002, "", "", ""), 1);
}

static void
who_goes_in_the_middle_leaves_nothing(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);

	greet(g);
	say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nDATA\r\n");
	say(g, "More: ");
	assert_true(g->in->receiving > 0 && s->mail);
	assert_int_equal(shutdown(client.fd, SHUT_RDWR), 0);
	g->looks = 0;
	turn(g);
	assert_int_equal(in.n, 0);
	assert_true(g->looks > 0);
	assert_int_equal(g->in->receiving + g->in->pending, 0);
	assert_true(list_empty(&handed));
}

/* It says no more, and is still told what became of its mail. */
static void
who_has_closed_its_side_is_answered(void **state)
{
	struct gate *g = *state;

	(void)session(g, "192.0.2.7", false);
	greet(g);
	send_one(g);
	assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
	turn(g);
	assert_int_equal(in.n, 1);
	assert_false(client.closed);
	store_says(g, STORE_DONE);
	told_client("250 2.6.0 ");
	turn(g);
	hangs_up(g);
}

/* ---- refusals ---- */

static void
who_is_refused_is_told_in_the_log(void **state)
{
	struct gate *g = *state;

	(void)session(g, "198.51.100.1", false);
	greet(g);
	say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nRCPT TO:<x@elsewhere.test>\r\n");
	told_client("550 5.7.1 ");
	assert_int_equal(event(g, 4032, "\"ndr\":\"504\"", "x@elsewhere.test",
					 "550 5.7.1 "),
			1);
	assert_int_equal(
			event(g, 4032, "gw.contoso.test", "\"error\":\"00000000\"", ""),
			1);
	TOLD(1, "\"id\":4032,");
	session_free(LIST_ITEM(in.sessions.next, struct session, link));
	(void)close(client.fd);

	/* Who is unknown has another number. */
	static const struct policy_domain strict = { .domain = { SPAN_INIT(
								     "strict.test") },
		.authoritative = true,
		.reject_unknown = true };
	gate_directory(g,
			&(struct directory_rows){ .domains = &strict, .n_domains = 1 });
	client.n = 0;
	(void)session(g, "198.51.100.1", false);
	greet(g);
	say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<who@strict.test>\r\n");
	told_client("550 5.1.1 ");
	assert_int_equal(event(g, 4032, "\"ndr\":\"511\"", "who@strict.test",
					 "550 5.1.1 "),
			1);
	session_free(LIST_ITEM(in.sessions.next, struct session, link));
	(void)close(client.fd);

	/* The collector tells its own. */
	forget(g);
	client.n = 0;
	(void)session(g, "192.0.2.7", true);
	greet(g);
	say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<x@elsewhere.test>\r\n");
	told_client("\r\n550 5.7.1 ");
	TOLD(0, "\"id\":4032,");
}

static void
no_transaction_begins_where_it_could_not_end(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);

	greet(g);
	space_low = true;
	say(g, "MAIL FROM:<a@x.test>\r\n");
	told_client("452 4.3.1 ");
	assert_null(s->mail);
	space_low = false;

	/* So many in a session. */
	g->conf->smtp.limits.messages_per_session = 2;
	for (unsigned i = 0; i < 2; i++) {
		send_one(g);
		store_says(g, STORE_DONE);
	}
	TOLD(0, "\"id\":7013,");
	say(g, "MAIL FROM:<a@x.test>\r\n");
	told_client("421 4.7.0 ");
	assert_int_equal(event(g, 7013, "192.0.2.7", "messages in one session",
					 "\"max\":2"),
			1);
	assert_true(client.closed);
	(void)close(client.fd);
	client.closed = false;
	client.n = 0;

	/* Not for our own. */
	s = session(g, "192.0.2.7", true);
	greet(g);
	s->messages = 2;
	say(g, "MAIL FROM:<a@x.test>\r\n");
	told_client("250 ");
	say(g, "RSET\r\n");
	assert_null(s->mail);

	g->hub.stopping = true;
	say(g, "MAIL FROM:<a@x.test>\r\n");
	told_client("421 4.3.2 ");
}

static void
what_is_refused_at_its_end_leaves_nothing(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);

	greet(g);
	g->conf->smtp.max_hops = 1;
	say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nDATA\r\n");
	say(g, "Received: a\r\nReceived: b\r\n\r\nx\r\n.\r\n");
	told_client("554 5.4.6 ");
	assert_true(list_empty(&handed));
	assert_null(s->mail);
	assert_int_equal(s->messages, 1);
	assert_int_equal(g->in->receiving + g->in->pending, 0);

	/* Bare line ends: each message is told once. */
	for (unsigned i = 1; i < 3; i++) {
		say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nDATA\r\n");
		say(g, "A: b\n\r\n.\r\n");
		told_client("550 5.6.11 ");
		TOLD(i, "\"id\":7011,");
		assert_null(s->mail);
		say(g, "MAIL FROM:<a@x.test>\r\nRSET\r\n");
		TOLD(i, "\"id\":7011,");
	}
	assert_int_equal(event(g, 7011, "192.0.2.7", "", ""), 2);
}

static void
too_many_errors_end_it(void **state)
{
	struct gate *g = *state;

	g->conf->smtp.limits.errors = 3;
	(void)session(g, "192.0.2.7", false);
	greet(g);
	say(g, "FOO\r\nFOO\r\nFOO\r\nFOO\r\n");
	told_client("421 4.7.0 ");
	assert_true(client.closed);
	assert_int_equal(event(g, 7012, "192.0.2.7", "\"errors\":3", ""), 1);
}

static void
a_route_is_part_of_the_message(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", true);

	greet(g);
	say(g,
			"MAIL FROM:<a@x.test> XCOLLECT=acc/dQ/pop.isp.test/192.0.2.1/POP3\r\n"
			"XROUTE 2\r\n{}RCPT TO:<u@contoso.test>\r\n");
	assert_non_null(s->mail);
	assert_true(span_eq(s->mail->job.route, SPAN("{}")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SESSION(each_is_known_by_its_address),
		IN_SESSION(each_result_is_told_when_the_store_is_done),
		IN_SESSION(its_mail_says_how_it_came),
		IN_SESSION(answers_of_one_batch_go_together),
		IN_SESSION(so_many_recipients_and_errors_are_borne),
		IN_SESSION(answers_keep_their_order),
		IN_SESSION(a_client_that_goes_leaves_what_it_sent),
		IN_SESSION(who_goes_in_the_middle_leaves_nothing),
		IN_SESSION(who_has_closed_its_side_is_answered),
		IN_SESSION(who_is_refused_is_told_in_the_log),
		IN_SESSION(no_transaction_begins_where_it_could_not_end),
		IN_SESSION(what_is_refused_at_its_end_leaves_nothing),
		IN_SESSION(too_many_errors_end_it),
		IN_SESSION(a_route_is_part_of_the_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
