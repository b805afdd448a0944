/* sending: what a session with a next hop says, and what it makes of the answers.
 *
 * It takes leases of its hop, one after the other, splits them into transactions of
 * at most 100 recipients (E12), feeds them to the sending engine and passes its
 * verdicts on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtp_carrier.h"

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
body_end(struct smtp_carrier *c)
{
	body_close(c->body);
	c->body = NULL;
	c->feeding = NULL;
	c->piece = (struct span){ NULL, 0 };
	c->cut = false;
}

static void
busy(struct smtp_carrier *c, bool more)
{
	if (more && c->leases++ == 0)
		c->calls->busy(c->hop, true);
	else if (!more && --c->leases == 0)
		c->calls->busy(c->hop, false);
}

static void
lease_over(struct smtp_carrier *c, struct lease *l)
{
	busy(c, false);
	if (c->l == l)
		c->l = NULL;
	free(l->todo);
	l->todo = NULL;
	if (l->left < l->m->n)
		settle_lease(l);
	else
		settle_forget(l); /* nobody was asked */
}

/* The session is over and freed. Those who have no verdict yet get `why` (NULL: they
 * stay as they are); with `failed` the hop would not talk to us at all. */
void
smtp_carrier_over(struct smtp_carrier *c, const struct verdict *why, bool failed)
{
	const struct carrier_calls *calls = c->calls;
	struct hop *hop = c->hop;
	struct hub *hub = c->hub;
	enum carrier_end end = failed ? CARRIER_FAILED
			: why && c->tried && !c->answered && !c->stopping && !c->ours
			? CARRIER_BROKE
			: CARRIER_DONE;

	body_end(c);
	LIST_EACH (link, &c->sends) {
		struct send *s = LIST_ITEM(link, struct send, link);
		struct lease *l = s->l;

		if (why)
			settle_all(l, why);
		send_free(s);
		if (--l->sends == 0 && l != c->l)
			lease_over(c, l);
	}
	if (c->l) {
		if (why && !c->stopping)
			settle_all(c->l, why);
		lease_over(c, c->l);
	}
	if (c->query)
		dns_cancel(c->query);
	list_del(&c->link);
	stream_free(c->stream);
	smtp_client_free(c->engine);
	loop_timer_free(c->timer);
	free(c);
	calls->gone(hop, end, why);
	jobs_flush(hub->jobs);
}

void
smtp_carrier_failed(struct smtp_carrier *c, int event, const char *words)
{
	struct verdict v = verdict_make(FATE_DEFERRED, 0,
			event == EVENT_HOST_NOT_FOUND ? "4.4.3" : "4.4.1",
			"connect to %s: %s", c->host, words);

	log_event(event, FIELDS(f_str("host", c->host), f_str("err", words)));
	smtp_carrier_over(c, &v, true);
}

/* ---- what is sent ---- */

/* The recipients of a lease that are still to be asked. */
static void
lease_begin(struct smtp_carrier *c, struct lease *l)
{
	l->host = lease_words(l, span_of(c->host));
	l->todo = calloc(l->m->n, sizeof(*l->todo));
	if (!l->todo)
		abort();
	for (size_t i = 0; i < l->m->n; i++)
		if (l->open[i])
			l->todo[l->todo_n++] = i;
	l->attempted = true;
	c->l = l;
	busy(c, true);
}

static struct send *
send_new(struct smtp_carrier *c, struct lease *l)
{
	struct send *s = calloc(1, sizeof(*s));
	size_t n = l->todo_n - l->todo_at;

	if (n > c->most)
		n = c->most;
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
	list_add(&c->sends, &s->link);
	l->sends++;
	l->parts++;
	return s;
}

/* What those get who were not sent a body that cannot be read; the event of it. */
static struct verdict
unreadable(struct lease *l, const struct err *err)
{
	if (err->event == EVENT_BODY_DAMAGED) /* 5009 comes with the settlement */
		return settle_damage(l, err->text);
	log_err(err, l->m->account, (struct span){ NULL, 0 });
	return verdict_make(FATE_DEFERRED, 0, "4.3.0", "%s", err->text);
}

/* No more of this message can be sent, and `err` says why, or it is settled already: those
 * who were not asked have their answer. Those who were still get theirs; the lease ends with
 * the last of them. */
static void
lease_unreadable(struct smtp_carrier *c, struct lease *l, bool gone,
		const struct err *err)
{
	if (gone) {
		l->todo_at = l->todo_n;
	} else {
		struct verdict v = unreadable(l, err);

		while (l->todo_at < l->todo_n)
			settle_verdict(l, l->todo[l->todo_at++], &v);
	}
	if (l->sends == 0)
		lease_over(c, l);
}

/* Opens the body of the next transaction, taking a lease when there is none. False:
 * nothing to send. */
static bool
next_body(struct smtp_carrier *c)
{
	for (;;) {
		struct err err = { 0 };
		bool gone;

		if (!c->l) {
			struct lease *l = c->stopping ? NULL : c->calls->take(c->hop);

			if (!l)
				return false;
			lease_begin(c, l);
		}
		struct lease *l = c->l;
		if (l->todo_at == l->todo_n) { /* answers to come may ask for more */
			return false;
		}
		c->body = body_find(c->hub->reader, l->m->id, &gone, &err);
		if (c->body)
			return true;
		lease_unreadable(c, l, gone, &err);
	}
}

