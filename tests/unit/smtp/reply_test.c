/* Replies, ours and theirs. */
#include "postern/smtp_reply.h"

#include <string.h>

#include "check.h"
#include "postern/must.h"

static void
test_refusals_are_all_there(void **state)
{
	(void)state;
	for (int i = 0; i < SMTP_REFUSALS; i++) {
		struct smtp_reply r = smtp_refuse((enum smtp_refusal)i);

		assert_true(r.code >= 400 && r.code <= 599);
		/* RFC 2034: the class of both codes is the same */
		assert_int_equal(r.esc[0], '0' + r.code / 100);
		assert_true(strlen(r.text) > 0 && strlen(r.text) < 100);
	}
}

static void
test_print(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(1000);
	char text[SMTP_TEXT_SIZE], big[600];

	(void)state;
	struct smtp_reply r =
			smtp_refuse_for(SMTP_REFUSE_RELAY, SPAN("u@x.test"), text);
	MUST(smtp_reply_print(&b, r));
	assert_true(span_eq(buf_span(&b),
			SPAN("550 5.7.1 Unable to relay for u@x.test\r\n")));
	buf_clear(&b);
	MUST(smtp_reply_print(&b, smtp_queued(SPAN("<i@d>"), 5, text)));
	assert_true(span_eq(buf_span(&b),
			SPAN("250 2.6.0 <i@d> Queued mail for delivery, id 0000000000005\r\n")));
	buf_clear(&b);
	MUST(smtp_reply_print(&b, smtp_queued(SPAN(""), 5, text)));
	assert_true(span_eq(buf_span(&b),
			SPAN("250 2.6.0 Queued mail for delivery, id 0000000000005\r\n")));
	buf_clear(&b);

	/* One reply is one line of bounded length, whatever the words. */
	memset(big, 'x', sizeof(big));
	big[3] = '\n';
	big[sizeof(big) - 1] = '\0';
	MUST(smtp_reply_print(&b, (struct smtp_reply){ 451, "4.3.0", big }));
	assert_true(span_starts(buf_span(&b), SPAN("451 4.3.0 xxx?xx")));
	assert_true(b.n <= 512);
	assert_int_equal(span_find(buf_span(&b), '\n'), b.n - 1);
}

/* Feeds text in pieces of `step`; returns how many replies came, or -1. */
static int
read_replies(struct smtp_reader *r, const char *text, size_t step, struct smtp_heard *h)
{
	struct span rest = span_of(text);
	int n = 0;

	while (rest.n > 0) {
		struct span in = span_first(rest, step);
		size_t had = in.n;
		enum smtp_step s = smtp_reader_feed(r, &in, h);

		rest = span_skip(rest, had - in.n);
		if (s == SMTP_BAD)
			return -1;
		n += s == SMTP_ONE;
	}
	return n;
}

static void
test_reading(void **state)
{
	static const struct {
		const char *says;
		int replies;
		int code;
		const char *esc, *line;
	} cases[] = {
		{ "250 ok\r\n", 1, 250, "", "250 ok" },
		{ "250\r\n", 1, 250, "", "250" },
		{ "250 \r\n", 1, 250, "", "250 " },
		{ "550 5.7.1 Unable to relay for u@d\r\n", 1, 550, "5.7.1",
				"550 5.7.1 Unable to relay for u@d" },
		{ "550 4.7.1 classes differ\r\n", 1, 550, "",
				"550 4.7.1 classes differ" },
		{ "550 5.7.1000 none\r\n", 1, 550, "", "550 5.7.1000 none" },
		{ "450-4.2.0 one\r\n450-4.2.0 two\r\n450 4.2.0 three\r\n", 1, 450,
				"4.2.0", "450 4.2.0 one two three" },
		/* C01 */
		{ "451-a\r\n451\r\n", 1, 451, "", "451 a" },
		{ "250 a\r\n550 b\r\n", 2, 550, "", "550 b" },
		{ "250 \x1b[31m\x01\r\r\n", 1, 250, "", "250 ?[31m??" },
		/* C02 */
		{ "25\r\n", -1, 0, "", "" },
		{ "abc\r\n", -1, 0, "", "" },
		{ "\r\n", -1, 0, "", "" },
		{ "\n", -1, 0, "", "" },
		{ "250 lf only\n", -1, 0, "", "" },
		{ "250_x\r\n", -1, 0, "", "" },
		{ "150 x\r\n", -1, 0, "", "" },
		{ "650 x\r\n", -1, 0, "", "" },
		{ "250-a\r\n251 b\r\n", -1, 0, "", "" },
		{ "2500 b\r\n", -1, 0, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step < 60; step++) {
			struct smtp_reader r = SMTP_READER;
			struct smtp_heard h;
			char line[100];
			int n = read_replies(&r, cases[i].says, step, &h);

			assert_int_equal(n, cases[i].replies);
			if (n > 0) {
				assert_int_equal(h.code, cases[i].code);
				assert_string_equal(h.esc, cases[i].esc);
				smtp_heard_line(&h, line, sizeof(line));
				assert_string_equal(line, cases[i].line);
			}
			smtp_reader_done(&r);
		}
	}
}

