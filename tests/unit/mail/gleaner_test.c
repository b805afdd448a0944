/* The bodies of chosen fields, however the message is cut into pieces. */
#include "check.h"

#include <string.h>

#include "postern/buf.h"
#include "postern/gleaner.h"

static const struct span names[] = { { SPAN_INIT("From") }, { SPAN_INIT("Message-ID") },
	{ SPAN_INIT("Subject") } };

/* "NAME=BODY|" for each field as it ends, and how long the header is. */
static void
told(struct span message, size_t piece, struct buf *out, size_t *header)
{
	struct gleaner w;
	struct gleaner_bit bit;
	size_t n = 0;

	gleaner_init(&w, names, 3);
	for (struct span rest = message; rest.n > 0;) {
		struct span now = span_first(rest, piece);

		rest = span_skip(rest, now.n);
		n += gleaner_feed(&w, now);
		while (gleaner_next(&w, &bit)) {
			if (bit.begins) {
				if (out->n > 0)
					assert_true(buf_addc(out, '|'));
				assert_true(buf_add(out, names[bit.field]));
				assert_true(buf_addc(out, '='));
				continue;
			}
			assert_true(bit.bytes.n > 0);
			if (bit.parted)
				assert_true(buf_addc(out, ' '));
			assert_true(buf_add(out, bit.bytes));
		}
	}
	*header = n;
}

static void
check_told(const char *says, struct span message, const char *want)
{
	for (size_t piece = 1; piece <= message.n; piece++) {
		AUTO(buf_done) struct buf out = BUF_MAX(65536);
		size_t header;

		told(message, piece, &out, &header);
		if (!span_eq(buf_span(&out), span_of(want)))
			fail_msg("%s, in pieces of %zu: got \"" SPAN_FMT
				 "\", want \"%s\"",
					says, piece, SPAN_ARG(buf_span(&out)), want);
		assert_int_equal(header, header_length(message));
	}
}

static void
fields_are_told_whatever_their_form(void **state)
{
	static const struct {
		const char *says;
		struct span message;
		const char *want;
	} cases[] = {
		{ "two fields, one of them not wanted",
				{ SPAN_INIT("From: a@b\r\nTo: c@d\r\n\r\nx") },
				"From=a@b" },
		{ "folds and runs of blanks are one blank",
				{ SPAN_INIT("Subject:  a\r\n\tb \t c\r\n  \r\n d \r\n\r\n") },
				"Subject=a b c d" },
		{ "the same on one line", { SPAN_INIT("Subject: a b c d\r\n\r\n") },
				"Subject=a b c d" },
		{ "LF alone ends lines too",
				{ SPAN_INIT("subject: a\n b\nFROM:c\n\nFrom: no") },
				"Subject=a b|From=c" },
		{ "every occurrence counts",
				{ SPAN_INIT("Subject: a\r\nX: y\r\nSubject:\r\nSubject: b\r\n\r\n") },
				"Subject=a|Subject=|Subject=b" },
		{ "blanks before the colon are let through",
				{ SPAN_INIT("Message-ID \t: <a@b>\r\n\r\n") },
				"Message-ID=<a@b>" },
		{ "the body begins at the first empty line",
				{ SPAN_INIT("X: y\r\n\r\nFrom: a@b\r\n") }, "" },
		{ "a line of blanks is no empty line",
				{ SPAN_INIT("X: y\r\n \r\nFrom: a@b\r\n\r\n") },
				"From=a@b" },
		{ "a header may be all there is",
				{ SPAN_INIT("From: a@b\r\nSubject: c") },
				"From=a@b|Subject=c" },
		{ "an mbox line and junk are passed over, with what is folded below them",
				{ SPAN_INIT("From a@b Mon Jan  5 10:00:00 2026\r\njunk\r\n From: x\r\n"
					    "Subject: c\r\n\r\n") },
				"Subject=c" },
		{ "a folded line at the very top belongs to nothing",
				{ SPAN_INIT(" Subject: x\r\nSubject: c\r\n\r\n") },
				"Subject=c" },
		{ "what follows an unwanted field is its own",
				{ SPAN_INIT("From: a\r\nX-From: b\r\n c\r\n\r\n") },
				"From=a" },
		{ "names with other octets in them are no names",
				{ SPAN_INIT("Fr\377om: a\r\n: b\r\nFr om: c\r\nFrom\0: d\r\n\r\n") },
				"" },
		{ "a CR alone parts words and ends nothing",
				{ SPAN_INIT("Subject: a\rb\r\r\n\r\n") },
				"Subject=a b" },
		{ "octets of a body stay what they are",
				{ SPAN_INIT("Subject: \377\1:b\r\n\r\n") },
				"Subject=\377\1:b" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_told(cases[i].says, cases[i].message, cases[i].want);
}

static void
no_field_is_too_far_down_or_too_long(void **state)
{
	enum { LINES = 40000, WORDS = 200000 };
	AUTO(buf_done) struct buf m = BUF_MAX(4 * 1024 * 1024);
	AUTO(buf_done) struct buf out = BUF_MAX(4 * 1024 * 1024);
	size_t header;

	(void)state;
	for (size_t i = 0; i < LINES; i++)
		assert_true(buf_add(&m, SPAN("X-Filler: 0123456789 0123456789\r\n")));
	assert_true(m.n > HEADER_MAX);
	assert_true(buf_add(&m, SPAN("Subject:")));
	for (size_t i = 0; i < WORDS; i++)
		assert_true(buf_add(&m, SPAN(" a")));
	assert_true(buf_add(&m, SPAN("\r\nFrom: a@b\r\n\r\nbody")));
	told(buf_span(&m), 5000, &out, &header);
	assert_int_equal(header, m.n - 4);
	assert_int_equal(out.n, strlen("Subject=|From=a@b") + 2 * WORDS - 1);
}

/* A name longer than any that is looked for is not compared by its beginning. */
static void
long_names_are_not_cut(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf m = BUF_MAX(1024);
	assert_true(buf_add(&m, SPAN("From")));
	for (size_t i = 0; i < 2 * GLEANER_NAME_MAX; i++)
		assert_true(buf_addc(&m, 'x'));
	assert_true(buf_add(&m, SPAN(": a\r\n\r\n")));
	check_told("a long name", buf_span(&m), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_told_whatever_their_form),
		cmocka_unit_test(no_field_is_too_far_down_or_too_long),
		cmocka_unit_test(long_names_are_not_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
