/* accounts show: all that is known of one account. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"
#include "policies.h"
#include "postern/fetch.h"
#include "postern/journal.h"
#include "postern/num.h"

enum { EVENTS = 3, SHOWN = 20, TEXT_MAX = 256 * 1024 };

struct event_seen {
	int64_t time_ms;
	int id;
	struct buf text;
};

struct story {
	const struct conf_account *account;
	struct arena arena;
	const struct poll_result *poll; /* NULL: never polled */
	uint64_t today;
	struct fetch_memory memory;
	struct poll_session *sessions;
	size_t n_sessions;
	struct event_seen events[EVENTS]; /* the last ones: see event_at */
	size_t n_events; /* that were seen */
};

const struct conf_account *
cli_account_find(const struct cli *c, const char *name)
{
	const struct conf_account *a = conf_account_find(c->conf, name);

	if (!a)
		(void)cli_fail(0, "there is no account %s", name);
	return a;
}

int
cli_account_named(struct cli *c, int most, const struct conf_account **out)
{
	if (!cli_options(c, NULL, 1, most))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;
	*out = cli_account_find(c, c->argv[0]);
	if (!*out)
		return CLI_USAGE;
	return cli_state(c) ? CLI_DONE : CLI_CONFIG;
}

/* ---- gathering ---- */

static bool
read_store(struct story *s, struct reader *r, bool sessions, struct err *err)
{
	struct span name = span_of(s->account->name), memo;
	struct poll_result *polls;
	size_t n;

	if (!poll_results(r, &s->arena, &polls, &n, err) ||
			!origin_collected(r, name, cli_midnight_ms(), &s->today, err) ||
			!poll_memo(r, name, &s->arena, &memo, err))
		return false;
	s->poll = cli_poll_of(polls, n, s->account->name);
	if (!fetch_memory_read(memo, &s->arena, &s->memory))
		return err_set(err, 0, "too much is remembered of the account");
	return !sessions ||
			poll_sessions(r, name, &s->arena, &s->sessions, &s->n_sessions,
					err);
}

static bool
read_events(struct story *s, const char *path, struct err *err)
{
	const struct journal_filter f = { .account = span_of(s->account->name),
		.level = 1 };
	struct journal *j = journal_open(path, &f, err);
	struct journal_entry e;

	if (!j)
		return false;
	while (journal_next(j, &e)) {
		struct event_seen *slot = &s->events[s->n_events++ % EVENTS];

		slot->time_ms = e.time_ms;
		slot->id = e.id;
		slot->text.max = TEXT_MAX;
		buf_clear(&slot->text);
		(void)!buf_add(&slot->text, span_first(e.text, TEXT_MAX));
	}
	journal_close(j);
	return true;
}

/* The last events, oldest first; NULL behind them. */
static const struct event_seen *
event_at(const struct story *s, size_t i)
{
	size_t n = s->n_events < EVENTS ? s->n_events : EVENTS;

	return i < n ? &s->events[(s->n_events - n + i) % EVENTS] : NULL;
}

/* ---- as JSON ---- */

static json_t *
memory_json(const struct fetch_memory *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n; i++)
		(void)json_array_append_new(list,
				json_pack("{s:o,s:i,s:b,s:o}", "uidl",
						cli_json_span(m->troubles[i].uidl),
						"attempts",
						(int)m->troubles[i].attempts,
						"set_aside", m->troubles[i].aside,
						"asked_again",
						cli_json_time(m->troubles[i].next_ms)));
	json_t *passed = json_array();
	for (size_t i = 0; i < m->n_passed; i++)
		(void)json_array_append_new(passed,
				json_pack("{s:o,s:s,s:o}", "uidl",
						cli_json_span(m->passed[i].uidl), "why",
						m->passed[i].oversize ? "oversize"
								      : "not deleted",
						"asked_again",
						cli_json_time(m->passed[i].next_ms)));
	return json_pack("{s:i,s:i,s:b,s:b,s:o,s:I,s:o,s:o}", "failures",
			(int)m->failures, "refused_logons", (int)m->refusals,
			"suspended", m->suspended, "held",
			m->held || m->nobody || m->domainless, "no_pipelining_until",
			cli_json_time(m->alone_until_ms), "oversize",
			(json_int_t)m->oversize, "messages", list, "passed_over",
			passed);
}

