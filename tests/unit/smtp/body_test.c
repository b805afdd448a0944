/* Dots, line ends and what bytes are: the same at every split, and against a reader that
 * goes byte by byte. */
#include "postern/smtp_body.h"

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "postern/must.h"

/* Every message of up to LONGEST of these is tried. */
static const char alphabet[] = { '\r', '\n', '.', 'x', '\0' };

enum { LETTERS = sizeof(alphabet), LONGEST = 6 };

/* ---- the slow way ---- */

struct slow {
	char out[64];
	size_t n;
	size_t used; /* of the input, up to the end */
	bool ended, bare;
};

/* RFC 5321 4.5.2, and only CRLF ends a line. */
static struct slow
slow_unstuff(struct span in)
{
	struct slow s = { 0 };
	size_t line = 0; /* where the line starts */

	for (size_t i = 0; i < in.n; i++) {
		bool crlf = in.p[i] == '\r' && i + 1 < in.n && in.p[i + 1] == '\n';

		if (i == line && in.p[i] == '.') {
			if (i + 2 < in.n && in.p[i + 1] == '\r' &&
					in.p[i + 2] == '\n') {
				s.ended = true;
				s.used = i + 3;
				return s;
			}
			continue;
		}
		if (crlf) {
			s.out[s.n++] = '\r';
			s.out[s.n++] = '\n';
			line = ++i + 1;
			continue;
		}
		s.bare |= in.p[i] == '\r' || in.p[i] == '\n';
		s.out[s.n++] = in.p[i];
	}
	s.used = in.n;
	return s;
}

static void
check_dots(struct span in, size_t step)
{
	struct smtp_dots d = { 0 };
	struct slow want = slow_unstuff(in);
	char out[64];
	size_t n = 0, used = 0;
	bool ended = false;

	while (used < in.n && !ended) {
		struct span piece = span_first(span_skip(in, used), step);
		size_t had = piece.n;
		struct span content;

		while (!ended &&
				smtp_dots_next(&d, &piece, &content, &ended) ==
						SMTP_ONE) {
			memcpy(out + n, content.p, content.n);
			n += content.n;
		}
		used += had - piece.n;
	}
	assert_true(ended == want.ended);
	if (ended) {
		assert_int_equal(used, want.used);
		assert_int_equal(n, want.n);
		assert_true(d.bare == want.bare);
	} else {
		/* A CR or a dot may be kept back at the end. */
		assert_true(n <= want.n && n + 1 >= want.n);
	}
	assert_memory_equal(out, want.out, n);
}

static bool
slow_bare(struct span in)
{
	bool bare = false;

	for (size_t i = 0; i < in.n; i++) {
		bool pair = in.p[i] == '\r' && i + 1 < in.n && in.p[i + 1] == '\n';

		bare |= !pair && (in.p[i] == '\r' || in.p[i] == '\n');
		i += pair;
	}
	return bare;
}

/* What a receiver must get: bare CR and LF are line ends, dots doubled. */
static size_t
slow_stuff(struct span in, bool dots, bool crlf, char *out)
{
	size_t n = 0;
	bool line = true;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		bool pair = c == '\r' && i + 1 < in.n && in.p[i + 1] == '\n';

		if (pair || (crlf && (c == '\r' || c == '\n'))) {
			out[n++] = '\r';
			out[n++] = '\n';
			i += pair;
			line = true;
			continue;
		}
		if (line && dots && c == '.')
			out[n++] = '.';
		out[n++] = c;
		line = false;
	}
	if (dots) {
		memcpy(out + n, "\r\n.\r\n", 5);
		if (line)
			memcpy(out + n, ".\r\n", 3);
		n += line ? 3 : 5;
	}
	return n;
}

