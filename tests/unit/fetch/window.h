/* What RETR and DELE have around them, as a table: a server that answers what it was sent,
 * in order, and messages that come as they are told to. For one test in each executable. */
#ifndef TESTS_FETCH_WINDOW_H
#define TESTS_FETCH_WINDOW_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../src/fetch/hand.h"
#include "../../../src/fetch/session.h"
#include "check.h"
#include "postern/clock.h"
#include "postern/log.h"
#include "postern/origin.h"

enum { MANY = 2500, WINDOW = 1000, MB = 1024 * 1024 };

static const char what_uid[] = "uid";

static struct world {
	struct conf_account account;
	struct fetch_memo memo;
	struct fetch_poll poll;
	struct pop_session s;
	struct pop_message messages[MANY + 1];
	struct pop_listed listed[MANY + 1];
	char uids[MANY + 1][12];
	/* The server. */
	size_t asked[2 * MANY], n_asked, n_flushed, n_answered, most, most_late;
	enum pop_answer answers[MANY + 1]; /* 0: POP_OK */
	size_t command_fails, flush_fails, sdps_fails, quit_fails; /* from 1 */
	unsigned flushes, quits, sdps;
	size_t quit_behind; /* commands that were said before it */
	bool sdps_wanted;
	/* Messages. */
	size_t read[2 * MANY], n_read;
	size_t breaks_at, short_at, short_too, relay_down_at; /* from 1 */
	unsigned short_times;
	bool in_hand;
	/* The relay. */
	bool submit, pending, silent, drain_fails;
	unsigned drains, submit_flushes, dial_waits;
	/* What was asked of the others. */
	size_t up_at, newcomer_most, judged_at; /* messages */
	bool judge_fails, prove_fails, notices_fail;
	unsigned judged, proved, held_dropped, notices, theirs, refusals, ended,
			progress, odd, lost, told, fails, not_retrieved, logged;
	int event;
	char why[100];
	/* The store. */
	enum origin_state state[MANY + 1]; /* 0: known */
	size_t store_fails; /* at this one, from 1 */
	unsigned logged_err;
} w;

static char the_submit, the_reader;

bool
pop_time_is_up(const struct pop_session *s, bool retrieves)
{
	assert_int_equal(retrieves, s->stage == POP_AT_RETR);
	return w.up_at > 0 && w.n_asked >= w.up_at;
}

bool
pop_sdps_wanted(const struct pop_session *s)
{
	(void)s;
	return w.sdps_wanted;
}

bool
pop_sdps_ask(struct pop_session *s, size_t i)
{
	(void)s;
	(void)i;
	return ++w.sdps != w.sdps_fails;
}

bool
pop_command(struct pop_session *s, const char *text)
{
	const char *verb = s->stage == POP_AT_RETR ? "RETR " : "DELE ";
	char *end;

	assert_int_equal(w.quits, 0);
	assert_memory_equal(text, verb, 5);
	w.asked[w.n_asked++] = strtoul(text + 5, &end, 10) - 1;
	assert_string_equal(end, "\r\n");
	size_t out = w.n_asked - w.n_answered;
	w.most = out > w.most ? out : w.most;
	if (w.n_asked > 3 * s->listing.n / 4)
		w.most_late = out > w.most_late ? out : w.most_late;
	return w.n_asked != w.command_fails;
}

bool
pop_flush(struct pop_session *s)
{
	(void)s;
	assert_true(w.n_asked > w.n_flushed); /* never for nothing */
	w.n_flushed = w.n_asked;
	return ++w.flushes != w.flush_fails;
}

bool
pop_say_quit(struct pop_session *s)
{
	(void)s;
	w.quit_behind = w.n_asked;
	return ++w.quits != w.quit_fails;
}

