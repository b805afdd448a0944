#include "check.h"

#include "postern/buf.h"
#include "postern/pickup.h"

#include <stdlib.h>
#include <string.h>

#define HOST SPAN("gw.contoso.test")
#define DROP "X-Sender: s@x\r\nX-Receiver: a@b\r\n"
#define TRACE "Received: from a by gw.contoso.test with ESMTP id 1; now\r\n"

static char *
text_of(struct span s)
{
	char *p = calloc(1, s.n + 1);

	assert_non_null(p);
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

/* The whole file, its message fed in two pieces. */
static void
message_of(struct buf *out, const struct pickup *file, struct span all, size_t cut)
{
	struct span in[2] = { span_first(all, cut), span_skip(all, cut) }, piece;
	struct pickup_body b;

	buf_clear(out);
	pickup_body_init(&b, file);
	for (size_t i = 0; i < 2; i++) {
		while (pickup_body_next(&b, &in[i], &piece)) {
			assert_true(piece.n > 0);
			assert_true(buf_add(out, piece));
		}
		assert_int_equal(in[i].n, 0);
	}
	assert_int_equal(b.at, all.n);
	assert_true(buf_add(out, pickup_body_end(&b)));
}

static void
list_of(struct buf *out, const struct pickup *file)
{
	buf_clear(out);
	assert_true(buf_add(out, file->sender.n > 0 ? file->sender : SPAN("<>")));
	for (size_t i = 0; i < file->n; i++)
		assert_true(buf_addc(out, ' ') && buf_add(out, file->recipients[i]));
}

struct row {
	const char *file;
	const char *envelope; /* sender and recipients with blanks between; NULL: bad */
	const char *message; /* or the words of why */
};

static void
check_row(const struct row *row)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(PICKUP_MEMORY);
	AUTO(buf_done) struct buf got = BUF_MAX(1 << 16);
	struct span all = span_of(row->file);
	struct pickup file;
	enum pickup_step step = pickup_read(&file, &arena, all, true, HOST);

	if (!row->envelope) {
		assert_int_equal(step, PICKUP_BAD);
		assert_string_equal(file.why, row->message);
		return;
	}
	if (step != PICKUP_ONE)
		fail_msg("%s: %s", row->file, file.why);
	list_of(&got, &file);
	assert_string_equal(buf_cstr(&got), row->envelope);
	for (size_t cut = 0; cut <= all.n; cut++) {
		message_of(&got, &file, all, cut);
		if (!span_eq(buf_span(&got), span_of(row->message)))
			fail_msg("cut at %zu of\n%s\ngave\n%s", cut, row->file,
					text_of(buf_span(&got)));
	}
}

static const struct row lines[] = {
	/* the envelope of a CRLF file, and of an LF file */
	{ DROP "Subject: y\r\n\r\nz\r\n", "s@x a@b", "Subject: y\r\n\r\nz\r\n" },
	{ "x-sender:s@x\nX-RECEIVER:  a@b \n\nz\n", "s@x a@b", "\r\nz\r\n" },
	/* repeatable; the first sender counts; brackets are welcome */
	{ "X-Receiver: <a@b>\nX-Sender: s@x\nX-Sender: t@x\nX-Receiver: A@B\n\n",
			"s@x a@b A@B", "\r\n" },
	{ "X-Sender: <>\nX-Receiver: a@b, c d <e@F>\n\n", "<> a@b e@f", "\r\n" },
	{ "X-Sender: Ann <s@x>\nX-Receiver: postmaster\n\n", "s@x postmaster", "\r\n" },
	{ "X-Sender: s@x\nX-Receiver: \"a b\"@c\n\n", "s@x \"a b\"@c", "\r\n" },
	/* a block alone is a message without a byte */
	{ "X-Sender: s@x\nX-Receiver: a@b", "s@x a@b", "" },
	/* only the leading block counts, and its lines do not fold */
	{ DROP "Subject: y\r\nX-Receiver: eve@c\r\n\r\n", "s@x a@b",
			"Subject: y\r\nX-Receiver: eve@c\r\n\r\n" },
	{ DROP " , eve@c\r\n\r\n", "s@x a@b", " , eve@c\r\n\r\n" },
	{ DROP "\r\nX-Receiver: eve@c\r\n", "s@x a@b", "\r\nX-Receiver: eve@c\r\n" },
	/* with an envelope the header keeps its Bcc, and an address nobody can read */
	{ DROP "Bcc: c@d\r\nTo: @@@\r\n\r\n", "s@x a@b",
			"Bcc: c@d\r\nTo: @@@\r\n\r\n" },
	/* half an envelope: the rest comes from the header */
	{ "X-Receiver: a@b\r\nFrom: s@x\r\nTo: c@d\r\nBcc: e@f\r\n\r\n", "s@x a@b",
			"From: s@x\r\nTo: c@d\r\nBcc: e@f\r\n\r\n" },
	{ "X-Sender: s@x\r\nFrom: t@x\r\nTo: c@d\r\nBcc: e@f\r\n\r\n", "s@x c@d e@f",
			"From: t@x\r\nTo: c@d\r\n\r\n" },
};