/* How often a header comes: the most common number, and whether it always does. */
static unsigned
header_times(const struct provider_header *h, bool *always)
{
	unsigned most = 1, all = 0;

	for (unsigned i = 1; i < PROVIDER_TIMES; i++) {
		all += h->times[i];
		if (h->times[i] > h->times[most])
			most = i;
	}
	*always = all * 10 >= (PROVIDER_LEARN - PROVIDER_LEARN_HOPS) * 9;
	return most;
}

static json_t *
provider_json(const struct provider_habits *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->n; i++) {
		bool always;
		unsigned times = header_times(&p->headers[i], &always);

		if (provider_writes(p, span_of(p->headers[i].name)))
			(void)json_array_append_new(list,
					json_pack("{s:s,s:i,s:b}", "header",
							p->headers[i].name, "times",
							(int)times, "always", always));
	}
	return json_pack("{s:b,s:i,s:i,s:o,s:o,s:i}", "learned", provider_known(p),
			"messages", (int)p->seen, "received_lines",
			(int)provider_hops(p), "host", cli_json_span(provider_host(p)),
			"headers", list, "strange", (int)p->strange);
}

static json_t *
events_json(const struct story *s)
{
	json_t *list = json_array();

	const struct event_seen *e;

	for (size_t i = 0; (e = event_at(s, i)); i++)
		(void)json_array_append_new(list,
				json_pack("{s:o,s:i,s:o}", "time",
						cli_json_time(e->time_ms), "id", e->id,
						"text",
						cli_json_span(buf_span(&e->text))));
	return list;
}

static json_t *
sessions_json(const struct story *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n_sessions; i++)
		(void)json_array_append_new(list,
				json_pack("{s:o,s:b,s:o}", "started",
						cli_json_time(s->sessions[i].started_ms),
						"ok", s->sessions[i].ok, "text",
						cli_json_span(s->sessions[i].text)));
	return list;
}

static const char *
tls_name(const struct conf_account *a)
{
	static const char *const names[] = {
		[CONF_TLS_IMPLICIT] = "implicit",
		[CONF_TLS_STARTTLS] = "starttls",
		[CONF_TLS_NONE] = "none",
	};
	return names[a->tls];
}

static const char *
auth_name(const struct conf_account *a)
{
	static const char *const names[] = {
		[CONF_AUTH_AUTO] = "auto",
		[CONF_AUTH_USER] = "user",
		[CONF_AUTH_PLAIN] = "plain",
		[CONF_AUTH_LOGIN] = "login",
		[CONF_AUTH_CRAM_MD5] = "cram-md5",
		[CONF_AUTH_APOP] = "apop",
		[CONF_AUTH_XOAUTH2] = "xoauth2",
		[CONF_AUTH_OAUTHBEARER] = "oauthbearer",
	};
	return names[a->auth];
}

static int
print_json(const struct story *s, bool sessions)
{
	const struct conf_account *a = s->account;
	json_t *j = cli_account_json(a, s->poll, s->today, &s->memory);

	(void)json_object_set_new(j, "user", cli_json_span(span_of(a->user)));
	(void)json_object_set_new(j, "tls", json_string(tls_name(a)));
	(void)json_object_set_new(j, "auth", json_string(auth_name(a)));
	(void)json_object_set_new(
			j, "ok", s->poll ? json_boolean(s->poll->ok) : json_null());
	(void)json_object_set_new(j, "event",
			s->poll && s->poll->event ? json_integer(s->poll->event)
						  : json_null());
	(void)json_object_set_new(j, "memory", memory_json(&s->memory));
	if (a->type == CONF_GLOBAL)
		(void)json_object_set_new(
				j, "provider", provider_json(&s->memory.provider));
	(void)json_object_set_new(j, "events", events_json(s));
	if (sessions)
		(void)json_object_set_new(j, "sessions", sessions_json(s));
	return cli_print_json(j);
}

/* ---- as text ---- */

static void
line(const char *title, struct span value)
{
	(void)printf("%-14s ", title);
	cli_print_span(stdout, value.n > 0 ? value : SPAN("-"), 0);
	(void)putchar('\n');
}

static void
line_time(const char *title, int64_t ms, const char *instead)
{
	struct cli_table t;

	cli_table_init(&t, &title, 1);
	line(title, span_of(ms > 0 ? cli_cell_time(&t, ms) : instead));
	arena_done(&t.arena);
}

