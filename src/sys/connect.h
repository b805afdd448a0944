/* connect: the first address that answers, waiting. For dial. */
#ifndef SYS_CONNECT_H
#define SYS_CONNECT_H

#include <stdint.h>

#include "postern/net.h"

enum { CONNECT_STAGGER_MS = 250 };

struct connect_try {
	const struct net_addr *addrs;
	size_t n;
	int64_t until_ms; /* monotonic */
	int cancel_fd; /* < 0: none */
	/* What came of it: */
	const struct net_addr *peer; /* that answered, or that failed last */
	int no; /* errno of the last failure; ETIMEDOUT, ECANCELED */
};

/* A connected non-blocking socket, or -1. */
int connect_first(struct connect_try *t);

#endif
