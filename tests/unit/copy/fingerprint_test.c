/* When two messages are the same mail (E7), and what is seen of loop stamps. */
#include "check.h"

#include <stdio.h>
#include <string.h>

#include "postern/buf.h"
#include "postern/clock.h"
#include "postern/fingerprint.h"

/* False: it has none. */
static bool
print_of(struct span message, size_t piece, uint8_t out[DIGEST_SIZE])
{
	struct fingerprint *f = fingerprint_new(true);

	while (message.n > 0) {
		struct span now = span_first(message, piece);

		message = span_skip(message, now.n);
		fingerprint_add(f, now);
	}
	bool has = fingerprint_end(f, out);
	fingerprint_free(f);
	return has;
}

static bool
same(struct span a, struct span b)
{
	uint8_t x[DIGEST_SIZE], y[DIGEST_SIZE];

	assert_true(print_of(a, a.n, x));
	assert_true(print_of(b, b.n, y));
	return memcmp(x, y, DIGEST_SIZE) == 0;
}

#define HEAD "From: a@b\r\nDate: Mon\r\nSubject: x y\r\nMessage-ID: <1@b>\r\n"
#define MAIL HEAD "\r\nbody\r\n"

static void
what_providers_change_does_not_matter(void **state)
{
	static const struct {
		const char *says;
		struct span message;
	} cases[] = {
		{ "nothing", { SPAN_INIT(MAIL) } },
		{ "trace and envelope headers",
				{ SPAN_INIT("Return-Path: <x@y>\r\nReceived: by a;\r\n Mon\r\nX-Envelope-To: c@d\r\n"
					    "Delivered-To: c@d\r\n" MAIL) } },
		{ "what stands between and below",
				{ SPAN_INIT("From: a@b\r\nTo: c@d\r\nDate: Mon\r\nX-Spam: no\r\nSubject: x y\r\n"
					    "Message-ID: <1@b>\r\nCc: e@f\r\n\r\nbody\r\n") } },
		{ "the order of fields",
				{ SPAN_INIT("Subject: x y\r\nMessage-ID: <1@b>\r\nDate: Mon\r\nFrom: a@b\r\n"
					    "\r\nbody\r\n") } },
		{ "folding, blanks, and how names are spelled",
				{ SPAN_INIT("FROM:a@b\r\nDATE: Mon \r\nSubject: x\r\n\ty\r\n"
					    "Message-Id:\r\n <1@b>\r\n\r\nbody\r\n") } },
		{ "line ends of the header",
				{ SPAN_INIT("From: a@b\nDate: Mon\nSubject: x y\nMessage-ID: <1@b>\n"
					    "\nbody\r\n") } },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!same(SPAN(MAIL), cases[i].message))
			fail_msg("%s makes another mail of it", cases[i].says);
}

