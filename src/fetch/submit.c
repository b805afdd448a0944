#include "submit.h"

#include <stdlib.h>
#include <string.h>

#include "postern/clock.h"
#include "postern/log.h"
#include "transcript.h"

enum { READ = 16 * 1024, CONNECT_MS = 10000, LEAST_PATIENCE_S = 60 };

struct fetch_submit {
	struct fetch_submit_options o;
	struct dial *dial;
	struct smtp_client *client;
	struct list flights; /* handed to the engine, oldest first */
	struct transcript transcript;
	struct err err; /* why the session is over */
	bool over;
	char read[READ];
};

static struct span
copy(char **at, struct span s)
{
	struct span to = { *at, s.n };

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return to;
}

struct fetch_flight *
fetch_flight_new(const struct fetch_flight *like)
{
	const struct smtp_collect *c = &like->collect;
	size_t size = sizeof(*like) + like->n * sizeof(*like->recipients);

	for (size_t i = 0; i < like->n; i++)
		size += like->recipients[i].n;
	size += like->trace.n + like->sender.n + like->route.n;
	size += c->account.n + c->uidl.n + c->provider.n + c->ip.n + c->badmail.n +
			c->hold.n + c->fallback.n;

	struct fetch_flight *f = malloc(size);
	if (!f)
		abort();
	*f = *like;
	f->recipients = (struct span *)(void *)(f + 1);
	char *at = (char *)(f->recipients + f->n);
	for (size_t i = 0; i < f->n; i++)
		f->recipients[i] = copy(&at, like->recipients[i]);
	f->trace = copy(&at, like->trace);
	f->sender = copy(&at, like->sender);
	f->route = copy(&at, like->route);
	f->collect.account = copy(&at, c->account);
	f->collect.uidl = copy(&at, c->uidl);
	f->collect.provider = copy(&at, c->provider);
	f->collect.ip = copy(&at, c->ip);
	f->collect.badmail = copy(&at, c->badmail);
	f->collect.hold = copy(&at, c->hold);
	f->collect.fallback = copy(&at, c->fallback);
	return f;
}

void
fetch_flight_free(struct fetch_flight *f)
{
	free(f);
}

struct fetch_submit *
fetch_submit_open(const struct fetch_submit_options *o, struct err *err)
{
	struct dial_to to = {
		.unix_path = o->socket,
		.connect_ms = CONNECT_MS,
		.cancel = o->cancel,
	};
	enum dial_end why;
	struct dial *dial = dial_open(&to, &why, err);

	if (!dial) {
		err->event = EVENT_SUBMISSION_DEFERRED;
		return NULL;
	}

	struct fetch_submit *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->o = *o;
	s->dial = dial;
	s->client = smtp_client_new(&(struct smtp_client_options){
			.hostname = o->hostname,
			.internal = true,
			.transcript = true,
			.window = SUBMIT_WINDOW,
	});
	list_init(&s->flights);
	transcript_init(&s->transcript, log_wants(3), SUBMIT_TRANSCRIPT);
	log_event(EVENT_SUBMISSION_OPENED,
			FIELDS(f_span("account", o->account),
					f_span("host", o->hostname),
					f_span("id", o->account)));
	return s;
}

/* 504 stands for a refusal by recipient policy, other failures give the RFC 3463
 * digits without dots (EVENTS.md). */
static void
ndr_code(const struct verdict *v, char out[8])
{
	size_t n = 0;

	if (v->fate == FATE_DELIVERED)
		out[n++] = '0';
	else if (v->code == 550 && strcmp(v->esc, "5.7.1") == 0)
		for (const char *c = "504"; *c; c++)
			out[n++] = *c;
	else
		for (const char *c = v->esc; *c && n < 7; c++)
			if (*c != '.')
				out[n++] = *c;
	out[n] = '\0';
}

