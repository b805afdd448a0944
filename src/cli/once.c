/* once: collects, delivers what is due, tells what became of it. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounts.h"
#include "policies.h"
#include "postern/clock.h"
#include "postern/fetch.h"
#include "postern/log.h"
#include "postern/relay.h"
#include "postern/sandbox.h"

struct once {
	struct cli *c;
	struct relay *relay;
	struct fetch_pool *pool;
	size_t *accounts, n;
	bool terminal;
	_Atomic int64_t shown_ms;
};

static void
on_idle(void *host)
{
	struct once *o = host;

	relay_fetched(o->relay);
}

/* The bar: all accounts together, ten times a second at the most. */
static void
on_progress(void *host, const struct fetch_result *last)
{
	struct once *o = host;
	int64_t now = clock_mono_ms();
	uint64_t listed = 0, done = 0;
	enum { WIDE = 30 };

	(void)last;
	if (!o->terminal || now - atomic_exchange(&o->shown_ms, now) < 100)
		return;
	for (size_t i = 0; i < o->n; i++) {
		struct fetch_result r;
		if (fetch_pool_result(o->pool, o->accounts[i], &r)) {
			listed += r.fresh;
			done += r.collected + r.known + r.failures;
		}
	}
	int filled = listed > 0 ? (int)((done < listed ? done : listed) * WIDE / listed)
				: 0;
	(void)fprintf(stderr, "\r[%.*s%*s] %" PRIu64 " of %" PRIu64 " ", filled,
			"##############################", WIDE - filled, "", done,
			listed);
}

/* Which accounts: the named ones, or all. */
static bool
choose(struct once *o)
{
	const struct conf_accounts *all = &o->c->conf->accounts;

	o->accounts = calloc(all->n + (size_t)o->c->argc + 1, sizeof(*o->accounts));
	if (!o->accounts)
		abort();
	for (int i = 0; i < o->c->argc; i++) {
		const struct conf_account *a =
				conf_account_find(o->c->conf, o->c->argv[i]);
		if (!a) {
			(void)cli_fail(0, "there is no account %s", o->c->argv[i]);
			return false;
		}
		o->accounts[o->n++] = (size_t)(a - all->p);
	}
	for (size_t i = 0; o->c->argc == 0 && i < all->n; i++)
		o->accounts[o->n++] = i;
	return true;
}

static void
cell_count(struct cli_table *t, const char **cells, const struct fetch_result *r)
{
	char seconds[48];

	(void)snprintf(seconds, sizeof(seconds), "%" PRIu64 ".%" PRIu64 " s",
			r->ms / 1000, r->ms / 100 % 10);
	cells[1] = cli_cell_num(t, r->listed);
	cells[2] = cli_cell_num(t, r->collected);
	cells[3] = cli_cell_num(t, r->recipients);
	cells[6] = cli_cell_num(t, r->refused);
	cells[8] = cli_cell(t, span_of(seconds));
}

static void
print_table(struct once *o, const struct relay_summary *sum)
{
	static const char *const titles[] = { "account", ">listed", ">collected",
		">recipients", ">delivered", ">deferred", ">refused", ">badmail",
		">time" };
	struct fetch_result total = { 0 };
	struct cli_table t;

	cli_table_init(&t, titles, 9);
	for (size_t i = 0; i < o->n; i++) {
		const char *cells[9] = { o->c->conf->accounts.p[o->accounts[i]].name,
			"-", "-", "-", "", "", "-", "", "-" };
		struct fetch_result r;
		if (fetch_pool_result(o->pool, o->accounts[i], &r)) {
			cell_count(&t, cells, &r);
			total.listed += r.listed;
			total.collected += r.collected;
			total.recipients += r.recipients;
			total.refused += r.refused;
			total.ms = r.ms > total.ms ? r.ms : total.ms;
		}
		cli_table_row(&t, cells);
	}
	const char *cells[9] = { "all", "", "", "", cli_cell_num(&t, sum->delivered),
		cli_cell_num(&t, sum->deferred), "", cli_cell_num(&t, sum->badmail),
		"" };
	cell_count(&t, cells, &total);
	cells[6] = cli_cell_num(&t, sum->refused);
	cli_table_row(&t, cells);
	cli_table_print(&t);
}

/* What stays at the providers, and until when. */
static void
print_troubles(const struct once *o)
{
	for (size_t i = 0; i < o->n; i++) {
		const char *name = o->c->conf->accounts.p[o->accounts[i]].name;
		AUTO(buf_done) struct buf text = BUF_MAX(512);
		struct fetch_result r;

		if (!fetch_pool_result(o->pool, o->accounts[i], &r))
			continue;
		if (r.failed) {
			(void)printf("%s: ", name);
			cli_print_span(stdout, span_of(r.error.text), 0);
			(void)putchar('\n');
		} else if (r.refused_all > 0)
			(void)printf("%s: %" PRIu64
				     " messages were refused in a row (4016); they "
				     "are asked for at the next poll\n",
					name, r.refused_all);
		if (cli_troubles_print(&text, r.aside, r.waiting, r.again_ms) &&
				text.n > 0)
			(void)printf("%s: %s\n", name, buf_cstr(&text));
	}
}

