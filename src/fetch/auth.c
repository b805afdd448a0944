/* The exchange over the wire by which we log on. What held a secret is wiped
 * afterwards, and no event repeats one, whatever the server says. */
#include "auth.h"

#include <stdio.h>
#include <string.h>

#include "postern/clock.h"
#include "postern/enc.h"
#include "postern/secret_read.h"
#include "reply.h"
#include "suspend.h"

enum {
	COMMAND_MAX = 255, /* RFC 2449 section 4; not for what follows "+" */
	CONTINUATIONS_MAX = 3,
};

/* ---- what may be said ---- */

bool
pop_argument_ok(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return text.n > 0 && text.n <= SASL_ARGUMENT_MAX;
}

/* No secret without verified TLS, but where it was asked for. */
bool
pop_secret_welcome(struct pop_session *s)
{
	struct tls_facts facts;

	if (s->poll->account->tls == CONF_TLS_NONE)
		return true;
	return (dial_tls_facts(s->low.dial, &facts) && facts.verified) ||
			pop_fail(s, EVENT_TLS_MISSING,
					"no verified TLS, so nothing secret was sent");
}

bool
pop_bad_argument(struct pop_session *s)
{
	return pop_fail(s, EVENT_LOGON_REFUSED,
			"user name or password is empty, longer than %d octets or "
			"holds a control character",
			SASL_ARGUMENT_MAX);
}

bool
pop_arguments_ok(struct pop_session *s, struct span password)
{
	return (pop_argument_ok(span_of(s->poll->account->user)) &&
			       pop_argument_ok(password)) ||
			pop_bad_argument(s);
}

bool
pop_password(struct pop_session *s, struct buf *out)
{
	struct err err = { 0 };

	return secret_read(&s->poll->account->password, out, &err) ||
			pop_fail(s, EVENT_LOGON_REFUSED,
					"the password cannot be read: %s", err.text);
}

/* ---- what the server says ---- */

/* The part of what we said last that proves something: its last word. */
static struct span
proof(const struct logon *l)
{
	struct span line = span_trim(buf_span(&l->line));
	size_t space = span_rfind(line, ' ');

	return space < line.n ? span_skip(line, space + 1) : line;
}

/* A server may say anything, also what it was just told. */
static struct span
shown(const struct logon *l, struct span text)
{
	if (sasl_repeats(text, l->secret) || sasl_repeats(text, l->before) ||
			sasl_repeats(text, proof(l)))
		return SPAN("(it repeats the secret)");
	return span_first(text, AUTH_WORDS_MAX);
}

static void
note(char out[AUTH_WORDS_MAX + 1], struct span text)
{
	size_t n = text.n < AUTH_WORDS_MAX ? text.n : AUTH_WORDS_MAX;

	if (n > 0)
		memcpy(out, text.p, n);
	out[n] = '\0';
}

static void
refused(struct logon *l, struct span text)
{
	static const int events[] = {
		[REPLY_REFUSED] = EVENT_LOGON_REFUSED,
		[REPLY_IN_USE] = EVENT_MAILBOX_IN_USE,
		[REPLY_LATER] = EVENT_CONNECT_ACCOUNT_FAILED,
		[REPLY_BARRED] = EVENT_LOGON_REFUSED,
		[REPLY_ILL] = EVENT_UNEXPECTED_RESPONSE,
	};
	enum reply_sense sense = reply_to_logon(text);

	l->s->poll->word = schedule_word(text);
	l->counts = sense == REPLY_REFUSED;
	l->event = events[sense];
	note(l->said, shown(l, text));
}

/* "+" and what stands behind it (RFC 5034 section 4). */
static bool
asks(struct logon *l, struct span line)
{
	const struct pop_wire *w = &l->s->wire;

	if (!span_starts(line, SPAN("+")) || (line.n > 1 && line.p[1] != ' ') ||
			w->cut || span_find(line, '\0') < line.n ||
			(w->bare && w->framed && !w->lenient))
		return false;
	l->challenge = span_trim(span_skip(line, 1));
	return true;
}

