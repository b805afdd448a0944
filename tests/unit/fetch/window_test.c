/* RETR and DELE in their windows. The session around them is a table: a server that answers
 * what it was sent, in order, and messages that come as they are told to. */
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
static void
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

static void
check_order(const char *numbers)
{
	struct buf got = BUF_MAX(4096);

	for (size_t i = 0; i < w.n_asked; i++)
		assert_true(buf_addf(&got, "%s%zu", i ? " " : "", w.asked[i] + 1));
	assert_string_equal(w.n_asked ? buf_cstr(&got) : "", numbers);
	buf_done(&got);
}

/* ---- RETR ---- */

static void
a_window_is_filled_when_it_is_half_empty(void **state)
{
	(void)state;
	start(MANY);
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.n_read, MANY);
	assert_int_equal(w.n_asked, MANY);
	assert_int_equal(w.most, WINDOW);
	assert_int_equal(w.flushes, 4);
	assert_int_equal(w.progress, MANY);
	assert_int_equal(w.theirs, MANY);
	assert_int_equal(w.quits, 0); /* never behind RETR */
	assert_int_equal(w.ended, 1);
	assert_int_equal(w.notices, 1);
	assert_int_equal(w.held_dropped, 1);
	assert_true(w.proved > 0 && w.drains == 1 && w.judged == 0);
	assert_true(w.s.came && !w.in_hand);
	assert_ptr_equal(w.s.low.host, &w.s);
}

/* The octets under way bound what an abort wastes; two go in any case. */
static void
a_window_is_bounded_in_octets(void **state)
{
	static const struct {
		uint64_t octets;
		size_t most;
	} rows[] = { { 16 * MB - 1, 2 }, { 100 * MB, 2 }, { 5 * MB, 4 }, { 8 * MB, 2 },
		{ 8 * MB - 1, 3 }, { MB, 16 } };

	(void)state;
	for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		start(40);
		for (size_t i = 0; i < 40; i++)
			w.listed[i].octets = rows[k].octets;
		assert_true(pop_retrieve(&w.s));
		assert_int_equal(w.n_read, 40);
		assert_int_equal(w.most, rows[k].most);
		assert_int_equal(w.most_late, rows[k].most);
	}
}

static void
one_by_one_where_nothing_else_is_understood(void **state)
{
	(void)state;
	for (int how = 0; how < 2; how++) {
		start(20);
		w.s.caps.pipelining = how;
		w.sdps_wanted = how;
		assert_true(pop_retrieve(&w.s));
		assert_int_equal(w.n_read, 20);
		assert_int_equal(w.most, 1);
		assert_int_equal(w.flushes, 20);
		assert_int_equal(w.sdps, 20);
	}
}

/* What failed comes behind the others, and what more came of than should last, by itself. */
static void
troublesome_messages_come_last(void **state)
{
	(void)state;
	start(9);
	w.messages[0].suspect = w.messages[3].suspect = true;
	w.messages[1].blamed = w.messages[3].blamed = true;
	w.messages[4].fate = POP_DELETE;
	w.messages[5].fate = POP_LATER;
	w.messages[6].fate = POP_ASIDE;
	assert_true(pop_retrieve(&w.s));
	check_order("3 8 9 2 1 4");
	assert_int_equal(w.most, 4);
	assert_int_equal(w.flushes, 3);
}

static void
what_was_short_is_asked_for_again_by_itself(void **state)
{
	(void)state;
	start(5);
	w.short_at = 2;
	w.short_times = 2;
	assert_true(pop_retrieve(&w.s));
	check_order("1 2 3 4 5 2 2");
	assert_int_equal(w.flushes, 3);
	assert_false(w.messages[1].again);
	start(5);
	w.short_at = 2;
	w.short_too = 4;
	w.short_times = 2;
	assert_true(pop_retrieve(&w.s));
	check_order("1 2 3 4 5 2 4");
	assert_int_equal(w.flushes, 3);
	start(5);
	w.short_at = 2;
	w.short_times = 2;
	w.breaks_at = 6;
	assert_false(pop_retrieve(&w.s));
	check_order("1 2 3 4 5 2");
	assert_int_equal(w.notices, 0);
}

