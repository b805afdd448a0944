#include "check.h"

#include "postern/rewrite.h"

#include <stdlib.h>
#include <string.h>

static void
rewrite_all(struct buf *out, struct span block, const struct rewrite_rules *rules)
{
	struct rewrite r;
	struct span piece;

	buf_clear(out);
	rewrite_init(&r, block, rules);
	while (rewrite_next(&r, &piece)) {
		assert_true(piece.n > 0);
		assert_true(buf_add(out, piece));
	}
	assert_false(rewrite_next(&r, &piece));
}

static void
only_the_named_fields_change(void **state)
{
	static const struct {
		size_t recipients;
		const char *before, *after;
	} rows[] = {
		{ 1, "", "" },
		{ 1, "\r\n", "\r\n" },
		{ 1, "From a@b Mon\r\nTo: x\r\n\r\n", "From a@b Mon\r\nTo: x\r\n\r\n" },
		{ 1, "Return-Path: <a@b>\r\nTo: x\r\n\r\n",
				"X-Postern-Orig-Return-Path: <a@b>\r\nTo: x\r\n\r\n" },
		{ 1, "To: x\nreturn-path: <a@b>\nDelivered-To: c@d\n",
				"To: x\nX-Postern-Orig-return-path: <a@b>\n"
				"X-Postern-Orig-Delivered-To: c@d\n" },
		/* one recipient: the envelope field tells nothing new */
		{ 1, "X-Envelope-To: ann@ours\nBcc: ann@ours\nTo: x\n\n",
				"X-Envelope-To: ann@ours\nBcc: ann@ours\nTo: x\n\n" },
		/* a Bcc that names anybody else would tell of him (E12) */
		{ 1, "Bcc: (x) Ann <ANN@Ours.>\nbcc:\nTo: x\n\n",
				"Bcc: (x) Ann <ANN@Ours.>\nbcc:\nTo: x\n\n" },
		{ 1, "Bcc: ann@ours, bob@ours\nBcc: eve@else\nResent-Bcc: ann\nTo: x\n\n",
				"To: x\n\n" },
		{ 0, "Bcc: bob@ours\n\n", "Bcc: bob@ours\n\n" },
		/* edge 10: what stands behind a bare CR is a field of its own to others */
		{ 1, "Bcc: ann@ours\rBcc: bob@ours\r\nTo: x\r\n\r\n", "To: x\r\n\r\n" },
		{ 1, "Bcc: ann@ours\r\r\n\r\n", "Bcc: ann@ours\r\r\n\r\n" },
		{ 1, "Delivered-To: ann@ours\rDelivered-To: bob@ours\r\nTo: x\r\n\r\n",
				"To: x\r\n\r\n" },
		/* several addresses in one field would reveal the others */
		{ 1, "Envelope-To: ann@ours, bob@ours\n folded\nTo: x\n\n",
				"To: x\n\n" },
		{ 1, "Delivered-To: ann@ours, bob@ours\nTo: x\n\n", "To: x\n\n" },
		/* several recipients: no envelope field, no Bcc */
		{ 2, "A: 1\nX-Original-To: ann@ours\nBcc: eve@ours,\n x\nRESENT-BCC: y\nB: 2\n\n",
				"A: 1\nB: 2\n\n" },
		{ 2, "My-Env: ann@ours\nB: 2\n\n", "B: 2\n\n" },
		{ 2, "Delivered-To: catchall@isp\nDelivered-To: eve@Ours.\nB: 2\n\n",
				"X-Postern-Orig-Delivered-To: catchall@isp\nB: 2\n\n" },
		{ 1, "Delivered-To: eve@ours\n\n",
				"X-Postern-Orig-Delivered-To: eve@ours\n\n" },
		/* not ours to touch */
		{ 2, "X-Sender: a\nX-Receiver: b\nX-Postern-Route: c\nReceived: for <eve@ours>\n\n",
				"X-Sender: a\nX-Receiver: b\nX-Postern-Route: c\n"
				"Received: for <eve@ours>\n\n" },
		{ 2, "no colon\n Bcc: x\n\nBcc: body\n",
				"no colon\n Bcc: x\n\nBcc: body\n" },
		/* everything goes */
		{ 2, "Bcc: a\nBcc: b", "" },
	};
	const struct span ours = SPAN("ours"), name = SPAN("my-env");
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);
	AUTO(buf_done) struct buf got = BUF_MAX(4096);
	struct domains served;
	struct span bad;

	(void)state;
	assert_true(domains_init(&served, &arena, &ours, 1, &bad));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct rewrite_rules rules = { .recipients = rows[i].recipients,
			.only = rows[i].recipients == 1 ? SPAN("ann@ours") : SPAN(""),
			.served = &served,
			.names = &name,
			.n_names = 1 };

		rewrite_all(&got, span_of(rows[i].before), &rules);
		if (!span_eq(buf_span(&got), span_of(rows[i].after)))
			fail_msg("row %zu: got " SPAN_FMT, i, SPAN_ARG(buf_span(&got)));
	}
}

