/* sending: what a session with a next hop says, and what it makes of the answers.
 *
 * It takes leases of its hop, one after the other, splits them into transactions of
 * at most 100 recipients (E12), feeds them to the sending engine and passes its
 * verdicts on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outbound.h"

#include "postern/log.h"

enum {
	OUT_ENOUGH = 512 * 1024, /* no more of a body while so much is on the way */
	LINGER_MS = 2000, /* without mail, before QUIT: more may come */
	GOODBYE_MS = 5 * 1000, /* for the answer to QUIT */
	CAREFUL_MS = 24 * 3600 *
			1000, /* no pipelining past the dot to who lost count once */
};

/* ---- the end ---- */

static void
send_free(struct send *s)
{
	list_del(&s->link);
	free(s->index);
	free(s->addresses);
	free(s->again);
	free(s);
}

static void
body_end(struct outbound *o)
{
	body_close(o->body);
	o->body = NULL;
	o->feeding = NULL;
	o->piece = (struct span){ NULL, 0 };
	o->cut = false;
}

static void
busy(struct outbound *o, bool more)
{
	if (more && o->leases++ == 0)
		o->h->busy++;
	else if (!more && --o->leases == 0)
		o->h->busy--;
}

static void
lease_over(struct outbound *o, struct lease *l)
{
	busy(o, false);
	if (o->l == l)
		o->l = NULL;
	free(l->todo);
	l->todo = NULL;
	if (l->left < l->m->n)
		settle_lease(o->r, l);
	else
		dispatch_forget(l); /* nobody was asked */
}

/* The session is over and freed. Those who have no verdict yet get `why` (NULL: they
 * stay as they are); with `failed` the hop would not talk to us at all. */
void
outbound_over(struct outbound *o, const struct verdict *why, bool failed)
{
	struct hop *h = o->h;
	struct relay *r = o->r;
	enum session_end end = failed ? SESSION_FAILED
			: why && o->tried && !o->answered && !o->stopping && !o->ours
			? SESSION_BROKE
			: SESSION_DONE;

	body_end(o);
	LIST_EACH (link, &o->sends) {
		struct send *s = LIST_ITEM(link, struct send, link);
		struct lease *l = s->l;

		if (why)
			settle_all(l, why);
		send_free(s);
		if (--l->sends == 0 && l != o->l)
			lease_over(o, l);
	}
	if (o->l) {
		if (why && !o->stopping)
			settle_all(o->l, why);
		lease_over(o, o->l);
	}
	if (o->query)
		dns_cancel(o->query);
	list_del(&o->link);
	stream_free(o->stream);
	smtp_client_free(o->engine);
	loop_timer_free(o->timer);
	free(o);
	dispatch_session_gone(h, end, why);
	jobs_flush(r->jobs);
}

void
outbound_failed(struct outbound *o, int event, const char *words)
{
	struct verdict v = verdict_make(FATE_DEFERRED, 0,
			event == 2006 ? "4.4.3" : "4.4.1", "connect to %s: %s", o->host,
			words);

	log_event(event, FIELDS(f_str("host", o->host), f_str("err", words)));
	outbound_over(o, &v, true);
}

/* ---- what is sent ---- */

/* The recipients of a lease that are still to be asked. */
static void
lease_begin(struct outbound *o, struct lease *l)
{
	l->host = lease_words(l, span_of(o->host));
	l->todo = calloc(l->m->n, sizeof(*l->todo));
	if (!l->todo)
		abort();
	for (size_t i = 0; i < l->m->n; i++)
		if (l->open[i])
			l->todo[l->todo_n++] = i;
	l->attempted = true;
	o->l = l;
	busy(o, true);
}

static struct send *
send_new(struct outbound *o, struct lease *l)
{
	struct send *s = calloc(1, sizeof(*s));
	size_t n = l->todo_n - l->todo_at;

	if (n > o->most)
		n = o->most;
	if (s) {
		s->index = calloc(n, sizeof(*s->index));
		s->addresses = calloc(n, sizeof(*s->addresses));
		s->again = calloc(n, sizeof(*s->again));
	}
	if (!s || !s->index || !s->addresses || !s->again)
		abort();
	s->l = l;
	s->n = n;
	for (size_t i = 0; i < n; i++) {
		s->index[i] = l->todo[l->todo_at++];
		s->addresses[i] = l->m->recipients[s->index[i]].address;
	}
	list_add(&o->sends, &s->link);
	l->sends++;
	l->parts++;
	return s;
}

