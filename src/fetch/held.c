/* The end of a message, held back from the relay until the server's next answer shows
 * that the message before it was whole.
 *
 * A server that does not double the dots at the beginning of a line ends a message at a
 * line that holds but a dot, and the rest of it comes where the next answer should. So
 * the relay gets the last octets, and may commit, only when that answer is one. It costs
 * no time where answers follow each other; behind the last one a message that has the
 * size LIST says is believed, and for any other NOOP is asked. What fails the test is not
 * taken: it comes once more, by itself (4020). */
#include <stdlib.h>

#include "message.h"
#include "postern/clock.h"
#include "postern/log.h"

enum {
	RESUMES = 10, /* sessions of one poll that go on where such a one ended */
};

static void
let_go(struct pop_session *s)
{
	free(s->held);
	s->held = NULL;
	s->ended = false;
}

void
pop_held_drop(struct pop_session *s)
{
	if (s->held)
		(void)reading_give_up(s->held, "the message is not known to be whole");
	let_go(s);
}

/* It is whole: the relay gets the rest. */
static bool
release(struct pop_session *s)
{
	bool ok = !s->held || reading_end(s->held);

	let_go(s);
	return ok;
}

static bool
has_listed_size(const struct pop_session *s)
{
	return s->ended_octets == s->listing.items[s->ended_at].octets;
}

void
reading_ended(const struct reading *r)
{
	struct pop_session *s = r->s;

	s->ended = true;
	s->ended_at = r->i;
	s->ended_octets = r->octets;
}

void
reading_hold(const struct reading *r)
{
	struct pop_session *s = r->s;

	s->held = malloc(sizeof(*s->held));
	if (!s->held)
		abort();
	*s->held = *r;
}

static void
say_suspect(struct pop_session *s, size_t i)
{
	AUTO(buf_done) struct buf trace = BUF_MAX(1024);

	if (pop_trace(s, i, &trace))
		log_event(EVENT_BYTES_OUTSIDE_ANSWER,
				FIELDS(f_span("account", s->poll->name),
						f_span("id", buf_span(&trace)),
						f_span("uidl",
								pop_listing_uid(&s->listing,
										i))));
}

/* The next session goes on with the others; false to return. */
static bool
leave(struct pop_session *s, bool remembered)
{
	s->poll->memo->alone_until_ms = clock_wall_ms() + MEMO_HABIT_MS;
	s->again = remembered && s->poll->resumes < RESUMES;
	s->poll->resumes++;
	return s->again ? false
			: pop_fail(s, EVENT_UNEXPECTED_RESPONSE,
					  "bytes nobody asked for behind message %zu",
					  s->ended_at + 1);
}

/* The message that ended last may be a part of itself. The session is over; where the
 * message can be remembered, another one goes on with the others and has it last. Not
 * shorter than LIST says for the second time, it is taken; short again, it will not
 * come better. */
static bool
suspect(struct pop_session *s)
{
	size_t i = s->ended_at;
	bool is_short = s->ended_octets < s->listing.items[i].octets;
	const struct span why = SPAN("the server sent bytes outside of its answer");
	struct memo_message *m =
			fetch_memo_get(s->poll->memo, pop_listing_uid(&s->listing, i));

	if (m && m->suspect && !is_short)
		return release(s) && leave(s, true);
	pop_held_drop(s);
	s->messages[i].durable = false;
	s->poll->result.failures++;
	say_suspect(s, i);
	if (m && m->suspect)
		pop_set_aside(s, i, why);
	else
		pop_attempt_failed(s, i, why);
	if (m)
		m->suspect = true;
	return leave(s, m != NULL);
}

bool
pop_in_step(struct pop_session *s, enum pop_answer answer, struct span text, bool last)
{
	switch (answer) {
	case POP_OK:
	case POP_ERR:
		return last && s->ended && pop_early(&s->wire) ? suspect(s)
							       : release(s);
	case POP_ODD:
		return s->ended ? suspect(s) : pop_out_of_step(s, text);
	case POP_LOST:
		break;
	}
	if (s->ended && has_listed_size(s))
		(void)release(s);
	return pop_lost(s);
}

bool
pop_held_prove(struct pop_session *s)
{
	struct span text;

	if (!s->ended)
		return true;
	if (pop_early(&s->wire))
		return suspect(s);
	if (has_listed_size(s))
		return release(s);
	if (!pop_command(s, "NOOP\r\n") || !pop_flush(s))
		return false;
	enum pop_answer answer = pop_status(&s->wire, &text);
	return pop_in_step(s, answer, text, true);
}
