/* Headers somebody may send, in nasty.tsv: one a line, with what is read and why.
 *
 * Kinds: `to` the body of a To field; `addrs` a header, every recipient field in
 * order; `for` the body of a Received; `by HOST` a header, the for-clause of the topmost
 * Received whose by is HOST; `return-path`, `message-id` the body of that field.
 * Addresses: bytes outside ! to ~ and \ as \ooo, "-" for none; no word of must_not
 * may be among them. */
#include "answers.h"
#include "table.h"

static const char *path;

static void
answer_addrs(struct buf *out, struct span block)
{
	struct header_scan scan;
	struct header_field f;

	header_scan_init(&scan, block);
	while (header_next(&scan, &f)) {
		if (answers_recipients(&f))
			answer_field(out, SPAN("to"), f.body);
	}
}

static void
answer(struct buf *out, const char *kind, struct span text)
{
	if (strncmp(kind, "by ", 3) == 0)
		answer_by(out, text, span_of(kind + 3));
	else if (strcmp(kind, "addrs") == 0 || strcmp(kind, "to") == 0)
		answer_addrs(out, text);
	else if (strcmp(kind, "for") == 0)
		answer_field(out, SPAN("received-for"), text);
	else
		answer_field(out, span_of(kind), text);
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
