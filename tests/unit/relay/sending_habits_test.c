/* Next hops with habits: what they take at a time, how they refuse, and where they stop; and
 * mail that is taken away while it is sent. */
#include "peer.h"

static void
wait_ends(struct peer *p, unsigned n)
{
	for (int i = 0; i < WAIT_MS / 10 && p->ends < n; i++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(p->ends, n);
}

/* How often it stands in the log. */
static size_t
times_logged(const struct bench *b, const char *words)
{
	AUTO(buf_done) struct buf log = BUF_MAX(4 * 1024 * 1024);
	char path[128];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/log", b->dir);
	read_all(path, &log);
	for (const char *at = buf_cstr(&log); (at = strstr(at, words)); at++)
		n++;
	return n;
}

static void
each_has_one(const struct peer *p, size_t from, size_t below)
{
	for (size_t i = 0; i < NAMES; i++)
		assert_int_equal(p->got[i], i >= from && i < below);
}

/* The store has it that so many recipients were delivered to. */
static void
wait_delivered(const struct bench *b, size_t n)
{
	for (int i = 0; i < WAIT_MS / 10 && counted(b).delivered < n; i++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(counted(b).delivered, n);
	for (int i = 0; i < WAIT_MS / 10 && times_logged(b, "event=5003") < n; i++)
		(void)poll(NULL, 0, 10);
}

/* No file of the spool is open any more. */
static void
all_is_closed(const struct bench *b)
{
	char link[64], to[512];

	for (int fd = 3; fd < 256; fd++) {
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, to, sizeof(to) - 1);
		to[n > 0 ? n : 0] = '\0';
		if (strstr(to, b->dir) && strstr(to, "/spool/"))
			fail_msg("%s is open", to);
	}
}

static void
stop_it(struct peer *p)
{
	relay_stop(p->b->relay);
}

/* 250 recipients are three transactions of one message. */
static void
what_a_message_took_is_told_with_who_took_it(void **state)
{
	struct peer *p = peer_open();
	char host[40];

	(void)state;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 250, large(), "250 2.6.0 ");
	wait_ends(p, 3);
	wait_delivered(b, 250);
	(void)snprintf(host, sizeof(host), "at 127.0.0.1:%u:", p->port);
	assert_int_equal(times_logged(b, host), 250);
	assert_int_equal(times_logged(b, "event=3041"), 1);
	assert_int_equal(times_logged(b, "it was split into 3 transactions"), 1);
	peer_free(p);
}

/* A sender who can be said is said, though the hop has no SMTPUTF8 and the mail was collected. */
static void
a_sender_of_ascii_is_kept(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 1, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
	wait_ends(p, 1);
	assert_non_null(strstr(p->from, "MAIL FROM:<a@b.test>"));
	assert_int_equal(times_logged(b, "event=3041"), 0);
	peer_free(p);
}

/* All transactions of it, and nothing else. */
static void
a_relay_that_stops_ends_the_message_in_hand(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->at_data = stop_it;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 250, large(), "250 2.6.0 ");
	thread_join(b->thread);
	assert_true(b->ok);
	relay_free(b->relay);
	b->relay = NULL;
	struct count c = counted(b);
	assert_int_equal(c.delivered, 250);
	each_has_one(p, 0, 250);
	assert_int_equal(p->ends, 3);
	assert_int_equal(p->quits, 1);
	peer_free(p);
}

static void
submit_some(const struct bench *b, unsigned from, unsigned below, unsigned to,
		const char *body)
{
	for (unsigned i = from; i < below; i++) {
		char uidl[8];

		(void)snprintf(uidl, sizeof(uidl), "d%02uE", i);
		submit(b, uidl, to, body, "250 2.6.0 ");
	}
}

/* It is left after so many of them, and the next connection serves as many. */
static void
a_hop_that_takes_three_a_connection_is_sent_three(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->mails_most = 3;
	struct bench *b = peer_bench(p);
	submit_some(b, 10, 22, 1, "Subject: s\r\n\r\nx\r\n");
	wait_ends(p, 12);
	assert_int_equal(p->got[0], 12);
	assert_in_range(p->connections, 4, 6);
	peer_free(p);
}

