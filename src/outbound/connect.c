/* connect: connections to next hops, for SMTP and LMTP. What is said on them is in sending.c.
 * A session owns itself: it frees itself when it is over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtp_carrier.h"

#include "postern/log.h"

enum {
	WINDOW = 4, /* messages in flight: one connection, no waiting between them */
	CONNECT_MS = 30 * 1000,
	OUT_MAX = 1024 * 1024,
};

/* ---- the stream ---- */

static void
opened(void *host)
{
	struct smtp_carrier *c = host;

	c->opened = true;
	(void)smtp_carrier_work(c);
}

static size_t
bytes(void *host, struct span in)
{
	struct smtp_carrier *c = host;
	size_t used = 0;

	while (used < in.n) {
		size_t n = smtp_client_feed(c->engine, span_skip(in, used));

		used += n;
		if (!smtp_carrier_work(c))
			return in.n;
		if (n == 0)
			break;
	}
	jobs_flush(c->hub->jobs);
	return used;
}

static void
drained(void *host)
{
	(void)smtp_carrier_work(host);
}

static void
closed(void *host, enum stream_end why, const char *words)
{
	struct smtp_carrier *c = host;
	char text[256];

	c->ended = true;
	if (!c->opened) {
		smtp_carrier_failed(c, EVENT_CONNECT_FAILED,
				words && *words ? words : stream_end_name(why));
		return;
	}
	(void)snprintf(text, sizeof(text), "%s",
			words && *words ? words : stream_end_name(why));
	smtp_client_lost(c->engine, text);
	(void)smtp_carrier_work(c);
}

static const struct stream_calls calls = {
	.opened = opened,
	.bytes = bytes,
	.drained = drained,
	.closed = closed,
};

static void
timed_out(void *host)
{
	struct smtp_carrier *c = host;

	if (c->lingering) {
		c->lingering = false;
		c->stopping = true; /* nothing came: goodbye */
		smtp_carrier_patience(c);
		return;
	}
	smtp_client_lost(c->engine, "timed out");
	(void)smtp_carrier_work(c);
}

/* ---- the beginning ---- */

static void
connect_to(struct smtp_carrier *c, const struct net_addr *addrs, size_t n)
{
	c->stream = stream_connect(c->hub->loop, addrs, n, CONNECT_MS, &calls, c);
	stream_set_out_max(c->stream, OUT_MAX);
}

static void
answered(void *host, enum dns_answer answer, const struct net_addr *addrs, size_t n,
		const char *words)
{
	struct smtp_carrier *c = host;

	c->query = NULL;
	if (answer == DNS_FOUND && n > 0)
		connect_to(c, addrs, n);
	else
		smtp_carrier_failed(c, EVENT_HOST_NOT_FOUND, words);
}

/* An address or a socket path: no name service. Given from the loop, as answers
 * of the name service are, so that sessions never end inside smtp_carrier_open. */
static void
start(void *host)
{
	struct smtp_carrier *c = host;
	const struct nexthop *to = c->to;
	struct net_addr addr;
	bool ok;

	loop_timer_free(c->timer);
	c->timer = loop_timer_new(c->hub->loop, timed_out, c);
	if (to->kind == NEXTHOP_LMTP_UNIX)
		ok = net_addr_unix(span_of(to->path), &addr);
	else
		ok = net_addr_parse(span_of(to->host), (uint16_t)to->port, &addr);
	if (ok) {
		connect_to(c, &addr, 1);
		return;
	}
	if (to->kind != NEXTHOP_LMTP_UNIX)
		c->query = dns_lookup(
				c->hub->dns, to->host, (uint16_t)to->port, answered, c);
	if (!c->query)
		smtp_carrier_failed(c, EVENT_CONNECT_FAILED, "no usable address");
}

void
smtp_carrier_open(const struct smtp_carrier_setup *o)
{
	struct smtp_carrier *c = calloc(1, sizeof(*c));
	const struct nexthop *to = o->to;
	int64_t now = loop_now_ms(o->hub->loop);

	if (!c)
		abort();
	c->hub = o->hub;
	c->hop = o->hop;
	c->calls = o->calls;
	c->to = to;
	c->habits = o->habits;
	c->most = CARRIER_RECIPIENTS;
	list_init(&c->sends);
	list_add(o->all, &c->link);
	if (to->kind == NEXTHOP_LMTP_UNIX)
		(void)snprintf(c->host, sizeof(c->host), "%s", to->path);
	else
		(void)snprintf(c->host, sizeof(c->host),
				strchr(to->host, ':') ? "[%s]:%u" : "%s:%u", to->host,
				to->port);
	bool careful = c->habits->single || c->habits->careful_until_ms > now;
	c->engine = smtp_client_new(&(struct smtp_client_options){
			.hostname = span_of(c->hub->conf->server.hostname),
			.lmtp = to->kind != NEXTHOP_SMTP,
			.no_body = c->habits->no_body_until_ms > now,
			.window = careful ? 1 : WINDOW,
			.transcript = log_wants(1),
	});
	c->timer = loop_timer_new(c->hub->loop, start, c);
	loop_timer_set(c->timer, 0);
}

/* ---- for the hop ---- */

void
smtp_carriers_poke(struct list *all)
{
	LIST_EACH (link, all) {
		struct smtp_carrier *c = LIST_ITEM(link, struct smtp_carrier, link);

		if (c->lingering)
			(void)smtp_carrier_work(c);
	}
}

void
smtp_carriers_idle_close(struct list *all)
{
	LIST_EACH (link, all) {
		struct smtp_carrier *c = LIST_ITEM(link, struct smtp_carrier, link);

		c->stopping = true;
		if (c->lingering || (c->opened && c->leases == 0 && c->works))
			smtp_carrier_patience(c);
	}
}

void
smtp_carriers_stop(struct list *all, bool now)
{
	LIST_EACH (link, all) {
		struct smtp_carrier *c = LIST_ITEM(link, struct smtp_carrier, link);

		c->stopping = true;
		if (now || !c->opened)
			smtp_carrier_over(c, NULL, false);
		else
			(void)smtp_carrier_work(c);
	}
}
