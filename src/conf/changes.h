/* changes: what conf_changes compares. */
#ifndef CONF_CHANGES_H
#define CONF_CHANGES_H

#include "postern/conf.h"
#include "tree.h"

struct conf_leaf {
	struct span path, value;
};

struct conf_leaves {
	struct conf_leaf *p; /* by path */
	size_t n;
};

/* The settings of a tree that was read without faults, so that its names are short. Texts are
 * the arena's, the list is freed by leaves_free. */
struct conf_leaves *leaves_keep(struct arena *arena, const struct node *root);
void leaves_free(struct conf_leaves *l); /* NULL is fine */

#endif
