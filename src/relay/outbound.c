/* outbound: connections to next hops, for SMTP and LMTP. What is said on them is in
 * sending.c. A session owns itself: it frees itself when it is over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outbound.h"

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
	struct outbound *o = host;

	o->opened = true;
	(void)outbound_work(o);
}

static size_t
bytes(void *host, struct span in)
{
	struct outbound *o = host;
	size_t used = 0;

	while (used < in.n) {
		size_t n = smtp_client_feed(o->engine, span_skip(in, used));

		used += n;
		if (!outbound_work(o))
			return in.n;
		if (n == 0)
			break;
	}
	jobs_flush(o->r->jobs);
	return used;
}

static void
drained(void *host)
{
	(void)outbound_work(host);
}

static void
closed(void *host, enum stream_end why, const char *words)
{
	struct outbound *o = host;
	char text[256];

	o->ended = true;
	if (!o->opened) {
		outbound_failed(o, 3010,
				words && *words ? words : stream_end_name(why));
		return;
	}
	(void)snprintf(text, sizeof(text), "%s",
			words && *words ? words : stream_end_name(why));
	smtp_client_lost(o->engine, text);
	(void)outbound_work(o);
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
	struct outbound *o = host;

	if (o->lingering) {
		o->lingering = false;
		o->stopping = true; /* nothing came: goodbye */
		outbound_patience(o);
		return;
	}
	smtp_client_lost(o->engine, "timed out");
	(void)outbound_work(o);
}

/* ---- the beginning ---- */

static void
connect_to(struct outbound *o, const struct net_addr *addrs, size_t n)
{
	o->stream = stream_connect(o->r->loop, addrs, n, CONNECT_MS, &calls, o);
	stream_set_out_max(o->stream, OUT_MAX);
}

static void
answered(void *host, enum dns_answer answer, const struct net_addr *addrs, size_t n,
		const char *words)
{
	struct outbound *o = host;

	o->query = NULL;
	if (answer == DNS_FOUND && n > 0)
		connect_to(o, addrs, n);
	else
		outbound_failed(o, 2006, words);
}

/* An address or a socket path: no name service. Given from the loop, as answers
 * of the name service are, so that sessions never end inside outbound_open. */
static void
start(void *host)
{
	struct outbound *o = host;
	const struct nexthop *to = &o->h->to;
	struct net_addr addr;
	bool ok;

	loop_timer_free(o->timer);
	o->timer = loop_timer_new(o->r->loop, timed_out, o);
	if (to->kind == NEXTHOP_LMTP_UNIX)
		ok = net_addr_unix(span_of(to->path), &addr);
	else
		ok = net_addr_parse(span_of(to->host), (uint16_t)to->port, &addr);
	if (ok) {
		connect_to(o, &addr, 1);
		return;
	}
	if (to->kind != NEXTHOP_LMTP_UNIX)
		o->query = dns_lookup(
				o->r->dns, to->host, (uint16_t)to->port, answered, o);
	if (!o->query)
		outbound_failed(o, 3010, "no usable address");
}

void
outbound_open(struct relay *r, struct hop *h, struct list *all)
{
	struct outbound *o = calloc(1, sizeof(*o));
	const struct nexthop *to = &h->to;

	if (!o)
		abort();
	o->r = r;
	o->h = h;
	o->most = OUTBOUND_RECIPIENTS;
	list_init(&o->sends);
	list_add(all, &o->link);
	if (to->kind == NEXTHOP_LMTP_UNIX)
		(void)snprintf(o->host, sizeof(o->host), "%s", to->path);
	else
		(void)snprintf(o->host, sizeof(o->host),
				strchr(to->host, ':') ? "[%s]:%u" : "%s:%u", to->host,
				to->port);
	bool careful = h->single || h->careful_until_ms > loop_now_ms(r->loop);
	o->engine = smtp_client_new(&(struct smtp_client_options){
			.hostname = span_of(r->conf->server.hostname),
			.lmtp = to->kind != NEXTHOP_SMTP,
			.no_body = h->no_body_until_ms > loop_now_ms(r->loop),
			.window = careful ? 1 : WINDOW,
			.transcript = log_wants(1),
	});
	o->timer = loop_timer_new(r->loop, start, o);
	loop_timer_set(o->timer, 0);
}

/* ---- for dispatch ---- */

void
outbound_poke(struct list *all, const struct hop *h)
{
	LIST_EACH (link, all) {
		struct outbound *o = LIST_ITEM(link, struct outbound, link);

		if (h->n_ready == 0)
			break;
		if (o->h == h && o->lingering)
			(void)outbound_work(o);
	}
}

void
outbound_idle_close(struct list *all)
{
	LIST_EACH (link, all) {
		struct outbound *o = LIST_ITEM(link, struct outbound, link);

		o->stopping = true;
		if (o->lingering || (o->opened && o->leases == 0 && o->works))
			outbound_patience(o);
	}
}

void
outbound_stop(struct list *all, bool now)
{
	LIST_EACH (link, all) {
		struct outbound *o = LIST_ITEM(link, struct outbound, link);

		o->stopping = true;
		if (now || !o->opened)
			outbound_over(o, NULL, false);
		else
			(void)outbound_work(o);
	}
}
