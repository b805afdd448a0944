/* One message: its header is gathered, who receives it is decided, then header
 * and body go straight through to the relay. */
#include <stdio.h>

#include "dots.h"
#include "message.h"
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/event.h"
#include "postern/log.h"
#include "postern/num.h"
#include "print.h"

enum {
	HEAD_KEPT = 64 * 1024, /* a larger header's memory is given back */
	PROGRESS_OCTETS = 1024 * 1024,
	DAY_MS = 24 * 3600 * 1000,
};

/* ---- events ---- */

static void
log_fact(struct pop_session *s, size_t i, const struct recipients_fact *f,
		size_t aliases)
{
	const struct event *e = event_find(f->event);
	struct buf trace = BUF_MAX(1024);
	struct span uidl = pop_key(s, i);

	if (!e || !log_wants(e->level) || !pop_trace(s, i, &trace))
		return;

	struct field fields[3 + ROUTING_FACT_FIELDS] = {
		f_span("account", s->poll->name),
		f_span("id", buf_span(&trace)),
		f_span("uidl", uidl),
	};
	routing_fact_fields(f, aliases, fields + 3);
	log_event(f->event, fields);
	buf_done(&trace);
}

static void
make_flight(struct reading *r, const struct recipients *to, struct span route)
{
	struct pop_session *s = r->s;
	struct buf trace = BUF_MAX(1024);

	(void)pop_trace(s, r->i, &trace);
	r->flight = fetch_flight_new(&(struct fetch_flight){
			.index = r->i,
			.trace = buf_span(&trace),
			.recipients = to->v,
			.n = to->n,
			.sender = to->sender,
			.utf8 = to->utf8,
			.route = route,
			.reading = true,
			.notice = r->key.n > 0,
			.collect = {
				.account = s->poll->name,
				.uidl = r->key.n ? r->key : pop_key(s, r->i),
				.print = r->key.n ? 0
						  : pop_print(buf_span(&s->head),
								    s->listing.items[r->i]
										    .octets),
				.provider = span_of(s->poll->account->server.name),
				.ip = span_of(s->ip),
				.tls = dial_is_tls(s->low.dial),
				.badmail = to->outcome == RECIPIENTS_BADMAIL
						? SPAN("no-recipients")
						: SPAN(""),
				.hold = to->outcome == RECIPIENTS_HOLD
						? SPAN("unrouted")
						: SPAN(""),
				.fallback = to->outcome == RECIPIENTS_FALLBACK
						? SPAN("no-recipients")
						: SPAN(""),
				.copies = !s->poll->account->dedup,
			},
	});
	buf_done(&trace);
}

/* The header as it goes on (E13, E15). */
static bool
add_header(struct reading *r, const struct recipients *to, bool open)
{
	const struct recipients_account *who = &r->s->poll->routing.account;
	struct rewrite_rules rules = {
		/* Held: somebody will say who, maybe several. */
		.recipients = to->outcome == RECIPIENTS_HOLD ? SIZE_MAX : to->n,
		.only = to->n == 1 ? to->v[0] : SPAN(""),
		.served = who->served,
		.names = who->names,
		.n_names = who->n_names,
		.preserve_signed = r->s->poll->account->preserve_signed,
		.open = open,
	};
	struct rewrite rewrite;
	struct span piece;
	AUTO(buf_done) struct buf line = BUF_MAX(256);

	if (!routing_header_line(to, &line) || !reading_add(r, buf_span(&line)))
		return false;
	rewrite_init(&rewrite, buf_span(&r->s->head), &rules);
	while (rewrite_next(&rewrite, &piece))
		if (!reading_add(r, piece))
			return false;
	return true;
}