static void
a_poll_that_is_to_end_asks_for_no_more(void **state)
{
	(void)state;
	start(20);
	w.up_at = 7;
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.n_asked, 7);
	assert_int_equal(w.n_read, 7);
}

/* Of a new account the first ten are answered before any other is asked for. */
static void
a_new_account_is_judged_by_its_first_messages(void **state)
{
	(void)state;
	start(30);
	w.newcomer_most = 10;
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.judged, 1);
	assert_int_equal(w.judged_at, 10);
	assert_int_equal(w.n_read, 30);
	for (int how = 0; how < 4; how++) {
		start(30);
		w.newcomer_most = 10;
		w.judge_fails = how == 0;
		w.prove_fails = how == 1;
		w.drain_fails = how == 2;
		w.submit = how != 3;
		assert_int_equal(pop_retrieve(&w.s), how == 3);
		assert_int_equal(w.n_read, how == 3 ? 30 : 10);
		assert_int_equal(w.s.relay_down, how == 2);
		assert_int_equal(w.event, how == 2 ? 4024 : 0);
		assert_int_equal(w.judged, how == 0 || how == 3);
		assert_int_equal(w.notices, how == 3);
		assert_int_equal(w.ended, 1);
		assert_int_equal(w.held_dropped, 1);
	}
	start(5);
	w.newcomer_most = 10;
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.judged, 0); /* the session does it at its end */
}

static void
each_step_that_fails_ends_it(void **state)
{
	(void)state;
	for (int how = 0; how < 7; how++) {
		start(20);
		w.s.caps.pipelining = how != 3;
		w.command_fails = how == 0 ? 5 : 0;
		w.flush_fails = how == 1;
		w.sdps_fails = how == 2 || how == 3 ? 5 : 0;
		w.breaks_at = how == 4 ? 5 : 0;
		w.prove_fails = how == 5;
		w.notices_fail = how == 6;
		assert_false(pop_retrieve(&w.s));
		assert_int_equal(w.n_read,
				how < 3			   ? 0
						: how == 3 ? 4
						: how == 4 ? 5
							   : 20);
		assert_int_equal(w.ended, 1);
		assert_int_equal(w.held_dropped, 1);
		assert_int_equal(w.notices, how == 6);
		/* A fault in the midst of it is the message's. */
		assert_int_equal(w.in_hand, how == 4);
		assert_int_equal(w.drains, how < 3 ? 0 : 1);
	}
}

static void
answers_that_are_no_message(void **state)
{
	static const enum pop_answer bad[] = { POP_ODD, POP_LOST };

	(void)state;
	start(9);
	w.answers[3] = w.answers[4] = POP_ERR;
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.n_read, 7);
	assert_int_equal(w.refusals, 2);
	assert_int_equal(w.not_retrieved, 0);
	assert_int_equal(w.theirs, 7);
	assert_int_equal(w.progress, 9);
	start(3);
	w.answers[0] = w.answers[1] = w.answers[2] = POP_ERR;
	assert_true(pop_retrieve(&w.s));
	assert_false(w.s.came);
	assert_int_equal(w.refusals, 3);
	/* Nonsense is the message's own where none ended before it. */
	for (int how = 0; how < 4; how++) {
		start(9);
		w.answers[3] = bad[how & 1];
		w.s.ended = how & 2;
		assert_false(pop_retrieve(&w.s));
		assert_int_equal(w.n_read, 3);
		assert_int_equal(w.refusals, 0);
		assert_int_equal(w.not_retrieved, how == 0);
	}
}

