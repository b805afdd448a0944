/* The role by itself, without its halves: what a test wants of them it stands in for. The group
 * of tests includes it once. */
#ifndef TESTS_RELAY_ROLE_H
#define TESTS_RELAY_ROLE_H

#include "told.h"

#include "room.h"

static struct relay role;

static inline int
role_up(void **state)
{
	(void)told_up(state);
	role = (struct relay){ .hub = ((struct gate *)*state)->hub };
	return 0;
}

static inline int
role_down(void **state)
{
	struct gate *g = *state;

	g->hub.routes = role.hub.routes; /* another configuration has others */
	return told_down(state);
}

#endif
