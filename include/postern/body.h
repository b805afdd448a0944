/* body: reading a stored message, in pieces, without having it whole in memory.
 *
 * What is read is what was stored: a body in memory is compared with its digest (sum.h) when
 * it is opened, one in the spool while it is read, and its last piece is given only when the
 * digest is right. Whoever sends pieces on must be able to break off before the last.
 *
 * A body stays readable after it was settled in the meantime. Belongs to one
 * thread, but needs the reader only while it is opened. */
#ifndef POSTERN_BODY_H
#define POSTERN_BODY_H

#include "postern/store.h"
#include "postern/sum.h"

/* A body that is gone, cut, longer or altered has EVENT_BODY_DAMAGED in err.event; the text says
 * which. It will not get better, and the event comes with the settlement (queue.h). Any other: it
 * cannot be read now. */
#define BODY_ALTERED "its octets are not those that were stored"

struct body;

/* NULL and *gone when the message is settled or unknown, which is no failure; else *e. */
struct body *body_find(struct reader *r, uint64_t id, bool *gone, struct err *e);
/* The same for those to whom it is one. */
struct body *body_open(struct reader *r, uint64_t id, struct err *e);
/* What is left of it, damaged or not, and nothing is checked: for people, never to be
 * delivered. */
struct body *body_open_left(struct reader *r, uint64_t id, struct err *e);
uint64_t body_size(const struct body *b); /* octets, top and body */
/* The next octets, valid until the next call: n is 0 at the end, and only there. False and
 * *e when the file could not be read or is damaged. */
bool body_next(struct body *b, struct span *out, struct err *e)
		__attribute__((warn_unused_result));
void body_rewind(struct body *b); /* from the first octet again */
void body_close(struct body *b); /* NULL: nothing */

/* The same for those who copy in bulk: what is in memory, then fd_size octets of
 * fd from its beginning; fd is -1 when there is no file. Valid until body_close. */
struct body_lay {
	struct span held;
	int fd;
	uint64_t fd_size;
	const uint8_t *fd_sum; /* SUM_SIZE, to be compared; NULL: unknown */
};

struct body_lay body_lay(const struct body *b);

#endif
