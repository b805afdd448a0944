/* Whose mail goes elsewhere when these recipients are there: an address that leads to another
 * one than before. The next hop has to know the new one. */
#include <stdlib.h>
#include <string.h>

#include "postern/map.h"
#include "postern/recipientstore.h"
#include "recipients.h"

enum { SHOWN = 50 };

/* Does it stand in the directory as the row says? */
static bool
same_texts(const struct directory_texts *a, const struct directory_texts *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!span_eq(a->v[i], b->v[i]))
			return false;
	return true;
}

static bool
same_row(const struct directory_row *a, const struct directory_row *b)
{
	return span_eq(a->given, b->given) && span_eq(a->surname, b->surname) &&
			span_eq(a->display, b->display) &&
			span_eq(a->primary, b->primary) &&
			same_texts(&a->groups, &b->groups) &&
			same_texts(&a->members, &b->members);
}

/* The rows as they would be, and how many of them are new or different. */
static bool
overlay(struct directory_rows *all, const struct directory_row *rows, size_t n,
		struct arena *a, struct recipientstore_change *change)
{
	struct directory_row *v =
			arena_alloc(a, (all->n_recipients + n + 1) * sizeof(*v));
	size_t m = all->n_recipients;
	struct map by_alias;

	if (!v)
		return false;
	map_init(&by_alias, 0, 0);
	for (size_t i = 0; i < m; i++) {
		v[i] = all->recipients[i];
		(void)map_put(&by_alias, directory_fold(a, v[i].alias), &v[i]);
	}
	for (size_t i = 0; i < n; i++) {
		struct directory_row *old =
				map_get(&by_alias, directory_fold(a, rows[i].alias));

		change->added += !old;
		change->changed += old && !same_row(old, &rows[i]);
		*(old ? old : &v[m++]) = rows[i];
	}
	map_done(&by_alias);
	all->recipients = v;
	all->n_recipients = m;
	return true;
}

static json_t *
targets_json(const struct directory_said *said)
{
	json_t *list = json_array();

	for (size_t i = 0; i < said->rcpt.n; i++)
		(void)json_array_append_new(
				list, cli_json_span(said->rcpt.v[i].address));
	return list;
}

static void
compare(const struct rcpt_rules *was, const struct rcpt_rules *would,
		struct span address, json_t *moves)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct directory_said before, now;

	if (!directory_ask(was, address, &a, &before) ||
			!directory_ask(would, address, &a, &now))
		return;
	json_t *from = targets_json(&before), *to = targets_json(&now);
	if (!json_equal(from, to))
		(void)json_array_append_new(moves,
				json_pack("{s:o,s:O,s:O}", "address",
						cli_json_span(address), "was", from,
						"now", to));
	json_decref(from);
	json_decref(to);
}

json_t *
recipients_moves(struct cli *c, const struct directory_row *rows, size_t n,
		struct arena *a, struct recipientstore_change *change, struct err *err)
{
	struct directory_rows all = { 0 };
	struct directory *was, *would;
	uint64_t version;
	bool nothing;
	struct reader *r = cli_reader_open(c, &nothing);
	struct policy_files files = { 0 };

	*change = (struct recipientstore_change){ 0 };
	if (!r && !nothing) {
		(void)err_set(err, 0, "the state cannot be read");
		return NULL;
	}
	bool good = !r || recipientstore_rows(r, a, &all, &version, err);
	reader_close(r);
	if (!good)
		return NULL;
	if (nothing)
		files = policy_files_quietly(c);
	directory_overlay(&files, a, &all);
	was = directory_new(&all);
	if (!overlay(&all, rows, n, a, change)) {
		directory_free(was);
		policy_files_done(&files);
		(void)err_set(err, 0, "the recipients are too many");
		return NULL;
	}
	would = directory_new(&all);
	struct nexthop_table *routes = nexthop_table_new(&c->conf->delivery.routes);
	struct span postmaster = span_of(c->conf->server.postmaster);
	const struct rcpt_rules old_rules = { was, routes, postmaster },
				new_rules = { would, routes, postmaster };
	json_t *moves = json_array();
	for (size_t i = 0; i < n; i++) {
		const struct directory_entry *e = directory_alias(would, rows[i].alias);

		for (size_t k = 0; e && k < e->n_addresses; k++)
			compare(&old_rules, &new_rules, e->addresses[k], moves);
	}
	nexthop_table_free(routes);
	directory_free(was);
	directory_free(would);
	policy_files_done(&files);
	return moves;
}

static void
print_targets(const json_t *list)
{
	const json_t *one;
	size_t i;

	if (json_array_size(list) == 0)
		(void)fputs("nobody", stdout);
	json_array_foreach(list, i, one)
	{
		(void)fputs(i > 0 ? ", " : "", stdout);
		cli_print_span(stdout, span_of(json_string_value(one)), 0);
	}
}

void
recipients_print_moves(const json_t *moves)
{
	const json_t *one;
	size_t i;

	json_array_foreach(moves, i, one)
	{
		if (i == SHOWN) {
			(void)printf("and %zu more\n", json_array_size(moves) - i);
			return;
		}
		(void)fputs("mail for ", stdout);
		cli_print_span(stdout,
				span_of(json_string_value(
						json_object_get(one, "address"))),
				0);
		(void)fputs(" is delivered as ", stdout);
		print_targets(json_object_get(one, "now"));
		(void)fputs(", before as ", stdout);
		print_targets(json_object_get(one, "was"));
		(void)putchar('\n');
	}
}
