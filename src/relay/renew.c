/* renew: another configuration while clients are connected. Open sessions go on, and what
 * is asked of the configuration from now on is answered by the new one.
 *
 * The loop thread alone reads r->hub.conf, at each use, so its parts are exchanged here; the
 * other threads get what they need with each task. Whatever lives longer than a callback
 * has copies. What was opened at birth (sockets, DNS, log) is opened anew. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/fd_pass.h"
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

void
renew_init(struct relay *r, const struct relay_options *o)
{
	struct renewal *n = &r->renewal;

	n->reload = o->reload;
	n->drop = o->drop;
	n->log = o->log;
	n->host = o->host;
	n->sockets_fd = o->sockets_fd;
	n->mixed = *o->conf;
	list_init(&n->dns);
	r->hub.conf = &n->mixed;
}

/* ---- DNS: queries under way are answered by the servers that were asked ---- */

struct dns_before {
	struct list link;
	struct dns *dns;
};

static void
dns_before_free(struct dns_before *b)
{
	list_del(&b->link);
	dns_free(b->dns);
	free(b);
}

static void
dns_exchange(struct relay *r, struct dns *dns)
{
	struct dns_before *b = calloc(1, sizeof(*b));

	if (!b)
		abort();
	list_init(&b->link);
	b->dns = r->hub.dns;
	list_add(&r->renewal.dns, &b->link);
	r->hub.dns = dns;
	pulse_hurry(&r->hub.pulse);
}

void
renew_tick(struct relay *r)
{
	LIST_EACH (link, &r->renewal.dns) {
		struct dns_before *b = LIST_ITEM(link, struct dns_before, link);

		if (dns_idle(b->dns))
			dns_before_free(b);
	}
}

void
renew_end(struct relay *r)
{
	LIST_EACH (link, &r->renewal.dns)
		dns_before_free(LIST_ITEM(link, struct dns_before, link));
	dns_free(r->hub.dns);
	if (r->renewal.taken)
		r->renewal.drop(r->renewal.taken);
}

/* ---- the exchange ---- */

/* What of the new one is opened before anything is exchanged. */
struct opened {
	struct dns *dns; /* NULL: the servers are the same */
	bool listens; /* the addresses are others, and here are */
	int sockets[FD_PASS_MAX], n; /* theirs; -1: none came */
};

static void
sockets_close(const struct opened *o)
{
	for (int i = 0; i < o->n; i++)
		(void)close(o->sockets[i]);
}

/* False, *err, and nothing is open: it takes another relay. */
static bool
open_new(struct relay *r, const struct conf *next, struct opened *o, struct err *err)
{
	const struct conf *old = r->hub.conf;

	*o = (struct opened){ .n = -1 };
	if (!same(old->server.state, next->server.state))
		return err_set(err, 0, "server.state is another now");
	o->n = fd_pass_last(r->renewal.sockets_fd, o->sockets);
	o->listens = !same_listens(&old->smtp.listen, &next->smtp.listen);
	if (o->listens && o->n < 0)
		return err_set(err, 0, "smtp.listen is another now");
	if ((!same_hosts(&old->dns.servers, &next->dns.servers) ||
			    old->dns.timeout_s != next->dns.timeout_s) &&
			!(o->dns = parts_dns(r->hub.loop, &next->dns, err))) {
		sockets_close(o);
		return false;
	}
	if (r->renewal.log(next, err))
		return true;
	sockets_close(o);
	dns_free(o->dns);
	return false;
}

bool
renew(struct relay *r, struct err *err)
{
	struct renewal *n = &r->renewal;
	struct conf *next = n->reload ? n->reload(n->host) : NULL;
	struct opened o;

	if (!next)
		return err_set(err, 0, "the configuration cannot be read");
	if (!open_new(r, next, &o, err)) {
		n->drop(next);
		return false;
	}
	n->mixed = *next;
	if (o.dns)
		dns_exchange(r, o.dns);
	if (o.listens)
		inbound_sockets(r->inbound, o.sockets, (size_t)o.n);
	else
		sockets_close(&o);
	store_min_free(r->hub.store, relay_least_free(r->hub.conf, r->hub.state));
	struct nexthop_table *routes = nexthop_table_new(&r->hub.conf->delivery.routes);
	nexthop_table_free(r->hub.routes);
	r->hub.routes = routes;
	outbound_renew(r->outbound);
	if (n->taken)
		n->drop(n->taken);
	n->taken = next;
	parts_divide(&r->hub);
	return true;
}
