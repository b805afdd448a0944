/* body: reading a stored message, in pieces, without having it whole in memory.
 *
 * A body stays readable after it was settled in the meantime. Belongs to one
 * thread, but needs the reader only while it is opened. */
#ifndef POSTERN_BODY_H
#define POSTERN_BODY_H

#include "postern/store.h"

struct body;

/* NULL and *gone when the message is settled or unknown, which is no failure; else *e. */
struct body *body_find(struct reader *r, uint64_t id, bool *gone, struct err *e);
/* The same for those to whom it is one. */
struct body *body_open(struct reader *r, uint64_t id, struct err *e);
uint64_t body_size(const struct body *b); /* octets, top and body */
/* The next octets, valid until the next call: n is 0 at the end. False when the
 * file could not be read or is shorter than it should be. */
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
};

struct body_lay body_lay(const struct body *b);

#endif
