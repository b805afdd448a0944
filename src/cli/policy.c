/* policy list, show, apply, add, remove, test */
#include <stdlib.h>
#include <string.h>

#include "directory.h"
#include "postern/log.h"
#include "postern/nexthop.h"

static json_t *
policy_json(const struct policystore_policy *p)
{
	json_t *domains = json_array(), *addresses = json_array(),
	       *groups = json_array();

	for (size_t i = 0; i < p->n_domains; i++) {
		const struct policystore_domain *d = &p->domains[i];
		AUTO(buf_done) struct buf name = BUF_MAX(1024);
		(void)!buf_addf(&name, "%s" SPAN_FMT, d->subdomains ? "*." : "",
				SPAN_ARG(d->name));
		(void)json_array_append_new(domains,
				json_pack("{s:o,s:b,s:s,s:o,s:b}", "domain",
						cli_json_span(buf_span(&name)),
						"authoritative", d->authoritative,
						"unknown",
						d->reject_unknown ? "reject" : "accept",
						"subaddress",
						cli_json_span(d->subaddress), "by_hand",
						d->by_hand || p->source == POLICYSTORE_HAND));
	}
	for (size_t i = 0; i < p->n_addresses; i++)
		(void)json_array_append_new(addresses,
				json_pack("{s:o,s:b}", "template",
						cli_json_span(p->addresses[i].text),
						"primary", p->addresses[i].primary));
	for (size_t i = 0; i < p->n_groups; i++)
		(void)json_array_append_new(groups, cli_json_span(p->groups[i]));
	return json_pack("{s:o,s:o,s:I,s:o,s:o,s:o}", "name", cli_json_span(p->name),
			"file", p->file.n > 0 ? cli_json_span(p->file) : json_null(),
			"priority", (json_int_t)p->priority, "domains", domains,
			"addresses", addresses, "groups", groups);
}

static void
print_domains(const struct policystore_policy *p)
{
	for (size_t i = 0; i < p->n_domains; i++) {
		const struct policystore_domain *d = &p->domains[i];
		(void)printf("  %s" SPAN_FMT "  %s%s, sub-addresses %s" SPAN_FMT "%s\n",
				d->subdomains ? "*." : "", SPAN_ARG(d->name),
				d->authoritative ? "authoritative" : "shared",
				d->reject_unknown ? ", rejects who is unknown" : "",
				d->subaddress.n > 0 ? "by " : "off",
				SPAN_ARG(d->subaddress),
				d->by_hand ? ", added by hand" : "");
	}
}

static void
print_policy(const struct policystore_policy *p, bool whole)
{
	(void)printf(SPAN_FMT " (priority %lld", SPAN_ARG(p->name),
			(long long)p->priority);
	if (p->file.n > 0) {
		(void)fputs(", from ", stdout);
		cli_print_span(stdout, p->file, 0);
	}
	(void)puts(")");
	print_domains(p);
	for (size_t k = 0; whole && k < p->n_groups; k++)
		(void)printf("  group " SPAN_FMT "\n", SPAN_ARG(p->groups[k]));
	for (size_t k = 0; whole && k < p->n_addresses; k++)
		(void)printf("  %s " SPAN_FMT "\n",
				p->addresses[k].primary ? "primary" : "address",
				SPAN_ARG(p->addresses[k].text));
}

/* Prints all policies, or the one of that name. */
static int
print_policies(struct cli *c, const char *only)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct policystore_policy *all = NULL;
	struct err err = { 0 };
	uint64_t version;
	size_t n = 0;
	bool nothing, found = false;

	if (!cli_conf(c))
		return CLI_CONFIG;
	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	if (r && !policystore_load(r, &a, &all, &n, &version, &err)) {
		reader_close(r);
		return cli_fail(CLI_FAILED, "%s", err.text);
	}
	reader_close(r);

	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		if (only && !span_eq(all[i].name, span_of(only)))
			continue;
		found = true;
		(void)json_array_append_new(list, policy_json(&all[i]));
		if (c->json)
			continue;
		print_policy(&all[i], only != NULL);
	}
	if (only && !found) {
		json_decref(list);
		return cli_fail(CLI_FAILED, "there is no policy %s", only);
	}
	if (c->json && only) {
		json_t *one = json_incref(json_array_get(list, 0));
		json_decref(list);
		return cli_print_json(one);
	}
	if (c->json)
		return cli_print_json(list);
	json_decref(list);
	if (n == 0)
		(void)puts("No policies: every recipient would be refused. postern policy add DOMAIN "
			   "makes a domain one of ours.");
	return CLI_DONE;
}

int
cli_policy_list(struct cli *c)
{
	return cli_options(c, NULL, 0, 0) ? print_policies(c, NULL) : CLI_USAGE;
}

int
cli_policy_show(struct cli *c)
{
	return cli_options(c, NULL, 1, 1) ? print_policies(c, c->argv[0]) : CLI_USAGE;
}

