/* inbound: listeners, and who is connected to them.
 *
 * A session is a stream and a receiving engine; what the engine asks is decided
 * in mail.c. Sessions stay in step with memory: when too much waits for the
 * store, nobody is read until it has caught up. */
#include "inbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/log.h"

enum {
	LISTENERS_MAX = 64,
	ABOUT_TO_END_MS = 200, /* a transaction that takes longer is not waited for */
	RATE_LEAST = 500, /* octets a second that keep a body alive: FAULTS S16 */
};

struct inbound {
	struct relay *r;
	struct loop_listen *listeners[LISTENERS_MAX];
	size_t listeners_n;
	struct loop_listen *socket; /* run/relay.sock */
	struct list sessions;
	struct list dirty; /* the store answered them */
	size_t n, n_internal;
	bool full; /* too much waits for the store: nobody is read */
	bool stopping;
	bool too_many_told;
};

/* ---- a session ---- */

static void
session_free(struct session *s)
{
	struct inbound *in = s->in;

	mail_drop(in->r, s->mail);
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
	smtp_server_free(s->engine);
	stream_free(s->stream);
	free(s);
}

static void
say_end(struct session *s)
{
	const struct conf_limits *limits = &s->in->r->conf->smtp.limits;

	switch ((int)smtp_server_why(s->engine)) {
	case SMTP_REFUSE_ERRORS:
		log_event(7012,
				FIELDS(f_str("client", s->ip),
						f_num("errors", limits->errors)));
		break;
	case SMTP_REFUSE_IDLE:
		if (s->in_body)
			log_event(4051, FIELDS(f_str("host", s->ip)));
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
		s->stamp_ms = loop_now_ms(s->in->r->loop);
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

static void
session_resume(struct session *s)
{
	if (!s->paused || s->clogged || s->in->full)
		return;
	s->paused = false;
	s->stamp_ms = loop_now_ms(s->in->r->loop);
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
	struct relay *r = s->in->r;
	const struct conf_limits *limits = &r->conf->smtp.limits;

	if (s->in->stopping)
		return smtp_refuse(SMTP_REFUSE_SHUTDOWN);
	if (!s->internal && limits->messages_per_session > 0 &&
			s->messages >= limits->messages_per_session) {
		log_event(7013,
				FIELDS(f_str("client", s->ip),
						f_str("limit", "messages in one session"),
						f_num("max", limits->messages_per_session)));
		return smtp_refuse(SMTP_REFUSE_MESSAGES);
	}
	if (r->space_low)
		return smtp_refuse(SMTP_REFUSE_BUSY);
	struct mail_client client = client_of(s);
	s->mail = mail_new(r, said, &client);
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
	log_event_at(4032, 'E', 0,
			FIELDS(f_str("ndr", reply->code == 550 ? "504" : "550"),
					f_str("error", "00000000"),
					f_str("reply", line),
					f_span("recipient", recipient),
					f_str("host",
							s->in->r->conf->server
									.hostname)));
}

static struct smtp_reply
ask_commit(struct session *s, const struct smtp_commit *commit)
{
	struct relay *r = s->in->r;
	struct mail *m = s->mail;
	struct mail_client client = client_of(s);
	struct smtp_reply reply = mail_whole(r, m, commit, &client);

	s->mail = NULL;
	s->messages++;
	if (reply.code != 0) {
		mail_drop(r, m);
		return reply;
	}
	r->receiving -= mail_weight(m);
	r->pending += mail_weight(m);
	m->session = s;
	m->ticket = commit->ticket;
	list_add(&s->waiting, &m->link);
	mail_uncount(r, m);
	jobs_add(r->jobs, &m->job.job);
	if (r->pending > PENDING_MAX)
		s->in->full = true;
	return SMTP_LATER;
}

static void
answer(struct session *s, const struct smtp_question *q)
{
	struct relay *r = s->in->r;
	char text[SMTP_TEXT_SIZE];
	struct smtp_reply reply = SMTP_LATER;

	switch (q->kind) {
	case SMTP_ASK_MAIL:
		reply = ask_mail(s, &q->mail);
		break;
	case SMTP_ASK_RCPT:
		reply = mail_rcpt(r, s->mail, &q->path, text);
		say_refused(s, q->path.mailbox, &reply);
		break;
	case SMTP_ASK_VRFY:
		reply = SMTP_YES;
		break;
	case SMTP_ASK_ROUTE:
		reply = mail_route(s->mail, q->bytes) ? SMTP_YES
						      : smtp_refuse(SMTP_REFUSE_ROUTE);
		break;
	case SMTP_ASK_BODY:
		s->moved += q->bytes.n;
		reply = mail_body(r, s->mail, q->bytes);
		break;
	case SMTP_ASK_COMMIT:
		reply = ask_commit(s, &q->commit);
		break;
	case SMTP_ASK_DROP:
		if (smtp_server_bare(s->engine) != s->bare)
			log_event(7011, FIELDS(f_str("client", s->ip)));
		s->bare = smtp_server_bare(s->engine);
		mail_drop(r, s->mail);
		s->mail = NULL;
		break;
	case SMTP_ASK_NOTHING:
	case SMTP_ASK_CLOSE:
		return;
	}
	if (q->kind != SMTP_ASK_BODY)
		s->stamp_ms = loop_now_ms(r->loop);
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
static bool
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
	jobs_flush(s->in->r->jobs);
	return used;
}

static void
session_drained(void *host)
{
	struct session *s = host;

	s->stamp_ms = loop_now_ms(s->in->r->loop);
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
	relay_look_done(in->r);
}

static const struct stream_calls session_calls = {
	.bytes = session_bytes,
	.drained = session_drained,
	.ended = session_ended,
	.closed = session_closed,
};

/* ---- accepting ---- */

static size_t
same_client(const struct inbound *in, const struct net_addr *addr)
{
	size_t n = 0;

	LIST_EACH (link, &in->sessions) {
		const struct session *s = LIST_ITEM(link, struct session, link);

		n += !s->internal && net_addr_same(&s->addr, addr);
	}
	return n;
}

/* Over a limit: 421 and the door, without an engine's worth of memory. */
static const char *
limit_passed(struct inbound *in, const struct net_addr *addr, int64_t *max)
{
	const struct conf_limits *limits = &in->r->conf->smtp.limits;

	if (limits->connections > 0 && in->n - in->n_internal >= limits->connections) {
		*max = limits->connections;
		return "connections";
	}
	if (limits->connections_per_client > 0 &&
			same_client(in, addr) >= limits->connections_per_client) {
		*max = limits->connections_per_client;
		return "connections of one client";
	}
	return NULL;
}

static struct session *
session_new(struct inbound *in, int fd, const struct loop_peer *peer, bool internal)
{
	struct relay *r = in->r;
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->in = in;
	s->internal = internal;
	s->addr = peer->addr;
	list_init(&s->waiting);
	list_init(&s->dirty);
	if (internal)
		(void)snprintf(s->ip, sizeof(s->ip), "127.0.0.1");
	else
		net_addr_text(&peer->addr, s->ip);
	s->may_relay = !internal &&
			policy_may_relay(&r->conf->smtp.relay_from, span_of(s->ip));
	s->stamp_ms = loop_now_ms(r->loop);
	s->stream = stream_new(r->loop, fd, &session_calls, s);
	s->engine = smtp_server_new(&(struct smtp_server_options){
			.hostname = span_of(r->conf->server.hostname),
			.peer = internal ? (struct span){ "", 0 } : span_of(s->ip),
			.now_s = clock_wall_ms() / 1000,
			.size_limit = internal ? 0 : r->conf->smtp.limits.message,
			.max_recipients = internal ? STORE_RECIPIENTS_MAX - 1
						   : r->conf->smtp.limits.recipients,
			.max_errors = internal ? 0 : r->conf->smtp.limits.errors,
			.internal = internal,
	});
	list_add(&in->sessions, &s->link);
	in->n++;
	relay_hurry(r);
	if (internal)
		in->n_internal++;
	return s;
}

static void
session_begin(struct session *s, const char *limit, int64_t max)
{
	if (limit) {
		log_event(7013,
				FIELDS(f_str("client", s->ip), f_str("limit", limit),
						f_num("max", max)));
		smtp_server_end(s->engine, SMTP_REFUSE_CLIENTS);
	}
	(void)session_settle(s);
}

static void
accepted(void *host, int fd, const struct loop_peer *peer)
{
	struct inbound *in = host;
	int64_t max = 0;
	const char *limit = limit_passed(in, &peer->addr, &max);

	session_begin(session_new(in, fd, peer, false), limit, max);
}

static void
accepted_internal(void *host, int fd, const struct loop_peer *peer)
{
	struct inbound *in = host;

	/* Only our own processes: XCOLLECT is believed. */
	if (peer->uid != geteuid() && peer->uid != 0) {
		(void)close(fd);
		return;
	}
	session_begin(session_new(in, fd, peer, true), NULL, 0);
}

static void
refused(void *host, int no)
{
	struct inbound *in = host;

	if (in->too_many_told)
		return;
	in->too_many_told = true;
	log_event(7013,
			FIELDS(f_str("client", "-"), f_str("limit", strerror(no)),
					f_num("max", (int64_t)in->n)));
}

/* ---- birth and end ---- */

static bool
listen_tcp(struct inbound *in, const struct relay_options *o, struct err *err)
{
	const struct conf_listens *l = &in->r->conf->smtp.listen;

	for (size_t i = 0; i < l->n && in->listeners_n < LISTENERS_MAX; i++) {
		const struct conf_host *at = &l->p[i].address;
		char text[320];
		int fd;

		if (strcmp(at->name, "::") == 0)
			(void)snprintf(text, sizeof(text), "*:%u", at->port);
		else if (strchr(at->name, ':'))
			(void)snprintf(text, sizeof(text), "[%s]:%u", at->name,
					at->port);
		else
			(void)snprintf(text, sizeof(text), "%s:%u", at->name, at->port);
		if (o->listeners)
			fd = i < o->listeners_n ? o->listeners[i] : -1;
		else
			fd = listen_open(text, err);
		if (fd < 0) {
			if (o->listeners)
				continue;
			err->event = 115;
			return false;
		}
		in->listeners[in->listeners_n++] =
				loop_listen_new(in->r->loop, fd, accepted, refused, in);
	}
	return true;
}

struct inbound *
inbound_new(struct relay *r, const struct relay_options *o, struct err *err)
{
	struct inbound *in = calloc(1, sizeof(*in));
	char path[256];

	if (!in)
		abort();
	in->r = r;
	list_init(&in->sessions);
	list_init(&in->dirty);
	(void)snprintf(path, sizeof(path), "unix:%s/run/relay.sock", r->state);
	int fd = listen_open(path, err);
	if (fd < 0) {
		inbound_free(in);
		return NULL;
	}
	in->socket = loop_listen_new(r->loop, fd, accepted_internal, refused, in);
	/* `once` serves nobody but its own collectors. */
	if (!r->once && !listen_tcp(in, o, err)) {
		inbound_free(in);
		return NULL;
	}
	return in;
}

static void
listeners_free(struct inbound *in)
{
	for (size_t i = 0; i < in->listeners_n; i++)
		loop_listen_free(in->listeners[i]);
	in->listeners_n = 0;
	if (in->socket)
		loop_listen_free(in->socket);
	in->socket = NULL;
}

void
inbound_free(struct inbound *in)
{
	if (!in)
		return;
	listeners_free(in);
	LIST_EACH (link, &in->sessions)
		session_free(LIST_ITEM(link, struct session, link));
	free(in);
}

static void
session_end(struct session *s, enum smtp_refusal why)
{
	if (s->closing)
		return;
	smtp_server_end(s->engine, why);
	(void)session_settle(s);
}

void
inbound_stop(struct inbound *in)
{
	in->stopping = true;
	listeners_free(in);
	LIST_EACH (link, &in->sessions)
		session_end(LIST_ITEM(link, struct session, link),
				SMTP_REFUSE_SHUTDOWN);
}

bool
inbound_quiet(const struct inbound *in)
{
	return in->n == 0;
}

unsigned
inbound_internal(const struct inbound *in)
{
	return (unsigned)in->n_internal;
}

size_t
inbound_sessions(const struct inbound *in)
{
	return in->n;
}

/* ---- what the store answered ---- */

void
inbound_done(struct inbound *in, struct mail *m)
{
	struct relay *r = in->r;
	struct session *s = m->session;
	char text[SMTP_TEXT_SIZE];
	struct smtp_reply reply = mail_answer(r, m, text);

	r->pending -= mail_weight(m);
	if (s) {
		smtp_server_committed(s->engine, m->ticket, reply);
		if (list_empty(&s->dirty))
			list_add(&in->dirty, &s->dirty);
	}
	mail_free(r, m);
}

void
inbound_flush(struct inbound *in)
{
	if (!in)
		return; /* it never came to be */
	LIST_EACH (link, &in->dirty) {
		struct session *s = LIST_ITEM(link, struct session, dirty);

		list_del(link);
		if (session_settle(s))
			session_resume(s);
	}
	if (in->full && in->r->pending < PENDING_MAX / 2) {
		in->full = false;
		LIST_EACH (link, &in->sessions)
			session_resume(LIST_ITEM(link, struct session, link));
	}
}

/* ---- time ---- */

static void
session_tick(struct session *s, int64_t now)
{
	int64_t idle = s->in->r->conf->smtp.limits.idle_s * 1000;
	int64_t gone = now - s->stamp_ms;

	if (s->mail && s->mail->counted && now - s->mail->began_ms > ABOUT_TO_END_MS)
		mail_uncount(s->in->r, s->mail);
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
		relay_look_done(in->r);
		return;
	}
	session_end(s, SMTP_REFUSE_IDLE);
}

void
inbound_tick(struct inbound *in)
{
	int64_t now = loop_now_ms(in->r->loop);

	in->too_many_told = false;
	LIST_EACH (link, &in->sessions)
		session_tick(LIST_ITEM(link, struct session, link), now);
}
