/* transcript: what both sides said in a submission session, for event 4022.
 *
 * At levels below 3 only the transactions in which something was refused are
 * kept, behind greeting and EHLO. Bounded: what does not fit is counted. Holds
 * commands and replies only, never message content. */
#ifndef FETCH_TRANSCRIPT_H
#define FETCH_TRANSCRIPT_H

#include <stdint.h>

#include "postern/buf.h"

struct transcript {
	struct buf said; /* the session, as far as it is worth telling */
	struct buf part; /* the transaction under way */
	bool all; /* everything is kept */
	bool refused; /* a reply of 400 or more is in `said` */
	bool part_refused;
	uint64_t left_out;
};

void transcript_init(struct transcript *t, bool all, size_t max);
/* One command and its reply (LF between lines); the greeting has no command. */
void transcript_add(struct transcript *t, struct span said, struct span heard);
/* A transaction, or the beginning of the session, ended; keep: whatever it holds. */
void transcript_cut(struct transcript *t, bool keep);
void transcript_done(struct transcript *t);

#endif
