/* One look into a mailbox, without a pool. */
#include <signal.h>

#include "poll.h"

bool
fetch_try(const struct conf *conf, size_t account, struct fetch_result *result)
{
	struct fetch_setup setup;
	struct fetch_memo memo;
	atomic_bool ending = false;
	struct err err = { 0 };
	const struct conf_account *a = &conf->accounts.p[account];

	*result = (struct fetch_result){ .account = account, .finished = true };
	if (!fetch_setup_init(&setup, conf, conf->server.state, &result->error)) {
		result->failed = true;
		return false;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	fetch_memo_init(&memo, setup.seed);

	struct fetch_poll poll = {
		.setup = &setup,
		.account = a,
		.ending = &ending,
		.memo = &memo,
		.look_only = true,
		.result = { .account = account },
	};
	if (a->tls != CONF_TLS_NONE)
		poll.tls = fetch_tls_new(a, &err);
	poll.tls_error = err;
	fetch_poll_run(&poll);
	*result = poll.result;
	tls_free(poll.tls);
	fetch_memo_done(&memo);
	fetch_setup_done(&setup);
	return !result->failed;
}
