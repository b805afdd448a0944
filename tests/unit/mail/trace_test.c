#include "check.h"

#include "postern/trace.h"

static void
received_lines_are_printed_to_the_letter(void **state)
{
	static const struct {
		struct trace_stamp stamp;
		const char *want;
	} rows[] = {
		{ { .from = { SPAN_INIT("pop.isp.test") },
				  .ip = { SPAN_INIT("192.0.2.1") },
				  .by = { SPAN_INIT("gw.contoso.test") },
				  .with = { SPAN_INIT("POP3S") },
				  .id = { SPAN_INIT("0ABC") },
				  .recipient = { SPAN_INIT("ann@contoso.test") },
				  .collected = true,
				  .at_s = 1704067200 },
				"Received: from pop.isp.test ([192.0.2.1]) by gw.contoso.test with "
				"POP3S (Postern) id 0ABC for <ann@contoso.test>; "
				"Mon, 1 Jan 2024 00:00:00 +0000\r\n" },
		{ { .from = { SPAN_INIT("x)\r\nBcc: y") },
				  .ip = { SPAN_INIT("2001:db8::1") },
				  .by = { SPAN_INIT("gw") },
				  .with = { SPAN_INIT("ESMTP") },
				  .id = { SPAN_INIT("1") },
				  .unverified = true },
				"Received: from unknown (unverified [IPv6:2001:db8::1]) by gw with "
				"ESMTP id 1; Thu, 1 Jan 1970 00:00:00 +0000\r\n" },
		{ { .from = { SPAN_INIT("[127.0.0.1]") },
				  .by = { SPAN_INIT("gw") },
				  .with = { SPAN_INIT("LMTP") },
				  .id = { SPAN_INIT("1") } },
				"Received: from [127.0.0.1] by gw with LMTP id 1; "
				"Thu, 1 Jan 1970 00:00:00 +0000\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(buf_done) struct buf out = BUF_MAX(1024);

		assert_true(trace_print(&out, &rows[i].stamp));
		if (!span_eq(buf_span(&out), span_of(rows[i].want)))
			fail_msg("got " SPAN_FMT, SPAN_ARG(buf_span(&out)));
	}
}

static void
names_of_clients_are_filtered(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} rows[] = {
		{ "mx.isp.test", true },
		{ "my_host-1", true },
		{ "[127.0.0.1]", true },
		{ "[IPv6:2001:db8::1]", true },
		{ "", false },
		{ "[]", false },
		{ "<script>", false },
		{ "a b", false },
		{ "a)", false },
		{ "h\303\266st", false },
		{ "a:b", false },
		{ "[a_b]", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (trace_name_ok(span_of(rows[i].name)) != rows[i].ok)
			fail_msg("%s", rows[i].name);
	}
}

static void
received_clauses_are_told_from_words(void **state)
{
	static const struct {
		const char *body, *by, *to;
		size_t recipients;
	} rows[] = {
		{ " from a by mx.isp.test (P) with ESMTP id 1\r\n\tfor <ann@x>; Mon",
				"mx.isp.test", "ann@x", 1 },
		{ "from for (f) by mx id for for <ann@x>; Mon", "mx", "ann@x", 1 },
		{ "from e (HELO by mx for <eve@x>) by a", "a", "", 0 },
		{ "from a by mx for <a@x>,<b@x>; Mon", "mx", "a@x b@x", 2 },
		{ "from a by mx for <multiple recipients>; Mon", "mx", "", 1 },
		{ "from a by mx for ann; Mon", "mx", "", 1 },
		{ "from a; by mx; for <ann@x>; Mon", "mx", "ann@x", 1 },
		{ "from a by mx for <\"a; b\"@x>; Mon", "mx", "\"a; b\"@x", 1 },
		{ "from a by mx for ann@x (c); Mon", "mx", "ann@x", 1 },
		{ "by mx(never closed for <ann@x>", "mx", "", 0 },
		{ "", "", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);
		AUTO(buf_done) struct buf got = BUF_MAX(1024);
		struct address_list list;
		struct trace_received r;

		address_list_init(&list, &arena, 10);
		trace_read(span_of(rows[i].body), &list, &r);
		for (size_t k = 0; k < list.n; k++) {
			if (list.v[k].kind != ADDRESS_FULL)
				continue;
			assert_true((got.n == 0 || buf_addc(&got, ' ')) &&
					address_print(&got, &list.v[k]));
		}
		if (!span_eq(r.by, span_of(rows[i].by)) ||
				r.recipients != rows[i].recipients ||
				!span_eq(buf_span(&got), span_of(rows[i].to)))
			fail_msg("%s: by " SPAN_FMT " %zu " SPAN_FMT, rows[i].body,
					SPAN_ARG(r.by), r.recipients,
					SPAN_ARG(buf_span(&got)));
	}
}

static void
return_paths_are_null_addresses_or_bad(void **state)
{
	static const struct {
		const char *body;
		enum trace_path path;
	} rows[] = {
		{ " <>", TRACE_PATH_NULL },
		{ " < > (x)", TRACE_PATH_NULL },
		{ " <a@b>", TRACE_PATH_ADDRESS },
		{ " a@b", TRACE_PATH_ADDRESS },
		{ "", TRACE_PATH_BAD },
		{ " <a@b>, <c@d>", TRACE_PATH_BAD },
		{ " <a@b@c>", TRACE_PATH_BAD },
		{ " list a@b", TRACE_PATH_BAD },
		{ " <ann>", TRACE_PATH_BAD },
		{ " <>x", TRACE_PATH_BAD },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);
		struct address a;

		if (trace_return_path(&arena, span_of(rows[i].body), &a) !=
				rows[i].path)
			fail_msg("%s", rows[i].body);
	}
}

