/* session: one client. A stream, a receiving engine, and between them the answers
 * to what the engine asks; what they say about a message is decided in mail.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

#include "postern/clock.h"
#include "postern/log.h"
#include "postern/must.h"

enum {
	ABOUT_TO_END_MS = 200, /* a transaction that takes longer is not waited for */
	RATE_LEAST = 500, /* octets a second that keep a body alive: FAULTS S16 */
};

/* ---- its end ---- */

void
session_free(struct session *s)
{
	struct inbound *in = s->in;

	mail_drop(in, s->mail);
	LIST_EACH (link, &s->waiting) {
		struct mail *m = LIST_ITEM(link, struct mail, link);

		/* The commit goes on; nobody hears of it. */
		list_del(link);
		m->session = NULL;
	}
	list_del(&s->link);
	list_del(&s->dirty);
	in->n--;
	if (s->internal)
		in->n_internal--;
	else
		clients_leave(&in->clients, s->client);
	smtp_server_free(s->engine);
	stream_free(s->stream);
	free(s);
}

static void
say_end(struct session *s)
{
	const struct conf_limits *limits = &s->in->hub->conf->smtp.limits;

	switch ((int)smtp_server_why(s->engine)) {
	case SMTP_REFUSE_ERRORS:
		log_event(EVENT_TOO_MANY_ERRORS,
				FIELDS(f_str("client", s->ip),
						f_num("errors", limits->errors)));
		break;
	case SMTP_REFUSE_IDLE:
		if (s->in_body)
			log_event(EVENT_RECEIVE_TIMEOUT, FIELDS(f_str("host", s->ip)));
		break;
	default:
		break;
	}
}

/* Everything the engine has to say goes to the stream. */
static bool
session_output(struct session *s)
{
	struct span out = smtp_server_output(s->engine);

	while (out.n > 0) {
		if (!stream_write(s->stream, out)) {
			s->clogged = true;
			return false;
		}
		smtp_server_sent(s->engine, out.n);
		s->stamp_ms = loop_now_ms(s->in->hub->loop);
		out = smtp_server_output(s->engine);
	}
	return true;
}

static void
session_pause(struct session *s)
{
	if (!s->paused)
		stream_pause(s->stream);
	s->paused = true;
}

void
session_resume(struct session *s)
{
	if (!s->paused || s->clogged || s->in->full)
		return;
	s->paused = false;
	s->stamp_ms = loop_now_ms(s->in->hub->loop);
	stream_resume(s->stream);
}

/* ---- what the engine asks ---- */

static struct mail_client
client_of(const struct session *s)
{
	return (struct mail_client){
		.helo = smtp_server_helo(s->engine),
		.ip = s->internal ? (struct span){ "", 0 } : span_of(s->ip),
		.esmtp = smtp_server_esmtp(s->engine),
		.internal = s->internal,
		.may_relay = s->may_relay,
	};
}

static struct smtp_reply
ask_mail(struct session *s, const struct smtp_mail *said)
{
	struct inbound *in = s->in;
	const struct conf_limits *limits = &in->hub->conf->smtp.limits;

	if (s->in->hub->stopping)
		return smtp_refuse(SMTP_REFUSE_SHUTDOWN);
	if (!s->internal && limits->messages_per_session > 0 &&
			s->messages >= limits->messages_per_session) {
		log_event(EVENT_LIMIT_REACHED,
				FIELDS(f_str("client", s->ip),
						f_str("limit", "messages in one session"),
						f_num("max", limits->messages_per_session)));
		return smtp_refuse(SMTP_REFUSE_MESSAGES);
	}
	if (store_space_low(in->hub->store))
		return smtp_refuse(SMTP_REFUSE_BUSY);
	struct mail_client client = client_of(s);
	s->mail = mail_new(in, said, &client);
	return SMTP_YES;
}

/* A refusal is told at level 0: somebody misses mail, or tries to relay. The
 * collector tells its own. */
static void
say_refused(struct session *s, struct span recipient, const struct smtp_reply *reply)
{
	char line[SMTP_TEXT_SIZE + 32];

	if (s->internal || reply->code < 500)
		return;
	(void)snprintf(line, sizeof(line), "%d %s %s", reply->code, reply->esc,
			reply->text);
	bool unknown = strcmp(reply->esc, "5.1.1") == 0;
	log_event_at(EVENT_RECIPIENT_PROCESSED, 'E', 0,
			FIELDS(f_str("ndr",
					       unknown ? "511"
							       : reply->code == 550
							       ? "504"
							       : "550"),
					f_str("error", "00000000"),
					f_str("reply", line),
					f_span("recipient", recipient),
					f_str("host",
							s->in->hub->conf->server
									.hostname)));
}