/* A sender who is not ASCII cannot be said to a hop without SMTPUTF8. Whoever submitted
 * the message hears of that (5.6.7). Of collected mail nobody outside ever does (E9): its
 * sender serves nothing but a bounce that must not reach them, so it goes with the null
 * sender, which says just that, rather than not at all; who wrote it stands in the header. */
static struct span
sender_for(const struct smtp_carrier *c, const struct queue_message *m)
{
	bool lost = m->account.n > 0 && smtp_is_utf8(m->sender) &&
			!smtp_client_caps(c->engine)->smtputf8;

	return lost ? (struct span){ "", 0 } : m->sender;
}

static bool
send_next(struct smtp_carrier *c)
{
	if (c->stopping && (!c->l || c->l->sends == 0))
		return false;
	if (!next_body(c))
		return false;

	struct lease *l = c->l;
	struct send *s = send_new(c, l);
	const bool bare = l->m->flags & MESSAGE_BARE;
	const struct smtp_client_out out = {
		.mark = (uint64_t)(uintptr_t)s,
		.sender = sender_for(c, l->m),
		.recipients = s->addresses,
		.n = s->n,
		.size = body_size(c->body),
		.eight_bit = l->m->flags & MESSAGE_8BIT,
		.bare = bare,
		.nul = bare,
		/* E9: nobody outside hears of collected mail; and nobody of a notice. */
		.no_notify = l->m->account.n > 0 || l->m->sender.n == 0,
		.utf8 = l->m->flags & MESSAGE_UTF8,
	};
	c->feeding = s;
	c->body_left = out.size;
	c->piece = (struct span){ NULL, 0 };
	c->tried = true;
	c->piped = c->piped || smtp_client_under_way(c->engine) > 0;
	smtp_client_send(c->engine, &out);
	/* When all its recipients are on the way and none can come back, the next
	 * message may follow; a message in several transactions goes alone. */
	if (l->todo_at == l->todo_n && s->n == l->m->n && s->n == 1)
		c->l = NULL;
	return true;
}

/* The rest of a body cannot be had. Its end is never said, so that nobody can take what was
 * sent for the message; only closing the connection can tell the peer. The messages before
 * it have their answers first. */
static bool
break_off(struct smtp_carrier *c)
{
	struct send *s = c->feeding;

	if (smtp_client_under_way(c->engine) > 1)
		return false;
	struct verdict v = unreadable(s->l, &c->why);
	if (c->why.event == EVENT_BODY_DAMAGED)
		settle_all(s->l, &v);
	smtp_client_abandon(c->engine, "the message cannot be read");
	c->ours = true;
	body_end(c);
	return true;
}

