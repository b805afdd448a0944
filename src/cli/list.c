#include "cli.h"

/* Rows that are printed together: a screen of a long list is ready at once, and its columns
 * are as wide as a few hundred lines need. */
enum { ROWS_AT_ONCE = 500 };

void
cli_list_init(struct cli_list *l, bool json, const char *const *titles, size_t columns)
{
	*l = (struct cli_list){ .json = json };
	cli_table_init(&l->table, titles, columns);
}

/* As cli_print_json has it, two columns further in: no text in JSON has a raw line end. */
static int
indented(const char *p, size_t n, void *arg)
{
	struct span rest = { p, n };

	(void)arg;
	while (rest.n > 0) {
		size_t line = span_find(rest, '\n');
		bool ends = line < rest.n;

		(void)fwrite_unlocked(rest.p, 1, line, stdout);
		if (ends)
			(void)fwrite_unlocked("\n  ", 1, 3, stdout);
		rest = span_skip(rest, ends ? line + 1 : line);
	}
	return ferror(stdout) ? -1 : 0;
}

void
cli_list_json(struct cli_list *l, json_t *element)
{
	(void)fputs(l->n++ == 0 ? "[\n  " : ",\n  ", stdout);
	(void)json_dump_callback(element, indented, NULL,
			JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
	json_decref(element);
}

void
cli_list_row(struct cli_list *l, const char *const *cells, bool first)
{
	l->n += first;
	cli_table_row(&l->table, cells);
	if (l->table.rows >= ROWS_AT_ONCE)
		cli_table_print(&l->table);
}

bool
cli_list_goes_on(struct cli_list *l)
{
	(void)l;
	return ferror(stdout) == 0;
}

int
cli_list_end(struct cli_list *l, const char *empty)
{
	if (l->json)
		(void)puts(l->n == 0 ? "[]" : "\n]");
	else if (l->n > 0)
		cli_table_print(&l->table);
	else
		(void)puts(empty);
	arena_done(&l->table.arena);
	return ferror(stdout) ? CLI_FAILED : CLI_DONE;
}

void
cli_list_drop(struct cli_list *l)
{
	arena_done(&l->table.arena);
}
