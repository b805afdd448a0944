/* wire: bounded reading of POP3 answers out of a mailstream's own buffer.
 *
 * Used instead of libetpan's readers, which have no limits, cut lines at NUL and
 * spin at EOF. Takes bytes at `at` in stream->read_buffer and feeds that buffer
 * only when it is used up; pop_sync hands the rest back, for libetpan's calls.
 * Belongs to the thread of its session. */
#ifndef FETCH_WIRE_H
#define FETCH_WIRE_H

#include <stdint.h>

#include <libetpan/mailstream.h>

#include "dots.h"
#include "postern/span.h"
#include "ring.h"

enum { WIRE_LINE = 1024 }; /* RFC 2449 section 4 says 512 */

enum pop_answer {
	POP_OK,
	POP_ERR,
	POP_ODD, /* no status line: the stream is out of step */
	POP_LOST, /* nothing more comes: EOF, deadline, cancelled */
};

struct pop_wire {
	mailstream *stream; /* borrowed */
	size_t at;
	bool lenient; /* this server ends lines in bare LF */
	bool framed; /* lenient is decided: its first status line was read */
	bool cut; /* the last line was longer than WIRE_LINE; its end was dropped */
	bool bare; /* the last line ended in LF without CR */
	char line[WIRE_LINE];
	size_t line_n;
	bool *awaits; /* set when an answer is still to begin; NULL: nobody asks */
	struct ring *ring; /* status lines are noted there; NULL: nowhere */
};

void pop_init(struct pop_wire *w, mailstream *stream);
/* Bytes that can be read now, at least one; empty: nothing more comes. */
struct span pop_have(struct pop_wire *w);
void pop_take(struct pop_wire *w, size_t n);
/* Reads a line without its end; valid until the next call. False: lost. */
bool pop_line(struct pop_wire *w, struct span *out);
/* Reads a status line; text is what stands behind +OK or -ERR, or the whole line
 * when it is odd. Valid until the next call. */
enum pop_answer pop_status(struct pop_wire *w, struct span *text);
/* A line of a multi-line answer: false at its end and when the stream is lost
 * (*lost). A stuffed dot is taken off. */
bool pop_item(struct pop_wire *w, struct span *out, bool *lost);
/* True when the server sent bytes nobody asked for. */
bool pop_early(const struct pop_wire *w);
void pop_sync(struct pop_wire *w);

#endif