static void
a_field_that_goes_on_elsewhere_is_left(void **state)
{
	struct rewrite_rules rules = { .recipients = 2, .open = true };
	AUTO(buf_done) struct buf got = BUF_MAX(4096);

	(void)state;
	rewrite_all(&got, SPAN("Bcc: a\nTo: x\nBcc: a, b"), &rules);
	assert_true(span_eq(buf_span(&got), SPAN("To: x\nBcc: a, b")));
}

/* E18 (6): a Bcc recipient's address appears in no byte of a copy that goes to
 * several, wherever the sender or the provider put it. */
static void
no_copy_for_several_tells_of_a_hidden_one(void **state)
{
	static const char *const fields[] = {
		"To: ann@ours\r\n",
		"Cc: bob@ours,\r\n\tx@else\r\n",
		"Subject: hello\r\n",
		"Bcc: eve@ours\r\n",
		"bcc:\r\n eve@ours\r\n",
		"Resent-Bcc: x@y, eve@ours\r\n",
		"X-Envelope-To: <eve@ours>\r\n",
		"Delivered-To: eve@ours\r\n",
		"Envelope-To: ann@ours, eve@ours\r\n",
		"X-Original-To: eve@ours\r\n",
		"X-RCPT-TO: eve@OURS\r\n",
		"no colon here\r\n",
		"Received: from a by b\r\n",
		"X-Gm-Original-To: eve@ours\r\n",
		"X-Real-To: eve@ours\r\n",
		"X-Delivered-To: eve@ours\r\n",
	};
	const struct span ours = SPAN("ours");
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);
	AUTO(buf_done) struct buf block = BUF_MAX(1 << 16);
	AUTO(buf_done) struct buf got = BUF_MAX(1 << 16);
	struct domains served;
	struct span bad;
	unsigned seed = 6;

	(void)state;
	assert_true(domains_init(&served, &arena, &ours, 1, &bad));
	for (unsigned round = 0; round < 5000; round++) {
		struct rewrite_rules rules = { .recipients = 2, .served = &served };
		size_t n = (size_t)rand_r(&seed) % 20;

		buf_clear(&block);
		for (size_t i = 0; i < n; i++)
			assert_true(buf_add(&block,
					span_of(fields[(size_t)rand_r(&seed) %
							(sizeof(fields) /
									sizeof(*fields))])));
		assert_true(buf_add(&block, SPAN("\r\n")));
		rewrite_all(&got, buf_span(&block), &rules);
		assert_null(memmem(got.p, got.n, "eve", 3));
	}
}

static void
what_is_signed_may_keep_its_name(void **state)
{
#define TO "Delivered-To: c@d\r\nX: 1\r\n"
#define RENAMED "X-Postern-Orig-" TO
	static const struct {
		const char *says, *dkim;
		bool off;
		const char *want;
	} rows[] = {
		{ "in h=", "DKIM-Signature: v=1; h=From:Delivered-To:To; b=x\r\n",
				false, TO },
		{ "folded, other case, blanks",
				"dkim-signature: v=1;\r\n\th = from :\r\n\t DELIVERED-TO\r\n\t; b=x\r\n",
				false, TO },
		{ "the second signature",
				"DKIM-Signature: h=from\r\nDKIM-Signature: h=delivered-to\r\n",
				false, TO },
		{ "not wanted", "DKIM-Signature: h=delivered-to\r\n", true, RENAMED },
		{ "not signed", "DKIM-Signature: v=1; h=from:to; b=delivered-to\r\n",
				false, RENAMED },
		{ "a part of a name",
				"DKIM-Signature: h=x-delivered-to:delivered-tox\r\n",
				false, RENAMED },
		{ "no signature at all", "X-Sig: h=delivered-to\r\n", false, RENAMED },
		{ "nothing in it", "DKIM-Signature: ;=;h;h=;:\r\n", false, RENAMED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(buf_done) struct buf block = BUF_MAX(1000);
		AUTO(buf_done) struct buf got = BUF_MAX(1000);
		AUTO(buf_done) struct buf want = BUF_MAX(1000);
		struct rewrite_rules rules = {
			.recipients = 1,
			.only = SPAN("c@d"),
			.preserve_signed = !rows[i].off,
		};

		assert_true(buf_addf(&block, "%s" TO "\r\n", rows[i].dkim));
		assert_true(buf_addf(&want, "%s%s\r\n", rows[i].dkim, rows[i].want));
		rewrite_all(&got, buf_span(&block), &rules);
		if (!span_eq(buf_span(&got), buf_span(&want)))
			fail_msg("%s: " SPAN_FMT, rows[i].says,
					SPAN_ARG(buf_span(&got)));
	}
#undef TO
#undef RENAMED
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_signed_may_keep_its_name),
		cmocka_unit_test(only_the_named_fields_change),
		cmocka_unit_test(a_field_that_goes_on_elsewhere_is_left),
		cmocka_unit_test(no_copy_for_several_tells_of_a_hidden_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
