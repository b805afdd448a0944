/* explain: a dry run for one message. Changes nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "directory.h"
#include "postern/address.h"
#include "postern/file.h"
#include "postern/map.h"
#include "postern/nexthop.h"
#include "postern/routing.h"

/* The header of the file, or of standard input; the body is not needed. */
static bool
read_header(const char *path, struct buf *out, struct err *err)
{
	bool input = strcmp(path, "-") == 0;
	AUTO(fd_done)
	int fd = input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
		       : open(path, O_RDONLY | O_CLOEXEC);
	struct header_end end = { 0 };

	if (fd < 0)
		return err_errno(err, 0, errno, "cannot open %s", path);
	while (!end.found && out->n < HEADER_MAX) {
		char *room = buf_room(out, 65536);
		ssize_t n = room ? read(fd, room, 65536) : 0;
		if (n < 0)
			return err_errno(err, 0, errno, "cannot read %s", path);
		if (n == 0)
			break;
		buf_grown(out, header_end_feed(&end, (struct span){ room, (size_t)n }));
	}
	return true;
}

struct answers {
	const struct conf *conf;
	const struct directory *directory;
	struct nexthop_table *routes;
	struct map seen; /* final addresses */
	json_t *recipients, *refused;
};

static void
answer_one(struct answers *all, struct span address, struct arena *a)
{
	struct directory_said said;

	if (!directory_ask(all->directory, all->conf, address, a, &said))
		return;
	if (!said.accepted)
		(void)json_array_append_new(all->refused,
				json_pack("{s:o,s:o}", "address",
						cli_json_span(address), "reply",
						cli_json_span(said.reply)));
	for (size_t i = 0; i < said.n; i++) {
		const struct directory_target *t = &said.v[i];

		if (map_put(&all->seen, t->key, all))
			continue;
		json_t *one = json_pack("{s:o,s:s}", "address",
				cli_json_span(t->address), "route",
				directory_hop(all->directory, all->routes, t)->key);
		if (!span_eq_nocase(t->address, address))
			(void)json_object_set_new(one, "asked", cli_json_span(address));
		(void)json_array_append_new(all->recipients, one);
	}
}

static json_t *
candidates_json(const struct recipients *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_candidates; i++) {
		const struct recipients_candidate *x = &r->candidates[i];
		(void)json_array_append_new(list,
				json_pack("{s:o,s:o,s:b,s:s}", "address",
						cli_json_span(x->address), "header",
						cli_json_span(x->header), "kept",
						x->kept, "why", x->why ? x->why : ""));
	}
	return list;
}

static void
print_list(const json_t *list, const char *label, const char *what)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		(void)printf("%s ", label);
		cli_print_span(stdout,
				span_of(json_string_value(
						json_object_get(one, "address"))),
				0);
		(void)fputs(", ", stdout);
		cli_print_span(stdout,
				span_of(json_string_value(json_object_get(one, what))),
				0);
		(void)putchar('\n');
	}
}

static void
print_text(const struct recipients *r, const struct answers *all)
{
	static const char *const titles[] = { "header", "address", "kept", "why" };
	struct cli_table t;

	cli_table_init(&t, titles, 4);
	for (size_t i = 0; i < r->n_candidates; i++) {
		const struct recipients_candidate *x = &r->candidates[i];
		const char *const row[] = { cli_cell(&t, x->header),
			cli_cell(&t, x->address), x->kept ? "yes" : "no",
			x->why ? x->why : "" };
		cli_table_row(&t, row);
	}
	cli_table_print(&t);
	(void)fputs("\nsender <", stdout);
	cli_print_span(stdout, r->sender, 0);
	(void)printf(">\nsource " SPAN_FMT "\n", SPAN_ARG(r->source));
	if (r->outcome == RECIPIENTS_BADMAIL)
		(void)puts("nobody is found: the message would go to Badmail (no-recipients)");
	print_list(all->recipients, "to", "route");
	print_list(all->refused, "refused", "reply");
}

static int
explain(struct cli *c, const struct conf_account *account, struct span header,
		struct reader *reader)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	AUTO(arena_done) struct arena answers = ARENA_MAX(256 * 1024 * 1024);
	struct routing routing;
	struct recipients r = { 0 };
	struct err err = { 0 };
	int status = CLI_FAILED;
	struct directory *d = directory_now(c, reader, &err);
	struct answers all = { .conf = c->conf, .directory = d };

	if (!d || !routing_init(&routing, c->conf, account, d, &err)) {
		directory_free(d);
		return err.event == 4046
				? cli_fail(CLI_FAILED,
						  "there is no recipient %s; account %s is not collected",
						  err.text, account->name)
				: cli_fail(CLI_FAILED, "%s", err.text);
	}
	map_init(&all.seen, 0, 0);
	all.routes = nexthop_table_new(&c->conf->delivery.routes);
	all.recipients = json_array();
	all.refused = json_array();
	recipients_decide(&routing.account, header, &a, &r);
	for (size_t i = 0; i < r.n; i++)
		answer_one(&all, r.v[i], &answers);
	if (c->json) {
		status = cli_print_json(json_pack("{s:s,s:o,s:o,s:o,s:O,s:O}",
				"account", account->name, "sender",
				cli_json_span(r.sender), "source",
				cli_json_span(r.source), "candidates",
				candidates_json(&r), "recipients", all.recipients,
				"refused", all.refused));
	} else {
		print_text(&r, &all);
		status = CLI_DONE;
	}
	json_decref(all.recipients);
	json_decref(all.refused);
	nexthop_table_free(all.routes);
	map_done(&all.seen);
	routing_done(&routing);
	directory_free(d);
	return status;
}

int
cli_explain(struct cli *c)
{
	AUTO(buf_done) struct buf header = BUF_MAX(HEADER_MAX + 2 * 65536);
	const char *name = NULL;
	const struct cli_option options[] = { { "--account", &name, NULL }, { 0 } };
	struct err err = { 0 };
	bool nothing;

	if (!cli_options(c, options, 1, 1))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;
	if (!name && c->conf->accounts.n == 1)
		name = c->conf->accounts.p[0].name;
	if (!name)
		return cli_fail(CLI_USAGE,
				"--account NAME is needed: who gets a message depends on it");

	const struct conf_account *account = conf_account_find(c->conf, name);
	if (!account)
		return cli_fail(CLI_USAGE, "there is no account %s", name);
	if (!read_header(c->argv[0], &header, &err))
		return cli_fail(CLI_FAILED, "%s", err.text);

	struct reader *reader = cli_reader_open(c, &nothing);
	if (!reader && !nothing)
		return CLI_FAILED;
	int status = explain(c, account, buf_span(&header), reader);
	reader_close(reader);
	return status;
}
