/* run: the service. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policies.h"
#include "postern/ctl.h"
#include "postern/fetch.h"
#include "postern/lock.h"
#include "postern/log.h"
#include "postern/relay.h"
#include "postern/sandbox.h"
#include "postern/super.h"

_Static_assert((int)RELAY_EXIT_DAMAGED == (int)SUPER_DAMAGED,
		"one status for one thing");

static int
run_relay(const struct super_role_args *a)
{
	const struct relay_options o = { .conf = a->conf,
		.state = a->state,
		.listeners = a->listeners,
		.listeners_n = a->listeners_n,
		.ready_fd = a->ready_fd,
		.reload = a->reload,
		.drop = a->drop,
		.log = cli_log,
		.host = a->host,
		.sockets_fd = a->sockets_fd };

	return relay_role(&o);
}

/* No session of the relay is disturbed by it. */
static bool
renew_relay(const struct conf *conf, struct err *err)
{
	enum { LONG_MS = 5000 };
	AUTO(buf_done) struct buf path = BUF_MAX(8192);

	if (!buf_addf(&path, "%s/run/relay.ctl", conf->server.state))
		return err_set(err, 0, "its path is too long");
	struct ctl_client *relay = ctl_connect(buf_cstr(&path), LONG_MS, err);
	bool done = relay && ctl_ask(relay, CTL_RELOAD, SPAN(""), err);
	ctl_client_free(relay);
	return done;
}

static int
run_fetch(const struct super_role_args *a)
{
	const struct fetch_role o = {
		.conf = a->conf,
		.state = a->state,
		.ready_fd = a->ready_fd,
		.life = a->life,
	};

	/* Whoever takes over a POP3 session must not find the relay's sockets. */
	for (size_t i = 0; i < a->listeners_n; i++)
		(void)close(a->listeners[i]);
	return fetch_role(&o);
}

/* The status page will be the third: it reads the store and asks the others. */
static const struct super_role roles[] = {
	{ "relay", run_relay, renew_relay },
	{ "fetch", run_fetch, NULL },
};

/* The file again; the configuration in use stays with super. */
static struct conf *
reload(void *host)
{
	struct cli *c = host;

	c->conf = NULL;
	return cli_conf(c) ? c->conf : NULL;
}

static bool
prepare(void *host, const struct conf *conf, struct err *err)
{
	struct cli c = *(struct cli *)host;
	int status;

	/* What this process borrows is super's to free. */
	union {
		const struct conf *in;
		struct conf *out;
	} lent = { .in = conf };
	c.conf = lent.out;
	if (!cli_state(&c))
		return err_set(err, 0, "the state directory %s cannot be used",
				conf->server.state);
	return cli_log(conf, err) &&
			(cli_policies_at_start(&c, &status) ||
					err_set(err, 0, "the recipient policies cannot be applied"));
}

int
cli_run(struct cli *c)
{
	const struct super_options o = { .roles = roles,
		.n = sizeof(roles) / sizeof(roles[0]),
		.reload = reload,
		.drop = conf_free,
		.prepare = prepare,
		.host = c };
	struct err err = { 0 };

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	if (!sandbox_start(&err))
		return cli_fail(CLI_FAILED, "%s", err.text);
	if (!cli_conf(c) || !cli_state_readable(c) || !cli_state_as_root(c))
		return CLI_CONFIG;

	int lock = cli_lock(c);
	if (lock < 0)
		return CLI_LATER;
	struct conf *conf = c->conf;
	int status = super_run(conf, &o);
	c->conf = NULL; /* freed by super */
	log_close();
	(void)close(lock);
	return status;
}

int
cli_reload(struct cli *c)
{
	struct err err = { 0 };

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	pid_t service = lock_holder(c->conf->server.state, &err);
	if (service < 0)
		return cli_fail(CLI_FAILED, "%s", err.text);
	if (service == 0)
		return cli_fail(CLI_FAILED, "no service runs on %s",
				c->conf->server.state);
	if (kill(service, SIGHUP) != 0)
		return cli_fail(CLI_FAILED,
				"the service (process %d) cannot be signalled: %s",
				(int)service, strerrordesc_np(errno));
	return CLI_DONE;
}
