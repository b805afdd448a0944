/* Whole sessions between a provider that misbehaves on request and a relay with
 * the real receiving engine and store: nothing lost, nothing twice. */
#include "world.h"

static void
test_collects_and_deletes(void **state)
{
	struct world *w = *state;

	put_some(w, 3);
	struct fetch_result r = poll_once(w);
	assert_false(r.failed);
	assert_int_equal(r.listed, 3);
	assert_int_equal(r.collected, 3);
	assert_int_equal(r.deleted, 3);
	assert_int_equal(r.recipients, 3);
	assert_int_equal(provider_left(&w->provider), 0);
	check_all_here_once(w, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(w->relay.got[i].recipients, "ann@contoso.test");
		assert_true(span_eq(below_ours(w, i, "to-cc; rule=E1.5"),
				buf_span(&w->provider.mails[i].data)));
	}
	assert_true(logged(w, "event=4001") && logged(w, "event=2003") &&
			logged(w, "event=4022"));
	r = poll_once(w);
	assert_int_equal(r.listed, 0);
	assert_false(r.failed);
}

static void
test_bytes_are_the_same(void **state)
{
	static const struct span mails[] = {
		{ SPAN_INIT("To: ann@contoso.test\r\n\r\nlf\n.\nstays\r\n") },
		{ SPAN_INIT("To: ann@contoso.test\r\n\r\nn\0ul\r\n\0\r\n") },
		{ SPAN_INIT("To: ann@contoso.test\r\n\r\ncr\rone\r.\r\r\n") },
		{ SPAN_INIT("To: ann@contoso.test\r\n\r\n.\r\n..\r\n...\r\n\r\n.\r\n") },
		{ SPAN_INIT("To: ann@contoso.test\r\n") },
		{ SPAN_INIT("\xff\xfe no header ann@contoso.test\r\n") },
		{ SPAN_INIT("\r\nbody only\r\n") },
	};
	struct world *w = *state;
	const size_t n = sizeof(mails) / sizeof(mails[0]);

	for (size_t i = 0; i < n; i++) {
		char uid[32];
		(void)snprintf(uid, sizeof(uid), "u%zu", i);
		provider_put(&w->provider, uid, mails[i]);
	}
	struct fetch_result r = poll_once(w);
	assert_false(r.failed);
	check_all_here_once(w, n);
	for (size_t i = 0; i < n; i++) {
		struct span got = below_ours(w, i,
				i < 5 ? "to-cc; rule=E1.5"
				      : "none; reason=no-recipients");
		assert_int_equal(got.n, mails[i].n);
		assert_memory_equal(got.p, mails[i].p, got.n);
	}
}

static void
test_large_header_and_body(void **state)
{
	struct world *w = *state;
	struct buf text = BUF_MAX(32 * 1024 * 1024);

	assert_true(buf_add(&text, SPAN("To: ann@contoso.test\r\n")));
	for (int i = 0; i < 40000; i++)
		assert_true(buf_addf(&text, "X-Filler-%d: %070d\r\n", i, i));
	assert_true(buf_add(&text, SPAN("\r\n")));
	for (int i = 0; i < 100000; i++)
		assert_true(buf_addf(&text, ".%d%s\r\n", i, i % 7 ? "" : "\r"));
	provider_put(&w->provider, "large", buf_span(&text));
	put_some(w, 1);
	struct fetch_result r = poll_once(w);
	assert_false(r.failed);
	check_all_here_once(w, 2);
	struct span got = below_ours(w, 0, "to-cc; rule=E1.5");
	assert_int_equal(got.n, text.n);
	assert_memory_equal(got.p, text.p, text.n);
	assert_string_equal(w->relay.got[0].recipients, "ann@contoso.test");
	buf_done(&text);
}

/* The session is cut after every octet in turn; then the server behaves. */
static void
cut_at_every_octet(struct world *w, const char *caps)
{
	size_t total = 3;
	long length;

	w->provider.caps = caps;
	put_some(w, 3);
	(void)poll_once(w);
	length = w->provider.sent;
	assert_true(length > 250 && length < 1300);
	for (long cut = 0; cut <= length; cut++) {
		put_some(w, 3);
		total += 3;
		w->provider.cut_at = cut;
		struct fetch_result r = poll_once(w);
		/* Whatever is gone there is here. */
		assert_true(provider_left(&w->provider) + w->relay.n >= total);
		if (provider_left(&w->provider) > 0)
			assert_true(r.failed);
		w->provider.cut_at = -1;
		r = poll_once(w);
		assert_false(r.failed);
		assert_int_equal(provider_left(&w->provider), 0);
		assert_int_equal(w->relay.n, total);
		assert_int_equal(w->relay.had, 0);
	}
	check_all_here_once(w, total);
}

