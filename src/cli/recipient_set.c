/* recipient add, set: one recipient. What is not named stays as it is. */
#include <stdlib.h>
#include <string.h>

#include "postern/recipientstore.h"
#include "recipients.h"

/* What was said of it; NULL, or no elements: not named. An empty text clears. */
struct said {
	const char *given, *surname, *display, *primary;
	struct directory_texts groups, members;
};

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

static const struct directory_row *
row_named(const struct directory_row *rows, size_t n, struct span alias)
{
	for (size_t i = 0; i < n; i++)
		if (span_eq_nocase(rows[i].alias, alias))
			return &rows[i];
	return NULL;
}

static struct span
text_of(const char *said, struct span old)
{
	return said ? span_of(said) : old;
}

static struct directory_texts
list_of(const struct directory_texts *said, struct directory_texts old)
{
	if (said->n == 0)
		return old;
	return said->n == 1 && said->v[0].n == 0 ? (struct directory_texts){ NULL, 0 }
						 : *said;
}

/* The row as it is to be; old: NULL when there is none of that alias. */
static struct directory_row
merged(const struct said *said, const struct directory_row *old, struct span alias)
{
	static const struct directory_row none;
	const struct directory_row *was = old ? old : &none;

	return (struct directory_row){
		.alias = old ? old->alias : alias,
		.given = text_of(said->given, was->given),
		.surname = text_of(said->surname, was->surname),
		.display = text_of(said->display, was->display),
		.primary = text_of(said->primary, was->primary),
		.groups = list_of(&said->groups, was->groups),
		.members = list_of(&said->members, was->members),
	};
}

static int
print(struct cli *c, struct span alias, const struct recipientstore_change *change)
{
	struct directory *d = recipients_known(c);
	const struct directory_entry *e = d ? directory_alias(d, alias) : NULL;
	int status = e ? CLI_DONE : CLI_FAILED;

	if (e && c->json) {
		json_t *j = recipient_json(e);
		(void)json_object_set_new(j, "added", json_boolean(change->added > 0));
		(void)json_object_set_new(
				j, "changed", json_boolean(change->changed > 0));
		status = cli_print_json(j);
	} else if (e) {
		(void)puts(change->added			  ? "Added:"
						: change->changed ? "Changed:"
								  : "As it was:");
		recipient_print(d, e);
	}
	directory_free(d);
	return status;
}

static int
put(struct cli *c, struct store *s, const struct said *said, bool must_be)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(512 * 1024 * 1024);
	struct span alias = span_of(c->argv[0]);
	struct recipientstore_change change = { 0 };
	struct directory_row *rows = NULL;
	struct err err = { 0 };
	size_t n = 0;

	if (!recipientstore_load(store_reader(s), &a, &rows, &n, &err))
		return cli_fail(CLI_FAILED, "%s", err.text);
	const struct directory_row *old = row_named(rows, n, alias);
	if (!old && must_be)
		return cli_fail(CLI_FAILED,
				"there is no recipient %s; postern recipient add makes one",
				c->argv[0]);
	struct directory_row row = merged(said, old, alias);
	if (!check_row(&row))
		return CLI_USAGE;
	if (row.primary.n > 0)
		row.primary = directory_wire(&a, row.primary);
	if (!recipientstore_put(s, &row, 1, &change, &err))
		return cli_fail(CLI_FAILED, "%s", err.text);
	if (change.added + change.changed > 0)
		cli_changed(c, must_be ? "recipient set" : "recipient add", c->argv[0]);
	return print(c, row.alias, &change);
}

static int
add_or_set(struct cli *c, bool must_be)
{
	struct said said = { 0 };
	const struct cli_option options[] = { { "--given", &said.given, NULL },
		{ "--surname", &said.surname, NULL },
		{ "--display", &said.display, NULL },
		{ "--primary", &said.primary, NULL }, { 0 } };
	int status = CLI_USAGE;

	bool good = take_all(c, "--group", &said.groups);
	good = take_all(c, "--member", &said.members) && good;
	if (good && cli_options(c, options, 1, 1)) {
		struct directory_row row = merged(&said, NULL, span_of(c->argv[0]));

		if (check_row(&row))
			status = cli_state(c) ? CLI_DONE : CLI_CONFIG;
	}
	if (status == CLI_DONE) {
		struct store *s = cli_store_open(c);

		status = s ? put(c, s, &said, must_be) : CLI_FAILED;
		store_close(s);
	}
	/* The spans themselves were made by take_all. */
	free((void *)(uintptr_t)said.groups.v);
	free((void *)(uintptr_t)said.members.v);
	return status;
}

int
cli_recipient_add(struct cli *c)
{
	return add_or_set(c, false);
}

int
cli_recipient_set(struct cli *c)
{
	return add_or_set(c, true);
}
