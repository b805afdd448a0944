#include "postern/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "postern/must.h"

static int64_t
clock_us(clockid_t id)
{
	struct timespec t;

	MUST(clock_gettime(id, &t) == 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
clock_wall_ms(void)
{
	return clock_us(CLOCK_REALTIME) / 1000;
}

int64_t
clock_mono_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
clock_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t
clock_cpu_us(void)
{
	return clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

void
clock_random(void *p, size_t n)
{
	char *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);
		if (got < 0) {
			MUST(errno == EINTR);
			continue;
		}
		at += got;
		n -= (size_t)got;
	}
}
