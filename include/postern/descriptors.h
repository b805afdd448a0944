/* descriptors: how many files and sockets a role may have open, and for what. What
 * connections from outside take is what is left when everything else has its share: a
 * crowd at the door must stop neither the collector nor Pickup nor a delivery. */
#ifndef POSTERN_DESCRIPTORS_H
#define POSTERN_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>

/* The limit of this process, after the soft one was raised to the hard one. */
size_t descriptors_raise(void);

struct descriptors {
	size_t workers; /* collectors, each with a connection to the relay */
	size_t clients; /* connections from outside */
	size_t outgoing; /* connections to next hops */
	size_t drops; /* Drop folders held open */
	size_t maildirs;
	size_t pickups; /* files of Pickup taken at once */
	size_t kept; /* for all of these but the clients */
};

enum {
	DESCRIPTORS_WORKERS = 256,
	DESCRIPTORS_DROPS = 32,
	DESCRIPTORS_MAILDIRS = 64,
	DESCRIPTORS_PICKUPS = 64,
};

/* What a limit is divided into; clients and outgoing are as they are in the configuration
 * where the limit allows. Never 0 of anything. The collectors' process divides it like the
 * relay's, which is how one knows of the other. `alone`: both are one process, without
 * clients. */
void descriptors_divide(size_t limit, bool alone, size_t clients, size_t outgoing,
		struct descriptors *out);

#endif
