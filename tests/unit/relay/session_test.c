/* One client at a socket, and a store whose answers are the test's: what it is told, what is
 * kept of it, and what becomes of it with time. */
#include "hand.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "inbound.h"

static int about_to_end; /* what the store was told so far */
static bool space_low;
static unsigned flushes;
void __wrap_store_about_to_end(struct store *s, int change);
bool __wrap_store_space_low(struct store *s);
void __wrap_jobs_flush(struct jobs *j);

void
__wrap_store_about_to_end(struct store *s, int change)
{
	(void)s;
	about_to_end += change;
}

bool
__wrap_store_space_low(struct store *s)
{
	(void)s;
	return space_low;
}

void
__wrap_jobs_flush(struct jobs *j)
{
	(void)j;
	flushes++;
}

static struct inbound in;

/* The client's side. */
static struct {
	int fd;
	char said[64 * 1024];
	size_t n;
	bool closed;
} client;

static int
begin(void **state)
{
	struct gate *g;

	(void)set_up(state);
	g = *state;
	in = (struct inbound){ .r = &g->r };
	list_init(&in.sessions);
	list_init(&in.dirty);
	space_low = false;
	g->hurries = g->looks = 0;
	client.n = 0;
	client.closed = false;
	return 0;
}

static int
end(void **state)
{
	LIST_EACH (link, &in.sessions)
		session_free(LIST_ITEM(link, struct session, link));
	assert_int_equal(in.n + in.n_internal, 0);
	assert_int_equal(about_to_end, 0);
	(void)close(client.fd);
	return tear_down(state);
}

static void
step(void *host)
{
	loop_stop(((struct gate *)host)->r.loop);
}

/* What is ready is done, and what the client was told is read. */
static void
turn(struct gate *g)
{
	struct err err = { 0 };

	for (unsigned i = 0; i < 4; i++) {
		struct loop_timer *t = loop_timer_new(g->r.loop, step, g);

		loop_timer_set(t, 0);
		assert_true(loop_run(g->r.loop, &err));
		loop_timer_free(t);
		for (ssize_t n; (n = read(client.fd, client.said + client.n,
						 sizeof(client.said) - 1 - client.n)) >=
				0;) {
			client.n += (size_t)n;
			client.closed |= n == 0;
			if (n == 0)
				break;
		}
		client.said[client.n] = '\0';
	}
}

static struct session *
session(struct gate *g, const char *ip, bool internal)
{
	struct loop_peer peer = { .uid = geteuid() };
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
					 0, fd),
			0);
	client.fd = fd[1];
	assert_true(net_addr_parse(span_of(ip), 25, &peer.addr));
	struct session *s = session_new(&in, fd[0], &peer, internal);
	assert_true(session_settle(s));
	turn(g);
	return s;
}

static void
say(struct gate *g, const char *words)
{
	client.n = 0;
	assert_int_equal(
			write(client.fd, words, strlen(words)), (ssize_t)strlen(words));
	turn(g);
}

static void
told_client(const char *words)
{
	if (!strstr(client.said, words))
		fail_msg("\"%s\" is not in \"%s\"", words, client.said);
}

/* It has read that it is over, and goes. */
static void
hangs_up(struct gate *g)
{
	assert_true(client.closed);
	assert_int_equal(shutdown(client.fd, SHUT_RDWR), 0);
	turn(g);
	assert_int_equal(in.n, 0);
}

/* The oldest message that went to the store comes back. */
static void
store_says(struct gate *g, enum store_result result)
{
	assert_false(list_empty(&handed));
	struct store_job *job = LIST_ITEM(handed.next, struct store_job, link);

	list_del(&job->link);
	job->result = result;
	client.n = 0;
	client.said[0] = '\0';
	g->hurries = 0;
	job->done(job->host, job);
	assert_int_equal(g->hurries, result == STORE_FULL); /* to be told soon */
	assert_true(client.n == 0); /* with those of its batch */
	inbound_flush(&in);
	turn(g);
}

static void
greet(struct gate *g)
{
	say(g, "EHLO pc.test\r\n");
	told_client("250");
}

static void
send_one(struct gate *g)
{
	say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nDATA\r\n");
	told_client("\r\n354 ");
	assert_int_equal(about_to_end, 1);
	say(g, "Subject: s\r\n\r\nx\r\n.\r\n");
}

/* ---- who it is ---- */

