/* check --online: every mailbox is looked into, every route is greeted. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "postern/clock.h"
#include "postern/date.h"
#include "postern/event.h"
#include "postern/fetch.h"
#include "postern/log.h"
#include "postern/num.h"
#include "postern/sandbox.h"

enum { DAY_S = 24 * 3600, EXPIRES_SOON_DAYS = 21 };

static int64_t
days_left(const struct fetch_look *l)
{
	int64_t left = l->facts.expires_s - clock_wall_ms() / 1000;

	return left < 0 ? -1 : left / DAY_S;
}

/* ---- what is good ---- */

static void
add_tls(struct buf *out, const struct conf_account *a, const struct fetch_look *l)
{
	char when[DATE_ISO_SIZE];

	if (!l->tls) {
		(void)!buf_add(out, SPAN(", without TLS"));
		return;
	}
	date_iso(l->facts.expires_s * 1000, when);
	(void)!buf_addf(out, ", %s, certificate of %s until %.10s (%lld days)%s",
			l->facts.version, l->facts.owner, when, (long long)days_left(l),
			a->tls_pin && !a->tls_ca ? ", pinned" : "");
}

static void
add_good(struct buf *out, const struct conf_account *a, const struct fetch_result *r,
		const struct fetch_look *l)
{
	(void)!buf_addf(out,
			"logged on by %s, %" PRIu64 " messages wait there (%" PRIu64
			" octets)",
			l->mechanism ? l->mechanism : "-", r->listed, l->octets);
	add_tls(out, a, l);
}

/* ---- what could be better ---- */

static void
warn(json_t *list, const char *text)
{
	(void)json_array_append_new(list, cli_json_span(span_of(text)));
}

static void
warn_certificate(json_t *list, const struct conf_account *a, const struct fetch_look *l)
{
	AUTO(buf_done) struct buf words = BUF_MAX(1024);

	if (!l->tls || l->facts.expires_s == 0 || (a->tls_pin && !a->tls_ca) ||
			days_left(l) >= EXPIRES_SOON_DAYS)
		return;
	if (log_words(&words, EVENT_CERTIFICATE_EXPIRES,
			    FIELDS(f_str("host", a->server.name),
					    f_num("days", days_left(l)))) &&
			buf_cstr(&words))
		warn(list, words.p);
}

static void
warn_delay(json_t *list, const struct conf_account *a, const struct fetch_look *l)
{
	char delay[24], every[24], text[256];

	if (l->login_delay_s == 0 || (int64_t)l->login_delay_s <= a->every_s)
		return;
	num_duration_print(l->login_delay_s, delay);
	num_duration_print((uint64_t)a->every_s, every);
	(void)snprintf(text, sizeof(text),
			"the server wants %s between two logons (LOGIN-DELAY), but every is "
			"%s: it is polled less often",
			delay, every);
	warn(list, text);
}

static json_t *
warnings(const struct conf_account *a, const struct fetch_look *l)
{
	json_t *list = json_array();

	warn_certificate(list, a, l);
	if (!l->capa)
		warn(list, "the server knows no CAPA: commands are sent one by one");
	else if (!l->pipelining)
		warn(list,
				"no PIPELINING: each command waits for its answer, which is "
				"slower with many messages");
	if (l->unnamed > 0)
		warn(list,
				"some messages have no usable unique-id (UIDL): they are told "
				"apart by content, so kept ones are retrieved at every poll");
	else if (l->capa && !l->uidl)
		warn(list,
				"no UIDL among the capabilities: where it is missing, "
				"messages are told apart by content");
	if (l->capa && !l->top)
		warn(list,
				"no TOP: the recipients of a message larger than max_size "
				"cannot be told");
	warn_delay(list, a, l);
	return list;
}

/* ---- accounts ---- */

static void
print_account(const struct conf_account *a, struct span text, const char *hint,
		const json_t *list)
{
	(void)printf("%s: ", a->name);
	cli_print_lines(stdout, text);
	if (hint[0]) {
		(void)fputs("    hint: ", stdout);
		cli_print_lines(stdout, span_of(hint));
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		(void)fputs("    warning: ", stdout);
		cli_print_lines(stdout,
				span_of(json_string_value(json_array_get(list, i))));
	}
	(void)fflush(stdout);
}

static json_t *
account_json(const struct conf_account *a, const struct fetch_result *r,
		const struct fetch_look *l, struct span text)
{
	bool ok = !r->failed;

	return json_pack("{s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "name", a->name,
			"ok", ok, "text", cli_json_span(text), "hint",
			l->hint[0] ? cli_json_span(span_of(l->hint)) : json_null(),
			"event", ok ? json_null() : json_integer(r->error.event), "tls",
			ok && l->tls ? json_string(l->facts.version) : json_null(),
			"certificate_expires",
			cli_json_time(ok && l->tls ? l->facts.expires_s * 1000 : 0),
			"certificate_issuer",
			ok && l->tls ? cli_json_span(span_of(l->facts.issuer))
				     : json_null(),
			"mechanism",
			ok && l->mechanism ? json_string(l->mechanism) : json_null(),
			"waiting",
			ok ? json_integer((json_int_t)r->listed) : json_null());
}