/* Into the record of the session: command and argument as they may be seen. */
static void
record(struct pop_session *s, const char *who, struct span command,
		struct span argument)
{
	AUTO(buf_done) struct buf line = BUF_MAX((size_t)2 * RING_LINE);

	if (buf_add(&line, span_first(command, RING_LINE)) &&
			buf_add(&line, span_first(argument, RING_LINE)))
		ring_add(&s->poll->ring, clock_mono_ms(), who, buf_span(&line));
}

/* Nothing is recorded before it is known not to repeat the secret. */
static enum pop_answer
status(struct logon *l, struct span *text)
{
	struct pop_wire *w = &l->s->wire;
	struct ring *ring = w->ring;

	w->ring = NULL;
	enum pop_answer is = pop_status(w, text);
	w->ring = ring;
	if (is == POP_OK)
		record(l->s, "S", SPAN("+OK "), shown(l, *text));
	else if (is == POP_ERR)
		record(l->s, "S", SPAN("-ERR "), shown(l, *text));
	else if (is == POP_ODD && span_starts(*text, SPAN("+")))
		record(l->s, "S", SPAN("+ "), SPAN("***"));
	else if (is == POP_ODD)
		record(l->s, "S", SPAN(""), shown(l, *text));
	return is;
}

static enum answer
answer(struct logon *l)
{
	struct span text;

	switch (status(l, &text)) {
	case POP_OK:
		return ANSWER_IN;
	case POP_ERR:
		refused(l, text);
		return ANSWER_REFUSED;
	case POP_ODD:
		if (asks(l, text))
			return ANSWER_MORE;
		(void)pop_odd(l->s, shown(l, text));
		return ANSWER_ENDED;
	case POP_LOST:
		break;
	}
	(void)pop_lost(l->s);
	return ANSWER_ENDED;
}

void
auth_refusal(const struct logon *l, char out[AUTH_REFUSAL_SIZE])
{
	(void)snprintf(out, AUTH_REFUSAL_SIZE, "-ERR %s%s%s", l->said,
			*l->reason ? "; its reason: " : "", l->reason);
}

bool
auth_settled(struct logon *l, enum answer a)
{
	struct fetch_memo *m = l->s->poll->memo;
	char words[AUTH_REFUSAL_SIZE];

	if (a == ANSWER_REFUSED && l->counts) {
		l->s->poll->logon_refused = true;
		m->refused = suspend_check(l->s->poll->account, l->secret);
	}
	if (a == ANSWER_IN) {
		m->refusals = 0;
		m->refused = 0;
		m->logon_ms = 0;
	}
	if (a == ANSWER_REFUSED) {
		auth_refusal(l, words);
		(void)pop_fail(l->s, l->event, "%s", words);
	}
	if (a == ANSWER_IN)
		l->s->logged_on = l->how;
	return a == ANSWER_IN;
}

/* ---- what we say ---- */

bool
pop_flush_secret(struct pop_session *s)
{
	bool ok = pop_flush(s);

	secret_wipe(s->wire.stream->write_buffer, s->wire.stream->buffer_max_size);
	return ok;
}

static enum answer
ended(struct logon *l, int event, const char *words)
{
	(void)pop_fail(l->s, event, "%s: %s", sasl_name(l->how), words);
	return ANSWER_ENDED;
}

/* Not by pop_command: that one records what it sends. */
static bool
put(struct pop_session *s, struct span text)
{
	return mailstream_write(s->wire.stream, text.p, text.n) == (ssize_t)text.n ||
			pop_lost(s);
}

/* Sends l->line, and its end; recorded without its proof. */
static enum answer
say(struct logon *l)
{
	size_t proof_n = proof(l).n;

	if (!buf_add(&l->line, SPAN("\r\n")))
		return ended(l, EVENT_LOGON_REFUSED,
				"user name and secret are too long");
	l->told = true;

	struct span line = buf_span(&l->line);
	record(l->s, "C", span_first(line, line.n - 2 - proof_n), SPAN("***"));
	if (!put(l->s, line) || !pop_flush_secret(l->s))
		return ANSWER_ENDED;
	return answer(l);
}

