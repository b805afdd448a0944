/* The reader against 1,447 real messages and 99 nasty headers: every row of
 * truth.tsv, every verdict (or alt, never a must_not) of disputed.tsv, all of
 * cases.tsv. The corpus is found by POSTERN_CORPUS or beside the project. */
#include "check.h"

#include "postern/header.h"
#include "postern/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *corpus;

struct row {
	char *column[16];
	size_t n;
};

static char *
slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *p = NULL;

	if (!f)
		return NULL;
	(void)fseek(f, 0, SEEK_END);
	*n = (size_t)ftell(f);
	rewind(f);
	p = malloc(*n + 1);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, *n, f), *n);
	p[*n] = '\0';
	(void)fclose(f);
	return p;
}

static char *
slurp_in(const char *name, size_t *n)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", corpus, name);
	char *p = slurp(path, n);
	if (!p)
		fail_msg("cannot read %s", path);
	return p;
}

/* Cuts the next line of a table into its columns, in place. */
static bool
row_next(char **at, struct row *row)
{
	char *line = *at;

	if (*line == '\0')
		return false;
	char *end = strchr(line, '\n');
	*at = end ? end + 1 : line + strlen(line);
	if (end)
		*end = '\0';
	row->n = 0;
	while (line && row->n < 16) {
		row->column[row->n++] = line;
		line = strchr(line, '\t');
		if (line)
			*line++ = '\0';
	}
	return true;
}

/* One address as the tables write it: bytes outside ! to ~ and \ as \ooo. */
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
	AUTO(buf_done) struct buf one = BUF_MAX(1 << 22);

	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].kind != ADDRESS_FULL)
			continue;
		buf_clear(&one);
		assert_true(address_print(&one, &list->v[i]));
		add_escaped(out, buf_span(&one));
	}
}

/* What we make of one field, as the tables spell it. */
static void
answer_field(struct buf *out, struct span header, struct span body)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 25);
	struct address_list list;
	struct address a;
	struct trace_received received;

	address_list_init(&list, &arena, ADDRESS_LIST_MAX);
	if (span_eq(header, SPAN("message-id"))) {
		struct span id = trace_message_id(&arena, body);

		if (id.n > 0)
			add_escaped(out, id);
		return;
	}
	if (span_eq(header, SPAN("received-for")))
		trace_read(body, &list, &received);
	else if (!span_eq(header, SPAN("return-path")))
		address_read(&list, body);
	else if (trace_return_path(&arena, body, &a) == TRACE_PATH_ADDRESS)
		list = (struct address_list){ .v = &a, .n = 1 };
	add_list(out, &list);
}

/* The index-th field of that name in a message. */
static bool
answer_file(struct buf *out, struct span message, struct span header,
		unsigned long index)
{
	struct span name = span_eq(header, SPAN("received-for")) ? SPAN("Received")
								 : header;
	struct header_scan scan;
	struct header_field f;

	header_scan_init(&scan, span_first(message, header_length(message)));
	while (header_next(&scan, &f)) {
		if (header_is(&f, name) && index-- == 0) {
			answer_field(out, header, f.body);
			return true;
		}
	}
	return false;
}

static struct span
answer(struct buf *out)
{
	return out->n > 0 ? buf_span(out) : SPAN("-");
}

/* Is s among the " | " alternatives? "." stands for none. */
static bool
among(struct span s, const char *alternatives)
{
	struct span rest = span_of(alternatives);

	while (rest.n > 0 && !span_eq(rest, SPAN("."))) {
		const char *bar = memmem(rest.p, rest.n, " | ", 3);
		size_t n = bar ? (size_t)(bar - rest.p) : rest.n;

		if (span_eq(s, span_first(rest, n)))
			return true;
		rest = span_skip(rest, bar ? n + 3 : n);
	}
	return false;
}

