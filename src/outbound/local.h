/* The carrier of mail that becomes files: Drop, Maildir, Badmail. */
#ifndef OUTBOUND_LOCAL_H
#define OUTBOUND_LOCAL_H

#include "settle.h"

struct local;

struct local *local_new(struct hub *hub, struct err *err);
/* Ends the thread after what it has in hand. NULL is welcome. */
void local_free(struct local *w);
void local_deliver(struct local *w, struct list *leases); /* they come back settled */
bool local_quiet(const struct local *w);
void local_tick(struct local *w);
void local_tidy(struct local *w); /* Badmail and evidence are pruned, now */

#endif
