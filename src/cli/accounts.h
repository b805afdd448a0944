/* What the words about accounts share. */
#ifndef CLI_ACCOUNTS_H
#define CLI_ACCOUNTS_H

#include "cli.h"
#include "postern/fetch.h"
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
		uint64_t today, const struct fetch_memory *m);
/* "2 messages are set aside; ...": what waits at the provider for its troubles, and until
 * when. Empty: nothing does. */
bool cli_troubles_print(
		struct buf *out, uint64_t aside, uint64_t waiting, int64_t again_ms);
/* "from TIME", or "at the next poll" where that is past. */
bool cli_from_print(struct buf *out, int64_t ms);
/* "suspended after 5 refused logons; the next one is tried from ..." */
bool cli_suspension_print(struct buf *out, const struct fetch_memory *m);
/* What the collector remembers of an account; *out lies in the arena. */
bool cli_memory_read(struct reader *r, const char *account, struct arena *a,
		struct fetch_memory *out, struct err *err);
/* The account of that name; NULL after saying that there is none. */
const struct conf_account *cli_account_find(const struct cli *c, const char *name);
/* For a command that changes the state of the account its first argument names, of at most so
 * many: CLI_DONE, or the status to end with, after saying why. */
int cli_account_named(struct cli *c, int most, const struct conf_account **out);

#endif
