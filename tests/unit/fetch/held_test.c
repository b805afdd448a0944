/* The end of a message, held back until the next answer shows that it was whole: each
 * answer beside everything that may be known of the message. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../src/fetch/message.h"
#include "check.h"
#include "postern/clock.h"
#include "postern/log.h"

enum { RESUMES = 10, LISTED = 1000 };

static struct world {
	struct fetch_memo memo;
	struct fetch_poll poll;
	struct pop_session s;
	struct pop_message messages[2];
	struct pop_listed listed[2];
	bool early; /* more came than was asked for */
	enum pop_answer answer; /* to NOOP */
	bool relay_fails, command_fails, flush_fails;
	/* What became of it. */
	unsigned released, dropped, lost, odd, commands, flushes, failed, aside, told;
	size_t which;
	int event;
	char text[200];
} w;

/* ---- what the session does ---- */

bool
reading_end(struct reading *r)
{
	w.released++;
	w.which = r->i;
	return !w.relay_fails;
}

bool
reading_give_up(struct reading *r, const char *why)
{
	assert_non_null(why);
	w.dropped++;
	w.which = r->i;
	return false;
}

bool
pop_fail(struct pop_session *s, int event, const char *fmt, ...)
{
	va_list ap;

	assert_ptr_equal(s, &w.s);
	w.event = event;
	va_start(ap, fmt);
	(void)vsnprintf(w.text, sizeof(w.text), fmt, ap);
	va_end(ap);
	return false;
}

bool
pop_lost(struct pop_session *s)
{
	assert_ptr_equal(s, &w.s);
	w.lost++;
	return false;
}

bool
pop_out_of_step(struct pop_session *s, struct span line)
{
	assert_ptr_equal(s, &w.s);
	assert_true(span_eq(line, SPAN("what?")));
	w.odd++;
	return false;
}

bool
pop_command(struct pop_session *s, const char *text)
{
	assert_ptr_equal(s, &w.s);
	assert_string_equal(text, "NOOP\r\n");
	w.commands++;
	return !w.command_fails;
}

bool
pop_flush(struct pop_session *s)
{
	assert_ptr_equal(s, &w.s);
	assert_int_equal(w.commands, 1);
	w.flushes++;
	return !w.flush_fails;
}

bool
pop_early(const struct pop_wire *wire)
{
	assert_ptr_equal(wire, &w.s.wire);
	return w.early;
}

enum pop_answer
pop_status(struct pop_wire *wire, struct span *text)
{
	assert_ptr_equal(wire, &w.s.wire);
	assert_int_equal(w.flushes, 1);
	*text = SPAN("what?");
	return w.answer;
}

bool
pop_trace(const struct pop_session *s, size_t i, struct buf *out)
{
	(void)s;
	(void)i;
	return buf_add(out, SPAN("contoso/uid"));
}

struct span
pop_listing_uid(const struct pop_listing *l, size_t i)
{
	return l->items[i].uid_n ? SPAN("uid-2") : SPAN("");
}

void
pop_attempt_failed(struct pop_session *s, size_t i, struct span why)
{
	(void)s;
	assert_true(why.n > 0);
	assert_int_equal(i, 1);
	w.failed++;
}

void
pop_set_aside(struct pop_session *s, size_t i, struct span why)
{
	(void)s;
	assert_true(why.n > 0);
	assert_int_equal(i, 1);
	w.aside++;
}

void
log_event(int id, const struct field *fields)
{
	(void)fields;
	assert_int_equal(id, 4020);
	w.told++;
}

/* ---- */

/* The second message of two ended with so many octets, and the relay waits for its end. */
static void
ends(uint64_t octets)
{
	static const uint64_t seed[2] = { 1, 2 };

	fetch_memo_done(&w.memo);
	free(w.s.held);
	memset(&w, 0, sizeof(w));
	fetch_memo_init(&w.memo, seed);
	w.poll.memo = &w.memo;
	w.s.poll = &w.poll;
	w.s.messages = w.messages;
	w.s.listing.items = w.listed;
	w.s.listing.n = 2;
	w.listed[1] = (struct pop_listed){ .octets = LISTED, .uid_n = 5 };
	w.messages[1].durable = true;

	const struct reading r = { .s = &w.s, .i = 1, .octets = octets };
	reading_ended(&r);
	assert_true(w.s.ended);
	assert_int_equal(w.s.ended_at, 1);
	assert_int_equal(w.s.ended_octets, octets);
	reading_hold(&r);
}

