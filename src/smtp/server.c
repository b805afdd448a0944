/* The receiving engine: bytes in, replies out in order, one question at a time. */
#include "postern/smtp_server.h"

#include <stdlib.h>
#include <string.h>

#include "postern/date.h"
#include "postern/must.h"
#include "session.h"

/* ---- bytes ---- */

/* Place behind the CRLF that ends the line in `in`, or in.n + 1 when it is not there. */
static size_t
line_end(const struct smtp_server *s, struct span in)
{
	size_t at = 0;

	while (at < in.n) {
		size_t lf = at + span_find(span_skip(in, at), '\n');

		if (lf == in.n)
			break;
		if (lf > 0 ? in.p[lf - 1] == '\r' : s->line_cr)
			return lf + 1;
		at = lf + 1;
	}
	return in.n + 1;
}

static size_t
feed_line(struct smtp_server *s, struct span in)
{
	size_t end = line_end(s, in);
	bool whole = end <= in.n;
	struct span piece = span_first(in, end);
	bool pieces = s->line_n > 0;

	s->line_n += piece.n;
	s->line_cr = !whole && piece.p[piece.n - 1] == '\r';
	if (s->line_n > LINE_FLOOD) {
		session_say(s, smtp_refuse(SMTP_REFUSE_ERRORS));
		session_void(s, s->state);
		session_over(s, SMTP_REFUSE_LONG);
		return piece.n;
	}
	bool kept = s->line_n <= s->line.max;
	if (kept && (pieces || !whole))
		MUST(buf_add(&s->line, piece));
	if (!whole)
		return piece.n;

	struct span line = pieces ? buf_span(&s->line) : piece;
	s->line_n = 0;
	s->line.n = 0; /* its bytes stay until the next line: questions point to them */
	if (kept)
		command_run(s, span_first(line, line.n - 2));
	else
		session_refuse(s, SMTP_REFUSE_LONG);
	return piece.n;
}

static void
ask_body(struct smtp_server *s, struct span bytes)
{
	if (s->fail.n > 0)
		return; /* being thrown away */
	smtp_scan_add(&s->scan, bytes);
	s->ask = (struct smtp_question){ .kind = SMTP_ASK_BODY, .bytes = bytes };
}

static size_t
feed_data(struct smtp_server *s, struct span in)
{
	struct span rest = in, piece;
	bool ended;

	if (smtp_dots_next(&s->dots, &rest, &piece, &ended) == SMTP_ONE) {
		if (s->size_limit > 0 && piece.n > s->size_limit - s->size &&
				s->fail.n == 0) {
			session_fail(s, smtp_refuse(SMTP_REFUSE_SIZE));
			session_void(s, s->state);
		}
		ask_body(s, piece);
	}
	if (ended)
		session_data_done(s);
	return in.n - rest.n;
}

static size_t
feed_chunk(struct smtp_server *s, struct span in)
{
	struct span piece = span_first(in, s->left < in.n ? (size_t)s->left : in.n);

	s->left -= piece.n;
	ask_body(s, piece);
	if (s->left == 0 && s->ask.kind == SMTP_ASK_NOTHING)
		session_chunk_done(s);
	return piece.n;
}

static size_t
feed_route(struct smtp_server *s, struct span in)
{
	struct span piece = span_first(in, s->left < in.n ? (size_t)s->left : in.n);
	bool whole = s->route.n == 0 && piece.n == s->left;

	s->left -= piece.n;
	if (s->fail.n == 0 && !whole)
		MUST(buf_add(&s->route, piece));
	if (s->left == 0) {
		struct span record = whole ? piece : buf_span(&s->route);

		s->route.n = 0;
		session_route_done(s, record);
	}
	return piece.n;
}

static bool
has_room(const struct smtp_server *s)
{
	return sink_left(&s->out) + s->held.n < OUTPUT_PAUSE &&
			session_tickets(s) < s->max_tickets;
}

size_t
smtp_server_feed(struct smtp_server *s, struct span in)
{
	size_t used = 0;

	while (used < in.n && s->ask.kind == SMTP_ASK_NOTHING && s->mode != MODE_OVER &&
			(has_room(s) || s->drain)) {
		struct span rest = span_skip(in, used);

		if (s->drain) {
			/* It cannot have read what it had to wait for (S05). */
			session_say(s, smtp_refuse(SMTP_REFUSE_SYNC));
			session_void(s, s->state);
			session_over(s, SMTP_REFUSE_SYNC);
		} else if (s->mode == MODE_LINE) {
			used += feed_line(s, rest);
		} else if (s->mode == MODE_DATA) {
			used += feed_data(s, rest);
		} else if (s->mode == MODE_CHUNK) {
			used += feed_chunk(s, rest);
		} else {
			used += feed_route(s, rest);
		}
		session_ask_rest(s);
	}
	return used;
}

