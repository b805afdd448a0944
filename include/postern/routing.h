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

struct reader;
struct field;

struct routing {
	struct recipients_account account; /* points into the others and into conf */
	struct domains served, policy, hosts;
	struct span names[32]; /* envelope header names */
	struct arena arena;
};

/* conf and the directory must outlive it; d is NULL where there is no state yet. From
 * the reader, which may be NULL, come the alias rules that somebody made beside those of
 * the configuration; these win.
 * Fails with event 4046, the target in *err, when a user account's recipient is
 * nobody: then nothing is to be collected. */
bool routing_init(struct routing *r, const struct conf *conf,
		const struct conf_account *a, const struct directory *d,
		struct reader *reader, struct err *err);
void routing_done(struct routing *r);

enum { ROUTING_FACT_FIELDS = 6 };
/* The fields of a fact's event beside account, id and uidl; ends with an empty one: out
 * has room for ROUTING_FACT_FIELDS. */
void routing_fact_fields(
		const struct recipients_fact *f, size_t aliases, struct field *out);
/* The X-Postern-Route line, with its end: "SOURCE; rule=E1.N" where somebody was found,
 * else "none; reason=REASON". Never an address (E12). */
bool routing_header_line(const struct recipients *r, struct buf *out)
		__attribute__((warn_unused_result));

#endif