static void
test_cut_at_every_octet(void **state)
{
	cut_at_every_octet(*state, "UIDL\r\nPIPELINING\r\nUSER\r\n");
}

static void
test_cut_at_every_octet_one_by_one(void **state)
{
	cut_at_every_octet(*state, "UIDL\r\nUSER\r\n");
}

/* A server that says nothing more at one place is left when its time is over. */
static void
test_silence_ends(void **state)
{
	static const struct {
		const char *verb;
		int event;
	} rows[] = {
		{ "CAPA", 4005 },
		{ "USER", 4005 },
		{ "PASS", 4005 },
		{ "LIST", 4005 },
		{ "UIDL", 4005 },
		{ "RETR 2", 4005 },
		{ "DELE 2", 4005 },
		{ "QUIT", 4015 },
	};
	const size_t n = sizeof(rows) / sizeof(rows[0]);
	struct world *w = *state;

	w->limits = (struct fetch_limits){ 100, 100, 60000, 60000 };
	for (size_t i = 0; i < 2 * n; i++) {
		int64_t began = clock_mono_ms();

		w->provider.caps = i < n ? "UIDL\r\nUSER\r\n"
					 : "UIDL\r\nPIPELINING\r\nUSER\r\n";
		put_some(w, 3);
		w->provider.verb = rows[i % n].verb;
		w->provider.reply = NULL;
		struct fetch_result r = poll_once(w);
		assert_true(r.failed);
		/* Where QUIT went out behind it, its answer is what is missing. */
		if (i < n || strcmp(rows[i % n].verb, "DELE 2") != 0)
			assert_int_equal(r.error.event, rows[i % n].event);
		else
			assert_int_equal(r.error.event, 4015);
		assert_true(clock_mono_ms() - began < 5000);
		w->provider.verb = NULL;
		assert_false(poll_once(w).failed);
		assert_int_equal(provider_left(&w->provider), 0);
	}
	w->provider.greeting = "";
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.error.event, 4002);
	check_all_here_once(w, 6 * n);
}

/* P08: an octet now and then keeps no worker. */
static void
test_drip_ends(void **state)
{
	struct world *w = *state;
	int64_t began = clock_mono_ms();

	put_some(w, 3);
	w->limits = (struct fetch_limits){ 5000, 5000, 300, 60000 };
	w->provider.drip_us = 5000;
	struct fetch_result r = poll_once(w);
	assert_true(r.failed);
	assert_non_null(strstr(r.error.text, "less than 1 KB/s"));
	assert_true(clock_mono_ms() - began < 5000);
	w->provider.greeting =
			"+OK this goes on and on and on and on and on and on and on and on\r\n";
	r = poll_once(w);
	assert_int_equal(r.error.event, 4002);
	assert_non_null(strstr(r.error.text, "less than 1 KB/s"));
	w->provider.drip_us = 0;
	assert_false(poll_once(w).failed);
	check_all_here_once(w, 3);
}

/* One that thinks before each answer is slow but honest. */
static void
test_late_answers_are_waited_for(void **state)
{
	struct world *w = *state;

	w->provider.caps = "UIDL\r\nUSER\r\n";
	put_some(w, 30);
	w->limits = (struct fetch_limits){ 5000, 5000, 100, 60000 };
	w->provider.pause_us = 10000;
	struct fetch_result r = poll_once(w);
	assert_false(r.failed);
	assert_int_equal(r.deleted, 30);
	check_all_here_once(w, 30);
}

/* ... but not for ever: it ends in order, with QUIT, and another poll goes on. */
static void
test_late_answers_end_in_order(void **state)
{
	struct world *w = *state;

	w->provider.caps = "UIDL\r\nUSER\r\n";
	put_some(w, 20);
	w->account.max_per_session = 12;
	w->limits = (struct fetch_limits){ 5000, 5000, 60000, 1500 };
	w->provider.pause_us = 150000;
	struct fetch_result r = poll_once(w);
	assert_false(r.failed);
	assert_int_equal(w->provider.sessions, 1);
	assert_true(r.collected > 0 && r.collected < 12);
	assert_true(r.deleted > 0 && r.deleted <= r.collected);
	w->provider.pause_us = 0;
	assert_false(poll_once(w).failed);
	assert_int_equal(provider_left(&w->provider), 0);
	check_all_here_once(w, 20);
}

