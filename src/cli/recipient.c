/* recipient list, show, remove, import */
#include <stdlib.h>
#include <string.h>

#include "postern/recipientstore.h"
#include "recipients.h"

enum { READ_MAX = 512 * 1024 * 1024 };

struct directory *
recipients_known(struct cli *c)
{
	struct err err = { 0 };
	bool nothing;
	struct reader *r = cli_reader_open(c, &nothing);

	if (!r && !nothing)
		return NULL;
	struct directory *d = directory_now(c, r, &err);
	reader_close(r);
	if (!d)
		(void)cli_fail(0, "%s", err.text);
	return d;
}

static json_t *
texts_json(const struct span *v, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, cli_json_span(v[i]));
	return list;
}

json_t *
recipient_json(const struct directory_entry *e)
{
	size_t proxies = e->n_addresses > 0 ? e->n_addresses - 1 : 0;

	return json_pack("{s:o,s:s,s:o,s:o,s:o,s:o,s:b,s:b,s:o,s:o,s:o,s:o}", "alias",
			cli_json_span(e->alias), "type", e->list ? "list" : "person",
			"given", cli_json_span(e->given), "surname",
			cli_json_span(e->surname), "display", cli_json_span(e->display),
			"primary",
			e->primary.n > 0 ? cli_json_span(e->primary) : json_null(),
			"own_primary", e->own, "letters_left_out", e->left_out,
			"proxies", texts_json(e->addresses + 1, proxies), "policy",
			e->policy.n > 0 ? cli_json_span(e->policy) : json_null(),
			"groups", texts_json(e->groups.v, e->groups.n), "members",
			texts_json(e->members.v, e->members.n));
}

/* ---- list ---- */

int
cli_recipient_list(struct cli *c)
{
	static const char *const titles[] = { "alias", "type", "name", "primary",
		"policy" };
	struct cli_list l;

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct directory *d = recipients_known(c);
	if (!d)
		return CLI_FAILED;
	cli_list_init(&l, c->json, titles, 5);
	struct cli_table *t = &l.table;
	for (size_t i = 0; i < directory_size(d) && cli_list_goes_on(&l); i++) {
		const struct directory_entry *e = directory_at(d, i);
		struct span name = e->display;

		if (c->json) {
			cli_list_json(&l, recipient_json(e));
			continue;
		}
		if (name.n == 0)
			name = e->surname.n > 0 ? e->surname : e->given;
		const char *const row[] = { cli_cell(t, e->alias),
			e->list ? "list" : "person", cli_cell(t, name),
			e->primary.n > 0 ? cli_cell(t, e->primary) : "-",
			e->policy.n > 0 ? cli_cell(t, e->policy) : "-" };
		cli_list_row(&l, row, true);
	}
	directory_free(d);
	return cli_list_end(&l,
			"No recipients: postern recipient add ALIAS, or import FILE.csv.");
}

/* ---- show ---- */

static void
print_line(const char *label, struct span s, const char *more)
{
	if (s.n == 0)
		return;
	(void)printf("  %s ", label);
	cli_print_span(stdout, s, 0);
	(void)printf("%s\n", more);
}

void
recipient_print(const struct directory *d, const struct directory_entry *e)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct directory_resolved r;

	(void)printf("%s " SPAN_FMT "\n", e->list ? "list" : "person",
			SPAN_ARG(e->alias));
	print_line("given", e->given, "");
	print_line("surname", e->surname, "");
	print_line("display", e->display, "");
	print_line("primary", e->primary, e->own ? " (its own)" : "");
	for (size_t i = 1; i < e->n_addresses; i++)
		print_line("proxy", e->addresses[i], "");
	if (e->left_out)
		(void)puts("  letters without a spelling in ASCII were left out of its addresses; "
			   "--primary gives it one of its own");
	if (e->primary.n == 0)
		(void)puts("  no address: no policy gives one, postern policy show NAME");
	print_line("policy", e->policy, "");
	for (size_t i = 0; i < e->groups.n; i++)
		print_line("group", e->groups.v[i], "");
	for (size_t i = 0; i < e->members.n; i++)
		print_line("member", e->members.v[i], "");
	if (!e->list || !directory_resolve(d, e, NULL, &a, &r))
		return;
	if (r.too_many)
		(void)printf("  leads to more than %d addresses: mail for it is refused\n",
				DIRECTORY_MEMBERS_MAX);
	else
		(void)printf("  leads to %zu addresses\n", r.n);
	if (r.unknown > 0)
		(void)printf("  %zu members are no recipients, or have no address\n",
				r.unknown);
	if (r.too_deep)
		(void)printf("  lists below a depth of %d are left out\n",
				DIRECTORY_DEPTH_MAX);
}

