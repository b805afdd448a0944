/* Against the examples of the RFCs; what a server may not make us say. */
#include "../../../src/fetch/sasl.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "postern/enc.h"

static struct buf out;

static int
fresh(void **state)
{
	(void)state;
	buf_done(&out);
	out = BUF_MAX(SASL_RESPONSE_MAX);
	sasl_room(&out);
	return 0;
}

static int
done(void **state)
{
	(void)state;
	buf_done(&out);
	return 0;
}

static void
is(const char *want)
{
	assert_non_null(buf_cstr(&out));
	assert_string_equal(buf_cstr(&out), want);
	buf_clear(&out);
}

static void
test_plain(void **state)
{
	(void)state;
	assert_true(sasl_plain(SPAN("test"), SPAN("test"), &out));
	is("AHRlc3QAdGVzdA==");
	assert_true(sasl_plain(SPAN("tim"), SPAN("tanstaaftanstaaf"), &out));
	is("AHRpbQB0YW5zdGFhZnRhbnN0YWFm"); /* RFC 4616 section 4 */
}

static void
test_cram_md5(void **state)
{
	(void)state;
	/* RFC 2195 section 2. */
	assert_true(sasl_cram_md5(SPAN("tim"), SPAN("tanstaaftanstaaf"),
			SPAN("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"),
			&out));
	is("dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
	assert_false(sasl_cram_md5(SPAN("tim"), SPAN("x"), SPAN(""), &out));
	assert_false(sasl_cram_md5(SPAN("tim"), SPAN("x"),
			SPAN("PDE4"
			     "\n"),
			&out));
	assert_false(sasl_cram_md5(SPAN("tim"), SPAN("x"), SPAN("no base64!"), &out));
	assert_int_equal(out.n, 0);
}

static void
test_apop(void **state)
{
	char digest[DIGEST_MD5_HEX_SIZE];

	(void)state;
	/* RFC 1939 section 7. */
	assert_true(sasl_apop(SPAN("<1896.697170952@dbc.mtview.ca.us>"),
			SPAN("tanstaaf"), digest));
	assert_string_equal(digest, "c4c9334bac560ecc979e58001b3e22fb");
}

static void
test_timestamps(void **state)
{
	static const char *const good[] = { "<1896.697170952@dbc.mtview.ca.us>",
		"<a@b>", "<!#$%&'*+/=?^_`{|}~-@[1.2.3.4]>" };
	static const char *const bad[] = { "", "<>", "<@>", "<a@>", "<@b>", "<ab>",
		"a@b", "<a@b", "a@b>", "<a @b>", "<a@b\n>", "<a\x80@b>", "<a\x7f@b>",
		"<a@b@c>", "<<a@b>>", "<a@b>x" };
	char text[600] = "<a@";

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!sasl_timestamp_ok(span_of(good[i])))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (sasl_timestamp_ok(span_of(bad[i])))
			fail_msg("%s", bad[i]);
	assert_false(sasl_timestamp_ok((struct span){ "<a\0@b>", 6 }));
	memset(text + 3, 'x', 500);
	text[503] = '>';
	assert_false(sasl_timestamp_ok(span_of(text)));
}

static void
test_oauth(void **state)
{
	struct sasl_user google = { SPAN("someuser@example.com"), "pop.gmail.com",
		995 };
	struct sasl_user rfc = { SPAN("user@example.com"), "server.example.com", 143 };
	struct sasl_user odd = { SPAN("a,b=c"), "h.test", 1 };

	(void)state;
	assert_true(sasl_xoauth2(&google,
			SPAN("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"), &out));
	is("dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk"
	   "52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==");
	/* RFC 7628 section 4.1. */
	assert_true(sasl_oauthbearer(&rfc,
			SPAN("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="), &out));
	is("bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1"
	   "dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB");
	assert_true(sasl_oauthbearer(&odd, SPAN("t"), &out));

	struct buf plain = BUF_MAX(1000);
	assert_true(dec_base64(&plain, buf_span(&out)));
	assert_string_equal(buf_cstr(&plain),
			"n,a=a=2Cb=3Dc,\1host=h.test\1port=1\1auth=Bearer t\1\1");
	buf_done(&plain);
}

