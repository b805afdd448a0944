#include "checks.h"

#include <stdio.h>
#include <string.h>

#include "postern/map.h"
#include "postern/must.h"
#include "postern/num.h"
#include "values.h"

static const struct node *
at_mark(struct node *stand_in, struct conf_mark mark)
{
	*stand_in = (struct node){ .mark = mark };
	return stand_in;
}

static bool
value_is(const struct node *map, const char *name, const char *word)
{
	const struct node *key = map_key(map, name);

	return key && key->value && key->value->kind == NODE_SCALAR &&
			span_eq(key->value->text, span_of(word));
}

static void
global_account(struct reader *r, const struct node *map)
{
	const struct node *key = map_key(map, "recipient");

	if (key)
		reader_fault(r, key, "remove it, or set type: user",
				"%s: a global account finds its recipients in the message; \"recipient\" belongs to user accounts",
				r->where);
}

static void
user_account(struct reader *r, const struct node *map, struct conf_mark mark)
{
	static const char *const global_only[] = { "domains", "envelope",
		"envelope_position", "envelope_strip", "trusted_hops", "provider_hosts",
		"aliases", "default_domain", "unrouted" };
	struct node here;

	if (!map_key(map, "recipient") && !r->cut)
		reader_fault(r, at_mark(&here, mark), "recipient: ann@example.com",
				"%s: a user account needs \"recipient\"", r->where);
	for (size_t i = 0; i < sizeof(global_only) / sizeof(global_only[0]); i++) {
		const struct node *key = map_key(map, global_only[i]);
		if (key)
			reader_fault(r, key, "remove it, or set type: global",
					"%s: a user account has one fixed recipient; \"%s\" belongs to global accounts",
					r->where, global_only[i]);
	}
}

static bool
loopback(const struct conf_host *h)
{
	return h->name &&
			(strcmp(h->name, "localhost") == 0 ||
					strcmp(h->name, "::1") == 0 ||
					(h->literal &&
							strncmp(h->name, "127.", 4) ==
									0));
}

/* A password, or a token; and what `auth` can do with it. */
static void
account_secrets(struct reader *r, const struct node *map, struct conf_mark mark,
		const struct conf_account *a)
{
	bool oauth = a->auth == CONF_AUTH_XOAUTH2 || a->auth == CONF_AUTH_OAUTHBEARER;
	const struct node *token = map_key(map, "token");
	struct node here;

	if (token && !oauth && a->auth != CONF_AUTH_AUTO)
		reader_fault(r, token,
				"remove it, or set auth: xoauth2 or auth: oauthbearer",
				"%s: \"token\" has no use with this auth", r->where);
	if (mark.line == 0 || r->cut)
		return;
	if (oauth && !token)
		reader_fault(r, at_mark(&here, mark),
				"token: { command: [PROGRAM, ARGUMENT] }",
				"%s: \"token\" is missing", r->where);
	if (!oauth && !token && !map_key(map, "password"))
		reader_fault(r, at_mark(&here, mark), "password: { file: PATH }",
				"%s: \"password\" is missing", r->where);
}

void
check_account(struct reader *r, const struct node *map, struct conf_mark mark,
		void *place)
{
	struct conf_account *a = place;
	const struct node *key;

	if (a->server.port == 0)
		a->server.port = a->tls == CONF_TLS_IMPLICIT ? 995 : 110;
	if (value_is(map, "type", "global"))
		global_account(r, map);
	else if (value_is(map, "type", "user"))
		user_account(r, map, mark);
	a->trusted_hops_fixed = map_key(map, "trusted_hops") != NULL;
	a->unrouted_fixed = map_key(map, "unrouted") != NULL;
	account_secrets(r, map, mark, a);
	for (size_t i = 0; a->tls == CONF_TLS_NONE && i < 2; i++) {
		const char *name = i == 0 ? "tls_ca" : "tls_pin";

		key = map_key(map, name);
		if (key)
			reader_fault(r, key,
					"remove it, or set tls: implicit or tls: starttls",
					"%s: \"%s\" has no use with tls: none",
					r->where, name);
	}
	key = map_key(map, "tls");
	if (key && a->tls == CONF_TLS_NONE && a->server.name && !loopback(&a->server))
		reader_warn(r, key, "tls: implicit, or tls: starttls",
				"%s: password and mail cross the network unprotected",
				r->where);
}

