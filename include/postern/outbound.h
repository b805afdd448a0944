/* outbound: mail on its way out of the queue. From the ground up: leases, what is settled and
 * whom notices tell of it, carriers (SMTP and LMTP sessions; the folder thread), next hops
 * and who works on them, dispatch.
 *
 * It knows nothing of how mail came; whoever queues some says so by outbound_queued. */
#ifndef POSTERN_OUTBOUND_H
#define POSTERN_OUTBOUND_H

#include "postern/hub.h"

struct outbound;

/* The hub and all that it points to outlive it. The folder thread runs from then on. NULL with
 * *err set. */
struct outbound *outbound_new(struct hub *hub, struct err *err)
		__attribute__((warn_unused_result));
void outbound_start(struct outbound *o); /* looks what the queue holds */
void outbound_stop(struct outbound *o); /* no new attempts */
/* Ends the folder thread; its results are on their way to the store. NULL is welcome. */
void outbound_join(struct outbound *o);
void outbound_shut(
		struct outbound *o); /* what is under way is dropped; NULL is welcome */
/* When the store is gone: false when results were not recorded, each of them told (5011) and
 * *err set. */
bool outbound_end(struct outbound *o, struct err *err);
void outbound_free(struct outbound *o); /* NULL is welcome */

/* Mail for this next hop was queued. */
void outbound_queued(struct outbound *o, struct span hop);
/* Somebody else changed the queue: whatever waits for a peer to come back is tried now. */
void outbound_refresh(struct outbound *o);
/* Policies are others: what nobody has begun is read again, and so is what waits for a
 * policy (5010). */
void outbound_reconsider(struct outbound *o);
void outbound_renew(struct outbound *o); /* the schedule of another configuration */
/* The wall clock was set back: what waits is due within the schedule. */
void outbound_retime(struct outbound *o);
void outbound_tidy(struct outbound *o); /* Badmail and evidence are pruned, now */
void outbound_tick(struct outbound *o);

bool outbound_quiet(const struct outbound *o); /* nothing in hand */
size_t outbound_leases(const struct outbound *o); /* messages in hand */
/* The store would not take the results of some; they come again at the next tick. */
bool outbound_unsettled(const struct outbound *o);
/* `once`: looks at the disk whether anything is due; what is idle says goodbye. */
bool outbound_nothing_due(struct outbound *o);
bool outbound_disconnected(const struct outbound *o); /* no session is open */
/* Milliseconds until something may become due, at most `most`. */
int64_t outbound_wait(const struct outbound *o, int64_t most);

#endif
