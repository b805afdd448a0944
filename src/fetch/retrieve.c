/* RETR and DELE, in windows where the server pipelines (RFC 2449 section 6.6). */
#include <stdio.h>
#include <stdlib.h>

#include "hand.h"
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/date.h"
#include "postern/log.h"
#include "session.h"

enum {
	/* 1000 commands always fit the socket's buffer, so that neither side can
	 * wait for the other to read; the octets bound what an abort wastes. */
	WINDOW = 1000,
	WINDOW_OCTETS = 16 * 1024 * 1024,
};

struct window {
	struct pop_session *s;
	const char *verb;
	bool quits; /* QUIT goes with the last command */
	bool retrieves; /* counts octets, and stops when the poll is to end */
	bool alone; /* one command at a time */
	const uint32_t *order; /* places in the listing */
	size_t n, sent, done;
	size_t until; /* so many, before it is seen whom a new account's mail reaches */
	uint64_t octets; /* expected for what is under way */
};

static uint64_t
octets_of(const struct window *w, size_t i)
{
	return w->s->listing.items[w->order[i]].octets;
}

/* Is a message under way, or the next one, that came with bytes nobody asked for? It
 * comes by itself. They stand last in the order. */
static bool
suspects(const struct window *w)
{
	return w->retrieves && w->s->messages[w->order[w->sent]].suspect;
}

static bool
room(const struct window *w)
{
	size_t out = w->sent - w->done;

	if (w->sent == w->until || pop_time_is_up(w->s, w->retrieves))
		return false;
	if (w->alone || suspects(w))
		return out == 0;
	return out < WINDOW && (out < 2 || w->octets < WINDOW_OCTETS);
}

/* Fills the window when it is half empty, so that commands go out in batches. */
static bool
send_more(struct window *w)
{
	size_t out = w->sent - w->done;
	bool sent = false;

	if (out > WINDOW / 2)
		return true;
	while (room(w)) {
		char line[32];

		if (w->retrieves && !pop_sdps_ask(w->s, w->order[w->sent]))
			return false;

		(void)snprintf(line, sizeof(line), "%s %zu\r\n", w->verb,
				(size_t)w->order[w->sent] + 1);
		if (!pop_command(w->s, line))
			return false;
		w->octets += w->retrieves ? octets_of(w, w->sent) : 0;
		w->sent++;
		sent = true;
	}
	if (sent && w->sent == w->n && w->quits && !w->alone && !pop_say_quit(w->s))
		return false;
	return !sent || pop_flush(w->s);
}

static bool
read_one(struct window *w)
{
	struct pop_session *s = w->s;
	size_t i = w->order[w->done];
	struct span text;

	s->low.quota = UINT64_MAX;
	enum pop_answer answer = pop_status(&s->wire, &text);
	/* Where no message ended before it, it is this one that the server stumbles over. */
	if (answer == POP_ODD && !s->ended)
		pop_not_retrieved(s, i, text);
	if (!pop_in_step(s, answer, text, false))
		return false;
	if (answer == POP_OK) {
		s->came = true;
		pop_refusals_theirs(s);
		hand_take(s->poll->hand, pop_listing_uid(&s->listing, i));
		if (!pop_message_read(s, i))
			return false;
		hand_drop(s->poll->hand);
	} else {
		pop_refusal(s, i, text);
	}
	w->octets -= octets_of(w, w->done);
	w->done++;
	pop_progress(s);
	return true;
}

/* A read is about to wait for the server: what is gathered for the relay goes
 * out, unless more comes within a moment. */
static void
while_waiting(void *host)
{
	struct pop_session *s = host;

	if (s->submit && fetch_submit_pending(s->submit) && !dial_wait(s->low.dial, 2))
		fetch_submit_flush(s->submit);
}

/* Sets how far it goes now. Of a new account all that came is answered first; false: it is
 * held, or the session is over. */
