/* One session from connecting to QUIT: what is asked, in which order. */
#include "session.h"

#include <stdlib.h>

#include "look.h"
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/log.h"
#include "postern/origin.h"
#include "tell.h"

enum { QUIT_QUOTA = 64 * 1024 };

/* ---- what is known of the listing ---- */

static bool
look_up(struct pop_session *s)
{
	struct pop_known *k = &s->known;
	struct err err = { 0 };

	if (!s->poll->reader) {
		k->unknown = s->listing.n;
		return true;
	}
	if (!pop_known_look(k, s->poll->reader, s->poll->name, &s->listing, s->messages,
			    &err))
		return pop_fail(s, err.event ? err.event : EVENT_DATABASE_TROUBLE, "%s",
				err.text);
	if (k->absent.n + k->back.n + k->forget.n > 0)
		tell_listed(s->poll, k);
	return true;
}

/* What earlier polls saw of it. */
static void
recall(struct pop_session *s, size_t i)
{
	const struct memo_message *seen =
			fetch_memo_find(s->poll->memo, pop_listing_uid(&s->listing, i));
	struct pop_message *m = &s->messages[i];

	if (!seen)
		return;
	bool due = fetch_memo_due(seen, clock_wall_ms());

	if (seen->octets <= m->octets)
		m->aside = !due;
	else if (seen->listed == m->octets && !due)
		m->octets = seen->octets; /* it streamed past max_size */
	m->blamed = seen->attempts > 0;
	m->suspect = seen->suspect;
	if (seen->verified && m->known == POP_COMMITTED)
		m->changed = false;
}

static bool
is_listed(void *host, struct span uid)
{
	const struct pop_session *s = host;

	return pop_listing_find(&s->listing, uid) < s->listing.n;
}

static bool
make_plan(struct pop_session *s)
{
	const struct conf_account *a = s->poll->account;
	struct pop_rules rules = {
		.keep_ms = a->keep_s < 0 ? -1 : a->keep_s * 1000,
		.max_size = a->max_size,
		.max_per_session = a->max_per_session,
		.notice = a->oversize == CONF_OVERSIZE_NOTICE && s->caps.top,
		.now_ms = pop_steady_ms(s->poll->reader),
	};
	size_t n = s->listing.n;

	s->messages = calloc(n + 1, sizeof(*s->messages));
	if (!s->messages)
		abort();
	for (size_t i = 0; i < n; i++) {
		struct span uid = pop_listing_uid(&s->listing, i);

		s->messages[i].octets = s->listing.items[i].octets;
		s->messages[i].named = uid.n > 0;
	}
	if (!look_up(s) || !pop_storm_pass(s) || !pop_newcomer_pass(s))
		return false;
	for (size_t i = 0; i < n; i++)
		recall(s, i);
	if (s->listing.unnamed == 0)
		fetch_memo_sweep(s->poll->memo, is_listed, s);
	pop_kept_mark(s);
	pop_plan_make(&rules, s->messages, n, &s->plan);
	if (!pop_owed_prove(s))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s->messages[i].fate == POP_DELETE)
			s->messages[i].durable = true;
		else if (s->messages[i].fate == POP_OVERSIZE)
			pop_say_oversize(s, i, "skip");
	}
	return true;
}

static void
count_plan(struct pop_session *s, bool first)
{
	struct fetch_result *r = &s->poll->result;

	if (first) {
		r->fresh = s->plan.fresh;
		r->skipped = s->plan.oversize + s->plan.notice + s->plan.aside;
	}
	fetch_poll_publish(s->poll);
}

/* ---- the end ---- */

static void
unconfirmed(struct pop_session *s, size_t deletions)
{
	log_event(EVENT_QUIT_UNCONFIRMED,
			FIELDS(f_span("account", s->poll->name),
					f_num("deletions", (int64_t)deletions)));
}

static void
confirmed(struct pop_session *s, const size_t *deleted, size_t n)
{
	crash_point("fetch: QUIT confirmed");
	s->poll->result.deleted += n;
	s->poll->waiting -= n < s->poll->waiting ? n : s->poll->waiting;

	struct span *keys = calloc(n, sizeof(*keys));
	if (!keys)
		abort();
	for (size_t i = 0; i < n; i++)
		keys[i] = pop_key(s, deleted[i]);
	tell_settled(s->poll, keys, n);
	free(keys);
	for (size_t i = 0; i < n && log_wants(2); i++) {
		struct buf trace = BUF_MAX(1024);

		if (pop_trace(s, deleted[i], &trace))
			log_event(EVENT_MESSAGE_DELETED,
					FIELDS(f_span("account", s->poll->name),
							f_span("id", buf_span(&trace)),
							f_span("uidl",
									pop_listing_uid(&s->listing,
											deleted[i]))));
		buf_done(&trace);
	}
}