static int
apply(struct cli *c, const struct policy_files *files)
{
	struct err err = { 0 };
	uint64_t changed = 0;
	struct store *s = cli_store_open(c);

	/* The domains that are taken back are for the record. */
	if (s && !cli_log_quietly(c->conf, &err))
		(void)cli_fail(0, "%s", err.text);
	bool done = s && policy_files_apply(s, files, &changed, &err);

	log_close();
	store_close(s);
	if (!done)
		return s ? cli_fail(CLI_FAILED, "%s", err.text) : CLI_FAILED;
	cli_changed(c, "policy apply", "policy files");
	if (c->json)
		return cli_print_json(json_pack("{s:I,s:I}", "policies",
				(json_int_t)files->n, "changed", (json_int_t)changed));
	(void)printf("%zu policies applied, %llu changed.\n", files->n,
			(unsigned long long)changed);
	return CLI_DONE;
}

int
cli_policy_apply(struct cli *c)
{
	struct policy_files files;
	bool dry = false;
	const struct cli_option options[] = { { "--dry-run", NULL, &dry }, { 0 } };
	int status = CLI_CONFIG;

	if (!cli_options(c, options, 0, 1000))
		return CLI_USAGE;
	if (!(dry ? cli_conf(c) : cli_state(c)))
		return CLI_CONFIG;

	struct conf_faults *faults = malloc(sizeof(*faults));
	if (!faults)
		abort();
	conf_faults_init(faults);
	policy_files_read(c, c->argv, (size_t)c->argc, &files, faults);
	if (cli_print_faults(faults, stderr) == 0)
		status = dry ? policy_dry_run(c, &files) : apply(c, &files);
	policy_files_done(&files);
	conf_faults_done(faults);
	free(faults);
	return status;
}

int
cli_policy_add(struct cli *c)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(65536);
	const char *policy = "added", *why = NULL, *domain = NULL;
	const struct cli_option options[] = { { "--policy", &policy, NULL }, { 0 } };
	struct policystore_domain row = { .authoritative = true,
		.subaddress = SPAN("+") };
	struct err err = { 0 };

	if (!cli_options(c, options, 1, 1))
		return CLI_USAGE;
	if (!conf_domain_parse(span_of(c->argv[0]), &a, &domain, &row.subdomains, &why))
		return cli_fail(CLI_USAGE, "%s is no domain: expected %s", c->argv[0],
				why);
	if (!conf_name_ok(span_of(policy)))
		return cli_fail(CLI_USAGE, "%s cannot be the name of a policy", policy);
	if (!cli_state(c))
		return CLI_CONFIG;

	struct store *s = cli_store_open(c);
	row.name = span_of(domain);
	bool added = false,
	     done = s &&
			policystore_add_domain(
					s, span_of(policy), 100, &row, &added, &err);
	store_close(s);
	if (!done)
		return s ? cli_fail(CLI_FAILED, "%s", err.text) : CLI_FAILED;
	cli_changed(c, "policy add", c->argv[0]);
	if (c->json)
		return cli_print_json(json_pack(
				"{s:s,s:s}", "domain", c->argv[0], "policy", policy));
	if (!added)
		(void)printf("%s is in policy %s already.\n", c->argv[0], policy);
	else
		(void)printf("%s is a policy domain now (policy %s).\n", c->argv[0],
				policy);
	return CLI_DONE;
}

/* What a file names comes back with it. */
static void
warn_of_files(struct store *s, struct span domain, bool subdomains)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct policystore_policy *all;
	struct err err = { 0 };
	uint64_t version;
	size_t n;

	if (!policystore_load(store_reader(s), &a, &all, &n, &version, &err))
		return; /* the removal says why */
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < all[i].n_domains; k++) {
			const struct policystore_domain *d = &all[i].domains[k];

			if (all[i].source != POLICYSTORE_HAND && !d->by_hand &&
					d->subdomains == subdomains &&
					span_eq(d->name, domain))
				(void)cli_fail(0,
						SPAN_FMT
						" names this domain: take it out there too, or the next "
						"start puts it back",
						SPAN_ARG(all[i].file));
		}
}

int
cli_policy_remove(struct cli *c)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(65536);
	const char *why = NULL, *domain = NULL;
	struct err err = { 0 };
	bool subdomains = false;
	uint64_t was = 0;

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	if (!conf_domain_parse(span_of(c->argv[0]), &a, &domain, &subdomains, &why))
		return cli_fail(CLI_USAGE, "%s is no domain: expected %s", c->argv[0],
				why);
	if (!cli_state(c))
		return CLI_CONFIG;

	struct store *s = cli_store_open(c);
	if (s)
		warn_of_files(s, span_of(domain), subdomains);
	bool done = s &&
			policystore_remove_domain(
					s, span_of(domain), subdomains, &was, &err);
	store_close(s);
	if (!done)
		return s ? cli_fail(CLI_FAILED, "%s", err.text) : CLI_FAILED;
	if (was == 0)
		return cli_fail(CLI_FAILED, "%s is in no policy", c->argv[0]);
	cli_changed(c, "policy remove", c->argv[0]);
	if (c->json)
		return cli_print_json(json_pack("{s:s,s:I}", "domain", c->argv[0],
				"removed", (json_int_t)was));
	(void)printf("%s was taken out of %llu policies.\n", c->argv[0],
			(unsigned long long)was);
	return CLI_DONE;
}

