/* Logging on: which mechanism, and where its secret comes from. A secret goes out
 * only over TLS that was verified, or where the configuration says `tls: none`;
 * nothing weaker than the configured mechanism is tried. */
#include <stdio.h>

#include "auth.h"
#include "postern/log.h"
#include "postern/secret_read.h"

enum { SECRET_MAX = 64 * 1024 };

/* ---- which one ---- */

static bool
is_token(enum conf_auth how)
{
	return how == CONF_AUTH_XOAUTH2 || how == CONF_AUTH_OAUTHBEARER;
}

static bool
offers(const struct pop_session *s, enum conf_auth how)
{
	return (s->caps.sasl & 1u << how) != 0;
}

/* The order of auth: auto; CONF_AUTH_AUTO when there is nothing to take. */
static enum conf_auth
automatic(const struct pop_session *s)
{
	const struct conf_account *a = s->poll->account;
	/* Old servers take USER and do not say so. */
	bool user = s->caps.user || !s->caps.sasl_said;

	if (a->password.kind == SECRET_NONE && a->token.kind != SECRET_NONE)
		return offers(s, CONF_AUTH_OAUTHBEARER) ? CONF_AUTH_OAUTHBEARER
							: CONF_AUTH_XOAUTH2;
	if (offers(s, CONF_AUTH_PLAIN) && (dial_is_tls(s->low.dial) || !user))
		return CONF_AUTH_PLAIN;
	if (user)
		return CONF_AUTH_USER;
	return offers(s, CONF_AUTH_LOGIN) ? CONF_AUTH_LOGIN : CONF_AUTH_AUTO;
}

static bool
choose(struct pop_session *s, enum conf_auth *how)
{
	enum conf_auth named = s->poll->account->auth;
	enum conf_auth is = named == CONF_AUTH_AUTO ? automatic(s) : named;
	bool sasl = is != CONF_AUTH_USER && is != CONF_AUTH_APOP;

	if (is == CONF_AUTH_AUTO)
		return pop_fail(s, EVENT_LOGON_REFUSED,
				"the server offers no way to log on that auth: auto takes");
	if (sasl && s->caps.sasl_said && !offers(s, is))
		return pop_fail(s, EVENT_LOGON_REFUSED,
				"the server does not offer %s; nothing else was tried",
				sasl_name(is));
	*how = is;
	return true;
}

/* ---- the secret ---- */

static bool
with_password(struct logon *l)
{
	struct buf password = BUF_MAX(SECRET_MAX);
	bool ok = pop_password(l->s, &password);

	l->secret = buf_span(&password);
	ok = ok && pop_arguments_ok(l->s, l->secret);
	if (ok) {
		unsigned check = pop_check(l->s, l->secret);

		ok = auth_settled(l, auth_prove(l));
		if (ok)
			l->s->check = check;
	}
	secret_done(&password);
	return ok;
}

/* 8007 and 8008; not where nothing is logged. */
static void
tell(const struct logon *l, int event, const char *words)
{
	if (!l->s->poll->look_only)
		log_event(event,
				FIELDS(f_span("account", l->s->poll->name),
						f_span("id", l->s->poll->name),
						f_str("err", words)));
}

static bool
read_token(const struct logon *l, struct buf *out, struct err *err)
{
	if (!secret_read(&l->s->poll->account->token, out, err))
		return false;
	return sasl_token_ok(buf_span(out)) ||
			err_set(err, 0, "what stands in its place is no token of at most %d octets",
					SASL_TOKEN_MAX);
}

static void
tell_refusal(const struct logon *l, const char *which)
{
	char said[AUTH_REFUSAL_SIZE], words[AUTH_REFUSAL_SIZE + 80];

	auth_refusal(l, said);
	(void)snprintf(words, sizeof(words), "%s: %s", which, said);
	tell(l, EVENT_TOKEN_FAILED, words);
}

/* The token was refused: it may have expired, and its source may have another. */
static enum answer
once_more(struct logon *l, struct buf *fresh)
{
	struct err err = { 0 };

	if (!read_token(l, fresh, &err)) {
		tell(l, EVENT_TOKEN_FAILED, err.text);
		return ANSWER_REFUSED;
	}
	if (l->s->poll->account->token.kind != SECRET_COMMAND &&
			span_eq(buf_span(fresh), l->secret)) {
		tell_refusal(l, "it is refused and still the same");
		return ANSWER_REFUSED;
	}
	l->before = l->secret;
	l->secret = buf_span(fresh);

	enum answer a = auth_prove(l);
	if (a == ANSWER_IN)
		tell(l, EVENT_TOKEN_REFRESHED, NULL);
	if (a == ANSWER_REFUSED && l->counts)
		tell_refusal(l, "a fresh one is refused as well");
	return a;
}

static bool
with_token(struct logon *l)
{
	struct buf token = BUF_MAX(SECRET_MAX), fresh = BUF_MAX(SECRET_MAX);
	struct span user = span_of(l->s->poll->account->user);
	struct err err = { 0 };
	bool ok = pop_argument_ok(user) || pop_bad_argument(l->s);

	if (ok && !read_token(l, &token, &err)) {
		tell(l, EVENT_TOKEN_FAILED, err.text);
		ok = pop_fail(l->s, EVENT_LOGON_REFUSED, "there is no token: %s",
				err.text);
	}
	if (ok) {
		l->secret = buf_span(&token);
		enum answer a = auth_prove(l);
		if (a == ANSWER_REFUSED && l->counts && l->told)
			a = once_more(l, &fresh);
		ok = auth_settled(l, a);
	}
	secret_done(&token);
	secret_done(&fresh);
	return ok;
}

bool
pop_logon(struct pop_session *s)
{
	struct logon l = { .s = s };

	if (!choose(s, &l.how) || !pop_secret_welcome(s))
		return false;
	return is_token(l.how) ? with_token(&l) : with_password(&l);
}
