/* A message from MAIL to the answer: what it is given, and what its client is told. */
#include "transaction.h"

/* ---- what it is given ---- */

static void
each_says_by_which_way_it_came(void **state)
{
	static const struct {
		bool collected, tls, utf8, esmtp, picked;
		const char *with, *source;
	} rows_of[] = {
		{ .collected = true,
				.with = " with POP3 (Postern) id ",
				.source = "pop.isp.test [192.0.2.1]" },
		{ .collected = true,
				.tls = true,
				.with = " with POP3S (Postern) id ",
				.source = "pop.isp.test [192.0.2.1]" },
		{ .with = " with SMTP id ", .source = "pc.test [192.0.2.7]" },
		{ .tls = true,
				.with = " with SMTP id ",
				.source = "pc.test [192.0.2.7]" },
		{ .esmtp = true,
				.with = " with ESMTP id ",
				.source = "pc.test [192.0.2.7]" },
		{ .esmtp = true,
				.tls = true,
				.with = " with ESMTPS id ",
				.source = "pc.test [192.0.2.7]" },
		{ .esmtp = true,
				.utf8 = true,
				.with = " with UTF8SMTP id ",
				.source = "pc.test [192.0.2.7]" },
		{ .esmtp = true,
				.utf8 = true,
				.tls = true,
				.with = " with UTF8SMTPS id ",
				.source = "pc.test [192.0.2.7]" },
		{ .picked = true,
				.with = " with local (Postern) id ",
				.source = "pc.test [192.0.2.7]" },
	};
	struct gate *g = *state;
	char want[200], qid[QID_SIZE];

	for (size_t i = 0; i < sizeof(rows_of) / sizeof(rows_of[0]); i++) {
		struct mail_client client = lan;
		struct smtp_mail said = { .utf8 = rows_of[i].utf8 };

		client.esmtp = rows_of[i].esmtp;
		client.tls = rows_of[i].tls;
		if (rows_of[i].collected) {
			said = collected("u");
			said.collect.tls = rows_of[i].tls;
		}
		int64_t before = clock_wall_ms();
		struct mail *m = begin(g, &said, &client, 1);
		m->picked = rows_of[i].picked ? (struct picked *)1 : NULL;
		say(g, m, "Subject: s\r\n\r\nx\r\n");
		assert_int_equal(whole(g, m, &client).code, 0);
		qid_print(m->job.id, qid);
		(void)snprintf(want, sizeof(want),
				"Received: from %s by gw.contoso.test%s%s for <u0@contoso.test>; ",
				rows_of[i].collected ? "pop.isp.test ([192.0.2.1])"
						     : "pc.test ([192.0.2.7])",
				rows_of[i].with, qid);
		is(span_first(m->job.top, strlen(want)), want);
		is(m->job.source, rows_of[i].source);
		is(m->job.body, "Subject: s\r\n\r\nx\r\n");
		assert_in_range(m->job.arrived_ms, before, clock_wall_ms());
		assert_int_equal(m->job.job.result, STORE_FAILED); /* until it is not */
		assert_int_equal(m->job.job.work, STORE_SUBMIT);
		assert_ptr_equal(m->job.recipients, m->recipients);
		assert_int_equal(m->job.flags, m->utf8 ? MESSAGE_UTF8 : 0);
		is(m->job.account, rows_of[i].collected ? "acc" : "");
		is(m->job.uidl, rows_of[i].collected ? "u" : "");
		assert_int_equal(m->job.print, rows_of[i].collected ? 77 : 0);
		mail_drop(g->in, m);
	}
}

static void
a_client_without_an_address_is_named_by_its_name(void **state)
{
	struct gate *g = *state;
	struct mail_client client = lan;

	client.ip = SPAN("");
	struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &client, 2);
	assert_int_equal(whole(g, m, &client).code, 0);
	is(m->job.source, "pc.test");
	is(m->job.body, "");
	assert_true(m->job.body.p != NULL);
	/* Two recipients: none is told of the other. */
	assert_false(has(m->job.top, " for "));
	mail_drop(g->in, m);

	/* One who is refused is not named either. */
	m = begin(g, &(struct smtp_mail){ 0 }, &client, 1);
	m->recipients[0].state = QUEUE_REFUSED;
	assert_int_equal(whole(g, m, &client).code, 0);
	assert_false(has(m->job.top, " for "));
	mail_drop(g->in, m);
}

