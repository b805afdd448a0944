#include <stdlib.h>

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
static void
print_further_in(const char *text)
{
	struct span rest = span_of(text);

	while (rest.n > 0) {
		cli_put_json(stdout, span_until(&rest, '\n'));
		if (rest.n > 0)
			(void)fputs("\n  ", stdout);
	}
}

void
cli_list_json(struct cli_list *l, json_t *element)
{
	char *text = json_dumps(element, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

	if (!text)
		abort();
	(void)fputs(l->n++ == 0 ? "[\n  " : ",\n  ", stdout);
	print_further_in(text);
	free(text);
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