/* The one route of all its addresses; NULL: there are several. */
static const char *
one_route(const struct rcpt_rules *rules, const struct directory_said *said)
{
	const char *key = NULL;

	for (size_t i = 0; i < said->rcpt.n; i++) {
		const char *next = rcpt_hop(rules, said->rcpt.v[i].domain)->key;

		if (key && strcmp(key, next) != 0)
			return NULL;
		key = next;
	}
	return key;
}

static int
test_json(const struct rcpt_rules *rules, const struct directory_said *said)
{
	const struct directory_entry *e = said->rcpt.decision.to.entry;
	const struct policy_domain *row = said->rcpt.decision.row;
	const char *route = one_route(rules, said);
	json_t *goes = json_array();

	for (size_t i = 0; i < said->rcpt.n; i++)
		(void)json_array_append_new(goes,
				json_pack("{s:o,s:s}", "address",
						cli_json_span(said->rcpt.v[i].address),
						"route",
						rcpt_hop(rules, said->rcpt.v[i].domain)
								->key));
	return cli_print_json(json_pack("{s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:s,s:o}",
			"address", cli_json_span(said->asked), "accepted",
			said->rcpt.accepted, "reply", cli_json_span(said->reply),
			"policy", row ? cli_json_span(row->policy) : json_null(),
			"recipient", e ? cli_json_span(e->alias) : json_null(),
			"primary", e ? cli_json_span(e->primary) : json_null(), "route",
			route ? json_string(route) : json_null(), "found",
			directory_found(said), "delivers_to", goes));
}

static void
test_text(const struct rcpt_rules *rules, const struct directory_said *said)
{
	enum { SHOWN = 50 };
	const struct directory_decision *x = &said->rcpt.decision;
	AUTO(buf_done) struct buf who = BUF_MAX(1024);

	cli_print_span(stdout, said->reply, 0);
	(void)putchar('\n');
	if (!x->row) {
		(void)puts("Its domain is in no policy; postern policy add DOMAIN puts it there.");
		return;
	}
	(void)printf("policy " SPAN_FMT ", ", SPAN_ARG(x->row->policy));
	if (x->to.entry && directory_describe(&x->to, &who)) {
		cli_print_span(stdout, buf_span(&who), 0);
		(void)printf(", %s", directory_found(said));
	} else if (x->postmaster) {
		(void)fputs("the server's postmaster stands in", stdout);
	} else {
		(void)fputs("no recipient has this address", stdout);
	}
	(void)putchar('\n');
	if (x->outcome == DIRECTORY_UNKNOWN)
		(void)puts("The policy rejects who is unknown; postern recipient add ALIAS adds one.");
	for (size_t i = 0; i < said->rcpt.n && i < SHOWN; i++) {
		(void)fputs("  to ", stdout);
		cli_print_span(stdout, said->rcpt.v[i].address, 0);
		(void)printf(", next hop %s\n",
				rcpt_hop(rules, said->rcpt.v[i].domain)->key);
	}
	if (said->rcpt.n > SHOWN)
		(void)printf("  and %zu more\n", said->rcpt.n - SHOWN);
	if (x->to.unknown > 0)
		(void)printf("  %zu members are no recipients\n", x->to.unknown);
	if (x->to.too_many)
		(void)printf("  more than %d members\n", DIRECTORY_MEMBERS_MAX);
	if (x->to.too_deep)
		(void)printf("  lists below a depth of %d are left out\n",
				DIRECTORY_DEPTH_MAX);
}

int
cli_policy_test(struct cli *c)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct directory_said said;
	struct err err = { 0 };
	bool nothing;

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	struct directory *d = directory_now(c, r, &err);
	reader_close(r);
	if (!d)
		return cli_fail(CLI_FAILED, "%s", err.text);

	struct nexthop_table *routes = nexthop_table_new(&c->conf->delivery.routes);
	const struct rcpt_rules rules = { d, routes,
		span_of(c->conf->server.postmaster) };
	int status = CLI_DONE;

	if (!directory_ask(&rules, span_of(c->argv[0]), &a, &said))
		status = cli_fail(CLI_USAGE,
				"%s is no address; USER@DOMAIN is expected",
				c->argv[0]);
	else if (c->json)
		status = test_json(&rules, &said);
	else
		test_text(&rules, &said);
	nexthop_table_free(routes);
	directory_free(d);
	return status;
}
