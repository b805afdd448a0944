/* A submission session with a relay that is the real receiving engine, over a connection
 * that is a pair of buffers: each of its calls may fail. */
#include "../../../src/fetch/submit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "postern/clock.h"
#include "postern/log.h"
#include "postern/smtp_server.h"

enum { MOST = 600, WAIT_LEAST_MS = 60000 };

/* ---- the relay behind the connection ---- */

static char the_dial;

static struct {
	struct smtp_server *engine;
	struct buf in, body;
	bool foreign, no_greeting, hung_up, cancelled;
	bool unread; /* it takes nothing */
	bool late; /* what it says can be read once somebody has waited for it */
	bool silent; /* its last word was that to EHLO */
	bool opened, closed, quit, waited;
	size_t out_max, piece; /* octets taken and given at a time; 0: all */
	unsigned calls, fails_at; /* of the connection */
	const char *unknown; /* recipients 550 5.1.1, and 550 5.7.1 */
	const char *refused;
	const char *later; /* 452 */
	const char *unwanted; /* 554 5.7.1 */
	const char *greeting; /* instead of the engine's */
	int mail; /* this one is put off or refused by its MAIL, the rest is fine; from 1 */
	enum smtp_refusal why;
	int commit;
	enum smtp_refusal commit_why;
	unsigned mails, commits;
	size_t most; /* octets said at a time */
	int64_t longest_ms, shortest_ms;
	unsigned waits, waits_both;
} relay;

static struct smtp_reply
answer(const struct smtp_question *q)
{
	static char text[SMTP_TEXT_SIZE];

	switch (q->kind) {
	case SMTP_ASK_MAIL:
		return (int)++relay.mails == relay.mail ? smtp_refuse(relay.why)
							: SMTP_YES;
	case SMTP_ASK_RCPT:
		if (relay.unknown && span_eq(q->path.mailbox, span_of(relay.unknown)))
			return smtp_refuse_for(
					SMTP_REFUSE_UNKNOWN, q->path.mailbox, text);
		if (relay.refused && span_eq(q->path.mailbox, span_of(relay.refused)))
			return smtp_refuse_for(
					SMTP_REFUSE_RELAY, q->path.mailbox, text);
		if (relay.unwanted && span_eq(q->path.mailbox, span_of(relay.unwanted)))
			return (struct smtp_reply){ 554, "5.7.1", "no" };
		if (relay.later && span_eq(q->path.mailbox, span_of(relay.later)))
			return smtp_refuse(SMTP_REFUSE_BUSY);
		return SMTP_YES;
	case SMTP_ASK_BODY:
		assert_true(buf_add(&relay.body, q->bytes));
		return SMTP_LATER;
	case SMTP_ASK_COMMIT:
		if ((int)(relay.commits + 1) == relay.commit) {
			relay.commit = 0;
			return smtp_refuse(relay.commit_why);
		}
		return smtp_queued(SPAN("<x@y>"), ++relay.commits, text);
	case SMTP_ASK_DROP:
		return SMTP_LATER;
	case SMTP_ASK_NOTHING:
	case SMTP_ASK_VRFY:
	case SMTP_ASK_ROUTE:
	case SMTP_ASK_CLOSE:
		break;
	}
	return SMTP_YES;
}

static void
work(void)
{
	for (bool moved = true; moved;) {
		size_t used = smtp_server_feed(relay.engine, buf_span(&relay.in));

		moved = used > 0;
		while (smtp_server_ask(relay.engine)->kind != SMTP_ASK_NOTHING &&
				smtp_server_ask(relay.engine)->kind != SMTP_ASK_CLOSE) {
			smtp_server_answer(relay.engine,
					answer(smtp_server_ask(relay.engine)));
			moved = true;
		}
		relay.quit |= smtp_server_ask(relay.engine)->kind == SMTP_ASK_CLOSE;
		buf_drop(&relay.in, used);
	}
}

/* ---- the connection ---- */

static bool
breaks(void)
{
	return ++relay.calls == relay.fails_at;
}

struct dial *
dial_open(const struct dial_to *to, enum dial_end *why, struct err *err)
{
	assert_string_equal(to->unix_path, "run/relay.sock");
	assert_true(to->connect_ms > 0);
	if (breaks()) {
		*why = DIAL_REFUSED;
		(void)err_set(err, 0, "nobody there");
		return NULL;
	}
	relay.opened = true;
	return (struct dial *)(void *)&the_dial;
}

void
dial_close(struct dial *d)
{
	assert_ptr_equal(d, &the_dial);
	assert_true(relay.opened && !relay.closed);
	relay.closed = true;
}

const char *
dial_error(const struct dial *d)
{
	assert_ptr_equal(d, &the_dial);
	return "it broke";
}

bool
dial_cancelled(const struct dial_cancel *c)
{
	(void)c;
	return relay.cancelled;
}

ssize_t
dial_read_now(struct dial *d, void *p, size_t n)
{
	struct span out = smtp_server_output(relay.engine);

	assert_ptr_equal(d, &the_dial);
	if (breaks())
		return -1;
	if (relay.greeting) {
		size_t k = strlen(relay.greeting);

		memcpy(p, relay.greeting, k);
		relay.greeting = NULL;
		relay.no_greeting = true;
		return (ssize_t)k;
	}
	if (relay.no_greeting || (relay.late && !relay.waited))
		return 0;
	n = out.n < n ? out.n : n;
	n = relay.piece > 0 && n > relay.piece ? relay.piece : n;
	if (n == 0)
		return relay.hung_up || relay.quit ? -1 : 0;
	memcpy(p, out.p, n);
	smtp_server_sent(relay.engine, n);
	work();
	relay.waited = false;
	return (ssize_t)n;
}