enum pop_answer
pop_status(struct pop_wire *wire, struct span *text)
{
	assert_ptr_equal(wire, &w.s.wire);
	assert_true(w.n_answered < w.n_flushed);
	if (w.s.stage == POP_AT_RETR)
		assert_true(w.s.low.quota == UINT64_MAX);
	else
		assert_true(w.s.low.quota >= (uint64_t)WIRE_LINE * WINDOW &&
				w.s.low.quota < 2 * MB);
	*text = SPAN("what?");
	return w.answers[w.asked[w.n_answered++]];
}

bool
pop_in_step(struct pop_session *s, enum pop_answer answer, struct span text, bool last)
{
	(void)s;
	assert_true(span_eq(text, SPAN("what?")) && !last);
	return answer == POP_OK || answer == POP_ERR;
}

bool
pop_message_read(struct pop_session *s, size_t i)
{
	assert_true(w.in_hand);
	assert_int_equal(w.asked[w.n_answered - 1], i);
	w.read[w.n_read++] = i;
	s->messages[i].durable = true;
	if ((i + 1 == w.short_at || i + 1 == w.short_too) && w.short_times > 0) {
		w.short_times--;
		s->messages[i].again = true;
		s->messages[i].durable = false;
	}
	s->relay_down = s->relay_down || i + 1 == w.relay_down_at;
	if (w.submit)
		s->submit = (struct fetch_submit *)(void *)&the_submit;
	return w.n_read != w.breaks_at;
}

void
hand_take(struct hand *h, struct span uid)
{
	(void)h;
	assert_true(span_starts(uid, span_of(what_uid)));
	assert_false(w.in_hand);
	w.in_hand = true;
}

void
hand_drop(struct hand *h)
{
	(void)h;
	w.in_hand = false;
}

struct span
pop_listing_uid(const struct pop_listing *l, size_t i)
{
	(void)l;
	return span_of(w.uids[i]);
}

struct span
pop_key(const struct pop_session *s, size_t i)
{
	return pop_listing_uid(&s->listing, i);
}

bool
pop_trace(const struct pop_session *s, size_t i, struct buf *out)
{
	return buf_add(out, pop_key(s, i));
}

void
pop_refusals_theirs(struct pop_session *s)
{
	assert_true(s->came);
	w.theirs++;
}

void
pop_refusal(struct pop_session *s, size_t i, struct span text)
{
	(void)s;
	assert_int_equal(w.asked[w.n_answered - 1], i);
	assert_true(span_eq(text, SPAN("what?")));
	w.refusals++;
}

void
pop_refusals_end(struct pop_session *s)
{
	(void)s;
	w.ended++;
}

void
pop_not_retrieved(struct pop_session *s, size_t i, struct span why)
{
	(void)s;
	assert_int_equal(w.asked[w.n_answered - 1], i);
	assert_true(why.n > 0);
	w.not_retrieved++;
}

void
pop_progress(struct pop_session *s)
{
	(void)s;
	w.progress++;
}

bool
pop_held_prove(struct pop_session *s)
{
	(void)s;
	w.proved++;
	return !w.prove_fails;
}

void
pop_held_drop(struct pop_session *s)
{
	(void)s;
	w.held_dropped++;
}

bool
pop_notices(struct pop_session *s)
{
	(void)s;
	w.notices++;
	return !w.notices_fail;
}

size_t
pop_newcomer_more(const struct pop_session *s)
{
	(void)s;
	return w.newcomer_most ? w.newcomer_most : SIZE_MAX;
}

bool
pop_newcomer_judge(struct pop_session *s)
{
	(void)s;
	/* All that came is answered before. */
	assert_true(w.proved > w.judged && (!w.submit || w.drains > w.judged));
	w.judged++;
	w.judged_at = w.n_asked;
	w.newcomer_most = 0;
	return !w.judge_fails;
}

bool
fetch_submit_drain(struct fetch_submit *s)
{
	assert_ptr_equal(s, &the_submit);
	w.drains++;
	return !w.drain_fails;
}

