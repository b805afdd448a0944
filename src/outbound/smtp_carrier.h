/* smtp_carrier: a session with a next hop that speaks SMTP or LMTP, for the files that carry
 * it on. */
#ifndef OUTBOUND_SMTP_CARRIER_H
#define OUTBOUND_SMTP_CARRIER_H

#include "carrier.h"
#include "settle.h"

#include "postern/body.h"
#include "postern/smtp_client.h"
#include "postern/stream.h"

enum { CARRIER_RECIPIENTS = 100 }; /* of one transaction: E12 */

/* One transaction: some recipients of a lease. */
struct send {
	struct list link;
	struct lease *l;
	size_t *index; /* place in the lease's message, one per recipient */
	struct span *addresses;
	size_t n;
	size_t answered; /* recipients with a verdict */
	size_t *again; /* refused for their number only, or not tried */
	size_t again_n;
};

struct smtp_carrier {
	struct list link; /* of the hop's */
	struct hub *hub;
	struct hop *hop;
	const struct carrier_calls *calls;
	const struct nexthop *to;
	struct habits *habits; /* the hop's */
	struct dns_query *query;
	struct stream *stream;
	struct smtp_client *engine;
	struct loop_timer *timer; /* the peer's patience, or our own */
	struct list sends; /* under way, the oldest first */
	struct lease *l; /* of which more transactions are to be sent */
	size_t leases; /* not settled yet, l too */
	struct send *feeding;
	struct body *body; /* of l, read anew for each transaction */
	struct span piece; /* of the body, not yet taken by the engine */
	uint64_t body_left; /* octets not yet read */
	bool cut; /* the rest of it cannot be had, as `why` says: it is broken off */
	bool ours; /* the session ended for that, and not by the peer's fault */
	struct err why;
	size_t most; /* recipients of one transaction: what the peer takes */
	bool tried, answered; /* a message was sent; got its reply */
	size_t done; /* messages that were tried here */
	bool piped; /* several were on the way at once */
	bool opened, works, stopping, quitting, lingering, ended;
	char host[300]; /* who it is, for people */
};

/* ---- connect.c ---- */

struct smtp_carrier_setup {
	struct hub *hub;
	struct hop *hop;
	const struct carrier_calls *calls;
	const struct nexthop *to; /* outlives it */
	struct habits *habits; /* likewise */
	struct list *all; /* where it is put: the hop's */
};

/* Opens a session; it takes leases itself and frees itself. */
void smtp_carrier_open(const struct smtp_carrier_setup *o);
/* What is under way is ended and no more begun; now: everything is dropped. */
void smtp_carriers_stop(struct list *all, bool now);
void smtp_carriers_poke(struct list *all); /* there is mail again */
void smtp_carriers_idle_close(struct list *all); /* those without mail say QUIT */

/* ---- sending.c ---- */

/* Everything that can be done now. False: the session is gone. */
bool smtp_carrier_work(struct smtp_carrier *c);
void smtp_carrier_patience(
		struct smtp_carrier *c); /* sets the timer for what is waited for */
/* The session is over and freed. Those who have no verdict yet get `why` (NULL: they
 * stay as they are); `failed`: the hop would not talk to us at all. */
void smtp_carrier_over(struct smtp_carrier *c, const struct verdict *why, bool failed);
/* It never got so far as to be greeted; the event is 3010 or 2006. */
void smtp_carrier_failed(struct smtp_carrier *c, int event, const char *words);

#endif
