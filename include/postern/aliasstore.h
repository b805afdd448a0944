/* aliasstore: the alias rules that somebody made (`unrouted assign --rule`), beside
 * those of the configuration. What they mean is decided by the room of recipients
 * (E1 level 6): `match` is a text or an address of To or Cc, or a list's id.
 *
 * Every change is one transaction and raises the version of the policies, so that
 * whoever loads those again loads these too. */
#ifndef POSTERN_ALIASSTORE_H
#define POSTERN_ALIASSTORE_H

#include "postern/arena.h"
#include "postern/store.h"

enum {
	ALIAS_MATCH_MAX = 400, /* octets */
	ALIAS_TARGET_MAX = 400,
	ALIAS_RULES_MAX = 10000, /* of one account, or of all in one answer */
};

struct aliasstore_rule {
	struct span account, match, target;
	int64_t made_ms;
};

/* The rules of an account, oldest first; of all accounts, by name, when it is empty. At
 * most ALIAS_RULES_MAX. */
bool aliasstore_load(struct reader *r, struct span account, struct arena *a,
		struct aliasstore_rule **out, size_t *n, struct err *e);

/* For a store that was not started. *added is false when the rule was there. */
bool aliasstore_add(struct store *s, const struct aliasstore_rule *rule, bool *added,
		struct err *e);
/* All rules of the account with this match, whatever their targets; *was counts them. */
bool aliasstore_forget(struct store *s, struct span account, struct span match,
		uint64_t *was, struct err *e);

#endif
