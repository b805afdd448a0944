/* A submission session with a relay that is the real receiving engine, over a connection
 * that is a pair of buffers: each of its calls may fail. For one test in each executable. */
#ifndef TESTS_FETCH_SUBMISSION_H
#define TESTS_FETCH_SUBMISSION_H

#include "../../../src/fetch/submit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "journal.h"
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

static inline void
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

static inline void
new_engine(void)
{
	relay.engine = smtp_server_new(&(struct smtp_server_options){
			.hostname = SPAN("gw.contoso.test"),
			.internal = !relay.foreign,
			.max_recipients = 1000,
	});
	work();
}

static inline void
over(void)
{
	log_close();
	smtp_server_free(relay.engine);
	buf_done(&relay.in);
	buf_done(&relay.body);
	ring_done(&ring);
}

static inline struct fetch_submit *
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

static inline struct fetch_flight *
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

static inline struct fetch_flight *
flight(size_t index)
{
	static const struct span ann = { SPAN_INIT("ann@contoso.test") };

	return flight_to(index, &ann, 1);
}

/* As the reading of a message does it. */
static inline bool
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

static struct span mail = { SPAN_INIT("To: ann@contoso.test\r\n\r\nhello\r\n") };

#endif
