/* What the receiving engine makes of its host's answers, and of what the store says of tickets. */
#include <stdlib.h>

#include "postern/must.h"
#include "session.h"

/* ---- answers ---- */

const struct smtp_question *
smtp_server_ask(const struct smtp_server *s)
{
	return &s->ask;
}

static bool
is_yes(struct smtp_reply r)
{
	return r.code >= 200 && r.code < 300;
}

static struct smtp_reply
with_words(struct smtp_reply r, const char *esc, const char *text)
{
	return r.text ? r : (struct smtp_reply){ r.code, esc, text };
}

static void
say_no(struct smtp_server *s, struct smtp_reply r)
{
	session_say(s, r);
	if (r.code == 421) {
		session_void(s, s->state);
		session_over(s, SMTP_REFUSE_SHUTDOWN);
	} else if (r.code >= 500) {
		session_count(s, 1);
	}
}

static void
answer_mail(struct smtp_server *s, struct smtp_reply r)
{
	if (!is_yes(r)) {
		say_no(s, r);
		return;
	}
	s->in_mail = true;
	s->collected = s->ask.mail.collected;
	s->body = s->ask.mail.body;
	s->utf8 = s->ask.mail.utf8;
	s->routed = false;
	s->recipients = 0;
	s->size = 0;
	/* A collected message for nobody is welcome: it goes to Badmail. */
	s->state = s->collected ? ST_RCPT : ST_MAIL;
	struct span sender = s->ask.mail.sender.mailbox;
	session_say_yes(s, r, SPAN("250 2.1.0 "), sender.n > 0 ? sender : SPAN("<>"),
			SPAN("....Sender OK\r\n"));
}

static void
answer_rcpt(struct smtp_server *s, struct smtp_reply r)
{
	/* The host remembers whom it refused to a collected message. */
	s->recipients += is_yes(r) || s->collected;
	if (!is_yes(r)) {
		say_no(s, r);
		return;
	}
	s->state = ST_RCPT;
	session_say_yes(s, r, SPAN("250 2.1.5 "), s->ask.path.mailbox, SPAN("\r\n"));
}

static void
answer_body(struct smtp_server *s, struct smtp_reply r, size_t n)
{
	s->size += n;
	if (r.code >= 400) {
		session_fail(s, r);
		session_void(s, s->state);
	}
	if (s->mode == MODE_CHUNK && s->left == 0)
		session_chunk_done(s);
}

static void
answer_commit(struct smtp_server *s, struct smtp_reply r)
{
	s->in_mail = false;
	s->state = ST_READY;
	if (r.code != 0) {
		session_say(s, with_words(r, "2.6.0", "Queued mail for delivery"));
		if (is_yes(r))
			s->weight = 0;
		return;
	}
	if (!s->tickets) {
		s->tickets = calloc(s->max_tickets, sizeof(*s->tickets));
		if (!s->tickets)
			abort();
	}
	*session_ticket(s, s->next++) =
			(struct ticket){ .reply = BUF_MAX(TICKET_REPLY_MAX) };
}

void
smtp_server_answer(struct smtp_server *s, struct smtp_reply r)
{
	enum smtp_ask kind = s->ask.kind;
	size_t n = kind == SMTP_ASK_BODY ? s->ask.bytes.n : 0;

	MUST(r.code != 0 || kind == SMTP_ASK_BODY || kind == SMTP_ASK_COMMIT ||
			kind == SMTP_ASK_DROP);
	if (kind == SMTP_ASK_CLOSE)
		return;
	/* The question stays readable for the handlers; they may open another. */
	s->ask.kind = SMTP_ASK_NOTHING;
	switch (kind) {
	case SMTP_ASK_MAIL:
		answer_mail(s, r);
		break;
	case SMTP_ASK_RCPT:
		answer_rcpt(s, r);
		break;
	case SMTP_ASK_VRFY:
		if (is_yes(r))
			session_say_yes(s, r,
					SPAN("252 2.1.5 Cannot VRFY user, but will take message "
					     "for <"),
					s->ask.path.mailbox, SPAN(">\r\n"));
		else
			say_no(s, r);
		break;
	case SMTP_ASK_ROUTE:
		session_say(s, with_words(r, "2.0.0", "OK"));
		break;
	case SMTP_ASK_BODY:
		answer_body(s, r, n);
		break;
	case SMTP_ASK_COMMIT:
		answer_commit(s, r);
		break;
	case SMTP_ASK_NOTHING:
	case SMTP_ASK_DROP:
	case SMTP_ASK_CLOSE:
		break;
	}
	session_ask_rest(s);
}

/* The oldest ticket has its reply in the output: what waited behind it follows, and so
 * do the tickets after it that were answered before their turn. */
static void
release(struct smtp_server *s)
{
	size_t freed = 0;
	struct ticket *t = session_ticket(s, s->first);

	for (;;) {
		struct span held = span_skip(buf_span(&s->held), freed);

		MUST(buf_add(&s->out.b, span_first(held, t->tail)));
		freed += t->tail;
		if (++s->first == s->next)
			break;
		t = session_ticket(s, s->first);
		if (t->reply.n == 0)
			break;
		MUST(buf_add(&s->out.b, buf_span(&t->reply)));
		buf_done(&t->reply);
	}
	buf_drop(&s->held, freed);
}

void
smtp_server_committed(struct smtp_server *s, uint64_t ticket, struct smtp_reply r)
{
	MUST(ticket >= s->first && ticket < s->next);
	struct ticket *t = session_ticket(s, ticket);
	MUST(t->reply.n == 0);
	r = with_words(r, "2.6.0", "Queued mail for delivery");
	if (is_yes(r))
		s->weight = 0;
	if (ticket > s->first) {
		MUST(smtp_reply_print(&t->reply, r));
		return;
	}
	MUST(smtp_reply_print(&s->out.b, r));
	release(s);
	session_ask_rest(s);
}
