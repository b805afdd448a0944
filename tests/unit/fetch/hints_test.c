/* What is said to an administrator of a session that failed. */
#include "check.h"

#include <string.h>

#include "../../../src/fetch/hints.h"

static const char *
hint(const struct conf_account *a, const struct hint_fault *f)
{
	static struct buf out = { .max = 4096 };

	buf_clear(&out);
	assert_true(hint_for(a, f, &out));
	return out.n > 0 ? buf_cstr(&out) : "";
}

static void
assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void
test_connection(void **state)
{
	const struct conf_account implicit = { .tls = CONF_TLS_IMPLICIT },
				  stls = { .tls = CONF_TLS_STARTTLS };
	struct hint_fault f = { .event = 4002, .end = DIAL_REFUSED };

	(void)state;
	assert_has(hint(&implicit, &f), "995 is usual here");
	assert_has(hint(&stls, &f), "110 is usual here");
	f.end = DIAL_IDLE;
	assert_has(hint(&stls, &f), "no answer at all");
	f.connected = true;
	assert_has(hint(&stls, &f), "fell silent");
	f.port = HINT_PORT_TLS;
	assert_has(hint(&stls, &f), "tls: implicit");
	f.port = HINT_PORT_CLEAR;
	assert_has(hint(&implicit, &f), "tls: starttls");
}

static void
test_certificates(void **state)
{
	const struct conf_account system = { 0 }, own = { .tls_ca = "/etc/ca.pem" };
	struct hint_fault f = { .event = 8004,
		.end = DIAL_CERTIFICATE,
		.words = SPAN("unable to get local issuer certificate") };

	(void)state;
	assert_has(hint(&system, &f), "set tls_ca to a file");
	assert_has(hint(&own, &f), "not in /etc/ca.pem");
	f.words = SPAN("the certificate of x has expired on 2026-01-01");
	assert_has(hint(&own, &f), "has to renew it");
	f.words = SPAN("hostname mismatch: the certificate is for a, not for b");
	assert_has(hint(&own, &f), "by a name that the certificate has");
	f.event = 8005;
	f.words = SPAN("the key of x is sha256//AbC=, which is not the pinned one");
	assert_string_equal(
			hint(&own, &f) + strlen(hint(&own, &f)) - 12, "sha256//AbC=");
	f.words = SPAN("no key is told");
	assert_has(hint(&own, &f), "the new one");
}

static void
test_logon(void **state)
{
	const struct conf_account a = { 0 }, token = { .auth = CONF_AUTH_XOAUTH2 };
	struct hint_fault f = { .event = 4003, .words = SPAN("-ERR no") };
	struct buf out = BUF_MAX(256), tight = BUF_MAX(10);

	(void)state;
	assert_has(hint(&a, &f), "check user and password");
	assert_has(hint(&token, &f), "check user and token");
	assert_true(hint_sentence(&f, "LOGON", &out));
	assert_string_equal(buf_cstr(&out), "the server refused the logon: -ERR no");
	assert_false(hint_for(&a, &f, &tight));
	f.words = SPAN("the password cannot be read: no such file");
	assert_has(hint(&a, &f), "does it exist");
	f.event = 4004;
	f.words = SPAN("-ERR [LOGIN-DELAY] wait");
	assert_has(hint(&a, &f), "set every to more");
	buf_done(&out);
	buf_done(&tight);
}

/* Every reason has its advice, and what has none gets none. */
static void
test_each_reason(void **state)
{
	static const struct {
		int event;
		enum dial_end end;
		const char *words, *hint;
	} rows[] = {
		{ 4002, DIAL_NO_NAME, "", "check the name in server" },
		{ 4002, DIAL_DNS, "", "check dns.servers" },
		{ 4002, DIAL_DEADLINE, "", "no answer at all" },
		{ 4002, DIAL_EOF, "", "hung up" },
		{ 4002, DIAL_RESET, "", "hung up" },
		{ 4002, DIAL_SYSTEM, "", NULL },
		{ 4002, DIAL_OK, "the server greets with: 220 x", "SMTP or FTP" },
		{ 4002, DIAL_OK, "the server greets with: * OK", "IMAP" },
		{ 4002, DIAL_OK, "the server greets with: -ERR", "does not serve now" },
		{ 4003, DIAL_OK, "the password cannot be read: x", "does it exist" },
		{ 4003, DIAL_OK, "there is no token: x", "does it exist" },
		{ 4003, DIAL_OK, "the server does not offer PLAIN", "set auth" },
		{ 4003, DIAL_OK, "the server offers no way to log on", "set auth" },
		{ 4003, DIAL_OK, "-ERR [SYS/PERM] off", "for good" },
		{ 4003, DIAL_OK, "something else", NULL },
		{ 4004, DIAL_OK, "it is being polled here", "when it is over" },
		{ 4004, DIAL_OK, "-ERR [IN-USE]", "another client" },
		{ 4005, DIAL_OK, "what?", "does not keep to the protocol" },
		{ 8002, DIAL_TLS, "", "TLS 1.2 at least" },
		{ 8003, DIAL_OK, "", "no password was sent" },
		{ 8004, DIAL_CERTIFICATE, "it is not valid before x", "clock" },
		{ 9005, DIAL_OK, "the disk", NULL },
	};
	const struct conf_account a = { .tls = CONF_TLS_IMPLICIT };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hint_fault f = { .event = rows[i].event,
			.end = rows[i].end,
			.words = span_of(rows[i].words) };

		if (rows[i].hint)
			assert_has(hint(&a, &f), rows[i].hint);
		else
			assert_string_equal(hint(&a, &f), "");
	}
}

static void
test_sentences(void **state)
{
	static const struct {
		int event;
		const char *words, *stage, *sentence;
	} rows[] = {
		{ 4003, "-ERR no", "LOGON", "the server refused the logon: -ERR no" },
		{ 4003, "no token", "LOGON", "no token" },
		{ 4004, "-ERR no", "LOGON", "the mailbox is in use: -ERR no" },
		{ 4004, "it is polled", "LOGON", "it is polled" },
		{ 4005, "-ERR no", "LIST", "unexpected answer at LIST: -ERR no" },
		{ 4005, "what?", NULL, "unexpected answer at -: what?" },
		{ 4002, "-ERR no", "LIST", "-ERR no" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hint_fault f = { .event = rows[i].event,
			.words = span_of(rows[i].words) };
		struct buf out = BUF_MAX(100), tight = BUF_MAX(6);

		assert_true(hint_sentence(&f, rows[i].stage, &out));
		assert_string_equal(buf_cstr(&out), rows[i].sentence);
		assert_false(hint_sentence(&f, rows[i].stage, &tight) &&
				strlen(rows[i].sentence) > 6);
		buf_done(&out);
		buf_done(&tight);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_logon),
		cmocka_unit_test(test_each_reason),
		cmocka_unit_test(test_sentences),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
