/* heading: the few fields of a message that the relay itself reads, taken while the message
 * passes: wherever they stand in it, and however it is cut into pieces. */
#ifndef INBOUND_HEADING_H
#define INBOUND_HEADING_H

#include "postern/buf.h"
#include "postern/gleaner.h"

enum heading_field {
	HEADING_MESSAGE_ID,
	HEADING_FROM,
	HEADING_SUBJECT,
	HEADING_FIELDS
};

struct heading {
	struct gleaner watch;
	struct buf body[HEADING_FIELDS]; /* of the first field of that name */
	bool cut[HEADING_FIELDS]; /* it had more */
	unsigned seen[HEADING_FIELDS]; /* fields of that name */
};

void heading_init(struct heading *h);
void heading_feed(struct heading *h, struct span piece);
/* Its words, a blank between them, as far as they are kept; empty when there is none. */
struct span heading_get(const struct heading *h, enum heading_field which);
void heading_done(struct heading *h);

#endif
