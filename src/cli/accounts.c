/* accounts: all of them, a line for each. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"
#include "policies.h"
#include "postern/clock.h"
#include "postern/date.h"
#include "postern/fetch.h"

static int
by_name(const void *key, const void *item)
{
	const struct span *name = key;
	const struct poll_result *p = item;

	return span_cmp(*name, p->account);
}

const struct poll_result *
cli_poll_of(const struct poll_result *all, size_t n, const char *account)
{
	struct span name = span_of(account);

	return n > 0 ? bsearch(&name, all, n, sizeof(*all), by_name) : NULL;
}

static int
by_account(const void *key, const void *item)
{
	const struct span *name = key;
	const struct collected *c = item;

	return span_cmp(*name, c->account);
}

static uint64_t
today_of(const struct collected *all, size_t n, const char *account)
{
	struct span name = span_of(account);
	const struct collected *c =
			n > 0 ? bsearch(&name, all, n, sizeof(*all), by_account) : NULL;

	return c ? c->messages : 0;
}

int64_t
cli_midnight_ms(void)
{
	enum { DAY_MS = 24 * 3600 * 1000 };

	return clock_wall_ms() / DAY_MS * DAY_MS; /* UTC, as all times here */
}

/* When it is polled next by schedule: not before its window opens, which holds for
 * an account too that was not polled yet. 0: nobody knows, or it is suspended. */
int64_t
cli_next_poll_ms(const struct conf_account *a, const struct poll_result *p)
{
	int64_t now = clock_wall_ms(), from = p && p->next_ms > now ? p->next_ms : now;
	int64_t opens = fetch_window_opens_ms(a, from);

	if (p && p->next_ms == 0)
		return 0;
	return opens > from ? opens : p ? p->next_ms : 0;
}

void
cli_print_server(struct buf *out, const struct conf_account *a)
{
	(void)!buf_addf(out, strchr(a->server.name, ':') ? "[%s]:%u" : "%s:%u",
			a->server.name, a->server.port);
}

const char *
cli_account_type(const struct conf_account *a)
{
	return a->type == CONF_GLOBAL ? "global" : "user";
}

static json_t *
number_or_null(const struct poll_result *p, uint64_t n)
{
	return p ? json_integer((json_int_t)n) : json_null();
}

json_t *
cli_account_json(const struct conf_account *a, const struct poll_result *p,
		uint64_t today, const struct fetch_memory *m)
{
	AUTO(buf_done) struct buf server = BUF_MAX(1024);

	cli_print_server(&server, a);
	return json_pack(
			"{s:s,s:s,s:o,s:o,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:I,s:I,s:o,s:o}",
			"name", a->name, "type", cli_account_type(a), "server",
			cli_json_span(buf_span(&server)), "last_poll",
			cli_json_time(p ? p->ended_ms : 0), "result",
			p ? cli_json_span(p->text) : json_null(), "waiting",
			number_or_null(p, p ? p->waiting : 0), "collected",
			(json_int_t)today, "next_poll",
			cli_json_time(cli_next_poll_ms(a, p)), "last_success",
			cli_json_time(p ? p->success_ms : 0), "waiting_octets",
			number_or_null(p, p ? p->waiting_octets : 0), "server_says",
			p && p->says.n > 0 ? cli_json_span(p->says) : json_null(),
			"set_aside", (json_int_t)m->aside, "pausing",
			(json_int_t)(m->n - m->aside), "asked_again",
			cli_json_time(m->again_ms), "suspended_until",
			cli_json_time(m->suspended ? m->suspended_ms : 0));
}

bool
cli_memory_read(struct reader *r, const char *account, struct arena *a,
		struct fetch_memory *out, struct err *err)
{
	struct span text;

	*out = (struct fetch_memory){ 0 };
	return !r ||
			(poll_memo(r, span_of(account), a, &text, err) &&
					(fetch_memory_read(text, a, out) ||
							err_set(err, 0, "too much is remembered of account %s",
									account)));
}

bool
cli_from_print(struct buf *out, int64_t ms)
{
	char when[DATE_ISO_SIZE];

	if (ms <= clock_wall_ms())
		return buf_add(out, SPAN("at the next poll"));
	date_iso(ms, when);
	return buf_addf(out, "from %s", when);
}

static bool
print_messages(struct buf *out, uint64_t n, const char *verb, const char *verbs)
{
	return buf_addf(out, "%" PRIu64 " message%s %s", n, n == 1 ? "" : "s",
			n == 1 ? verb : verbs);
}

