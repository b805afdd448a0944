/* dispatch: which messages are in hand, next hop by next hop. */
#ifndef OUTBOUND_DISPATCH_H
#define OUTBOUND_DISPATCH_H

#include "hop.h"

struct dispatch {
	struct hops all;
	struct map by_key; /* hop key -> struct hop */
	struct list hops;
	struct hop *nudged; /* last; mail mostly comes for one hop */
	uint64_t reading; /* of the queue, counted */
	int64_t refreshed_ms; /* monotonic */
};

void dispatch_init(struct dispatch *d, struct hub *hub);
void dispatch_done(struct dispatch *d);
void dispatch_start(struct dispatch *d); /* looks what the queue holds */
void dispatch_stop(struct dispatch *d); /* no new attempts */
void dispatch_shut(struct dispatch *d); /* and those under way are dropped */
/* Mail for this next hop was queued. */
void dispatch_nudge(struct dispatch *d, struct span key);
/* Policies are others: what nobody has begun is read again. */
void dispatch_reconsider(struct dispatch *d);
void dispatch_refresh(struct dispatch *d); /* somebody else changed the queue */
void dispatch_tick(struct dispatch *d);
/* `once`: looks at the disk whether anything is due; what is idle says goodbye. */
bool dispatch_nothing_due(struct dispatch *d);
/* Milliseconds until something may become due, at most `most`. */
int64_t dispatch_wait(const struct dispatch *d, int64_t most);

#endif