static void
test_one_message_is_not_to_be_had(void **state)
{
	struct world *w = *state;

	put_some(w, 5);
	w->provider.verb = "RETR 3";
	w->provider.reply = "-ERR [SYS/TEMP] not now\r\n";
	struct fetch_result r = poll_once(w);
	assert_false(r.failed);
	assert_int_equal(r.collected, 4);
	assert_int_equal(r.failures, 1);
	assert_int_equal(provider_left(&w->provider), 1);
	assert_true(logged(w, "event=4011"));
}

static void
test_out_of_step(void **state)
{
	static const char *const replies[] = { "what?\r\n", "\r\n", "+OKAY\r\n",
		"+OK\n" };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		put_some(w, 3);
		w->provider.verb = "RETR 2";
		w->provider.reply = replies[i];
		struct fetch_result r = poll_once(w);
		assert_true(r.failed);
		assert_int_equal(r.error.event, 4005);
		assert_int_equal(provider_left(&w->provider), 3);
		w->provider.verb = NULL;
		r = poll_once(w);
		assert_int_equal(provider_left(&w->provider), 0);
		check_all_here_once(w, 3 * (i + 1));
	}
}

static void
test_empty_answer_is_not_a_message(void **state)
{
	struct world *w = *state;

	put_some(w, 2);
	w->provider.verb = "RETR 1";
	w->provider.reply = "+OK\r\n.\r\n";
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.collected, 1);
	assert_int_equal(provider_left(&w->provider), 1);
}

static void
test_quit_unconfirmed(void **state)
{
	struct world *w = *state;

	put_some(w, 4);
	w->provider.verb = "QUIT";
	w->provider.reply = "-ERR some deleted messages not removed\r\n";
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.error.event, 4015);
	assert_int_equal(r.deleted, 0);
	assert_true(logged(w, "event=4015"));
	w->provider.verb = NULL;
	w->provider.retrieved = 0;
	r = poll_once(w);
	assert_false(r.failed);
	assert_int_equal(w->provider.retrieved, 0);
	assert_int_equal(provider_left(&w->provider), 0);
	check_all_here_once(w, 4);
}

static void
test_dele_refused_for_one(void **state)
{
	struct world *w = *state;

	put_some(w, 3);
	w->provider.verb = "DELE 2";
	w->provider.reply = "-ERR no\r\n";
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.deleted, 2);
	assert_int_equal(provider_left(&w->provider), 1);
	check_all_here_once(w, 3);
}

static void
test_unique_ids_refused_for_now(void **state)
{
	struct world *w = *state;

	put_some(w, 2);
	w->provider.no_uidl = true;
	struct fetch_result r = poll_once(w);
	assert_true(r.failed);
	assert_int_equal(provider_left(&w->provider), 2);
	assert_int_equal(w->relay.n, 0);
}

static void
test_without_unique_ids_content_tells(void **state)
{
	struct world *w = *state;

	put_some(w, 3);
	w->provider.no_uidl = true;
	w->provider.caps = "PIPELINING\r\n";
	w->account.keep_s = CONF_KEEP_FOREVER;
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.collected, 3);
	assert_int_equal(provider_left(&w->provider), 3);
	assert_true(logged(w, "event=4008"));
	r = poll_once(w);
	assert_int_equal(r.collected, 0);
	assert_int_equal(r.known, 3);
	w->account.keep_s = 0;
	r = poll_once(w);
	assert_int_equal(provider_left(&w->provider), 0);
	check_all_here_once(w, 3);
}

static void
test_kept_messages_stay_and_come_once(void **state)
{
	struct world *w = *state;

	put_some(w, 3);
	w->account.keep_s = 7 * 24 * 3600;
	assert_int_equal(poll_once(w).collected, 3);
	w->provider.retrieved = 0;
	assert_int_equal(poll_once(w).collected, 0);
	assert_int_equal(w->provider.retrieved, 0);
	assert_int_equal(provider_left(&w->provider), 3);
}

/* What is out of step is not believed, whatever the server did of it: what it deleted
 * is here, what is left is deleted by the next session without being asked for again. */