static void
flags_are_what_its_octets_and_its_client_are(void **state)
{
	struct gate *g = *state;
	struct mail_client client = lan;

	for (unsigned bits = 0; bits < 32; bits++) {
		bool eight = bits & 1, bare = bits & 2, nul = bits & 4, utf8 = bits & 8;

		client.may_relay = bits & 16;
		struct mail *m = begin(
				g, &(struct smtp_mail){ .utf8 = utf8 }, &client, 1);
		assert_int_equal(mail_whole(g->in, m,
						 &(struct smtp_commit){
								 .eight_bit = eight,
								 .bare = bare,
								 .nul = nul },
						 &client)
						 .code,
				0);
		assert_int_equal(m->job.flags,
				(eight ? MESSAGE_8BIT : 0) |
						(bare || nul ? MESSAGE_BARE : 0) |
						(utf8 ? MESSAGE_UTF8 : 0) |
						(bits & 16 ? 0 : MESSAGE_POLICY));
		mail_drop(g->in, m);
	}

	/* An address that is not ASCII stands in the line that we put before it. */
	struct mail *m = begin(g, &(struct smtp_mail){ .utf8 = true }, &lan, 0);
	char text[SMTP_TEXT_SIZE];
	struct smtp_path path;
	assert_true(smtp_mailbox_parse(SPAN("j\xc3\xb6@contoso.test"), &path));
	assert_int_equal(mail_rcpt(g->in, m, &path, text).code, 250);
	assert_int_equal(whole(g, m, &lan).code, 0);
	assert_true(m->job.flags & MESSAGE_8BIT);
	mail_drop(g->in, m);
}

static void
each_has_a_message_id(void **state)
{
	struct gate *g = *state;
	char qid[QID_SIZE], made[100];
	static char text[3000], id[1000];
	/* Octets between < and >, and whether it is kept. */
	static const struct {
		size_t n;
		bool kept;
	} lengths[] = { { 10, true }, { 899, true }, { 900, true }, { 901, false },
		{ 950, false } };

	for (size_t i = 0; i < 5; i++) {
		struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
		memset(id, 'a', sizeof(id));
		memcpy(id + lengths[i].n - 4, "@x.y", 4);
		(void)snprintf(text, sizeof(text), "Message-ID: <%.*s>\r\n\r\n",
				(int)lengths[i].n, id);
		say(g, m, text);
		assert_int_equal(whole(g, m, &lan).code, 0);
		qid_print(m->job.id, qid);
		if (lengths[i].kept)
			(void)snprintf(text, sizeof(text), "<%.*s>", (int)lengths[i].n,
					id);
		else
			(void)snprintf(text, sizeof(text), "<%s@gw.contoso.test>", qid);
		is(m->job.message_id, text);
		mail_drop(g->in, m);
	}

	struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
	say(g, m, "Subject: none\r\n\r\n");
	assert_int_equal(whole(g, m, &lan).code, 0);
	qid_print(m->job.id, qid);
	(void)snprintf(made, sizeof(made), "<%s@gw.contoso.test>", qid);
	is(m->job.message_id, made);
	mail_drop(g->in, m);

	/* Without < and > it is a word; and what follows it may be as long as it likes. */
	m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
	say(g, m, "Message-ID: word@y.test\r\n\r\n");
	assert_int_equal(whole(g, m, &lan).code, 0);
	is(m->job.message_id, "<word@y.test>");
	mail_drop(g->in, m);
	for (unsigned end = 0; end < 2; end++) {
		static char longest[70000];
		size_t n = (size_t)sprintf(
				longest, "Message-ID: <x@y%s\r\n", end ? ">" : "");

		while (n < sizeof(longest) - 200)
			n += (size_t)sprintf(longest + n, " %0100d\r\n", 7);
		(void)sprintf(longest + n, " >\r\n\r\n");
		m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
		say(g, m, longest);
		assert_true(m->heading.cut[HEADING_MESSAGE_ID]);
		assert_int_equal(whole(g, m, &lan).code, 0);
		qid_print(m->job.id, qid);
		(void)snprintf(made, sizeof(made), "<%s@gw.contoso.test>", qid);
		is(m->job.message_id, end ? "<x@y>" : made);
		mail_drop(g->in, m);
	}
}

