/* jobs: what goes to the store thread, and what comes back from it.
 *
 * One port for the whole loop thread. Jobs are handed over in batches, one per callback
 * that made any, so that the store can commit them as one group. */
#ifndef POSTERN_JOBS_H
#define POSTERN_JOBS_H

#include "postern/loop.h"
#include "postern/store.h"

struct jobs;

struct jobs_calls {
	/* The store is done with this one; its own `done` is called next. */
	void (*result)(void *host, const struct store_job *job);
	void (*batch_over)(void *host); /* and with all that it gave back together */
};

/* The loop and the store outlive it. */
struct jobs *jobs_new(struct loop *loop, struct store *s,
		const struct jobs_calls *calls, void *host);
/* The store thread has ended, or never began: what it did is passed to `done`, and so is,
 * as STORE_FAILED, what it was not given. */
void jobs_free(struct jobs *j);
/* Goes out with the next flush, which comes by itself after this callback. The job belongs
 * to the store until its `done` is called, here on the loop thread. */
void jobs_add(struct jobs *j, struct store_job *job);
void jobs_flush(struct jobs *j);
size_t jobs_under_way(const struct jobs *j); /* added, and not back yet */

#endif