static void
test_nonsense_to_dele(void **state)
{
	struct world *w = *state;

	for (int pipelining = 0; pipelining < 2; pipelining++) {
		w->provider.caps = pipelining ? "UIDL\r\nPIPELINING\r\nUSER\r\n"
					      : "UIDL\r\nUSER\r\n";
		put_some(w, 3);
		w->provider.verb = "DELE 2";
		w->provider.reply = "what?\r\n";
		struct fetch_result r = poll_once(w);
		assert_int_equal(r.error.event, 4005);
		assert_int_equal(r.deleted, 0);
		assert_true(logged(w, "event=4015"));
		/* QUIT went out with the commands where they are pipelined. */
		assert_int_equal(provider_left(&w->provider), pipelining ? 1 : 3);
		w->provider.verb = NULL;
		w->provider.retrieved = 0;
		assert_false(poll_once(w).failed);
		assert_int_equal(w->provider.retrieved, 0);
		assert_int_equal(provider_left(&w->provider), 0);
	}
	check_all_here_once(w, 6);
}

static void
test_greetings(void **state)
{
	enum { LONG = 1000000 };
	struct world *w = *state;
	static char endless[LONG]; /* the server may still read it afterwards */

	memset(endless, 'x', LONG);
	memcpy(endless, "+OK ", 4);
	memcpy(endless + LONG - 3, "\r\n", 3);
	const struct {
		const char *greeting;
		int event;
	} rows[] = {
		{ "-ERR busy\r\n", 4002 },
		{ "HTTP/1.1 200 OK\r\n\r\n", 4002 },
		{ "+OK 2 messages\r\n+OK\r\n1 120\r\n.\r\n", 4005 },
		{ endless, 4002 },
	};
	put_some(w, 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		w->provider.greeting = rows[i].greeting;
		struct fetch_result r = poll_once(w);
		assert_true(r.failed);
		assert_int_equal(r.error.event, rows[i].event);
	}
}

static void
test_relay_refuses_a_large_message_early(void **state)
{
	struct world *w = *state;
	struct buf text = BUF_MAX(4 * 1024 * 1024);

	assert_true(buf_add(&text, SPAN("To: ann@contoso.test\r\n\r\n")));
	for (int i = 0; i < 30000; i++)
		assert_true(buf_addf(&text, "%098d\r\n", i));
	provider_put(&w->provider, "large", buf_span(&text));
	w->relay.busy = true;
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.error.event, 4024);
	assert_int_equal(provider_left(&w->provider), 1);
	w->relay.busy = false;
	assert_int_equal(poll_once(w).collected, 1);
	buf_done(&text);
}

static void
test_account_is_suspended_before_the_provider_locks_it(void **state)
{
	struct world *w = *state;
	struct fetch_pool *pool = new_pool(w);

	w->provider.verb = "PASS";
	w->provider.reply = "-ERR [AUTH] no\r\n";
	for (int i = 0; i < 5; i++) {
		assert_false(logged(w, "event=4019"));
		(void)poll_by(w, pool);
	}
	assert_true(logged(w, "event=4019"));
	fetch_pool_free(pool);
}

/* A server whose answers were out of step is asked one by one from then on. */
static void
test_out_of_step_is_remembered(void **state)
{
	struct world *w = *state;
	struct fetch_pool *pool = new_pool(w);

	put_some(w, 20);
	w->provider.verb = "RETR 5";
	w->provider.reply = "what?\r\n";
	assert_true(poll_by(w, pool).failed);
	assert_true(w->provider.ahead > 0);
	w->provider.verb = NULL;
	w->provider.ahead = 0;
	struct fetch_result r = poll_by(w, pool);
	assert_false(r.failed);
	assert_int_equal(w->provider.ahead, 0);
	check_all_here_once(w, 20);
	fetch_pool_free(pool);
}

static void
test_endless_capabilities(void **state)
{
	struct world *w = *state;
	static char reply[1024] =
			"+OK\r\n"; /* the server may still read it afterwards */
	size_t n = strlen(reply);

	for (int i = 0; i < 101; i++)
		n += (size_t)snprintf(reply + n, sizeof(reply) - n, "X-%d\r\n", i);
	(void)snprintf(reply + n, sizeof(reply) - n, ".\r\n");
	w->provider.verb = "CAPA";
	w->provider.reply = reply;
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.error.event, 4005);
}

