/* What the sending engine makes of the replies it hears. */
#include <string.h>

#include "postern/must.h"
#include "postern/num.h"
#include "sending.h"

static struct verdict
verdict_heard(const struct smtp_client *c)
{
	return smtp_heard_verdict(&c->heard);
}

/* Of the text of a good reply only the last of a message is ever told. */
static struct verdict
verdict_of(const struct smtp_client *c, enum answer what)
{
	if (what == A_END || c->heard.code >= 400)
		return verdict_heard(c);
	return (struct verdict){ .fate = FATE_DELIVERED, .code = c->heard.code };
}

bool
message_complete(const struct under_way *u)
{
	return u->writing == W_DONE && u->answered == u->written;
}

void
message_check(struct smtp_client *c)
{
	if (c->tell_rest || c->next == c->first)
		return;
	if (c->phase != PHASE_OVER && !message_complete(at(c, c->first)))
		return;
	c->tell_rest = true;
	c->rest = 0;
}

void
client_lost(struct smtp_client *c, struct verdict why)
{
	if (c->phase == PHASE_OVER)
		return;
	/* Several messages on the way and no word of them: it may have taken what followed
	 * the end of one for a part of it. */
	c->odd = c->odd || (c->next - c->first > 1 && !c->spent && why.code != 421);
	c->phase = PHASE_OVER;
	c->over_verdict = why;
	buf_clear(&c->out.b);
	c->out.at = 0;
	c->tell_over = true;
	message_check(c);
}

/* The peer said what it must not say now. */
static void
broken(struct smtp_client *c)
{
	struct verdict v = verdict_heard(c);

	c->odd = c->phase == PHASE_OPEN;
	client_lost(c,
			verdict_make(FATE_DEFERRED, v.code, "4.5.0",
					"unexpected reply: %s", v.text));
}

/* ---- greeting and extensions ---- */

static void
read_extension(struct smtp_client_caps *caps, struct span line)
{
	struct span name = span_word(&line);
	const struct {
		struct span name;
		bool *has;
	} rows[] = {
		{ SPAN("PIPELINING"), &caps->pipelining },
		{ SPAN("8BITMIME"), &caps->eight_bit },
		{ SPAN("BINARYMIME"), &caps->binary },
		{ SPAN("CHUNKING"), &caps->chunking },
		{ SPAN("ENHANCEDSTATUSCODES"), &caps->enhanced },
		{ SPAN("DSN"), &caps->dsn },
		{ SPAN("SMTPUTF8"), &caps->smtputf8 },
		{ SPAN("STARTTLS"), &caps->starttls },
		{ SPAN("XCOLLECT"), &caps->xcollect },
		{ SPAN("SIZE"), &caps->sized },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (span_eq_nocase(name, rows[i].name))
			*rows[i].has = true;
	}
	if (span_eq_nocase(name, SPAN("SIZE")))
		(void)num_u64(line, INT64_MAX, &caps->size_limit);
}

static void
read_extensions(struct smtp_client *c)
{
	struct span rest = c->heard.raw;

	(void)span_until(&rest, '\n'); /* the greeting */
	while (rest.n > 0) {
		struct span line = span_until(&rest, '\n');
		if (line.n > 4)
			read_extension(&c->caps, span_skip(line, 4));
	}
	/* BINARYMIME is nothing without BDAT (RFC 3030 section 3). */
	c->caps.binary = c->caps.binary && c->caps.chunking;
	c->caps.esmtp = true;
}

static void
on_greeting(struct smtp_client *c)
{
	if (c->heard.code != 220) {
		struct verdict v = verdict_heard(c);

		client_lost(c,
				verdict_make(FATE_DEFERRED, v.code, v.esc, "%s",
						v.text));
		return;
	}
	c->tell_greeting = true;
	flight_greet(c, true);
}

static void
on_hello(struct smtp_client *c)
{
	bool fall_back = c->phase == PHASE_EHLO && c->heard.code / 100 == 5 &&
			!c->lmtp && !c->internal;

	if (fall_back) {
		flight_greet(c, false);
		return;
	}
	if (c->heard.code != 250) {
		broken(c);
		return;
	}
	if (c->phase == PHASE_EHLO)
		read_extensions(c);
	if (c->internal &&
			!(c->caps.xcollect && c->caps.binary && c->caps.pipelining)) {
		client_lost(c,
				verdict_make(FATE_DEFERRED, 0, "4.3.5",
						"the peer is not our own relay"));
		return;
	}
	c->phase = PHASE_OPEN;
	c->tell_caps = true;
}