/* The store has it or not: the answer waits for inbound_flush, with those of its batch. */
static void
committed(void *host, struct store_job *job)
{
	struct mail *m = LIST_ITEM(job, struct mail, job.job);
	struct inbound *in = host;
	struct session *s = m->session;
	char text[SMTP_TEXT_SIZE];
	struct smtp_reply reply = mail_answer(in, m, text);

	in->pending -= mail_weight(m);
	if (job->result == STORE_FULL)
		pulse_hurry(&in->hub->pulse); /* 6004 comes soon */
	if (s) {
		smtp_server_committed(s->engine, m->ticket, reply);
		if (list_empty(&s->dirty))
			list_add(&in->dirty, &s->dirty);
	}
	mail_free(in, m);
}

static struct smtp_reply
ask_commit(struct session *s, const struct smtp_commit *commit)
{
	struct inbound *in = s->in;
	struct mail *m = s->mail;
	struct mail_client client = client_of(s);

	MUST(m); /* the engine commits only what SMTP_ASK_MAIL began */
	struct smtp_reply reply = mail_whole(in, m, commit, &client);
	s->mail = NULL;
	s->messages++;
	if (reply.code != 0) {
		mail_drop(in, m);
		return reply;
	}
	in->receiving -= mail_weight(m);
	in->pending += mail_weight(m);
	m->session = s;
	m->ticket = commit->ticket;
	list_add(&s->waiting, &m->link);
	mail_uncount(in, m);
	m->job.job.done = committed;
	m->job.job.host = s->in;
	jobs_add(in->hub->jobs, &m->job.job);
	if (in->pending > PENDING_MAX)
		s->in->full = true;
	return SMTP_LATER;
}

static void
answer(struct session *s, const struct smtp_question *q)
{
	struct inbound *in = s->in;
	char text[SMTP_TEXT_SIZE];
	struct smtp_reply reply = SMTP_LATER;

	switch (q->kind) {
	case SMTP_ASK_MAIL:
		reply = ask_mail(s, &q->mail);
		break;
	case SMTP_ASK_RCPT:
		reply = mail_rcpt(in, s->mail, &q->path, text);
		say_refused(s, q->path.mailbox, &reply);
		break;
	case SMTP_ASK_VRFY:
		reply = mail_vrfy(in, &q->path, s->may_relay || s->internal, text);
		break;
	case SMTP_ASK_ROUTE:
		reply = mail_route(s->mail, q->bytes) ? SMTP_YES
						      : smtp_refuse(SMTP_REFUSE_ROUTE);
		break;
	case SMTP_ASK_BODY:
		s->moved += q->bytes.n;
		reply = mail_body(in, s->mail, q->bytes);
		break;
	case SMTP_ASK_COMMIT:
		reply = ask_commit(s, &q->commit);
		break;
	case SMTP_ASK_DROP:
		if (smtp_server_bare(s->engine) != s->bare)
			log_event(EVENT_BARE_LINEFEED, FIELDS(f_str("client", s->ip)));
		s->bare = smtp_server_bare(s->engine);
		mail_drop(in, s->mail);
		s->mail = NULL;
		break;
	case SMTP_ASK_NOTHING:
	case SMTP_ASK_CLOSE:
		return;
	}
	if (q->kind != SMTP_ASK_BODY)
		s->stamp_ms = loop_now_ms(in->hub->loop);
	smtp_server_answer(s->engine, reply);
}

/* False when the session is over: nothing of it may be touched any more. */
static bool
session_close(struct session *s)
{
	if (s->closing)
		return false;
	s->closing = true;
	say_end(s);
	stream_close_when_flushed(s->stream);
	return false;
}

/* Answers what is asked and says what is to be said. */
bool
session_settle(struct session *s)
{
	for (;;) {
		const struct smtp_question *q = smtp_server_ask(s->engine);

		if (q->kind == SMTP_ASK_NOTHING)
			break;
		if (q->kind == SMTP_ASK_CLOSE) {
			if (session_output(s))
				return session_close(s);
			return true;
		}
		answer(s, q);
	}
	(void)session_output(s);
	/* Half-closed (S18): what was committed is still answered. */
	if (s->ended && !s->clogged && !s->paused &&
			smtp_server_tickets(s->engine) == 0)
		return session_close(s);
	return true;
}

