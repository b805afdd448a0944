/* dots: finds the end of a POP3 multi-line answer and takes its dots out
 * (RFC 1939 section 3). Dry.
 *
 * Bytes go in by pieces of any size and come out as spans of the pieces, none
 * copied, none changed: NUL, bare CR, bare LF stay. Strict: only CRLF begins a
 * line and only CRLF.CRLF ends, so a mail with LF.LF in it can not forge the
 * next answer. Lenient, for servers whose status lines end in bare LF: LF is
 * enough for both. */
#ifndef FETCH_DOTS_H
#define FETCH_DOTS_H

#include "postern/span.h"

enum pop_place { DOTS_BOL, DOTS_DOT, DOTS_DOT_CR, DOTS_MID, DOTS_CR, DOTS_OVER };

struct pop_dots {
	enum pop_place place; /* 0: at the beginning */
	bool lenient;
};

/* Takes from *in; *out gets the next content, maybe empty. To be called while
 * *in has bytes and place is not DOTS_OVER; then *in keeps what follows the
 * answer. */
void pop_dots_next(struct pop_dots *b, struct span *in, struct span *out);

#endif
