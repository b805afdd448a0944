/* tree: YAML text as a tree of nodes that know where they stand.
 *
 * Built from libyaml's events, so that depth, number of nodes, anchors and
 * tags are judged while reading, before anything has grown. Not the document
 * API: it resolves aliases before one can look, and keeps no mark of a cut end. */
#ifndef CONF_TREE_H
#define CONF_TREE_H

#include "postern/conf_load.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
	enum node_kind kind;
	bool quoted; /* a scalar in quotes or as a block: never null */
	struct conf_mark mark;
	struct span text; /* scalar: its bytes, a NUL behind them */
	struct node *first, *last; /* items of a list; keys of a map */
	size_t n;
	struct node *next; /* in its parent */
	struct node *value; /* of a key; NULL only where the text was cut off */
};

struct tree {
	struct node *root; /* NULL: nothing in it */
	bool cut; /* not valid YAML: parts may be missing */
};

enum {
	TREE_DEPTH_MAX = 16,
	TREE_NODES_MAX = 500 * 1000,
};

/* Reads text; nodes live in the arena, faults say what was wrong. */
void tree_read(struct span text, const char *file, struct arena *arena,
		struct conf_faults *faults, struct tree *out);
/* A value that is not one: an empty scalar, ~ or null. */
bool scalar_is_null(const struct node *n);

/* The same of any node; NULL: the text was cut off before the value. */
static inline bool
node_is_null(const struct node *n)
{
	return !n || (n->kind == NODE_SCALAR && scalar_is_null(n));
}

#endif
