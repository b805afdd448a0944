/* Mail held because nobody was found: what its words share. */
#ifndef CLI_UNROUTED_H
#define CLI_UNROUTED_H

#include "policies.h"
#include "postern/queue.h"

/* What `unrouted` says of a message's state. */
bool unrouted_held(const struct queue_message *m);

#endif
