/* The reader against 1,447 real messages and 99 nasty headers: every row of
 * truth.tsv, every verdict (or alt, never a must_not) of disputed.tsv, all of
 * cases.tsv. The corpus is found by POSTERN_CORPUS or beside the project. */
#include "answers.h"
#include "table.h"

#include <unistd.h>

static const char *corpus;

static char *
slurp_in(const char *name, size_t *n)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", corpus, name);
	return table_slurp(path, n);
}

static void
table_in(struct table *t, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", corpus, name);
	table_open(t, path);
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
truth_is_wrong(const struct table *t)
{
	return strcmp(t->column[0], "roundcube-0006.eml") == 0 &&
			strcmp(t->column[4], "test@\\320aypal.com") == 0;
}

static void
every_row_of_truth_is_reproduced(void **state)
{
	size_t rows = 0, same = 0, wrong = 0;
	struct message message = { .p = NULL };
	struct table t;

	(void)state;
	if (!corpus_here())
		skip();
	table_in(&t, "truth.tsv");
	while (table_next(&t)) {
		AUTO(buf_done) struct buf out = BUF_MAX(1 << 22);
		struct span m = message_get(&message, t.column[0]);

		rows++;
		(void)answer_file(&out, m, span_of(t.column[1]),
				strtoul(t.column[2], NULL, 10));
		if (span_eq(answer(&out), span_of(t.column[4])))
			same++;
		else if (truth_is_wrong(&t))
			wrong++;
		else
			print_message("%s %s %s: want %s, got " SPAN_FMT "\n",
					t.column[0], t.column[1], t.column[2],
					t.column[4], SPAN_ARG(answer(&out)));
	}
	print_message("truth.tsv: %zu of %zu rows, %zu known to be wrong there\n", same,
			rows, wrong);
	free(message.p);
	table_close(&t);
	assert_int_equal(same + wrong, rows);
	assert_true(rows > 7000);
}

static void
every_dispute_is_settled_acceptably(void **state)
{
	size_t rows = 0, verdicts = 0, alts = 0;
	struct message message = { .p = NULL };
	struct table t;

	(void)state;
	if (!corpus_here())
		skip();
	table_in(&t, "disputed.tsv");
	while (table_next(&t)) {
		AUTO(buf_done) struct buf out = BUF_MAX(1 << 20);
		struct span m = message_get(&message, t.column[0]);

		rows++;
		(void)answer_file(&out, m, span_of(t.column[1]),
				strtoul(t.column[2], NULL, 10));
		struct span got = answer(&out);
		bool harmful = table_has(got, t.column[5]);
		if (!harmful &&
				(strcmp(t.column[3], "?") == 0 ||
						span_eq(got, span_of(t.column[3]))))
			verdicts++;
		else if (!harmful && among(got, t.column[4]))
			alts++;
		else
			print_message("%s %s %s: want %s or %s, not %s; got " SPAN_FMT
				      "\n",
					t.column[0], t.column[1], t.column[2],
					t.column[3], t.column[4], t.column[5],
					SPAN_ARG(got));
	}
	print_message("disputed.tsv: %zu verdicts and %zu alternatives of %zu rows\n",
			verdicts, alts, rows);
	free(message.p);
	table_close(&t);
	assert_int_equal(verdicts + alts, rows);
}

static void
answer_case(struct buf *out, const char *kind, struct span block)
{
	struct header_scan scan;
	struct header_field f;
	bool top = strcmp(kind, "return-path") == 0 || strcmp(kind, "message-id") == 0;

	if (strncmp(kind, "received-trust:", 15) == 0) {
		answer_by(out, block, span_of(kind + 15));
		return;
	}
	header_scan_init(&scan, block);
	while (header_next(&scan, &f)) {
		bool wanted = top && header_is(&f, span_of(kind));

		if (strcmp(kind, "received-for") == 0)
			wanted = header_is(&f, SPAN("Received"));
		if (strcmp(kind, "addrs") == 0)
			wanted = answers_recipients(&f);
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
	struct table t;

	(void)state;
	if (!corpus_here())
		skip();
	table_in(&t, "cases.tsv");
	while (table_next(&t)) {
		AUTO(buf_done) struct buf out = BUF_MAX(1 << 22);
		char path[64];

		rows++;
		(void)snprintf(path, sizeof(path), "cases/%s.hdr", t.column[0]);
		char *header = slurp_in(path, &n);
		char *want = case_expected(t.column[4]);
		answer_case(&out, t.column[2], (struct span){ header, n });
		struct span got = answer(&out);
		bool harmful = table_has(got, t.column[6]);
		if (!harmful && span_eq(got, span_of(want)))
			expected++;
		else if (!harmful && among(got, t.column[5]))
			alts++;
		else
			print_message("%s: want %.200s or %s, not %s; got %.*s\n",
					t.column[0], want, t.column[5], t.column[6],
					(int)(got.n < 200 ? got.n : 200), got.p);
		free(want);
		free(header);
	}
	print_message("cases.tsv: %zu expected and %zu alternatives of %zu rows\n",
			expected, alts, rows);
	table_close(&t);
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
