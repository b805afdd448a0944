/* crash: places where a test may have the process die.
 *
 * POSTERN_CRASH=NAME kills it (SIGKILL) at that point, NAME#K when it is passed
 * for the K-th time, #N at the N-th point passed of any name; each process
 * counts for itself. POSTERN_CRASH_SIGNAL=N has it die of another signal, by its own fault. POSTERN_CRASH_TRACE=FILE appends every name passed to FILE.
 * Otherwise a point costs one load. */
#ifndef POSTERN_CRASH_H
#define POSTERN_CRASH_H

#include <stdbool.h>

extern bool crash_armed; /* read only */
void crash_here(const char *name);

static inline void
crash_point(const char *name)
{
	if (__builtin_expect(crash_armed, false))
		crash_here(name);
}

#endif
