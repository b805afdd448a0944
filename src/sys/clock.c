#include "postern/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "postern/must.h"

static int64_t
clock_us(clockid_t id)
{
	struct timespec t;

	MUST(clock_gettime(id, &t) == 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static const char *clock_moved; /* POSTERN_CLOCK */

/* Before main: there is one thread. */
__attribute__((constructor)) static void
clock_arm(void)
{
	clock_moved = getenv("POSTERN_CLOCK");
}

static int64_t
clock_offset_ms(void)
{
	char text[32];
	int fd = open(clock_moved, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		(void)close(fd);
	text[got > 0 ? got : 0] = '\0';
	return strtoll(text, NULL, 10);
}

int64_t
clock_wall_ms(void)
{
	int64_t now = clock_us(CLOCK_REALTIME) / 1000;

	return clock_moved ? now + clock_offset_ms() : now;
}

int64_t
clock_mono_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
clock_boot_ms(void)
{
	return clock_us(CLOCK_BOOTTIME) / 1000;
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
