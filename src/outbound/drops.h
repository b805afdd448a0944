/* drops: the Drop folders of the folder thread, the last ones used held open.
 *
 * A folder is known by its directory, not by its path: where two hops lead into one, one
 * batch has the files of both. What makes room for another is synced first. */
#ifndef OUTBOUND_DROPS_H
#define OUTBOUND_DROPS_H

#include <stddef.h>

#include "postern/drop.h"

struct drops;
struct drop_at; /* what one batch has in one folder */

struct drops *drops_new(size_t open_most);
void drops_free(struct drops *d); /* drops what is unsynced; NULL is welcome */
/* Puts the letter into the batch of that folder, which is made unless it is there; *at
 * says later what became of it. False and *err: it is not in the batch. */
bool drops_write(struct drops *d, const char *path, const struct letter *letter,
		struct drop_at **at, struct err *err);
/* Syncs each folder that was written to. */
void drops_sync(struct drops *d);
/* After drops_sync: why nothing of this batch in that folder may be settled; NULL: all
 * of it is on disk. */
const struct err *drop_at_failed(const struct drop_at *at);
/* The next batch begins; each struct drop_at of this one is gone. */
void drops_end(struct drops *d);

#endif
