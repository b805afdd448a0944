/* carrier: how the mail of a next hop leaves. A carrier takes leases of its hop one by one, has
 * their recipients answered (settle.h) and tells the hop what it learns of the peer. It
 * knows the hop by these functions alone, so that another way of sending is another
 * carrier, or an option of one. */
#ifndef OUTBOUND_CARRIER_H
#define OUTBOUND_CARRIER_H

#include "lease.h"

enum carrier_end {
	CARRIER_DONE, /* it served its purpose, or we ended it */
	CARRIER_BROKE, /* it ended before any message was answered */
	CARRIER_FAILED, /* the hop would not talk to us */
};

struct carrier_calls {
	struct lease *(*take)(
			struct hop *h); /* the next message; NULL: there is none */
	void (*again)(struct hop *h); /* what was given back is to be loaded anew */
	void (*busy)(struct hop *h, bool busy); /* it has a message in hand, or none */
	void (*greeted)(struct hop *h); /* the peer works: others may be opened */
	void (*answered)(struct hop *h); /* a message got its reply */
	/* It is over and off the hop's list. why: for all but CARRIER_DONE. */
	void (*gone)(struct hop *h, enum carrier_end end, const struct verdict *why);
};

/* What is remembered of a peer for as long as its hop is. */
struct habits {
	bool single; /* it takes one transaction on a connection */
	int64_t no_body_until_ms; /* monotonic: till then BODY= is not said */
	int64_t careful_until_ms; /* monotonic: till then no message follows another's dot */
};

#endif
