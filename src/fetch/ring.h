/* ring: what was said in the sessions of a poll, for `accounts show --session`.
 *
 * Lines only, no message content; passwords and tokens never come in here as
 * they are (pop_command sees to that). Bounded: the beginning and the end are
 * kept, what lies between is counted. Bytes outside printable ASCII become '?'. */
#ifndef FETCH_RING_H
#define FETCH_RING_H

#include <stdint.h>

#include "postern/buf.h"

enum { RING_PART = 24 * 1024, RING_LINE = 300 };

struct ring {
	struct buf head, tail;
	uint64_t left_out; /* lines */
	int64_t began_ms; /* monotonic: times are printed from here */
};

/* c where a terminal would only print it, else '?'. */
char ring_tame(char c);
void ring_init(struct ring *r, int64_t mono_ms);
/* who: "C", "S", "relay C"... ; now_ms monotonic. Each line of text is one. */
void ring_add(struct ring *r, int64_t now_ms, const char *who, struct span text);
/* All of it, at most 64 KiB; appended to out. */
bool ring_print(const struct ring *r, struct buf *out);
void ring_done(struct ring *r);

#endif
