/* What a carrier says to a peer, what becomes of each recipient, and what the hop is told. */
#include "carrier.h"

static const size_t one[] = { 1, 1, 1 }, three[] = { 3, 1 };

/* ---- the beginning ---- */

static void
a_name_is_asked_for_and_not_any_more_when_it_ends(void **state)
{
	struct gate *g = *state;
	static struct hand h[1];

	carry(g, "h.test", h, one, 1);
	assert_int_equal(names.asked, 1);
	assert_null(peer.calls);
	smtp_carriers_stop(&carriers, true);
	assert_int_equal(names.cancelled, 1);
	assert_int_equal(told_hop.gone, 1);
	assert_int_equal(told_hop.end, CARRIER_DONE);
	assert_int_equal(told_hop.taken, 0);
}

static void
a_name_that_is_not_known_fails(void **state)
{
	struct gate *g = *state;
	static struct hand h[1];

	carry(g, "h.test", h, one, 1);
	names.answered(names.host, DNS_NO_NAME, NULL, 0, "no such name");
	assert_int_equal(names.cancelled, 0);
	assert_int_equal(told_hop.end, CARRIER_FAILED);
	assert_string_equal(told_hop.why.esc, "4.4.3");
	assert_int_equal(event(g, 2006, "h.test:25", "no such name", ""), 1);
}

/* ---- one message ---- */

static void
a_message_goes_and_the_hop_hears_of_it(void **state)
{
	struct gate *g = *state;
	static struct hand h[1];

	carry(g, "192.0.2.1", h, one, 1);
	meets("");
	said("MAIL FROM:<s@x.test>\r\n");
	assert_int_equal(told_hop.busy, 1);
	hears("250 ok\r\n");
	said("RCPT TO:<u0@h.test>\r\n");
	hears("250 ok\r\n");
	said("DATA\r\n");
	hears("354 go\r\n");
	said("Subject: s\r\n\r\none\r\ntwo\r\n.\r\n");
	assert_int_equal(told_hop.answered, 0);
	hears("250 2.0.0 mine\r\n");
	assert_int_equal(told_hop.answered, 1);
	assert_int_equal(told_hop.busy, 0);
	const struct settle_recipient *out = &h[0].l->results[0];
	assert_int_equal(out->state, QUEUE_DELIVERED);
	assert_true(span_eq(out->reply, SPAN("2.0.0 mine")));
	assert_true(span_eq(out->host, SPAN("192.0.2.1:25")));
	assert_int_equal(told_hop.gone, 0); /* more may come */
	peer.n = 0;
	smtp_carriers_idle_close(&carriers);
	peer.said[peer.n] = '\0';
	said("QUIT\r\n");
	hears("221 bye\r\n");
	assert_int_equal(told_hop.end, CARRIER_DONE);
	assert_int_equal(peer.freed, 1);
}

/* ---- how it ends ---- */

/* Only a session that tried and had no answer counts against the hop. */
static void
a_session_that_breaks_counts_only_where_nothing_was_answered(void **state)
{
	enum { BEFORE, TRIED, ANSWERED, STOPPING, OURS, ALL };
	struct gate *g = *state;

	for (int when = 0; when < ALL; when++) {
		static struct hand h[2];

		(void)carrier_up(state);
		g = *state;
		text.fails_at = when == OURS ? 12 : 0;
		text.event = 9005;
		carry(g, "192.0.2.1", h, one, when == BEFORE ? 0 : 2);
		meets("");
		if (when != BEFORE)
			hears("250 ok\r\n"); /* to MAIL */
		if (when == ANSWERED || when == OURS) {
			hears("250 ok\r\n");
			hears("354 go\r\n");
		}
		if (when == ANSWERED)
			hears("250 mine\r\n");
		if (when == STOPPING)
			smtp_carriers_stop(&carriers, false);
		if (told_hop.gone == 0)
			peer.calls->closed(peer.host, STREAM_RESET, "it broke");
		assert_int_equal(told_hop.gone, 1);
		assert_int_equal(told_hop.end,
				when == TRIED ? CARRIER_BROKE : CARRIER_DONE);
		if (when == TRIED) {
			assert_int_equal(h[0].l->results[0].state, QUEUE_QUEUED);
			assert_true(h[0].l->results[0].attempted);
			assert_string_equal(told_hop.why.text, "it broke");
		}
		if (when == OURS) {
			/* Its end was never said, so nobody can take it for whole. */
			assert_null(strstr(peer.said, "\r\n.\r\n"));
			assert_int_equal(h[0].l->results[0].state, QUEUE_QUEUED);
		}
		if (when + 1 < ALL)
			(void)carrier_down(state);
	}
}