/* ---- output, birth and end ---- */

struct span
smtp_server_output(const struct smtp_server *s)
{
	return sink_span(&s->out);
}

void
smtp_server_sent(struct smtp_server *s, size_t n)
{
	MUST(n <= sink_left(&s->out));
	sink_sent(&s->out, n);
	s->greeted |= n > 0;
	if (sink_left(&s->out) == 0 && session_tickets(s) == 0)
		s->drain = false;
}

void
smtp_server_end(struct smtp_server *s, enum smtp_refusal why)
{
	MUST(s->ask.kind == SMTP_ASK_NOTHING || s->ask.kind == SMTP_ASK_CLOSE);
	if (s->mode == MODE_OVER)
		return;
	if (!s->greeted) {
		buf_clear(&s->out.b); /* it is said instead of the greeting */
		s->greeted = true;
	}
	session_say(s, smtp_refuse(why));
	session_void(s, s->state);
	session_over(s, why);
	session_ask_rest(s);
}

static void
copy_name(char *to, size_t size, struct span from)
{
	from = span_first(from, size - 1);
	if (from.n > 0)
		memcpy(to, from.p, from.n);
	to[from.n] = '\0';
}

struct smtp_server *
smtp_server_new(const struct smtp_server_options *o)
{
	struct smtp_server *s = calloc(1, sizeof(*s));
	char date[DATE_RFC5322_SIZE];
	uint32_t tickets = o->max_tickets ? o->max_tickets : o->internal ? 1024 : 64;
	size_t most = OUTPUT_PAUSE + 4 * REPLY_MAX;

	if (!s)
		abort();
	copy_name(s->hostname, sizeof(s->hostname), o->hostname);
	copy_name(s->peer, sizeof(s->peer), o->peer.n ? o->peer : SPAN("internal"));
	s->size_limit = o->size_limit;
	s->max_recipients = o->max_recipients ? o->max_recipients : 1000;
	s->max_errors = o->max_errors;
	s->max_tickets = tickets;
	s->internal = o->internal;
	s->state = ST_START;
	s->why = SMTP_REFUSALS;
	s->line = BUF_MAX(o->internal ? LINE_MAX_INTERNAL : LINE_MAX_OUTSIDE);
	s->held = BUF_MAX(most);
	s->out.b = BUF_MAX(2 * (2 * most + (size_t)tickets * TICKET_REPLY_MAX));
	s->decoded = BUF_MAX(4 * COLLECT_DECODED_MAX);
	s->fail = BUF_MAX(TICKET_REPLY_MAX);
	s->route = BUF_MAX(ROUTE_MAX);
	s->drain = true;

	date_rfc5322(o->now_s, date);
	MUST(buf_addf(&s->out.b, "220 %s Postern ESMTP MAIL Service ready at %s\r\n",
			s->hostname, date));
	return s;
}

void
smtp_server_free(struct smtp_server *s)
{
	if (!s)
		return;
	for (uint64_t i = s->first; i < s->next; i++)
		buf_done(&s->tickets[i % s->max_tickets].reply);
	free(s->tickets);
	buf_done(&s->line);
	buf_done(&s->out.b);
	buf_done(&s->held);
	buf_done(&s->decoded);
	buf_done(&s->fail);
	buf_done(&s->route);
	free(s);
}

/* ---- what is known ---- */

struct span
smtp_server_helo(const struct smtp_server *s)
{
	return span_of(s->helo);
}

bool
smtp_server_esmtp(const struct smtp_server *s)
{
	return s->esmtp;
}

unsigned
smtp_server_tickets(const struct smtp_server *s)
{
	return session_tickets(s);
}

bool
smtp_server_in_body(const struct smtp_server *s)
{
	return s->mode == MODE_DATA || s->mode == MODE_CHUNK || s->mode == MODE_ROUTE;
}

bool
smtp_server_in_mail(const struct smtp_server *s)
{
	return s->in_mail;
}

unsigned
smtp_server_bare(const struct smtp_server *s)
{
	return s->bare_refused;
}

enum smtp_refusal
smtp_server_why(const struct smtp_server *s)
{
	return s->why;
}
