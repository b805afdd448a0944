/* smtp_body: message bytes on their way in and out of DATA, by spans.
 *
 * Nothing here depends on how the bytes were cut into pieces: the pieces that come
 * out join to the same bytes, and the flags are the same. Pieces point into the input
 * or to constants, never to memory of their own. */
#ifndef POSTERN_SMTP_BODY_H
#define POSTERN_SMTP_BODY_H

#include <stdint.h>

#include "postern/smtp_reply.h"

/* ---- what kind of bytes ---- */

/* Starts zeroed. After smtp_scan_end it says what was seen. */
struct smtp_scan {
	bool eight_bit; /* a byte above 0x7f */
	bool bare; /* CR or LF that is not part of CRLF */
	bool nul;
	bool cr; /* the last byte was CR: private */
};

void smtp_scan_add(struct smtp_scan *s, struct span piece);
void smtp_scan_end(struct smtp_scan *s);

/* ---- receiving DATA ---- */

/* Starts zeroed, just behind the CRLF of the DATA command. Only CRLF.CRLF ends it. */
struct smtp_dots {
	enum {
		SMTP_DOTS_LINE, /* behind CRLF, or at the start */
		SMTP_DOTS_TEXT,
		SMTP_DOTS_CR, /* behind a CR that was handed out */
		SMTP_DOTS_DOT, /* behind the first dot of a line, kept back */
		SMTP_DOTS_DOT_CR, /* behind that dot and a CR, both kept back */
	} at;
	bool bare; /* CR or LF that is not part of CRLF was seen */
};

/* Cuts the next piece of content off *in. SMTP_ONE: *out is content, dots unstuffed.
 * SMTP_MORE: *in is used up. SMTP_BAD is never returned; *ended is set to true when
 * the end was consumed, and then SMTP_MORE is returned with *in behind it. */
enum smtp_step smtp_dots_next(
		struct smtp_dots *d, struct span *in, struct span *out, bool *ended);

/* ---- sending ---- */

/* Starts as { .dots = ..., .crlf = ... }. */
struct smtp_stuff {
	bool dots; /* DATA: double a dot at the start of a line */
	bool crlf; /* make every bare CR and every bare LF a CRLF */
	bool changed; /* crlf did so at least once: event 4044 */
	enum { SMTP_STUFF_LINE, SMTP_STUFF_TEXT, SMTP_STUFF_CR, SMTP_STUFF_DOT } at;
};

/* Cuts the next piece of output off *in; false when *in is used up. */
bool smtp_stuff_next(struct smtp_stuff *s, struct span *in, struct span *out);
/* The end of the message: completes a CR that was kept back and, with dots, a last
 * line without CRLF, and gives the final dot line. At most "\r\n.\r\n". */
struct span smtp_stuff_end(struct smtp_stuff *s);

#endif
