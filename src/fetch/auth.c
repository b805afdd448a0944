/* Logging on. A password goes out only over TLS that was verified, or where the
 * configuration says `tls: none`; what held it is wiped afterwards. */
#include <stdio.h>
#include <string.h>

#include "postern/enc.h"
#include "postern/secret_read.h"
#include "session.h"

enum { ARGUMENT_MAX = 255, COMMAND_MAX = 255, BASE64_MAX = 1024 };

bool
pop_argument_ok(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return text.n > 0 && text.n <= ARGUMENT_MAX;
}

/* RFC 2449 section 8.1, RFC 3206: what a refusal is about. */
static bool
refused(struct pop_session *s, struct span text)
{
	if (span_starts_nocase(text, SPAN("[IN-USE]")) ||
			span_starts_nocase(text, SPAN("[LOGIN-DELAY]")))
		return pop_refused(s, 4004, text);
	if (span_starts_nocase(text, SPAN("[SYS/TEMP]")))
		return pop_refused(s, 4002, text);
	return pop_refused(s, 4003, text);
}

static struct span
response(const struct pop_session *s)
{
	return span_trim(span_of(s->pop->pop3_response));
}

static bool
user_pass(struct pop_session *s, const char *user, const char *password)
{
	int rc = mailpop3_user(s->pop, user);

	if (rc == MAILPOP3_NO_ERROR)
		rc = mailpop3_pass(s->pop, password);
	/* libetpan leaves the command in its buffer. */
	secret_wipe(s->wire.stream->write_buffer, s->wire.stream->buffer_max_size);
	switch (rc) {
	case MAILPOP3_NO_ERROR:
		return true;
	case MAILPOP3_ERROR_BAD_USER:
	case MAILPOP3_ERROR_BAD_PASSWORD:
		if (s->low.greedy || dial_why(s->low.dial) != DIAL_OK)
			return pop_lost(s);
		return refused(s, response(s));
	default:
		return pop_lost(s);
	}
}

/* Sends line and, when the server asks for it, what follows (RFC 5034). */
static bool
auth_exchange(struct pop_session *s, const char *line, const char *follows)
{
	struct span text;

	if (!pop_command(s, line) || !pop_flush(s))
		return false;
	if (follows) {
		if (!pop_line(&s->wire, &text))
			return pop_lost(s);
		if (span_starts(text, SPAN("-ERR")))
			return refused(s, span_trim(span_skip(text, 4)));
		if (!span_starts(text, SPAN("+")) || span_starts(text, SPAN("+OK")))
			return pop_odd(s, text);
		if (!pop_command(s, follows) || !pop_flush(s))
			return false;
	}
	switch (pop_status(&s->wire, &text)) {
	case POP_OK:
		return true;
	case POP_ERR:
		return refused(s, text);
	case POP_ODD:
		return pop_odd(s, text);
	case POP_LOST:
		break;
	}
	return pop_lost(s);
}

static bool
auth_plain(struct pop_session *s, struct span user, struct span password)
{
	struct buf plain = BUF_MAX(2 + 2 * ARGUMENT_MAX), line = BUF_MAX(BASE64_MAX);
	const char *whole = NULL;
	bool ok = buf_addc(&plain, '\0') && buf_add(&plain, user) &&
			buf_addc(&plain, '\0') && buf_add(&plain, password) &&
			buf_add(&line, SPAN("AUTH PLAIN ")) &&
			enc_base64(&line, buf_span(&plain)) &&
			buf_add(&line, SPAN("\r\n")) && (whole = buf_cstr(&line));

	/* The initial response has to fit the longest command (RFC 5034 section 4). */
	if (!ok)
		(void)pop_fail(s, 4003, "user name and password are too long");
	else if (line.n <= COMMAND_MAX)
		ok = auth_exchange(s, whole, NULL);
	else
		ok = auth_exchange(s, "AUTH PLAIN\r\n", whole + strlen("AUTH PLAIN "));
	secret_wipe(s->wire.stream->write_buffer, s->wire.stream->buffer_max_size);
	secret_done(&plain);
	secret_done(&line);
	return ok;
}

static bool
with_password(struct pop_session *s, struct buf *password)
{
	const struct conf_account *a = s->poll->account;
	const char *text = buf_cstr(password);
	bool tls = dial_is_tls(s->low.dial);
	bool plain = a->auth == CONF_AUTH_PLAIN ||
			(a->auth == CONF_AUTH_AUTO && s->caps.sasl_plain &&
					(tls || (s->caps.heard && !s->caps.user)));

	if (a->auth != CONF_AUTH_AUTO && a->auth != CONF_AUTH_PLAIN &&
			a->auth != CONF_AUTH_USER)
		return pop_fail(s, 4003, "this auth method is not there yet");
	if (!text || !pop_argument_ok(span_of(a->user)) ||
			!pop_argument_ok(buf_span(password)))
		return pop_fail(s, 4003,
				"user name or password is empty, longer than %d octets or "
				"holds a control character",
				ARGUMENT_MAX);
	if (a->tls != CONF_TLS_NONE && !tls)
		return pop_fail(s, 8003, "no TLS, so no password was sent");
	return plain ? auth_plain(s, span_of(a->user), buf_span(password))
		     : user_pass(s, a->user, text);
}

bool
pop_logon(struct pop_session *s)
{
	struct buf password = BUF_MAX(64 * 1024);
	struct err err = { 0 };
	bool ok = secret_read(&s->poll->account->password, &password, &err);

	if (ok)
		ok = with_password(s, &password);
	else
		(void)pop_fail(s, 4003, "the password cannot be read: %s", err.text);
	secret_done(&password);
	return ok;
}