/* ---- recipients ---- */

/* 452: too many at a time. Those go in a transaction of their own; but where it takes not even
 * one, that is no matter of number. */
static void
who_is_one_too_many_comes_at_once_unless_nobody_was_taken(void **state)
{
	for (int taken = 0; taken < 2; taken++) {
		struct gate *g;
		static struct hand h[2];

		(void)carrier_up(state);
		g = *state;
		carry(g, "192.0.2.1", h, three, 2);
		meets("");
		hears("250 ok\r\n");
		for (int i = 0; i < 3; i++)
			hears(i < taken ? "250 ok\r\n"
					: "452 4.5.3 too many recipients\r\n");
		if (taken) {
			said("DATA\r\n");
			hears("354 go\r\n");
			hears("250 mine\r\n");
			said("MAIL FROM:<s@x.test>\r\n"); /* for the other two */
			assert_int_equal(h[0].l->left, 2);
			hears("250 ok\r\n");
			said("RCPT TO:<u2@h.test>\r\n");
		} else {
			assert_int_equal(h[0].l->left, 0);
			for (size_t i = 0; i < 3; i++)
				assert_int_equal(
						h[0].l->results[i].state, QUEUE_QUEUED);
			/* And the next message is for as many as ever. */
			if (!strstr(peer.said, "MAIL"))
				hears("250 reset\r\n");
			said("MAIL FROM:<s@x.test>\r\n");
			hears("250 ok\r\n");
			said("RCPT TO:<u0@h.test>\r\n");
		}
		if (taken == 0)
			(void)carrier_down(state);
	}
}

/* ---- what is remembered ---- */

/* What follows a dot may have gone into the message before it: only where something did. */
static void
who_loses_count_while_pipelined_is_asked_one_by_one(void **state)
{
	for (int piped = 0; piped < 2; piped++) {
		struct gate *g;
		static struct hand h[3];

		(void)carrier_up(state);
		g = *state;
		carry(g, "192.0.2.1", h, one, piped ? 3 : 1);
		meets("PIPELINING");
		hears("250 ok\r\n250 ok\r\n354 go\r\n");
		assert_int_equal(
				strstr(peer.said, "\r\n.\r\nMAIL FROM") != NULL, piped);
		hears("what?\r\n");
		assert_int_equal(told_hop.gone, 1);
		assert_int_equal(habits.careful_until_ms > loop_now_ms(g->hub.loop),
				piped);
		if (piped == 0)
			(void)carrier_down(state);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CARRIED(a_name_is_asked_for_and_not_any_more_when_it_ends),
		CARRIED(a_name_that_is_not_known_fails),
		CARRIED(a_message_goes_and_the_hop_hears_of_it),
		cmocka_unit_test_teardown(
				a_session_that_breaks_counts_only_where_nothing_was_answered,
				carrier_down),
		cmocka_unit_test_teardown(
				who_is_one_too_many_comes_at_once_unless_nobody_was_taken,
				carrier_down),
		cmocka_unit_test_teardown(
				who_loses_count_while_pipelined_is_asked_one_by_one,
				carrier_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
