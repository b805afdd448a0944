/* inbound: mail on its way into the queue. Listeners, SMTP sessions, the Pickup folder, and
 * what is between MAIL and the answer of the store.
 *
 * It knows nothing of what happens to mail afterwards; one callback, `queued`, tells whoever
 * delivers that there is some. */
#ifndef POSTERN_INBOUND_H
#define POSTERN_INBOUND_H

#include "postern/hub.h"
#include "postern/loop_stamp.h"

struct inbound;

struct inbound_options {
	struct hub *hub; /* outlives it, as all that it points to */
	/* Sockets already bound and listening, in the order of smtp.listen, taken over. NULL: it
	 * binds them itself. */
	const int *listeners;
	size_t listeners_n;
	struct loop_key loop_key; /* of the loop stamps (E10) */
	/* Mail for this next hop was queued. */
	void (*queued)(void *host, struct span hop);
	void *host;
};

/* Opens the sockets and the Pickup folder, whose thread runs from then on. NULL with *err set
 * (115: an address could not be bound). */
struct inbound *inbound_new(const struct inbound_options *o, struct err *err)
		__attribute__((warn_unused_result));
void inbound_start(struct inbound *in); /* looks what lies in Pickup */
/* No new mail; what is in hand is answered. */
void inbound_stop(struct inbound *in);
/* Ends the Pickup thread; what the store has of its mail comes back. NULL is welcome. */
void inbound_join(struct inbound *in);
void inbound_free(struct inbound *in); /* after the jobs have ended; NULL is welcome */

/* Listens on these from now on, which it takes over; at most FD_PASS_MAX. */
void inbound_sockets(struct inbound *in, const int *fds, size_t n);
/* Nothing in hand; `once`: and nothing to come from Pickup. */
bool inbound_quiet(const struct inbound *in);
unsigned inbound_internal(const struct inbound *in); /* sessions of our own fetcher */
size_t inbound_sessions(const struct inbound *in);
void inbound_tick(struct inbound *in);
/* The store gave back a batch of jobs: those that waited for it go on. NULL is welcome. */
void inbound_flush(struct inbound *in);

#endif
