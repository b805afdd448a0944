/* unrouted assign, rules, forget: somebody says who gets it. */
#include <inttypes.h>
#include <string.h>

#include "directory.h"
#include "explain_words.h"
#include "postern/clock.h"
#include "postern/header.h"
#include "postern/log.h"
#include "postern/qid.h"
#include "postern/routing.h"
#include "unrouted.h"
#include "unrouted_match.h"

enum { ROWS_MEMORY = 64 * 1024 * 1024, STORY_MEMORY = 256 * 1024 * 1024 };

/* Whom it is given to: found once, for all the messages named. */
struct target {
	struct span address; /* wire form */
	const struct queue_target *to; /* himself, or a list's members */
	size_t n;
	bool list;
};

struct assigning {
	struct cli *c;
	struct directory *directory;
	struct store *store;
	struct target to;
	bool rule;
	const char *match; /* typed, or NULL: from each message */
	json_t *json;
	bool changed;
};

/* ---- the recipient ---- */

static void
say_refused(const struct directory_said *said, struct arena *a)
{
	AUTO(buf_done) struct buf advice = BUF_MAX(4096);
	const struct words_refused r = { said->asked, said->reply,
		span_of(rcpt_reason(said->rcpt.why)) };
	bool advised = words_refused_advice(&r, &advice) && buf_cstr(&advice);

	(void)cli_fail(0, "nothing is changed: the relay would say %s%s%s",
			arena_str(a, said->reply), advised ? ". " : "",
			advised ? advice.p : "");
}

/* RECIPIENT, an address or an alias, as the relay would have it at RCPT, or its words. */
static bool
find_target(struct assigning *x, const char *text, struct nexthop_table *routes,
		struct arena *a)
{
	const struct directory_entry *entry =
			directory_alias(x->directory, span_of(text));
	struct span address = entry ? entry->primary : span_of(text);
	struct target *out = &x->to;
	const struct rcpt_rules rules = { x->directory, routes,
		span_of(x->c->conf->server.postmaster) };
	struct directory_said said;

	if (!directory_ask(&rules, address, a, &said)) {
		(void)cli_fail(0,
				"%s is no address, nor the alias of a recipient with one; "
				"postern recipient list shows them",
				text);
		return false;
	}
	if (!said.rcpt.accepted) {
		say_refused(&said, a);
		return false;
	}
	struct queue_target *to = arena_alloc(a, said.rcpt.n * sizeof(*to));
	out->address = directory_wire(a, address);
	if (!to || !out->address.p) {
		(void)cli_fail(0, "%s leads to too many recipients", text);
		return false;
	}
	for (size_t i = 0; i < said.rcpt.n; i++)
		to[i] = (struct queue_target){ said.rcpt.v[i].address,
			span_of(rcpt_hop(&rules, said.rcpt.v[i].domain)->key) };
	out->to = to;
	out->n = said.rcpt.n;
	out->list = said.rcpt.list != NULL;
	return said.rcpt.n > 0;
}

/* ---- the rule ---- */

/* What the rule for messages like this one matches; says why there can be none. */
static bool
make_match(struct assigning *x, const char *id, struct span account, struct span header,
		struct buf *out, enum unrouted_kind *kind)
{
	const struct conf *conf = x->c->conf;
	struct routing routing;
	struct err err = { 0 };

	*kind = UNROUTED_NOTHING;
	if (x->match)
		return buf_add(out, span_of(x->match));
	const struct conf_account *of = NULL;
	for (size_t i = 0; i < conf->accounts.n; i++) {
		if (span_eq(account, span_of(conf->accounts.p[i].name)))
			of = &conf->accounts.p[i];
	}
	/* Of an account that is not configured any more the domains are not known. */
	if (of && !routing_init(&routing, conf, of, x->directory, NULL, &err)) {
		(void)cli_fail(0, "%s", err.text);
		return false;
	}
	*kind = unrouted_match(header, of ? &routing.served : NULL, out);
	if (of)
		routing_done(&routing);
	if (*kind == UNROUTED_ENCODED)
		(void)cli_fail(0,
				"%s: the text in To is encoded; say what a rule is to match "
				"with --match TEXT",
				id);
	else if (*kind == UNROUTED_NOTHING)
		(void)cli_fail(0,
				"%s: neither List-Id nor To offers what a rule could match; "
				"say it with --match TEXT",
				id);
	return *kind != UNROUTED_ENCODED && *kind != UNROUTED_NOTHING;
}

/* ---- one message ---- */

static void
report(struct assigning *x, const char *id, const struct aliasstore_rule *rule,
		enum unrouted_kind kind, bool added)
{
	struct span to = x->to.address;