static bool
go_on(struct window *w)
{
	struct pop_session *s = w->s;

	if (w->done > 0) {
		if (!pop_held_prove(s))
			return false;
		if (s->submit && !fetch_submit_drain(s->submit))
			return false; /* pop_retrieve says why */
		if (!pop_newcomer_judge(s))
			return false;
	}
	size_t more = pop_newcomer_more(s), left = w->n - w->done;
	w->until = w->done + (more < left ? more : left);
	return true;
}

static bool
retrieve_window(struct window *w)
{
	while (w->done < w->n) {
		if (w->done == w->until && !go_on(w))
			return false;
		if (!send_more(w))
			return false;
		if (w->done == w->sent)
			break; /* told to end */
		if (!read_one(w))
			return false;
		if (w->s->relay_down)
			return pop_fail(w->s, EVENT_SUBMISSION_DEFERRED,
					"the relay takes no mail");
	}
	return pop_held_prove(w->s);
}

/* What failed before comes last, and what the server sent more of than it should last of
 * all, so that nothing waits for it. */
static int
rank(const struct pop_message *m)
{
	return m->suspect ? 2 : m->blamed ? 1 : 0;
}

static void
fill(struct window *w, uint32_t *order)
{
	struct pop_session *s = w->s;

	for (int now = 0; now <= 2; now++) {
		for (size_t i = 0; i < s->listing.n; i++) {
			const struct pop_message *m = &s->messages[i];

			if ((m->fate == POP_RETRIEVE || m->fate == POP_VERIFY) &&
					rank(m) == now)
				order[w->n++] = (uint32_t)i;
		}
	}
}

/* What was shorter than LIST says is asked for again, each by itself. */
static bool
retrieve_again(struct window *w, uint32_t *order)
{
	bool ok = true;

	w->alone = true;
	do {
		w->n = w->sent = w->done = w->until = 0;
		for (size_t i = 0; i < w->s->listing.n; i++) {
			if (w->s->messages[i].again)
				order[w->n++] = (uint32_t)i;
			w->s->messages[i].again = false;
		}
		ok = retrieve_window(w);
	} while (ok && w->n > 0);
	return ok;
}

bool
pop_retrieve(struct pop_session *s)
{
	size_t n = s->listing.n;
	uint32_t *order = calloc(n + 1, sizeof(*order));
	struct window w = { .s = s,
		.verb = "RETR",
		.retrieves = true,
		.order = order,
		.alone = !s->caps.pipelining || pop_sdps_wanted(s) };

	if (!order)
		abort();
	/* QUIT never goes behind RETR: some servers close the connection before the end of
	 * the message is out. */
	fill(&w, order);
	s->stage = POP_AT_RETR;
	s->low.waiting = while_waiting;
	s->low.host = s;

	bool ok = retrieve_window(&w) && retrieve_again(&w, order);
	pop_refusals_end(s);
	ok = ok && pop_notices(s);
	pop_held_drop(s);
	/* What was handed over before a failure is answered all the same. */
	if (s->submit && !fetch_submit_drain(s->submit) && !s->relay_down) {
		s->relay_down = true;
		ok = pop_fail(s, EVENT_SUBMISSION_DEFERRED, "%s",
				fetch_submit_error(s->submit));
	}
	if (ok && s->relay_down)
		ok = pop_fail(s, EVENT_SUBMISSION_DEFERRED, "the relay takes no mail");
	free(order);
	return ok;
}

/* It was durable when it was looked up, or submitted. Its body may have been found damaged
 * since (5009): its origin is forgotten then, and what the provider has is all there is. */
static bool
still_known(struct pop_session *s, size_t i)
{
	enum origin_state state;
	struct err err = { 0 };

	if (!s->poll->reader)
		return true;
	if (origin_look(s->poll->reader, s->poll->name, pop_key(s, i), &state, NULL,
			    &err))
		return state != ORIGIN_NEW;
	log_err(&err, s->poll->name, (struct span){ NULL, 0 });
	return false;
}

/* True: it is left out for a day from now on. */
static bool
not_deleted(struct pop_session *s, size_t i, unsigned most)
{
	struct span uid = pop_listing_uid(&s->listing, i);
	struct memo_message *m = fetch_memo_get(s->poll->memo, uid);

	return m && fetch_memo_not_deleted(m, most, clock_wall_ms());
}