static size_t
session_bytes(void *host, struct span in)
{
	struct session *s = host;
	size_t used = 0;

	while (used < in.n) {
		if (s->closing)
			return in.n;
		if (s->in->full || s->clogged) {
			session_pause(s);
			break;
		}
		size_t n = smtp_server_feed(s->engine, span_skip(in, used));
		bool asked = smtp_server_ask(s->engine)->kind != SMTP_ASK_NOTHING;
		bool said = smtp_server_output(s->engine).n > 0;

		used += n;
		s->in_body = smtp_server_in_body(s->engine);
		if (!session_settle(s))
			return in.n;
		if (n == 0 && !asked && !said) {
			session_pause(s); /* the window is full: until the store answers */
			break;
		}
	}
	jobs_flush(s->in->hub->jobs);
	return used;
}

static void
session_drained(void *host)
{
	struct session *s = host;

	s->stamp_ms = loop_now_ms(s->in->hub->loop);
	if (!s->clogged)
		return;
	s->clogged = false;
	if (session_settle(s))
		session_resume(s);
}

static void
session_ended(void *host)
{
	struct session *s = host;

	s->ended = true;
	(void)session_settle(s);
}

static void
session_closed(void *host, enum stream_end why, const char *words)
{
	struct session *s = host;
	struct inbound *in = s->in;

	(void)why;
	(void)words;
	session_free(s);
	pulse_look(&in->hub->pulse);
}

static const struct stream_calls session_calls = {
	.bytes = session_bytes,
	.drained = session_drained,
	.ended = session_ended,
	.closed = session_closed,
};

/* ---- its beginning, and time ---- */

struct session *
session_new(struct inbound *in, int fd, const struct loop_peer *peer, bool internal)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->in = in;
	s->internal = internal;
	list_init(&s->waiting);
	list_init(&s->dirty);
	if (internal)
		(void)snprintf(s->ip, sizeof(s->ip), "127.0.0.1");
	else
		net_addr_text(&peer->addr, s->ip);
	s->may_relay = !internal &&
			policy_may_relay(&in->hub->conf->smtp.relay_from,
					span_of(s->ip));
	s->stamp_ms = loop_now_ms(in->hub->loop);
	s->stream = stream_new(in->hub->loop, fd, &session_calls, s);
	s->engine = smtp_server_new(&(struct smtp_server_options){
			.hostname = span_of(in->hub->conf->server.hostname),
			.peer = internal ? (struct span){ "", 0 } : span_of(s->ip),
			.now_s = clock_wall_ms() / 1000,
			.size_limit = internal ? 0 : in->hub->conf->smtp.limits.message,
			.max_recipients = internal
					? STORE_RECIPIENTS_MAX - 1
					: in->hub->conf->smtp.limits.recipients,
			.max_errors = internal ? 0 : in->hub->conf->smtp.limits.errors,
			.internal = internal,
	});
	list_add(&in->sessions, &s->link);
	in->n++;
	pulse_hurry(&in->hub->pulse);
	if (internal)
		in->n_internal++;
	else
		s->client = clients_join(&in->clients, s->ip);
	return s;
}

void
session_end(struct session *s, enum smtp_refusal why)
{
	if (s->closing)
		return;
	smtp_server_end(s->engine, why);
	(void)session_settle(s);
}

void
session_tick(struct session *s, int64_t now)
{
	int64_t idle = s->in->hub->conf->smtp.limits.idle_s * 1000;
	int64_t gone = now - s->stamp_ms;

	if (s->mail && s->mail->counted && now - s->mail->began_ms > ABOUT_TO_END_MS)
		mail_uncount(s->in, s->mail);
	if (s->closing || s->internal || idle <= 0)
		return;
	/* A body that moves at some rate is no idler; waiting for us is none either. */
	bool moves = gone > 0 && s->moved * 1000 >= (uint64_t)gone * RATE_LEAST;
	if (moves || (s->paused && !s->clogged) || smtp_server_tickets(s->engine) > 0) {
		s->stamp_ms = now;
		s->moved = 0;
		return;
	}
	if (gone < idle)
		return;
	if (s->clogged) { /* it does not read what we say */
		struct inbound *in = s->in;

		session_free(s);
		pulse_look(&in->hub->pulse);
		return;
	}
	session_end(s, SMTP_REFUSE_IDLE);
}
