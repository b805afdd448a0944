/* The sending engine: its door, and the facts it tells. */
#include "postern/smtp_client.h"

#include <stdlib.h>
#include <string.h>

#include "collect.h"
#include "postern/must.h"
#include "postern/smtp_path.h"
#include "sending.h"

/* ---- facts ---- */

static bool
has_fact(const struct smtp_client *c)
{
	return c->tell_exchange || c->tell_greeting || c->tell_caps || c->tell_one ||
			c->tell_rest || c->tell_over;
}

static struct verdict
unfit_verdict(const struct smtp_client *c, const struct under_way *u)
{
	switch (u->unfit) {
	case UNFIT_EIGHT_BIT:
		return verdict_make(FATE_DEFERRED, 0, "4.6.3",
				"the next hop does not offer 8BITMIME, which this message needs");
	case UNFIT_SIZE:
		return verdict_make(FATE_BOUNCED, 552, "5.3.4",
				"552 5.3.4 the message has %ju octets, the next hop takes %ju",
				(uintmax_t)u->m.size, (uintmax_t)c->caps.size_limit);
	case UNFIT_SENDER:
		return verdict_make(FATE_BOUNCED, 501, "5.1.7",
				"501 5.1.7 the sender is not an address");
	case UNFIT_UTF8:
		return verdict_make(FATE_BOUNCED, 553, "5.6.7",
				"553 5.6.7 the sender is not ASCII, and the next hop does not offer SMTPUTF8");
	case UNFIT_ORIGIN:
		return verdict_make(FATE_DEFERRED, 0, "4.3.0",
				"the origin of the message cannot be written as XCOLLECT");
	case FIT:
		break;
	}
	return c->head_verdict;
}

/* Did the connection take its last octet? */
static bool
all_taken(const struct smtp_client *c, const struct under_way *u)
{
	return u->end_out && u->end <= c->taken;
}

/* What a recipient gets whose address cannot go out. */
static struct verdict
unsayable_verdict(int state)
{
	if (state == R_UTF8)
		return verdict_make(FATE_BOUNCED, 553, "5.6.7",
				"553 5.6.7 the address is not ASCII, and the next hop does not offer SMTPUTF8");
	return verdict_make(FATE_BOUNCED, 501, "5.1.3",
			"501 5.1.3 the recipient is not an address");
}

/* What those recipients of the oldest message get who were not told yet. */
static void
decide_rest(struct smtp_client *c, const struct under_way *u)
{
	c->rest_doubt = false;
	if (u->unfit != FIT) {
		c->head_verdict = unfit_verdict(c, u);
	} else if (!message_complete(u) && !u->dead) {
		c->rest_doubt = all_taken(c, u);
		c->head_verdict = c->over_verdict;
	}
}

static void
forget_head(struct smtp_client *c)
{
	c->head_verdict = verdict_make(
			FATE_DEFERRED, 0, "4.0.0", "no recipient was tried");
	c->tell_rest = false;
	c->first++;
	message_check(c);
	flight_pump(c);
}

/* Was nothing of it taken, for a reason that is none of the message's? */
static bool
untried(const struct smtp_client *c, const struct under_way *u)
{
	return u->untried || (c->spent && !u->mail_in);
}

/* The next of the facts that end the oldest message. */
static void
tell_rest(struct smtp_client *c, struct smtp_fact *out)
{
	struct under_way *u = at(c, c->first);

	if (c->rest == 0)
		decide_rest(c, u);
	out->mark = u->m.mark;
	out->verdict = &c->head_verdict;
	out->untried = untried(c, u);
	out->in_doubt = c->rest_doubt && !out->untried;
	while (c->rest < u->m.n && u->states.p[c->rest] == R_TOLD)
		c->rest++;
	if (c->rest < u->m.n) {
		out->kind = SMTP_FACT_RECIPIENT;
		out->recipient = c->rest;
		if (u->states.p[c->rest] == R_INVALID ||
				u->states.p[c->rest] == R_UTF8) {
			c->one_verdict = unsayable_verdict(u->states.p[c->rest]);
			out->verdict = &c->one_verdict;
			out->in_doubt = out->untried = false;
		}
		u->states.p[c->rest++] = R_TOLD;
		return;
	}
	out->kind = SMTP_FACT_MESSAGE;
	out->changed = u->stuff.changed && all_taken(c, u);
	out->nul = u->nul && all_taken(c, u);
	out->spent = c->spent;
	c->told_verdict = c->head_verdict;
	out->verdict = &c->told_verdict;
	forget_head(c);
}