/* Only the code is read of what is too long to be kept: taken for no reply at all, a 250
 * would have the message delivered again. */
static void
long_replies_are_replies(void **state)
{
	static const size_t sizes[] = { 2040, 2046, 2047, 2048, 2049, 2050, 100000 };
	AUTO(buf_done) struct buf b = BUF_MAX(1 << 21);
	struct smtp_heard h;

	(void)state;
	for (unsigned lines = 98; lines <= 5000; lines += lines < 102 ? 1 : 2000) {
		struct smtp_reader r = SMTP_READER;

		buf_clear(&b);
		for (unsigned i = 0; i < lines; i++)
			MUST(buf_add(&b, SPAN("250-x\r\n")));
		MUST(buf_add(&b, SPAN("250 x\r\n")) && buf_cstr(&b));
		assert_int_equal(read_replies(&r, b.p, 1000, &h), 1);
		assert_int_equal(h.code, 250);
		assert_true(h.raw.n <= SMTP_REPLY_LINES_MAX * sizeof("250-x"));
		smtp_reader_done(&r);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t step = 1; step < 3000; step += 700) {
			struct smtp_reader r = SMTP_READER;

			buf_clear(&b);
			MUST(buf_add(&b, SPAN("250 2.6.0 ")));
			while (b.n < sizes[i] - 2)
				MUST(buf_addc(&b, 'x'));
			MUST(buf_add(&b, SPAN("\r\n")) && buf_cstr(&b));
			assert_int_equal(read_replies(&r, b.p, step, &h), 1);
			assert_string_equal(h.esc, "2.6.0");
			assert_int_equal(h.raw.n,
					sizes[i] - 2 < SMTP_REPLY_LINE_MAX
							? sizes[i] - 2
							: SMTP_REPLY_LINE_MAX - 1);
			smtp_reader_done(&r);
		}
	}
}

static void
a_reply_without_end_is_none(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(1 << 22);
	struct smtp_heard h;

	(void)state;
	for (int lines = 0; lines < 2; lines++) {
		struct smtp_reader r = SMTP_READER;

		buf_clear(&b);
		MUST(buf_add(&b, SPAN("250-")));
		while (b.n <= SMTP_REPLY_OCTETS_MAX)
			MUST(buf_add(&b, lines ? SPAN("\r\n250-") : SPAN("xxxx")));
		MUST(buf_cstr(&b) != NULL);
		assert_int_equal(read_replies(&r, b.p, 4096, &h), -1);
		smtp_reader_done(&r);
	}
}

static void
test_verdicts(void **state)
{
	static const struct {
		const char *says;
		enum fate fate;
		const char *esc;
	} cases[] = {
		{ "250 2.1.5 ok\r\n", FATE_DELIVERED, "2.1.5" },
		{ "251 will forward\r\n", FATE_DELIVERED, "2.0.0" },
		{ "354 go\r\n", FATE_DEFERRED, "3.0.0" },
		{ "452 4.5.3 many\r\n", FATE_DEFERRED, "4.5.3" },
		{ "550 no\r\n", FATE_BOUNCED, "5.0.0" },
		{ "503 5.5.1 our order was wrong\r\n", FATE_DEFERRED, "5.5.1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reader r = SMTP_READER;
		struct smtp_heard h;

		assert_int_equal(read_replies(&r, cases[i].says, 99, &h), 1);
		struct verdict v = smtp_heard_verdict(&h);
		assert_int_equal(v.fate, cases[i].fate);
		assert_string_equal(v.esc, cases[i].esc);
		smtp_reader_done(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals_are_all_there),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_reading),
		cmocka_unit_test(long_replies_are_replies),
		cmocka_unit_test(a_reply_without_end_is_none),
		cmocka_unit_test(test_verdicts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
