/* One message, as the collector hands it over. The group of tests includes it once. */
#ifndef TESTS_INBOUND_LETTER_H
#define TESTS_INBOUND_LETTER_H

#include "door.h"

enum {
	GATE_TO = 12, /* recipients of a letter */
	GATE_PIECE = 400, /* octets that a body comes by, at most */
	GATE_PIECE_LARGE = 100 * 1024, /* the same of large ones */
};

struct gate_letter {
	char account[16], uidl[48];
	struct span text;
	char to[GATE_TO][40];
	size_t n;
	bool nobody, copies; /* what the collector decided */
};

static inline struct mail *
gate_mail(struct gate *g, const struct gate_letter *l)
{
	const struct mail_client client = { .internal = true, .esmtp = true };
	const struct smtp_mail said = { .collected = true,
		.collect = { .account = span_of(l->account),
				.uidl = span_of(l->uidl),
				.provider = SPAN("pop.isp.test"),
				.ip = SPAN("192.0.2.1"),
				.copies = l->copies,
				.badmail = l->nobody ? SPAN("no-recipients")
						     : SPAN("") } };
	struct mail *m = mail_new(g->in, &said, &client);
	struct span rest = l->text;

	for (size_t i = 0; i < l->n; i++) {
		char text[SMTP_TEXT_SIZE];
		struct smtp_path path;

		assert_true(smtp_mailbox_parse(span_of(l->to[i]), &path));
		(void)mail_rcpt(g->in, m, &path, text);
	}
	while (rest.n > 0) {
		uint64_t most = rest.n > 8 * GATE_PIECE ? GATE_PIECE_LARGE : GATE_PIECE;
		struct span piece = span_first(rest, 1 + gate_draw(g, most));

		assert_int_equal(mail_body(g->in, m, piece).code, 0);
		rest = span_skip(rest, piece.n);
	}
	assert_int_equal(
			mail_whole(g->in, m, &(struct smtp_commit){ .size = l->text.n },
					&client)
					.code,
			0);
	return m;
}

#endif
