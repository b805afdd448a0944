#include "sasl.h"

#include <string.h>

#include "postern/enc.h"
#include "postern/must.h"
#include "postern/secret_read.h"

enum { CHALLENGE_MAX = 1024, REPEAT_LEAST = 8, REPEAT_RUN = 12 };

static const char *const names[] = {
	[CONF_AUTH_AUTO] = "AUTO",
	[CONF_AUTH_USER] = "USER",
	[CONF_AUTH_PLAIN] = "PLAIN",
	[CONF_AUTH_LOGIN] = "LOGIN",
	[CONF_AUTH_CRAM_MD5] = "CRAM-MD5",
	[CONF_AUTH_APOP] = "APOP",
	[CONF_AUTH_XOAUTH2] = "XOAUTH2",
	[CONF_AUTH_OAUTHBEARER] = "OAUTHBEARER",
};

const char *
sasl_name(enum conf_auth how)
{
	return names[how];
}

bool
sasl_mechanism(struct span word, enum conf_auth *out)
{
	static const enum conf_auth ours[] = { CONF_AUTH_PLAIN, CONF_AUTH_LOGIN,
		CONF_AUTH_CRAM_MD5, CONF_AUTH_XOAUTH2, CONF_AUTH_OAUTHBEARER };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (span_eq_nocase(word, span_of(names[ours[i]]))) {
			*out = ours[i];
			return true;
		}
	}
	return false;
}

void
sasl_room(struct buf *out)
{
	MUST(buf_room(out, out->max - out->n));
}

/* What was gathered in plain goes into *out in base64, and is wiped. */
static bool
finish(struct buf *plain, bool ok, struct buf *out)
{
	ok = ok && enc_base64(out, buf_span(plain));
	secret_done(plain);
	return ok;
}

bool
sasl_plain(struct span user, struct span password, struct buf *out)
{
	struct buf plain = BUF_MAX(2 + 2 * SASL_ARGUMENT_MAX);

	sasl_room(&plain);
	return finish(&plain,
			buf_addc(&plain, '\0') && buf_add(&plain, user) &&
					buf_addc(&plain, '\0') &&
					buf_add(&plain, password),
			out);
}

bool
sasl_cram_md5(struct span user, struct span password, struct span challenge,
		struct buf *out)
{
	AUTO(buf_done) struct buf asked = BUF_MAX(CHALLENGE_MAX);
	struct buf plain = BUF_MAX(SASL_ARGUMENT_MAX + 1 + DIGEST_MD5_HEX_SIZE);
	char digest[DIGEST_MD5_HEX_SIZE];

	if (!dec_base64(&asked, challenge) || asked.n == 0 ||
			!digest_hmac_md5_hex(password, buf_span(&asked), digest))
		return false;
	return finish(&plain, buf_add(&plain, user) && buf_addf(&plain, " %s", digest),
			out);
}

bool
sasl_apop(struct span timestamp, struct span password, char out[DIGEST_MD5_HEX_SIZE])
{
	struct span parts[] = { timestamp, password };

	return digest_md5_hex(parts, 2, out);
}

bool
sasl_timestamp_ok(struct span t)
{
	size_t at = span_find(t, '@');

	if (t.n < 5 || t.n > SASL_ARGUMENT_MAX || t.p[0] != '<' || t.p[t.n - 1] != '>')
		return false;
	for (size_t i = 1; i < t.n - 1; i++)
		if (t.p[i] <= ' ' || t.p[i] >= 0x7f || t.p[i] == '<' || t.p[i] == '>')
			return false;
	return at > 1 && at < t.n - 2 && span_rfind(t, '@') == at;
}

bool
sasl_xoauth2(const struct sasl_user *user, struct span token, struct buf *out)
{
	struct buf plain = BUF_MAX(SASL_TOKEN_MAX + 1024);

	sasl_room(&plain);
	return finish(&plain,
			buf_add(&plain, SPAN("user=")) && buf_add(&plain, user->name) &&
					buf_add(&plain, SPAN("\1auth=Bearer ")) &&
					buf_add(&plain, token) &&
					buf_add(&plain, SPAN("\1\1")),
			out);
}

/* RFC 5801 section 4: a name must not end before its end. */
static bool
add_saslname(struct buf *out, struct span name)
{
	bool ok = true;

	for (size_t i = 0; ok && i < name.n; i++) {
		if (name.p[i] == ',')
			ok = buf_add(out, SPAN("=2C"));
		else if (name.p[i] == '=')
			ok = buf_add(out, SPAN("=3D"));
		else
			ok = buf_addc(out, name.p[i]);
	}
	return ok;
}

bool
sasl_oauthbearer(const struct sasl_user *user, struct span token, struct buf *out)
{
	struct buf plain = BUF_MAX(SASL_TOKEN_MAX + 2048);

	sasl_room(&plain);
	return finish(&plain,
			buf_add(&plain, SPAN("n,a=")) &&
					add_saslname(&plain, user->name) &&
					buf_addf(&plain, ",\1host=%s\1port=%u",
							user->host, user->port) &&
					buf_add(&plain, SPAN("\1auth=Bearer ")) &&
					buf_add(&plain, token) &&
					buf_add(&plain, SPAN("\1\1")),
			out);
}

bool
sasl_token_ok(struct span token)
{
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] >= 0x7f)
			return false;
	return token.n > 0 && token.n <= SASL_TOKEN_MAX;
}

bool
sasl_repeats(struct span text, struct span secret)
{
	size_t run = secret.n < REPEAT_RUN ? secret.n : REPEAT_RUN;

	if (run < REPEAT_LEAST)
		return false;
	for (size_t i = 0; i + run <= text.n; i++)
		if (memmem(secret.p, secret.n, text.p + i, run))
			return true;
	return false;
}
