/* policy apply --dry-run: what would change. Changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "directory.h"
#include "postern/map.h"

enum { ROWS_MAX = 256 * 1024 * 1024 };

/* What is told, as JSON; the text is printed from that. */
struct dry {
	struct arena a;
	struct policystore_policy *before, *files;
	size_t n_before, n_files;
	struct directory *was, *would;
	json_t *policies, *domains, *recipients, *collisions;
};

static const struct policystore_policy *
policy_named(const struct policystore_policy *v, size_t n, struct span name)
{
	for (size_t i = 0; i < n; i++) {
		if (span_eq(v[i].name, name))
			return &v[i];
	}
	return NULL;
}

static void
compare_policies(struct dry *d)
{
	for (size_t i = 0; i < d->n_files; i++) {
		const struct policystore_policy *old =
				policy_named(d->before, d->n_before, d->files[i].name);
		const char *what = !old				      ? "added"
				: policystore_same(old, &d->files[i]) ? "unchanged"
								      : "changed";

		(void)json_array_append_new(d->policies,
				json_pack("{s:o,s:s}", "name",
						cli_json_span(d->files[i].name),
						"change", what));
	}
	/* No file names it: it stays as it is. */
	for (size_t i = 0; i < d->n_before; i++) {
		if (!policy_named(d->files, d->n_files, d->before[i].name))
			(void)json_array_append_new(d->policies,
					json_pack("{s:o,s:s}", "name",
							cli_json_span(d->before[i].name),
							"change", "left"));
	}
}

/* Domains of one that the other lacks. */
static void
compare_domains(struct dry *d, const struct directory *one,
		const struct directory *other, const char *what)
{
	const struct policy_set *set = directory_policies(one);
	struct map there;

	map_init(&there, 0, 0);
	for (size_t k = 0; k < 2; k++) {
		const struct policy_set *from =
				k == 0 ? directory_policies(other) : set;

		for (size_t i = 0; i < policy_size(from); i++) {
			const struct policy_domain *row = policy_at(from, i);
			AUTO(buf_done) struct buf name = BUF_MAX(1024);

			(void)!buf_addf(&name, "%s" SPAN_FMT,
					row->subdomains ? "*." : "",
					SPAN_ARG(row->domain));
			struct span key = arena_dup(&d->a, buf_span(&name));
			if (key.p && k == 0)
				(void)map_put(&there, key, d);
			else if (key.p && !map_get(&there, key))
				(void)json_array_append_new(d->domains,
						json_pack("{s:o,s:s}", "domain",
								cli_json_span(key),
								"change", what));
		}
	}
	map_done(&there);
}

static json_t *
addresses_json(const struct directory_entry *e, size_t from)
{
	json_t *list = json_array();

	for (size_t i = from; i < e->n_addresses; i++)
		(void)json_array_append_new(list, cli_json_span(e->addresses[i]));
	return list;
}

static bool
same_addresses(const struct directory_entry *a, const struct directory_entry *b)
{
	if (a->n_addresses != b->n_addresses)
		return false;
	for (size_t i = 0; i < a->n_addresses; i++) {
		if (!span_eq(a->addresses[i], b->addresses[i]))
			return false;
	}
	return true;
}

/* Both hold the same recipients, unless somebody has changed them meanwhile. */
static void
compare_recipients(struct dry *d)
{
	for (size_t i = 0; i < directory_size(d->would); i++) {
		const struct directory_entry *now = directory_at(d->would, i);
		const struct directory_entry *was = directory_alias(d->was, now->alias);

		if (!was || same_addresses(was, now))
			continue;
		(void)json_array_append_new(d->recipients,
				json_pack("{s:o,s:{s:o,s:o},s:{s:o,s:o}}", "alias",
						cli_json_span(now->alias), "old",
						"primary", cli_json_span(was->primary),
						"proxies", addresses_json(was, 1),
						"new", "primary",
						cli_json_span(now->primary), "proxies",
						addresses_json(now, 1)));
	}
	for (size_t i = 0; i < directory_collisions(d->would); i++) {
		const struct directory_collision *x =
				directory_collision_at(d->would, i);

		(void)json_array_append_new(d->collisions,
				json_pack("{s:o,s:o,s:o,s:o}", "alias",
						cli_json_span(x->entry->alias),
						"wanted", cli_json_span(x->wanted),
						"holder",
						cli_json_span(x->holder->alias), "got",
						x->got.n > 0 ? cli_json_span(x->got)
							     : json_null()));
	}
}

