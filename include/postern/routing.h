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
struct field;

struct routing {
	struct recipients_account account; /* points into the others and into conf */
	struct domains served, policy;
	struct span names[32]; /* envelope header names */
	struct arena arena;
};

/* Policy domains as texts, "contoso.test" or "*.contoso.test". */
struct routing_domains {
	const struct span *v;
	size_t n;
};

/* All policy domains of the store, in the arena. */
bool routing_domains_load(struct reader *reader, struct arena *arena,
		struct routing_domains *out, struct err *err);
/* conf must outlive it; the domains need not. */
bool routing_init(struct routing *r, const struct conf *conf,
		const struct conf_account *a, const struct routing_domains *policy,
		struct err *err);
void routing_done(struct routing *r);

enum { ROUTING_FACT_FIELDS = 6 };
/* The fields of a fact's event beside account, id and uidl; ends with an empty one: out
 * has room for ROUTING_FACT_FIELDS. */
void routing_fact_fields(const struct recipients_fact *f, struct field *out);
/* The X-Postern-Route line, with its end: "SOURCE; rule=E1.N" where somebody was found,
 * else "none; reason=REASON". Never an address (E12). */
bool routing_header_line(const struct recipients *r, struct buf *out)
		__attribute__((warn_unused_result));

#endif
