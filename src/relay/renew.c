/* renew: another configuration while clients are connected. Open sessions go on, and what
 * is asked of the configuration from now on is answered by the new one.
 *
 * r->conf never points elsewhere: other threads read from it what they were born with (server,
 * badmail). Those parts stay, and where the new configuration says something else there, or
 * for what was opened at birth, it takes another start. The rest is read by the loop thread
 * alone, at each use, and is exchanged here. Whatever lives longer than a callback has copies. */
#include <string.h>

#include "room.h"

static bool
same(const char *a, const char *b)
{
	return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static bool
same_hosts(const struct conf_hosts *a, const struct conf_hosts *b)
{
	for (size_t i = 0; a->n == b->n && i < a->n; i++)
		if (!same(a->p[i].name, b->p[i].name) || a->p[i].port != b->p[i].port)
			return false;
	return a->n == b->n;
}

static bool
same_listens(const struct conf_listens *a, const struct conf_listens *b)
{
	for (size_t i = 0; a->n == b->n && i < a->n; i++) {
		const struct conf_listen *x = &a->p[i], *y = &b->p[i];

		if (!same(x->address.name, y->address.name) ||
				x->address.port != y->address.port || x->tls != y->tls)
			return false;
	}
	return a->n == b->n;
}

/* What of it was used at birth, and is another now; NULL: nothing. */
static const char *
born_with(const struct conf *a, const struct conf *b)
{
	if (!same(a->server.hostname, b->server.hostname) ||
			!same(a->server.state, b->server.state) ||
			!same(a->server.postmaster, b->server.postmaster) ||
			!same(a->server.user, b->server.user))
		return "server";
	if (!same_listens(&a->smtp.listen, &b->smtp.listen))
		return "smtp.listen";
	if (!same(a->smtp.tls.certificate, b->smtp.tls.certificate) ||
			!same(a->smtp.tls.key, b->smtp.tls.key))
		return "smtp.tls";
	if (!same(a->smtp.auth_users, b->smtp.auth_users))
		return "smtp.auth_users";
	if (a->smtp.limits.message != b->smtp.limits.message)
		return "smtp.limits.message";
	if (a->badmail.enabled != b->badmail.enabled ||
			a->badmail.keep_s != b->badmail.keep_s ||
			a->badmail.max != b->badmail.max)
		return "badmail";
	if (!same_hosts(&a->dns.servers, &b->dns.servers) ||
			a->dns.timeout_s != b->dns.timeout_s)
		return "dns";
	if (a->log.to.kind != b->log.to.kind || !same(a->log.to.path, b->log.to.path) ||
			a->log.format != b->log.format || a->log.level != b->log.level)
		return "log";
	return NULL;
}

void
renew_init(struct relay *r, const struct relay_options *o)
{
	r->renewal.reload = o->reload;
	r->renewal.drop = o->drop;
	r->renewal.host = o->host;
	r->renewal.mixed = *o->conf;
	r->conf = &r->renewal.mixed;
}

void
renew_end(struct relay *r)
{
	if (r->renewal.taken)
		r->renewal.drop(r->renewal.taken);
}

bool
renew(struct relay *r, struct err *err)
{
	struct renewal *n = &r->renewal;
	struct conf *next = n->reload ? n->reload(n->host) : NULL;

	if (!next)
		return err_set(err, 0, "the configuration cannot be read");
	const char *other = born_with(r->conf, next);
	if (other) {
		n->drop(next);
		return err_set(err, 0, "%s is another now", other);
	}
	n->mixed.smtp = next->smtp;
	n->mixed.delivery = next->delivery;
	struct nexthop_table *routes = nexthop_table_new(&r->conf->delivery.routes);
	nexthop_table_free(r->hops);
	r->hops = routes;
	dispatch_renew(r->dispatch);
	renew_end(r);
	n->taken = next;
	relay_divide(r);
	return true;
}