static void
what_senders_say_does(void **state)
{
	static const struct {
		const char *says;
		struct span message;
	} cases[] = {
		{ "another body", { SPAN_INIT(HEAD "\r\nbody2\r\n") } },
		{ "a footer", { SPAN_INIT(MAIL "-- \r\nlist\r\n") } },
		{ "line ends of the body", { SPAN_INIT(HEAD "\r\nbody\n") } },
		{ "a blank in the body", { SPAN_INIT(HEAD "\r\nbody \r\n") } },
		{ "no body", { SPAN_INIT(HEAD "\r\n") } },
		{ "an empty line more", { SPAN_INIT(HEAD "\r\n\r\nbody\r\n") } },
		{ "another From",
				{ SPAN_INIT("From: a@c\r\nDate: Mon\r\nSubject: x y\r\nMessage-ID: <1@b>\r\n\r\nbody\r\n") } },
		{ "another Date",
				{ SPAN_INIT("From: a@b\r\nDate: Tue\r\nSubject: x y\r\nMessage-ID: <1@b>\r\n\r\nbody\r\n") } },
		{ "another Subject",
				{ SPAN_INIT("From: a@b\r\nDate: Mon\r\nSubject: xy\r\nMessage-ID: <1@b>\r\n\r\nbody\r\n") } },
		{ "another Message-ID",
				{ SPAN_INIT("From: a@b\r\nDate: Mon\r\nSubject: x y\r\nMessage-ID: <2@b>\r\n\r\nbody\r\n") } },
		{ "no Message-ID",
				{ SPAN_INIT("From: a@b\r\nDate: Mon\r\nSubject: x y\r\n\r\nbody\r\n") } },
		{ "no Subject", { SPAN_INIT("From: a@b\r\nDate: Mon\r\nMessage-ID: <1@b>\r\n\r\nbody\r\n") } },
		{ "two fields that say the other's words",
				{ SPAN_INIT("From: Mon\r\nDate: a@b\r\nSubject: x y\r\nMessage-ID: <1@b>\r\n\r\nbody\r\n") } },
		{ "words that have moved into the next field",
				{ SPAN_INIT("From: a@b Mon\r\nDate:\r\nSubject: x y\r\nMessage-ID: <1@b>\r\n\r\nbody\r\n") } },
		{ "a field that comes twice", { SPAN_INIT("Subject: x y\r\n" MAIL) } },
		{ "a field in two halves",
				{ SPAN_INIT("From: a@b\r\nDate: Mon\r\nSubject: x\r\nSubject: y\r\nMessage-ID: <1@b>\r\n\r\nbody\r\n") } },
		{ "an empty field more", { SPAN_INIT("Subject:\r\n" MAIL) } },
		{ "fields in the body",
				{ SPAN_INIT("From: a@b\r\nDate: Mon\r\nMessage-ID: <1@b>\r\n\r\nSubject: x y\r\n\r\nbody\r\n") } },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (same(SPAN(MAIL), cases[i].message))
			fail_msg("%s makes no other mail of it", cases[i].says);
		for (size_t k = 0; k < i; k++)
			if (same(cases[i].message, cases[k].message))
				fail_msg("%s and %s are the same", cases[i].says,
						cases[k].says);
	}
}

static void
pieces_do_not_matter(void **state)
{
	uint8_t whole[DIGEST_SIZE], cut[DIGEST_SIZE];

	(void)state;
	assert_true(print_of(SPAN(MAIL), sizeof(MAIL), whole));
	for (size_t piece = 1; piece < sizeof(MAIL); piece++) {
		assert_true(print_of(SPAN(MAIL), piece, cut));
		assert_memory_equal(whole, cut, DIGEST_SIZE);
	}
}

/* Fields behind the first megabyte still tell two mails apart. */
static void
headers_may_be_long(void **state)
{
	AUTO(buf_done) struct buf a = BUF_MAX(4 * 1024 * 1024);
	AUTO(buf_done) struct buf b = BUF_MAX(4 * 1024 * 1024);

	(void)state;
	assert_true(buf_add(&a, SPAN("Date: Mon\r\n")));
	for (size_t i = 0; i < 40000; i++)
		assert_true(buf_addf(&a, "X-Filler-%zu: 0123456789 0123456789\r\n", i));
	assert_true(a.n > 1024 * 1024 && buf_add(&b, buf_span(&a)));
	assert_true(buf_add(&a, SPAN("Subject: one\r\n\r\nbody")));
	assert_true(buf_add(&b, SPAN("Subject: two\r\n\r\nbody")));
	assert_false(same(buf_span(&a), buf_span(&b)));
	assert_true(same(buf_span(&a), SPAN("Subject: one\r\nDate: Mon\r\n\r\nbody")));
}