/* The header is here, or as much of it as is looked at (open). */
bool
reading_decide(struct reading *r, bool open)
{
	struct pop_session *s = r->s;

	r->decided = true;
	if (r->key.n == 0 && !reading_name(r))
		return false;
	if (r->drop) {
		s->poll->result.known++;
		return true;
	}

	struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	struct buf route = BUF_MAX(RECIPIENTS_RECORD_MAX);
	struct recipients to;
	const struct recipients_envelope told = { buf_span(&s->told_to),
		buf_span(&s->told_from) };
	recipients_decide_told(&s->poll->routing.account, s->told ? &told : NULL,
			buf_span(&s->head), &arena, &to);
	size_t aliases = 0;
	for (size_t i = 0; i < to.n_facts; i++)
		aliases += to.facts[i].event == EVENT_ALIAS_APPLIED;
	for (size_t i = 0; i < to.n_facts; i++) {
		if (to.facts[i].event !=
				EVENT_NOBODY_FOUND_HELD) /* once it is held: say_held */
			log_fact(s, r->i, &to.facts[i], aliases);
	}
	/* With what was known when it was decided: before it is learned from. */
	if (!recipients_record(&s->poll->routing.account, &to, &route))
		buf_clear(&route);
	/* A notice about a message that is too large is decided by a part of it. */
	if (r->key.n == 0 && !s->poll->routing.account.user)
		provider_learn(&s->poll->memo->provider, &to.seen);
	make_flight(r, &to, buf_span(&route));

	bool ok = add_header(r, &to, open);
	buf_done(&route);
	arena_done(&arena);
	return ok;
}

/* ---- reading ---- */

/* LIST said less than it is. Where that is more than may be collected, the session
 * ends here and the next one passes it over; the listing alone is no reason. */
static bool
too_large(struct reading *r)
{
	struct pop_session *s = r->s;
	uint64_t max = s->poll->account->max_size;
	struct memo_message *m;

	if (max == 0 || r->octets <= max)
		return false;
	m = fetch_memo_get(s->poll->memo, pop_listing_uid(&s->listing, r->i));
	if (m) {
		bool first = m->octets == 0;

		m->octets = r->octets;
		m->listed = s->listing.items[r->i].octets;
		m->next_ms = clock_wall_ms() + DAY_MS;
		s->again = true;
		s->messages[r->i].octets = r->octets;
		pop_say_oversize(s, r->i, "stopped");
		if (first) /* what becomes of it is told by the next session */
			m->told = false;
	} else {
		(void)pop_fail(s, EVENT_UNEXPECTED_RESPONSE,
				"message %zu is larger than LIST says and than "
				"max_size",
				r->i + 1);
	}
	return true;
}

static bool
take(struct reading *r, struct span bytes)
{
	struct pop_session *s = r->s;

	r->octets += bytes.n;
	s->moved += bytes.n;
	if (too_large(r))
		return false;
	if (s->moved > PROGRESS_OCTETS)
		pop_progress(s);
	if (r->decided)
		return reading_add(r, bytes);

	size_t n = header_end_feed(&r->end, bytes), room = HEADER_MAX - s->head.n;
	bool open = n > room;
	struct span head = span_first(bytes, open ? room : n);

	if (!buf_add(&s->head, head))
		return false;
	if (!r->end.found && !open && s->head.n < HEADER_MAX)
		return true;
	return reading_decide(r, open || !r->end.found) &&
			reading_add(r, span_skip(bytes, head.n));
}

/* The bytes ended before the message did; nothing of it was kept. */
static bool
cut(struct reading *r)
{
	struct pop_session *s = r->s;
	struct buf trace = BUF_MAX(1024);

	if (pop_trace(s, r->i, &trace))
		log_event(EVENT_MESSAGE_CUT,
				FIELDS(f_span("account", s->poll->name),
						f_span("id", buf_span(&trace)),
						f_span("uidl", pop_key(s, r->i)),
						f_num("bytes", (int64_t)r->octets)));
	buf_done(&trace);
	s->poll->result.failures++;
	(void)pop_lost(s);
	pop_attempt_failed(s, r->i, span_of(s->err.text));
	return reading_give_up(r, "the message ended too early");
}