static void
log_recipient(struct fetch_submit *s, const struct fetch_flight *f, size_t i,
		const struct verdict *v)
{
	bool failed = v->fate != FATE_DELIVERED;
	char ndr[8];

	if (!failed && !log_wants(3))
		return;
	ndr_code(v, ndr);
	log_event_at(EVENT_RECIPIENT_PROCESSED, failed ? 'E' : 'I', failed ? 0 : 3,
			FIELDS(f_span("account", s->o.account), f_span("id", f->trace),
					f_str("ndr", ndr), f_str("error", "00000000"),
					f_str("reply", v->text),
					f_span("recipient", f->recipients[i]),
					f_span("host", s->o.hostname)));
}

static struct fetch_flight *
flight_of(uint64_t mark)
{
	return (struct fetch_flight *)(uintptr_t)mark;
}

static void
on_recipient(struct fetch_submit *s, const struct smtp_fact *fact)
{
	struct fetch_flight *f = flight_of(fact->mark);

	switch (fact->verdict->fate) {
	case FATE_DELIVERED:
		f->accepted++;
		break;
	case FATE_BOUNCED:
		f->refused++;
		break;
	case FATE_DEFERRED: /* as the whole message: told once, by 4024 */
		return;
	}
	log_recipient(s, f, fact->recipient, fact->verdict);
}

static void
on_message(struct fetch_submit *s, const struct smtp_fact *fact)
{
	struct fetch_flight *f = flight_of(fact->mark);

	transcript_cut(&s->transcript, false);
	list_del(&f->link);
	f->over = true;
	s->o.settled(s->o.host, f, fact->verdict);
	if (!f->reading)
		fetch_flight_free(f);
}

static void
on_over(struct fetch_submit *s, const struct verdict *v)
{
	s->over = true;
	if (s->err.text[0] == '\0')
		(void)err_set(&s->err, EVENT_SUBMISSION_DEFERRED, "%s", v->text);
}

static void
note(struct fetch_submit *s, struct span said, struct span heard)
{
	int64_t now = clock_mono_ms();

	if (said.n > 0)
		ring_add(s->o.ring, now, "relay C", span_trim(said));
	ring_add(s->o.ring, now, "relay S", span_trim(heard));
}

static void
facts(struct fetch_submit *s)
{
	struct smtp_fact fact;

	while (smtp_client_next(s->client, &fact)) {
		switch (fact.kind) {
		case SMTP_FACT_GREETED:
			break;
		case SMTP_FACT_CAPS:
			transcript_cut(&s->transcript, true);
			break;
		case SMTP_FACT_RECIPIENT:
			on_recipient(s, &fact);
			break;
		case SMTP_FACT_MESSAGE:
			on_message(s, &fact);
			break;
		case SMTP_FACT_EXCHANGE:
			transcript_add(&s->transcript, fact.said, fact.heard);
			note(s, fact.said, fact.heard);
			break;
		case SMTP_FACT_OVER:
			on_over(s, fact.verdict);
			break;
		}
	}
}

/* Ends the session from our side; flights get their verdicts, and it is over. */
static void
lost(struct fetch_submit *s, const char *why)
{
	if (s->err.text[0] == '\0')
		(void)err_set(&s->err, EVENT_SUBMISSION_DEFERRED,
				"the relay does not answer: %s", why);
	if (!smtp_client_over(s->client))
		smtp_client_lost(s->client, why);
	facts(s);
}

static void
hear(struct fetch_submit *s, bool *moved)
{
	ssize_t n;

	do {
		n = dial_read_now(s->dial, s->read, sizeof(s->read));
		if (n < 0)
			lost(s, dial_error(s->dial));
		struct span in = { s->read, n > 0 ? (size_t)n : 0 };

		*moved = *moved || n > 0;
		while (in.n > 0 && !s->over) {
			in = span_skip(in, smtp_client_feed(s->client, in));
			facts(s);
		}
	} while (!s->over && n == (ssize_t)sizeof(s->read));
}

static void
say(struct fetch_submit *s, bool *moved)
{
	struct span out;

	while ((out = smtp_client_output(s->client)).n > 0) {
		ssize_t n = dial_write_now(s->dial, out.p, out.n);

		if (n < 0)
			lost(s, dial_error(s->dial));
		if (n <= 0)
			return;
		smtp_client_sent(s->client, (size_t)n);
		*moved = true;
	}
}