/* What those get who were not sent a body that cannot be read; the event of it. */
static struct verdict
unreadable(struct lease *l, const struct err *err)
{
	if (err->event == BODY_DAMAGED) /* 5009 comes with the settlement */
		return settle_damage(l, err->text);
	log_err(err, l->m->account, (struct span){ NULL, 0 });
	return verdict_make(FATE_DEFERRED, 0, "4.3.0", "%s", err->text);
}

/* No more of this message can be sent, and `err` says why, or it is settled already: those
 * who were not asked have their answer. Those who were still get theirs; the lease ends with
 * the last of them. */
static void
lease_unreadable(struct outbound *o, struct lease *l, bool gone, const struct err *err)
{
	if (gone) {
		l->todo_at = l->todo_n;
	} else {
		struct verdict v = unreadable(l, err);

		while (l->todo_at < l->todo_n)
			settle_verdict(l, l->todo[l->todo_at++], &v);
	}
	if (l->sends == 0)
		lease_over(o, l);
}

/* Opens the body of the next transaction, taking a lease when there is none. False:
 * nothing to send. */
static bool
next_body(struct outbound *o)
{
	for (;;) {
		struct err err = { 0 };
		bool gone;

		if (!o->l) {
			struct lease *l = o->stopping ? NULL : dispatch_take(o->h);

			if (!l)
				return false;
			lease_begin(o, l);
		}
		struct lease *l = o->l;
		if (l->todo_at == l->todo_n) { /* answers to come may ask for more */
			return false;
		}
		o->body = body_find(o->r->reader, l->m->id, &gone, &err);
		if (o->body)
			return true;
		lease_unreadable(o, l, gone, &err);
	}
}

/* A sender who is not ASCII cannot be said to a hop without SMTPUTF8. Whoever submitted
 * the message hears of that (5.6.7). Of collected mail nobody outside ever does (E9): its
 * sender serves nothing but a bounce that must not reach them, so it goes with the null
 * sender, which says just that, rather than not at all; who wrote it stands in the header. */
static struct span
sender_for(const struct outbound *o, const struct queue_message *m)
{
	bool lost = m->account.n > 0 && smtp_is_utf8(m->sender) &&
			!smtp_client_caps(o->engine)->smtputf8;

	return lost ? (struct span){ "", 0 } : m->sender;
}

static bool
send_next(struct outbound *o)
{
	if (o->stopping && (!o->l || o->l->sends == 0))
		return false;
	if (!next_body(o))
		return false;

	struct lease *l = o->l;
	struct send *s = send_new(o, l);
	const bool bare = l->m->flags & MESSAGE_BARE;
	const struct smtp_client_out out = {
		.mark = (uint64_t)(uintptr_t)s,
		.sender = sender_for(o, l->m),
		.recipients = s->addresses,
		.n = s->n,
		.size = body_size(o->body),
		.eight_bit = l->m->flags & MESSAGE_8BIT,
		.bare = bare,
		.nul = bare,
		/* E9: nobody outside hears of collected mail; and nobody of a notice. */
		.no_notify = l->m->account.n > 0 || l->m->sender.n == 0,
		.utf8 = l->m->flags & MESSAGE_UTF8,
	};
	o->feeding = s;
	o->body_left = out.size;
	o->piece = (struct span){ NULL, 0 };
	o->tried = true;
	o->piped = o->piped || smtp_client_under_way(o->engine) > 0;
	smtp_client_send(o->engine, &out);
	/* When all its recipients are on the way and none can come back, the next
	 * message may follow; a message in several transactions goes alone. */
	if (l->todo_at == l->todo_n && s->n == l->m->n && s->n == 1)
		o->l = NULL;
	return true;
}

/* The rest of a body cannot be had. Its end is never said, so that nobody can take what was
 * sent for the message; only closing the connection can tell the peer. The messages before
 * it have their answers first. */
