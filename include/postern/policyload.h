/* policyload: the recipient policies and the recipients of the database, as the policy room
 * wants them. Read again only when their version has moved, by a thread of its own: a hundred
 * thousand recipients take a second, in which nobody would be greeted. */
#ifndef POSTERN_POLICYLOAD_H
#define POSTERN_POLICYLOAD_H

#include "postern/hub.h"
#include "postern/list.h"

struct policyload;

/* Somebody who waits until what the database says now is in; `in` comes from the loop, perhaps
 * at once, with what failed or NULL. */
struct policy_wait {
	struct list link;
	void (*in)(struct policy_wait *w, const struct err *failed);
};

/* `changed`: another directory stands in the hub, and the one before is gone. */
struct policyload *policyload_new(
		struct hub *hub, void (*changed)(void *host), void *host);
/* Who waits still is told nothing. NULL is welcome. */
void policyload_free(struct policyload *p);
/* The first directory, and waits for it; `changed` is not called. */
bool policyload_first(struct policyload *p, struct err *err)
		__attribute__((warn_unused_result));
void policyload_look(struct policyload *p, struct policy_wait *w);
bool policyload_quiet(const struct policyload *p); /* nothing is being read */

#endif