static void
a_relay_that_takes_no_more_ends_it(void **state)
{
	(void)state;
	start(20);
	w.relay_down_at = 4;
	assert_false(pop_retrieve(&w.s));
	assert_int_equal(w.n_read, 4);
	assert_int_equal(w.event, 4024);
	assert_int_equal(w.notices, 0);
	/* It is found out with the last answer. */
	start(20);
	w.drain_fails = true;
	assert_false(pop_retrieve(&w.s));
	assert_int_equal(w.event, 4024);
	assert_true(w.s.relay_down);
	assert_string_equal(w.why, "the relay is gone");
	assert_int_equal(w.notices, 1);
	start(20);
	w.relay_down_at = 20;
	w.drain_fails = true;
	assert_false(pop_retrieve(&w.s));
	assert_int_equal(w.fails, 1);
	/* Nobody was asked for anything. */
	start(20);
	w.submit = false;
	assert_true(pop_retrieve(&w.s));
	assert_int_equal(w.drains, 0);
	start(0);
	w.s.relay_down = true;
	assert_false(pop_retrieve(&w.s));
	assert_int_equal(w.event, 4024);
}

/* While the server is waited for, what was gathered goes to the relay, unless more comes. */
static void
a_wait_is_used_to_hand_over(void **state)
{
	(void)state;
	for (int how = 0; how < 8; how++) {
		start(1);
		assert_true(pop_retrieve(&w.s));
		w.pending = how & 1;
		w.silent = how & 2;
		w.s.submit = how & 4 ? (void *)&the_submit : NULL;
		w.s.low.waiting(w.s.low.host);
		assert_int_equal(w.submit_flushes, how == 7);
		assert_int_equal(w.dial_waits, (how & 5) == 5);
	}
}

/* ---- DELE ---- */

static bool
delete_all(size_t **deleted, size_t *n)
{
	*n = 0;
	return pop_delete(&w.s, deleted, n);
}

static void
all_durable(size_t n)
{
	start(n);
	for (size_t i = 0; i < n; i++)
		w.messages[i].durable = true;
}

static void
quit_goes_with_the_last_deletion(void **state)
{
	size_t *deleted, n;

	(void)state;
	for (size_t many = 9; many <= MANY; many += MANY - 9) {
		all_durable(many);
		for (size_t i = 0; i < many; i++)
			w.listed[i].octets = 100 * MB; /* which do not count here */
		w.messages[4].suspect = w.messages[5].blamed = true; /* nor does that */
		assert_true(delete_all(&deleted, &n));
		assert_int_equal(n, many);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(deleted[i], i);
		free(deleted);
		assert_int_equal(w.most, many < WINDOW ? many : WINDOW);
		assert_int_equal(w.quits, 1);
		assert_int_equal(w.quit_behind, many);
		assert_int_equal(w.progress, many);
		assert_int_equal(w.sdps, 0);
		assert_int_equal(w.s.stage, POP_AT_DELE);
	}
	all_durable(9);
	w.s.caps.pipelining = false;
	assert_true(delete_all(&deleted, &n));
	free(deleted);
	assert_int_equal(n, 9);
	assert_int_equal(w.most, 1);
	assert_int_equal(w.quits, 0);
	/* Not before the end. */
	all_durable(9);
	w.up_at = 4;
	assert_true(delete_all(&deleted, &n));
	free(deleted);
	assert_int_equal(n, 4);
	assert_int_equal(w.quits, 0);
	start(9);
	assert_true(delete_all(&deleted, &n));
	free(deleted);
	assert_int_equal(n + w.n_asked + w.quits + w.flushes, 0);
}

static void
only_what_is_here_is_deleted(void **state)
{
	size_t *deleted, n;

	(void)state;
	for (int stateless = 0; stateless < 2; stateless++) {
		all_durable(8);
		if (stateless)
			w.poll.reader = NULL;
		w.messages[1].durable = false;
		w.state[2] = ORIGIN_NEW; /* its body was found damaged */
		w.state[3] = ORIGIN_SETTLED;
		w.store_fails = 5;
		struct memo_message *m = fetch_memo_get(&w.memo, SPAN("uid5"));
		m->deletes = 2;
		m->delete_ms = clock_wall_ms() + 3600 * 1000;
		assert_true(delete_all(&deleted, &n));
		check_order(stateless ? "1 3 4 5 7 8" : "1 4 7 8");
		assert_int_equal(deleted[n - 1], 7);
		assert_int_equal(w.logged_err, !stateless);
		free(deleted);
	}
}