static bool
break_off(struct outbound *o)
{
	struct send *s = o->feeding;

	if (smtp_client_under_way(o->engine) > 1)
		return false;
	struct verdict v = unreadable(s->l, &o->why);
	if (o->why.event == BODY_DAMAGED)
		settle_all(s->l, &v);
	smtp_client_abandon(o->engine, "the message cannot be read");
	o->ours = true;
	body_end(o);
	return true;
}

/* Some of the body to the engine; true when any of it moved. */
static bool
feed_body(struct outbound *o)
{
	bool moved = false;

	if (o->cut && !smtp_client_body_done(o->engine))
		return break_off(o);
	while (o->body && !o->cut && smtp_client_wants_body(o->engine) &&
			stream_pending(o->stream) + smtp_client_output(o->engine).n <
					OUT_ENOUGH) {
		if (o->piece.n == 0 && o->body_left > 0) {
			o->cut = !body_next(o->body, &o->piece, &o->why);
			if (o->cut)
				return true;
			o->body_left -= o->piece.n;
		}
		size_t n = smtp_client_body(o->engine, o->piece, o->body_left == 0);
		o->piece = span_skip(o->piece, n);
		if (n > 0)
			moved = true;
		if (smtp_client_body_done(o->engine))
			break;
		if (n == 0)
			break;
	}
	if (o->body && smtp_client_body_done(o->engine)) {
		body_end(o);
		moved = true;
	}
	return moved;
}

/* ---- what the engine tells ---- */

static void
fact_recipient(const struct smtp_fact *f)
{
	struct send *s = (struct send *)(uintptr_t)f->mark;
	size_t i = s->index[f->recipient];

	if (f->again || f->untried) {
		s->again[s->again_n++] = i;
		return;
	}
	s->answered++;
	if (!f->in_doubt) {
		settle_verdict(s->l, i, f->verdict);
		return;
	}

	/* C04: all was sent and no reply came. */
	struct verdict v = verdict_make(f->verdict->fate, f->verdict->code,
			f->verdict->esc, "%s (in doubt: it may have been delivered)",
			f->verdict->text);
	settle_verdict(s->l, i, &v);
}

/* Nothing of it was taken, and nobody is to blame: whoever carries on with the lease tries
 * again at once; where nobody does, it is loaded anew. */
static void
not_tried(struct outbound *o, struct send *s)
{
	struct lease *l = s->l;

	for (size_t i = 0; i < s->again_n; i++)
		l->todo[--l->todo_at] = s->again[i];
	send_free(s);
	if (--l->sends > 0)
		return;
	if (o->l == l && !o->stopping)
		return;
	lease_over(o, l);
	dispatch_nudge(o->h->d, o->h->key);
}

/* This connection takes no more. Where it took but one message, it is one for each. */
static void
is_spent(struct outbound *o, int code)
{
	if (o->done <= 1 && code == 503)
		o->h->single = true;
	o->stopping = true;
}

/* Was it BODY= that was refused? Without it the message is on its way again; where that is
 * refused as well, it was something else. */
static void
note_body(struct outbound *o, const struct smtp_fact *f)
{
	int code = f->verdict->code;

	if (code == 501 || code == 504 || code == 555)
		o->h->no_body_until_ms =
				f->untried ? loop_now_ms(o->r->loop) + CAREFUL_MS : 0;
}

static void
fact_message(struct outbound *o, const struct smtp_fact *f)
{
	struct send *s = (struct send *)(uintptr_t)f->mark;
	struct lease *l = s->l;

	if (f->verdict->code != 0 && !f->in_doubt) {
		o->answered = true;
		dispatch_session_answers(o->h);
	}
	l->changed |= f->changed;
	l->nul |= f->nul;
	if (o->feeding == s)
		body_end(o);
	if (f->spent)
		is_spent(o, f->verdict->code);
	note_body(o, f);
	if (f->untried) {
		not_tried(o, s);
		return;
	}
	o->done++;
	o->stopping = o->stopping || o->h->single;
	if (s->again_n > 0 && s->answered > 0 && s->answered < o->most)
		o->most = s->answered; /* what it takes at a time (E12) */
	for (size_t i = 0; i < s->again_n; i++)
		if (s->answered > 0) /* goes at once, in another transaction */
			l->todo[--l->todo_at] = s->again[i];
		else /* it takes not even one: that is no matter of number */
			settle_verdict(l, s->again[i], f->verdict);
	send_free(s);
	if (--l->sends > 0 || (l->todo_at < l->todo_n && !o->stopping))
		return;
	lease_over(o, l);
}