static const struct row headers[] = {
	{ "From: Ann <s@x>\nTo: a@b\n\nz", "s@x a@b",
			"From: Ann <s@x>\r\nTo: a@b\r\n\r\nz" },
	/* Sender before From, and of From the first */
	{ "From: s@x, t@x\nCc: a@b\n\n", "s@x a@b",
			"From: s@x, t@x\r\nCc: a@b\r\n\r\n" },
	{ "From: s@x\nSender: t@x\nTo: a@b\n\n", "t@x a@b",
			"From: s@x\r\nSender: t@x\r\nTo: a@b\r\n\r\n" },
	/* To, Cc and Bcc, any number; Bcc goes, folds and all */
	{ "Bcc: e@f,\n  g@h\nFrom: s@x\nTo: a@b\nCc: c@d\nTo: i@j\nbcc: k@l\n\nBcc: m@n\n",
			"s@x e@f g@h a@b c@d i@j k@l",
			"From: s@x\r\nTo: a@b\r\nCc: c@d\r\nTo: i@j\r\n\r\nBcc: m@n\r\n" },
	{ "From: s@x\nBcc: a@b", "s@x a@b", "From: s@x\r\n" },
	/* groups, comments, a group of nobody and those who forgot its signs */
	{ "From: s@x\nTo: us: a@b, c@d; (we)\nCc: undisclosed-recipients:;\n\n",
			"s@x a@b c@d",
			"From: s@x\r\nTo: us: a@b, c@d; (we)\r\n"
			"Cc: undisclosed-recipients:;\r\n\r\n" },
	{ "From: s@x\nTo: undisclosed-recipients\nBcc: a@b\n\n", "s@x a@b",
			"From: s@x\r\nTo: undisclosed-recipients\r\n\r\n" },
	/* what a resender says counts, of the topmost set; no Bcc of any stays */
	{ "Resent-From: r@x\nResent-To: a@b\nResent-Bcc: c@d\nFrom: s@x\nTo: e@f\nBcc: g@h\n\n",
			"r@x a@b c@d",
			"Resent-From: r@x\r\nResent-To: a@b\r\nFrom: s@x\r\nTo: e@f\r\n\r\n" },
	{ "Resent-Sender: q@x\nResent-From: r@x\nResent-To: a@b\nResent-Cc: c@d\n"
	  "Resent-From: old@x\nResent-To: e@f\nTo: g@h\n\n",
			"q@x a@b c@d",
			"Resent-Sender: q@x\r\nResent-From: r@x\r\nResent-To: a@b\r\n"
			"Resent-Cc: c@d\r\nResent-From: old@x\r\nResent-To: e@f\r\n"
			"To: g@h\r\n\r\n" },
	{ "Resent-From: r@x\nResent-To: a@b\nReceived: x\nResent-To: e@f\n\n",
			"r@x a@b",
			"Resent-From: r@x\r\nResent-To: a@b\r\nReceived: x\r\n"
			"Resent-To: e@f\r\n\r\n" },
	/* the line that parts the messages of an mbox file is part of none */
	{ "From s@x Mon\nFrom: s@x\nTo: a@b\n\n", "s@x a@b",
			"From: s@x\r\nTo: a@b\r\n\r\n" },
	/* the domain as it is sent */
	{ "From: s@B\xc3\xbc"
	  "cher.test\nTo: Ann@CONTOSO.test\n\n",
			"s@xn--bcher-kva.test Ann@contoso.test",
			"From: s@B\xc3\xbc"
			"cher.test\r\nTo: Ann@CONTOSO.test\r\n\r\n" },
};

