/* Logging on with a server that offers, asks and refuses as it is told: which
 * mechanism is taken, what is said, and what never is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../src/fetch/poll.h"
#include "check.h"
#include "peers.h"
#include "postern/conf.h"
#include "postern/fetch.h"

/* "tim" and "tanstaaftanstaaf", as in RFC 2195 and RFC 4616. */
#define USER_64 "dGlt"
#define PASSWORD "tanstaaftanstaaf"
#define PASSWORD_64 "dGFuc3RhYWZ0YW5zdGFhZg=="
#define PLAIN_64 "AHRpbQB0YW5zdGFhZnRhbnN0YWFm"
#define CHALLENGE "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"
#define CRAM_64 "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"
#define TOKEN "ya29.canary-token"
#define XOAUTH2_64 "dXNlcj10aW0BYXV0aD1CZWFyZXIgeWEyOS5jYW5hcnktdG9rZW4BAQ=="

struct world {
	struct provider provider;
	struct conf_account account;
	struct conf conf;
	struct fetch_result r;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	provider_open(&w->provider);
	w->account = (struct conf_account){
		.name = "contoso",
		.server = { .name = "127.0.0.1",
				.port = w->provider.port,
				.literal = true },
		.tls = CONF_TLS_NONE,
		.user = "tim",
		.password = { .kind = SECRET_VALUE, .text = PASSWORD },
		.every_s = 300,
	};
	w->conf = (struct conf){
		.server = { .hostname = "gw.test", .state = "/nowhere" },
		.accounts = { &w->account, 1 },
		.dns = { .timeout_s = 5 },
	};
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	provider_close(&w->provider);
	free(w);
	return 0;
}

static void
use_token(struct world *w, enum conf_auth auth)
{
	w->account.auth = auth;
	w->account.password = (struct secret){ .kind = SECRET_NONE };
	w->account.token = (struct secret){ .kind = SECRET_VALUE, .text = TOKEN };
}

/* The event, 0 when it is in; no word of a secret in the text. */
static int
try(struct world *w, enum conf_auth auth, const char *caps,
		const struct provider_line *script)
{
	w->account.auth = auth;
	w->provider.caps = caps;
	w->provider.script = script;
	buf_clear(&w->provider.heard);
	(void)fetch_try(&w->conf, 0, &w->r, NULL);
	assert_null(strstr(w->r.error.text, "canary"));
	assert_null(strstr(w->r.error.text, PASSWORD));
	return w->r.failed ? w->r.error.event : 0;
}

/* No form of the password went out. */
static void
check_silent(struct world *w)
{
	static const char *const never[] = { "PASS", "AUTH", "APOP", PLAIN_64,
		PASSWORD_64, CRAM_64 };

	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (provider_heard(&w->provider, never[i]))
			fail_msg("it heard %s", never[i]);
}

static void
says(struct world *w, const char *words)
{
	if (!strstr(w->r.error.text, words))
		fail_msg("wanted \"%s\": %s", words, w->r.error.text);
}

static const struct provider_line everything[] = {
	{ "AUTH PLAIN " PLAIN_64, "+OK\r\n" },
	{ "AUTH LOGIN", "+ VXNlcm5hbWU6\r\n" },
	{ USER_64, "+ UGFzc3dvcmQ6\r\n" },
	{ PASSWORD_64, "+OK\r\n" },
	{ "AUTH CRAM-MD5", "+ " CHALLENGE "\r\n" },
	{ CRAM_64, "+OK\r\n" },
	{ "AUTH XOAUTH2", "+\r\n" },
	{ "AUTH OAUTHBEARER", "+ \r\n" },
	{ XOAUTH2_64, "+OK\r\n" },
	{ "USER tim", "+OK\r\n" },
	{ "PASS " PASSWORD, "+OK\r\n" },
	{ NULL, NULL },
};

