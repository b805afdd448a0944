#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "postern/directory.h"
#include "postern/event_id.h"

#define HINT "postern policy add DOMAIN, or a line in its policy file"

struct checker {
	const struct directory *directory;
	const struct policy_set *set;
	const struct conf *conf;
	struct conf_faults *faults;
};

/* One of `check`; hint NULL: a warning, with the hint of all of them. An error: under this
 * configuration mail would be collected for nobody. */
static void __attribute__((format(printf, 4, 5))) add(const struct checker *c,
		struct conf_mark mark, const char *hint, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_faults_add(c->faults,
			&(struct conf_fault){
					.warning = !hint,
					.file = c->conf->path,
					.mark = mark,
					.text = text,
					.hint = hint ? hint : HINT,
			});
}

/* The row for a name, or for a name below it. */
static const struct policy_domain *
find(const struct policy_set *set, struct span name, bool below)
{
	char text[300] = "x.";

	if (!below || name.n + 3 > sizeof(text))
		return policy_find(set, name);
	memcpy(text + 2, name.p, name.n);
	return policy_find(set, (struct span){ text, name.n + 2 });
}

static struct span
domain_of(const char *address)
{
	struct span s = span_of(address);
	size_t at = span_rfind(s, '@');

	return at < s.n ? span_skip(s, at + 1) : (struct span){ NULL, 0 };
}

/* Event 4045: mail for the domain would be collected and then refused. */
static void
account_domain(const struct checker *c, const struct conf_account *a,
		struct span domain)
{
	bool star = span_starts(domain, SPAN("*."));
	struct span name = span_skip(domain, star ? 2 : 0);

	if (name.n == 0 || find(c->set, name, star))
		return;
	char text[600], spelled[300];
	(void)snprintf(spelled, sizeof(spelled), "%.*s",
			(int)(domain.n < 299 ? domain.n : 299), domain.p);
	(void)snprintf(text, sizeof(text),
			"Domain %s is served by account %s but is not in the recipient policy; "
			"its mail would be refused with 550 5.7.1.",
			spelled, a->name);
	conf_faults_add(c->faults,
			&(struct conf_fault){
					.warning = true,
					.event = EVENT_DOMAIN_WITHOUT_POLICY,
					.account = a->name,
					.domain = spelled,
					.file = c->conf->path,
					.mark = a->mark,
					.text = text,
					.hint = HINT,
			});
}

/* Its mail would stay where it is (event 4046 at each poll). */
static void
account_target(const struct checker *c, const struct conf_account *a)
{
	struct span alias = span_of(a->recipient);

	if (alias.n == 0 || span_find(alias, '@') < alias.n ||
			directory_alias(c->directory, alias))
		return;
	char text[400];
	(void)snprintf(text, sizeof(text),
			"account %s: there is no recipient %s; its mail would stay at the provider",
			a->name, a->recipient);
	conf_faults_add(c->faults,
			&(struct conf_fault){
					.warning = true,
					.file = c->conf->path,
					.mark = a->mark,
					.text = text,
					.hint = "postern recipient add ALIAS",
			});
}

/* A global account whose mail can reach nobody. */
static void
account_reach(const struct checker *c, const struct conf_account *a)
{
	if (a->type != CONF_GLOBAL)
		return;
	if (policy_size(c->set) == 0)
		add(c, a->mark, "a file named by policies:, or postern policy add DOMAIN",
				"account %s is global, but no policy domain exists: nobody can be found, every message would go to Badmail",
				a->name);
	if (a->unrouted.kind == CONF_UNROUTED_POSTMASTER && !c->conf->server.postmaster)
		add(c, a->mark, "set server.postmaster, or unrouted: hold",
				"account %s gives mail for nobody to the postmaster, but server.postmaster is not set",
				a->name);
}

void
policy_check_conf(const struct directory *directory, const struct conf *conf,
		struct conf_faults *faults)
{
	const struct policy_set *set = directory_policies(directory);
	const struct checker c = { directory, set, conf, faults };
	struct span domain = domain_of(conf->server.postmaster);

	for (size_t i = 0; i < conf->accounts.n; i++) {
		const struct conf_account *a = &conf->accounts.p[i];
		for (size_t d = 0; d < a->domains.n; d++)
			account_domain(&c, a, span_of(a->domains.p[d]));
		account_domain(&c, a, domain_of(a->recipient));
		account_domain(&c, a, domain_of(a->unrouted.address));
		account_target(&c, a);
		account_reach(&c, a);
	}
	if (domain.n > 0 && !policy_find(set, domain))
		add(&c, (struct conf_mark){ 0 }, NULL,
				"the domain of server.postmaster, %.*s, is in no recipient policy",
				(int)domain.n, domain.p);
	for (size_t i = 0; i < conf->delivery.routes.n; i++) {
		const struct conf_route *route = &conf->delivery.routes.p[i];
		if (!find(set, span_of(route->domain), route->subdomains))
			add(&c, route->mark, NULL,
					"there is a route for %s%s, which is in no recipient policy: only clients that may relay reach it",
					route->subdomains ? "*." : "", route->domain);
	}
}