/* Is one of the words of `forbidden` a word of s? */
static bool
holds_any(struct span s, const char *forbidden)
{
	struct span all = span_of(forbidden);

	if (span_eq(all, SPAN(".")))
		return false;
	while (all.n > 0) {
		struct span bad = span_word(&all), rest = s;

		while (rest.n > 0) {
			if (span_eq(span_word(&rest), bad))
				return true;
		}
	}
	return false;
}

/* Messages are read once per run of rows that name them. */
struct message {
	char name[128];
	char *p;
	size_t n;
};

static struct span
message_get(struct message *m, const char *name)
{
	char path[160];

	if (strcmp(m->name, name) != 0) {
		free(m->p);
		(void)snprintf(path, sizeof(path), "msg/%s", name);
		m->p = slurp_in(path, &m->n);
		(void)snprintf(m->name, sizeof(m->name), "%s", name);
	}
	return (struct span){ m->p, m->n };
}

static bool
corpus_here(void)
{
	if (!corpus)
		print_message("skipped: no corpus (POSTERN_CORPUS)\n");
	return corpus != NULL;
}

/* Where the table is wrong. In roundcube-0006.eml the domain begins with a
 * Cyrillic letter, 0xd0 0xa0 in UTF-8; the readers behind truth.tsv took 0xa0 for
 * a Latin-1 blank and dropped half of it. E4: raw UTF-8 is data. */
static bool
table_is_wrong(const struct row *row)
{
	return strcmp(row->column[0], "roundcube-0006.eml") == 0 &&
			strcmp(row->column[4], "test@\\320aypal.com") == 0;
}

static void
every_row_of_truth_is_reproduced(void **state)
{
	size_t n, rows = 0, same = 0, wrong = 0;
	struct message message = { .p = NULL };
	struct row row;

	(void)state;
	if (!corpus_here())
		skip();
	char *table = slurp_in("truth.tsv", &n), *at = table;
	assert_true(row_next(&at, &row));
	while (row_next(&at, &row)) {
		AUTO(buf_done) struct buf out = BUF_MAX(1 << 22);
		struct span m = message_get(&message, row.column[0]);

		rows++;
		(void)answer_file(&out, m, span_of(row.column[1]),
				strtoul(row.column[2], NULL, 10));
		if (span_eq(answer(&out), span_of(row.column[4])))
			same++;
		else if (table_is_wrong(&row))
			wrong++;
		else
			print_message("%s %s %s: want %s, got " SPAN_FMT "\n",
					row.column[0], row.column[1], row.column[2],
					row.column[4], SPAN_ARG(answer(&out)));
	}
	print_message("truth.tsv: %zu of %zu rows, %zu known to be wrong there\n", same,
			rows, wrong);
	free(message.p);
	free(table);
	assert_int_equal(same + wrong, rows);
	assert_true(rows > 7000);
}

static void
every_dispute_is_settled_acceptably(void **state)
{
	size_t n, rows = 0, verdicts = 0, alts = 0;
	struct message message = { .p = NULL };
	struct row row;

	(void)state;
	if (!corpus_here())
		skip();
	char *table = slurp_in("disputed.tsv", &n), *at = table;
	assert_true(row_next(&at, &row));
	while (row_next(&at, &row)) {
		AUTO(buf_done) struct buf out = BUF_MAX(1 << 20);
		struct span m = message_get(&message, row.column[0]);

		rows++;
		(void)answer_file(&out, m, span_of(row.column[1]),
				strtoul(row.column[2], NULL, 10));
		struct span got = answer(&out);
		bool harmful = holds_any(got, row.column[5]);
		if (!harmful &&
				(strcmp(row.column[3], "?") == 0 ||
						span_eq(got, span_of(row.column[3]))))
			verdicts++;
		else if (!harmful && among(got, row.column[4]))
			alts++;
		else
			print_message("%s %s %s: want %s or %s, not %s; got " SPAN_FMT
				      "\n",
					row.column[0], row.column[1], row.column[2],
					row.column[3], row.column[4], row.column[5],
					SPAN_ARG(got));
	}
	print_message("disputed.tsv: %zu verdicts and %zu alternatives of %zu rows\n",
			verdicts, alts, rows);
	free(message.p);
	free(table);
	assert_int_equal(verdicts + alts, rows);
}

