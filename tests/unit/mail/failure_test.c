/* What the postmaster reads when collected mail could not be delivered. */
#include "postern/failure.h"

#include <string.h>

#include "check.h"
#include "postern/must.h"

static const struct failure_letter letter = {
	.hostname = { SPAN_INIT("gw.contoso.test") },
	.from = { SPAN_INIT("postmaster@contoso.test") },
	.to = { SPAN_INIT("postmaster@contoso.test") },
	.id = { SPAN_INIT("0D2F0000001F0") },
	.at_s = 1025244000,
};

static const struct failure refused = {
	.recipient = { SPAN_INIT("bob@contoso.test") },
	.host = { SPAN_INIT("mx.contoso.test:25") },
	.reply = { SPAN_INIT("550 5.1.1 no such user") },
};

static struct failure_report
report_of(const struct failure *v, size_t n)
{
	return (struct failure_report){ .trace = SPAN("0D2F000000100"),
		.account = SPAN("isp"),
		.sender = SPAN("eve@nwtraders.test"),
		.v = v,
		.n = n,
		.badmail = true,
		.header = SPAN("From: eve@nwtraders.test\r\nSubject: hello\r\n\r\n") };
}

static const char *
printed(struct buf *out, const struct failure_report *r)
{
	buf_clear(out);
	MUST(failure_print(out, &letter, r));
	MUST(!memchr(out->p, '\0', out->n));
	return buf_cstr(out);
}

static void
has(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("\"%s\" is missing in:\n%s", what, text);
}

static void
has_not(const char *text, const char *what)
{
	if (strstr(text, what))
		fail_msg("\"%s\" is in:\n%s", what, text);
}

static void
test_one_refused(void **state)
{
	static const char want[] =
			"From: Mail gateway <postmaster@contoso.test>\r\n"
			"To: <postmaster@contoso.test>\r\n"
			"Subject: Collected mail could not be delivered (0D2F000000100)\r\n"
			"Date: Fri, 28 Jun 2002 06:00:00 +0000\r\n"
			"Message-ID: <0D2F0000001F0@gw.contoso.test>\r\n"
			"Auto-Submitted: auto-replied\r\n"
			"X-Postern-Notice: gw.contoso.test\r\n"
			"MIME-Version: 1.0\r\n"
			"Content-Type: multipart/mixed; boundary=\"=_0D2F0000001F0\"\r\n"
			"\r\n"
			"--=_0D2F0000001F0\r\n"
			"Content-Type: text/plain; charset=utf-8\r\n"
			"Content-Transfer-Encoding: 7bit\r\n"
			"\r\n"
			"A message that was collected from the mailbox isp\r\n"
			"could not be delivered to this recipient:\r\n"
			"\r\n"
			"  bob@contoso.test\r\n"
			"    mx.contoso.test:25 said:\r\n"
			"    550 5.1.1 no such user\r\n"
			"\r\n"
			"Its sender, <eve@nwtraders.test>, was not told: no report about collected mail\r\n"
			"ever goes outside. Its trace id is 0D2F000000100.\r\n"
			"\r\n"
			"What to do:\r\n"
			"\r\n"
			"  postern trace 0D2F000000100\r\n"
			"    tells where it came from and what every server said\r\n"
			"  postern badmail show 0D2F000000100\r\n"
			"    the whole message is kept there\r\n"
			"  postern badmail replay 0D2F000000100\r\n"
			"    sends it again, once the reason is mended, to those who did not get it;\r\n"
			"    with --to ADDRESS to somebody else\r\n"
			"\r\n"
			"Its header is attached.\r\n"
			"\r\n"
			"--=_0D2F0000001F0\r\n"
			"Content-Type: text/rfc822-headers\r\n"
			"Content-Transfer-Encoding: 7bit\r\n"
			"\r\n"
			"From: eve@nwtraders.test\r\n"
			"Subject: hello\r\n"
			"\r\n"
			"--=_0D2F0000001F0--\r\n";
	AUTO(buf_done) struct buf out = BUF_MAX(FAILURE_NOTICE_MAX);
	struct failure_report r = report_of(&refused, 1);

	(void)state;
	assert_string_equal(printed(&out, &r), want);
}