/* Moves what can be moved in both directions; `wait`: at least something. */
static void
pump(struct fetch_submit *s, bool wait)
{
	bool moved = false;

	if (!s->over && dial_cancelled(s->o.cancel))
		lost(s, "cancelled");
	if (!s->over)
		say(s, &moved);
	if (!s->over)
		hear(s, &moved);
	if (s->over || moved || !wait)
		return;

	unsigned patience = smtp_client_patience_s(s->client);
	int64_t ms = 1000 *
			(int64_t)(patience > LEAST_PATIENCE_S ? patience
							      : LEAST_PATIENCE_S);
	bool more = smtp_client_output(s->client).n > 0;
	if (more ? !dial_wait_both(s->dial, ms) : !dial_wait(s->dial, ms))
		lost(s, "timed out");
}

bool
fetch_submit_begin(struct fetch_submit *s, struct fetch_flight *f)
{
	while (!s->over && !smtp_client_may_send(s->client))
		pump(s, true);
	f->over = s->over;
	if (s->over)
		return false;
	list_add(&s->flights, &f->link);
	f->out = (struct smtp_client_out){
		.mark = (uint64_t)(uintptr_t)f,
		.sender = f->sender,
		.recipients = f->recipients,
		.n = f->n,
		.eight_bit = true,
		.bare = true,
		.nul = true,
		.utf8 = f->utf8,
		.collect = &f->collect,
		.route = f->route,
	};
	smtp_client_send(s->client, &f->out);
	return true;
}

bool
fetch_submit_body(struct fetch_submit *s, struct span bytes, bool last)
{
	do {
		if (s->over)
			return false;
		if (smtp_client_body_done(s->client))
			return true;
		if (!smtp_client_wants_body(s->client)) {
			pump(s, true);
			continue;
		}
		bytes = span_skip(bytes, smtp_client_body(s->client, bytes, last));
		if (smtp_client_output(s->client).n >= SUBMIT_BATCH)
			pump(s, false);
	} while (bytes.n > 0 ||
			(last && !s->over && !smtp_client_body_done(s->client)));
	return !s->over;
}

void
fetch_submit_abandon(struct fetch_submit *s, const char *why)
{
	while (!s->over && smtp_client_under_way(s->client) > 1)
		pump(s, true);
	if (s->over)
		return;
	(void)err_set(&s->err, EVENT_SUBMISSION_DEFERRED, "%s", why);
	smtp_client_abandon(s->client, why);
	facts(s);
}

void
fetch_submit_flush(struct fetch_submit *s)
{
	pump(s, false);
}

bool
fetch_submit_pending(const struct fetch_submit *s)
{
	return !s->over && smtp_client_output(s->client).n > 0;
}

bool
fetch_submit_drain(struct fetch_submit *s)
{
	while (!s->over && smtp_client_under_way(s->client) > 0)
		pump(s, true);
	return !s->over;
}

const char *
fetch_submit_error(const struct fetch_submit *s)
{
	return s->err.text;
}

static void
log_transcript(struct fetch_submit *s)
{
	struct transcript *t = &s->transcript;

	transcript_cut(t, false);
	if (t->left_out > 0) {
		size_t room = SUBMIT_TRANSCRIPT - 64;

		t->said.n = t->said.n < room ? t->said.n : room;
		(void)!buf_addf(&t->said, "\n(%llu more commands)\n",
				(unsigned long long)t->left_out);
	}
	if (t->refused || log_wants(3))
		log_event_at(EVENT_TRANSCRIPT, t->refused ? 'E' : 'I',
				t->refused ? 0 : 3,
				FIELDS(f_span("account", s->o.account),
						f_lines("transcript",
								buf_span(&t->said))));
}

void
fetch_submit_close(struct fetch_submit *s)
{
	if (!s)
		return;
	if (!s->over && smtp_client_under_way(s->client) == 0) {
		smtp_client_quit(s->client);
		while (!s->over)
			pump(s, true);
	}
	log_transcript(s);
	dial_close(s->dial);
	smtp_client_free(s->client);
	LIST_EACH (link, &s->flights)
		fetch_flight_free(LIST_ITEM(link, struct fetch_flight, link));
	transcript_done(&s->transcript);
	free(s);
}
