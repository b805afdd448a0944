/* hosts: how many polls one provider's server gets at the same time. Dry.
 *
 * Additive increase, multiplicative decrease, as in TCP: a host that refuses us or
 * says that it is unwell gets half as many, once for all polls that were under way
 * together; each good poll allows one more. */
#ifndef FETCH_HOSTS_H
#define FETCH_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "postern/buf.h"
#include "postern/conf.h"

enum { HOST_FIRST = 64 }; /* polls at once until something is known */

enum host_said { HOST_NOTHING, HOST_GOOD, HOST_STRAINED };

struct host_limit {
	unsigned most; /* never more than these */
	unsigned allowed; /* now; at least 1 */
	unsigned running;
	unsigned cuts; /* how often it was halved */
};

/* `workers` polls run at once in all; where `others` wait for them too, one host
 * may hold three quarters of them, so that it cannot hang all. */
void host_limit_init(struct host_limit *h, unsigned workers, bool others);
bool host_limit_room(const struct host_limit *h);
/* A poll begins; what this gives is to be handed to its end. */
unsigned host_limit_begin(struct host_limit *h);
void host_limit_end(struct host_limit *h, unsigned begun, enum host_said said);

/* "name:port" in lower case: two accounts with the same key share a limit. */
bool host_key(const struct conf_host *host, struct buf *out)
		__attribute__((warn_unused_result));

#endif
