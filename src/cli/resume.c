/* accounts resume: an account that is held (4018) goes on.
 * accounts retry: what waits for its pause (4011, 4012, 4019) is tried at once. */
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
		(void)cli_fail(0, "the account waits for its next poll: %s", err.text);
	ctl_client_free(fetch);
}

int
cli_accounts_resume(struct cli *c)
{
	struct err err = { 0 };

	const struct conf_account *account;
	int status = cli_account_named(c, 1, &account);
	if (status != CLI_DONE)
		return status;
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

/* Is that message among those that wait? Says so where it is not. */
static int
find_trouble(struct cli *c, const char *account, struct span uidl)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(16 * 1024 * 1024);
	struct fetch_memory memory;
	struct err err = { 0 };
	bool nothing = false, found = false;
	struct reader *r = cli_reader_open(c, &nothing);

	if (!r && !nothing)
		return CLI_FAILED;
	bool ok = cli_memory_read(r, account, &a, &memory, &err);
	reader_close(r);
	if (!ok)
		return cli_fail(CLI_FAILED, "%s", err.text);
	for (size_t i = 0; i < memory.n && !found; i++)
		found = span_eq(memory.troubles[i].uidl, uidl);
	for (size_t i = 0; i < memory.n_passed && !found; i++)
		found = span_eq(memory.passed[i].uidl, uidl);
	return found ? CLI_DONE
		     : cli_fail(CLI_FAILED,
				       "no message %.*s of account %s waits or is set aside; "
				       "postern accounts show %s names those that do",
				       (int)uidl.n, uidl.p, account, account);
}

int
cli_accounts_retry(struct cli *c)
{
	struct err err = { 0 };

	const struct conf_account *account;
	int status = cli_account_named(c, 2, &account);
	if (status != CLI_DONE)
		return status;
	struct span uidl = c->argc > 1 ? span_of(c->argv[1]) : SPAN("");
	status = c->argc > 1 ? find_trouble(c, account->name, uidl) : CLI_DONE;
	if (status != CLI_DONE)
		return status;
	struct store *s = cli_store_open(c);
	if (!s)
		return CLI_FAILED;
	bool done = accountstore_retry(s, span_of(account->name), uidl, &err);
	store_close(s);
	if (!done)
		return cli_fail(CLI_FAILED, "%s", err.text);
	cli_changed(c, "accounts retry", account->name);
	poll_now(c, account->name);
	if (c->json)
		return cli_print_json(json_pack(
				"{s:s,s:b}", "name", account->name, "retried", true));
	if (uidl.n > 0)
		(void)printf("Message %.*s of account %s is asked for at once.\n",
				(int)uidl.n, uidl.p, account->name);
	else
		(void)printf("Account %s is tried again at once, with all that waits there.\n",
				account->name);
	return CLI_DONE;
}
