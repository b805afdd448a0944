/* accounts, poll */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policies.h"
#include "postern/clock.h"
#include "postern/ctl.h"
#include "postern/fetch.h"
#include "postern/origin.h"

enum { DAY_MS = 24 * 3600 * 1000 };

static const struct poll_result *
result_of(const struct poll_result *all, size_t n, const char *account)
{
	for (size_t i = 0; i < n; i++) {
		if (span_eq(all[i].account, span_of(account)))
			return &all[i];
	}
	return NULL;
}

/* When it is polled next by schedule: not before its window opens, which holds for
 * an account too that was not polled yet. 0: nobody knows, or it is suspended. */
static int64_t
next_poll(const struct conf_account *a, const struct poll_result *p)
{
	int64_t now = clock_wall_ms(), from = p && p->next_ms > now ? p->next_ms : now;
	int64_t opens = fetch_window_opens_ms(a, from);

	if (p && p->next_ms == 0)
		return 0;
	return opens > from ? opens : p ? p->next_ms : 0;
}

static void
print_server(struct buf *out, const struct conf_account *a)
{
	(void)!buf_addf(out, strchr(a->server.name, ':') ? "[%s]:%u" : "%s:%u",
			a->server.name, a->server.port);
}

static json_t *
account_json(const struct conf_account *a, const struct poll_result *p, uint64_t today)
{
	AUTO(buf_done) struct buf server = BUF_MAX(1024);

	print_server(&server, a);
	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:I,s:o}", "name", a->name, "type",
			a->type == CONF_GLOBAL ? "global" : "user", "server",
			cli_json_span(buf_span(&server)), "last_poll",
			cli_json_time(p ? p->ended_ms : 0), "result",
			p ? cli_json_span(p->text) : json_null(), "waiting",
			p ? json_integer((json_int_t)p->waiting) : json_null(),
			"collected", (json_int_t)today, "next_poll",
			cli_json_time(next_poll(a, p)));
}

static void
account_row(struct cli_table *t, const struct conf_account *a,
		const struct poll_result *p, uint64_t today)
{
	AUTO(buf_done) struct buf server = BUF_MAX(1024);

	print_server(&server, a);
	const char *const row[] = { cli_cell(t, span_of(a->name)),
		a->type == CONF_GLOBAL ? "global" : "user",
		cli_cell(t, buf_span(&server)), cli_cell_time(t, p ? p->ended_ms : 0),
		p ? cli_cell(t, p->text) : "never polled",
		p ? cli_cell_num(t, p->waiting) : "-", cli_cell_num(t, today),
		cli_cell_time(t, next_poll(a, p)) };
	cli_table_row(t, row);
}

int
cli_accounts(struct cli *c)
{
	static const char *const titles[] = { "account", "type", "server", "last poll",
		"result", ">waiting", ">today", "next poll" };
	AUTO(arena_done) struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct poll_result *polls = NULL;
	struct cli_table t;
	struct err err = { 0 };
	size_t n = 0;
	bool nothing, ok = true;

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	if (r)
		ok = poll_results(r, &a, &polls, &n, &err);
	json_t *list = json_array();
	int64_t midnight =
			clock_wall_ms() / DAY_MS * DAY_MS; /* UTC, as all times here */
	cli_table_init(&t, titles, 8);
	for (size_t i = 0; ok && i < c->conf->accounts.n; i++) {
		const struct conf_account *account = &c->conf->accounts.p[i];
		const struct poll_result *p = result_of(polls, n, account->name);
		uint64_t today = 0;
		ok = !r ||
				origin_collected(r, span_of(account->name), midnight,
						&today, &err);
		if (c->json)
			(void)json_array_append_new(
					list, account_json(account, p, today));
		else
			account_row(&t, account, p, today);
	}
	reader_close(r);
	if (ok && !c->json)
		cli_table_print(&t);
	else
		arena_done(&t.arena);
	if (ok && c->json)
		return cli_print_json(list);
	json_decref(list);
	return ok ? CLI_DONE : cli_fail(CLI_FAILED, "%s", err.text);
}