bool
smtp_client_next(struct smtp_client *c, struct smtp_fact *out)
{
	*out = (struct smtp_fact){ 0 };
	if (c->tell_exchange) {
		c->tell_exchange = false;
		out->kind = SMTP_FACT_EXCHANGE;
		out->greeting = c->exchange_greets;
		out->said = c->exchange_greets ? SPAN("") : buf_span(&c->tell_said);
		out->heard = c->heard.raw;
	} else if (c->tell_greeting) {
		c->tell_greeting = false;
		out->kind = SMTP_FACT_GREETED;
		out->heard = c->heard.raw;
	} else if (c->tell_caps) {
		c->tell_caps = false;
		out->kind = SMTP_FACT_CAPS;
		out->heard = c->heard.raw;
	} else if (c->tell_one) {
		c->tell_one = false;
		out->kind = SMTP_FACT_RECIPIENT;
		out->mark = at(c, c->first)->m.mark;
		out->recipient = c->one;
		out->verdict = &c->one_verdict;
		out->again = c->one_again;
	} else if (c->tell_rest) {
		tell_rest(c, out);
	} else if (c->tell_over) {
		c->tell_over = false;
		out->kind = SMTP_FACT_OVER;
		out->verdict = &c->over_verdict;
		out->clean = c->clean;
		out->odd = c->odd;
	} else {
		return false;
	}
	return true;
}

/* ---- bytes ---- */

struct span
smtp_client_output(const struct smtp_client *c)
{
	return sink_span(&c->out);
}

void
smtp_client_sent(struct smtp_client *c, size_t n)
{
	if (c->phase == PHASE_OVER)
		return;
	MUST(n <= sink_left(&c->out));
	sink_sent(&c->out, n);
	c->taken += n;
	while (sink_left(&c->ends) > 0) {
		uint64_t end;

		memcpy(&end, sink_span(&c->ends).p, sizeof(end));
		if (end > c->taken)
			break;
		sink_sent(&c->ends, sizeof(end));
		c->waiting++;
	}
	flight_pump(c);
}