/* The longest of everything fits, in one piece of memory. */
static void
test_room(void **state)
{
	char name[256], host[256];
	char *token = calloc(1, SASL_TOKEN_MAX + 1);
	const char *before = out.p;

	(void)state;
	memset(name, ',', 255);
	memset(host, 'h', 255);
	name[255] = host[255] = '\0';
	memset(token, 't', SASL_TOKEN_MAX);
	struct sasl_user user = { span_of(name), host, 65535 };
	assert_true(sasl_token_ok(span_of(token)));
	assert_true(sasl_oauthbearer(&user, span_of(token), &out));
	assert_true(out.n > 22000);
	buf_clear(&out);
	assert_true(sasl_xoauth2(&user, span_of(token), &out));
	buf_clear(&out);
	assert_true(sasl_plain(span_of(name), span_of(name), &out));
	buf_clear(&out);
	assert_true(sasl_cram_md5(span_of(name), span_of(name), SPAN("AAAA"), &out));
	assert_ptr_equal(out.p, before);
	free(token);
}

static void
test_tokens(void **state)
{
	char *token = calloc(1, SASL_TOKEN_MAX + 2);

	(void)state;
	memset(token, 't', SASL_TOKEN_MAX + 1);
	assert_false(sasl_token_ok(span_of(token)));
	free(token);
	assert_true(sasl_token_ok(SPAN("ya29.a0-_~+/=")));
	assert_false(sasl_token_ok(SPAN("")));
	assert_false(sasl_token_ok(SPAN("error: log in first")));
	assert_false(sasl_token_ok(SPAN("t\xc3\xb6ken")));
}

static void
test_mechanisms(void **state)
{
	enum conf_auth how = CONF_AUTH_AUTO;

	(void)state;
	assert_true(sasl_mechanism(SPAN("xoauth2"), &how));
	assert_int_equal(how, CONF_AUTH_XOAUTH2);
	assert_true(sasl_mechanism(SPAN("CRAM-MD5"), &how));
	assert_int_equal(how, CONF_AUTH_CRAM_MD5);
	assert_false(sasl_mechanism(SPAN("NTLM"), &how));
	assert_false(sasl_mechanism(SPAN("APOP"), &how));
	assert_false(sasl_mechanism(SPAN("PLAIN-CLIENTTOKEN"), &how));
	assert_string_equal(sasl_name(CONF_AUTH_OAUTHBEARER), "OAUTHBEARER");
}

static void
test_repeats(void **state)
{
	struct span token = SPAN("ya29.a0AfH6SMBxyzCANARY");

	(void)state;
	assert_true(sasl_repeats(SPAN("bad token ya29.a0AfH6SMBxyzCANARY"), token));
	assert_true(sasl_repeats(SPAN("...6SMBxyzCANARY"), token));
	assert_true(sasl_repeats(SPAN("ya29.a0AfH6S"), token));
	assert_false(sasl_repeats(SPAN("ya29.a0AfH6"), token)); /* 11 */
	assert_false(sasl_repeats(SPAN(""), token));
	assert_true(sasl_repeats(SPAN("no, hunter22 is wrong"), SPAN("hunter22")));
	assert_false(sasl_repeats(SPAN("no, hunter2 is wrong"), SPAN("hunter22")));
	assert_false(sasl_repeats(SPAN("[AUTH] wrong password"), SPAN("wrong")));
	assert_false(sasl_repeats(SPAN("x"), SPAN("")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_cram_md5),
		cmocka_unit_test(test_apop),
		cmocka_unit_test(test_timestamps),
		cmocka_unit_test(test_oauth),
		cmocka_unit_test_setup(test_room, fresh),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_mechanisms),
		cmocka_unit_test(test_repeats),
	};
	return cmocka_run_group_tests(tests, fresh, done);
}
