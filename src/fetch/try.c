/* One look into a mailbox, without a pool. */
#include <signal.h>

#include "look.h"

bool
look_once(const struct conf *conf, size_t account, const struct fetch_adopter *to,
		struct fetch_result *result, struct fetch_look *look)
{
	struct fetch_setup setup;
	struct fetch_memo memo;
	atomic_bool ending = false;
	struct err err = { 0 };
	const struct conf_account *a = &conf->accounts.p[account];

	if (look)
		*look = (struct fetch_look){ 0 };
	*result = (struct fetch_result){ .account = account, .finished = true };
	fetch_setup_init(&setup, conf, conf->server.state);
	(void)signal(SIGPIPE, SIG_IGN);
	fetch_memo_init(&memo, setup.seed);

	struct fetch_poll poll = {
		.setup = &setup,
		.account = a,
		.ending = &ending,
		.memo = &memo,
		.look_only = true,
		.look = look,
		.adopt = to,
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

bool
fetch_try(const struct conf *conf, size_t account, struct fetch_result *result,
		struct fetch_look *look)
{
	return look_once(conf, account, NULL, result, look);
}
