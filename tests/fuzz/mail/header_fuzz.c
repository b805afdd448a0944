/* A header in one piece and in two ends at the same place; its fields are all of
 * its bytes; changing it twice is changing it once. */
#include "postern/header.h"
#include "postern/must.h"
#include "postern/rewrite.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_end(struct span message, size_t cut)
{
	struct header_end whole = { .found = false }, split = whole;
	size_t n = header_end_feed(&whole, message);
	size_t m = header_end_feed(&split, span_first(message, cut));

	if (split.found)
		MUST(header_end_feed(&split, span_skip(message, cut)) == 0);
	else
		m += header_end_feed(&split, span_skip(message, cut));
	MUST(n == m && whole.found == split.found);
	MUST(whole.found || n == message.n);
}

static void
check_fields(struct span block, bool ended)
{
	struct header_scan s;
	struct header_field f;
	size_t n = 0;

	header_scan_init(&s, block);
	while (header_next(&s, &f)) {
		MUST(f.raw.n > 0 && f.raw.p == block.p + n);
		n += f.raw.n;
		if (f.kind != HEADER_FIELD)
			continue;
		MUST(f.name.n > 0 && f.name.p == f.raw.p);
		MUST(f.body.n < f.raw.n && f.body.p >= f.name.p + f.name.n);
	}
	if (block.n < HEADER_MAX)
		MUST(block.n - n <= (ended ? 2 : 0));
}

static void
rewrite_all(struct buf *out, struct span block, const struct rewrite_rules *rules)
{
	struct rewrite r;
	struct span piece;

	rewrite_init(&r, block, rules);
	while (rewrite_next(&r, &piece)) {
		MUST(piece.n > 0);
		MUST(buf_add(out, piece));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 12);
	AUTO(buf_done) struct buf once = BUF_MAX(1 << 23);
	AUTO(buf_done) struct buf twice = BUF_MAX(1 << 23);
	const struct span ours = SPAN("d");
	struct domains served;
	struct span bad;

	if (n < 2)
		return 0;
	struct span message = { (const char *)data + 2, n - 2 };
	struct rewrite_rules rules = { .recipients = data[1] & 1 ? 2 : 1,
		.served = &served };
	MUST(domains_init(&served, &arena, &ours, 1, &bad));
	check_end(message, message.n > 0 ? data[0] % (message.n + 1) : 0);
	struct header_end end = { .found = false };
	struct span block = span_first(message, header_end_feed(&end, message));
	check_fields(block, end.found);
	rewrite_all(&once, block, &rules);
	rewrite_all(&twice, buf_span(&once), &rules);
	MUST(span_eq(buf_span(&once), buf_span(&twice)));
	/* Left open, the bytes at the end are the bytes at the end. */
	rules.open = true;
	buf_clear(&once);
	rewrite_all(&once, block, &rules);
	MUST(block.n == 0 ||
			(once.n > 0 && once.p[once.n - 1] == block.p[block.n - 1]));
	return 0;
}