static void
each_is_known_by_its_address(void **state)
{
	static const struct conf_cidr net = {
		.address = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0 },
		.bits = 120
	};
	struct gate *g = *state;

	g->conf->smtp.relay_from = (struct conf_cidrs){ &net, 1 };
	int64_t before = loop_now_ms(g->r.loop);
	struct session *s = session(g, "192.0.2.7", false);
	assert_string_equal(s->ip, "192.0.2.7");
	assert_true(s->may_relay);
	assert_false(s->internal);
	assert_in_range(s->stamp_ms, before, loop_now_ms(g->r.loop));
	assert_true(s->stamp_ms > 0);
	assert_int_equal(in.n, 1);
	assert_int_equal(in.n_internal, 0);
	assert_int_equal(g->hurries, 1);
	told_client("220 gw.contoso.test ");
	greet(g);
	told_client("192.0.2.7");
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
	assert_null(strstr(client.said, "SIZE 1"));
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
		assert_int_equal(g->r.receiving, 0);
		assert_true(g->r.pending > 0);
		assert_int_equal(s->messages, i + 1);
		assert_null(s->mail);
		assert_false(list_empty(&s->waiting));
		store_says(g, answers[i].result);
		told_client(answers[i].words);
		assert_int_equal(g->r.pending, 0);
		assert_true(list_empty(&s->waiting));
		assert_true(list_empty(&in.dirty));
	}
	say(g, "QUIT\r\n");
	told_client("221 ");
	hangs_up(g);
	assert_true(g->looks > 0);
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
	assert_int_equal(g->r.receiving, 0);
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
	assert_int_equal(g->r.receiving, 0);
	assert_int_equal(about_to_end, 0);
	struct store_job *job = LIST_ITEM(handed.next, struct store_job, link);
	list_del(&job->link);
	job->result = STORE_DONE;
	job->done(job->host, job);
	assert_int_equal(g->r.pending, 0);
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
	assert_true(g->r.receiving > 0 && s->mail);
	assert_int_equal(shutdown(client.fd, SHUT_RDWR), 0);
	g->looks = 0;
	turn(g);
	assert_int_equal(in.n, 0);
	assert_true(g->looks > 0);
	assert_int_equal(g->r.receiving + g->r.pending, 0);
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

	in.stopping = true;
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
	assert_int_equal(g->r.receiving + g->r.pending, 0);

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

/* ---- memory ---- */

static void
nobody_is_read_while_too_much_waits(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);

	greet(g);
	g->r.pending = PENDING_MAX;
	send_one(g);
	assert_true(in.full);
	say(g, "NOOP\r\n");
	assert_int_equal(client.n, 0);
	assert_true(s->paused);
	/* Still too much. */
	store_says(g, STORE_DONE);
	told_client("250 2.6.0 ");
	assert_true(in.full && s->paused);
	g->r.pending = PENDING_MAX / 2;
	inbound_flush(&in);
	assert_true(in.full && s->paused);
	g->r.pending = PENDING_MAX / 2 - 1;
	client.n = 0;
	inbound_flush(&in);
	assert_false(in.full || s->paused);
	turn(g);
	told_client("250 2.0.0 ");
	g->r.pending = 0;
	send_one(g);
	assert_false(in.full); /* far from it */
	store_says(g, STORE_DONE);
}

/* ---- time ---- */

