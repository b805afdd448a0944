/* notice: messages to a postmaster about recipients of collected mail who failed for
 * good (RECIPIENTS.md E9), queued in the very transaction that says that they failed.
 *
 * A crash before its commit leaves neither: the attempt is made again. After it there are
 * both. Of one message a postmaster gets one notice, and NOTICE_MOST within
 * NOTICE_WINDOW_MS; what is not told so is counted, and a digest tells of it once the
 * window is over. */
#ifndef POSTERN_NOTICE_H
#define POSTERN_NOTICE_H

#include "postern/arena.h"
#include "postern/store.h"

enum { NOTICE_MOST = 20, NOTICE_WINDOW_MS = 3600 * 1000 };

/* Part of a settlement (queue.h): all of it the caller's until that comes back. */
struct notice {
	struct notice *next;
	struct span postmaster; /* its address in canonical form: who is counted */
	struct submission mail; /* without origin; its `job` is not used */
	bool queued; /* set by the store; false: only counted */
};

/* What was counted and not told. */
struct notice_count {
	struct span postmaster;
	int64_t began_ms; /* of the window */
	uint64_t more;
};

/* Those whose window is over; at most 100. */
bool notice_due(struct reader *r, int64_t now_ms, struct arena *a,
		struct notice_count **out, size_t *n, struct err *e);

/* The job for STORE_DIGEST: `mail` is queued and the count begins anew, if it is still
 * what `about` says; else nothing is done, it has become more. */
struct notice_digest {
	struct store_job job;
	struct notice_count about;
	int64_t at_ms;
	struct submission
			mail; /* without recipients: nobody can be told, only the count ends */
	bool queued; /* set by the store */
};

#endif