	if (x->c->json) {
		json_t *j = json_pack("{s:s,s:o,s:o}", "id", id, "address",
				cli_json_span(to), "route",
				cli_json_span(x->to.to[0].hop));
		(void)json_object_set_new(j, "rule",
				rule ? json_pack("{s:o,s:o,s:o,s:b}", "account",
						       cli_json_span(rule->account),
						       "match",
						       cli_json_span(rule->match),
						       "target",
						       cli_json_span(rule->target),
						       "new", added)
				     : json_null());
		(void)json_array_append_new(x->json, j);
		return;
	}
	(void)printf("%s goes to ", id);
	cli_print_span(stdout, to, 0);
	(void)fputs(", next hop ", stdout);
	cli_print_span(stdout, x->to.to[0].hop, 0);
	if (x->to.n > 1)
		(void)printf(" (and %zu more members)", x->to.n - 1);
	(void)putchar('\n');
	if (!rule)
		return;
	(void)fputs(added ? "From now on mail of account "
			  : "There is a rule already: mail of account ",
			stdout);
	cli_print_span(stdout, rule->account, 0);
	(void)printf(" %s ", unrouted_kind_words(kind));
	cli_print_span(stdout, rule->match, 0);
	(void)fputs(" goes to ", stdout);
	cli_print_span(stdout, to, 0);
	(void)puts(added && !x->match ? " (another text: --match TEXT)." : ".");
}

/* 9002 under the message's own id, so that its trace tells it. */
static void
say_assigned(struct assigning *x, const char *id, const struct queue_message *m,
		const struct aliasstore_rule *rule)
{
	AUTO(buf_done) struct buf detail = BUF_MAX(4096);

	if (buf_addf(&detail, "%s to " SPAN_FMT, id, SPAN_ARG(x->to.address)) && rule)
		(void)!buf_addf(&detail, ", with a rule for \"" SPAN_FMT "\"",
				SPAN_ARG(rule->match));
	log_event(EVENT_ADMIN_ACTION,
			FIELDS(f_span("account", m->account), f_str("id", id),
					f_str("user", cli_user()),
					f_str("action", "unrouted assign"),
					f_span("detail", buf_span(&detail))));
}

/* It never was, or somebody was named for it, maybe a moment ago. */
static void
say_not_held(const char *id)
{
	(void)cli_fail(0,
			"%s is not held as unrouted (any more); postern trace %s tells what "
			"became of it",
			id, id);
}

static bool
assign(struct assigning *x, const char *id, const struct queue_message *m,
		struct span header)
{
	AUTO(buf_done) struct buf match = BUF_MAX(ALIAS_MATCH_MAX + ADDRESS_SIZE);
	enum unrouted_kind kind = UNROUTED_NOTHING;
	int64_t now = clock_wall_ms();
	struct aliasstore_rule rule = {
		.account = m->account, .target = x->to.address, .made_ms = now
	};
	struct queue_assignment what = { .id = m->id,
		.address = x->to.address,
		.to = x->to.to,
		.n = x->to.n,
		.list = x->to.list,
		.now_ms = now,
		.rule = x->rule ? &rule : NULL };
	struct err err = { 0 };
	bool was = false, added = false;

	if (x->rule && !make_match(x, id, m->account, header, &match, &kind))
		return false;
	rule.match = buf_span(&match);
	if (!queue_assign(x->store, &what, &was, &added, &err)) {
		(void)cli_fail(0, "%s", err.text);
		return false;
	}
	if (!was) {
		say_not_held(id);
		return false;
	}
	x->changed = true;
	report(x, id, what.rule, kind, added);
	say_assigned(x, id, m, what.rule);
	return true;
}

static bool
assign_id(struct assigning *x, const char *id)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(STORY_MEMORY);
	struct queue_story story = { 0 };
	struct err err = { 0 };
	bool found = false;
	uint64_t qid;

	if (!qid_parse(span_of(id), &qid)) {
		(void)cli_fail(0, "%s is no queue id; postern unrouted list shows them",
				id);
		return false;
	}
	struct reader *r = store_reader(x->store);
	if (!queue_show(r, qid, &a, &story, &found, &err)) {
		(void)cli_fail(0, "%s", err.text);
		return false;
	}
	if (!found) {
		(void)cli_fail(0,
				"there is no message %s; postern unrouted list shows those that "
				"are held",
				id);
		return false;
	}
	if (!unrouted_held(&story.message)) {
		say_not_held(id);
		return false;
	}
	return assign(x, id, &story.message, cli_stored_header(r, qid, HEADER_MAX, &a));
}