void
check_delivery(struct reader *r, const struct node *map, struct conf_mark mark,
		void *place)
{
	struct conf_delivery *d = place;
	const struct node *key = map_key(map, "connections_per_host");

	(void)mark;
	if (d->connections_per_host > d->connections) {
		if (key)
			reader_warn(r, key, NULL,
					"%s.connections_per_host is more than connections (%u)",
					r->where, d->connections);
		d->connections_per_host = d->connections;
	}
}

/* Two accounts that collect the same mailbox take mail from each other. */
static void
mailboxes_twice(struct reader *r, const struct conf_accounts *accounts)
{
	struct map seen;
	struct node here;

	map_init(&seen, 0, 0);
	for (size_t i = 0; i < accounts->n; i++) {
		const struct conf_account *a = &accounts->p[i];
		if (!a->name || !a->user || !a->server.name)
			continue;
		char key[700];
		(void)snprintf(key, sizeof(key), "%s:%u/%s", a->server.name,
				a->server.port, a->user);
		struct span text = span_of(reader_keep(r, span_of(key)));
		const struct conf_account *first = map_get(&seen, text);
		if (first)
			reader_warn(r, at_mark(&here, a->mark),
					"collect it with one account",
					"accounts.%s is the same mailbox as accounts.%s",
					a->name, first->name);
		else
			(void)map_put(&seen, text, (void *)(uintptr_t)a);
	}
	map_done(&seen);
}

static void
listens_twice(struct reader *r, const struct conf_listens *listens)
{
	struct node here;

	for (size_t i = 1; i < listens->n; i++) { /* at most 64 */
		const struct conf_host *a = &listens->p[i].address;
		for (size_t j = 0; j < i && a->name && a->port > 0; j++) {
			const struct conf_host *b = &listens->p[j].address;
			if (!b->name || a->port != b->port ||
					strcmp(a->name, b->name) != 0)
				continue;
			reader_fault(r, at_mark(&here, listens->p[i].mark), NULL,
					"smtp.listen: %s port %u was given already in line %u",
					a->name, a->port, listens->p[j].mark.line);
			break;
		}
	}
}

void
check_conf(struct reader *r, const struct node *map, struct conf_mark mark, void *place)
{
	struct conf *c = place;

	(void)map;
	(void)mark;
	if (!c->server.hostname)
		c->server.hostname = reader_keep(
				r, span_of(r->hostname ? r->hostname : "localhost"));
	mailboxes_twice(r, &c->accounts);
	listens_twice(r, &c->smtp.listen);
}

/* The domains of templates are policy domains too. */
void
check_policy(struct reader *r, const struct node *map, struct conf_mark mark,
		void *place)
{
	struct policy_doc *d = place;
	const struct policy_doc_domain *given = d->domains.p;
	size_t n = d->domains.n, most = n + d->addresses.n;
	struct node here;
	struct map seen;

	(void)map;
	if (most == 0) {
		if (!r->cut)
			reader_fault(r, at_mark(&here, mark),
					"domains: { example.com: {} }",
					"the policy lists no domain");
		return;
	}
	struct policy_doc_domain *all = reader_take(r, most * sizeof(*all));
	map_init(&seen, 0, 0);
	for (size_t i = 0; i < n; i++) {
		all[i] = given[i];
		if (!given[i].authoritative &&
				given[i].unknown == POLICY_UNKNOWN_REJECT)
			reader_warn(r, at_mark(&here, given[i].mark),
					"authoritative: true, or unknown: accept",
					"domains.%s: a shared domain's unknown recipients follow its route, they are not rejected",
					given[i].domain ? given[i].domain : "");
		if (given[i].domain && !given[i].subdomains)
			(void)map_put(&seen, span_of(given[i].domain), all);
	}
	for (size_t i = 0; i < d->addresses.n; i++) {
		struct span text = span_of(d->addresses.p[i].text);
		const char *domain, *why;
		bool subdomains;
		size_t at = span_rfind(text, '@');
		if (at == text.n ||
				!conf_domain_parse(span_skip(text, at + 1), r->arena,
						&domain, &subdomains, &why))
			continue;
		if (map_put(&seen, span_of(domain), all))
			continue;
		all[n++] = (struct policy_doc_domain){
			.domain = domain, .authoritative = true, .subaddress = "+"
		};
	}
	map_done(&seen);
	d->domains.p = all;
	d->domains.n = n;
}
