#include "postern/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) char bytes[];
};

static struct arena_block *
block_new(size_t size)
{
	struct arena_block *b = calloc(1, sizeof(*b) + size);

	if (!b)
		abort();
	b->size = size;
	return b;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);

	if (n > a->max - a->used)
		return NULL;
	a->used += n;

	size_t room = (n + align - 1) / align * align;
	struct arena_block *b = a->blocks;
	if (!b || b->size - b->used < room) {
		b = block_new(room > BLOCK ? room : BLOCK);
		/* A big block goes behind the one that still has room. */
		if (a->blocks && room > BLOCK) {
			b->next = a->blocks->next;
			a->blocks->next = b;
		} else {
			b->next = a->blocks;
			a->blocks = b;
		}
	}
	void *p = b->bytes + b->used;
	b->used += room;
	return p;
}

struct span
arena_dup(struct arena *a, struct span s)
{
	char *p = s.n < a->max ? arena_alloc(a, s.n + 1) : NULL;

	if (!p)
		return (struct span){ NULL, 0 };
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return (struct span){ p, s.n };
}

char *
arena_str(struct arena *a, struct span s)
{
	char *p = s.n < a->max ? arena_alloc(a, s.n + 1) : NULL;

	if (p && s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

void
arena_done(struct arena *a)
{
	for (struct arena_block *b = a->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	*a = ARENA_MAX(a->max);
}