static bool
check_account(struct cli *c, size_t i, json_t *all)
{
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	const struct conf_account *a = &c->conf->accounts.p[i];
	struct fetch_result r = { 0 };
	struct fetch_look l;
	bool ok = fetch_try(c->conf, i, &r, &l);

	if (ok)
		add_good(&text, a, &r, &l);
	else
		(void)!buf_add(&text, span_of(l.words[0] ? l.words : r.error.text));

	json_t *list = ok ? warnings(a, &l) : json_array();
	if (all) {
		json_t *j = account_json(a, &r, &l, buf_span(&text));
		(void)json_object_set(j, "warnings", list);
		(void)json_array_append_new(json_object_get(all, "accounts"), j);
	} else {
		print_account(a, buf_span(&text), l.hint, list);
	}
	json_decref(list);
	return ok;
}

/* ---- routes ---- */

static void
add_hop(struct buf *out, const struct conf_hop *to)
{
	static const char *const kinds[] = {
		[CONF_HOP_DROP] = "drop",
		[CONF_HOP_MAILDIR] = "maildir",
		[CONF_HOP_SMTP] = "smtp",
		[CONF_HOP_LMTP] = "lmtp",
		[CONF_HOP_LMTP_UNIX] = "lmtp",
		[CONF_HOP_MX] = "mx",
		[CONF_HOP_ETRN] = "etrn",
	};

	(void)!buf_addf(out, "%s", kinds[to->kind]);
	if (to->path)
		(void)!buf_addf(out, ":%s", to->path);
	else if (to->host.name)
		(void)!buf_addf(out, strchr(to->host.name, ':') ? ":[%s]:%u" : ":%s:%u",
				to->host.name, to->host.port);
}

static bool
same_hop(const struct conf_hop *x, const struct conf_hop *y)
{
	return x->kind == y->kind && x->host.port == y->host.port &&
			span_eq(span_of(x->host.name), span_of(y->host.name)) &&
			span_eq(span_of(x->path), span_of(y->path));
}

/* Two routes to one place are greeted once. */
struct greeted {
	const struct conf_hop *to;
	struct greeting said;
};

static const struct greeting *
greet_once(struct cli *c, const struct conf_hop *to, struct greeted *seen, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		if (same_hop(seen[i].to, to))
			return &seen[i].said;
	seen[*n].to = to;
	cli_greet(c, to, &seen[*n].said);
	return &seen[(*n)++].said;
}

static void
print_route(const struct conf_route *r, const struct greeting *g, json_t *all)
{
	AUTO(buf_done) struct buf to = BUF_MAX(8192), domain = BUF_MAX(1024);

	add_hop(&to, &r->to);
	(void)!buf_addf(&domain, "%s%s", r->subdomains ? "*." : "", r->domain);
	if (all) {
		(void)json_array_append_new(json_object_get(all, "routes"),
				json_pack("{s:o,s:o,s:b,s:o}", "domain",
						cli_json_span(buf_span(&domain)), "to",
						cli_json_span(buf_span(&to)), "ok",
						g->ok, "text",
						cli_json_span(span_of(g->text))));
		return;
	}
	cli_print_span(stdout, buf_span(&domain), 0);
	(void)fputs(" -> ", stdout);
	cli_print_span(stdout, buf_span(&to), 0);
	(void)printf(": %s", g->ok ? "" : "error: ");
	cli_print_lines(stdout, span_of(g->text));
	(void)fflush(stdout);
}

static bool
check_routes(struct cli *c, json_t *all)
{
	const struct conf_routes *routes = &c->conf->delivery.routes;
	struct greeted *seen = calloc(routes->n + 1, sizeof(*seen));
	size_t n = 0;
	bool fine = true;

	if (!seen)
		abort();
	for (size_t i = 0; i < routes->n; i++) {
		const struct greeting *g = greet_once(c, &routes->p[i].to, seen, &n);

		fine = fine && g->ok;
		print_route(&routes->p[i], g, all);
	}
	free(seen);
	return fine;
}

int
cli_check_online(struct cli *c, json_t *all)
{
	struct err err = { 0 };
	bool fine = true;

	/* It is to see what the service will see. */
	if (geteuid() == 0 && c->conf->server.user &&
			!sandbox_user(c->conf->server.user, &err))
		return cli_fail(CLI_FAILED, "%s", err.text);
	for (size_t i = 0; i < c->conf->accounts.n; i++)
		fine = check_account(c, i, all) && fine;
	fine = check_routes(c, all) && fine;
	return fine ? CLI_DONE : CLI_FAILED;
}