/* With neither Date nor Message-ID it is the lowest Received that counts, no other. */
static void
where_nothing_is_dated_the_first_server_counts(void **state)
{
#define ALARM "From: ups@b\r\nSubject: power failed\r\n\r\nbody\r\n"
#define HOP(text) "Received: by mx " text "\r\n"
	static const struct {
		const char *says;
		struct span one, other;
		bool same;
	} cases[] = {
		{ "two alarms", { SPAN_INIT(HOP("id 1; Mon") ALARM) },
				{ SPAN_INIT(HOP("id 2; Tue") ALARM) }, false },
		{ "two copies of one, by other ways from there on",
				{ SPAN_INIT(HOP("for ann") HOP("id 1; Mon") ALARM) },
				{ SPAN_INIT("Delivered-To: bob\r\n" HOP("for bob") HOP(
						"id 1;\r\n\tMon") ALARM) },
				true },
		{ "no server at all", { SPAN_INIT(ALARM) }, { SPAN_INIT(ALARM) },
				true },
		{ "a server and none", { SPAN_INIT(HOP("id 1") ALARM) },
				{ SPAN_INIT(ALARM) }, false },
		{ "empty fields date nothing",
				{ SPAN_INIT("Date:\r\nMessage-ID: \r\n" HOP("1")
								ALARM) },
				{ SPAN_INIT("Date:\r\nMessage-ID: \r\n" HOP("2")
								ALARM) },
				false },
		{ "a Date is enough", { SPAN_INIT("Date: 5 Jan\r\n" HOP("1") ALARM) },
				{ SPAN_INIT("Date: 5 Jan\r\n" HOP("2") ALARM) }, true },
		{ "a Message-ID is enough",
				{ SPAN_INIT(HOP("1") "Message-ID: <1@b>\r\n" ALARM) },
				{ SPAN_INIT(HOP("2") "Message-ID: <1@b>\r\n" ALARM) },
				true },
		{ "what the body says does not count",
				{ SPAN_INIT(HOP("1") "\r\nDate: Mon\r\n") },
				{ SPAN_INIT(HOP("2") "\r\nDate: Mon\r\n") }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (same(cases[i].one, cases[i].other) != cases[i].same)
			fail_msg("%s: %s", cases[i].says,
					cases[i].same ? "not the same" : "the same");
#undef ALARM
#undef HOP
}

/* Edge 9: a Message-ID or a Date that names nothing tells nothing apart. */
static void
what_names_nothing_counts_as_none(void **state)
{
	static const char *const rows[] = {
		"Message-ID: <>\r\n",
		"Message-ID:\r\n",
		"Message-ID: \t \r\n",
		"Message-ID:\r\n <>\r\n",
		"Message-ID:\r\n\t\r\n \r\n",
		"Message-ID: < >\r\n",
		"Message-ID: <@>\r\n",
		"Message-ID: <@ups.nwtraders.test>\r\n",
		"Message-ID: \"\"@ups.nwtraders.test\r\n",
		"Message-ID: <>\r\nMessage-Id: <@>\r\n",
		"Date: -\r\n",
		"Date: unknown\r\nMessage-ID: <>\r\n",
		"Date: 00 00 0000 00:00:00 +0000\r\n",
		"Date: Thu, 01 Jan 1970 00:00:01 +0000\r\n",
		"Date:\r\nDate: \r\n",
	};
	static const char *const named[] = {
		"Message-ID: <1@b>\r\n",
		"Message-ID: 1\r\n",
		"Message-ID: <>\r\nMessage-ID: <1@b>\r\n",
		"Message-ID: <1@b>\r\nMessage-ID: <>\r\n",
		"Message-ID: <>\r\nDate: Tue, 1 Dec 2020 08:00:00 +0000\r\n",
		"Message-ID: <\xc3\xa4@b>\r\n",
	};
	enum { NONE = sizeof(rows) / sizeof(rows[0]) };
	enum { NAMED = sizeof(named) / sizeof(named[0]) };
	char one[512], other[512];

	(void)state;
	for (size_t i = 0; i < NONE + NAMED; i++) {
		const char *fields = i < NONE ? rows[i] : named[i - NONE];

		(void)snprintf(one, sizeof(one),
				"Received: id 1\r\nFrom: ups@b\r\n%s\r\non battery\r\n",
				fields);
		(void)snprintf(other, sizeof(other),
				"Received: id 2\r\nFrom: ups@b\r\n%s\r\non battery\r\n",
				fields);
		if (same(span_of(one), span_of(other)) != (i >= NONE))
			fail_msg("%s names %s", fields,
					i < NONE ? "something" : "nothing");
	}
}

static void
none_when_it_is_not_wanted(void **state)
{
	struct fingerprint *f = fingerprint_new(false);
	uint8_t sum[DIGEST_SIZE];

	(void)state;
	fingerprint_add(f, SPAN(MAIL));
	assert_false(fingerprint_end(f, sum));
	fingerprint_free(f);
	fingerprint_free(NULL);
	assert_true(print_of(SPAN(""), 7, sum));
}

static void
stamps_are_gathered_within_bounds(void **state)
{
	AUTO(buf_done) struct buf m = BUF_MAX(4 * 1024 * 1024);
	struct fingerprint *f = fingerprint_new(false);

	(void)state;
	fingerprint_add(f,
			SPAN("X-Postern-Loop: gw=1;\r\n\tmb=2; mac=3\r\nX-Postern-Loopy: no\r\n"
			     "x-postern-loop:\r\nX-Postern-Loop: b\r\n\r\nX-Postern-Loop: body\r\n"));
	assert_true(span_eq(fingerprint_stamps(f), SPAN("\ngw=1; mb=2; mac=3\n\nb")));
	fingerprint_free(f);

	f = fingerprint_new(false);
	assert_true(buf_add(&m, SPAN("X-Postern-Loop: ")));
	for (size_t i = 0; i < 100000; i++)
		assert_true(buf_addc(&m, 'x'));
	for (size_t i = 0; i < 1000; i++)
		assert_true(buf_addf(&m, "\r\nX-Postern-Loop: gw=%zu", i));
	for (size_t at = 0; at < m.n; at += 97) /* pieces smaller than a stamp */
		fingerprint_add(f, span_first(span_skip(buf_span(&m), at), 97));
	struct span got = fingerprint_stamps(f);
	size_t lines = 0;
	for (size_t i = 0; i < got.n; i++)
		lines += got.p[i] == '\n';
	assert_int_equal(lines, 64);
	assert_true(got.n <= 64 * 128);
	assert_non_null(memmem(got.p, got.n, "\ngw=62", 6));
	fingerprint_free(f);
}

/* Not a test of time: it tells what the reader of the log may want to know. */
static void
what_it_costs(void **state)
{
	enum { MEGABYTES = 64, MANY = 20000 };
	static char mb[1024 * 1024];
	struct fingerprint *f = fingerprint_new(true);
	uint8_t sum[DIGEST_SIZE];

	(void)state;
	memset(mb, 'x', sizeof(mb));
	fingerprint_add(f, SPAN(HEAD "\r\n"));
	int64_t began = clock_cpu_us();
	for (size_t i = 0; i < MEGABYTES; i++)
		fingerprint_add(f, (struct span){ mb, sizeof(mb) });
	int64_t large = clock_cpu_us() - began;
	assert_true(fingerprint_end(f, sum));
	fingerprint_free(f);
	began = clock_cpu_us();
	for (size_t i = 0; i < MANY; i++)
		assert_true(print_of(SPAN(MAIL), sizeof(MAIL), sum));
	print_message("%.2f ms for each MB, %.2f us for each message\n",
			(double)large / 1000 / MEGABYTES,
			(double)(clock_cpu_us() - began) / MANY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_providers_change_does_not_matter),
		cmocka_unit_test(what_senders_say_does),
		cmocka_unit_test(pieces_do_not_matter),
		cmocka_unit_test(headers_may_be_long),
		cmocka_unit_test(where_nothing_is_dated_the_first_server_counts),
		cmocka_unit_test(what_names_nothing_counts_as_none),
		cmocka_unit_test(none_when_it_is_not_wanted),
		cmocka_unit_test(stamps_are_gathered_within_bounds),
		cmocka_unit_test(what_it_costs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