static void
test_named_is_used(void **state)
{
	static const struct {
		enum conf_auth auth;
		const char *caps, *heard;
	} rows[] = {
		{ CONF_AUTH_USER, "USER\r\nSASL PLAIN LOGIN\r\n", "PASS " PASSWORD },
		{ CONF_AUTH_PLAIN, "USER\r\nSASL LOGIN PLAIN\r\n", "AUTH PLAIN A" },
		{ CONF_AUTH_PLAIN, "USER\r\n", "AUTH PLAIN A" },
		{ CONF_AUTH_PLAIN, NULL, "AUTH PLAIN A" },
		{ CONF_AUTH_LOGIN, "sasl plain login\r\n", PASSWORD_64 },
		{ CONF_AUTH_CRAM_MD5, "SASL PLAIN CRAM-MD5\r\n", CRAM_64 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (try(w, rows[i].auth, rows[i].caps, everything) != 0)
			fail_msg("%zu: %s", i, w->r.error.text);
		if (!provider_heard(&w->provider, rows[i].heard))
			fail_msg("%zu: it heard %s", i, buf_cstr(&w->provider.heard));
	}
	assert_false(provider_heard(&w->provider, "PASS"));
}

/* In clear USER and PASS; another way only where the server does not take them. */
static void
test_automatic(void **state)
{
	static const struct {
		const char *caps, *heard;
	} rows[] = {
		{ NULL, "PASS" },
		{ "UIDL\r\n", "PASS" },
		{ "USER\r\nSASL PLAIN\r\n", "PASS" },
		{ "SASL LOGIN PLAIN\r\n", "AUTH PLAIN A" },
		{ "SASL LOGIN NTLM\r\n", "AUTH LOGIN" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (try(w, CONF_AUTH_AUTO, rows[i].caps, everything) != 0)
			fail_msg("%zu: %s", i, w->r.error.text);
		assert_true(provider_heard(&w->provider, rows[i].heard));
	}
	assert_int_equal(try(w, CONF_AUTH_AUTO, "SASL NTLM GSSAPI CRAM-MD5\r\n",
					 everything),
			4003);
	says(w, "no way to log on");
	check_silent(w);
	use_token(w, CONF_AUTH_AUTO);
	assert_int_equal(try(w, CONF_AUTH_AUTO, NULL, everything), 0);
	assert_true(provider_heard(&w->provider, "AUTH XOAUTH2"));
	assert_int_equal(try(w, CONF_AUTH_AUTO, "SASL XOAUTH2 PLAIN\r\n", everything),
			0);
	assert_true(provider_heard(&w->provider, "AUTH XOAUTH2"));
	(void)try(w, CONF_AUTH_AUTO, "SASL XOAUTH2 OAUTHBEARER\r\n", everything);
	assert_true(provider_heard(&w->provider, "AUTH OAUTHBEARER"));
	assert_true(provider_heard(
			&w->provider, "bixhPXRpbSwBaG9zdD0xMjcuMC4wLjEBcG9"));
	assert_int_equal(try(w, CONF_AUTH_AUTO, "SASL PLAIN\r\n", everything), 4003);
	assert_false(provider_heard(&w->provider, "AUTH"));
}

static void
test_nothing_weaker(void **state)
{
	static const enum conf_auth named[] = { CONF_AUTH_CRAM_MD5, CONF_AUTH_LOGIN,
		CONF_AUTH_XOAUTH2, CONF_AUTH_OAUTHBEARER };
	static const struct provider_line refuses[] = {
		{ "AUTH CRAM-MD5", "-ERR unknown\r\n" }, { NULL, NULL }
	};
	struct world *w = *state;

	w->account.token = (struct secret){ .kind = SECRET_VALUE, .text = TOKEN };
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		assert_int_equal(try(w, named[i], "USER\r\nSASL PLAIN\r\n", everything),
				4003);
		says(w, "does not offer");
		check_silent(w);
	}
	assert_int_equal(try(w, CONF_AUTH_PLAIN, "USER\r\nSASL CRAM-MD5\r\n",
					 everything),
			4003);
	check_silent(w);
	assert_int_equal(try(w, CONF_AUTH_CRAM_MD5, NULL, refuses), 4003);
	says(w, "-ERR unknown");
	assert_false(provider_heard(&w->provider, "PASS"));
	assert_false(provider_heard(&w->provider, PLAIN_64));
}

static void
test_apop(void **state)
{
	static const char *const bad[] = { "+OK ready\r\n", "+OK <nothing>\r\n",
		"+OK <a b@c>\r\n", "+OK <\x80\x81@c>\r\n", "+OK <a@b\r\n" };
	struct world *w = *state;

	w->provider.greeting = "+OK POP3 <1896.697170952@dbc.mtview.ca.us>\r\n";
	w->account.user = "mrose";
	w->account.password.text = "tanstaaf";
	(void)try(w, CONF_AUTH_APOP, NULL, NULL);
	assert_true(provider_heard(
			&w->provider, "APOP mrose c4c9334bac560ecc979e58001b3e22fb"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		w->provider.greeting = bad[i];
		assert_int_equal(try(w, CONF_AUTH_APOP, "USER\r\nSASL PLAIN\r\n", NULL),
				4003);
		says(w, "no timestamp");
		check_silent(w);
	}
}

/* Whatever the server asks for, it ends, and nothing is said twice. */
static void
test_endless_continuation(void **state)
{
	static const struct provider_line rows[][8] = {
		{ { "AUTH LOGIN", "+\r\n" }, { USER_64, "+\r\n" },
				{ PASSWORD_64, "+\r\n" } },
		{ { "AUTH PLAIN " PLAIN_64, "+\r\n" } },
		{ { "AUTH CRAM-MD5", "+ " CHALLENGE "\r\n" }, { CRAM_64, "+\r\n" } },
		{ { "AUTH XOAUTH2", "+\r\n" }, { XOAUTH2_64, "+ e30=\r\n" },
				{ "", "+ e30=\r\n" } },
		{ { "USER tim", "+\r\n" } },
		{ { "USER tim", "+OK\r\n" }, { "PASS " PASSWORD, "+\r\n" } },
	};
	static const enum conf_auth how[] = { CONF_AUTH_LOGIN, CONF_AUTH_PLAIN,
		CONF_AUTH_CRAM_MD5, CONF_AUTH_XOAUTH2, CONF_AUTH_USER, CONF_AUTH_USER };
	struct world *w = *state;

	w->account.token = (struct secret){ .kind = SECRET_VALUE, .text = TOKEN };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(try(w, how[i], NULL, rows[i]), 4005);
}

static void
test_nonsense(void **state)
{
	static const struct provider_line rows[][4] = {
		{ { "AUTH CRAM-MD5", "+ not base64\r\n" } },
		{ { "AUTH CRAM-MD5", "+\r\n" } },
		{ { "AUTH CRAM-MD5", "+OK\r\n" } },
		{ { "AUTH CRAM-MD5", "+PDE4\r\n" } },
		{ { "AUTH CRAM-MD5", "what?\r\n" } },
	};
	static const struct provider_line early[] = { { "AUTH LOGIN", "+\r\n" },
		{ USER_64, "+OK\r\n" }, { NULL, NULL } };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (try(w, CONF_AUTH_CRAM_MD5, NULL, rows[i]) != 4005)
			fail_msg("%zu: %d %s", i, w->r.error.event, w->r.error.text);
		assert_false(provider_heard(&w->provider, "PASS"));
	}
	assert_int_equal(try(w, CONF_AUTH_LOGIN, NULL, early), 4005);
}

static void
test_refusals(void **state)
{
	static const struct {
		const char *reply;
		int event;
	} codes[] = {
		{ "-ERR [AUTH] no\r\n", 4003 },
		{ "-ERR no\r\n", 4003 },
		{ "-ERR\r\n", 4003 },
		{ "-ERR [IN-USE] locked\r\n", 4004 },
		{ "-ERR [LOGIN-DELAY] wait\r\n", 4004 },
		{ "-ERR [SYS/TEMP] later\r\n", 4002 },
		{ "-ERRNO\r\n", 4005 },
	};
	static const struct {
		enum conf_auth auth;
		struct provider_line lines[3];
	} ways[] = {
		{ CONF_AUTH_USER, { { "PASS " PASSWORD, NULL } } },
		{ CONF_AUTH_PLAIN, { { "AUTH PLAIN " PLAIN_64, NULL } } },
		{ CONF_AUTH_LOGIN,
				{ { PASSWORD_64, NULL }, { "AUTH LOGIN", "+\r\n" },
						{ USER_64, "+\r\n" } } },
		{ CONF_AUTH_CRAM_MD5,
				{ { CRAM_64, NULL },
						{ "AUTH CRAM-MD5",
								"+ " CHALLENGE
								"\r\n" } } },
		{ CONF_AUTH_XOAUTH2,
				{ { XOAUTH2_64, NULL }, { "AUTH XOAUTH2", "+\r\n" } } },
	};
	struct world *w = *state;

	w->account.token = (struct secret){ .kind = SECRET_VALUE, .text = TOKEN };
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		for (size_t k = 0; k < sizeof(codes) / sizeof(codes[0]); k++) {
			struct provider_line script[4] = { 0 };

			memcpy(script, ways[i].lines, sizeof(ways[i].lines));
			script[0].reply = codes[k].reply;
			if (try(w, ways[i].auth, NULL, script) != codes[k].event)
				fail_msg("%zu %zu: %d %s", i, k, w->r.error.event,
						w->r.error.text);
		}
}

/* The reason comes as a challenge; a server that repeats the secret is not quoted. */
static void
test_reason_of_a_refused_token(void **state)
{
	/* {"status":"400","schemes":"Bearer"}, and {"t":"ya29.canary-token"} */
	static const struct provider_line reason[] = {
		{ "AUTH XOAUTH2", "+\r\n" },
		{ XOAUTH2_64, "+ eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIn0=\r\n" },
		{ "", "-ERR [AUTH] Username and Password not accepted\r\n" },
		{ NULL, NULL },
	};
	static const struct provider_line repeats[] = {
		{ "AUTH XOAUTH2", "+\r\n" },
		{ XOAUTH2_64, "+ eyJ0IjoieWEyOS5jYW5hcnktdG9rZW4ifQ==\r\n" },
		{ "", "-ERR not " TOKEN "\r\n" },
		{ NULL, NULL },
	};
	static const struct provider_line encoded[] = {
		{ "AUTH XOAUTH2", "+\r\n" },
		{ XOAUTH2_64, "-ERR bad " XOAUTH2_64 "\r\n" },
		{ NULL, NULL },
	};
	struct world *w = *state;

	use_token(w, CONF_AUTH_XOAUTH2);
	assert_int_equal(try(w, CONF_AUTH_XOAUTH2, NULL, reason), 4003);
	says(w, "\"status\":\"400\"");
	says(w, "Username and Password not accepted");
	assert_int_equal(try(w, CONF_AUTH_XOAUTH2, NULL, repeats), 4003);
	says(w, "repeats the secret");
	assert_int_equal(try(w, CONF_AUTH_XOAUTH2, NULL, encoded), 4003);
	assert_null(strstr(w->r.error.text, "dXNlcj10aW0B"));
	/* Not even odd words. */
	w->provider.verb = "PASS";
	w->provider.reply = "you said " PASSWORD "\r\n";
	w->account.password = (struct secret){ .kind = SECRET_VALUE, .text = PASSWORD };
	assert_int_equal(try(w, CONF_AUTH_USER, NULL, NULL), 4005);
}

/* RFC 5034 section 4: 255 octets of command, then step by step. */
static void
test_long_passwords(void **state)
{
	struct world *w = *state;
	static const struct provider_line ask[] = { { "AUTH PLAIN", "+\r\n" },
		{ NULL, NULL } };
	char password[257];

	memset(password, 'p', 256);
	password[256] = '\0';
	w->account.password.text = password;
	assert_int_equal(try(w, CONF_AUTH_PLAIN, NULL, ask), 4003);
	says(w, "longer than 255");
	assert_false(provider_heard(&w->provider, "AUTH"));
	password[255] = '\0';
	assert_int_equal(try(w, CONF_AUTH_PLAIN, NULL, ask), 4003);
	assert_true(provider_heard(&w->provider, "AUTH PLAIN"));
	assert_false(provider_heard(&w->provider, "AUTH PLAIN A"));
	assert_true(provider_heard(&w->provider, "AHRpbQBwcHBw"));
	password[180] = '\0';
	(void)try(w, CONF_AUTH_PLAIN, NULL, ask);
	assert_false(provider_heard(&w->provider, "AUTH PLAIN A")); /* 258 */
	password[174] = '\0';
	(void)try(w, CONF_AUTH_PLAIN, NULL, ask);
	assert_true(provider_heard(&w->provider, "AUTH PLAIN A"));
}

static void
test_no_token(void **state)
{
	static const char *const fails[] = { "/bin/false", NULL };
	static const char *const talks[] = { "/bin/echo", "please log in", NULL };
	struct world *w = *state;

	use_token(w, CONF_AUTH_XOAUTH2);
	w->account.token = (struct secret){ .kind = SECRET_COMMAND, .argv = fails };
	assert_int_equal(try(w, CONF_AUTH_XOAUTH2, NULL, everything), 4003);
	says(w, "/bin/false failed with status 1");
	w->account.token.argv = talks;
	assert_int_equal(try(w, CONF_AUTH_XOAUTH2, NULL, everything), 4003);
	says(w, "no token");
	assert_false(provider_heard(&w->provider, "AUTH"));
}

/* A server that refuses the mechanism has not refused the token. */
static void
test_token_is_read_again_only_when_it_was_refused(void **state)
{
	struct world *w = *state;
	static const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
	static const struct provider_line unknown[] = {
		{ "AUTH XOAUTH2", "-ERR unknown command\r\n" }, { NULL, NULL }
	};
	char file[] = "/tmp/postern-logon-XXXXXX", line[200];
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	(void)snprintf(line, sizeof(line), "echo x >> %s; echo " TOKEN, file);
	argv[2] = line;
	use_token(w, CONF_AUTH_XOAUTH2);
	w->account.token = (struct secret){ .kind = SECRET_COMMAND, .argv = argv };
	assert_int_equal(try(w, CONF_AUTH_XOAUTH2, NULL, unknown), 4005);
	assert_int_equal(lseek(fd, 0, SEEK_END), 2);
	assert_int_equal(try(w, CONF_AUTH_XOAUTH2, NULL, everything), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 4);
	(void)close(fd);
	(void)unlink(file);
}

/* Whatever else went wrong before: a plain connection gets nothing where TLS is
 * configured. */
static void
test_nothing_without_tls(void **state)
{
	static const enum conf_auth all[] = { CONF_AUTH_AUTO, CONF_AUTH_USER,
		CONF_AUTH_PLAIN, CONF_AUTH_LOGIN, CONF_AUTH_CRAM_MD5, CONF_AUTH_APOP,
		CONF_AUTH_XOAUTH2, CONF_AUTH_OAUTHBEARER };
	struct world *w = *state;
	struct fetch_setup setup;
	struct fetch_memo memo;
	atomic_bool ending = false;
	struct err err = { 0 };
	enum dial_end why;

	w->account.tls = CONF_TLS_IMPLICIT;
	w->account.token = (struct secret){ .kind = SECRET_VALUE, .text = TOKEN };
	w->provider.script = everything;
	fetch_setup_init(&setup, &w->conf, "/nowhere");
	fetch_memo_init(&memo, setup.seed);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct dial_to to = { .host = "127.0.0.1",
			.port = w->provider.port };
		struct fetch_poll poll = { .setup = &setup,
			.account = &w->account,
			.ending = &ending,
			.memo = &memo,
			.look_only = true,
			.connected = dial_open(&to, &why, &err),
			.tls = fetch_tls_new(&w->account, &err) };

		assert_true(poll.connected && poll.tls);
		w->account.auth = all[i];
		fetch_poll_run(&poll);
		assert_int_equal(poll.result.error.event, 8003);
		tls_free(poll.tls);
	}
	check_silent(w);
	assert_false(provider_heard(&w->provider, "USER"));
	fetch_memo_done(&memo);
	fetch_setup_done(&setup);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(test_named_is_used),
		IN_WORLD(test_automatic),
		IN_WORLD(test_nothing_weaker),
		IN_WORLD(test_apop),
		IN_WORLD(test_nothing_without_tls),
		IN_WORLD(test_endless_continuation),
		IN_WORLD(test_nonsense),
		IN_WORLD(test_refusals),
		IN_WORLD(test_reason_of_a_refused_token),
		IN_WORLD(test_long_passwords),
		IN_WORLD(test_no_token),
		IN_WORLD(test_token_is_read_again_only_when_it_was_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