static void
print_settings(const struct conf_account *a)
{
	AUTO(buf_done) struct buf text = BUF_MAX(8192);
	char every[24];

	cli_print_server(&text, a);
	line("account", span_of(a->name));
	line("type", span_of(cli_account_type(a)));
	line("server", buf_span(&text));
	buf_clear(&text);
	(void)!buf_addf(&text, "%s%s%s%s", tls_name(a), a->tls_ca ? ", trusting " : "",
			a->tls_ca ? a->tls_ca : "", a->tls_pin ? ", pinned" : "");
	line("tls", buf_span(&text));
	line("user", span_of(a->user));
	line("auth", span_of(auth_name(a)));
	num_duration_print((uint64_t)a->every_s, every);
	line("every", span_of(every));
}

static void
print_poll(const struct story *s)
{
	AUTO(buf_done) struct buf text = BUF_MAX(512);
	const struct poll_result *p = s->poll;

	line_time("last poll", p ? p->ended_ms : 0, "never");
	if (p) {
		line("result", p->text);
		(void)!buf_addf(&text,
				"%" PRIu64 " listed, %" PRIu64 " collected, %" PRIu64
				" deleted, %" PRIu64 " skipped, %" PRIu64 " failed",
				p->listed, p->collected, p->deleted, p->skipped,
				p->failed);
		line("it brought", buf_span(&text));
		buf_clear(&text);
		(void)!buf_addf(&text, "%" PRIu64 " messages, %" PRIu64 " octets",
				p->waiting, p->waiting_octets);
		line("waiting there", buf_span(&text));
		line("server says", p->says);
	}
	line_time("last success", p ? p->success_ms : 0, "never");
	line_time("next poll", cli_next_poll_ms(s->account, p),
			s->memory.suspended ? "suspended" : "not known");
	buf_clear(&text);
	(void)!buf_addf(&text, "%" PRIu64 " messages", s->today);
	line("today", buf_span(&text));
}

/* The envelope headers it writes, when they are known. */
static void
add_headers(const struct provider_habits *p, struct buf *text)
{
	bool any = false;

	for (size_t i = 0; i < p->n; i++) {
		static const char *const words[] = { "", "once", "twice",
			"several times" };
		bool always;
		unsigned times = header_times(&p->headers[i], &always);

		if (!provider_writes(p, span_of(p->headers[i].name)))
			continue;
		(void)!buf_addf(text, "%s%s %s", any ? ", " : "; writes ",
				p->headers[i].name,
				always ? words[times] : "sometimes");
		any = true;
	}
	if (!any)
		(void)!buf_add(text, SPAN("; writes no envelope header"));
}

/* E2: what is obeyed, and from when on. */
static void
print_provider(const struct conf_account *a, const struct provider_habits *p)
{
	AUTO(buf_done) struct buf text = BUF_MAX(8192);
	bool known = provider_known(p);
	unsigned hops = provider_hops(p);

	if (p->seen > 0 && !known)
		(void)!buf_addf(&text, "learning, %u of %u messages seen", p->seen,
				(unsigned)PROVIDER_LEARN);
	if (a->trusted_hops_fixed)
		(void)!buf_addf(&text, "%s%u Received lines as configured",
				text.n ? "; " : "", a->trusted_hops);
	else if (hops > 0)
		(void)!buf_addf(&text, "%sadds %u Received line%s", text.n ? "; " : "",
				hops, hops == 1 ? "" : "s");
	if (provider_host(p).n > 0)
		(void)!buf_addf(&text, " (by " SPAN_FMT ")",
				SPAN_ARG(provider_host(p)));
	if (known)
		add_headers(p, &text);
	line("provider", buf_span(&text));
	if (p->strange > 0)
		(void)printf("The last %u messages were marked in another way (4036). After "
			     "%u in a row it is learned again.\n",
				p->strange, (unsigned)PROVIDER_STRANGE);
}

