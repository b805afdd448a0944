/* The directory as a whole: its rows, and whose an address is. */
#include "directory_in.h"

#include <stdlib.h>

#include "postern/must.h"

/* More than every ceiling of the rows together comes to. */
enum { MEMORY_GIB = 8 };

static struct directory_texts
keep_texts(struct directory *d, struct directory_texts texts)
{
	struct span *v = directory_take(d, (texts.n + 1) * sizeof(*v));

	for (size_t i = 0; i < texts.n; i++)
		v[i] = directory_keep(d, texts.v[i]);
	return (struct directory_texts){ v, texts.n };
}

/* ---- building ---- */

struct sorted {
	struct span key; /* the alias in lower case */
	const struct directory_row *row;
};

static int
by_key(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;
	int order = span_cmp(x->key, y->key);

	return order ? order : span_cmp(x->row->alias, y->row->alias);
}

static void
add_entry(struct directory *d, const struct sorted *from)
{
	struct entry *to = &d->v[d->n];
	const struct directory_row *row = from->row;

	if (from->key.n == 0 || map_get(&d->by_alias, from->key))
		return; /* an alias is there once: the store sees to it */
	to->e = (struct directory_entry){
		.alias = directory_keep(d, row->alias),
		.given = directory_keep(d, row->given),
		.surname = directory_keep(d, row->surname),
		.display = directory_keep(d, row->display),
		/* As it is written, until the addresses are given. */
		.primary = directory_keep(d, row->primary),
		.list = row->members.n > 0,
		.groups = keep_texts(d, row->groups),
		.members = keep_texts(d, row->members),
	};
	to->at = d->n++;
	d->n_lists += to->e.list;
	(void)map_put(&d->by_alias, from->key, to);
}

struct directory *
directory_new(const struct directory_rows *rows)
{
	struct directory *d = calloc(1, sizeof(*d));
	struct sorted *sorted = calloc(rows->n_recipients + 1, sizeof(*sorted));

	if (!d || !sorted)
		abort();
	d->arena = ARENA_MAX((size_t)MEMORY_GIB << 30);
	d->domains = policy_new(rows->domains, rows->n_domains);
	d->v = directory_take(d, (rows->n_recipients + 1) * sizeof(*d->v));
	/* Keys come from the administrator and are fixed here: no seed needed. */
	map_init(&d->by_alias, 0, 0);
	map_init(&d->by_address, 0, 0);
	for (size_t i = 0; i < rows->n_recipients; i++) {
		const struct directory_row *row = &rows->recipients[i];
		sorted[i] = (struct sorted){ directory_keep_lower(d, row->alias), row };
	}
	qsort(sorted, rows->n_recipients, sizeof(*sorted), by_key);
	for (size_t i = 0; i < rows->n_recipients; i++)
		add_entry(d, &sorted[i]);
	free(sorted);
	directory_give(d, rows);
	directory_link(d);
	return d;
}

void
directory_free(struct directory *d)
{
	if (!d)
		return;
	map_done(&d->by_alias);
	map_done(&d->by_address);
	policy_free(d->domains);
	free(d->collisions);
	arena_done(&d->arena);
	free(d);
}

/* ---- asking ---- */

const struct policy_set *
directory_policies(const struct directory *d)
{
	return d->domains;
}

size_t
directory_size(const struct directory *d)
{
	return d->n;
}

const struct directory_entry *
directory_at(const struct directory *d, size_t i)
{
	MUST(i < d->n);
	return &d->v[i].e;
}

size_t
directory_collisions(const struct directory *d)
{
	return d->n_collisions;
}

const struct directory_collision *
directory_collision_at(const struct directory *d, size_t i)
{
	MUST(i < d->n_collisions);
	return &d->collisions[i];
}