/* ---- round and round ---- */

static void
say_received(struct gate *g, struct mail *m, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		say(g, m, "Received: from a by b; c\r\n");
	say(g, m, "From: max@x.test\r\nSubject: round\r\n\r\nx\r\n");
}

static void
what_went_round_too_often_goes_nowhere(void **state)
{
	struct gate *g = *state;
	const unsigned most = g->conf->smtp.max_hops;

	/* As many as are allowed. */
	struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
	say_received(g, m, most);
	assert_int_equal(whole(g, m, &lan).code, 0);
	mail_drop(g->in, m);
	TOLD(0, "\"id\":4098,");

	/* A client is told, and has it back. */
	m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
	say_received(g, m, most + 1);
	assert_int_equal(whole(g, m, &lan).code, 554);
	char qid[QID_SIZE];
	qid_print(m->job.id, qid);
	assert_int_equal(event(g, 4098, qid, "max@x.test", "round"), 1);
	mail_drop(g->in, m);

	/* Nobody waits for an answer about a file, or about what was collected. */
	for (unsigned i = 0; i < 2; i++) {
		struct smtp_mail said = collected("u");

		if (i == 1)
			said = (struct smtp_mail){ 0 };
		m = begin(g, &said, &lan, 4);
		m->picked = i == 1 ? (struct picked *)1 : NULL;
		m->recipients[1].state = QUEUE_HELD;
		m->recipients[2].state = QUEUE_REFUSED;
		m->recipients[2].code = 511;
		m->recipients[2].reason = SPAN("other");
		say_received(g, m, most + 1);
		assert_int_equal(whole(g, m, &lan).code, 0);
		for (size_t k = 0; k < 4; k++) {
			const struct submission_recipient *to = &m->recipients[k];

			assert_int_equal(to->state, QUEUE_REFUSED);
			assert_int_equal(to->code, k == 2 ? 511 : 554);
			is(to->reason, k == 2 ? "other" : "hop-count");
			if (k != 2) {
				is(to->hop, QUEUE_HOP_BADMAIL);
				assert_true(has(to->reply, "5.4.6"));
			}
		}
		mail_drop(g->in, m);
	}
}

/* Held, somebody would only send it on its way again. */
static void
what_went_round_for_nobody_is_not_held(void **state)
{
	struct gate *g = *state;

	for (unsigned round = 0; round < 2; round++) {
		struct smtp_mail said = collected("u");

		said.collect.hold = SPAN("no-recipients");
		struct mail *m = begin(g, &said, &fetcher, 0);
		say_received(g, m, round ? g->conf->smtp.max_hops + 1 : 1);
		assert_int_equal(whole(g, m, &fetcher).code, 0);
		assert_int_equal(m->job.n, 1);
		assert_int_equal(m->recipients[0].state,
				round ? QUEUE_REFUSED : QUEUE_HELD);
		is(m->recipients[0].reason, round ? "hop-count" : "no-recipients");
		is(m->recipients[0].address, "");
		mail_drop(g->in, m);

		/* What goes to Badmail for its own reason keeps it. */
		said = collected("u");
		said.collect.badmail = SPAN("bad");
		m = begin(g, &said, &fetcher, 0);
		say_received(g, m, round ? g->conf->smtp.max_hops + 1 : 1);
		assert_int_equal(whole(g, m, &fetcher).code, 0);
		is(m->recipients[0].reason, "bad");
		mail_drop(g->in, m);
	}
}