static void
print_messages(const struct fetch_memory *m)
{
	AUTO(buf_done) struct buf text = BUF_MAX(512);

	if (cli_troubles_print(&text, m->aside, m->n - m->aside, m->again_ms) &&
			text.n > 0)
		(void)printf("%s:\n", buf_cstr(&text));
	for (size_t i = 0; i < m->n && i < SHOWN; i++) {
		(void)fputs("  ", stdout);
		cli_print_span(stdout, m->troubles[i].uidl, 0);
		(void)printf(": %u attempts%s\n", m->troubles[i].attempts,
				m->troubles[i].aside ? ", set aside" : "");
	}
	if (m->n > SHOWN)
		(void)printf("  and %zu more\n", m->n - SHOWN);
	for (size_t i = 0; i < m->n_passed && i < SHOWN; i++) {
		(void)fputs("  ", stdout);
		cli_print_span(stdout, m->passed[i].uidl, 0);
		(void)puts(m->passed[i].oversize ? ": left there for its size"
						 : ": collected, and not deleted");
	}
	if (m->n_passed > SHOWN)
		(void)printf("  and %zu more\n", m->n_passed - SHOWN);
}

static void
print_troubles(const struct story *s)
{
	AUTO(buf_done) struct buf text = BUF_MAX(512);
	const struct fetch_memory *m = &s->memory;

	if (m->kept_ms > 0)
		line_time("keeps since", m->kept_ms, "-");
	if (m->nobody)
		(void)printf("Collection is held: the first messages reached nobody (4018). "
			     "Correct the policies or recipients, then postern accounts resume "
			     "%s.\n",
				s->account->name);
	if (m->domainless)
		(void)puts("Collection is held: no policy domain exists (4018). postern policy add "
			   "DOMAIN makes one.");
	if (m->held)
		(void)printf("Collection is held: the provider renumbered the mailbox "
			     "(4009). postern accounts adopt %s takes the new list.\n",
				s->account->name);
	if (m->suspended && cli_from_print(&text, m->suspended_ms))
		(void)printf("Suspended: the logon was refused %u times (4019). The next one is "
			     "tried %s, or at once when password or settings change; postern "
			     "accounts retry %s tries now.\n",
				m->refusals, buf_cstr(&text), s->account->name);
	else if (m->refusals > 0)
		(void)printf("The logon was refused %u times.\n", m->refusals);
	if (m->failures > 0)
		(void)printf("%u polls in a row have failed.\n", m->failures);
	if (m->oversize > 0)
		(void)printf("%" PRIu64
			     " messages are left there: larger than max_size "
			     "(4010).\n",
				m->oversize);
	print_messages(m);
	if (m->alone_until_ms > 0)
		line_time("no pipelining until", m->alone_until_ms, "-");
}

static void
print_past(const struct story *s)
{
	const struct event_seen *e;

	for (size_t i = 0; (e = event_at(s, i)); i++) {
		char title[32];

		(void)snprintf(title, sizeof(title), "event %d", e->id);
		(void)putchar('\n');
		line_time(title, e->time_ms, "-");
		cli_print_lines(stdout, buf_span(&e->text));
	}
	for (size_t i = 0; i < s->n_sessions; i++) {
		(void)putchar('\n');
		line_time(s->sessions[i].ok ? "session" : "failed session",
				s->sessions[i].started_ms, "-");
		cli_print_lines(stdout, s->sessions[i].text);
	}
}

int
cli_accounts_show(struct cli *c)
{
	bool sessions = false, nothing, ok = true;
	const struct cli_option options[] = { { "--session", NULL, &sessions }, { 0 } };
	struct story s = { .arena = ARENA_MAX(256 * 1024 * 1024) };
	struct err err = { 0 };

	if (!cli_options(c, options, 1, 1))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;
	s.account = cli_account_find(c, c->argv[0]);
	if (!s.account)
		return CLI_USAGE;
	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	if (r)
		ok = read_store(&s, r, sessions, &err);
	reader_close(r);
	ok = ok && read_events(&s, cli_path(c, "events.jsonl"), &err);
	if (ok && c->json) {
		(void)print_json(&s, sessions);
	} else if (ok) {
		print_settings(s.account);
		print_poll(&s);
		if (s.account->type == CONF_GLOBAL)
			print_provider(s.account, &s.memory.provider);
		print_troubles(&s);
		print_past(&s);
	}
	for (size_t i = 0; i < EVENTS; i++)
		buf_done(&s.events[i].text);
	arena_done(&s.arena);
	return ok ? CLI_DONE : cli_fail(CLI_FAILED, "%s", err.text);
}
