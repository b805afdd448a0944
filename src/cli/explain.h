/* What explain, its replay and others share that tell a decision. */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "directory.h"
#include "explain_words.h"
#include "postern/provider.h"
#include "postern/routing.h"

/* What the relay would say to each recipient of one decision. */
struct answers {
	const struct conf *conf;
	struct directory *directory;
	struct nexthop_table *routes;
	struct rcpt_rules rules;
	/* Of the last explain_answers: */
	json_t *recipients, *refused;
	json_t *reasons; /* of the refused, in their order: Badmail's words */
	bool hops; /* more than smtp.max_hops: it goes to nobody */
};

/* What stays the same from message to message; d: freed with it. */
void answers_open(struct answers *all, struct cli *c, struct directory *d);
void answers_close(struct answers *all);
void explain_answers(struct answers *all, const struct recipients *r);
/* What the collector has learned of the account's provider; false: nothing. */
bool explain_learned(struct reader *reader, const char *account,
		struct provider_habits *out);

/* Does it go to Badmail for its hops, though it had some other place to go? */
bool explain_hops(const struct answers *all, const struct recipients *r);
/* Adds who of the recipients had the message before, by its loop stamps; false: nobody. */
bool explain_stamps(struct reader *reader, struct span header,
		const struct recipients *r, const struct answers *all, struct buf *out);
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
