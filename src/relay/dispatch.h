/* A next hop, for the files that work through its mail. */
#ifndef RELAY_DISPATCH_H
#define RELAY_DISPATCH_H

#include "room.h"

/* Messages that were loaded together, and all that was made for them. */
struct batch {
	struct arena arena;
	size_t refs;
};

struct hop {
	struct list link;
	struct dispatch *d;
	struct arena arena;
	struct span key;
	struct nexthop to;
	bool badmail; /* to be written to Badmail */
	struct list ready; /* leases that nobody works on yet */
	size_t n_ready;
	struct map leased; /* message id -> lease, ready or not */
	size_t limit; /* recipients of one message at a time */
	int64_t wake_ms; /* wall: something may be due then; INT64_MAX: nothing known */
	int64_t ahead_ms; /* wall: the clock was set back, this is what "due" means */
	unsigned sessions; /* of outbound.c */
	unsigned busy; /* of them, those with a message */
	bool works; /* it has greeted us */
	unsigned failures; /* connections in a row that came to nothing */
	int64_t shut_until_ms; /* monotonic */
	struct verdict last; /* why it is shut */
};

#endif
