/* header: where a message header ends, and the fields in it (RECIPIENTS.md E3).
 *
 * A header ends at the first empty line (CRLF or LF) or with the bytes. A line
 * ends in LF; a CR before it belongs to the line end, any other CR or NUL is
 * data. A line without a colon, or whose name holds other bytes than RFC 5322
 * 2.2 allows, is kept, told apart and ends nothing. Nothing here copies. */
#ifndef POSTERN_HEADER_H
#define POSTERN_HEADER_H

#include "postern/span.h"

enum {
	HEADER_MAX = 1024 * 1024, /* a header block held in memory */
	HEADER_FIELD_MAX = 256 * 1024, /* the part of one field that is read */
};

enum header_kind {
	HEADER_FIELD, /* name and body are set */
	HEADER_MBOX, /* a "From " line at the very top, as mbox files have */
	HEADER_JUNK, /* any other line, with the folded lines behind it */
};

struct header_field {
	enum header_kind kind;
	/* The body was longer than HEADER_FIELD_MAX, or the field crosses HEADER_MAX:
	 * what is told of it ends at a "," or is empty. */
	bool cut;
	struct span raw; /* every byte of the field: name, folded lines, last line end */
	struct span name; /* as spelled, without the blanks that may stand before ":" */
	struct span body; /* after ":", folds inside, without the last line end */
};

struct header_scan {
	struct span rest; /* not yet looked at */
	bool begun;
	bool limited; /* the block is HEADER_MAX long: its last field may be a part of one */
	size_t cut_fields; /* how many came with `cut` */
};

/* block: a header as far as it is in memory, with or without its empty line and
 * what follows. Bytes past HEADER_MAX are not looked at. */
void header_scan_init(struct header_scan *s, struct span block);
/* The next field from the top, or false at the end of the header. */
bool header_next(struct header_scan *s, struct header_field *out);
/* Field names compare without case (RFC 5322 2.2). */
bool header_is(const struct header_field *f, struct span name);
/* The first field of that name, from the top. */
bool header_find(struct span block, struct span name, struct header_field *out);
/* Length of the header in message, its empty line included; message.n when it
 * has no empty line. */
size_t header_length(struct span message);

/* The same for a message that comes in pieces. Zeroed to start. */
struct header_end {
	unsigned char line; /* what the line holds so far */
	bool found;
};

/* Takes the next piece and returns how many bytes of it belong to the header,
 * the empty line included: all of them until `found` becomes true, none after. */
size_t header_end_feed(struct header_end *e, struct span piece);

#endif
