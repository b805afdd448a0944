/* map: bytes to pointers. Keys and values are borrowed: the owner keeps them
 * alive and unchanged while they are in the map.
 *
 * The seed should be unguessable where keys come from outside; the wet room
 * that makes the map supplies it (SipHash-1-3). Grows without a ceiling of its
 * own: what is put in must be bounded by the caller. */
#ifndef POSTERN_MAP_H
#define POSTERN_MAP_H

#include <stdint.h>

#include "postern/span.h"

struct map_slot {
	struct span key;
	void *value; /* NULL: free */
	uint64_t hash;
};

struct map {
	struct map_slot *slots;
	size_t n, cap; /* cap is 0 or a power of two */
	uint64_t seed[2];
};

void map_init(struct map *m, uint64_t seed0, uint64_t seed1);
void map_done(struct map *m);
void *map_get(const struct map *m, struct span key); /* NULL: not there */
/* Puts or replaces; value is not NULL. Returns what stood there before, or NULL. */
void *map_put(struct map *m, struct span key, void *value);
void *map_del(struct map *m, struct span key); /* what stood there, or NULL */
/* Walks all slots in no order: start with *at = 0, ends with NULL. Not across
 * changes of the map. */
struct map_slot *map_next(const struct map *m, size_t *at);

#endif
