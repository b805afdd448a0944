/* A session with a next hop, for the files that carry it on. */
#ifndef RELAY_OUTBOUND_H
#define RELAY_OUTBOUND_H

#include "dispatch.h"
#include "postern/body.h"
#include "postern/smtp_client.h"
#include "postern/stream.h"

enum { OUTBOUND_RECIPIENTS = 100 }; /* of one transaction: E12 */

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

struct outbound {
	struct list link;
	struct relay *r;
	struct hop *h;
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

/* sending.c */

/* Everything that can be done now. False: the session is gone. */
bool outbound_work(struct outbound *o);
void outbound_patience(struct outbound *o); /* sets the timer for what is waited for */
/* The session is over and freed. Those who have no verdict yet get `why` (NULL: they
 * stay as they are); `failed`: the hop would not talk to us at all. */
void outbound_over(struct outbound *o, const struct verdict *why, bool failed);
/* It never got so far as to be greeted; the event is 3010 or 2006. */
void outbound_failed(struct outbound *o, int event, const char *words);

#endif