/* --- poll --- */

struct progress {
	struct span account, words;
	uint64_t listed, collected, octets, finished, failed;
};

static bool
read_progress(struct span body, struct progress *p)
{
	return ctl_get_span(&body, &p->account) && ctl_get_span(&body, &p->words) &&
			ctl_get_u64(&body, &p->listed) &&
			ctl_get_u64(&body, &p->collected) &&
			ctl_get_u64(&body, &p->octets) &&
			ctl_get_u64(&body, &p->finished) &&
			ctl_get_u64(&body, &p->failed);
}

static void
show_progress(struct cli *c, const struct progress *p, json_t *list, bool terminal)
{
	if (p->finished && c->json) {
		(void)json_array_append_new(list,
				json_pack("{s:o,s:I,s:I,s:I,s:b,s:o}", "name",
						cli_json_span(p->account), "listed",
						(json_int_t)p->listed, "collected",
						(json_int_t)p->collected, "octets",
						(json_int_t)p->octets, "failed",
						p->failed != 0, "result",
						cli_json_span(p->words)));
		return;
	}
	if (c->json || (!p->finished && !terminal))
		return;
	if (terminal)
		(void)fputs("\r\033[K", stdout);
	cli_print_span(stdout, p->account, 0);
	(void)printf(": %" PRIu64 " of %" PRIu64 " collected, %" PRIu64 " octets",
			p->collected, p->listed, p->octets);
	if (p->finished) {
		(void)fputs(": ", stdout);
		cli_print_span(stdout, p->words, 0);
		(void)putchar('\n');
	}
	(void)fflush(stdout);
}

static int
follow(struct cli *c, struct ctl_client *fetch, json_t *list)
{
	enum {
		SILENCE_MS = 35 * 60 * 1000
	}; /* a session may take 30 minutes for one message */
	bool terminal = isatty(STDOUT_FILENO) && !c->json, failed = false;
	enum ctl_kind kind;
	struct span body, reason;
	struct err err = { 0 };

	for (;;) {
		struct progress p = { 0 };
		if (!ctl_receive(fetch, SILENCE_MS, &kind, &body, &err))
			return cli_fail(CLI_LATER, "%s", err.text);
		if (kind == CTL_OK)
			return failed ? CLI_FAILED : CLI_DONE;
		if (kind == CTL_FAILED)
			return cli_fail(CLI_FAILED, SPAN_FMT,
					SPAN_ARG(ctl_get_span(&body, &reason)
									? reason
									: SPAN("refused")));
		if (kind != CTL_PROGRESS || !read_progress(body, &p))
			return cli_fail(CLI_FAILED,
					"the service sent something unexpected");
		failed = failed || (p.finished && p.failed);
		show_progress(c, &p, list, terminal);
	}
}

int
cli_poll(struct cli *c)
{
	AUTO(buf_done) struct buf body = BUF_MAX(CTL_BODY_MAX);
	struct err err = { 0 };
	bool ok;

	if (!cli_options(c, NULL, 0, 10000))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;
	ok = ctl_put_u64(&body, (uint64_t)c->argc);
	for (int i = 0; i < c->argc; i++) {
		if (!conf_account_find(c->conf, c->argv[i]))
			return cli_fail(CLI_USAGE, "there is no account %s",
					c->argv[i]);
		ok = ok && ctl_put_span(&body, span_of(c->argv[i]));
	}

	struct ctl_client *fetch =
			ctl_connect(cli_path(c, "run/fetch.ctl"), 5000, &err);
	if (!fetch)
		return cli_fail(CLI_LATER,
				"no service runs on %s; postern once collects without one",
				c->conf->server.state);
	json_t *list = json_array();
	int status = CLI_FAILED;
	if (!ok || !ctl_send(fetch, CTL_POLL, buf_span(&body), &err))
		(void)cli_fail(0, "%s", err.text);
	else
		status = follow(c, fetch, list);
	ctl_client_free(fetch);
	if (c->json)
		(void)cli_print_json(list);
	else
		json_decref(list);
	return status;
}
