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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_logon),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