static const struct row bodies[] = {
	/* a lone dot at the very end goes, with any line end or none */
	{ DROP "\r\nz\r\n.\r\n", "s@x a@b", "\r\nz\r\n" },
	{ DROP "\r\nz\r\n.\n", "s@x a@b", "\r\nz\r\n" },
	{ DROP "\r\nz\r\n.", "s@x a@b", "\r\nz\r\n" },
	{ "X-Sender: s@x\nX-Receiver: a@b\n\nz\n.\n", "s@x a@b", "\r\nz\r\n" },
	/* a single one; every other dot is content */
	{ DROP "\r\n.\r\n.\r\n", "s@x a@b", "\r\n.\r\n" },
	{ DROP "\r\n.\r\n\r\n", "s@x a@b", "\r\n.\r\n\r\n" },
	{ DROP "\r\n..\r\n.z\r\n. \r\nz.\r\n", "s@x a@b",
			"\r\n..\r\n.z\r\n. \r\nz.\r\n" },
	{ DROP "\r\n.\r", "s@x a@b", "\r\n.\r" },
	{ DROP "\r\n.\r.\r\nz", "s@x a@b", "\r\n.\r.\r\nz" },
	{ DROP "\r\nz.", "s@x a@b", "\r\nz." },
	{ "From: s@x\nTo: a@b\n\n.\nz\n..\n", "s@x a@b",
			"From: s@x\r\nTo: a@b\r\n\r\n.\r\nz\r\n..\r\n" },
	/* a file that begins with CRLF keeps what is bare; one with LF is text, whose CRLF
	 * stays one and whose bare CR is content */
	{ DROP "\r\na\nb\rc\r\n", "s@x a@b", "\r\na\nb\rc\r\n" },
	{ "X-Sender: s@x\nX-Receiver: a@b\r\n\na\r\nb\rc\n\n", "s@x a@b",
			"\r\na\r\nb\rc\r\n\r\n" },
	/* out of our Drop comes what went in, a last dot and all */
	{ DROP TRACE "\r\nz\r\n.\r\n", "s@x a@b", TRACE "\r\nz\r\n.\r\n" },
	{ DROP "X-Postern-Loop: x\r\n" TRACE "\r\n\n.\n", "s@x a@b",
			"X-Postern-Loop: x\r\n" TRACE "\r\n\n.\n" },
	{ DROP "Received: from a by gw.else.test; now\r\n\r\nz\r\n.\r\n", "s@x a@b",
			"Received: from a by gw.else.test; now\r\n\r\nz\r\n" },
	{ DROP "Subject: y\r\n" TRACE "\r\n.\r\n", "s@x a@b",
			"Subject: y\r\n" TRACE "\r\n" },
};