/* That is learnt once: later connections say goodbye after one. */
static void
a_hop_that_takes_one_a_connection_is_sent_one(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->mails_most = 1;
	struct bench *b = peer_bench(p);
	submit_some(b, 10, 16, 1, "Subject: s\r\n\r\nx\r\n");
	wait_ends(p, 6);
	assert_int_equal(p->got[0], 6);
	assert_in_range(p->refused, 1, 4); /* as many as were on the way */
	unsigned refused = p->refused;
	submit_some(b, 20, 26, 1, "Subject: s\r\n\r\nx\r\n");
	wait_ends(p, 12);
	assert_int_equal(p->got[0], 12);
	/* What takes several transactions takes as many connections. */
	submit(b, "dTE", 250, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
	wait_ends(p, 15);
	assert_int_equal(p->refused, refused);
	assert_int_equal(p->got[0], 13);
	assert_int_equal(p->got[249], 1);
	peer_free(p);
}

static void
a_hop_that_refuses_body_is_not_told_it_again(void **state)
{
	static const char *const all[] = { "501 5.5.4 what\r\n", "504 5.5.4 what\r\n",
		"555 5.5.4 what\r\n" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct peer *p = peer_open();

		p->body_refused = all[i];
		p->ends_each = true;
		struct bench *b = peer_bench(p);
		for (unsigned n = 0; n < 3; n++) {
			submit_some(b, 10 + n, 11 + n, 3 - n,
					"Subject: s\r\n\r\n\xc3\xa4\r\n");
			wait_ends(p, n + 1);
		}
		assert_int_equal(p->got[0], 3);
		assert_int_equal(p->got[2], 1);
		assert_int_equal(p->bodies, 1);
		assert_true(p->connections >= 3);
		peer_free(p);
	}
}

/* What was answered was answered: it is no hop that is to be left alone. */
static void
a_hop_that_hangs_up_behind_each_message_is_served(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->ends_each = true;
	struct bench *b = peer_bench(p);
	for (unsigned n = 0; n < 12; n++) {
		submit_some(b, 10 + n, 11 + n, 1, "Subject: s\r\n\r\nx\r\n");
		wait_ends(p, n + 1);
	}
	assert_int_equal(p->got[0], 12);
	assert_int_equal(p->connections, 12);
	stop(b);
	assert_false(logged(b, "event=5008"));
	peer_free(p);
}

/* E12: so many at a time, and no more attempts than that takes. */
static void
a_hop_that_takes_ten_recipients_is_sent_ten(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->rcpts_most = 10;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 45, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
	wait_count(b, 45, 0, 0);
	each_has_one(p, 0, 45);
	assert_int_equal(p->ends, 5);
	assert_int_equal(p->too_many, 35); /* the first time */
	peer_free(p);
}

static void
a_hop_that_takes_no_recipient_at_all_defers_them(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->rcpts_most = NONE;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 5, large(), "250 2.6.0 ");
	struct count c = wait_count(b, 0, 5, 0);
	assert_non_null(strstr(c.reply, "4.5.3 too many recipients"));
	assert_int_equal(p->too_many, 5);
	assert_int_equal(p->ends, 0);
	all_is_closed(b);
	/* The next one it takes, on the same connection. */
	p->rcpts_most = 0;
	submit(b, "dTI", 2, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
	wait_ends(p, 1);
	assert_int_equal(p->connections, 1);
	assert_int_equal(p->got[1], 1);
	peer_free(p);
}

/* A message for one says nothing about how many it takes. */
static void
messages_for_one_and_for_many_share_a_connection(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 1, large(), "250 2.6.0 ");
	wait_ends(p, 1);
	submit(b, "dTI", 45, large(), "250 2.6.0 ");
	wait_ends(p, 2);
	assert_int_equal(p->got[0], 2);
	assert_int_equal(p->got[44], 1);
	assert_int_equal(p->connections, 1);
	stop(b);
	all_is_closed(b);
	peer_free(p);
}

/* 4044: what it was that a hop without BINARYMIME could not be sent as it is. */
static void
a_bare_line_end_or_a_nul_is_told(void **state)
{
	static const char nul[] = "Subject: s\r\n\r\n\0\r\n";
	struct peer *p = peer_open();

	(void)state;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 1, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
	wait_ends(p, 1);
	submit(b, "dTI", 1, "Subject: s\r\n\r\nbare\nx\r\n", "250 2.6.0 ");
	wait_ends(p, 2);
	assert_true(holds(&p->last, "bare\r\nx\r\n"));

	struct client c = connect_internal(b);
	greet(&c);
	say(&c,
			"MAIL FROM:<a@b.test> BODY=BINARYMIME "
			"XCOLLECT=contoso/dTM/pop.isp.test/192.0.2.1/POP3 XDEDUP=NO\r\n");
	expect(&c, "250 ");
	say(&c, "RCPT TO:<u0@contoso.test>\r\nBDAT 17 LAST\r\n");
	assert_true(fd_write_all(c.fd, (struct span){ nul, 17 }));
	expect(&c, "250 ");
	expect(&c, "250 2.6.0 ");
	client_close(&c);
	wait_ends(p, 3);
	stop(b);
	assert_int_equal(times_logged(b, "event=4044"), 2);
	assert_int_equal(times_logged(b, "Found: bare CR or LF."), 1);
	assert_int_equal(times_logged(b, "Found: NUL, which went out as it is."), 1);
	peer_free(p);
}