/* By alias, or by any of its addresses. */
static const struct directory_entry *
entry_named(const struct directory *d, const char *name)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct directory_resolved r;

	if (!strchr(name, '@'))
		return directory_alias(d, span_of(name));
	(void)directory_resolve_address(d, span_of(name), &a, &r);
	return r.entry;
}

int
cli_recipient_show(struct cli *c)
{
	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct directory *d = recipients_known(c);
	if (!d)
		return CLI_FAILED;
	const struct directory_entry *e = entry_named(d, c->argv[0]);
	int status = CLI_DONE;

	if (!e)
		status = cli_fail(CLI_FAILED, "there is no recipient %s", c->argv[0]);
	else if (c->json)
		status = cli_print_json(recipient_json(e));
	else
		recipient_print(d, e);
	directory_free(d);
	return status;
}

/* ---- remove ---- */

int
cli_recipient_remove(struct cli *c)
{
	struct err err = { 0 };
	bool was = false;

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	if (!cli_state(c))
		return CLI_CONFIG;

	struct store *s = cli_store_open(c);
	bool done = s && recipientstore_remove(s, span_of(c->argv[0]), &was, &err);
	store_close(s);
	if (!done)
		return s ? cli_fail(CLI_FAILED, "%s", err.text) : CLI_FAILED;
	if (!was)
		return cli_fail(CLI_FAILED, "there is no recipient %s", c->argv[0]);
	cli_changed(c, "recipient remove", c->argv[0]);
	if (c->json)
		return cli_print_json(json_pack(
				"{s:s,s:b}", "alias", c->argv[0], "removed", 1));
	(void)printf("%s is no recipient any more.\n", c->argv[0]);
	return CLI_DONE;
}

/* ---- import ---- */

static int
say_imported(struct cli *c, size_t n, const struct recipientstore_change *change,
		bool dry, json_t *moves)
{
	if (c->json)
		return cli_print_json(json_pack("{s:I,s:I,s:I,s:b,s:o}", "recipients",
				(json_int_t)n, "added", (json_int_t)change->added,
				"changed", (json_int_t)change->changed, "dry_run", dry,
				"elsewhere", moves));
	(void)printf("%zu recipients: %llu %s, %llu %s.\n", n,
			(unsigned long long)change->added, dry ? "new" : "added",
			(unsigned long long)change->changed,
			dry ? "different" : "changed");
	recipients_print_moves(moves);
	json_decref(moves);
	if (dry)
		(void)puts("Nothing was changed.");
	return CLI_DONE;
}

/* What the file would change, told by the rows that are there. */
static int
import_dry(struct cli *c, const struct directory_row *rows, size_t n)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(READ_MAX);
	struct recipientstore_change change = { 0 };
	struct err err = { 0 };
	json_t *moves = recipients_moves(c, rows, n, &a, &change, &err);

	return moves ? say_imported(c, n, &change, true, moves)
		     : cli_fail(CLI_FAILED, "%s", err.text);
}

static int
import(struct cli *c, const struct directory_row *rows, size_t n)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(READ_MAX);
	struct recipientstore_change change = { 0 }, would;
	struct err err = { 0 };
	json_t *moves = recipients_moves(c, rows, n, &a, &would, &err);
	struct store *s = moves ? cli_store_open(c) : NULL;
	bool done = s && recipientstore_put(s, rows, n, &change, &err);

	store_close(s);
	if (!done) {
		json_decref(moves);
		return s || !moves ? cli_fail(CLI_FAILED, "nothing was imported: %s",
						     err.text)
				   : CLI_FAILED;
	}
	if (change.added + change.changed > 0)
		cli_changed(c, "recipient import", c->argv[0]);
	return say_imported(c, n, &change, false, moves);
}

int
cli_recipient_import(struct cli *c)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(READ_MAX);
	struct directory_row *rows = NULL;
	bool dry = false;
	const struct cli_option options[] = { { "--dry-run", NULL, &dry }, { 0 } };
	size_t n = 0;
	int status = CLI_FAILED;

	if (!cli_options(c, options, 1, 1))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct directory *known = recipients_known(c);
	if (!known)
		return CLI_FAILED;
	struct conf_faults *faults = malloc(sizeof(*faults));
	if (!faults)
		abort();
	conf_faults_init(faults);
	/* Before the user changes: the file may be root's. */
	bool good = recipients_read(c->argv[0], known, &a, &rows, &n, faults);
	(void)cli_print_faults(faults, stderr);
	conf_faults_done(faults);
	free(faults);
	directory_free(known);
	if (!good)
		(void)cli_fail(0, "nothing was imported");
	else if (dry)
		status = import_dry(c, rows, n);
	else
		status = cli_state(c) ? import(c, rows, n) : CLI_CONFIG;
	return status;
}