bool
cli_troubles_print(struct buf *out, uint64_t aside, uint64_t waiting, int64_t again_ms)
{
	if (aside + waiting == 0)
		return true;
	return (aside == 0 ||
			       print_messages(out, aside, "is set aside",
					       "are set aside")) &&
			(aside == 0 || waiting == 0 || buf_add(out, SPAN(", "))) &&
			(waiting == 0 ||
					print_messages(out, waiting, "could not be had",
							"could not be had")) &&
			buf_add(out,
					aside + waiting == 1
							? SPAN("; it is asked for again ")
							: SPAN("; they are asked for again ")) &&
			cli_from_print(out, again_ms);
}

bool
cli_suspension_print(struct buf *out, const struct fetch_memory *m)
{
	return !m->suspended ||
			(buf_addf(out, "suspended after %u refused logons; the next one is tried ",
					 m->refusals) &&
					cli_from_print(out, m->suspended_ms));
}

static void
account_row(struct cli_table *t, const struct conf_account *a,
		const struct poll_result *p, uint64_t today)
{
	AUTO(buf_done) struct buf server = BUF_MAX(1024);

	cli_print_server(&server, a);
	const char *const row[] = { cli_cell(t, span_of(a->name)), cli_account_type(a),
		cli_cell(t, buf_span(&server)), cli_cell_time(t, p ? p->ended_ms : 0),
		p ? cli_cell(t, p->text) : "never polled",
		p ? cli_cell_num(t, p->waiting) : "-", cli_cell_num(t, today),
		cli_cell_time(t, cli_next_poll_ms(a, p)) };
	cli_table_row(t, row);
}

/* Below the table: what nobody would see in a row. */
static void
print_troubles(const char *account, const struct fetch_memory *m)
{
	AUTO(buf_done) struct buf text = BUF_MAX(512);

	if (cli_suspension_print(&text, m) && text.n > 0) {
		(void)printf("%s: %s\n", account, buf_cstr(&text));
		buf_clear(&text);
	}
	if (cli_troubles_print(&text, m->aside, m->n - m->aside, m->again_ms) &&
			text.n > 0)
		(void)printf("%s: %s\n", account, buf_cstr(&text));
}

struct state {
	struct arena arena;
	struct fetch_memory *memories; /* one per account */
	struct poll_result *polls;
	struct collected *today;
	size_t n_polls, n_today;
};

static void
print_all(struct cli *c, const struct state *s)
{
	static const char *const titles[] = { "account", "type", "server", "last poll",
		"result", ">waiting", ">today", "next poll" };
	json_t *list = json_array();
	struct cli_table t;

	cli_table_init(&t, titles, 8);
	for (size_t i = 0; i < c->conf->accounts.n; i++) {
		const struct conf_account *a = &c->conf->accounts.p[i];
		const struct poll_result *p =
				cli_poll_of(s->polls, s->n_polls, a->name);
		uint64_t today = today_of(s->today, s->n_today, a->name);

		if (c->json)
			(void)json_array_append_new(list,
					cli_account_json(a, p, today, &s->memories[i]));
		else
			account_row(&t, a, p, today);
	}
	if (c->json)
		arena_done(&t.arena);
	else
		cli_table_print(&t);
	for (size_t i = 0; !c->json && i < c->conf->accounts.n; i++)
		print_troubles(c->conf->accounts.p[i].name, &s->memories[i]);
	if (c->json)
		(void)cli_print_json(list);
	else
		json_decref(list);
}

static bool
read_memories(const struct conf *conf, struct reader *r, struct state *s,
		struct err *err)
{
	bool ok = true;

	s->memories = arena_alloc(
			&s->arena, (conf->accounts.n + 1) * sizeof(*s->memories));
	if (!s->memories)
		return err_set(err, 0, "there are too many accounts");
	for (size_t i = 0; ok && i < conf->accounts.n; i++)
		ok = cli_memory_read(r, conf->accounts.p[i].name, &s->arena,
				&s->memories[i], err);
	return ok;
}

int
cli_accounts(struct cli *c)
{
	struct state s = { .arena = ARENA_MAX(256 * 1024 * 1024) };
	struct err err = { 0 };
	bool nothing, ok = true;

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	if (r)
		ok = poll_results(r, &s.arena, &s.polls, &s.n_polls, &err) &&
				origin_collected_all(r, cli_midnight_ms(), &s.arena,
						&s.today, &s.n_today, &err);
	ok = ok && read_memories(c->conf, r, &s, &err);
	reader_close(r);
	if (ok)
		print_all(c, &s);
	arena_done(&s.arena);
	return ok ? CLI_DONE : cli_fail(CLI_FAILED, "%s", err.text);
}
