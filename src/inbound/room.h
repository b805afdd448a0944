/* What the files of this room share. All of it belongs to the loop thread. */
#ifndef INBOUND_ROOM_H
#define INBOUND_ROOM_H

#include "clients.h"

#include "postern/fd_pass.h"
#include "postern/inbound.h"
#include "postern/list.h"
#include "postern/queue.h"

enum {
	/* Bodies handed to the store and not yet committed: past it, clients wait. */
	PENDING_MAX = 16 * 1024 * 1024,
	/* Bodies being received, in memory: past it they go to the spool early. */
	RECEIVING_MAX = 12 * 1024 * 1024,
	INBOUND_LISTENERS = FD_PASS_MAX,
};

struct inbound {
	struct hub *hub;
	void (*queued)(void *host, struct span hop);
	void *host;
	struct loop_key loop_key;

	/* mails */
	size_t receiving; /* octets in memory of mails that are being received */
	size_t pending; /* ... and of those that the store has */
	size_t members; /* of lists, in the mails at hand */
	bool spool_told; /* a failing spool is logged once */

	/* listeners and sessions */
	struct loop_listen *listeners[INBOUND_LISTENERS];
	size_t listeners_n;
	struct loop_listen *socket; /* run/relay.sock */
	struct list sessions;
	struct clients clients; /* whose they are, but for our own */
	struct list dirty; /* the store answered them */
	size_t n, n_internal;
	bool full; /* too much waits for the store: nobody is read */
	bool too_many_told;

	struct pickups *pickups;
};

/* ---- listen.c ---- */
bool listen_begin(struct inbound *in, const struct inbound_options *o, struct err *err);
void listen_end(struct inbound *in);
void listen_tick(struct inbound *in);

#endif
