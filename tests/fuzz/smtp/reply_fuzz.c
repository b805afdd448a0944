/* Any bytes as replies and as a path: whole and cut agree, and what is accepted as an
 * address is read again as the same address. */
#include <string.h>

#include "postern/enc.h"
#include "postern/must.h"
#include "postern/smtp_path.h"
#include "postern/smtp_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_all(struct span in, size_t step, struct buf *out)
{
	struct smtp_reader r = SMTP_READER;
	enum smtp_step s = SMTP_MORE;

	while (in.n > 0 && s != SMTP_BAD) {
		struct span part = span_first(in, step);
		size_t had = part.n;
		struct smtp_heard h;

		s = smtp_reader_feed(&r, &part, &h);
		in = span_skip(in, had - part.n);
		if (s != SMTP_ONE)
			continue;
		struct verdict v = smtp_heard_verdict(&h);
		MUST(strlen(v.text) < sizeof(v.text) && !strchr(v.text, '\n'));
		MUST(buf_addf(out, "%d %s %s\n", h.code, v.esc, v.text));
		MUST(buf_add(out, h.raw));
	}
	MUST(buf_addf(out, "%d", (int)s));
	smtp_reader_done(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf_done) struct buf whole = BUF_MAX(1 << 26);
	AUTO(buf_done) struct buf cut = BUF_MAX(1 << 26);
	struct smtp_path path, again;

	if (size < 1)
		return 0;
	struct span in = { (const char *)data + 1, size - 1 };
	read_all(in, in.n + 1, &whole);
	read_all(in, 1u + data[0] % 50, &cut);
	MUST(span_eq(buf_span(&whole), buf_span(&cut)));

	if (smtp_path_cut(&in, data[0] & 1, &path) && path.mailbox.n > 0) {
		MUST(smtp_mailbox_parse(path.mailbox, &again));
		MUST(span_eq(path.local, again.local) &&
				span_eq(path.domain, again.domain));
		for (size_t i = 0; i < path.mailbox.n;) {
			struct span rest = span_skip(path.mailbox, i);
			bool ascii = rest.p[0] >= ' ' && rest.p[0] <= '~';

			MUST(ascii || (path.utf8 && utf8_len(rest) > 1));
			i += utf8_len(rest);
		}
	}
	return 0;
}
