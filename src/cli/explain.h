/* What explain, its replay and others share that tell a decision. */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "explain_words.h"
#include "policies.h"
#include "postern/nexthop.h"
#include "postern/routing.h"

/* What the relay would say to each recipient of one decision. */
struct answers {
	struct policy_set *policies;
	struct nexthop_table *routes;
	json_t *recipients, *refused; /* of the last explain_answers */
};

/* What stays the same from message to message; policies: freed with it. */
void answers_open(struct answers *all, struct cli *c, struct policy_set *policies);
void answers_close(struct answers *all);
void explain_answers(struct answers *all, const struct recipients *r);
/* The domains of a set as routing_init wants them, in the arena. */
struct routing_domains explain_domains(const struct policy_set *set, struct arena *a);

/* The addresses of such a list, in the arena; how many. */
size_t explain_addresses(const json_t *list, struct arena *a, struct span **out);

/* explain --since: decides again about what was collected. */
struct replay_options {
	const char *since, *account;
	char *const *policies; /* files */
	size_t n_policies;
};
int explain_since(struct cli *c, const struct replay_options *o);

#endif
