#include "postern/map.h"

#include <stdlib.h>
#include <string.h>

static uint64_t
turn(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = turn(v[1], 13) ^ v[0];
	v[0] = turn(v[0], 32);
	v[2] += v[3];
	v[3] = turn(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = turn(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = turn(v[1], 17) ^ v[2];
	v[2] = turn(v[2], 32);
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

/* SipHash-1-3: whoever cannot guess the seed cannot make keys collide. */
static uint64_t
hash_of(const uint64_t seed[2], struct span key)
{
	uint64_t v[4] = { seed[0] ^ 0x736f6d6570736575U, seed[1] ^ 0x646f72616e646f6dU,
		seed[0] ^ 0x6c7967656e657261U, seed[1] ^ 0x7465646279746573U };
	uint64_t word;
	struct span left = key;

	for (; left.n >= 8; left = span_skip(left, 8)) {
		memcpy(&word, left.p, 8);
		sip_word(v, word);
	}
	word = (uint64_t)key.n << 56;
	for (size_t i = 0; i < left.n; i++)
		word |= (uint64_t)(unsigned char)left.p[i] << (8 * i);
	sip_word(v, word);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The slot that holds key, or the free one where it belongs. */
static struct map_slot *
slot_of(const struct map *m, struct span key, uint64_t hash)
{
	for (size_t at = (size_t)hash & (m->cap - 1);; at = (at + 1) & (m->cap - 1)) {
		struct map_slot *slot = &m->slots[at];
		if (!slot->value || (slot->hash == hash && span_eq(slot->key, key)))
			return slot;
	}
}

static void
grow(struct map *m)
{
	struct map bigger = *m;

	bigger.cap = m->cap ? m->cap * 2 : 16;
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		abort();
	for (size_t i = 0; i < m->cap; i++) {
		if (m->slots[i].value)
			*slot_of(&bigger, m->slots[i].key, m->slots[i].hash) =
					m->slots[i];
	}
	free(m->slots);
	*m = bigger;
}

void
map_init(struct map *m, uint64_t seed0, uint64_t seed1)
{
	*m = (struct map){ .seed = { seed0, seed1 } };
}

void
map_done(struct map *m)
{
	free(m->slots);
	map_init(m, m->seed[0], m->seed[1]);
}

void *
map_get(const struct map *m, struct span key)
{
	return m->cap ? slot_of(m, key, hash_of(m->seed, key))->value : NULL;
}

void *
map_put(struct map *m, struct span key, void *value)
{
	if (m->n + 1 > m->cap / 4 * 3)
		grow(m);

	uint64_t hash = hash_of(m->seed, key);
	struct map_slot *slot = slot_of(m, key, hash);
	void *before = slot->value;
	*slot = (struct map_slot){ key, value, hash };
	m->n += before ? 0 : 1;
	return before;
}

void *
map_del(struct map *m, struct span key)
{
	if (!m->cap)
		return NULL;

	struct map_slot *slot = slot_of(m, key, hash_of(m->seed, key));
	void *before = slot->value;
	if (!before)
		return NULL;
	m->n--;
	/* Close the gap: whoever was pushed past it by a collision moves up. */
	size_t gap = (size_t)(slot - m->slots);
	for (size_t at = (gap + 1) & (m->cap - 1); m->slots[at].value;
			at = (at + 1) & (m->cap - 1)) {
		size_t home = (size_t)m->slots[at].hash & (m->cap - 1);
		if (((at - home) & (m->cap - 1)) >= ((at - gap) & (m->cap - 1))) {
			m->slots[gap] = m->slots[at];
			gap = at;
		}
	}
	m->slots[gap] = (struct map_slot){ 0 };
	return before;
}

struct map_slot *
map_next(const struct map *m, size_t *at)
{
	while (*at < m->cap) {
		struct map_slot *slot = &m->slots[(*at)++];
		if (slot->value)
			return slot;
	}
	return NULL;
}
