/* policy list, show, apply, add, remove, test */
#include <stdlib.h>
#include <string.h>

#include "policies.h"
#include "postern/address.h"
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
				json_pack("{s:o,s:b,s:s}", "domain",
						cli_json_span(buf_span(&name)),
						"authoritative", d->authoritative,
						"unknown",
						d->reject_unknown ? "reject"
								  : "accept"));
	}
	for (size_t i = 0; i < p->n_addresses; i++)
		(void)json_array_append_new(addresses,
				json_pack("{s:o,s:b}", "template",
						cli_json_span(p->addresses[i].text),
						"primary", p->addresses[i].primary));
	for (size_t i = 0; i < p->n_groups; i++)
		(void)json_array_append_new(groups, cli_json_span(p->groups[i]));
	return json_pack("{s:o,s:I,s:o,s:o,s:o}", "name", cli_json_span(p->name),
			"priority", (json_int_t)p->priority, "domains", domains,
			"addresses", addresses, "groups", groups);
}

static void
print_domains(const struct policystore_policy *p)
{
	for (size_t i = 0; i < p->n_domains; i++) {
		const struct policystore_domain *d = &p->domains[i];
		(void)printf("  %s" SPAN_FMT "  %s\n", d->subdomains ? "*." : "",
				SPAN_ARG(d->name),
				d->authoritative ? "authoritative" : "shared");
	}
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
		(void)printf(SPAN_FMT " (priority %lld)\n", SPAN_ARG(all[i].name),
				(long long)all[i].priority);
		print_domains(&all[i]);
		for (size_t k = 0; only && k < all[i].n_addresses; k++)
			(void)printf("  %s " SPAN_FMT "\n",
					all[i].addresses[k].primary ? "primary"
								    : "address",
					SPAN_ARG(all[i].addresses[k].text));
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

int
cli_policy_apply(struct cli *c)
{
	struct err err = { 0 };
	struct policy_files files;
	uint64_t changed = 0;
	int status = CLI_CONFIG;

	if (!cli_options(c, NULL, 0, 1000))
		return CLI_USAGE;
	if (!cli_state(c))
		return CLI_CONFIG;

	struct conf_faults *faults = malloc(sizeof(*faults));
	if (!faults)
		abort();
	conf_faults_init(faults);
	policy_files_read(c, c->argv, (size_t)c->argc, &files, faults);
	if (cli_print_faults(faults, stderr) == 0) {
		struct store *s = cli_store_open(c);
		status = CLI_FAILED;
		if (s && !policy_files_apply(s, &files, &changed, &err))
			(void)cli_fail(0, "%s", err.text);
		else if (s)
			status = CLI_DONE;
		store_close(s);
	}
	size_t n = files.n;
	policy_files_done(&files);
	conf_faults_done(faults);
	free(faults);
	if (status != CLI_DONE)
		return status;
	cli_changed(c, "policy apply", "policy files");
	if (c->json)
		return cli_print_json(json_pack("{s:I,s:I}", "policies", (json_int_t)n,
				"changed", (json_int_t)changed));
	(void)printf("%zu policies applied, %llu changed.\n", n,
			(unsigned long long)changed);
	return CLI_DONE;
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
	bool done = s && policystore_add_domain(s, span_of(policy), 100, &row, &err);
	store_close(s);
	if (!done)
		return s ? cli_fail(CLI_FAILED, "%s", err.text) : CLI_FAILED;
	cli_changed(c, "policy add", c->argv[0]);
	if (c->json)
		return cli_print_json(json_pack(
				"{s:s,s:s}", "domain", c->argv[0], "policy", policy));
	(void)printf("%s is a policy domain now (policy %s).\n", c->argv[0], policy);
	return CLI_DONE;
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

int
cli_policy_test(struct cli *c)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(16 * 1024 * 1024);
	AUTO(buf_done) struct buf reply = BUF_MAX(4096);
	struct err err = { 0 };
	struct address address;
	bool nothing;

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	char domain[ADDRESS_DOMAIN_MAX + 1] = "";
	if (!address_parse(&a, span_of(c->argv[0]), &address) ||
			!domain_canon(address.domain, domain))
		return cli_fail(CLI_USAGE, "%s is no address", c->argv[0]);
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	struct policy_set *set = policies_now(c, r, &a, &err);
	reader_close(r);
	if (!set)
		return cli_fail(CLI_FAILED, "%s", err.text);

	struct policy_answer answer =
			policy_decide(set, address.local, span_of(domain));
	struct nexthop_table *routes = nexthop_table_new(&c->conf->delivery.routes);
	const struct nexthop *hop = nexthop_find(routes, span_of(domain),
			policy_find(set, span_of(domain)) != NULL);
	bool ok = policy_reply(&answer, span_of(c->argv[0]), &reply);
	struct span policy = answer.row ? answer.row->policy : SPAN("");
	int status;

	if (!ok)
		status = cli_fail(CLI_FAILED, "the address is too long");
	else if (c->json)
		status = cli_print_json(json_pack("{s:o,s:b,s:o,s:o,s:n,s:n,s:o}",
				"address", cli_json_span(span_of(c->argv[0])),
				"accepted", answer.accepted, "reply",
				cli_json_span(buf_span(&reply)), "policy",
				answer.row ? cli_json_span(policy) : json_null(),
				"recipient", "primary", "route",
				answer.accepted ? json_string(hop->key) : json_null()));
	else {
		cli_print_span(stdout, buf_span(&reply), 0);
		(void)putchar('\n');
		if (answer.accepted)
			(void)printf("policy " SPAN_FMT ", next hop %s\n",
					SPAN_ARG(policy), hop->key);
		else
			(void)puts("Its domain is in no policy; postern policy add DOMAIN puts it there.");
		status = CLI_DONE;
	}
	nexthop_table_free(routes);
	policy_free(set);
	return status;
}
