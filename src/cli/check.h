/* What `check --online` is made of. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "cli.h"

/* Looks into every mailbox and greets every route; prints a line for each, or adds
 * them to the lists "accounts" and "routes" of *all. The exit status. */
int cli_check_online(struct cli *c, json_t *all);

/* Are the files and folders there that the configuration names, for whom it serves? */
struct conf_faults;
void cli_check_files(struct cli *c, struct conf_faults *faults);
/* What is wrong with the relay's own name, and routes that lead to the relay itself. */
void cli_check_self(const struct cli *c, struct conf_faults *faults);

struct greeting {
	bool ok;
	char text[600]; /* what came of it; holds what the other side said */
};

/* Connects, hears the greeting, says EHLO or LHLO and QUIT; of a folder, may it be
 * written? Each waits at most CHECK_ROUTE_MS. */
enum { CHECK_ROUTE_MS = 15000 };
void cli_greet(const struct cli *c, const struct conf_hop *to, struct greeting *out);

#endif