/* The server applies deletions here and nowhere else (RFC 1939 section 6). */
static bool
quit(struct pop_session *s, const size_t *deleted, size_t n)
{
	struct span text;
	enum pop_answer answer = POP_LOST;

	s->stage = POP_AT_QUIT;
	s->low.quota = QUIT_QUOTA;
	bool said = pop_say_quit(s) && pop_flush(s);
	if (n == 0) {
		/* Nothing is at stake, so its answer is not waited for; but where another
		 * session follows, the mailbox has to be free again. */
		if (said && s->plan.later > 0)
			(void)pop_status(&s->wire, &text);
		s->err = (struct err){ 0 };
		return true;
	}
	if (said)
		answer = pop_status(&s->wire, &text);
	if (answer == POP_OK) {
		confirmed(s, deleted, n);
		return true;
	}
	unconfirmed(s, n);
	if (answer == POP_ERR)
		return pop_refused(s, EVENT_QUIT_UNCONFIRMED, text);
	return pop_fail(s, EVENT_QUIT_UNCONFIRMED, "QUIT was not answered: %s",
			pop_low_error(&s->low));
}

static bool
collect(struct pop_session *s)
{
	size_t *deleted = NULL, n = 0;
	bool ok = pop_retrieve(s);

	fetch_submit_close(s->submit);
	s->submit = NULL;
	s->low.waiting = NULL;
	ok = ok && pop_newcomer_judge(s) && pop_delete(s, &deleted, &n);
	if (ok)
		ok = quit(s, deleted, n);
	else if (n > 0)
		unconfirmed(s, n);
	if (ok)
		pop_kept_judge(s);
	free(deleted);
	/* It gave nothing at all: an account that fails. */
	if (ok && s->refused && !s->came && s->poll->result.collected == 0)
		return pop_fail(s, EVENT_ACCOUNT_REFUSES, "%s", s->poll->refusal.text);
	return ok;
}

static bool
run(struct pop_session *s, bool *more)
{
	bool first = !*more;

	*more = false;
	if (!pop_open(s) || !pop_survey(s))
		return false;
	if (s->poll->look_only) {
		s->poll->result.listed = s->listing.n;
		return look_session(s) && quit(s, NULL, 0);
	}
	s->poll->waiting = s->listing.n;
	s->poll->waiting_octets = s->listing.octets;
	if (first)
		s->poll->result.listed = s->listing.n;
	if (!make_plan(s))
		return false;
	count_plan(s, first);
	if (!collect(s)) {
		*more = s->again && !atomic_load(s->poll->ending);
		return s->again;
	}
	/* Only while sessions achieve something: a server that does not delete would
	 * be asked for ever. */
	*more = s->plan.later > 0 && s->fresh > 0 && !s->relay_down &&
			!pop_time_is_up(s, true);
	return true;
}

bool
pop_session_run(struct fetch_poll *p, bool *more)
{
	struct pop_session *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->poll = p;
	s->pop = mailpop3_new(0, NULL);
	if (!s->pop)
		abort();
	pop_listing_init(&s->listing);
	pop_known_init(&s->known);
	s->head = BUF_MAX(HEADER_MAX);
	s->out = BUF_MAX(SUBMIT_BATCH);
	s->told_from = BUF_MAX(WIRE_LINE);
	s->told_to = BUF_MAX(WIRE_LINE);
	s->words = ARENA_MAX(POP_REFUSAL_WORDS);

	bool ok = run(s, more) && s->err.event == 0;
	if (ok) {
		pop_fast_remember(s);
	} else {
		ring_add(&p->ring, clock_mono_ms(), "end", span_of(s->err.text));
		p->result.error = s->err;
		p->stage = pop_stage_name(s->stage);
		if (s->low.dial)
			p->end = dial_why(s->low.dial);
	}
	/* State 0 (disconnected): frees without sending QUIT. */
	s->pop->pop3_state = 0;
	mailpop3_free(s->pop);
	dial_close(s->low.dial);
	for (size_t i = 0; s->keys && i < s->listing.n; i++)
		free(s->keys[i]);
	free(s->keys);
	pop_listing_done(&s->listing);
	free(s->messages);
	pop_known_done(&s->known);
	buf_done(&s->head);
	buf_done(&s->out);
	buf_done(&s->told_from);
	buf_done(&s->told_to);
	arena_done(&s->words);
	free(s->refusals);
	free(s);
	return ok;
}
