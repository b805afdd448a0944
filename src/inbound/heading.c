#include "heading.h"

/* Longer than any of these need be: RFC 5322 has 998 octets a line. */
enum { FIELD_MAX = 1024 };

static const struct span names[HEADING_FIELDS] = {
	[HEADING_MESSAGE_ID] = { SPAN_INIT("Message-ID") },
	[HEADING_FROM] = { SPAN_INIT("From") },
	[HEADING_SUBJECT] = { SPAN_INIT("Subject") },
};

void
heading_init(struct heading *h)
{
	*h = (struct heading){ 0 };
	gleaner_init(&h->watch, names, HEADING_FIELDS);
	for (size_t i = 0; i < HEADING_FIELDS; i++)
		h->body[i] = BUF_MAX(FIELD_MAX);
}

void
heading_feed(struct heading *h, struct span piece)
{
	struct gleaner_bit bit;

	if (h->watch.end.found)
		return;
	(void)gleaner_feed(&h->watch, piece);
	while (gleaner_next(&h->watch, &bit)) {
		struct buf *body = &h->body[bit.field];

		h->seen[bit.field] += bit.begins;
		if (bit.begins || h->seen[bit.field] > 1)
			continue;
		if ((bit.parted && !buf_addc(body, ' ')) || !buf_add(body, bit.bytes))
			h->cut[bit.field] = true;
	}
}

struct span
heading_get(const struct heading *h, enum heading_field which)
{
	return buf_span(&h->body[which]);
}

void
heading_done(struct heading *h)
{
	for (size_t i = 0; i < HEADING_FIELDS; i++)
		buf_done(&h->body[i]);
}