/* ---- replies to a message ---- */

enum answer
answers_what(const struct under_way *u)
{
	if (u->rset_out && !u->rset_in)
		return A_RSET;
	if (u->mail_out && !u->mail_in)
		return A_MAIL;
	if (u->route_out && !u->route_in)
		return A_ROUTE;
	if (u->answers < u->asked)
		return A_RCPT;
	if (u->data_out && !u->data_in)
		return A_DATA;
	return u->chunks_in < u->chunks_out ? A_CHUNK : A_END;
}

static void
die(struct smtp_client *c, struct under_way *u, struct verdict why)
{
	if (u->dead)
		return;
	u->dead = true;
	c->head_verdict = why;
}

static void
tell_one(struct smtp_client *c, struct under_way *u, size_t recipient, struct verdict v)
{
	u->states.p[recipient] = R_TOLD;
	c->tell_one = true;
	c->one = recipient;
	c->one_again = false;
	c->one_verdict = v;
}

static void
on_rcpt_reply(struct smtp_client *c, struct under_way *u, struct verdict v)
{
	while (u->states.p[u->rcpt_in] == R_INVALID ||
			u->states.p[u->rcpt_in] == R_UTF8)
		u->rcpt_in++;

	size_t recipient = u->rcpt_in++;
	u->answers++;
	if (v.fate == FATE_DELIVERED) {
		u->accepted++;
		u->states.p[recipient] = R_ACCEPTED;
		return;
	}
	if (u->dead)
		return; /* they get MAIL's reply, not "need MAIL first" */
	/* RFC 5321 4.5.3.1.10: 552 is an old way to say 452; and some servers say it
	 * without the enhanced code. */
	bool many = strcmp(v.esc, "4.5.3") == 0 || strcmp(v.esc, "5.5.3") == 0 ||
			(v.code == 452 && !c->heard.esc[0]);
	if ((v.code == 452 || v.code == 552) && many && u->accepted > 0)
		v.fate = FATE_DEFERRED;
	else
		many = false;
	tell_one(c, u, recipient, v);
	c->one_again = many;
	if (u->accepted == 0)
		c->head_verdict = v;
}

static void
on_data_reply(struct smtp_client *c, struct under_way *u, struct verdict v)
{
	u->data_in = true;
	if (c->heard.code == 354) {
		/* MAIL was refused, RCPT was not: whose transaction is this? Nobody was
		 * accepted: does LMTP then answer the dot? */
		if (u->accepted > 0 ? u->dead : c->lmtp) {
			broken(c);
		} else if (u->dead || u->accepted == 0) {
			flight_lone_dot(c, u);
			die(c, u, c->head_verdict);
		} else {
			u->writing = W_BODY;
		}
		return;
	}
	if (c->heard.code / 100 < 4) {
		broken(c);
		return;
	}
	if (u->accepted > 0)
		die(c, u, v);
	flight_stop(c, u);
}

static int
badness(enum fate fate)
{
	return fate == FATE_BOUNCED ? 2 : fate == FATE_DEFERRED;
}

/* RFC 2033 4.2: one reply for each accepted recipient. True when it was the last. */
static bool
on_lmtp_end(struct smtp_client *c, struct under_way *u, struct verdict v)
{
	if (u->dead || u->accepted == 0)
		return true; /* nobody to answer for: one reply, to the command */
	while (u->states.p[u->ended] != R_ACCEPTED)
		u->ended++;
	if (u->ends_in++ == 0 || badness(v.fate) >= badness(c->head_verdict.fate))
		c->head_verdict = v;
	tell_one(c, u, u->ended++, v);
	for (size_t i = u->ended; i < u->m.n; i++) {
		if (u->states.p[i] == R_ACCEPTED)
			return false;
	}
	return true;
}