/* "AUTH NAME": the server is to ask for the rest. */
static enum answer
begin(struct logon *l)
{
	struct span name = span_of(sasl_name(l->how));

	buf_clear(&l->line);
	record(l->s, "C", SPAN("AUTH "), name);
	if (!put(l->s, SPAN("AUTH ")) || !put(l->s, name) || !put(l->s, SPAN("\r\n")) ||
			!pop_flush(l->s))
		return ANSWER_ENDED;

	enum answer a = answer(l);
	if (a == ANSWER_IN)
		return ended(l, EVENT_UNEXPECTED_RESPONSE,
				"the server says +OK before anything was proved");
	return a;
}

/* Answers the server's "+" with l->line. */
static enum answer
last(struct logon *l, bool built)
{
	enum answer a = built ? say(l) : ended(l, EVENT_LOGON_REFUSED, "out of room");

	if (a == ANSWER_MORE)
		return ended(l, EVENT_UNEXPECTED_RESPONSE,
				"the server asks for more than there is to say");
	return a;
}

static struct span
user_name(const struct logon *l)
{
	return span_of(l->s->poll->account->user);
}

/* ---- the mechanisms ---- */

/* The initial response has to fit the longest command (RFC 5034 section 4). */
static enum answer
by_plain(struct logon *l)
{
	const struct span command = SPAN("AUTH PLAIN ");

	if (!buf_add(&l->line, command) ||
			!sasl_plain(user_name(l), l->secret, &l->line))
		return ended(l, EVENT_LOGON_REFUSED,
				"user name and password are too long");
	if (l->line.n + 2 <= COMMAND_MAX)
		return last(l, true);

	enum answer a = begin(l);
	return a == ANSWER_MORE ? last(l, sasl_plain(user_name(l), l->secret, &l->line))
				: a;
}

static enum answer
by_login(struct logon *l)
{
	enum answer a = begin(l);

	if (a != ANSWER_MORE)
		return a;
	if (!enc_base64(&l->line, user_name(l)))
		return ended(l, EVENT_LOGON_REFUSED, "the user name is too long");
	a = say(l);
	if (a == ANSWER_IN)
		return ended(l, EVENT_UNEXPECTED_RESPONSE,
				"the server says +OK before anything was proved");
	if (a != ANSWER_MORE)
		return a;
	buf_clear(&l->line);
	return last(l, enc_base64(&l->line, l->secret));
}

static enum answer
by_cram_md5(struct logon *l)
{
	enum answer a = begin(l);

	if (a != ANSWER_MORE)
		return a;
	if (!sasl_cram_md5(user_name(l), l->secret, l->challenge, &l->line))
		return ended(l, EVENT_UNEXPECTED_RESPONSE,
				"the server's challenge cannot be answered");
	return last(l, true);
}

/* Only the timestamp of this very channel will do: what came before STLS is
 * forgotten, since anybody may have written it. */
static enum answer
by_apop(struct logon *l)
{
	struct span timestamp = span_of(l->s->pop->pop3_timestamp);
	char digest[DIGEST_MD5_HEX_SIZE];

	if (timestamp.n == 0 && l->s->poll->account->tls == CONF_TLS_STARTTLS)
		return ended(l, EVENT_LOGON_REFUSED,
				"not with tls: starttls, where the greeting comes in clear");
	if (!sasl_timestamp_ok(timestamp))
		return ended(l, EVENT_LOGON_REFUSED,
				"the greeting holds no timestamp that may be used");
	if (!sasl_apop(timestamp, l->secret, digest))
		return ended(l, EVENT_LOGON_REFUSED, "this machine has no MD5");
	return last(l,
			buf_addf(&l->line, "APOP %s %s", l->s->poll->account->user,
					digest));
}

/* The server's reason, which it sends as one more challenge. */
static void
note_reason(struct logon *l)
{
	AUTO(buf_done) struct buf reason = BUF_MAX(WIRE_LINE);

	if (l->challenge.n == 0 || !dec_base64(&reason, l->challenge))
		return;
	note(l->reason, shown(l, span_trim(buf_span(&reason))));
}