static void
say_left_out(struct pop_session *s, size_t i)
{
	AUTO(buf_done) struct buf trace = BUF_MAX(1024);
	struct span uid = pop_listing_uid(&s->listing, i);
	const struct memo_message *m = fetch_memo_find(s->poll->memo, uid);
	char until[DATE_ISO_SIZE];

	if (!m || !pop_trace(s, i, &trace))
		return;
	date_iso(m->delete_ms, until);
	log_event_at(EVENT_MESSAGE_KEPT, 'W', 0,
			FIELDS(f_span("account", s->poll->name),
					f_span("id", buf_span(&trace)),
					f_span("uidl", uid), f_str("until", until)));
}

static bool
may_delete(const struct pop_session *s, size_t i)
{
	const struct memo_message *m =
			fetch_memo_find(s->poll->memo, pop_listing_uid(&s->listing, i));

	return !m || fetch_memo_may_delete(m, clock_wall_ms());
}

static void
no_good_answer(struct pop_session *s, size_t i)
{
	if (not_deleted(s, i, MEMO_DELETES))
		say_left_out(s, i);
}

/* DELEs that were answered by -ERR. One of them may be the race with another client; where
 * all are, it is the account's trouble and said once. */
struct undeleted {
	size_t n;
	size_t *left; /* of them, those left out from now on */
	size_t n_left;
	struct err first;
};

static void
refused(struct undeleted *u, struct pop_session *s, size_t i, struct span text)
{
	if (u->n++ == 0)
		(void)err_set(&u->first, EVENT_ACCOUNT_REFUSES, "DELE: -ERR " SPAN_FMT,
				SPAN_ARG(span_first(text, 200)));
	if (not_deleted(s, i, MEMO_DELETES_REFUSED))
		u->left[u->n_left++] = i;
}

static void
say_undeleted(const struct undeleted *u, struct pop_session *s, bool all)
{
	if (all && u->n > 1 && s->poll->refused == 0) {
		s->poll->refused = u->n;
		s->poll->refusal = u->first;
		return;
	}
	for (size_t k = 0; k < u->n_left; k++)
		say_left_out(s, u->left[k]);
}

/* Only what is durable here. The answer to DELE is a promise; QUIT keeps it. */
bool
pop_delete(struct pop_session *s, size_t **deleted, size_t *n)
{
	uint32_t *order = calloc(s->listing.n + 1, sizeof(*order));
	struct window w = { .s = s,
		.verb = "DELE",
		.order = order,
		.alone = !s->caps.pipelining,
		.quits = true };
	struct undeleted u = { .left = calloc(s->listing.n + 1, sizeof(*u.left)) };
	struct span text;

	*deleted = calloc(s->listing.n + 1, sizeof(**deleted));
	if (!order || !*deleted || !u.left)
		abort();
	for (size_t i = 0; i < s->listing.n; i++)
		if (s->messages[i].durable && may_delete(s, i) && still_known(s, i))
			order[w.n++] = (uint32_t)i;
	w.until = w.n;
	s->stage = POP_AT_DELE;
	crash_point("fetch: before DELE");

	bool ok = true;
	while (ok && w.done < w.n) {
		s->low.quota = WIRE_LINE * (uint64_t)(WINDOW + 1) + POP_STREAM_BUFFER;
		ok = send_more(&w);
		if (!ok || w.done == w.sent)
			break;
		switch (pop_status(&s->wire, &text)) {
		case POP_OK:
			(*deleted)[*n] = order[w.done];
			*n += 1;
			break;
		case POP_ERR:
			refused(&u, s, order[w.done], text);
			break;
		case POP_ODD:
			no_good_answer(s, order[w.done]);
			ok = pop_out_of_step(s, text);
			break;
		case POP_LOST:
			no_good_answer(s, order[w.done]);
			ok = pop_lost(s);
			break;
		}
		pop_progress(s);
		w.done++;
	}
	say_undeleted(&u, s, *n == 0);
	free(u.left);
	free(order);
	return ok;
}