static void
only_what_was_answered_well_is_deleted(void **state)
{
	static const enum pop_answer bad[] = { POP_ODD, POP_LOST };
	size_t *deleted, n;

	(void)state;
	all_durable(9);
	w.answers[2] = POP_ERR;
	assert_true(delete_all(&deleted, &n));
	assert_int_equal(n, 8);
	assert_int_equal(deleted[2], 3);
	assert_int_equal(w.progress, 9);
	assert_null(fetch_memo_find(&w.memo, SPAN("uid2")));
	free(deleted);
	for (int how = 0; how < 2; how++) {
		all_durable(9);
		w.answers[2] = bad[how];
		assert_false(delete_all(&deleted, &n));
		free(deleted);
		assert_int_equal(n, 2);
		assert_int_equal(w.odd, how == 0);
		assert_int_equal(w.lost, how == 1);
		assert_int_equal(fetch_memo_alone(&w.memo, clock_wall_ms()), how == 0);
		assert_int_equal(w.logged, 0);
		/* The second time it is told of, and left out from then on. */
		w.n_asked = w.n_flushed = w.n_answered = w.quits = 0;
		w.s.quit_sent = false;
		assert_false(delete_all(&deleted, &n));
		free(deleted);
		assert_int_equal(w.logged, 1);
		w.n_asked = w.n_flushed = w.n_answered = w.quits = 0;
		assert_true(delete_all(&deleted, &n));
		free(deleted);
		check_order("1 2 4 5 6 7 8 9");
		assert_int_equal(w.logged, 1);
	}
	/* Of a message without a name nothing can be remembered. */
	all_durable(9);
	w.poll.reader = NULL;
	w.uids[2][0] = '\0';
	w.answers[2] = POP_ODD;
	assert_false(delete_all(&deleted, &n));
	free(deleted);
	assert_int_equal(w.odd, 1);
	assert_int_equal(w.logged, 0);
	/* A server that does not pipeline is no other for it. */
	all_durable(9);
	w.s.caps.pipelining = false;
	w.answers[2] = POP_ODD;
	assert_false(delete_all(&deleted, &n));
	free(deleted);
	assert_false(fetch_memo_alone(&w.memo, clock_wall_ms()));
}

static void
each_step_of_a_deletion_that_fails_ends_it(void **state)
{
	size_t *deleted, n;

	(void)state;
	for (int how = 0; how < 3; how++) {
		all_durable(9);
		w.command_fails = how == 0 ? 5 : 0;
		w.flush_fails = how == 1;
		w.quit_fails = how == 2;
		assert_false(delete_all(&deleted, &n));
		assert_int_equal(n, 0);
		assert_int_equal(w.n_answered, 0);
		free(deleted);
	}
	fetch_memo_done(&w.memo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_is_filled_when_it_is_half_empty),
		cmocka_unit_test(a_window_is_bounded_in_octets),
		cmocka_unit_test(one_by_one_where_nothing_else_is_understood),
		cmocka_unit_test(troublesome_messages_come_last),
		cmocka_unit_test(what_was_short_is_asked_for_again_by_itself),
		cmocka_unit_test(a_poll_that_is_to_end_asks_for_no_more),
		cmocka_unit_test(a_new_account_is_judged_by_its_first_messages),
		cmocka_unit_test(each_step_that_fails_ends_it),
		cmocka_unit_test(answers_that_are_no_message),
		cmocka_unit_test(a_relay_that_takes_no_more_ends_it),
		cmocka_unit_test(a_wait_is_used_to_hand_over),
		cmocka_unit_test(quit_goes_with_the_last_deletion),
		cmocka_unit_test(only_what_is_here_is_deleted),
		cmocka_unit_test(only_what_was_answered_well_is_deleted),
		cmocka_unit_test(each_step_of_a_deletion_that_fails_ends_it),
	};
	const uint64_t seed[2] = { 1, 2 };

	fetch_memo_init(&w.memo, seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
