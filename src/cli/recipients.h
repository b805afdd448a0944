/* What the words about recipients share. */
#ifndef CLI_RECIPIENTS_H
#define CLI_RECIPIENTS_H

#include "directory.h"

/* alias, type, given, surname, display, primary, own_primary, proxies, policy, groups,
 * members */
json_t *recipient_json(const struct directory_entry *e);
/* The directory of the store as it is; NULL after saying why. */
struct directory *recipients_known(struct cli *c);

/* recipient_import.c: the rows of a file, in the arena; faults are added. known: for
 * what the file does not say itself; may be NULL. */
bool recipients_read(const char *path, const struct directory *known, struct arena *a,
		struct directory_row **rows, size_t *n, struct conf_faults *faults);

#endif
