/* Any answer of a server, in large pieces and in small ones: the same status
 * lines, listing and content come out. The first octet says how it is cut. */
#include <stdint.h>
#include <string.h>

#include "../../../src/fetch/listing.h"
#include "../../unit/fetch/memory.h"
#include "postern/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 1 << 20 };

/* What was understood, as text that can be compared. */
static void
read_all(struct span in, size_t piece, struct buf *out)
{
	struct memory m = { in, piece };
	mailstream *s = memory_stream(&m);
	struct pop_wire w;
	struct pop_listing l;
	struct span text;
	struct err err = { 0 };

	pop_init(&w, s);
	pop_listing_init(&l);
	enum pop_answer answer = pop_status(&w, &text);
	MUST(buf_addf(out, "%d " SPAN_FMT "\n", (int)answer, SPAN_ARG(text)));
	if (answer == POP_OK && pop_listing_read_sizes(&l, &w, &err)) {
		answer = pop_status(&w, &text);
		MUST(buf_addf(out, "%d %zu\n", (int)answer, l.n));
		if (answer != POP_OK || !pop_listing_read_uids(&l, &w, &err))
			pop_listing_no_uids(&l);
		pop_listing_sort(&l);
		for (size_t i = 0; i < l.n; i++)
			MUST(buf_addf(out, "%ju " SPAN_FMT "\n",
					(uintmax_t)l.items[i].octets,
					SPAN_ARG(pop_listing_uid(&l, i))));
	}
	MUST(buf_addf(out, "%d %s\n", err.event, err.text));

	struct pop_dots dots = { .lenient = w.lenient };
	while (dots.place != DOTS_OVER) {
		struct span have = pop_have(&w), rest = have, content;
		if (have.n == 0)
			break;
		while (rest.n > 0 && dots.place != DOTS_OVER) {
			pop_dots_next(&dots, &rest, &content);
			MUST(buf_add(out, content));
		}
		pop_take(&w, have.n - rest.n);
	}
	MUST(buf_addf(out, "\n%d\n", dots.place == DOTS_OVER));
	pop_sync(&w);
	mailstream_close(s);
	pop_listing_done(&l);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_MAX(OUT_MAX), parts = BUF_MAX(OUT_MAX);

	if (size < 1)
		return 0;
	struct span in = { (const char *)data + 1, size - 1 };
	read_all(in, 4096, &whole);
	read_all(in, 1 + data[0] % 16, &parts);
	MUST(span_eq(buf_span(&whole), buf_span(&parts)));
	buf_done(&whole);
	buf_done(&parts);
	return 0;
}