/* True when the command is answered, false when more replies to it will come. */
static bool
on_end_reply(struct smtp_client *c, struct under_way *u, struct verdict v)
{
	if (c->heard.code / 100 == 3) {
		broken(c);
		return true;
	}
	if (u->bdat && v.fate != FATE_DELIVERED && !c->internal)
		c->rset = true; /* RFC 3030 section 4.2: indeterminate until RSET */
	if (c->lmtp)
		return on_lmtp_end(c, u, v);
	if (!u->dead && (u->accepted > 0 || u->m.collect))
		c->head_verdict = v;
	return true;
}

/* MAIL was refused. For what the message says, or for how it was said? */
static void
on_mail_refused(struct smtp_client *c, struct under_way *u, struct verdict v)
{
	int code = c->heard.code;
	bool body = (u->binary || u->m.eight_bit) && !u->plain;

	/* One transaction is all it takes on a connection (mailutils lmtpd). */
	if (code == 503 && c->first > 0 && !c->internal)
		u->untried = c->spent = true;
	/* It announces BODY= and does not know it: no such parameter, or argument. */
	if (body && !c->internal && (code == 501 || code == 504 || code == 555)) {
		u->untried = c->no_body = true;
		v.fate = FATE_DEFERRED;
	}
	die(c, u, v);
}

/* True when the command is answered. */
static bool
on_message_reply(struct smtp_client *c, struct under_way *u)
{
	enum answer what = answers_what(u);
	struct verdict v = verdict_of(c, what);

	if (c->heard.code == 421 && what != A_END) {
		/* Enough for one connection: what was not begun goes at once on another. */
		c->spent = what == A_MAIL && c->first > 0;
		client_lost(c, v);
		return true;
	}
	if (c->heard.code / 100 == 3 && what != A_DATA && what != A_END) {
		broken(c);
		return true;
	}
	switch (what) {
	case A_RSET:
		u->rset_in = true;
		return true;
	case A_MAIL:
		u->mail_in = true;
		if (v.fate != FATE_DELIVERED)
			on_mail_refused(c, u, v);
		return true;
	case A_ROUTE:
		u->route_in = true; /* the mail matters more than its story */
		return true;
	case A_RCPT:
		on_rcpt_reply(c, u, v);
		return true;
	case A_DATA:
		on_data_reply(c, u, v);
		return true;
	case A_CHUNK:
		u->chunks_in++;
		if (v.fate == FATE_DELIVERED)
			return true;
		die(c, u, v);
		if (c->lmtp && u->end_out)
			broken(c); /* how many replies will LAST get? */
		return true;
	case A_END:
		break;
	}

	bool all = on_end_reply(c, u, v);
	if (c->heard.code == 421)
		client_lost(c, v);
	return all;
}

/* The command that this reply belongs to, for the transcript. */
static void
find_said(struct smtp_client *c)
{
	struct span said = sink_span(&c->said);

	buf_clear(&c->tell_said);
	if (!c->transcript || c->ending)
		return;
	MUST(buf_add(&c->tell_said, span_first(said, span_find(said, '\n'))));
}

static void
command_answered(struct smtp_client *c)
{
	if (c->transcript)
		sink_sent(&c->said, span_find(sink_span(&c->said), '\n') + 1);
	c->waiting--;
	c->expected--;
}

void
reply_take(struct smtp_client *c)
{
	bool hidden = false;

	if (c->phase == PHASE_GREETING) {
		c->tell_exchange = c->transcript;
		c->exchange_greets = true;
		on_greeting(c);
		return;
	}
	if (c->waiting == 0) {
		if (c->heard.code == 421)
			client_lost(c, verdict_heard(c)); /* it may always say that */
		else
			broken(c);
		return;
	}
	c->exchange_greets = false;
	find_said(c);
	if (c->phase == PHASE_QUIT) {
		c->clean = c->heard.code / 100 == 2;
		client_lost(c, verdict_heard(c));
		command_answered(c);
	} else if (c->phase == PHASE_OPEN) {
		struct under_way *u = at(c, c->first);

		hidden = answers_what(u) == A_ROUTE;
		c->ending = !on_message_reply(c, u);
		if (!c->ending) {
			u->answered++;
			command_answered(c);
		}
	} else {
		on_hello(c);
		command_answered(c);
	}
	c->tell_exchange = c->transcript && !hidden;
}