/* What else may stand behind a port, by its first words. */
static const char *
who_says(struct span line)
{
	static const struct {
		struct span begins;
		const char *who;
	} rows[] = {
		{ { SPAN_INIT("+OK") }, ": a POP3 server stands there" },
		{ { SPAN_INIT("-ERR") }, ": a POP3 server stands there" },
		{ { SPAN_INIT("* ") }, ": an IMAP server stands there" },
		{ { SPAN_INIT("SSH-") }, ": an SSH server stands there" },
		{ { SPAN_INIT("HTTP/") }, ": a web server stands there" },
		{ { SPAN_INIT("\x15\x03") }, ": it speaks TLS from the first byte" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (span_starts(line, rows[i].begins))
			return rows[i].who;
	}
	return "";
}

/* No SMTP reply: what was said instead is told. */
static void
nonsense(struct smtp_client *c)
{
	struct span line = span_skip(buf_span(&c->reader.raw), c->reader.line);
	char text[100];
	size_t n = 0;

	for (; n < line.n && n + 1 < sizeof(text) && line.p[n] != '\n'; n++)
		text[n] = (unsigned char)line.p[n] < 0x20 || line.p[n] == 0x7f
				? '?'
				: line.p[n];
	text[n] = '\0';
	c->odd = c->phase == PHASE_OPEN;
	client_lost(c,
			verdict_make(FATE_DEFERRED, 0, "4.4.2",
					"the peer's reply is no SMTP reply%s: %s",
					who_says(line), text));
}

size_t
smtp_client_feed(struct smtp_client *c, struct span in)
{
	struct span rest = in;

	while (rest.n > 0 && !has_fact(c) && c->phase != PHASE_OVER) {
		switch (smtp_reader_feed(&c->reader, &rest, &c->heard)) {
		case SMTP_BAD:
			nonsense(c);
			break;
		case SMTP_ONE:
			reply_take(c);
			flight_pump(c);
			message_check(c);
			break;
		case SMTP_MORE:
			break;
		}
	}
	return in.n - rest.n;
}

/* ---- messages ---- */

bool
smtp_client_may_send(const struct smtp_client *c)
{
	if (c->phase != PHASE_OPEN || c->quit || c->spent ||
			c->next - c->first == c->window)
		return false;
	if (c->next == c->first)
		return true;

	/* A BDAT that fails leaves other peers than ours in doubt about what follows. */
	const struct under_way *u = at(c, c->next - 1);
	return u->writing == W_DONE && c->caps.pipelining && (c->internal || !u->bdat);
}

static bool
local_is_utf8(struct span address)
{
	return smtp_is_utf8(span_first(address, span_rfind(address, '@')));
}

/* RFC 6531 3.4: must, or should, it be asked for? */
static bool
wants_utf8(const struct smtp_client_out *m)
{
	bool wants = m->utf8 || local_is_utf8(m->sender);

	for (size_t i = 0; i < m->n && !wants; i++)
		wants = local_is_utf8(m->recipients[i]);
	return wants;
}

/* Chooses how the message goes out, or finds that it cannot. */
static void
prepare(const struct smtp_client *c, struct under_way *u)
{
	const struct smtp_client_caps *caps = &c->caps;
	const struct smtp_client_out *m = &u->m;
	struct span sender = m->sender;
	struct smtp_path path;
	bool named = sender.n == 0 || smtp_mailbox_parse(sender, &path);
	bool binary = m->bare || m->nul || (m->eight_bit && !caps->eight_bit);

	u->bdat = caps->chunking;
	u->binary = caps->binary && !c->no_body && (c->internal || binary);
	u->exact = u->bdat && (u->binary || !m->bare);
	u->eager = c->internal || m->size <= EAGER_MAX;
	u->stuff = (struct smtp_stuff){ .dots = !u->bdat, .crlf = true };
	u->utf8 = caps->smtputf8 && wants_utf8(m);
	if (!named)
		u->unfit = UNFIT_SENDER;
	else if (local_is_utf8(sender) && !caps->smtputf8)
		u->unfit = UNFIT_UTF8;
	else if (c->internal && m->collect && !collect_valid(m->collect))
		u->unfit = UNFIT_ORIGIN;
	else if (m->eight_bit && !caps->eight_bit && !u->binary)
		u->unfit = UNFIT_EIGHT_BIT;
	else if (caps->size_limit > 0 && m->size > caps->size_limit)
		u->unfit = UNFIT_SIZE;
	if (u->unfit != FIT)
		u->writing = W_DONE;
}

void
smtp_client_send(struct smtp_client *c, const struct smtp_client_out *m)
{
	struct under_way *u = at(c, c->next);
	struct buf states = u->states;

	MUST(smtp_client_may_send(c) && m->n <= RECIPIENTS_MAX);
	buf_clear(&states);
	states.max = RECIPIENTS_MAX;
	if (m->n > 0) {
		char *p = buf_room(&states, m->n);

		MUST(p);
		memset(p, R_OPEN, m->n);
	}
	*u = (struct under_way){ .m = *m, .states = states, .writing = W_RSET };
	prepare(c, u);
	c->next++;
	flight_pump(c);
	message_check(c);
}

void
smtp_client_quit(struct smtp_client *c)
{
	c->quit = true;
	flight_pump(c);
}

void
smtp_client_lost(struct smtp_client *c, const char *why)
{
	client_lost(c, verdict_make(FATE_DEFERRED, 0, "4.4.2", "%s", why));
}

void
smtp_client_abandon(struct smtp_client *c, const char *why)
{
	client_lost(c, verdict_make(FATE_DEFERRED, 0, "4.3.0", "%s", why));
}

/* ---- what is known ---- */

const struct smtp_client_caps *
smtp_client_caps(const struct smtp_client *c)
{
	return &c->caps;
}

unsigned
smtp_client_under_way(const struct smtp_client *c)
{
	return (unsigned)(c->next - c->first);
}

bool
smtp_client_over(const struct smtp_client *c)
{
	return c->phase == PHASE_OVER;
}

unsigned
smtp_client_patience_s(const struct smtp_client *c)
{
	enum {
		GREETING = 300,
		COMMAND = 300,
		GO = 120,
		BLOCK = 180,
		END = 600,
		BYE = 120
	};

	switch (c->phase) {
	case PHASE_GREETING:
		return GREETING;
	case PHASE_EHLO:
	case PHASE_HELO:
		return COMMAND;
	case PHASE_QUIT:
		return BYE;
	case PHASE_OVER:
		return 0;
	case PHASE_OPEN:
		break;
	}
	if (c->expected == 0)
		return sink_left(&c->out) > 0 ? BLOCK : 0;
	if (c->waiting == 0)
		return BLOCK;

	const struct under_way *u = at(c, c->first);
	switch (answers_what(u)) {
	case A_DATA:
		return GO;
	case A_CHUNK:
	case A_END:
		return END;
	case A_RSET:
	case A_MAIL:
	case A_ROUTE:
	case A_RCPT:
		break;
	}
	return COMMAND;
}

/* ---- birth and end ---- */

struct smtp_client *
smtp_client_new(const struct smtp_client_options *o)
{
	struct smtp_client *c = calloc(1, sizeof(*c));
	struct span name = span_first(o->hostname, sizeof(c->hostname) - 1);

	if (!c)
		abort();
	if (name.n > 0)
		memcpy(c->hostname, name.p, name.n);
	c->lmtp = o->lmtp;
	c->internal = o->internal;
	c->transcript = o->transcript;
	c->no_body = o->no_body;
	c->window = o->window ? o->window : 1;
	c->phase = PHASE_GREETING;
	c->out.b = BUF_MAX(OUT_MAX);
	c->ends.b = BUF_MAX(ENDS_MAX);
	c->said.b = BUF_MAX(SAID_MAX);
	c->tell_said = BUF_MAX(SAID_MAX);
	c->scratch = BUF_MAX(2 * NORMALISED_MAX + 8);
	c->reader = SMTP_READER;
	c->head_verdict = verdict_make(
			FATE_DEFERRED, 0, "4.0.0", "no recipient was tried");
	c->ring = calloc(c->window, sizeof(*c->ring));
	if (!c->ring)
		abort();
	return c;
}

void
smtp_client_free(struct smtp_client *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->window; i++)
		buf_done(&c->ring[i].states);
	free(c->ring);
	buf_done(&c->out.b);
	buf_done(&c->ends.b);
	buf_done(&c->said.b);
	buf_done(&c->tell_said);
	buf_done(&c->scratch);
	smtp_reader_done(&c->reader);
	free(c);
}
