/* What the words about accounts share. */
#ifndef CLI_ACCOUNTS_H
#define CLI_ACCOUNTS_H

#include "cli.h"
#include "postern/origin.h"

/* The result of the account's last poll among all, which are sorted by name; NULL. */
const struct poll_result *cli_poll_of(
		const struct poll_result *all, size_t n, const char *account);
int64_t cli_midnight_ms(void);
int64_t cli_next_poll_ms(const struct conf_account *a, const struct poll_result *p);
void cli_print_server(struct buf *out, const struct conf_account *a);
const char *cli_account_type(const struct conf_account *a);
/* One row of `accounts --json`; p NULL: never polled. */
json_t *cli_account_json(const struct conf_account *a, const struct poll_result *p,
		uint64_t today);
/* The account of that name; NULL after saying that there is none. */
const struct conf_account *cli_account_find(const struct cli *c, const char *name);

#endif
