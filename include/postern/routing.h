/* routing: an account of the configuration as the room of recipients wants it.
 *
 * Built once per poll (or for `explain`): the account's settings, its domains, and
 * what the directory says of them at that moment: the policy domains, and the
 * primary address of a user account's recipient (E0). */
#ifndef POSTERN_ROUTING_H
#define POSTERN_ROUTING_H

#include "postern/conf.h"
#include "postern/directory.h"
#include "postern/err.h"
#include "postern/recipients.h"

struct routing {
	struct recipients_account account; /* points into the others and into conf */
	struct domains served, policy;
	struct span names[32]; /* envelope header names */
	struct arena arena;
};

/* conf and the directory must outlive it; d is NULL where there is no state yet.
 * Fails with event 4046, the target in *err, when a user account's recipient is
 * nobody: then nothing is to be collected. */
bool routing_init(struct routing *r, const struct conf *conf,
		const struct conf_account *a, const struct directory *d,
		struct err *err);
void routing_done(struct routing *r);

#endif
