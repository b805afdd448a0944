/* arena: many small things that live and die together.
 *
 * The limit counts the bytes asked for. An allocation past it gives NULL and
 * changes nothing; out of memory ends the process. What is given out is zeroed
 * and aligned for any type. */
#ifndef POSTERN_ARENA_H
#define POSTERN_ARENA_H

#include "postern/span.h"

struct arena {
	struct arena_block *blocks;
	size_t used; /* bytes given out */
	size_t max;
};

#define ARENA_MAX(limit) ((struct arena){ .max = (limit) })

void *arena_alloc(struct arena *a, size_t n) __attribute__((warn_unused_result));
/* A copy of s, with a NUL behind it that is not counted. p is NULL past the limit. */
struct span arena_dup(struct arena *a, struct span s)
		__attribute__((warn_unused_result));
/* The same as a C string; a NUL byte inside s ends it early. NULL past the limit. */
char *arena_str(struct arena *a, struct span s) __attribute__((warn_unused_result));
void arena_done(struct arena *a); /* frees everything; a is empty again */

#endif
