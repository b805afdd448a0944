/* Time passes for the state, as its steady clock counts it. */
#ifndef TESTS_STORE_STEADY_H
#define TESTS_STORE_STEADY_H

#include "fixture.h"
#include "state.h"

static inline void
steady_set(struct state *t, int64_t at_ms)
{
	t->store->steady.at_ms = at_ms;
}

/* Housekeeping until nothing is left; how often it took. */
static inline unsigned
steady_prune(struct state *t, int64_t keep_ms, uint64_t *pruned)
{
	struct pruning p = { .job = { .work = STORE_PRUNE }, .keep_ms = keep_ms };
	unsigned rounds = 0;

	*pruned = 0;
	do {
		assert_int_equal(fixture_do(t, &p.job), STORE_DONE);
		*pruned += p.pruned;
		rounds++;
	} while (p.more);
	return rounds;
}

/* An hour at a time, as the service does it; in between it is looked after. */
static inline void
steady_pass(struct state *t, int64_t ms)
{
	enum { HOUR_MS = 3600 * 1000 };
	uint64_t pruned;

	for (; ms > 0; ms -= HOUR_MS) {
		t->store->steady.at_ms += ms < HOUR_MS ? ms : HOUR_MS;
		(void)steady_prune(t, STORE_HISTORY_MS, &pruned);
	}
}

#endif
