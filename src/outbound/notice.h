/* Postmasters are told of collected mail that failed. */
#ifndef OUTBOUND_NOTICE_H
#define OUTBOUND_NOTICE_H

#include "settle.h"

struct field;

/* Notices for those whom this settlement bounces, as part of it. */
void notices_make(struct settling *s, struct lease *l);
/* It is durable: the events of them. */
void notices_settled(struct settling *s, struct lease *l, struct field account,
		struct field id);
void notices_free(struct notices *all);
void notices_tick(struct settling *s);

#endif