static const struct row wrong[] = {
	{ "", NULL, "it has no originator: neither X-Sender nor Sender nor From" },
	{ "Just some words.\n", NULL,
			"it has no originator: neither X-Sender nor Sender nor From" },
	{ "To: a@b\n\nFrom: s@x\n", NULL,
			"it has no originator: neither X-Sender nor Sender nor From" },
	{ "From: <>\nTo: a@b\n\n", NULL,
			"it has no originator: neither X-Sender nor Sender nor From" },
	{ "From: s@x\nSubject: y\n\nTo: a@b\n", NULL, "it has no recipients" },
	{ "X-Sender: s@x\nSubject: y\n\n", NULL, "it has no recipients" },
	{ "From: s@x\nTo: undisclosed-recipients:;\n\n", NULL, "it has no recipients" },
	/* nobody is left out in silence */
	{ "From: s@x\nTo: a@b, bob\n\n", NULL,
			"it has a recipient that is no address: bob" },
	{ "From: s@x\nTo: a@b, c@@d\n\n", NULL,
			"it has a recipient that is no address: c@@d" },
	{ "X-Sender:\nX-Receiver: a@b\n\n", NULL,
			"it has an X-Sender line without an address" },
	{ "X-Sender: s@x\nX-Receiver: <>\n\n", NULL,
			"it has an X-Receiver line without an address" },
	{ "X-Sender: s@x\nX-Receiver: a\x01"
	  "b\n\n",
			NULL,
			"it has an X-Receiver that is no address: a\x01"
			"b" },
	/* the recipients of the first sending are not those of the resending */
	{ "Resent-From: r@x\nFrom: s@x\nTo: a@b\n\n", NULL, "it has no recipients" },
	{ "Resent-To: a@b\nFrom: s@x\nTo: a@b\n\n", NULL,
			"it has no originator: neither X-Sender nor Sender nor From" },
};

#define ROWS(table) \
	for (size_t i = 0; i < sizeof(table) / sizeof(*(table)); i++) \
	check_row(&(table)[i])

static void
x_lines_are_the_envelope(void **state)
{
	(void)state;
	ROWS(lines);
}

static void
the_header_says_what_they_do_not(void **state)
{
	(void)state;
	ROWS(headers);
}

static void
the_message_keeps_its_bytes(void **state)
{
	(void)state;
	ROWS(bodies);
}

static void
what_is_no_message_says_why(void **state)
{
	(void)state;
	ROWS(wrong);
}

static void
nul_is_content(void **state)
{
	static const char all[] = DROP TRACE "\r\n\0\n.\r\n\0";
	AUTO(arena_done) struct arena arena = ARENA_MAX(PICKUP_MEMORY);
	AUTO(buf_done) struct buf got = BUF_MAX(1 << 16);
	struct span file = { all, sizeof(all) - 1 };
	struct pickup p;

	(void)state;
	assert_int_equal(pickup_read(&p, &arena, file, true, HOST), PICKUP_ONE);
	assert_true(p.ours);
	message_of(&got, &p, file, 70);
	assert_true(span_eq(buf_span(&got), span_skip(file, sizeof(DROP) - 1)));
}

/* Whatever part of the head is there, the answer is "more" or the final one. */
static void
a_head_in_pieces_gives_the_same(void **state)
{
	const struct span all = SPAN("X-Receiver: a@b\nX-Receiver: c@d\nFrom: s@x\n"
				     "Bcc: e@f\n\nX-Receiver: g@h\n");
	AUTO(arena_done) struct arena arena = ARENA_MAX(PICKUP_MEMORY);
	AUTO(buf_done) struct buf got = BUF_MAX(1 << 10);
	struct pickup p;

	(void)state;
	for (size_t n = 0; n <= all.n; n++) {
		enum pickup_step step = pickup_read(
				&p, &arena, span_first(all, n), n == all.n, HOST);

		assert_int_equal(step, n < 52 ? PICKUP_MORE : PICKUP_ONE);
		if (step != PICKUP_ONE)
			continue;
		list_of(&got, &p);
		assert_string_equal(buf_cstr(&got), "s@x a@b c@d");
	}
}

