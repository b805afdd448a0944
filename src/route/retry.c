#include "postern/retry.h"

#include "postern/must.h"

enum { MS = 1000 };

/* The wait after that many failed attempts, in seconds. */
static int64_t
wait_after(const struct retry *r, unsigned attempts)
{
	size_t step = attempts > r->waits.n ? r->waits.n : attempts;

	return r->waits.p[step - 1];
}

/* How much of the age the schedule itself accounts for: the waits before the
 * last of `attempts`, never more than the limit. */
static int64_t
waited_s(const struct retry *r, unsigned attempts)
{
	int64_t sum = 0;
	unsigned i = 1;

	for (; i < attempts && i <= r->waits.n && sum < r->expire_s; i++)
		sum += r->waits.p[i - 1];
	if (i < attempts && sum < r->expire_s) {
		int64_t last = r->waits.p[r->waits.n - 1];
		int64_t more = attempts - i;
		sum = more > (r->expire_s - sum) / last ? r->expire_s
							: sum + more * last;
	}
	return sum < r->expire_s ? sum : r->expire_s;
}

int64_t
retry_next(const struct retry *r, unsigned attempts, int64_t queued_ms, int64_t now_ms,
		unsigned jitter)
{
	MUST(attempts > 0 && r->waits.n > 0 && jitter < RETRY_JITTER);
	int64_t age = now_ms -
			queued_ms; /* below 0: it came under a clock that was ahead */
	int64_t limit = r->expire_s * MS;
	int64_t wait = wait_after(r, attempts) * MS;

	int64_t waited = waited_s(r, attempts);
	if (age >= limit ? waited * 2 >= r->expire_s : age < 0 && waited >= r->expire_s)
		return RETRY_EXPIRED;
	wait += wait / 10 * jitter / RETRY_JITTER;
	if (age < limit && wait > limit - age)
		wait = limit - age;
	return now_ms + wait;
}

int64_t
retry_latest(const struct retry *r, int64_t now_ms)
{
	int64_t longest = 0;

	for (size_t i = 0; i < r->waits.n; i++) {
		if (r->waits.p[i] > longest)
			longest = r->waits.p[i];
	}
	return now_ms + longest * MS + longest * MS / 10;
}

int64_t
retry_clamp(const struct retry *r, int64_t next_ms, int64_t now_ms)
{
	int64_t latest = retry_latest(r, now_ms);

	return next_ms < latest ? next_ms : latest;
}

const char *
retry_step(unsigned attempts)
{
	static const char *const steps[] = { "first", "second", "third" };

	return attempts >= 1 && attempts <= 3 ? steps[attempts - 1] : "subsequent";
}