static void
message_ids_are_opaque(void **state)
{
	static const char *const rows[][2] = {
		{ " <a@b>", "a@b" },
		{ " <a@b@c>", "a@b@c" },
		{ " 14159 x", "14159" },
		{ "\r\n <a@b>", "a@b" },
		{ " <a@\r\n b>", "a@b" },
		{ " <a\001b>", "a" },
		{ " <a@b", "a@b" },
		{ " ", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 16);
		struct span id = trace_message_id(&arena, span_of(rows[i][0]));

		if (!span_eq(id, span_of(rows[i][1])))
			fail_msg("%s: " SPAN_FMT, rows[i][0], SPAN_ARG(id));
	}
}

static void
hops_are_counted_in_the_header_only(void **state)
{
	(void)state;
	assert_int_equal(trace_hops(SPAN("Received: a\nreceived: b\nX-Received: c\n"
					 "Received : d\n\nReceived: e\n")),
			3);
}

/* All at once and octet by octet, the count is that of the header as it is scanned. */
static void
hops_are_counted_while_they_pass(void **state)
{
	static const struct {
		struct span text;
		unsigned hops;
	} rows[] = {
		{ { SPAN_INIT("Received: a\r\nRECEIVED:b\r\n\r\nReceived: c\r\n") },
				2 },
		{ { SPAN_INIT("Received \t : a\nReceived\n: b\nReceivedX: c\nReceive: d\n") },
				1 },
		{ { SPAN_INIT(" Received: a\nX: b\n Received: c\n\tReceived: d\n") },
				0 },
		{ { SPAN_INIT("Received: a\n\r:\n\rReceived: b\nReceived: c") }, 2 },
		{ { SPAN_INIT("\r\nReceived: a\n") }, 0 },
		{ { SPAN_INIT("From x\nReceived: a\r\n") }, 1 },
		{ { SPAN_INIT("Received: a\0\nRec\0eived: b\nReceived:") }, 2 },
		{ { SPAN_INIT("") }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct trace_hop_count whole = { .hops = 0 }, bytes = { .hops = 0 };

		trace_hops_feed(&whole, rows[i].text);
		for (size_t k = 0; k < rows[i].text.n; k++)
			trace_hops_feed(&bytes, (struct span){ rows[i].text.p + k, 1 });
		if (whole.hops != rows[i].hops || bytes.hops != rows[i].hops ||
				trace_hops(rows[i].text) != rows[i].hops)
			fail_msg("row %zu: %u, %u, %u", i, whole.hops, bytes.hops,
					trace_hops(rows[i].text));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(received_lines_are_printed_to_the_letter),
		cmocka_unit_test(names_of_clients_are_filtered),
		cmocka_unit_test(received_clauses_are_told_from_words),
		cmocka_unit_test(return_paths_are_null_addresses_or_bad),
		cmocka_unit_test(message_ids_are_opaque),
		cmocka_unit_test(hops_are_counted_in_the_header_only),
		cmocka_unit_test(hops_are_counted_while_they_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
