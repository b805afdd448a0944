/* Recipient policies between files, store and the policy room. */
#ifndef CLI_POLICIES_H
#define CLI_POLICIES_H

#include "cli.h"
#include "postern/conf_load.h"
#include "postern/policy.h"
#include "postern/policystore.h"
#include "postern/store.h"

struct policy_files {
	struct policy_doc **docs;
	size_t n;
	bool named; /* on the command line, not by `policies:` */
	bool partial; /* a pattern of `policies:` matched no file */
};

/* Reads the named files, or (n is 0) those of `policies:` in the configuration.
 * What is wrong with them is added to faults. */
void policy_files_read(struct cli *c, char *const *names, size_t n,
		struct policy_files *out, struct conf_faults *faults);
/* Which of `policies:` match no file: errors, or warnings for who goes on without. */
void policy_files_missing(struct cli *c, bool warning, struct conf_faults *faults);
void policy_files_done(struct policy_files *f);
/* Those of the configuration; their faults are printed by who applies them in earnest. */
struct policy_files policy_files_quietly(struct cli *c);
/* As the store keeps them; they live in the files and the arena. */
bool policy_files_rows(const struct policy_files *f, struct arena *a,
		struct policystore_policy **out, struct err *err);
/* Puts them there, takes back what no file says any more (9016). */
bool policy_files_apply(struct store *s, const struct policy_files *f,
		uint64_t *changed, struct err *err);

/* The header of a stored message, in the arena, as far as `most` octets; empty when it has
 * no body any more. */
struct span cli_stored_header(
		struct reader *r, uint64_t id, size_t most, struct arena *a);

/* Opens the store as a visitor beside a service, or alone; NULL after saying why. A
 * state that did not exist gets the configured policies first. */
struct store *cli_store_open(struct cli *c);
/* A reader; NULL when there is no state yet (*nothing) or after saying why. */
struct reader *cli_reader_open(struct cli *c, bool *nothing);

/* At the start of once and run: applies the configured files, says 4045 for what
 * they lack. False: *status is what to exit with, faults were printed. */
bool cli_policies_at_start(struct cli *c, int *status);
/* Prints faults to standard error and gives the number of errors. */
size_t cli_print_faults(const struct conf_faults *faults, FILE *to);

#endif
