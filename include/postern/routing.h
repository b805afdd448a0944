/* routing: an account of the configuration as the room of recipients wants it.
 *
 * Built once per poll (or for `explain`): the account's settings, its domains,
 * and the policy domains as the store has them at that moment. */
#ifndef POSTERN_ROUTING_H
#define POSTERN_ROUTING_H

#include "postern/conf.h"
#include "postern/err.h"
#include "postern/recipients.h"

struct reader;

struct routing {
	struct recipients_account account; /* points into the others and into conf */
	struct domains served, policy;
	struct span names[32]; /* envelope header names */
	struct arena arena;
};

/* conf must outlive it. reader: NULL when there is no state yet, then there are no
 * policy domains. False with *err set when the store cannot be read. */
bool routing_init(struct routing *r, const struct conf *conf,
		const struct conf_account *a, struct reader *reader, struct err *err);
void routing_done(struct routing *r);

#endif
