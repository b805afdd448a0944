#include "cli.h"
#include "postern/conf_rows.h"

static int
print_whole(struct buf *text, bool whole)
{
	if (!whole)
		return cli_fail(CLI_FAILED, "the text does not fit");
	return fwrite(text->p, 1, text->n, stdout) == text->n ? CLI_DONE : CLI_FAILED;
}

int
cli_config_schema(struct cli *c)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1024 * 1024);

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	return print_whole(&text, conf_schema_print(&text));
}

int
cli_config_defaults(struct cli *c)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1024 * 1024);

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	return print_whole(&text,
			c->json ? conf_defaults_json(&text)
				: conf_defaults_print(&text));
}
