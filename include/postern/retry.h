/* retry: when to try again, and when to give up (SPEC delivery.retry, expire).
 *
 * Pure: times are arguments, in ms since 1970. Proof against clock jumps
 * (FAULTS.md Q11): a recipient expires only when it is old by the clock *and*
 * its failed attempts, spaced as the schedule says, account for at least half
 * of that age limit; so a clock that leaps ahead bounces nothing. One that came under a
 * clock that was ahead, and is younger than nothing now, expires when its attempts
 * account for all of it. */
#ifndef POSTERN_RETRY_H
#define POSTERN_RETRY_H

#include "postern/conf.h"

struct retry {
	struct conf_times
			waits; /* first, second, third, subsequent: the last repeats */
	int64_t expire_s;
};

enum { RETRY_JITTER = 65536 };
#define RETRY_EXPIRED INT64_C(-1)

/* When to try next after `attempts` >= 1 failed ones, the last one at now_ms,
 * or RETRY_EXPIRED. jitter (0 to RETRY_JITTER - 1) stretches the wait by up to
 * a tenth. The last try falls on the moment of expiry, not after it. */
int64_t retry_next(const struct retry *r, unsigned attempts, int64_t queued_ms,
		int64_t now_ms, unsigned jitter);
/* The latest next try that the schedule could have set at now_ms, and a stored one
 * brought to it: a clock that was set back must not hold mail for years. */
int64_t retry_latest(const struct retry *r, int64_t now_ms);
int64_t retry_clamp(const struct retry *r, int64_t next_ms, int64_t now_ms);
/* The step a deferral is at, for event 5002: "first", "second", "third", "subsequent". */
const char *retry_step(unsigned attempts);

#endif