static void
check_stuff(struct span in, size_t step, bool dots, bool crlf)
{
	struct smtp_stuff s = { .dots = dots, .crlf = crlf };
	struct smtp_scan scan = { 0 };
	char out[64], want[64];
	size_t n = 0, wanted = slow_stuff(in, dots, crlf, want);
	struct span piece;

	for (size_t at = 0; at < in.n; at += step) {
		struct span rest = span_first(span_skip(in, at), step);

		smtp_scan_add(&scan, rest);
		while (smtp_stuff_next(&s, &rest, &piece)) {
			memcpy(out + n, piece.p, piece.n);
			n += piece.n;
		}
	}
	piece = smtp_stuff_end(&s);
	if (piece.n > 0)
		memcpy(out + n, piece.p, piece.n);
	n += piece.n;
	smtp_scan_end(&scan);
	assert_int_equal(n, wanted);
	assert_memory_equal(out, want, n);
	assert_true(s.changed == (crlf && scan.bare));
	assert_true(scan.bare == slow_bare(in));
	assert_true(scan.nul == !!memchr(in.p, '\0', in.n));
	assert_false(scan.eight_bit);
}

static void
test_everything_short(void **state)
{
	char in[LONGEST + 5];
	unsigned place[LONGEST] = { 0 };

	(void)state;
	for (size_t n = 1; n <= LONGEST; n++) {
		memset(place, 0, sizeof(place));
		for (;;) {
			struct span s = { in, n };

			for (size_t i = 0; i < n; i++)
				in[i] = alphabet[place[i]];
			memcpy(in + n, "\r\n.\r\n", 5);
			for (size_t step = 1; step <= n; step++) {
				check_dots(s, step);
				check_dots((struct span){ in, n + 5 }, step);
				check_stuff(s, step, true, true);
				check_stuff(s, step, false, true);
				check_stuff(s, step, true, false);
				check_stuff(s, step, false, false);
			}
			size_t i = 0;
			while (i < n && ++place[i] == LETTERS)
				place[i++] = 0;
			if (i == n)
				break;
		}
	}
}

/* What is stuffed and sent is what is received and unstuffed, when its lines are CRLF. */
static void
test_there_and_back(void **state)
{
	static const char text[] =
			"..\r\n.\r\nSubject: x\r\n\r\n.hidden\r\n...\r\n\x80 no end";
	struct smtp_stuff out = { .dots = true, .crlf = true };
	struct smtp_dots in = { 0 };
	AUTO(buf_done) struct buf wire = BUF_MAX(1000);
	AUTO(buf_done) struct buf got = BUF_MAX(1000);
	struct span rest = { text, sizeof(text) - 1 }, piece;
	bool ended;

	(void)state;
	while (smtp_stuff_next(&out, &rest, &piece))
		MUST(buf_add(&wire, piece));
	MUST(buf_add(&wire, smtp_stuff_end(&out)));
	assert_false(out.changed);
	rest = buf_span(&wire);
	while (smtp_dots_next(&in, &rest, &piece, &ended) == SMTP_ONE)
		MUST(buf_add(&got, piece));
	assert_true(ended);
	assert_int_equal(rest.n, 0);
	assert_false(in.bare);
	assert_int_equal(got.n, sizeof(text) - 1 + 2);
	assert_memory_equal(got.p, text, sizeof(text) - 1);
}

static void
test_scan(void **state)
{
	static const struct {
		const char *text;
		bool eight_bit, bare;
	} cases[] = {
		{ "plain\r\ntext\r\n", false, false },
		{ "caf\xc3\xa9\r\n", true, false },
		{ "x\ny", false, true },
		{ "x\r", false, true },
		{ "\r\r\n", false, true },
		{ "\n", false, true },
		{ "", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step < 15; step++) {
			struct smtp_scan s = { 0 };
			struct span rest = span_of(cases[i].text);

			for (; rest.n > 0; rest = span_skip(rest,
							   span_first(rest, step).n))
				smtp_scan_add(&s, span_first(rest, step));
			smtp_scan_end(&s);
			assert_true(s.eight_bit == cases[i].eight_bit);
			assert_true(s.bare == cases[i].bare);
			assert_false(s.nul);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_short),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_scan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