const char *
fetch_submit_error(const struct fetch_submit *s)
{
	assert_ptr_equal(s, &the_submit);
	return "the relay is gone";
}

bool
fetch_submit_pending(const struct fetch_submit *s)
{
	assert_ptr_equal(s, &the_submit);
	return w.pending;
}

void
fetch_submit_flush(struct fetch_submit *s)
{
	assert_ptr_equal(s, &the_submit);
	w.submit_flushes++;
}

bool
dial_wait(struct dial *d, int64_t ms)
{
	(void)d;
	assert_true(ms < 10);
	w.dial_waits++;
	return !w.silent;
}

bool
pop_fail(struct pop_session *s, int event, const char *fmt, ...)
{
	va_list ap;

	(void)s;
	w.event = event;
	w.fails++;
	va_start(ap, fmt);
	(void)vsnprintf(w.why, sizeof(w.why), fmt, ap);
	va_end(ap);
	return false;
}

bool
pop_odd(struct pop_session *s, struct span line)
{
	(void)s;
	assert_true(span_eq(line, SPAN("what?")));
	w.odd++;
	return false;
}

bool
pop_lost(struct pop_session *s)
{
	(void)s;
	w.lost++;
	return false;
}

bool
origin_look(struct reader *r, struct span account, struct span uidl,
		enum origin_state *out, uint64_t *id, struct err *e)
{
	size_t i = (size_t)atoi(uidl.p + strlen(what_uid));

	(void)id;
	assert_ptr_equal(r, &the_reader);
	assert_true(span_eq(account, SPAN("contoso")));
	*out = w.state[i];
	return i + 1 != w.store_fails || err_set(e, 9005, "it broke");
}

void
log_err(const struct err *err, struct span account, struct span recipient)
{
	assert_int_equal(err->event, 9005);
	assert_true(span_eq(account, SPAN("contoso")) && recipient.n == 0);
	w.logged_err++;
}

void
log_event_at(int id, char severity, unsigned level, const struct field *fields)
{
	while (strcmp(fields->name, "until") != 0)
		fields++;
	assert_true(fields->text.n > 0);
	assert_int_equal(id, 2005);
	assert_int_equal(severity, 'W');
	assert_int_equal(level, 0);
	w.logged++;
}

/* So many messages, of which the server is to give all. */
static inline void
start(size_t n)
{
	static const uint64_t seed[2] = { 1, 2 };

	fetch_memo_done(&w.memo);
	memset(&w, 0, sizeof(w));
	fetch_memo_init(&w.memo, seed);
	w.poll.memo = &w.memo;
	w.poll.account = &w.account;
	w.poll.name = SPAN("contoso");
	w.poll.reader = (struct reader *)(void *)&the_reader;
	w.s.poll = &w.poll;
	w.s.caps.pipelining = true;
	w.s.messages = w.messages;
	w.s.listing.items = w.listed;
	w.s.listing.n = n;
	w.submit = true;
	for (size_t i = 0; i < n; i++) {
		w.messages[i].fate = i % 2 ? POP_RETRIEVE : POP_VERIFY;
		w.listed[i].octets = 1000;
		w.state[i] = ORIGIN_COMMITTED;
		(void)snprintf(w.uids[i], sizeof(w.uids[i]), "%s%zu", what_uid, i);
	}
	/* What lies behind the last one is nobody's. */
	w.state[n] = ORIGIN_COMMITTED;
	w.messages[n] = (struct pop_message){
		.fate = POP_RETRIEVE, .again = true, .durable = true
	};
}

static inline void
check_order(const char *numbers)
{
	struct buf got = BUF_MAX(4096);

	for (size_t i = 0; i < w.n_asked; i++)
		assert_true(buf_addf(&got, "%s%zu", i ? " " : "", w.asked[i] + 1));
	assert_string_equal(w.n_asked ? buf_cstr(&got) : "", numbers);
	buf_done(&got);
}

#endif