static struct memo_message *
memo(void)
{
	return fetch_memo_get(&w.memo, SPAN("uid-2"));
}

static void
check_let_go(void)
{
	assert_false(w.s.ended);
	assert_null(w.s.held);
	assert_int_equal(w.which, 1);
}

/* It is not taken, told of, and the next session goes on with the others. */
static void
check_suspected(bool goes_on)
{
	check_let_go();
	assert_int_equal(w.released, 0);
	assert_int_equal(w.dropped, 1);
	assert_false(w.messages[1].durable);
	assert_int_equal(w.poll.result.failures, 1);
	assert_int_equal(w.told, 1);
	assert_int_equal(w.lost + w.odd, 0);
	assert_int_equal(w.s.again, goes_on);
	assert_int_equal(w.event, goes_on ? 0 : 4005);
	if (!goes_on)
		assert_non_null(strstr(w.text, "message 2"));
	assert_true(fetch_memo_alone(&w.memo, clock_wall_ms()));
}

static void
an_answer_shows_that_it_was_whole(void **state)
{
	static const enum pop_answer good[] = { POP_OK, POP_ERR };

	(void)state;
	for (int i = 0; i < 8; i++) {
		bool last = i & 2, early = i & 4;

		ends(LISTED - 1);
		w.early = early;
		if (last && early)
			continue;
		assert_true(pop_in_step(&w.s, good[i & 1], SPAN(""), last));
		check_let_go();
		assert_int_equal(w.released, 1);
		assert_int_equal(w.dropped, 0);
		/* The next answer is about something else. */
		assert_true(pop_in_step(&w.s, POP_OK, SPAN(""), last));
		w.early = true;
		assert_true(pop_in_step(&w.s, POP_OK, SPAN(""), true));
		assert_int_equal(w.released, 1);
	}
	ends(LISTED);
	w.relay_fails = true;
	assert_false(pop_in_step(&w.s, POP_OK, SPAN(""), false));
	check_let_go();
}

static void
what_ended_and_leads_nowhere_needs_no_end(void **state)
{
	(void)state;
	ends(LISTED);
	pop_held_drop(&w.s);
	const struct reading r = { .s = &w.s, .i = 1, .octets = LISTED };
	reading_ended(&r);
	assert_true(pop_in_step(&w.s, POP_OK, SPAN(""), false));
	assert_false(w.s.ended);
	assert_int_equal(w.released, 0);
}

static void
bytes_nobody_asked_for_make_it_suspect(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++) {
		ends(LISTED);
		w.early = how != 0;
		assert_false(how == 0 ? pop_in_step(&w.s, POP_ODD, SPAN("what?"), false)
						: how == 1
						? pop_in_step(&w.s, POP_OK, SPAN(""),
								  true)
						: how == 2
						? pop_in_step(&w.s, POP_ERR, SPAN(""),
								  true)
						: pop_held_prove(&w.s));
		check_suspected(true);
		assert_int_equal(w.failed, 1);
		assert_int_equal(w.aside, 0);
		assert_int_equal(w.commands, 0);
		assert_true(memo()->suspect);
		assert_int_equal(w.poll.resumes, 1);
	}
}

static void
a_poll_goes_on_so_often(void **state)
{
	(void)state;
	for (unsigned n = RESUMES - 1; n <= RESUMES; n++) {
		ends(LISTED);
		w.poll.resumes = n;
		assert_false(pop_in_step(&w.s, POP_ODD, SPAN("what?"), false));
		check_suspected(n < RESUMES);
		assert_int_equal(w.poll.resumes, n + 1);
	}
}

/* Another session would meet it first again. */
static void
a_nameless_suspect_ends_the_poll(void **state)
{
	(void)state;
	ends(LISTED);
	w.listed[1].uid_n = 0;
	assert_false(pop_in_step(&w.s, POP_ODD, SPAN("what?"), false));
	check_suspected(false);
	assert_int_equal(w.failed, 1);
}