static void
fact_greeted(struct outbound *o, struct span heard)
{
	char own[300];

	/* C12, E10 (e): it is us. Not by name alone: two services may share a machine. */
	(void)snprintf(own, sizeof(own), "220 %s Postern ESMTP ",
			o->r->conf->server.hostname);
	if (span_starts_nocase(heard, span_of(own)))
		smtp_client_lost(o->engine,
				"cannot connect to self: the next hop is this relay");
}

/* The client asked for these only when somebody wants to see 7004. */
static void
say_exchange(const struct outbound *o, const struct smtp_fact *f)
{
	if (f->heard.n > 0 && f->heard.p[0] >= '4')
		log_event(7004,
				FIELDS(f_str("host", o->host),
						f_span("command", f->said),
						f_span("reply", f->heard)));
}

/* False when the session is over and gone. */
static bool
facts(struct outbound *o, bool *any)
{
	struct smtp_fact f;

	while (smtp_client_next(o->engine, &f)) {
		*any = true;
		switch (f.kind) {
		case SMTP_FACT_GREETED:
			fact_greeted(o, f.heard);
			break;
		case SMTP_FACT_CAPS:
			o->works = true;
			dispatch_session_works(o->h);
			break;
		case SMTP_FACT_RECIPIENT:
			fact_recipient(&f);
			break;
		case SMTP_FACT_MESSAGE:
			fact_message(o, &f);
			break;
		case SMTP_FACT_EXCHANGE:
			say_exchange(o, &f);
			break;
		case SMTP_FACT_OVER: {
			struct verdict v = *f.verdict;

			/* What followed a dot may have gone into the message before it. */
			if (f.odd && o->piped && !o->ours)
				o->h->careful_until_ms =
						loop_now_ms(o->r->loop) + CAREFUL_MS;
			if (!o->works &&
					v.fate != FATE_DEFERRED) /* a greeting of 554 */
				v.fate = FATE_DEFERRED;
			if (!o->works && !o->stopping) {
				outbound_failed(o, 3010, v.text);
				return false;
			}
			outbound_over(o, &v, false);
			return false;
		}
		}
	}
	return true;
}

static bool
flush(struct outbound *o)
{
	struct span out = smtp_client_output(o->engine);
	bool any = false;

	while (out.n > 0 && o->stream && stream_write(o->stream, out)) {
		smtp_client_sent(o->engine, out.n);
		any = true;
		out = smtp_client_output(o->engine);
	}
	return any;
}

void
outbound_patience(struct outbound *o)
{
	bool idle = o->leases == 0 && smtp_client_under_way(o->engine) == 0;

	if (o->ended)
		return;
	if (idle && o->works && !o->quitting) {
		if (o->stopping) {
			o->quitting = true;
			smtp_client_quit(o->engine);
			(void)flush(o);
			loop_timer_set(o->timer, GOODBYE_MS);
		} else if (!o->lingering) {
			o->lingering = true;
			loop_timer_set(o->timer, LINGER_MS);
		}
		return;
	}
	o->lingering = false;
	unsigned s = smtp_client_patience_s(o->engine);
	if (o->quitting)
		loop_timer_set(o->timer, GOODBYE_MS);
	else if (s > 0)
		loop_timer_set(o->timer, (int64_t)s * 1000);
	else
		loop_timer_cancel(o->timer);
}

/* Everything that can be done now. False: the session is gone. */
bool
outbound_work(struct outbound *o)
{
	bool any = true;

	while (any) {
		any = false;
		if (!facts(o, &any))
			return false;
		if (!o->quitting && smtp_client_may_send(o->engine) && send_next(o))
			any = true;
		if (feed_body(o))
			any = true;
		if (flush(o))
			any = true;
	}
	outbound_patience(o);
	return true;
}