/* The connection ends inside a large message; those before it count. */
static void
test_cut_in_a_large_message(void **state)
{
	struct world *w = *state;
	struct buf text = BUF_MAX(4 * 1024 * 1024);

	assert_true(buf_add(&text, SPAN("To: ann@contoso.test\r\n\r\n")));
	for (int i = 0; i < 5000; i++)
		assert_true(buf_addf(&text, "%098d\r\n", i));
	put_some(w, 50);
	provider_put(&w->provider, "large", buf_span(&text));
	w->provider.cut_at = 300000;
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.error.event, 4005);
	assert_int_equal(r.collected, 50);
	assert_int_equal(r.failures, 1);
	assert_true(logged(w, "event=4013"));
	w->provider.cut_at = -1;
	assert_int_equal(poll_once(w).collected, 1);
	assert_int_equal(provider_left(&w->provider), 0);
	check_all_here_once(w, 51);
	buf_done(&text);
}

/* Deleted there with QUIT confirmed, and listed again: the deletion came undone. */
static void
test_message_that_came_back_is_deleted_again(void **state)
{
	struct world *w = *state;

	put_some(w, 2);
	assert_int_equal(poll_once(w).deleted, 2);
	relay_stub_settle(&w->relay, "contoso", "uid-00001");
	w->provider.mails[0].gone = false;
	struct fetch_result r = poll_once(w);
	assert_false(r.failed);
	assert_int_equal(r.collected, 0);
	assert_int_equal(r.known, 1);
	assert_int_equal(provider_left(&w->provider), 0);
	check_all_here_once(w, 2);
}

/* The server gave the unique-id of a deleted message to another one (P02). */
static void
test_reused_unique_id_loses_nothing(void **state)
{
	struct world *w = *state;

	put_some(w, 1);
	assert_int_equal(poll_once(w).deleted, 1);
	relay_stub_settle(&w->relay, "contoso", "uid-00001");
	provider_put(&w->provider, "uid-00001",
			SPAN("To: ann@contoso.test\r\nMessage-ID: <other@x.test>\r\n\r\nother\r\n"));
	struct fetch_result r = poll_once(w);
	assert_false(r.failed);
	assert_int_equal(r.collected, 1);
	assert_int_equal(provider_left(&w->provider), 0);
	check_all_here_once(w, 2);
}

static void
test_never_pipelines_unasked(void **state)
{
	static const char *const caps[] = { "UIDL\r\n", NULL };
	struct world *w = *state;

	for (size_t i = 0; i < 2; i++) {
		put_some(w, 50);
		w->provider.caps = caps[i];
		struct fetch_result r = poll_once(w);
		assert_int_equal(r.collected, 50);
		assert_int_equal(w->provider.ahead, 0);
	}
}

static void
test_sessions_end_at_their_limit(void **state)
{
	struct world *w = *state;

	put_some(w, 25);
	w->account.max_per_session = 10;
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.collected, 25);
	assert_int_equal(r.listed, 25);
	assert_int_equal(w->provider.sessions, 3);
	assert_int_equal(provider_left(&w->provider), 0);
}

static void
test_relay_puts_off(void **state)
{
	struct world *w = *state;

	put_some(w, 20);
	w->relay.put_off = 7;
	struct fetch_result r = poll_once(w);
	assert_true(r.failed);
	assert_int_equal(r.error.event, 4024);
	assert_int_equal(provider_left(&w->provider), 20);
	w->relay.put_off = 0;
	r = poll_once(w);
	assert_false(r.failed);
	assert_int_equal(provider_left(&w->provider), 0);
	check_all_here_once(w, 20);
}

static void
test_refused_recipient_is_told_at_once(void **state)
{
	struct world *w = *state;

	w->domains[0] = "fabrikam.test"; /* which the relay does not take */
	put(w, "To: bob@fabrikam.test\r\n\r\nx\r\n");
	struct fetch_result r = poll_once(w);
	assert_false(r.failed);
	assert_int_equal(r.collected, 1);
	assert_int_equal(r.refused, 1);
	assert_true(logged(w, "event=4032") && logged(w, "event=4022"));
	assert_true(logged(w, "NDR Status Code: 504") &&
			logged(w, "<C>: RCPT TO:<bob@"));
	assert_int_equal(provider_left(&w->provider), 0);
	check_all_here_once(w, 1);
}

static void
test_too_large_is_left(void **state)
{
	struct world *w = *state;
	struct buf text = BUF_MAX(1024 * 1024);

	assert_true(buf_add(&text, SPAN("To: ann@contoso.test\r\n\r\n")));
	for (int i = 0; i < 1000; i++)
		assert_true(buf_addf(&text, "%098d\r\n", i));
	provider_put(&w->provider, "large", buf_span(&text));
	put_some(w, 1);
	w->account.max_size = 64 * 1024;
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.skipped, 1);
	assert_int_equal(r.collected, 1);
	assert_int_equal(provider_left(&w->provider), 1);
	assert_true(logged(w, "event=4010"));
	buf_done(&text);
}