static const struct span address_fields[] = {
	{ SPAN_INIT("To") },
	{ SPAN_INIT("Cc") },
	{ SPAN_INIT("Bcc") },
	{ SPAN_INIT("Resent-To") },
	{ SPAN_INIT("Resent-Cc") },
	{ SPAN_INIT("Resent-Bcc") },
	{ SPAN_INIT("Delivered-To") },
	{ SPAN_INIT("X-Original-To") },
	{ SPAN_INIT("X-Envelope-To") },
	{ SPAN_INIT("Envelope-To") },
	{ SPAN_INIT("Apparently-To") },
	{ SPAN_INIT("X-Apparently-To") },
};

/* The topmost Received whose "by" is that host, compared as domains are. */
static void
answer_trust(struct buf *out, struct span block, struct span host)
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
answer_case(struct buf *out, const char *kind, struct span block)
{
	struct header_scan scan;
	struct header_field f;
	bool top = strcmp(kind, "return-path") == 0 || strcmp(kind, "message-id") == 0;

	if (strncmp(kind, "received-trust:", 15) == 0) {
		answer_trust(out, block, span_of(kind + 15));
		return;
	}
	header_scan_init(&scan, block);
	while (header_next(&scan, &f)) {
		bool wanted = top && header_is(&f, span_of(kind));

		if (strcmp(kind, "received-for") == 0)
			wanted = header_is(&f, SPAN("Received"));
		for (size_t i = 0; strcmp(kind, "addrs") == 0 && i < 12; i++)
			wanted = wanted || header_is(&f, address_fields[i]);
		if (wanted)
			answer_field(out, span_of(kind), f.body);
		if (wanted && top)
			return;
	}
}

static char *
case_expected(char *column)
{
	size_t n;

	if (column[0] != '@')
		return strdup(column);
	char *p = slurp_in(column + 1, &n);
	/* One address a line. */
	for (char *c = p; *c; c++) {
		if (*c == '\n' || *c == '\t')
			*c = c[1] ? ' ' : '\0';
	}
	return p;
}

static void
every_nasty_case_is_read_as_expected(void **state)
{
	size_t n, rows = 0, expected = 0, alts = 0;
	struct row row;

	(void)state;
	if (!corpus_here())
		skip();
	char *table = slurp_in("cases.tsv", &n), *at = table;
	assert_true(row_next(&at, &row));
	while (row_next(&at, &row)) {
		AUTO(buf_done) struct buf out = BUF_MAX(1 << 22);
		char path[64];

		rows++;
		(void)snprintf(path, sizeof(path), "cases/%s.hdr", row.column[0]);
		char *header = slurp_in(path, &n);
		char *want = case_expected(row.column[4]);
		answer_case(&out, row.column[2], (struct span){ header, n });
		struct span got = answer(&out);
		bool harmful = holds_any(got, row.column[6]);
		if (!harmful && span_eq(got, span_of(want)))
			expected++;
		else if (!harmful && among(got, row.column[5]))
			alts++;
		else
			print_message("%s: want %.200s or %s, not %s; got %.*s\n",
					row.column[0], want, row.column[5],
					row.column[6], (int)(got.n < 200 ? got.n : 200),
					got.p);
		free(want);
		free(header);
	}
	print_message("cases.tsv: %zu expected and %zu alternatives of %zu rows\n",
			expected, alts, rows);
	free(table);
	assert_int_equal(expected + alts, rows);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_truth_is_reproduced),
		cmocka_unit_test(every_dispute_is_settled_acceptably),
		cmocka_unit_test(every_nasty_case_is_read_as_expected),
	};

	corpus = getenv("POSTERN_CORPUS");
	if (!corpus && argc > 1 && access(argv[1], R_OK) == 0)
		corpus = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