static void
time_is_up_for_idlers_alone(void **state)
{
	struct gate *g = *state;

	g->conf->smtp.limits.idle_s = 10;
	for (unsigned way = 0; way < 9; way++) {
		forget(g);
		client.n = 0;
		client.closed = false;
		in.full = false;
		g->looks = 0;
		struct session *s = session(g, "192.0.2.7", way == 1);
		greet(g);
		if (way >= 3 && way <= 5)
			say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nDATA\r\n"),
					say(g, "Subject: ");
		if (way == 6)
			send_one(g);
		s->moved = 0;
		int64_t then = s->stamp_ms, now = then + 10 * 1000;
		/* way 0: idle; 1: our own; 2: a little less than it may; 3: idle in a body;
		 * 4: its body moves slowly, 5: just fast enough; 6: the store has its mail;
		 * 7: we do not read it; 8: it does not read us. */
		s->in->r->conf = g->conf;
		if (way == 2)
			now--;
		if (way == 4 || way == 5)
			s->moved = 5000 - (way == 4);
		if (way == 7 || way == 8)
			s->paused = true;
		s->clogged = way == 8;
		session_tick(s, now);
		const bool over = way == 0 || way == 3 || way == 4 || way == 8;
		turn(g);
		assert_int_equal(client.closed, over);
		if (over)
			hangs_up(g);
		assert_int_equal(in.n, !over);
		assert_int_equal(strstr(client.said, "421 4.4.2 ") != NULL,
				over && way != 8);
		assert_int_equal(event(g, 4051, "192.0.2.7", "", ""),
				way == 3 || way == 4);
		if (way == 8)
			assert_true(g->looks > 0);
		if (!over) {
			/* Its time begins anew where it is no idler. */
			assert_int_equal(s->stamp_ms, way >= 5 ? now : then);
			if (way == 5)
				assert_int_equal(s->moved, 0);
			if (way == 6)
				store_says(g, STORE_DONE);
			session_free(s);
		}
		(void)close(client.fd);
	}
	/* No limit. */
	g->conf->smtp.limits.idle_s = 0;
	client.n = 0;
	client.closed = false;
	struct session *s = session(g, "192.0.2.7", false);
	session_tick(s, s->stamp_ms + 1000000);
	turn(g);
	assert_false(client.closed);
}

/* A commit waits a moment for who is about to end, and no longer. */
static void
who_takes_his_time_is_not_waited_for(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);

	greet(g);
	say(g, "MAIL FROM:<a@x.test>\r\n");
	assert_int_equal(about_to_end, 1);
	session_tick(s, s->mail->began_ms + 200);
	assert_int_equal(about_to_end, 1);
	session_tick(s, s->mail->began_ms + 201);
	assert_int_equal(about_to_end, 0);
	session_tick(s, s->mail->began_ms + 400);
	assert_int_equal(about_to_end, 0);
}

/* Whatever happens at a session, its time begins anew, but for a body: that counts octets. */
static void
what_is_said_counts_as_life(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);
	static const char *const words[] = { "EHLO pc.test\r\n", "NOOP\r\n",
		"MAIL FROM:<a@x.test>\r\n", "RCPT TO:<u@contoso.test>\r\n",
		"DATA\r\n" };

	for (size_t i = 0; i < 5; i++) {
		s->stamp_ms = 0;
		say(g, words[i]);
		assert_true(s->stamp_ms > 0);
	}
	s->stamp_ms = 0;
	s->moved = 0;
	say(g, "Subject: 12345\r\n");
	assert_int_equal(s->stamp_ms, 0);
	assert_int_equal(s->moved, 16);
	assert_true(s->in_body);
	say(g, "\r\n.\r\n");
	assert_true(s->stamp_ms > 0);
	assert_false(s->in_body);
	store_says(g, STORE_DONE);
}

/* ---- the end ---- */

static void
who_is_here_at_the_end_is_told(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);

	greet(g);
	send_one(g);
	assert_false(inbound_quiet(&in));
	assert_int_equal(inbound_sessions(&in), 1);
	assert_int_equal(inbound_internal(&in), 0);
	client.n = 0;
	inbound_stop(&in);
	turn(g);
	assert_int_equal(client.n, 0); /* what is in hand is answered first */
	assert_false(s->closing);
	store_says(g, STORE_DONE);
	told_client("250 2.6.0 ");
	told_client("421 4.3.2 ");
	assert_true(inbound_quiet(&in));
	turn(g);
	hangs_up(g);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(each_is_known_by_its_address),
		TEST(each_result_is_told_when_the_store_is_done),
		TEST(answers_keep_their_order),
		TEST(a_client_that_goes_leaves_what_it_sent),
		TEST(who_goes_in_the_middle_leaves_nothing),
		TEST(who_has_closed_its_side_is_answered),
		TEST(who_is_refused_is_told_in_the_log),
		TEST(no_transaction_begins_where_it_could_not_end),
		TEST(what_is_refused_at_its_end_leaves_nothing),
		TEST(too_many_errors_end_it),
		TEST(a_route_is_part_of_the_message),
		TEST(nobody_is_read_while_too_much_waits),
		TEST(time_is_up_for_idlers_alone),
		TEST(who_takes_his_time_is_not_waited_for),
		TEST(what_is_said_counts_as_life),
		TEST(who_is_here_at_the_end_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
