/* Any message, whole and cut: what is sent is the same, holds one CRLF.CRLF and that at
 * its end, and is received as the message with its line ends made CRLF. */
#include "postern/smtp_body.h"

#include <string.h>

#include "postern/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
stuff(struct span in, size_t step, struct smtp_stuff *s, struct buf *out)
{
	struct span piece;

	for (; in.n > 0; in = span_skip(in, span_first(in, step).n)) {
		struct span part = span_first(in, step);

		while (smtp_stuff_next(s, &part, &piece))
			MUST(buf_add(out, piece));
	}
	MUST(buf_add(out, smtp_stuff_end(s)));
}

/* Returns how many bytes were consumed; the end need not come. */
static size_t
unstuff(struct span in, size_t step, struct smtp_dots *d, struct buf *out, bool *ended)
{
	size_t at = 0;

	*ended = false;
	while (at < in.n && !*ended) {
		struct span part = span_first(span_skip(in, at), step);
		size_t had = part.n;
		struct span piece;

		while (!*ended && smtp_dots_next(d, &part, &piece, ended) == SMTP_ONE)
			MUST(buf_add(out, piece));
		at += had - part.n;
	}
	return at;
}

static void
send_and_receive(struct span in, size_t step, bool crlf)
{
	AUTO(buf_done) struct buf whole = BUF_MAX(1 << 24);
	AUTO(buf_done) struct buf cut = BUF_MAX(1 << 24);
	AUTO(buf_done) struct buf got = BUF_MAX(1 << 24);
	struct smtp_stuff a = { .dots = true, .crlf = crlf }, b = a;
	struct smtp_dots d = { 0 };
	bool ended;

	stuff(in, in.n + 1, &a, &whole);
	stuff(in, step, &b, &cut);
	MUST(span_eq(buf_span(&whole), buf_span(&cut)));
	MUST(a.changed == b.changed);
	MUST(unstuff(buf_span(&whole), step, &d, &got, &ended) == whole.n && ended);
	MUST(!crlf || !d.bare);
	if (!a.changed && !d.bare) {
		MUST(got.n >= in.n && got.n <= in.n + 2);
		MUST(span_eq(span_first(buf_span(&got), in.n), in));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf_done) struct buf whole = BUF_MAX(1 << 24);
	AUTO(buf_done) struct buf cut = BUF_MAX(1 << 24);
	struct smtp_dots a = { 0 }, b = { 0 };
	struct smtp_scan scan_a = { 0 }, scan_b = { 0 };
	bool ended_a, ended_b;

	if (size < 1)
		return 0;
	struct span in = { (const char *)data + 1, size - 1 };
	size_t step = 1u + data[0] % 50;
	send_and_receive(in, step, true);
	send_and_receive(in, step, false);

	size_t used = unstuff(in, in.n + 1, &a, &whole, &ended_a);
	MUST(unstuff(in, step, &b, &cut, &ended_b) == used);
	MUST(span_eq(buf_span(&whole), buf_span(&cut)));
	MUST(ended_a == ended_b && a.bare == b.bare);

	smtp_scan_add(&scan_a, in);
	smtp_scan_end(&scan_a);
	for (; in.n > 0; in = span_skip(in, span_first(in, step).n))
		smtp_scan_add(&scan_b, span_first(in, step));
	smtp_scan_end(&scan_b);
	MUST(scan_a.bare == scan_b.bare && scan_a.nul == scan_b.nul &&
			scan_a.eight_bit == scan_b.eight_bit);
	return 0;
}
