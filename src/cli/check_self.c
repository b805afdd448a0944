/* check: a name that others refuse, and routes that lead back here (SPEC 8a, E10 e). */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "postern/conf_load.h"
#include "postern/net.h"

static void
add(const struct cli *c, struct conf_faults *faults, struct conf_mark mark,
		const char *text, const char *hint)
{
	conf_faults_add(faults,
			&(struct conf_fault){ .file = c->conf_path,
					.mark = mark,
					.text = text,
					.hint = hint });
}

/* What stands in EHLO and in every Received line. */
static void
check_name(const struct cli *c, struct conf_faults *faults)
{
	const char *name = c->conf->server.hostname;
	char text[400];

	if (strchr(name, '.'))
		return;
	(void)snprintf(text, sizeof(text),
			"server.hostname: %.255s is not fully qualified: it has no dot, and many servers refuse mail from such a name",
			name);
	add(c, faults, (struct conf_mark){ 0 }, text,
			"set server.hostname to a name with its domain, such as gw.example.com");
}

static bool
is_any(const struct net_addr *a)
{
	static const struct net_addr nowhere = { .family = NET_NONE };

	return memcmp(a->ip, nowhere.ip, sizeof(a->ip)) == 0;
}

/* Would a connection to that host and port come to this relay? */
static bool
listens(const struct conf *conf, const struct conf_host *to)
{
	bool named = strcasecmp(to->name, conf->server.hostname) == 0;
	const char *host =
			strcasecmp(to->name, "localhost") == 0 ? "127.0.0.1" : to->name;
	struct net_addr there, here;
	bool literal = net_addr_parse(span_of(host), 0, &there);

	for (size_t i = 0; i < conf->smtp.listen.n; i++) {
		const struct conf_host *at = &conf->smtp.listen.p[i].address;

		if (at->port != to->port ||
				!net_addr_parse(span_of(at->name), 0, &here))
			continue;
		if (named && !net_addr_loopback(&here))
			return true;
		if (literal &&
				(net_addr_same(&here, &there) ||
						(is_any(&here) &&
								net_addr_here(&there))))
			return true;
	}
	return false;
}

static void
check_route(const struct cli *c, const struct conf_route *route,
		struct conf_faults *faults)
{
	const struct conf_hop *to = &route->to;
	char text[700];

	if ((to->kind != CONF_HOP_SMTP && to->kind != CONF_HOP_LMTP) ||
			!listens(c->conf, &to->host))
		return;
	(void)snprintf(text, sizeof(text),
			"delivery.routes.%s%.255s: cannot connect to self: %.255s port %u is this relay, which listens there",
			route->subdomains ? "*." : "", route->domain, to->host.name,
			to->host.port);
	add(c, faults, route->mark, text,
			"name the mail server that keeps the mailboxes of this domain, and its port");
}

void
cli_check_self(const struct cli *c, struct conf_faults *faults)
{
	const struct conf_routes *routes = &c->conf->delivery.routes;

	check_name(c, faults);
	for (size_t i = 0; i < routes->n; i++)
		check_route(c, &routes->p[i], faults);
}
