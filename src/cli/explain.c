/* explain: a dry run for one message. Changes nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policies.h"
#include "postern/address.h"
#include "postern/file.h"
#include "postern/nexthop.h"
#include "postern/routing.h"

/* The header of the file, or of standard input; the body is not needed. */
static bool
read_header(const char *path, struct buf *out, struct err *err)
{
	bool input = strcmp(path, "-") == 0;
	AUTO(fd_done)
	int fd = input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
		       : open(path, O_RDONLY | O_CLOEXEC);
	struct header_end end = { 0 };

	if (fd < 0)
		return err_errno(err, 0, errno, "cannot open %s", path);
	while (!end.found && out->n < HEADER_MAX) {
		char *room = buf_room(out, 65536);
		ssize_t n = room ? read(fd, room, 65536) : 0;
		if (n < 0)
			return err_errno(err, 0, errno, "cannot read %s", path);
		if (n == 0)
			break;
		buf_grown(out, header_end_feed(&end, (struct span){ room, (size_t)n }));
	}
	return true;
}

struct answers {
	struct policy_set *policies;
	struct nexthop_table *routes;
	json_t *recipients, *refused;
};

static void
answer_one(struct answers *all, struct span address)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(65536);
	AUTO(buf_done) struct buf reply = BUF_MAX(4096);
	char domain[ADDRESS_DOMAIN_MAX + 1] = "";
	struct address parsed;

	if (!address_parse(&a, address, &parsed) ||
			!domain_canon(parsed.domain, domain))
		return;
	struct policy_answer answer =
			policy_decide(all->policies, parsed.local, span_of(domain));
	if (answer.accepted) {
		const struct nexthop *hop =
				nexthop_find(all->routes, span_of(domain), true);
		(void)json_array_append_new(all->recipients,
				json_pack("{s:o,s:s}", "address",
						cli_json_span(address), "route",
						hop->key));
	} else if (policy_reply(&answer, address, &reply)) {
		(void)json_array_append_new(all->refused,
				json_pack("{s:o,s:o}", "address",
						cli_json_span(address), "reply",
						cli_json_span(buf_span(&reply))));
	}
}

static json_t *
candidates_json(const struct recipients *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_candidates; i++) {
		const struct recipients_candidate *x = &r->candidates[i];
		(void)json_array_append_new(list,
				json_pack("{s:o,s:o,s:b,s:s}", "address",
						cli_json_span(x->address), "header",
						cli_json_span(x->header), "kept",
						x->kept, "why", x->why ? x->why : ""));
	}
	return list;
}

static void
print_list(const json_t *list, const char *label, const char *what)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		(void)printf("%s ", label);
		cli_print_span(stdout,
				span_of(json_string_value(
						json_object_get(one, "address"))),
				0);
		(void)fputs(", ", stdout);
		cli_print_span(stdout,
				span_of(json_string_value(json_object_get(one, what))),
				0);
		(void)putchar('\n');
	}
}

static void
print_text(const struct recipients *r, const struct answers *all)
{
	static const char *const titles[] = { "header", "address", "kept", "why" };
	struct cli_table t;

	cli_table_init(&t, titles, 4);
	for (size_t i = 0; i < r->n_candidates; i++) {
		const struct recipients_candidate *x = &r->candidates[i];
		const char *const row[] = { cli_cell(&t, x->header),
			cli_cell(&t, x->address), x->kept ? "yes" : "no",
			x->why ? x->why : "" };
		cli_table_row(&t, row);
	}
	cli_table_print(&t);
	(void)fputs("\nsender <", stdout);
	cli_print_span(stdout, r->sender, 0);
	(void)printf(">\nsource " SPAN_FMT "\n", SPAN_ARG(r->source));
	if (r->outcome == RECIPIENTS_BADMAIL)
		(void)puts("nobody is found: the message would go to Badmail (no-recipients)");
	print_list(all->recipients, "to", "route");
	print_list(all->refused, "refused", "reply");
}

static struct routing_domains
domain_texts(const struct policy_set *set, struct arena *a)
{
	size_t n = policy_size(set), done = 0;
	struct span *texts = arena_alloc(a, (n + 1) * sizeof(*texts));

	for (size_t i = 0; texts && i < n; i++) {
		const struct policy_domain *d = policy_at(set, i);
		AUTO(buf_done) struct buf text = BUF_MAX(1024);
		if (!buf_addf(&text, "%s" SPAN_FMT, d->subdomains ? "*." : "",
				    SPAN_ARG(d->domain)))
			continue;
		texts[done] = arena_dup(a, buf_span(&text));
		done += texts[done].p != NULL;
	}
	return (struct routing_domains){ texts, done };
}

static int
explain(struct cli *c, const struct conf_account *account, struct span header,
		struct reader *reader)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	AUTO(arena_done) struct arena rows = ARENA_MAX(64 * 1024 * 1024);
	struct routing routing;
	struct recipients r = { 0 };
	struct err err = { 0 };
	int status = CLI_FAILED;

	struct answers all = { .policies = policies_now(c, reader, &rows, &err) };
	struct routing_domains domains = all.policies
			? domain_texts(all.policies, &rows)
			: (struct routing_domains){ 0 };
	if (!all.policies ||
			!routing_init(&routing, c->conf, account, &domains, &err)) {
		policy_free(all.policies);
		return cli_fail(CLI_FAILED, "%s", err.text);
	}
	all.routes = nexthop_table_new(&c->conf->delivery.routes);
	all.recipients = json_array();
	all.refused = json_array();
	recipients_decide(&routing.account, header, &a, &r);
	for (size_t i = 0; i < r.n; i++)
		answer_one(&all, r.v[i]);
	if (c->json) {
		status = cli_print_json(json_pack("{s:s,s:o,s:o,s:o,s:O,s:O}",
				"account", account->name, "sender",
				cli_json_span(r.sender), "source",
				cli_json_span(r.source), "candidates",
				candidates_json(&r), "recipients", all.recipients,
				"refused", all.refused));
	} else {
		print_text(&r, &all);
		status = CLI_DONE;
	}
	json_decref(all.recipients);
	json_decref(all.refused);
	nexthop_table_free(all.routes);
	policy_free(all.policies);
	routing_done(&routing);
	return status;
}

int
cli_explain(struct cli *c)
{
	AUTO(buf_done) struct buf header = BUF_MAX(HEADER_MAX + 2 * 65536);
	const char *name = NULL;
	const struct cli_option options[] = { { "--account", &name, NULL }, { 0 } };
	struct err err = { 0 };
	bool nothing;

	if (!cli_options(c, options, 1, 1))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;
	if (!name && c->conf->accounts.n == 1)
		name = c->conf->accounts.p[0].name;
	if (!name)
		return cli_fail(CLI_USAGE,
				"--account NAME is needed: who gets a message depends on it");

	const struct conf_account *account = conf_account_find(c->conf, name);
	if (!account)
		return cli_fail(CLI_USAGE, "there is no account %s", name);
	if (!read_header(c->argv[0], &header, &err))
		return cli_fail(CLI_FAILED, "%s", err.text);

	struct reader *reader = cli_reader_open(c, &nothing);
	if (!reader && !nothing)
		return CLI_FAILED;
	int status = explain(c, account, buf_span(&header), reader);
	reader_close(reader);
	return status;
}
