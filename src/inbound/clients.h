/* clients: how many sessions each address from outside has. */
#ifndef INBOUND_CLIENTS_H
#define INBOUND_CLIENTS_H

#include "postern/map.h"
#include "postern/net.h"

struct client {
	char ip[NET_TEXT_SIZE];
	size_t sessions;
};

struct clients {
	struct map by_ip;
};

void clients_init(struct clients *c);
void clients_done(struct clients *c); /* when all of them have left */
/* One session more of that address; it is told to clients_leave. */
struct client *clients_join(struct clients *c, const char *ip);
void clients_leave(struct clients *c, struct client *client);
size_t clients_sessions(const struct clients *c, const char *ip);

#endif