/* ---- printing ---- */

static void
print_value(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	cli_print_span(stdout, span_of(text && text[0] ? text : "-"), 0);
}

static void
print_addresses(const json_t *j)
{
	const json_t *proxy;
	size_t i;

	print_value(j, "primary");
	json_array_foreach(json_object_get(j, "proxies"), i, proxy)
	{
		(void)fputs(", ", stdout);
		cli_print_span(stdout, span_of(json_string_value(proxy)), 0);
	}
}

static void
print_changes(const json_t *list, const char *kind, const char *key)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		(void)printf("%s ", kind);
		print_value(one, key);
		(void)fputs(": ", stdout);
		print_value(one, "change");
		(void)putchar('\n');
	}
}

static void
print_text(const struct dry *d)
{
	const json_t *one;
	size_t i;

	print_changes(d->policies, "policy", "name");
	print_changes(d->domains, "domain", "domain");
	json_array_foreach(d->recipients, i, one)
	{
		(void)fputs("recipient ", stdout);
		print_value(one, "alias");
		(void)fputs(": ", stdout);
		print_addresses(json_object_get(one, "old"));
		(void)fputs(" -> ", stdout);
		print_addresses(json_object_get(one, "new"));
		(void)putchar('\n');
	}
	json_array_foreach(d->collisions, i, one)
	{
		(void)fputs("collision: ", stdout);
		print_value(one, "wanted");
		(void)fputs(" is ", stdout);
		print_value(one, "holder");
		(void)fputs("'s, ", stdout);
		print_value(one, "alias");
		(void)fputs(" would have ", stdout);
		print_value(one, "got");
		(void)putchar('\n');
	}
	(void)puts("Nothing was changed.");
}

static bool
load(struct cli *c, struct dry *d, const struct policy_files *f, struct err *err)
{
	struct policy_files none = { 0 };
	uint64_t version;
	bool nothing;
	struct reader *r = cli_reader_open(c, &nothing);
	bool good = r || nothing || err_set(err, 0, "the state cannot be read");

	good = good && policy_files_rows(f, &d->a, &d->files, err) &&
			(!r ||
					policystore_load(r, &d->a, &d->before,
							&d->n_before, &version, err));
	d->n_files = f->n;
	if (good) {
		d->was = directory_would(r, &none, err);
		d->would = d->was ? directory_would(r, f, err) : NULL;
	}
	reader_close(r);
	return d->would != NULL;
}

int
policy_dry_run(struct cli *c, const struct policy_files *f)
{
	struct dry d = { .a = ARENA_MAX(ROWS_MAX) };
	struct err err = { 0 };
	int status = CLI_DONE;

	d.policies = json_array();
	d.domains = json_array();
	d.recipients = json_array();
	d.collisions = json_array();
	if (!load(c, &d, f, &err)) {
		status = cli_fail(CLI_FAILED, "%s", err.text);
	} else {
		compare_policies(&d);
		compare_domains(&d, d.would, d.was, "added");
		compare_domains(&d, d.was, d.would, "removed");
		compare_recipients(&d);
		if (c->json)
			status = cli_print_json(json_pack("{s:O,s:O,s:O,s:O}",
					"policies", d.policies, "domains", d.domains,
					"recipients", d.recipients, "collisions",
					d.collisions));
		else
			print_text(&d);
	}
	json_decref(d.policies);
	json_decref(d.domains);
	json_decref(d.recipients);
	json_decref(d.collisions);
	directory_free(d.was);
	directory_free(d.would);
	arena_done(&d.a);
	return status;
}