ssize_t
dial_write_now(struct dial *d, const void *p, size_t n)
{
	assert_ptr_equal(d, &the_dial);
	if (breaks())
		return -1;
	relay.most = n > relay.most ? n : relay.most;
	if (relay.unread)
		return 0;
	n = relay.out_max > 0 && n > relay.out_max ? relay.out_max : n;
	assert_true(buf_add(&relay.in, (struct span){ p, n }));
	work();
	return (ssize_t)n;
}

static bool
waits(int64_t ms)
{
	relay.longest_ms = ms > relay.longest_ms ? ms : relay.longest_ms;
	relay.shortest_ms = relay.shortest_ms == 0 || ms < relay.shortest_ms
			? ms
			: relay.shortest_ms;
	relay.waited = true;
	/* Whoever waits for what never comes waits for ever. */
	if (relay.calls++ > 100000)
		fail_msg("it is waited for nothing");
	return relay.calls != relay.fails_at;
}

bool
dial_wait(struct dial *d, int64_t ms)
{
	assert_ptr_equal(d, &the_dial);
	relay.waits++;
	return waits(ms) && smtp_server_output(relay.engine).n > 0 &&
			!relay.no_greeting;
}

bool
dial_wait_both(struct dial *d, int64_t ms)
{
	assert_ptr_equal(d, &the_dial);
	relay.waits_both++;
	if (!waits(ms))
		return false;
	if (relay.unread && relay.waits_both > 3)
		relay.unread = false;
	return true;
}

/* ---- the collector's side ---- */

struct told {
	size_t index;
	enum fate fate;
	unsigned accepted, refused;
	bool abandoned;
	char text[512];
};

static struct told told[MOST];
static size_t n_told;
static struct ring ring;

static void
on_settled(void *host, struct fetch_flight *f, const struct verdict *v)
{
	struct told *t = &told[n_told++];

	assert_ptr_equal(host, told);
	assert_true(f->over);
	*t = (struct told){ f->index, v->fate, f->accepted, f->refused, f->abandoned,
		"" };
	(void)snprintf(t->text, sizeof(t->text), "%s", v->text);
}

static char journal[64];

static void
start_afresh(unsigned level)
{
	struct err err;

	(void)unlink(journal);
	assert_true(log_open(
			&(struct log_options){ .to = journal, .level = level }, &err));
	memset(&relay, 0, sizeof(relay));
	relay.in = BUF_MAX(16 * 1024 * 1024);
	relay.body = BUF_MAX(16 * 1024 * 1024);
	relay.why = relay.commit_why = SMTP_REFUSE_BUSY;
	n_told = 0;
	ring_init(&ring, 0);
}

static void
new_engine(void)
{
	relay.engine = smtp_server_new(&(struct smtp_server_options){
			.hostname = SPAN("gw.contoso.test"),
			.internal = !relay.foreign,
			.max_recipients = 1000,
	});
	work();
}

static void
over(void)
{
	log_close();
	smtp_server_free(relay.engine);
	buf_done(&relay.in);
	buf_done(&relay.body);
	ring_done(&ring);
}

static struct fetch_submit *
open_it(struct err *err)
{
	new_engine();
	return fetch_submit_open(
			&(struct fetch_submit_options){
					.socket = "run/relay.sock",
					.hostname = SPAN("gw.contoso.test"),
					.account = SPAN("contoso"),
					.ring = &ring,
					.settled = on_settled,
					.host = told,
			},
			err);
}

static struct fetch_flight *
flight_to(size_t index, const struct span *to, size_t n)
{
	char uid[32];

	(void)snprintf(uid, sizeof(uid), "uid-%zu", index);
	return fetch_flight_new(&(struct fetch_flight){
			.index = index,
			.trace = SPAN("contoso/uid"),
			.recipients = (struct span *)(uintptr_t)to,
			.n = n,
			.sender = SPAN("bob@fabrikam.test"),
			.reading = true,
			.collect = { .account = SPAN("contoso"),
					.uidl = span_of(uid),
					.provider = SPAN("pop.test"),
					.ip = SPAN("192.0.2.1") },
	});
}

static struct fetch_flight *
flight(size_t index)
{
	static const struct span ann = { SPAN_INIT("ann@contoso.test") };

	return flight_to(index, &ann, 1);
}

/* As the reading of a message does it. */
static bool
hand_over(struct fetch_submit *s, struct fetch_flight *f, struct span body)
{
	if (!fetch_submit_begin(s, f) || !fetch_submit_body(s, body, true)) {
		fetch_flight_free(f);
		return false;
	}
	if (f->over)
		fetch_flight_free(f);
	else
		f->reading = false;
	return true;
}

static bool
logged(const char *word)
{
	char line[4096];
	FILE *f = fopen(journal, "r");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, word) != NULL;
	if (f)
		(void)fclose(f);
	return found;
}

static struct span mail = { SPAN_INIT("To: ann@contoso.test\r\n\r\nhello\r\n") };

/* ---- tests ---- */

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
