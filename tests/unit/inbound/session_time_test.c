/* A session that has to wait, or to go: for memory, for time, and at the end. */
#include "at_socket.h"

#include "pickups.h"

/* ---- memory ---- */

static void
nobody_is_read_while_too_much_waits(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);

	greet(g);
	g->in->pending = PENDING_MAX;
	send_one(g);
	assert_true(in.full);
	say(g, "NOOP\r\n");
	assert_int_equal(client.n, 0);
	assert_true(s->paused);
	/* Still too much. */
	store_says(g, STORE_DONE);
	told_client("250 2.6.0 ");
	assert_true(in.full && s->paused);
	g->in->pending = PENDING_MAX / 2;
	inbound_flush(&in);
	assert_true(in.full && s->paused);
	g->in->pending = PENDING_MAX / 2 - 1;
	client.n = 0;
	inbound_flush(&in);
	assert_false(in.full || s->paused);
	turn(g);
	told_client("250 2.0.0 ");
	g->in->pending = 0;
	send_one(g);
	assert_false(in.full); /* far from it */
	store_says(g, STORE_DONE);
}

/* It does not read what it is told: so nothing more is read of it, and all is answered. */
static void
who_does_not_read_is_not_read(void **state)
{
	enum { MANY = 20000 };
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);
	static char words[6 * MANY + 1];
	size_t sent = 0, answers = 0;
	const int small = 4096;

	greet(g);
	assert_int_equal(setsockopt(client.other, SOL_SOCKET, SO_SNDBUF, &small,
					 sizeof(small)),
			0);
	stream_set_out_max(s->stream, 100 * 1024);
	for (size_t i = 0; i < MANY; i++)
		memcpy(words + 6 * i, "NOOP\r\n", 6);
	for (unsigned i = 0; i < 100 && sent < 6 * MANY; i++) {
		ssize_t n = write(client.fd, words + sent, 6 * MANY - sent);

		sent += n > 0 ? (size_t)n : 0;
		gate_turn(g, 0);
	}
	assert_true(s->clogged && s->paused);
	session_resume(s);
	assert_true(s->paused);
	inbound_flush(&in);
	assert_true(s->clogged && s->paused);
	sent -= sent % 6;
	for (unsigned i = 0; i < 5000 && answers < sent / 6; i++) {
		client.n = 0;
		if (i == 0) /* it says no more, meanwhile */
			assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
		turn(g);
		for (const char *at = client.said; (at = strstr(at, "\r\n")); at++)
			answers++;
	}
	assert_int_equal(answers, sent / 6);
	turn(g);
	hangs_up(g);
}

static void
it_is_read_again_when_nothing_forbids_it(void **state)
{
	struct gate *g = *state;
	struct session *s = session(g, "192.0.2.7", false);

	greet(g);
	for (unsigned bits = 0; bits < 8; bits++) {
		s->paused = bits & 1;
		s->clogged = bits & 2;
		in.full = bits & 4;
		s->stamp_ms = 0;
		session_resume(s);
		assert_int_equal(s->paused, (bits & 1) && bits != 1);
		assert_int_equal(s->stamp_ms > 0, bits == 1);
	}
	s->paused = s->clogged = in.full = false;
}

/* Exactly as much as may wait is not too much. */
static void
as_much_as_may_wait_waits(void **state)
{
	struct gate *g = *state;

	(void)session(g, "192.0.2.7", false);
	greet(g);
	send_one(g);
	size_t weight = g->in->pending;
	store_says(g, STORE_DONE);
	for (unsigned more = 0; more < 2; more++) {
		g->in->pending = PENDING_MAX - weight + more;
		send_one(g);
		assert_int_equal(in.full, more);
		store_says(g, STORE_DONE);
	}
	in.full = false;
	g->in->pending = 0;
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
		if (way >= 3 && way <= 5) {
			say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nDATA\r\n");
			say(g, "Subject: ");
		}
		if (way == 6)
			send_one(g);
		s->moved = 0;
		int64_t then = s->stamp_ms, now = then + 10 * 1000;
		/* way 0: idle; 1: our own; 2: a little less than it may; 3: idle in a body;
		 * 4: its body moves slowly, 5: just fast enough; 6: the store has its mail;
		 * 7: we do not read it; 8: it does not read us. */
		s->in->hub->conf = g->conf;
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
	/* No time has passed: what was moved counts for the next look. */
	g->conf->smtp.limits.idle_s = 10;
	client.n = 0;
	struct session *young = session(g, "192.0.2.7", false);
	young->moved = 100;
	session_tick(young, young->stamp_ms);
	assert_int_equal(young->moved, 100);
	session_free(young);
	(void)close(client.fd);

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
	struct pickups nothing = { .in = &in, .passed = true };

	in.pickups = &nothing;
	greet(g);
	send_one(g);
	assert_false(inbound_quiet(&in));
	assert_int_equal(inbound_sessions(&in), 1);
	assert_int_equal(inbound_internal(&in), 0);
	client.n = 0;
	g->hub.stopping = true;
	inbound_stop(&in);
	assert_int_equal(nothing.leaving, 1);
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
	const struct CMUnitTest tests[] = {
		IN_SESSION(nobody_is_read_while_too_much_waits),
		IN_SESSION(who_does_not_read_is_not_read),
		IN_SESSION(it_is_read_again_when_nothing_forbids_it),
		IN_SESSION(as_much_as_may_wait_waits),
		IN_SESSION(time_is_up_for_idlers_alone),
		IN_SESSION(who_takes_his_time_is_not_waited_for),
		IN_SESSION(what_is_said_counts_as_life),
		IN_SESSION(who_is_here_at_the_end_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
