/* session: what all files of the receiving engine do to a session: say, refuse, void a transaction,
 * and end what is being read. */
#include "session.h"

#include "postern/must.h"

/* ---- saying ---- */

/* Where the next reply belongs: behind the open tickets, if any. */
static struct buf *
place(struct smtp_server *s)
{
	return session_tickets(s) > 0 ? &s->held : &s->out.b;
}

static void
placed(struct smtp_server *s, size_t before)
{
	if (session_tickets(s) > 0)
		session_ticket(s, s->next - 1)->tail += s->held.n - before;
}

void
session_say_raw(struct smtp_server *s, struct span lines)
{
	struct buf *b = place(s);
	size_t before = b->n;

	/* There is room: feed() stops at OUTPUT_PAUSE. */
	MUST(buf_add(b, lines));
	placed(s, before);
}

void
session_say(struct smtp_server *s, struct smtp_reply r)
{
	struct buf *b = place(s);
	size_t before = b->n;

	MUST(smtp_reply_print(b, r));
	placed(s, before);
}

/* "250 2.1.5 u@d": the yes that names an address, unless the host has better words. */
void
session_say_yes(struct smtp_server *s, struct smtp_reply r, struct span head,
		struct span mailbox, struct span tail)
{
	struct buf *b = place(s);
	size_t before = b->n;

	if (r.text) {
		session_say(s, r);
		return;
	}
	MUST(buf_add(b, head) && buf_add(b, mailbox) && buf_add(b, tail));
	placed(s, before);
}

/* ---- refusing ---- */

void
session_over(struct smtp_server *s, enum smtp_refusal why)
{
	if (s->mode == MODE_OVER)
		return;
	s->mode = MODE_OVER;
	s->why = why;
}

void
session_count(struct smtp_server *s, uint32_t weight)
{
	s->weight += weight;
	if (s->max_errors == 0 || s->weight / ERROR_WEIGHT < s->max_errors ||
			s->mode == MODE_OVER)
		return;
	session_say(s, smtp_refuse(SMTP_REFUSE_ERRORS));
	session_void(s, s->state);
	session_over(s, SMTP_REFUSE_ERRORS);
}

void
session_refuse(struct smtp_server *s, enum smtp_refusal why)
{
	session_say(s, smtp_refuse(why));
	session_count(s, ERROR_WEIGHT);
}

/* ---- transactions ---- */

void
session_void(struct smtp_server *s, enum state next)
{
	s->drop_due |= s->in_mail;
	s->in_mail = false;
	s->state = next;
}

void
session_fail(struct smtp_server *s, struct smtp_reply r)
{
	if (s->fail.n == 0)
		MUST(smtp_reply_print(&s->fail, r));
}

/* Says what session_fail kept. */
static void
say_failure(struct smtp_server *s)
{
	bool bye = span_starts(buf_span(&s->fail), SPAN("421"));

	session_say_raw(s, buf_span(&s->fail));
	buf_clear(&s->fail);
	if (bye)
		session_over(s, SMTP_REFUSE_SHUTDOWN);
	else
		session_count(s, 1);
}

static void
ask_commit(struct smtp_server *s)
{
	s->mode = MODE_LINE;
	s->ask = (struct smtp_question){
		.kind = SMTP_ASK_COMMIT,
		.commit = {
			.ticket = s->next,
			.size = s->size,
			.eight_bit = s->scan.eight_bit,
			.bare = s->body == SMTP_BODY_BINARYMIME && s->scan.bare,
			.nul = s->scan.nul,
		},
	};
}

/* CRLF.CRLF came. */
void
session_data_done(struct smtp_server *s)
{
	s->mode = MODE_LINE;
	if (s->fail.n == 0 && (s->dots.bare || s->scan.nul)) {
		session_fail(s, smtp_refuse(SMTP_REFUSE_BARE));
		s->bare_refused++;
	}
	if (s->fail.n == 0) {
		ask_commit(s);
		return;
	}
	session_void(s, ST_READY);
	say_failure(s);
}

void
session_chunk_done(struct smtp_server *s)
{
	bool ours = s->state & (ST_MAIL | ST_RCPT | ST_CHUNK | ST_FAILED);

	s->mode = MODE_LINE;
	if (s->fail.n == 0 && s->last) {
		smtp_scan_end(&s->scan);
		if (s->body != SMTP_BODY_BINARYMIME && (s->scan.bare || s->scan.nul)) {
			session_fail(s, smtp_refuse(SMTP_REFUSE_BARE));
			s->bare_refused++;
		}
	}
	if (s->fail.n > 0) {
		if (ours)
			session_void(s, s->last ? ST_READY : ST_FAILED);
		say_failure(s);
	} else if (s->last) {
		ask_commit(s);
	} else {
		session_say_raw(s, SPAN("250 2.0.0 Chunk received\r\n"));
	}
}

void
session_route_done(struct smtp_server *s, struct span record)
{
	s->mode = MODE_LINE;
	if (s->fail.n > 0) {
		say_failure(s);
		return;
	}
	s->routed = true;
	s->ask = (struct smtp_question){ .kind = SMTP_ASK_ROUTE, .bytes = record };
}

/* What must be asked though the client said nothing more. */
void
session_ask_rest(struct smtp_server *s)
{
	if (s->ask.kind != SMTP_ASK_NOTHING)
		return;
	if (s->drop_due) {
		s->drop_due = false;
		s->ask.kind = SMTP_ASK_DROP;
	} else if (s->mode == MODE_OVER && session_tickets(s) == 0) {
		s->ask.kind = SMTP_ASK_CLOSE;
	}
}
