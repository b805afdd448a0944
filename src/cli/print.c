#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "postern/date.h"
#include "postern/enc.h"

json_t *
cli_json_span(struct span s)
{
	AUTO(buf_done) struct buf text = BUF_MAX(64 * 1024 * 1024);

	/* jansson refuses what is not UTF-8: such bytes become U+FFFD. */
	while (s.n > 0) {
		size_t n = utf8_len(s);
		if (!buf_add(&text, n > 0 ? span_first(s, n) : SPAN("\xef\xbf\xbd")))
			break;
		s = span_skip(s, n > 0 ? n : 1);
	}
	return json_stringn(text.n > 0 ? text.p : "", text.n);
}

json_t *
cli_json_time(int64_t ms)
{
	char when[DATE_ISO_SIZE];

	if (ms <= 0)
		return json_null();
	date_iso(ms, when);
	return json_string(when);
}

/* Characters that turn a terminal's text around are escaped, as enc_json does. */
static int
dump(const char *p, size_t n, void *to)
{
	struct span text = { p, n };
	FILE *f = to;

	while (text.n > 0) {
		size_t len = utf8_len(text), one = len > 0 ? len : 1;

		uint32_t c = len > 1 ? utf8_code(span_first(text, len)) : 'a';

		if (enc_is_unruly(c))
			(void)fprintf(f, "\\u%04x", (unsigned)c);
		else
			(void)fwrite(text.p, 1, one, f);
		text = span_skip(text, one);
	}
	return ferror(f) ? -1 : 0;
}

int
cli_print_json(json_t *j)
{
	int status = json_dump_callback(j, dump, stdout,
				     JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0
			? CLI_DONE
			: CLI_FAILED;
	(void)putchar('\n');
	json_decref(j);
	return status;
}

/* How many columns text takes: one for each UTF-8 character. */
static size_t
columns_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void
cli_print_span(FILE *f, struct span s, size_t width)
{
	AUTO(buf_done) struct buf text = BUF_MAX(256 * 1024);

	if (width > 0 && s.n > width * 4)
		s = span_first(s, width * 4);
	if (!enc_plain(&text, s))
		(void)!buf_add(&text, SPAN("..."));
	size_t n = text.n;
	if (width > 0 && n > width) {
		n = width;
		while (n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
			n--;
	}
	(void)fwrite(text.p ? text.p : "", 1, n, f);
}

void
cli_print_lines(FILE *f, struct span s)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1024 * 1024);

	if (!enc_lines(&text, s))
		(void)!buf_add(&text, SPAN("..."));
	(void)fwrite(text.p ? text.p : "", 1, text.n, f);
	if (!text.p || text.n == 0 || text.p[text.n - 1] != '\n')
		(void)fputc('\n', f);
}

void
cli_table_init(struct cli_table *t, const char *const *titles, size_t columns)
{
	*t = (struct cli_table){ .columns = columns,
		.arena = ARENA_MAX(256 * 1024 * 1024) };
	t->last = &t->first;
	cli_table_row(t, titles);
	for (size_t i = 0; i < columns && t->first; i++) {
		t->right[i] = t->first->cells[i][0] == '>';
		if (t->right[i])
			t->first->cells[i]++;
	}
}

void
cli_table_row(struct cli_table *t, const char *const *cells)
{
	struct cli_row *row = arena_alloc(&t->arena, sizeof(*row));
	const char **copy = arena_alloc(&t->arena, t->columns * sizeof(*copy));

	if (!row || !copy)
		return;
	memcpy(copy, cells, t->columns * sizeof(*copy));
	row->cells = copy;
	*t->last = row;
	t->last = &row->next;
	t->rows++;
}

const char *
cli_cell(struct cli_table *t, struct span s)
{
	AUTO(buf_done) struct buf text = BUF_MAX(4096);

	if (s.n == 0)
		return "-";
	if (!enc_plain(&text, span_first(s, 800)))
		return "-";
	const char *cell = arena_str(&t->arena, buf_span(&text));
	return cell ? cell : "-";
}

const char *
cli_cell_num(struct cli_table *t, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, n);
	return cli_cell(t, span_of(text));
}

const char *
cli_cell_time(struct cli_table *t, int64_t ms)
{
	char when[DATE_ISO_SIZE];

	if (ms <= 0)
		return "-";
	date_iso(ms, when);
	return cli_cell(t, span_first(span_of(when), 19));
}

static void
print_row(const struct cli_table *t, const struct cli_row *row)
{
	for (size_t i = 0; i < t->columns; i++) {
		size_t pad = t->width[i] - columns_of(row->cells[i]);
		bool last = i + 1 == t->columns;

		if (t->right[i])
			(void)printf("%*s%s", (int)pad, "", row->cells[i]);
		else
			(void)printf("%s%*s", row->cells[i], last ? 0 : (int)pad, "");
		(void)fputs(last ? "\n" : "  ", stdout);
	}
}

void
cli_table_print(struct cli_table *t)
{
	for (struct cli_row *row = t->first; row; row = row->next) {
		for (size_t i = 0; i < t->columns; i++) {
			size_t n = columns_of(row->cells[i]);
			t->width[i] = n > t->width[i] ? n : t->width[i];
		}
	}
	for (struct cli_row *row = t->first; row; row = row->next)
		print_row(t, row);
	arena_done(&t->arena);
	t->first = NULL;
	t->last = &t->first;
	t->rows = 0;
}