static void
test_other_ways(void **state)
{
	AUTO(buf_done) struct buf out = BUF_MAX(FAILURE_NOTICE_MAX);
	struct failure two[] = { refused,
		{ .recipient = SPAN("j\xc3\xb6rg@contoso.test"),
				.reply = SPAN("4.4.1 \x1b[2J\xff"),
				.tried = SPAN("48 h 0 min") } };
	struct failure_report r = report_of(two, 2);
	const char *text = printed(&out, &r);

	(void)state;
	has(text, "delivered to these recipients:\r\n");
	has(text,
			"  j\xc3\xb6rg@contoso.test\r\n"
			"    was tried for 48 h 0 min and is given up. The last answer:\r\n"
			"    4.4.1 \\x1b[2J\\xff\r\n");
	has(text, "Content-Transfer-Encoding: 8bit\r\n");

	r.badmail = false;
	r.header = SPAN("");
	r.sender = SPAN("");
	text = printed(&out, &r);
	has(text, "postern queue show 0D2F000000100\r\n");
	has_not(text, "postern badmail");
	has_not(text, "rfc822-headers");
	has(text, "header could not be read");
	has(text, "Its sender, <>, was not told");
}

/* Nothing in the header of a message may end our part, or be what no hop takes. */
static void
test_hostile_headers(void **state)
{
	AUTO(buf_done) struct buf out = BUF_MAX(FAILURE_NOTICE_MAX);
	struct failure_report r = report_of(&refused, 1);
	static const char nul[] = "A: x\0y\r\nB: bare\rcr\nC: lf\n";
	const char *text;

	(void)state;
	r.header = SPAN("\r--=_0D2F0000001F0--\r\n--=_0D2F0000001F0\r\nX: y\r\n");
	text = printed(&out, &r);
	has(text, "\r\n --=_0D2F0000001F0--\r\n --=_0D2F0000001F0\r\nX: y\r\n");

	r.header = (struct span){ nul, sizeof(nul) - 1 };
	text = printed(&out, &r);
	has(text, "A: xy\r\nB: barecr\r\nC: lf\r\n\r\n--=_");
}

/* The longest of everything fits, and says what it left out. */
static void
test_ceilings(void **state)
{
	AUTO(buf_done) struct buf out = BUF_MAX(FAILURE_NOTICE_MAX);
	static char header[300000], reply[512], address[254];
	static struct failure many[5000];
	const char *fills[] = { "a", "a\n", "\n", "-\n", "\xff" };

	(void)state;
	memset(reply, '\xff', sizeof(reply));
	memset(address, '\x01', sizeof(address));
	for (size_t i = 0; i < 5000; i++)
		many[i] = (struct failure){ .recipient = { address, sizeof(address) },
			.host = { address, sizeof(address) },
			.reply = { reply, sizeof(reply) },
			.tried = SPAN("48 h 0 min") };
	for (size_t k = 0; k < sizeof(fills) / sizeof(fills[0]); k++) {
		size_t len = strlen(fills[k]);

		for (size_t i = 0; i < sizeof(header); i++)
			header[i] = fills[k][i % len];
		struct failure_report r = report_of(many, 5000);
		r.header = (struct span){ header, sizeof(header) };
		const char *text = printed(&out, &r);
		has(text, " more\r\n\r\nIts sender");
		has(text, "X-Postern-Cut: there is more of it\r\n");
		for (const char *at = text; *at;) {
			size_t n = strcspn(at, "\n");
			assert_true(n <=
					4 * 512 + 100); /* an escaped reply; else RFC 5322 */
			at += n + (at[n] != '\0');
		}
	}
}

static void
test_more(void **state)
{
	AUTO(buf_done) struct buf out = BUF_MAX(FAILURE_NOTICE_MAX);

	(void)state;
	MUST(failure_print_more(&out, &letter, 37, 1025240400));
	has(buf_cstr(&out), "Auto-Submitted: auto-replied\r\n");
	has(buf_cstr(&out),
			"Since Fri, 28 Jun 2002 05:00:00 +0000,\r\n37 more failures");
	has(buf_cstr(&out), "postern badmail list\r\n");
}

static void
test_own_notices_are_known(void **state)
{
	static const struct {
		const char *what, *header;
		bool own;
	} cases[] = {
		{ "ours", "X-Postern-Notice: gw.contoso.test\r\n\r\n", true },
		{ "in other letters", "x-postern-notice:GW.contoso.test \r\n", true },
		{ "another gateway's", "X-Postern-Notice: gw.fabrikam.test\r\n",
				false },
		{ "in the body", "A: b\r\n\r\nX-Postern-Notice: gw.contoso.test\r\n",
				false },
		{ "nobody's", "Subject: x\r\n\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (failure_is_notice(span_of(cases[i].header),
				    SPAN("gw.contoso.test")) != cases[i].own)
			fail_msg("%s", cases[i].what);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_refused),
		cmocka_unit_test(test_other_ways),
		cmocka_unit_test(test_hostile_headers),
		cmocka_unit_test(test_ceilings),
		cmocka_unit_test(test_more),
		cmocka_unit_test(test_own_notices_are_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