/* Short of what LIST says, and not to be believed yet? */
static bool
short_of(struct reading *r)
{
	struct pop_session *s = r->s;
	enum reading_size is = reading_size(r);
	char why[100];

	if (is == SIZE_SHORT) {
		(void)snprintf(why, sizeof(why),
				"only %llu of the %llu octets of LIST came",
				(unsigned long long)r->octets,
				(unsigned long long)s->listing.items[r->i].octets);
		pop_not_retrieved(s, r->i, span_of(why));
	}
	return is != SIZE_FITS;
}

/* This server fell out of step lately: is the number still this message's (P05)? */
static bool
still_its_number(struct pop_session *s, size_t i)
{
	struct span uid = pop_listing_uid(&s->listing, i), text, words;
	char line[32];
	uint64_t number;

	if (uid.n == 0 || !fetch_memo_alone(s->poll->memo, clock_wall_ms()))
		return true;
	(void)snprintf(line, sizeof(line), "UIDL %zu\r\n", i + 1);
	if (!pop_command(s, line) || !pop_flush(s))
		return false;
	enum pop_answer answer = pop_status(&s->wire, &text);
	words = text;
	/* Some know UIDL without a number only: -ERR. */
	if (answer == POP_OK &&
			!(num_u64(span_word(&words), LISTING_MESSAGES, &number) &&
					number == i + 1 &&
					span_eq(span_word(&words), uid)))
		return pop_fail(s, EVENT_UNEXPECTED_RESPONSE,
				"message %zu is another one now than in the listing",
				i + 1);
	return pop_in_step(s, answer, text, true);
}

/* The message is still at the provider, and somebody has to see to it. Until then the
 * server is asked anew what it can do. */
static bool
not_itself(struct reading *r)
{
	struct pop_session *s = r->s;

	s->poll->memo->heard_ms = 0;
	pop_not_retrieved(s, r->i,
			SPAN("+OK, but the server gave a notice of its own in place of the "
			     "message, whose header holds raw UTF-8"));
	(void)reading_give_up(r, "a notice came in place of the message");
	return true;
}

static bool
finish(struct reading *r)
{
	struct pop_session *s = r->s;

	reading_ended(r);
	if (r->octets == 0 && s->listing.items[r->i].octets > 2) {
		pop_not_retrieved(s, r->i, SPAN("+OK, but the message is empty"));
		return true;
	}
	if (short_of(r)) {
		(void)reading_give_up(r, "the message is not whole");
		return true;
	}
	if (!r->decided && !reading_decide(r, false))
		return reading_give_up(r, "the message cannot be handed over");
	if (reading_is_known(r)) {
		(void)reading_give_up(r, "the message is here already");
		return true;
	}
	if (r->replaced || reading_replaced(r, buf_span(&s->out)))
		return not_itself(r);
	if (r->drop)
		return true;
	reading_hold(r);
	return still_its_number(s, r->i);
}

bool
pop_message_read(struct pop_session *s, size_t index)
{
	struct pop_dots dots = { .lenient = s->wire.lenient };
	struct reading r = { .s = s, .i = index };

	crash_point("fetch: message in hand");
	buf_clear(&s->out);
	if (s->head.cap > HEAD_KEPT)
		buf_done(&s->head);
	buf_clear(&s->head);
	while (dots.place != DOTS_OVER) {
		struct span have = pop_have(&s->wire), in = have, out;

		if (have.n == 0)
			return cut(&r);
		while (in.n > 0 && dots.place != DOTS_OVER) {
			pop_dots_next(&dots, &in, &out);
			if (out.n > 0 && !take(&r, out))
				return reading_give_up(
						&r, "the message cannot be collected");
		}
		pop_take(&s->wire, have.n - in.n);
	}
	return finish(&r);
}
