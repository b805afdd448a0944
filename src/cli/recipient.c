/* recipient list, show, add, remove, import */
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

	return json_pack("{s:o,s:s,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:o,s:o}", "alias",
			cli_json_span(e->alias), "type", e->list ? "list" : "person",
			"given", cli_json_span(e->given), "surname",
			cli_json_span(e->surname), "display", cli_json_span(e->display),
			"primary",
			e->primary.n > 0 ? cli_json_span(e->primary) : json_null(),
			"own_primary", e->own, "proxies",
			texts_json(e->addresses + 1, proxies), "policy",
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

static void
print_entry(const struct directory *d, const struct directory_entry *e)
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
		print_entry(d, e);
	directory_free(d);
	return status;
}

/* ---- add ---- */

/* Takes every `name VALUE` out of the arguments: an option that may come again. */
static bool
take_all(struct cli *c, const char *name, struct directory_texts *out)
{
	struct span *v = calloc((size_t)c->argc + 1, sizeof(*v));
	int kept = 0;
	bool over = false;

	if (!v)
		abort();
	*out = (struct directory_texts){ v, 0 };
	for (int i = 0; i < c->argc; i++) {
		over = over || strcmp(c->argv[i], "--") == 0;
		if (over || strcmp(c->argv[i], name) != 0) {
			c->argv[kept++] = c->argv[i];
			continue;
		}
		if (i + 1 == c->argc) {
			(void)cli_fail(0, "%s needs a value, see --help", name);
			return false;
		}
		v[out->n++] = span_of(c->argv[++i]);
	}
	c->argc = kept;
	return true;
}

static bool
check_texts(enum directory_column what, const struct span *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *fault = directory_fault(what, v[i]);
		if (fault) {
			(void)cli_fail(0, SPAN_FMT ": %s", SPAN_ARG(v[i]), fault);
			return false;
		}
	}
	return true;
}

static bool
check_row(const struct directory_row *row)
{
	if (row->groups.n > DIRECTORY_GROUPS_MAX) {
		(void)cli_fail(0, "more than %d groups", DIRECTORY_GROUPS_MAX);
		return false;
	}
	return check_texts(DIRECTORY_ALIAS, &row->alias, 1) &&
			check_texts(DIRECTORY_GIVEN, &row->given, 1) &&
			check_texts(DIRECTORY_SURNAME, &row->surname, 1) &&
			check_texts(DIRECTORY_DISPLAY, &row->display, 1) &&
			check_texts(DIRECTORY_PRIMARY, &row->primary, 1) &&
			check_texts(DIRECTORY_GROUP, row->groups.v, row->groups.n) &&
			check_texts(DIRECTORY_MEMBER, row->members.v, row->members.n);
}

static int
add(struct cli *c, const struct directory_row *row)
{
	struct recipientstore_change change = { 0 };
	struct err err = { 0 };
	struct store *s = cli_store_open(c);
	bool done = s && recipientstore_put(s, row, 1, &change, &err);

	store_close(s);
	if (!done)
		return s ? cli_fail(CLI_FAILED, "%s", err.text) : CLI_FAILED;
	if (change.added + change.changed > 0)
		cli_changed(c, "recipient add", c->argv[0]);

	struct directory *d = recipients_known(c);
	const struct directory_entry *e = d ? directory_alias(d, row->alias) : NULL;
	int status = e ? CLI_DONE : CLI_FAILED;
	if (e && c->json) {
		json_t *j = recipient_json(e);
		(void)json_object_set_new(j, "added", json_boolean(change.added > 0));
		(void)json_object_set_new(
				j, "changed", json_boolean(change.changed > 0));
		status = cli_print_json(j);
	} else if (e) {
		(void)puts(change.added				 ? "Added:"
						: change.changed ? "Changed:"
								 : "As it was:");
		print_entry(d, e);
	}
	directory_free(d);
	return status;
}

int
cli_recipient_add(struct cli *c)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(65536);
	const char *given = NULL, *surname = NULL, *display = NULL, *primary = NULL;
	const struct cli_option options[] = { { "--given", &given, NULL },
		{ "--surname", &surname, NULL }, { "--display", &display, NULL },
		{ "--primary", &primary, NULL }, { 0 } };
	struct directory_row row = { .alias = { "", 0 } };
	int status = CLI_USAGE;

	bool good = take_all(c, "--group", &row.groups);
	good = take_all(c, "--member", &row.members) && good;
	if (good && cli_options(c, options, 1, 1)) {
		row.alias = span_of(c->argv[0]);
		row.given = span_of(given);
		row.surname = span_of(surname);
		row.display = span_of(display);
		row.primary = span_of(primary);
		if (check_row(&row)) {
			if (row.primary.n > 0)
				row.primary = directory_wire(&a, row.primary);
			status = cli_state(c) ? add(c, &row) : CLI_CONFIG;
		}
	}
	/* The spans themselves were made by take_all. */
	free((void *)(uintptr_t)row.groups.v);
	free((void *)(uintptr_t)row.members.v);
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
import(struct cli *c, const struct directory_row *rows, size_t n)
{
	struct recipientstore_change change = { 0 };
	struct err err = { 0 };
	struct store *s = cli_store_open(c);
	bool done = s && recipientstore_put(s, rows, n, &change, &err);

	store_close(s);
	if (!done)
		return s ? cli_fail(CLI_FAILED, "nothing was imported: %s", err.text)
			 : CLI_FAILED;
	if (change.added + change.changed > 0)
		cli_changed(c, "recipient import", c->argv[0]);
	if (c->json)
		return cli_print_json(json_pack("{s:I,s:I,s:I}", "recipients",
				(json_int_t)n, "added", (json_int_t)change.added,
				"changed", (json_int_t)change.changed));
	(void)printf("%zu recipients: %llu added, %llu changed.\n", n,
			(unsigned long long)change.added,
			(unsigned long long)change.changed);
	return CLI_DONE;
}

int
cli_recipient_import(struct cli *c)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(READ_MAX);
	struct directory_row *rows = NULL;
	size_t n = 0;
	int status = CLI_FAILED;

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	if (!cli_state(c))
		return CLI_CONFIG;

	struct directory *known = recipients_known(c);
	if (!known)
		return CLI_FAILED;
	struct conf_faults *faults = malloc(sizeof(*faults));
	if (!faults)
		abort();
	conf_faults_init(faults);
	bool good = recipients_read(c->argv[0], known, &a, &rows, &n, faults);
	(void)cli_print_faults(faults, stderr);
	conf_faults_done(faults);
	free(faults);
	directory_free(known);
	if (good)
		status = import(c, rows, n);
	else
		(void)cli_fail(0, "nothing was imported");
	return status;
}
