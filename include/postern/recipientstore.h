/* recipientstore: the recipients (persons and lists) as they are kept, and the
 * directory they make together with the policies.
 *
 * Every change is one transaction and raises the version of the policies
 * (policystore_version), so that who holds a directory knows when to load again. */
#ifndef POSTERN_RECIPIENTSTORE_H
#define POSTERN_RECIPIENTSTORE_H

#include "postern/directory.h"
#include "postern/store.h"

/* What a directory is made from, by alias; texts in the arena. */
bool recipientstore_load(struct reader *r, struct arena *a, struct directory_row **out,
		size_t *n, struct err *e);
/* Policies and recipients of one moment, as rows for directory_new. */
bool recipientstore_rows(struct reader *r, struct arena *a, struct directory_rows *out,
		uint64_t *version, struct err *e);
/* The same as the directory itself. */
bool directory_load(struct reader *r, struct directory **out, uint64_t *version,
		struct err *e);

struct recipientstore_change {
	uint64_t added, changed; /* changed: were there, and are different now */
};

/* For a store that was not started. Puts each in place of the one with its alias
 * (letters without case); all or none. Values that directory_fault accepts, each
 * alias once, primary addresses in wire form. Fails when two would have the same primary address of their own. */
bool recipientstore_put(struct store *s, const struct directory_row *rows, size_t n,
		struct recipientstore_change *change, struct err *e);
bool recipientstore_remove(
		struct store *s, struct span alias, bool *was, struct err *e);

#endif
