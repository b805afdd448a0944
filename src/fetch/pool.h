/* pool: the part of fetch.h that the role needs beside it. */
#ifndef FETCH_POOL_H
#define FETCH_POOL_H

#include "postern/fetch.h"

struct fetch_view {
	struct fetch_result result;
	bool any; /* there was a poll */
	bool busy; /* waits or is under way */
	bool under_way;
	uint64_t polls; /* that ended */
	int64_t due_ms; /* monotonic: when the account wants the next one; 0: it does not */
};

/* Polls come again by themselves, so their events tell when. `ended` is called on a
 * worker's thread whenever one is over and its view is final. Before the first poll. */
void fetch_pool_schedule(struct fetch_pool *p, void (*ended)(void *host));
/* Takes up to n accounts whose polls have ended since they were last taken. */
size_t fetch_pool_ended(struct fetch_pool *p, size_t *accounts, size_t n);
/* How many wait or are under way. */
size_t fetch_pool_busy(struct fetch_pool *p);
void fetch_pool_look(struct fetch_pool *p, size_t account, struct fetch_view *out);
/* Polls that wait are forgotten, those under way end in order, soon. */
void fetch_pool_end(struct fetch_pool *p);
bool fetch_pool_idle(struct fetch_pool *p);

#endif
