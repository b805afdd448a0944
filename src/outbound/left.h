/* Mail whose domain has left the policies. */
#ifndef OUTBOUND_LEFT_H
#define OUTBOUND_LEFT_H

#include "postern/hub.h"
#include "postern/queue.h"

#define HOP_LEFT "no-policy" /* where it waits */

/* The recipient was taken because of a policy, and would not be any more. */
bool left_waits(const struct hub *hub, const struct queue_message *m,
		const struct queue_recipient *to);
void left_say(const struct queue_message *m,
		const struct queue_recipient *to); /* 5010 */

#endif