static void
test_password_refused(void **state)
{
	static const struct {
		const char *reply;
		int event;
	} rows[] = {
		{ "-ERR [AUTH] wrong\r\n", 4003 },
		{ "-ERR [IN-USE] locked\r\n", 4004 },
		{ "-ERR [LOGIN-DELAY] wait\r\n", 4004 },
		{ "-ERR [SYS/TEMP] later\r\n", 4002 },
		{ "", 4005 },
	};
	struct world *w = *state;

	put_some(w, 1);
	w->provider.verb = "PASS";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		w->provider.reply = rows[i].reply;
		struct fetch_result r = poll_once(w);
		assert_true(r.failed);
		assert_int_equal(r.error.event, rows[i].event);
		assert_null(strstr(r.error.text, "secret"));
	}
}

static void
test_harmful_password_is_not_sent(void **state)
{
	struct world *w = *state;
	const char *words[] = { "a\r\nQUIT", "", NULL };
	char long_one[600];

	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	words[2] = long_one;
	for (size_t i = 0; i < 3; i++) {
		w->account.user = words[i];
		struct fetch_result r = poll_once(w);
		assert_int_equal(r.error.event, 4003);
	}
}

static void
test_many_messages(void **state)
{
	struct world *w = *state;

	put_some(w, 1500);
	w->account.max_per_session = 5000;
	struct fetch_result r = poll_once(w);
	assert_int_equal(r.collected, 1500);
	assert_int_equal(provider_left(&w->provider), 0);
	assert_int_equal(w->relay.n, 1500);
}

static void
test_try_changes_nothing(void **state)
{
	struct world *w = *state;
	struct fetch_result r;

	put_some(w, 3);
	assert_true(fetch_try(&w->conf, 0, &r, NULL));
	assert_int_equal(r.listed, 3);
	assert_int_equal(w->provider.retrieved, 0);
	assert_int_equal(provider_left(&w->provider), 3);
	w->provider.verb = "PASS";
	w->provider.reply = "-ERR no\r\n";
	assert_false(fetch_try(&w->conf, 0, &r, NULL));
	assert_non_null(strstr(r.error.text, "-ERR no"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(test_collects_and_deletes),
		IN_WORLD(test_bytes_are_the_same),
		IN_WORLD(test_large_header_and_body),
		IN_WORLD(test_one_message_is_not_to_be_had),
		IN_WORLD(test_out_of_step),
		IN_WORLD(test_empty_answer_is_not_a_message),
		IN_WORLD(test_quit_unconfirmed),
		IN_WORLD(test_dele_refused_for_one),
		IN_WORLD(test_unique_ids_refused_for_now),
		IN_WORLD(test_without_unique_ids_content_tells),
		IN_WORLD(test_kept_messages_stay_and_come_once),
		IN_WORLD(test_nonsense_to_dele),
		IN_WORLD(test_greetings),
		IN_WORLD(test_relay_refuses_a_large_message_early),
		IN_WORLD(test_account_is_suspended_before_the_provider_locks_it),
		IN_WORLD(test_out_of_step_is_remembered),
		IN_WORLD(test_endless_capabilities),
		IN_WORLD(test_cut_in_a_large_message),
		IN_WORLD(test_message_that_came_back_is_deleted_again),
		IN_WORLD(test_reused_unique_id_loses_nothing),
		IN_WORLD(test_never_pipelines_unasked),
		IN_WORLD(test_sessions_end_at_their_limit),
		IN_WORLD(test_relay_puts_off),
		IN_WORLD(test_refused_recipient_is_told_at_once),
		IN_WORLD(test_too_large_is_left),
		IN_WORLD(test_password_refused),
		IN_WORLD(test_harmful_password_is_not_sent),
		IN_WORLD(test_many_messages),
		IN_WORLD(test_try_changes_nothing),
		IN_WORLD(test_silence_ends),
		IN_WORLD(test_drip_ends),
		IN_WORLD(test_late_answers_are_waited_for),
		IN_WORLD(test_late_answers_end_in_order),
		IN_WORLD(test_cut_at_every_octet),
		IN_WORLD(test_cut_at_every_octet_one_by_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
