/* Headers somebody may send, in nasty.tsv: one a line, with what is read and why.
 *
 * Kinds: `to` the body of a To field; `addrs` a header, every recipient field in
 * order; `for` the body of a Received; `by HOST` a header, the for-clause of the topmost
 * Received whose by is HOST; `return-path`, `message-id` the body of that field.
 * Addresses: bytes outside ! to ~ and \ as \ooo, "-" for none; no word of must_not
 * may be among them. */
#include "table.h"

#include "postern/header.h"
#include "postern/trace.h"

static const char *path;

/* One address as the table writes it. */
static void
add_escaped(struct buf *out, struct span s)
{
	if (out->n > 0)
		assert_true(buf_addc(out, ' '));
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < '!' || c > '~' || c == '\\')
			assert_true(buf_addf(out, "\\%03o", c));
		else
			assert_true(buf_addc(out, (char)c));
	}
}

static void
add_list(struct buf *out, const struct address_list *list)
{
	AUTO(buf_done) struct buf one = BUF_MAX(1 << 20);

	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].kind != ADDRESS_FULL)
			continue;
		buf_clear(&one);
		assert_true(address_print(&one, &list->v[i]));
		add_escaped(out, buf_span(&one));
	}
}

static void
answer_addrs(struct buf *out, struct span block)
{
	static const char *const names[] = { "To", "Cc", "Bcc", "Resent-To",
		"Resent-Cc", "Resent-Bcc", "Delivered-To", "X-Original-To",
		"X-Envelope-To", "Envelope-To", "Apparently-To", "X-Apparently-To" };
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 25);
	struct address_list list;
	struct header_scan scan;
	struct header_field f;

	address_list_init(&list, &arena, ADDRESS_LIST_MAX);
	header_scan_init(&scan, block);
	while (header_next(&scan, &f)) {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (header_is(&f, span_of(names[i])))
				address_read(&list, f.body);
		}
	}
	add_list(out, &list);
}

static void
answer_by(struct buf *out, struct span block, struct span host)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 20);
	char want[ADDRESS_DOMAIN_MAX + 1], by[ADDRESS_DOMAIN_MAX + 1];
	struct header_scan scan;
	struct header_field f;

	assert_true(domain_canon(host, want));
	header_scan_init(&scan, block);
	while (header_next(&scan, &f)) {
		struct address_list list;
		struct trace_received received;

		address_list_init(&list, &arena, ADDRESS_LIST_MAX);
		if (!header_is(&f, SPAN("Received")))
			continue;
		trace_read(f.body, &list, &received);
		if (domain_canon(received.by, by) && strcmp(want, by) == 0) {
			add_list(out, &list);
			return;
		}
	}
}

static void
answer(struct buf *out, const char *kind, struct span text)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 25);
	struct address_list list;
	struct trace_received received;
	struct address a;

	address_list_init(&list, &arena, ADDRESS_LIST_MAX);
	if (strncmp(kind, "by ", 3) == 0) {
		answer_by(out, text, span_of(kind + 3));
	} else if (strcmp(kind, "addrs") == 0) {
		answer_addrs(out, text);
	} else if (strcmp(kind, "message-id") == 0) {
		struct span id = trace_message_id(&arena, text);

		if (id.n > 0)
			add_escaped(out, id);
	} else if (strcmp(kind, "return-path") == 0) {
		if (trace_return_path(&arena, text, &a) == TRACE_PATH_ADDRESS)
			add_list(out, &(struct address_list){ .v = &a, .n = 1 });
	} else if (strcmp(kind, "for") == 0) {
		trace_read(text, &list, &received);
		add_list(out, &list);
	} else {
		assert_string_equal(kind, "to");
		answer_addrs(out, text);
	}
	if (out->n == 0)
		assert_true(buf_addc(out, '-'));
}

static void
every_line_is_read_as_it_says(void **state)
{
	struct table t;
	size_t rows = 0, right = 0;

	(void)state;
	table_open(&t, path);
	while (table_next(&t)) {
		AUTO(buf_done) struct buf header = BUF_MAX(1 << 21);
		AUTO(buf_done) struct buf want = BUF_MAX(1 << 21);
		AUTO(buf_done) struct buf got = BUF_MAX(1 << 21);

		rows++;
		assert_non_null(t.column[5]);
		if (strcmp(t.column[1], "to") == 0)
			assert_true(buf_add(&header, SPAN("To: ")));
		table_expand(&header, t.column[2], true, NULL);
		if (strcmp(t.column[1], "to") == 0)
			assert_true(buf_add(&header, SPAN("\r\n")));
		table_expand(&want, t.column[3], false, NULL);
		answer(&got, t.column[1], buf_span(&header));
		struct span is = buf_span(&got);
		bool harmful = table_has(is, t.column[4]);
		if (!harmful && span_eq(is, buf_span(&want)))
			right++;
		else
			print_message("line %zu: %.200s: want %.200s, not %s; got %.*s\n",
					t.line, t.column[2], t.column[3], t.column[4],
					(int)(is.n < 200 ? is.n : 200), is.p);
	}
	table_close(&t);
	assert_int_equal(right, rows);
	assert_true(rows > 300);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_is_read_as_it_says),
	};

	if (argc < 2)
		return 1;
	path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
