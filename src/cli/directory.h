/* The directory for the words people type. */
#ifndef CLI_DIRECTORY_H
#define CLI_DIRECTORY_H

#include "policies.h"
#include "postern/directory.h"
#include "postern/nexthop.h"

/* What the relay knows; without a reader, when there is no state yet, what the
 * configured files would make of it at the first start. NULL and *err. */
struct directory *directory_now(struct cli *c, struct reader *r, struct err *err);
/* What it would know with these files applied. r may be NULL. */
struct directory *directory_would(
		struct reader *r, const struct policy_files *f, struct err *err);
/* The same with the store as it is; never NULL (what cannot be read is told). */
struct directory *directory_known(struct reader *r, const struct policy_files *f);

/* Puts the files' policies in place of those of their names. */
void directory_overlay(const struct policy_files *f, struct arena *a,
		struct directory_rows *rows);
/* policy_dry.c: prints what applying these files would change. */
int policy_dry_run(struct cli *c, const struct policy_files *f);

/* The answer to RCPT TO:<address>, from the same function as the relay's. */
struct directory_said {
	struct span asked;
	struct span key; /* the same, for telling whether it is another one */
	bool accepted;
	struct span reply; /* "550 5.1.1 User unknown X" */
	struct directory_decision decision;
	const struct directory_target *v; /* accepted: where it goes */
	size_t n;
};

/* False when it is no address. Spans live in d and a. */
bool directory_ask(const struct directory *d, const struct conf *conf,
		struct span address, struct arena *a, struct directory_said *out);
/* The next hop of one of them. */
const struct nexthop *directory_hop(const struct directory *d,
		const struct nexthop_table *routes, const struct directory_target *t);
/* Not accepted: the reason that the relay keeps with the message (recipient.c). */
const char *directory_refusal(const struct directory_said *s);
/* How it was found: exact, without-tag, list, postmaster, unknown or foreign. */
const char *directory_found(const struct directory_said *s);

#endif