static void
what_was_put_off_in_part_is_collected_later(void **state)
{
	struct gate *g = *state;
	struct smtp_mail said = collected("u");

	for (unsigned i = 0; i < 2; i++) {
		struct mail *m =
				begin(g, i ? &said : &(struct smtp_mail){ 0 }, &lan, 1);

		m->put_off = true;
		assert_int_equal(whole(g, m, &lan).code, i ? 452 : 0);
		mail_drop(g->in, m);
	}
}

/* ---- what the store says ---- */

static const struct {
	enum store_result result;
	int code;
	const char *text;
} answers[] = {
	{ STORE_DONE, 250, "Queued mail for delivery" },
	{ STORE_HAD, 250, "already have it" },
	{ STORE_FULL, 452, "Insufficient system resources" },
	{ STORE_BUSY, 451, "Message could not be queued, try later" },
	{ STORE_FAILED, 451, "Message could not be queued, try later" },
};

static void
each_result_has_its_answer(void **state)
{
	struct gate *g = *state;
	char text[SMTP_TEXT_SIZE], *body = malloc(BODY_BLOB_MAX + 1);

	octets(body, BODY_BLOB_MAX + 1);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		for (unsigned large = 0; large < 2; large++) {
			struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);

			assert_int_equal(
					mail_body(g->in, m,
							(struct span){ body,
									BODY_BLOB_MAX + large })
							.code,
					0);
			assert_int_equal(whole(g, m, &lan).code, 0);
			m->job.job.result = answers[i].result;
			queued.n = 0;
			forget(g);
			struct smtp_reply reply = mail_answer(g->in, m, text);
			assert_int_equal(reply.code, answers[i].code);
			if (!strstr(reply.text, answers[i].text))
				fail_msg("%s", reply.text);
			/* The file of what is not queued is nobody's. */
			bool done = answers[i].result == STORE_DONE;
			assert_int_equal(spooled(g, m->job.id), large && done);
			assert_int_equal(event(g, 2002, "pc.test [192.0.2.7]", "", ""),
					done);
			assert_int_equal(was_queued("drop"), done);
			g->in->receiving -= mail_weight(m);
			spool_remove(g->hub.store, m->job.id);
			mail_free(g->in, m);
		}
	free(body);
}

/* 2002 and 5001 have their level, and the collector and Pickup say the first themselves. */
static void
it_is_told_as_the_log_wants_it(void **state)
{
	struct gate *g = *state;
	const struct smtp_mail from_provider = collected("u");
	char text[SMTP_TEXT_SIZE], path[100], qid[QID_SIZE];
	struct err err = { 0 };

	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	for (unsigned level = 0; level < 4; level++)
		for (unsigned way = 0; way < 3; way++)
			for (unsigned copies = 0; copies < 3; copies++) {
				uint64_t copy_of[2] = { copies > 0 ? 5 : 0,
					copies > 1 ? 5 : 0 };
				struct mail *m = begin(g,
						way == 1 ? &from_provider
							 : &(struct smtp_mail){ 0 },
						&lan, 2);

				m->picked = way == 2 ? (struct picked *)1 : NULL;
				assert_int_equal(whole(g, m, &lan).code, 0);
				m->job.copy_of = copy_of;
				m->job.job.result = STORE_DONE;
				assert_true(log_open(
						&(struct log_options){ .level = level,
								.journal = path },
						&err));
				forget(g);
				(void)mail_answer(g->in, m, text);
				qid_print(m->job.id, qid);
				assert_int_equal(event(g, 2002, qid, "\"recipients\":2",
								 ""),
						level >= 1 && way == 0);
				TOLD(level >= 1 && way == 0, "\"id\":2002,");
				assert_int_equal(
						event(g, 5001, qid,
								copies ? "\"recipients\":1"
								       : "\"recipients\":2",
								way == 1 ? "\"account\":\"acc\""
									 : ""),
						level >= 2 && copies < 2);
				TOLD(level >= 2 && copies < 2, "\"id\":5001,");
				mail_drop(g->in, m);
			}
}

