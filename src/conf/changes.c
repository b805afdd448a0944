/* changes: how many settings differ between two configurations, for event 1002. Each key whose
 * value is a text or a list is one setting, kept as it stood in the file. */
#include "changes.h"

#include <stdlib.h>

#include "postern/buf.h"
#include "postern/must.h"

struct keeping {
	struct arena *arena;
	struct buf path, value;
	size_t room;
	struct conf_leaves *out;
};

static void
print_value(struct buf *out, const struct node *n)
{
	bool fits = true;

	if (!n)
		return;
	if (n->kind == NODE_SCALAR)
		fits = buf_add(out, n->text) && buf_addc(out, '\0');
	for (const struct node *at = n->first; at; at = at->next) {
		print_value(out, at);
		if (n->kind == NODE_MAP)
			print_value(out, at->value);
	}
	MUST(fits);
}

static void
keep_leaf(struct keeping *k, const struct node *value)
{
	if (k->out->n == k->room) {
		size_t room = k->room > 0 ? k->room * 2 : 64;
		struct conf_leaf *more = reallocarray(k->out->p, room, sizeof(*more));

		if (!more)
			abort();
		k->out->p = more;
		k->room = room;
	}
	buf_clear(&k->value);
	print_value(&k->value, value);
	struct conf_leaf *leaf = &k->out->p[k->out->n++];
	leaf->path = arena_dup(k->arena, buf_span(&k->path));
	leaf->value = arena_dup(k->arena, buf_span(&k->value));
	MUST(leaf->path.p && leaf->value.p);
}

/* As deep as the tree may be. */
static void
keep_map(struct keeping *k, const struct node *map) /* NOLINT(misc-no-recursion) */
{
	for (const struct node *key = map->first; key; key = key->next) {
		size_t was = k->path.n;
		bool fits = buf_add(&k->path, key->text) && buf_addc(&k->path, '\n');

		MUST(fits);
		if (key->value && key->value->kind == NODE_MAP)
			keep_map(k, key->value);
		else
			keep_leaf(k, key->value);
		k->path.n = was;
	}
}

static int
by_path(const void *a, const void *b)
{
	const struct conf_leaf *x = a, *y = b;

	return span_cmp(x->path, y->path);
}

struct conf_leaves *
leaves_keep(struct arena *arena, const struct node *root)
{
	struct keeping k = { .arena = arena,
		.path = BUF_MAX(16 * CONF_TEXT_MAX),
		.value = BUF_MAX(16 * CONF_TEXT_MAX),
		.out = calloc(1, sizeof(*k.out)) };

	if (!k.out)
		abort();

	if (root && root->kind == NODE_MAP)
		keep_map(&k, root);
	if (k.out->n > 0)
		qsort(k.out->p, k.out->n, sizeof(*k.out->p), by_path);
	buf_done(&k.path);
	buf_done(&k.value);
	return k.out;
}

void
leaves_free(struct conf_leaves *l)
{
	if (l)
		free(l->p);
	free(l);
}

size_t
conf_changes(const struct conf *was, const struct conf *now)
{
	const struct conf_leaves *a = was->leaves, *b = now->leaves;
	size_t i = 0, j = 0, n = 0;

	while (i < a->n || j < b->n) {
		int order = i == a->n	    ? 1
				: j == b->n ? -1
					    : span_cmp(a->p[i].path, b->p[j].path);

		if (order == 0)
			n += !span_eq(a->p[i].value, b->p[j].value);
		else
			n++;
		i += order <= 0;
		j += order >= 0;
	}
	return n;
}
