/* The directory for the words people type. */
#ifndef CLI_DIRECTORY_H
#define CLI_DIRECTORY_H

#include "policies.h"
#include "postern/directory.h"
#include "postern/rcpt.h"

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

/* The answer to RCPT TO:<address>, as the relay would give it to who may not relay. */
struct directory_said {
	struct span asked; /* as it was typed */
	struct rcpt rcpt;
	struct span reply; /* "550 5.1.1 User unknown X" */
};

/* False when it is no address. Spans live in the directory and a. */
bool directory_ask(const struct rcpt_rules *rules, struct span address, struct arena *a,
		struct directory_said *out);
/* How it was found: exact, without-tag, list, postmaster, unknown or foreign. */
const char *directory_found(const struct directory_said *s);

#endif