static void
what_a_mail_program_would_have_added(void **state)
{
	static const struct {
		const char *file;
		bool date, id;
	} rows[] = {
		{ "From: s@x\nTo: a@b\n\n", true, true },
		{ "From: s@x\nTo: a@b\ndate: x\n\nMessage-ID: <y>\n", false, true },
		{ "From: s@x\nMESSAGE-ID: <y>\nTo: a@b\n\n", true, false },
		/* with an envelope it is relayed, not written anew */
		{ DROP "\r\n", false, false },
		{ "X-Sender: s@x\nTo: a@b\n\n", false, false },
	};
	AUTO(arena_done) struct arena arena = ARENA_MAX(PICKUP_MEMORY);
	struct pickup p;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(pickup_read(&p, &arena, span_of(rows[i].file), true,
						 HOST),
				PICKUP_ONE);
		assert_int_equal(p.lacks_date, rows[i].date);
		assert_int_equal(p.lacks_id, rows[i].id);
	}
}

static enum pickup_step
read_many(struct pickup *p, struct buf *file, bool whole)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(PICKUP_MEMORY);

	return pickup_read(p, &arena, buf_span(file), whole, HOST);
}

static void
ceilings(void **state)
{
	AUTO(buf_done) struct buf file = BUF_MAX(16 << 20);
	struct pickup p;

	(void)state;
	assert_true(buf_add(&file, SPAN("X-Sender: s@x\r\n")));
	for (int i = 0; i < PICKUP_RECIPIENTS_MAX; i++)
		assert_true(buf_addf(&file, "X-Receiver: u%d@b\r\n", i));
	assert_true(buf_add(&file, SPAN("\r\n")));
	assert_int_equal(read_many(&p, &file, true), PICKUP_ONE);
	assert_int_equal(p.n, PICKUP_RECIPIENTS_MAX);
	file.n -= 2;
	assert_true(buf_add(&file, SPAN("X-Receiver: one@b\r\n\r\n")));
	assert_int_equal(read_many(&p, &file, true), PICKUP_BAD);
	assert_string_equal(p.why, "it has more than 10000 recipients");

	/* To: as many, and one more */
	for (int more = 0; more < 2; more++) {
		buf_clear(&file);
		assert_true(buf_add(&file, SPAN("From: s@x\nTo: u@b")));
		for (int i = 1; i < PICKUP_RECIPIENTS_MAX + more; i++)
			assert_true(buf_addf(&file, ",\n u%d@b", i));
		assert_true(buf_add(&file, SPAN("\n\n")));
		assert_int_equal(read_many(&p, &file, true),
				more ? PICKUP_BAD : PICKUP_ONE);
	}

	/* a header that does not end: with an envelope it does not matter */
	for (int envelope = 0; envelope < 2; envelope++) {
		buf_clear(&file);
		if (envelope)
			assert_true(buf_add(&file, SPAN(DROP)));
		while (file.n < HEADER_MAX + 1000)
			assert_true(buf_add(&file, SPAN("To: a@b\r\n")));
		assert_int_equal(read_many(&p, &file, false),
				envelope ? PICKUP_ONE : PICKUP_BAD);
	}

	/* a line that does not end, and a block that does not */
	buf_clear(&file);
	assert_true(buf_add(&file, SPAN("X-Receiver: ")));
	while (file.n < PICKUP_HEAD_MAX)
		assert_true(buf_add(&file, SPAN("aaaaaaaaaaaaaaaa")));
	assert_int_equal(read_many(&p, &file, false), PICKUP_BAD);
	buf_clear(&file);
	while (file.n < PICKUP_HEAD_MAX)
		assert_true(buf_add(&file, SPAN("X-Sender: a@b\r\n")));
	assert_int_equal(read_many(&p, &file, false), PICKUP_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x_lines_are_the_envelope),
		cmocka_unit_test(the_header_says_what_they_do_not),
		cmocka_unit_test(the_message_keeps_its_bytes),
		cmocka_unit_test(what_is_no_message_says_why),
		cmocka_unit_test(nul_is_content),
		cmocka_unit_test(a_head_in_pieces_gives_the_same),
		cmocka_unit_test(what_a_mail_program_would_have_added),
		cmocka_unit_test(ceilings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
