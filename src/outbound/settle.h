/* What becomes of recipients: verdicts into the store, and into the log once they are there. */
#ifndef OUTBOUND_SETTLE_H
#define OUTBOUND_SETTLE_H

#include "lease.h"

#include "postern/retry.h"

/* What those who settle say to whoever handed out the leases. */
struct settling_calls {
	/* A notice for this next hop was queued. */
	void (*queued)(void *host, struct span hop);
	/* The store has its results, or there are none: the lease ends. */
	void (*settled)(void *host, struct lease *l);
	void (*forgotten)(void *host, struct lease *l);
};

/* What all leases have in common. */
struct settling {
	struct hub *hub;
	const struct settling_calls *calls;
	void *host;
	struct retry retry; /* the schedule, as the configuration has it now */
	struct list unsettled; /* leases whose results the store could not take */
	size_t owed; /* how many they are, with those that are tried again just now */
	unsigned tries; /* of them, in a row */
	uint64_t split; /* the message of which 3041 was said last: it leaves by many leases */
	size_t digests; /* jobs of notice.c under way */
	int64_t digest_at_ms; /* monotonic: the next look */
};

void settling_init(struct settling *s, struct hub *hub,
		const struct settling_calls *calls, void *host);
void settling_renew(struct settling *s); /* the schedule of another configuration */

/* One recipient's answer; only the first counts. */
void settle_verdict(struct lease *l, size_t recipient, const struct verdict *v);
void settle_all(struct lease *l, const struct verdict *v); /* those without one yet */
/* Its stored body is damaged, and what `how` says goes with the settlement. The verdict for
 * those who do not get it. */
struct verdict settle_damage(struct lease *l, const char *how);
/* Badmail has it, or is to get it later. */
void settle_badmail(struct lease *l, bool written, int64_t again_ms);
/* To the store with the answers; recipients without one stay as they are. */
void settle_lease(struct lease *l);
void settle_done(void *host,
		struct store_job *done); /* the job's: host is the settling */
/* Nobody was asked, or its message is not there any more. */
void settle_forget(struct lease *l);
void settle_tick(struct settling *s); /* what the store could not take comes again */
/* At the end, when the store is gone: false when results were not recorded, each of them
 * told (5011) and *err set. */
bool settle_end(struct settling *s, struct err *err);
void settle_free(struct settling *s);

#endif
