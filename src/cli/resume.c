/* accounts resume: an account that is held (4018) goes on. */
#include "accounts.h"
#include "policies.h"
#include "postern/accountstore.h"
#include "postern/ctl.h"

/* A running service collects now; without one, the next `once` does. */
static void
poll_now(const struct cli *c, const char *name)
{
	AUTO(buf_done) struct buf body = BUF_MAX(1024);
	struct err err = { 0 };
	struct ctl_client *fetch =
			ctl_connect(cli_path(c, "run/fetch.ctl"), 2000, &err);

	if (fetch &&
			(!ctl_put_u64(&body, 1) ||
					!ctl_put_span(&body, span_of(name)) ||
					!ctl_send(fetch, CTL_POLL, buf_span(&body),
							&err)))
		(void)cli_fail(0, "the account goes on with its next poll: %s",
				err.text);
	ctl_client_free(fetch);
}

int
cli_accounts_resume(struct cli *c)
{
	struct err err = { 0 };

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;
	const struct conf_account *account = cli_account_find(c, c->argv[0]);
	if (!account)
		return CLI_USAGE;
	if (!cli_state(c))
		return CLI_CONFIG;
	struct store *s = cli_store_open(c);
	if (!s)
		return CLI_FAILED;
	bool done = accountstore_resume(s, span_of(account->name), &err);
	store_close(s);
	if (!done)
		return cli_fail(CLI_FAILED, "%s", err.text);
	cli_changed(c, "accounts resume", account->name);
	poll_now(c, account->name);
	if (c->json)
		return cli_print_json(json_pack(
				"{s:s,s:b}", "name", account->name, "resumed", true));
	(void)printf("Account %s is collected again.\n", account->name);
	return CLI_DONE;
}
