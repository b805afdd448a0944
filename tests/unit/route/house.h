/* A directory and routes to ask. */
#ifndef TESTS_ROUTE_HOUSE_H
#define TESTS_ROUTE_HOUSE_H

#include "check.h"

#include <stdio.h>

#include "postern/conf_load.h"
#include "postern/rcpt.h"

struct house {
	struct directory *directory;
	struct nexthop_table *routes;
	struct rcpt_rules rules;
};

static const struct policy_domain house_domains[] = {
	{ .domain = { SPAN_INIT("contoso.test") },
			.authoritative = true,
			.policy = { SPAN_INIT("p") },
			.reject_unknown = true,
			.subaddress = { SPAN_INIT("+") } },
	{ .domain = { SPAN_INIT("open.test") },
			.authoritative = true,
			.policy = { SPAN_INIT("p") } },
};
static const struct directory_template house_templates[] = {
	{ { SPAN_INIT("%m@contoso.test") }, true },
	{ { SPAN_INIT("%m@open.test") }, false },
};
static const struct directory_policy house_policy = {
	.name = { SPAN_INIT("p") }, .addresses = house_templates, .n_addresses = 2
};
static const struct span house_sales[] = { { SPAN_INIT("ann") },
	{ SPAN_INIT("far@away.test") } };
static const struct span house_crew[] = { { SPAN_INIT("ann") }, { SPAN_INIT("bob") } };
static const struct span house_odd[] = { { SPAN_INIT("nobody@contoso.test") },
	{ SPAN_INIT("ann") } };
static const struct span house_lost[] = { { SPAN_INIT("who") } };
static const struct directory_row house_people[] = {
	{ .alias = { SPAN_INIT("admin") } },
	{ .alias = { SPAN_INIT("ann") } },
	{ .alias = { SPAN_INIT("bob") } },
	{ .alias = { SPAN_INIT("sales") }, .members = { house_sales, 2 } },
	{ .alias = { SPAN_INIT("crew") }, .members = { house_crew, 2 } },
	{ .alias = { SPAN_INIT("odd") }, .members = { house_odd, 2 } },
	{ .alias = { SPAN_INIT("empty") }, .members = { house_lost, 1 } },
};
static const struct directory_rows house_rows = { house_people, 7, &house_policy, 1,
	house_domains, 2 };

static inline void
house_open(struct house *h)
{
	static const char text[] =
			"delivery:\n"
			"  routes:\n"
			"    contoso.test: { to: 'smtp:mail.contoso.test:25' }\n"
			"    away.test: { to: 'smtp:mail.away.test:25' }\n";
	struct conf_faults faults;

	conf_faults_init(&faults);
	struct conf *c = conf_parse(&(struct conf_source){ .text = span_of(text),
						    .path = "/etc/p.yaml" },
			&faults);
	assert_non_null(c);
	conf_faults_done(&faults);
	h->routes = nexthop_table_new(&c->delivery.routes);
	conf_free(c);
	h->directory = directory_new(&house_rows);
	assert_non_null(h->directory);
	h->rules = (struct rcpt_rules){ h->directory, h->routes,
		SPAN("admin@contoso.test") };
}

static inline void
house_close(struct house *h)
{
	directory_free(h->directory);
	nexthop_table_free(h->routes);
}

static inline bool
house_ask(const struct house *h, const char *said, bool may_relay, struct arena *a,
		struct rcpt *out)
{
	struct smtp_path path;

	assert_true(smtp_mailbox_parse(span_of(said), &path));
	return rcpt_decide(&h->rules, &path, may_relay, a, out);
}

#endif
