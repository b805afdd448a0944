/* The end of a POP3 answer, found alike however the bytes are cut. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../src/fetch/dots.h"
#include "check.h"
#include "postern/buf.h"

enum { MAX = 4096 };

/* The same by looking at one byte after the other. */
static size_t
naive(struct span in, bool lenient, struct buf *out, bool *over)
{
	size_t i = 0;
	bool bol = true;

	*over = false;
	while (i < in.n) {
		if (bol && in.p[i] == '.') {
			struct span rest = span_skip(in, i + 1);
			bool crlf = span_starts(rest, SPAN("\r\n"));
			bool lf = lenient && span_starts(rest, SPAN("\n"));

			if (crlf || lf) {
				*over = true;
				return i + (crlf ? 3 : 2);
			}
			/* Too short to tell: nothing more is known. */
			if (rest.n == 0 || (rest.n == 1 && rest.p[0] == '\r'))
				return in.n;
			i++;
			bol = false;
			continue;
		}
		assert_true(buf_addc(out, in.p[i]));
		bol = in.p[i] == '\n' && (lenient || (i > 0 && in.p[i - 1] == '\r'));
		i++;
	}
	return in.n;
}

/* piece 0: pieces of random size. Returns how many octets were used. */
static size_t
by_pieces(struct span in, bool lenient, size_t piece, struct buf *out, bool *over)
{
	struct pop_dots d = { .lenient = lenient };
	size_t used = 0;

	while (used < in.n && d.place != DOTS_OVER) {
		size_t n = piece ? piece : 1 + (size_t)rand() % 9;
		struct span left = span_first(span_skip(in, used), n), rest = left;
		/* A copy of exact size, so that the sanitizer sees every overrun. */
		char *copy = malloc(left.n);

		assert_non_null(copy);
		memcpy(copy, left.p, left.n);
		rest.p = copy;
		while (rest.n > 0 && d.place != DOTS_OVER) {
			struct span content;
			pop_dots_next(&d, &rest, &content);
			assert_true(buf_add(out, content));
		}
		free(copy);
		used += left.n - rest.n;
	}
	*over = d.place == DOTS_OVER;
	return used;
}

static void
compare(struct span in, bool lenient, size_t piece)
{
	struct buf want = BUF_MAX(MAX), got = BUF_MAX(MAX);
	bool over, over_naive;
	size_t used_naive = naive(in, lenient, &want, &over_naive);
	size_t used = by_pieces(in, lenient, piece, &got, &over);

	assert_int_equal(over, over_naive);
	if (over)
		assert_int_equal(used, used_naive);
	assert_int_equal(got.n, want.n);
	assert_memory_equal(got.p ? got.p : "", want.p ? want.p : "", want.n);
	buf_done(&want);
	buf_done(&got);
}

static void
test_random_bytes_like_the_naive_reader(void **state)
{
	static const char letters[] = "\r\n..\r\nab\0";

	(void)state;
	srand(1);
	for (int round = 0; round < 200000; round++) {
		char text[40];
		size_t n = (size_t)rand() % sizeof(text);

		for (size_t i = 0; i < n; i++)
			text[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
		compare((struct span){ text, n }, round & 1, 0);
	}
}

static void
test_every_split(void **state)
{
	static const struct {
		struct span in, out;
	} rows[] = {
		{ { SPAN_INIT(".\r\n") }, { SPAN_INIT("") } },
		{ { SPAN_INIT("one\r\n.\r\n") }, { SPAN_INIT("one\r\n") } },
		{ { SPAN_INIT("..\r\n..x\r\n.\r\n") }, { SPAN_INIT(".\r\n.x\r\n") } },
		{ { SPAN_INIT("lf\n.\ngoes on\r\n.\r\n") },
				{ SPAN_INIT("lf\n.\ngoes on\r\n") } },
		{ { SPAN_INIT("n\0ul\r\n.\0x\r\n.\r\n") },
				{ SPAN_INIT("n\0ul\r\n\0x\r\n") } },
		{ { SPAN_INIT("cr\r.\r\r\n.\r\n") }, { SPAN_INIT("cr\r.\r\r\n") } },
		{ { SPAN_INIT(".\rx\r\n.\r\n") }, { SPAN_INIT("\rx\r\n") } },
		{ { SPAN_INIT(".\r\r\n.\r\n") }, { SPAN_INIT("\r\r\n") } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t piece = 1; piece <= rows[i].in.n; piece++) {
			struct buf got = BUF_MAX(MAX);
			bool over;
			size_t used = by_pieces(rows[i].in, false, piece, &got, &over);

			assert_true(over);
			assert_int_equal(used, rows[i].in.n);
			assert_true(span_eq(buf_span(&got), rows[i].out));
			buf_done(&got);
		}
	}
}

static void
test_lenient_only_for_servers_that_use_bare_lf(void **state)
{
	struct buf got = BUF_MAX(MAX);
	bool over;

	(void)state;
	assert_int_equal(by_pieces(SPAN("a\n..b\n.\n+OK\n"), true, 1, &got, &over),
			9 - 1);
	assert_true(over);
	assert_true(span_eq(buf_span(&got), SPAN("a\n.b\n")));
	buf_done(&got);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_lenient_only_for_servers_that_use_bare_lf),
		cmocka_unit_test(test_random_bytes_like_the_naive_reader),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