/* Two steps always: a token does not fit a command. A refusal comes as a challenge
 * that wants an answer before -ERR (RFC 7628 section 3.2.3). */
static enum answer
by_token(struct logon *l)
{
	const struct conf_account *a = l->s->poll->account;
	struct sasl_user user = { span_of(a->user), a->server.name, a->server.port };
	bool bearer = l->how == CONF_AUTH_OAUTHBEARER;

	l->reason[0] = '\0';

	enum answer is = begin(l);
	if (is != ANSWER_MORE)
		return is;
	if (!(bearer ? sasl_oauthbearer(&user, l->secret, &l->line)
		     : sasl_xoauth2(&user, l->secret, &l->line)))
		return ended(l, EVENT_LOGON_REFUSED,
				"user name and token are too long");
	is = say(l);
	for (unsigned n = 0; is == ANSWER_MORE; n++) {
		if (n == CONTINUATIONS_MAX)
			return ended(l, EVENT_UNEXPECTED_RESPONSE,
					"the server asks without end");
		note_reason(l);
		record(l->s, "C", SPAN(""), bearer ? SPAN("AQ==") : SPAN(""));
		if (!put(l->s, bearer ? SPAN("AQ==\r\n") : SPAN("\r\n")) ||
				!pop_flush(l->s))
			return ANSWER_ENDED;
		is = answer(l);
	}
	return is;
}

/* ---- USER and PASS ---- */

static bool
queue_user(struct pop_session *s)
{
	struct span user = span_of(s->poll->account->user);

	record(s, "C", SPAN("USER "), user);
	return put(s, SPAN("USER ")) && put(s, user) && put(s, SPAN("\r\n"));
}

static bool
queue_pass(struct pop_session *s, struct span password)
{
	record(s, "C", SPAN("PASS "), SPAN("***"));
	return put(s, SPAN("PASS ")) && put(s, password) && put(s, SPAN("\r\n"));
}

bool
pop_user_pass_write(struct pop_session *s, struct span password)
{
	return pop_secret_welcome(s) && pop_arguments_ok(s, password) &&
			queue_user(s) && queue_pass(s, password);
}

bool
pop_user_pass_read(struct pop_session *s, struct span password)
{
	struct logon l = { .s = s, .how = CONF_AUTH_USER, .secret = password };
	enum answer a = answer(&l);

	return auth_settled(&l,
			a == ANSWER_MORE ? ended(&l, EVENT_UNEXPECTED_RESPONSE, "\"+\"")
					 : a);
}

/* One after the other: a server that refuses the name gets no password. */
static enum answer
by_user_pass(struct logon *l)
{
	struct pop_session *s = l->s;
	enum answer a = ANSWER_ENDED;

	if (queue_user(s) && pop_flush(s))
		a = answer(l);
	if (a != ANSWER_IN)
		return a == ANSWER_MORE ? ended(l, EVENT_UNEXPECTED_RESPONSE, "\"+\"")
					: a;
	if (!queue_pass(s, l->secret) || !pop_flush_secret(s))
		return ANSWER_ENDED;
	a = answer(l);
	return a == ANSWER_MORE ? ended(l, EVENT_UNEXPECTED_RESPONSE, "\"+\"") : a;
}

enum answer
auth_prove(struct logon *l)
{
	enum answer a = ANSWER_ENDED;

	l->line = BUF_MAX(SASL_RESPONSE_MAX);
	sasl_room(&l->line);
	switch (l->how) {
	case CONF_AUTH_AUTO:
		break;
	case CONF_AUTH_USER:
		a = by_user_pass(l);
		break;
	case CONF_AUTH_PLAIN:
		a = by_plain(l);
		break;
	case CONF_AUTH_LOGIN:
		a = by_login(l);
		break;
	case CONF_AUTH_CRAM_MD5:
		a = by_cram_md5(l);
		break;
	case CONF_AUTH_APOP:
		a = by_apop(l);
		break;
	case CONF_AUTH_XOAUTH2:
	case CONF_AUTH_OAUTHBEARER:
		a = by_token(l);
		break;
	}
	secret_done(&l->line);
	return a;
}