static int
assign_all(struct assigning *x)
{
	AUTO(arena_done) struct arena rows = ARENA_MAX(ROWS_MEMORY);
	struct cli *c = x->c;
	struct nexthop_table *routes = nexthop_table_new(&c->conf->delivery.routes);
	struct err err = { 0 };

	x->directory = directory_now(c, store_reader(x->store), &err);
	if (!x->directory)
		(void)cli_fail(0, "%s", err.text);
	bool found = x->directory &&
			find_target(x, c->argv[c->argc - 1], routes, &rows);
	bool fine = found;

	for (int i = 0; found && i + 1 < c->argc; i++)
		fine = assign_id(x, c->argv[i]) && fine;
	nexthop_table_free(routes);
	directory_free(x->directory);
	x->directory = NULL;
	return fine ? CLI_DONE : CLI_FAILED;
}

int
cli_unrouted_assign(struct cli *c)
{
	struct assigning x = { .c = c };
	const struct cli_option options[] = { { "--rule", NULL, &x.rule },
		{ "--match", &x.match, NULL }, { 0 } };
	struct err err = { 0 };

	if (!cli_options(c, options, 2, 10000))
		return CLI_USAGE;
	if (x.match && !x.rule)
		return cli_fail(CLI_USAGE, "--match goes with --rule");
	if (x.match && (x.match[0] == '\0' || strlen(x.match) > ALIAS_MATCH_MAX))
		return cli_fail(CLI_USAGE, "--match takes 1 to %d octets",
				ALIAS_MATCH_MAX);
	if (!cli_state(c))
		return CLI_CONFIG;
	if (!cli_log_quietly(c->conf, &err))
		return cli_fail(CLI_FAILED, "%s", err.text);

	x.store = cli_store_open(c);
	x.json = json_array();
	int status = x.store ? assign_all(&x) : CLI_FAILED;
	store_close(x.store);
	log_close();
	if (x.changed)
		cli_wake_relay(c);
	if (c->json && x.store)
		(void)cli_print_json(x.json);
	else
		json_decref(x.json);
	return status;
}

/* ---- rules ---- */

static int
print_rules(struct cli *c, const struct aliasstore_rule *rules, size_t n)
{
	static const char *const titles[] = { "account", "match", "goes to", "made" };
	json_t *list = json_array();
	struct cli_table t;

	cli_table_init(&t, titles, 4);
	for (size_t i = 0; i < n; i++) {
		const struct aliasstore_rule *r = &rules[i];
		const char *const row[] = { cli_cell(&t, r->account),
			cli_cell(&t, r->match), cli_cell(&t, r->target),
			cli_cell_time(&t, r->made_ms) };
		cli_table_row(&t, row);
		(void)json_array_append_new(list,
				json_pack("{s:o,s:o,s:o,s:o}", "account",
						cli_json_span(r->account), "match",
						cli_json_span(r->match), "target",
						cli_json_span(r->target), "made",
						cli_json_time(r->made_ms)));
	}
	if (!c->json && n > 0)
		cli_table_print(&t);
	else
		arena_done(&t.arena);
	if (c->json)
		return cli_print_json(list);
	json_decref(list);
	if (n == 0)
		(void)puts("No rule was made by unrouted assign --rule; those of the "
			   "configuration stand there.");
	return CLI_DONE;
}

int
cli_unrouted_rules(struct cli *c)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(ROWS_MEMORY);
	struct aliasstore_rule *rules = NULL;
	struct err err = { 0 };
	bool nothing, ok = true;
	size_t n = 0;

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	if (r)
		ok = aliasstore_load(r, SPAN(""), &a, &rules, &n, &err);
	reader_close(r);
	return ok ? print_rules(c, rules, n) : cli_fail(CLI_FAILED, "%s", err.text);
}

int
cli_unrouted_forget(struct cli *c)
{
	AUTO(buf_done) struct buf detail = BUF_MAX(4096);
	struct err err = { 0 };
	uint64_t was = 0;

	if (!cli_options(c, NULL, 2, 2))
		return CLI_USAGE;
	if (!cli_state(c))
		return CLI_CONFIG;

	struct store *s = cli_store_open(c);
	bool done = s &&
			aliasstore_forget(s, span_of(c->argv[0]), span_of(c->argv[1]),
					&was, &err);
	store_close(s);
	if (!done)
		return s ? cli_fail(CLI_FAILED, "%s", err.text) : CLI_FAILED;
	if (was == 0)
		return cli_fail(CLI_FAILED,
				"account %s has no such rule; see postern unrouted rules",
				c->argv[0]);
	if (!buf_addf(&detail, "%s \"%s\"", c->argv[0], c->argv[1]) ||
			!buf_cstr(&detail))
		buf_clear(&detail);
	cli_changed(c, "unrouted forget", detail.n > 0 ? detail.p : c->argv[0]);
	if (c->json)
		return cli_print_json(json_pack("{s:s,s:s,s:I}", "account", c->argv[0],
				"match", c->argv[1], "removed", (json_int_t)was));
	(void)printf("%" PRIu64 " rules are forgotten.\n", was);
	return CLI_DONE;
}
