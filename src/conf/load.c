#include <stdlib.h>
#include <string.h>

#include "changes.h"
#include "postern/conf_load.h"
#include "postern/map.h"
#include "postern/must.h"
#include "rows.h"

/* Far beyond what CONF_TEXT_MAX, TREE_NODES_MAX and the rows' bounds allow. */
enum { ARENA_LIMIT = 1 << 30 };

/* The structs are handed out by their first member and freed with all they hold. */
struct conf_box {
	struct conf conf;
	struct arena arena;
};

struct policy_box {
	struct policy_doc doc;
	struct arena arena;
};

static bool
before(struct conf_mark a, struct conf_mark b)
{
	return a.line != b.line ? a.line < b.line : a.column < b.column;
}

/* As the reader of the file meets them. Few (CONF_FAULTS_MAX), nearly sorted. */
static void
sort_faults(struct conf_fault *f, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct conf_fault one = f[i];
		size_t at = i;
		for (; at > 0 && before(one.mark, f[at - 1].mark); at--)
			f[at] = f[at - 1];
		f[at] = one;
	}
}

/* Fills place from src by section's rows; true without an error. leaves may be NULL. */
static bool
load(const struct conf_source *src, const struct section *section, struct arena *arena,
		struct conf_faults *faults, void *place, struct conf_leaves **leaves)
{
	struct arena nodes = ARENA_MAX(ARENA_LIMIT);
	size_t first = faults->n, errors = faults->errors;
	struct span path = span_of(src->path);
	size_t slash = span_rfind(path, '/');
	AUTO(buf_done) struct buf dir = BUF_MAX(65536);
	bool absolute = path.n > 0 && path.p[0] == '/';
	struct tree tree;
	struct reader r = {
		.arena = arena,
		.faults = faults,
		.file = src->path,
		.hostname = src->hostname,
		.here = { 1, 1 },
	};

	if ((src->cwd && !absolute && !buf_addf(&dir, "%s/", src->cwd)) ||
			!buf_add(&dir,
					span_first(path,
							slash < path.n ? slash + 1
								       : 0)))
		buf_clear(&dir); /* no path is that long: opening it will fail */
	r.dir = reader_keep(&r, buf_span(&dir));
	tree_read(src->text, src->path, &nodes, faults, &tree);
	r.cut = tree.cut;
	const struct node *root = node_is_null(tree.root) ? NULL : tree.root;
	if (root && root->kind != NODE_MAP) {
		reader_fault(&r, root, NULL, "expected keys and their values");
		root = NULL;
		r.cut = true;
	}
	read_section(&r, section, root, (struct conf_mark){ 1, 1 }, place);
	if (leaves && faults->errors == errors)
		*leaves = leaves_keep(arena, root);
	arena_done(&nodes);
	sort_faults(faults->list + first, faults->n - first);
	return faults->errors == errors;
}

struct conf *
conf_parse(const struct conf_source *src, struct conf_faults *faults)
{
	struct conf_box *box = calloc(1, sizeof(*box));

	if (!box)
		abort();
	box->arena = ARENA_MAX(ARENA_LIMIT);
	box->conf.path = arena_str(&box->arena, span_of(src->path));
	MUST(box->conf.path);
	if (load(src, &conf_section, &box->arena, faults, &box->conf,
			    &box->conf.leaves))
		return &box->conf;
	conf_free(&box->conf);
	return NULL;
}

void
conf_free(struct conf *c)
{
	struct conf_box *box = (struct conf_box *)(void *)c;

	if (!box)
		return;
	arena_done(&box->arena);
	leaves_free(box->conf.leaves);
	free(box);
}

const struct conf_account *
conf_account_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->accounts.n; i++) {
		if (strcmp(c->accounts.p[i].name, name) == 0)
			return &c->accounts.p[i];
	}
	return NULL;
}

struct policy_doc *
policy_doc_parse(const struct conf_source *src, struct conf_faults *faults)
{
	struct policy_box *box = calloc(1, sizeof(*box));

	if (!box)
		abort();
	box->arena = ARENA_MAX(ARENA_LIMIT);
	box->doc.path = arena_str(&box->arena, span_of(src->path));
	MUST(box->doc.path);
	if (load(src, &policy_section, &box->arena, faults, &box->doc, NULL))
		return &box->doc;
	policy_doc_free(&box->doc);
	return NULL;
}

void
policy_doc_free(struct policy_doc *d)
{
	struct policy_box *box = (struct policy_box *)(void *)d;

	if (!box)
		return;
	arena_done(&box->arena);
	free(box);
}

void
policy_docs_check(struct policy_doc *const *docs, size_t n, struct conf_faults *faults)
{
	struct map seen;

	map_init(&seen, 0, 0);
	for (size_t i = 0; i < n; i++) {
		const struct policy_doc *first = map_get(&seen, span_of(docs[i]->name));
		if (!first) {
			(void)map_put(&seen, span_of(docs[i]->name), docs[i]);
			continue;
		}
		struct buf text = BUF_MAX(CONF_TEXT_MAX);
		bool fits = buf_addf(&text, "the policy \"%s\" is in %s already",
				docs[i]->name, first->path);
		MUST(fits);
		conf_faults_add(faults,
				&(struct conf_fault){
						.file = docs[i]->path,
						.text = buf_cstr(&text),
						.hint = "one file for each policy",
				});
		buf_done(&text);
	}
	map_done(&seen);
}
