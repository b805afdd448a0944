/* What the words about recipients share. */
#ifndef CLI_RECIPIENTS_H
#define CLI_RECIPIENTS_H

#include "directory.h"

/* alias, type, given, surname, display, primary, own_primary, proxies, policy, groups,
 * members */
json_t *recipient_json(const struct directory_entry *e);
void recipient_print(const struct directory *d, const struct directory_entry *e);
/* Whose mail would go elsewhere with these rows put in: a list of address, was, now; NULL and
 * *err. *change tells what would be added and changed. */
struct recipientstore_change;
json_t *recipients_moves(struct cli *c, const struct directory_row *rows, size_t n,
		struct arena *a, struct recipientstore_change *change, struct err *err);
void recipients_print_moves(const json_t *moves);
/* The directory of the store as it is; NULL after saying why. */
struct directory *recipients_known(struct cli *c);

/* recipient_import.c: the rows of a file, in the arena; faults are added. known: for
 * what the file does not say itself; may be NULL. */
bool recipients_read(const char *path, const struct directory *known, struct arena *a,
		struct directory_row **rows, size_t *n, struct conf_faults *faults);

#endif
