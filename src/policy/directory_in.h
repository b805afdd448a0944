/* What the files of the directory share. */
#ifndef POSTERN_DIRECTORY_IN_H
#define POSTERN_DIRECTORY_IN_H

#include "postern/address.h"
#include "postern/directory.h"
#include "postern/map.h"

enum {
	/* local@domain in canonical form, without NUL */
	DIRECTORY_KEY_MAX = ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX,
};

struct entry;

/* One member of a list, looked up already. */
struct member {
	const struct entry *list; /* a list; NULL: target says who */
	struct directory_target target;
};

struct entry {
	struct directory_entry e; /* must be first */
	size_t at; /* place by alias */
	struct span *addresses; /* those of e, while they are given */
	struct span local; /* of the primary, without quoting */
	struct directory_target target; /* the primary; address.n == 0: none */
	struct member *members;
	size_t n_members;
	size_t unknown; /* members that are nobody */
};

struct directory {
	struct arena arena;
	struct policy_set *domains;
	struct entry *v; /* by alias */
	size_t n, n_lists;
	struct map by_alias, by_address; /* in lower case */
	struct directory_collision *collisions;
	size_t n_collisions, cap_collisions;
};

/* Memory of the directory, zeroed; never NULL. */
void *directory_take(struct directory *d, size_t n);
struct span directory_keep(struct directory *d, struct span s);
struct span directory_keep_lower(struct directory *d, struct span s);
/* Writes what is compared; empty when it is too long to be an address. */
struct span directory_key(
		struct span local, struct span domain, char out[DIRECTORY_KEY_MAX]);

/* directory_give.c: who has which address. */
void directory_give(struct directory *d, const struct directory_rows *rows);
/* directory_members.c: who is in which list. */
void directory_link(struct directory *d);

#endif