/* C04: it may have it, and who reads of it shall know. */
static void
no_answer_to_the_end_leaves_a_doubt(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->ends_silent = true;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 2, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
	struct count c = wait_count(b, 0, 2, 0);
	assert_non_null(strstr(c.reply, "(in doubt: it may have been delivered)"));
	peer_free(p);
}

static void
a_hop_that_will_not_talk_is_no_refusal(void **state)
{
	static const struct {
		const char *greeting, *reply;
	} all[] = {
		{ "554 5.3.2 not today\r\n", "not today" },
		{ "220 gw.contoso.test Postern ESMTP MAIL Service ready\r\n",
				"cannot connect to self" },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct peer *p = peer_open();

		p->greeting = all[i].greeting;
		struct bench *b = peer_bench(p);
		submit(b, "dTE", 2, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
		struct count c = wait_count(b, 0, 2, 0);
		assert_non_null(strstr(c.reply, all[i].reply));
		assert_true(logged(b, "event=3010"));
		assert_int_equal(p->mails, 0);
		peer_free(p);
	}
}

/* 7004, for who looks for it: the command and its answer, of refusals alone. */
static void
a_refusal_is_told_with_the_command(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->rcpts_most = 2;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 3, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
	wait_count(b, 3, 0, 0);
	assert_int_equal(times_logged(b, "event=7004"), 1);
	assert_int_equal(times_logged(b, "RCPT TO:<u2@contoso.test>"), 1);
	assert_true(logged(b, "452 4.5.3 too many recipients"));
	peer_free(p);
}

/* The administrator removes it, while its first transaction is under way. */
static void
remove_it(struct peer *p)
{
	static struct settle_recipient to[250];
	struct arena a = ARENA_MAX(1024 * 1024);
	struct err err = { 0 };
	struct queue_message *m = wait_open(p->b, 1, &a);
	struct settlement job = { .job = { .work = STORE_SETTLE },
		.id = m->id,
		.at_ms = clock_wall_ms(),
		.recipients = to,
		.n = 250 };
	struct list jobs;

	p->at_data = NULL;
	for (uint32_t i = 0; i < 250; i++)
		to[i] = (struct settle_recipient){ .seq = i, .state = QUEUE_REMOVED };
	struct store *s = store_open(p->b->dir,
			&(struct store_options){ .now_ms = clock_wall_ms() }, NULL,
			&err);
	assert_non_null(s);
	list_init(&jobs);
	list_add(&jobs, &job.job.link);
	store_run(s, &jobs);
	assert_int_equal(job.job.result, STORE_DONE);
	store_close(s);
	arena_done(&a);
}

static void
what_was_removed_meanwhile_is_sent_no_further(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->at_data = remove_it;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 250, large(), "250 2.6.0 ");
	wait_ends(p, 1);
	submit(b, "dTI", 1, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
	wait_ends(p, 2);
	stop(b);
	assert_int_equal(p->got[0], 2);
	assert_int_equal(p->got[1], 1);
	assert_int_equal(p->got[100], 0);
	assert_int_equal(p->quits, 1);
	assert_false(logged(b, "event=5009"));
	assert_false(logged(b, "the message is not there"));
	peer_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_message_took_is_told_with_who_took_it),
		cmocka_unit_test(a_sender_of_ascii_is_kept),
		cmocka_unit_test(a_relay_that_stops_ends_the_message_in_hand),
		cmocka_unit_test(a_hop_that_takes_three_a_connection_is_sent_three),
		cmocka_unit_test(a_hop_that_takes_one_a_connection_is_sent_one),
		cmocka_unit_test(a_hop_that_refuses_body_is_not_told_it_again),
		cmocka_unit_test(a_hop_that_hangs_up_behind_each_message_is_served),
		cmocka_unit_test(a_hop_that_takes_ten_recipients_is_sent_ten),
		cmocka_unit_test(a_hop_that_takes_no_recipient_at_all_defers_them),
		cmocka_unit_test(messages_for_one_and_for_many_share_a_connection),
		cmocka_unit_test(a_bare_line_end_or_a_nul_is_told),
		cmocka_unit_test(no_answer_to_the_end_leaves_a_doubt),
		cmocka_unit_test(a_hop_that_will_not_talk_is_no_refusal),
		cmocka_unit_test(what_was_removed_meanwhile_is_sent_no_further),
		cmocka_unit_test(a_refusal_is_told_with_the_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