/* What is due at once is looked for at once; what is held, and what was here before, is not. */
static void
each_next_hop_is_told_of_its_mail(void **state)
{
	static const struct {
		const char *hop;
		enum queue_state state;
		int code;
		bool copy, told, refused;
	} to[] = {
		{ .hop = "smtp:a.test:25", .state = QUEUE_QUEUED, .told = true },
		{ .hop = "smtp:a.test:25", .state = QUEUE_QUEUED, .told = true },
		{ .hop = "smtp:b.test:25", .state = QUEUE_QUEUED, .copy = true },
		{ .hop = "smtp:c.test:25", .state = QUEUE_HELD },
		{ .hop = QUEUE_HOP_BADMAIL,
				.state = QUEUE_REFUSED,
				.code = 550,
				.told = true,
				.refused = true },
		{ .hop = "smtp:d.test:25",
				.state = QUEUE_QUEUED,
				.code = 250,
				.told = true },
		{ .hop = "smtp:e.test:25", .state = QUEUE_REFUSED, .told = true },
		{ .hop = "smtp:f.test:25",
				.state = QUEUE_REFUSED,
				.code = 550,
				.copy = true },
	};
	enum { N = sizeof(to) / sizeof(to[0]) };
	struct gate *g = *state;
	struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, N);
	char text[SMTP_TEXT_SIZE];
	uint64_t copy_of[N];

	assert_int_equal(whole(g, m, &lan).code, 0);
	for (size_t i = 0; i < N; i++) {
		m->recipients[i].hop = span_of(to[i].hop);
		m->recipients[i].state = to[i].state;
		m->recipients[i].code = to[i].code;
		copy_of[i] = to[i].copy ? 9 : 0;
	}
	m->job.copy_of = copy_of;
	m->job.job.result = STORE_DONE;
	g->hub.sum.refused = 0;
	assert_int_equal(mail_answer(g->in, m, text).code, 250);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(was_queued(to[i].hop), to[i].told);
	assert_int_equal(g->hub.sum.refused, 1);
	mail_drop(g->in, m);
}

/* ---- what it takes ---- */

static void
a_route_is_kept_or_refused(void **state)
{
	struct gate *g = *state;
	struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
	char route[] = "{\"to\":1}";

	assert_true(mail_route(m, span_of(route)));
	route[2] = 'X'; /* it is a copy */
	is(m->job.route, "{\"to\":1}");
	assert_true(mail_route(m, SPAN("")));
	is(m->job.route, "");
	m->arena.max = m->arena.used;
	assert_true(mail_route(m, SPAN("")));
	assert_false(mail_route(m, span_of(route)));
	assert_true(mail_keep(m, (struct span){ NULL, 5 }).p == NULL);
	assert_int_equal(mail_keep(m, (struct span){ NULL, 5 }).n, 0);
	mail_drop(g->in, m);
}

static void
a_domain_is_kept_as_it_is_sent(void **state)
{
	struct gate *g = *state;
	struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
	struct smtp_path path;

	assert_true(smtp_mailbox_parse(SPAN("A.b@m\xc3\xbcnchen.Test"), &path));
	is(mail_wire(m, &path), "A.b@xn--mnchen-3ya.test");
	assert_true(smtp_mailbox_parse(SPAN("A.b@Contoso.Test"), &path));
	is(mail_wire(m, &path), "A.b@Contoso.Test");
	assert_true(smtp_mailbox_parse(SPAN("m\xc3\xbc@Contoso.Test"), &path));
	is(mail_wire(m, &path), "m\xc3\xbc@Contoso.Test");
	mail_drop(g->in, m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DOOR(each_says_by_which_way_it_came),
		IN_DOOR(a_client_without_an_address_is_named_by_its_name),
		IN_DOOR(flags_are_what_its_octets_and_its_client_are),
		IN_DOOR(each_has_a_message_id),
		IN_DOOR(what_went_round_too_often_goes_nowhere),
		IN_DOOR(what_went_round_for_nobody_is_not_held),
		IN_DOOR(what_was_put_off_in_part_is_collected_later),
		IN_DOOR(each_result_has_its_answer),
		IN_DOOR(it_is_told_as_the_log_wants_it),
		IN_DOOR(each_next_hop_is_told_of_its_mail),
		IN_DOOR(a_route_is_kept_or_refused),
		IN_DOOR(a_domain_is_kept_as_it_is_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
