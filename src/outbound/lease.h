/* A lease: one message with its due recipients on one next hop, taken out of the queue in
 * memory only. A crash gives it back. */
#ifndef OUTBOUND_LEASE_H
#define OUTBOUND_LEASE_H

#include "postern/arena.h"
#include "postern/hub.h"
#include "postern/list.h"
#include "postern/queue.h"

struct hop;
struct notices;
struct settling;

/* Where it goes. */
struct destination {
	struct span key; /* of the next hop, as the queue has it */
	struct nexthop to;
	bool badmail; /* to be written to Badmail */
};

/* Messages that were loaded together, and all that was made for them. */
struct batch {
	struct arena arena;
	size_t refs;
};

struct batch *batch_new(size_t memory);
void batch_drop(struct batch *b); /* by each who has it; the last one frees it */

struct lease {
	struct list link;
	struct hop *hop; /* whose it is, and ... */
	const struct destination *at; /* the hop's, which outlives its leases */
	struct settling *settling;
	struct batch *batch; /* what it was loaded with: m and all that it points to */
	struct arena words;
	struct queue_message *m;
	struct settlement job;
	struct settle_recipient *results; /* one per recipient of m */
	bool *open; /* no answer yet, one per recipient */
	size_t left; /* how many of them */
	struct span host; /* who answered */
	struct span last_reply; /* answers that repeat are kept once */
	bool attempted; /* somebody was asked */
	bool owed; /* the store would not take its results; they come again */
	bool changed; /* line ends were mended on the way out */
	bool nul; /* a NUL went out to who does not offer BINARYMIME */
	struct span damage; /* how its stored body is damaged; empty: it is not */
	size_t parts; /* transactions it took */
	struct notices *notices; /* who is told that it failed; NULL: nobody */
	/* Recipients still to be sent, by their place in m: sending.c. */
	size_t *todo, todo_n, todo_at;
	size_t sends; /* transactions under way */
};

/* Takes a share of the batch. */
struct lease *lease_new(struct hop *h, const struct destination *at, struct settling *s,
		struct batch *b, struct queue_message *m);
void lease_free(struct lease *l); /* takes it off its list, too */
/* The message's id, as the key of a map. */
struct span lease_key(const struct lease *l);
/* A copy that lives as long as the lease. There is always room for a reply or a next hop of
 * each recipient and what else a session says of a message. */
struct span lease_words(struct lease *l, struct span s);

#endif