static void
the_second_time_it_is_believed_unless_it_is_short(void **state)
{
	(void)state;
	for (uint64_t octets = LISTED - 1; octets <= LISTED + 1; octets++) {
		ends(octets);
		memo()->suspect = true;
		assert_false(pop_in_step(&w.s, POP_ODD, SPAN("what?"), false));
		if (octets < LISTED) {
			check_suspected(true);
			assert_int_equal(w.aside, 1);
			assert_int_equal(w.failed, 0);
			continue;
		}
		check_let_go();
		assert_int_equal(w.released, 1);
		assert_int_equal(w.dropped + w.told + w.failed + w.aside, 0);
		assert_true(w.messages[1].durable && w.s.again);
		assert_int_equal(w.event, 0);
		assert_true(fetch_memo_alone(&w.memo, clock_wall_ms()));
	}
	/* The relay does not take it: that is what ended the session. */
	ends(LISTED);
	memo()->suspect = true;
	w.relay_fails = true;
	assert_false(pop_in_step(&w.s, POP_ODD, SPAN("what?"), false));
	assert_false(w.s.again);
	assert_int_equal(w.event, 0);
	assert_int_equal(w.poll.resumes, 0);
}

static void
nonsense_behind_no_message_is_out_of_step(void **state)
{
	(void)state;
	ends(LISTED);
	assert_true(pop_in_step(&w.s, POP_OK, SPAN(""), false));
	assert_false(pop_in_step(&w.s, POP_ODD, SPAN("what?"), false));
	assert_int_equal(w.odd, 1);
	assert_int_equal(w.dropped + w.told + w.lost, 0);
}

/* Of the listed size it was whole all the same. */
static void
the_connection_is_lost_behind_a_message(void **state)
{
	(void)state;
	for (uint64_t octets = LISTED - 1; octets <= LISTED + 1; octets++) {
		ends(octets);
		assert_false(pop_in_step(&w.s, POP_LOST, SPAN(""), false));
		assert_int_equal(w.lost, 1);
		assert_int_equal(w.released, octets == LISTED);
		assert_int_equal(w.dropped, 0);
		assert_int_equal(w.told, 0);
		pop_held_drop(&w.s);
		assert_int_equal(w.dropped, octets != LISTED);
		check_let_go();
		assert_false(pop_in_step(&w.s, POP_LOST, SPAN(""), false));
		assert_int_equal(w.released, octets == LISTED);
	}
}

static void
the_last_message_is_believed_by_its_size_or_proved(void **state)
{
	(void)state;
	ends(LISTED);
	assert_true(pop_held_prove(&w.s));
	assert_int_equal(w.commands, 0);
	assert_int_equal(w.released, 1);
	check_let_go();
	w.early = true; /* no message of ours is in question */
	assert_true(pop_held_prove(&w.s));
	assert_int_equal(w.released, 1);

	for (int how = 0; how < 6; how++) {
		static const enum pop_answer answers[] = { POP_OK, POP_ERR, POP_ODD,
			POP_LOST };

		ends(how & 1 ? LISTED + 5 : LISTED - 5);
		w.answer = answers[how < 4 ? how : 0];
		w.command_fails = how == 4;
		w.flush_fails = how == 5;
		assert_int_equal(pop_held_prove(&w.s), how < 2);
		assert_int_equal(w.commands, 1);
		assert_int_equal(w.flushes, how != 4);
		assert_int_equal(w.released, how < 2);
		assert_int_equal(w.dropped, how == 2);
		assert_int_equal(w.lost, how == 3);
		pop_held_drop(&w.s);
		assert_int_equal(w.released + w.dropped, 1);
	}
}

static void
what_is_dropped_once_is_dropped(void **state)
{
	(void)state;
	ends(LISTED);
	pop_held_drop(&w.s);
	pop_held_drop(&w.s);
	check_let_go();
	assert_int_equal(w.dropped, 1);
	fetch_memo_done(&w.memo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_shows_that_it_was_whole),
		cmocka_unit_test(what_ended_and_leads_nowhere_needs_no_end),
		cmocka_unit_test(bytes_nobody_asked_for_make_it_suspect),
		cmocka_unit_test(a_poll_goes_on_so_often),
		cmocka_unit_test(a_nameless_suspect_ends_the_poll),
		cmocka_unit_test(the_second_time_it_is_believed_unless_it_is_short),
		cmocka_unit_test(nonsense_behind_no_message_is_out_of_step),
		cmocka_unit_test(the_connection_is_lost_behind_a_message),
		cmocka_unit_test(the_last_message_is_believed_by_its_size_or_proved),
		cmocka_unit_test(what_is_dropped_once_is_dropped),
	};
	const uint64_t seed[2] = { 1, 2 };

	fetch_memo_init(&w.memo, seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
