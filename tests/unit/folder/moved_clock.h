/* A clock that goes on when a test says so, instead of a test that sleeps. For executables
 * linked with --wrap=clock_wall_ms and --wrap=clock_mono_ms; included once in each. */
#ifndef TESTS_MOVED_CLOCK_H
#define TESTS_MOVED_CLOCK_H

#include "postern/clock.h"

int64_t __real_clock_wall_ms(void);
int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_mono_ms(void);

static int64_t moved_ms;

int64_t
__wrap_clock_wall_ms(void)
{
	return __real_clock_wall_ms() + moved_ms;
}

int64_t
__wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() + moved_ms;
}

static inline void
clock_move(int64_t ms)
{
	moved_ms += ms;
}

#endif
