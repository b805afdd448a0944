/* Mail on its way in, without clients: what of inbound there is between MAIL and the commit.
 * The group of tests includes it once. */
#ifndef TESTS_INBOUND_DOOR_H
#define TESTS_INBOUND_DOOR_H

#include "gate.h"

#include "mail.h"

static struct inbound in;
static struct {
	size_t n;
	char hop[64][60];
} queued; /* next hops that were told that there is mail */

static inline void
hop_queued(void *host, struct span hop)
{
	(void)host;
	assert_true(queued.n < 64 && hop.n < sizeof(queued.hop[0]));
	memcpy(queued.hop[queued.n], hop.p, hop.n);
	queued.hop[queued.n++][hop.n] = '\0';
}

static inline bool
was_queued(const char *hop)
{
	for (size_t i = 0; i < queued.n; i++)
		if (strcmp(queued.hop[i], hop) == 0)
			return true;
	return false;
}

static inline void
door_open(struct gate *g)
{
	struct err err = { 0 };

	in = (struct inbound){ .hub = &g->hub, .queued = hop_queued, .host = g };
	list_init(&in.sessions);
	list_init(&in.dirty);
	clients_init(&in.clients);
	if (!store_secret(store_reader(g->hub.store), "loop", in.loop_key.secret, &err))
		fail_msg("%s", err.text);
	loop_key_init(&in.loop_key);
	g->in = &in;
	queued.n = 0;
}

#endif