/* Some of the body to the engine; true when any of it moved. */
static bool
feed_body(struct smtp_carrier *c)
{
	bool moved = false;

	if (c->cut && !smtp_client_body_done(c->engine))
		return break_off(c);
	while (c->body && !c->cut && smtp_client_wants_body(c->engine) &&
			stream_pending(c->stream) + smtp_client_output(c->engine).n <
					OUT_ENOUGH) {
		if (c->piece.n == 0 && c->body_left > 0) {
			c->cut = !body_next(c->body, &c->piece, &c->why);
			if (c->cut)
				return true;
			c->body_left -= c->piece.n;
		}
		size_t n = smtp_client_body(c->engine, c->piece, c->body_left == 0);
		c->piece = span_skip(c->piece, n);
		if (n > 0)
			moved = true;
		if (smtp_client_body_done(c->engine))
			break;
		if (n == 0)
			break;
	}
	if (c->body && smtp_client_body_done(c->engine)) {
		body_end(c);
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
not_tried(struct smtp_carrier *c, struct send *s)
{
	struct lease *l = s->l;

	for (size_t i = 0; i < s->again_n; i++)
		l->todo[--l->todo_at] = s->again[i];
	send_free(s);
	if (--l->sends > 0)
		return;
	if (c->l == l && !c->stopping)
		return;
	lease_over(c, l);
	c->calls->again(c->hop);
}

/* This connection takes no more. Where it took but one message, it is one for each. */
static void
is_spent(struct smtp_carrier *c, int code)
{
	if (c->done <= 1 && code == 503)
		c->habits->single = true;
	c->stopping = true;
}

/* Was it BODY= that was refused? Without it the message is on its way again; where that is
 * refused as well, it was something else. */
static void
note_body(struct smtp_carrier *c, const struct smtp_fact *f)
{
	int code = f->verdict->code;

	if (code == 501 || code == 504 || code == 555)
		c->habits->no_body_until_ms =
				f->untried ? loop_now_ms(c->hub->loop) + CAREFUL_MS : 0;
}

static void
fact_message(struct smtp_carrier *c, const struct smtp_fact *f)
{
	struct send *s = (struct send *)(uintptr_t)f->mark;
	struct lease *l = s->l;

	if (f->verdict->code != 0 && !f->in_doubt) {
		c->answered = true;
		c->calls->answered(c->hop);
	}
	l->changed |= f->changed;
	l->nul |= f->nul;
	if (c->feeding == s)
		body_end(c);
	if (f->spent)
		is_spent(c, f->verdict->code);
	note_body(c, f);
	if (f->untried) {
		not_tried(c, s);
		return;
	}
	c->done++;
	c->stopping = c->stopping || c->habits->single;
	if (s->again_n > 0 && s->answered > 0 && s->answered < c->most)
		c->most = s->answered; /* what it takes at a time (E12) */
	for (size_t i = 0; i < s->again_n; i++)
		if (s->answered > 0) /* goes at once, in another transaction */
			l->todo[--l->todo_at] = s->again[i];
		else /* it takes not even one: that is no matter of number */
			settle_verdict(l, s->again[i], f->verdict);
	send_free(s);
	if (--l->sends > 0 || (l->todo_at < l->todo_n && !c->stopping))
		return;
	lease_over(c, l);
}

static void
fact_greeted(struct smtp_carrier *c, struct span heard)
{
	char own[300];

	/* C12, E10 (e): it is us. Not by name alone: two services may share a machine. */
	(void)snprintf(own, sizeof(own), "220 %s Postern ESMTP ",
			c->hub->conf->server.hostname);
	if (span_starts_nocase(heard, span_of(own)))
		smtp_client_lost(c->engine,
				"cannot connect to self: the next hop is this relay");
}

/* The client asked for these only when somebody wants to see 7004. */
static void
say_exchange(const struct smtp_carrier *c, const struct smtp_fact *f)
{
	if (f->heard.n > 0 && f->heard.p[0] >= '4')
		log_event(EVENT_SERVER_PROTOCOL_ERROR,
				FIELDS(f_str("host", c->host),
						f_span("command", f->said),
						f_span("reply", f->heard)));
}

/* False when the session is over and gone. */
static bool
facts(struct smtp_carrier *c, bool *any)
{
	struct smtp_fact f;

	while (smtp_client_next(c->engine, &f)) {
		*any = true;
		switch (f.kind) {
		case SMTP_FACT_GREETED:
			fact_greeted(c, f.heard);
			break;
		case SMTP_FACT_CAPS:
			c->works = true;
			c->calls->greeted(c->hop);
			break;
		case SMTP_FACT_RECIPIENT:
			fact_recipient(&f);
			break;
		case SMTP_FACT_MESSAGE:
			fact_message(c, &f);
			break;
		case SMTP_FACT_EXCHANGE:
			say_exchange(c, &f);
			break;
		case SMTP_FACT_OVER: {
			struct verdict v = *f.verdict;

			/* What followed a dot may have gone into the message before it. */
			if (f.odd && c->piped && !c->ours)
				c->habits->careful_until_ms =
						loop_now_ms(c->hub->loop) + CAREFUL_MS;
			if (!c->works &&
					v.fate != FATE_DEFERRED) /* a greeting of 554 */
				v.fate = FATE_DEFERRED;
			if (!c->works && !c->stopping) {
				smtp_carrier_failed(c, EVENT_CONNECT_FAILED, v.text);
				return false;
			}
			smtp_carrier_over(c, &v, false);
			return false;
		}
		}
	}
	return true;
}

static bool
flush(struct smtp_carrier *c)
{
	struct span out = smtp_client_output(c->engine);
	bool any = false;

	while (out.n > 0 && c->stream && stream_write(c->stream, out)) {
		smtp_client_sent(c->engine, out.n);
		any = true;
		out = smtp_client_output(c->engine);
	}
	return any;
}

void
smtp_carrier_patience(struct smtp_carrier *c)
{
	bool idle = c->leases == 0 && smtp_client_under_way(c->engine) == 0;

	if (c->ended)
		return;
	if (idle && c->works && !c->quitting) {
		if (c->stopping) {
			c->quitting = true;
			smtp_client_quit(c->engine);
			(void)flush(c);
			loop_timer_set(c->timer, GOODBYE_MS);
		} else if (!c->lingering) {
			c->lingering = true;
			loop_timer_set(c->timer, LINGER_MS);
		}
		return;
	}
	c->lingering = false;
	unsigned s = smtp_client_patience_s(c->engine);
	if (c->quitting)
		loop_timer_set(c->timer, GOODBYE_MS);
	else if (s > 0)
		loop_timer_set(c->timer, (int64_t)s * 1000);
	else
		loop_timer_cancel(c->timer);
}

/* Everything that can be done now. False: the session is gone. */
bool
smtp_carrier_work(struct smtp_carrier *c)
{
	bool any = true;

	while (any) {
		any = false;
		if (!facts(c, &any))
			return false;
		if (!c->quitting && smtp_client_may_send(c->engine) && send_next(c))
			any = true;
		if (feed_body(c))
			any = true;
		if (flush(c))
			any = true;
	}
	smtp_carrier_patience(c);
	return true;
}
