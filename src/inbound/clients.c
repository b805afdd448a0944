/* clients: the sessions of each address, counted while it has any. */
#include "clients.h"

#include <stdio.h>
#include <stdlib.h>

#include "postern/clock.h"

void
clients_init(struct clients *c)
{
	uint64_t seed[2];

	clock_random(seed, sizeof(seed));
	map_init(&c->by_ip, seed[0], seed[1]);
}

void
clients_done(struct clients *c)
{
	map_done(&c->by_ip);
}

struct client *
clients_join(struct clients *c, const char *ip)
{
	struct client *client = map_get(&c->by_ip, span_of(ip));

	if (!client) {
		client = calloc(1, sizeof(*client));
		if (!client)
			abort();
		(void)snprintf(client->ip, sizeof(client->ip), "%s", ip);
		(void)map_put(&c->by_ip, span_of(client->ip), client);
	}
	client->sessions++;
	return client;
}

void
clients_leave(struct clients *c, struct client *client)
{
	if (--client->sessions > 0)
		return;
	(void)map_del(&c->by_ip, span_of(client->ip));
	free(client);
}

size_t
clients_sessions(const struct clients *c, const char *ip)
{
	const struct client *client = map_get(&c->by_ip, span_of(ip));

	return client ? client->sessions : 0;
}