static int
print_json(struct once *o, const struct relay_summary *sum)
{
	json_t *list = json_array();

	for (size_t i = 0; i < o->n; i++) {
		const char *name = o->c->conf->accounts.p[o->accounts[i]].name;
		struct fetch_result r = { 0 };
		bool polled = fetch_pool_result(o->pool, o->accounts[i], &r);
		(void)json_array_append_new(list,
				json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:I,s:I,s:I,s:o,s:o}",
						"name", name, "listed",
						(json_int_t)r.listed, "collected",
						(json_int_t)r.collected, "skipped",
						(json_int_t)r.skipped, "failed",
						(json_int_t)r.failures, "octets",
						(json_int_t)r.octets, "seconds",
						(double)r.ms / 1000, "known",
						(json_int_t)r.known, "deleted",
						(json_int_t)r.deleted, "set_aside",
						(json_int_t)r.aside, "waiting",
						(json_int_t)r.waiting +
								(json_int_t)r.refused_all,
						"asked_again",
						cli_json_time(r.again_ms), "error",
						polled && r.failed
								? cli_json_span(span_of(
										  r.error.text))
								: json_null()));
	}
	return cli_print_json(json_pack("{s:o,s:I,s:I,s:I,s:I}", "accounts", list,
			"delivered", (json_int_t)sum->delivered, "deferred",
			(json_int_t)sum->deferred, "refused", (json_int_t)sum->refused,
			"badmail", (json_int_t)sum->badmail));
}

static bool
any_failed(const struct once *o)
{
	for (size_t i = 0; i < o->n; i++) {
		struct fetch_result r;
		if (!fetch_pool_result(o->pool, o->accounts[i], &r) || r.failed ||
				!r.finished)
			return true;
	}
	return false;
}

/* Relay on this thread, collectors on theirs, until nothing is left to do. */
static int
collect_and_deliver(struct once *o, bool queue_only)
{
	const struct relay_options relay = { .conf = o->c->conf,
		.state = o->c->conf->server.state,
		.once = true,
		.ready_fd = -1,
		.sockets_fd = -1,
		.hold = queue_only };
	const struct fetch_options fetch = { .conf = o->c->conf,
		.alone = true,
		.state = o->c->conf->server.state,
		.progress = on_progress,
		.idle = on_idle,
		.host = o };
	struct relay_summary sum = { 0 };
	struct err err = { 0 };
	bool ran = false;

	o->relay = relay_new(&relay, &err);
	o->pool = o->relay ? fetch_pool_new(&fetch, &err) : NULL;
	if (o->pool) {
		fetch_pool_poll(o->pool, o->accounts, o->n, o->c->argc > 0);
		ran = relay_run(o->relay, &err);
		fetch_pool_cancel(o->pool);
		relay_summary(o->relay, &sum);
	}
	if (o->terminal)
		(void)fputs("\r\033[K", stderr);
	int status = CLI_FAILED;
	if (!ran)
		(void)cli_fail(0, "%s", err.text);
	else if (!any_failed(o) && sum.badmail == 0 && sum.badmail_failed == 0 &&
			sum.notices_lost == 0)
		status = CLI_DONE;
	if (ran && o->c->json)
		(void)print_json(o, &sum);
	else if (ran) {
		print_table(o, &sum);
		print_troubles(o);
	}
	if (ran && sum.badmail_failed > 0)
		(void)cli_fail(0,
				"Badmail could not be written %" PRIu64
				" times: those messages stay where they are, events 5107 and "
				"5108 say why",
				sum.badmail_failed);
	fetch_pool_free(o->pool);
	relay_free(o->relay);
	return status;
}

int
cli_once(struct cli *c)
{
	bool queue_only = false;
	const struct cli_option options[] = { { "--queue-only", NULL, &queue_only },
		{ 0 } };
	struct once o = { .c = c, .terminal = isatty(STDERR_FILENO) && !c->json };
	struct err err = { 0 };
	int status;

	if (!cli_options(c, options, 0, 100000))
		return CLI_USAGE;
	if (!sandbox_start(&err))
		return cli_fail(CLI_FAILED, "%s", err.text);
	if (!cli_state(c))
		return CLI_CONFIG;

	int lock = cli_lock(c);
	if (lock < 0)
		return CLI_LATER;
	if (!choose(&o))
		status = CLI_USAGE;
	else if (!cli_log(c->conf, &err))
		status = cli_fail(CLI_FAILED, "%s", err.text);
	else if (cli_policies_at_start(c, &status))
		status = collect_and_deliver(&o, queue_only);
	log_close();
	free(o.accounts);
	(void)close(lock);
	return status;
}
