#include "postern/sum.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "postern/must.h"

struct sum {
	XXH3_state_t *state;
};

_Static_assert(SUM_SIZE == sizeof(XXH128_canonical_t), "a sum is 128 bits");

/* The same octets on every machine: they are kept on disk. */
static void
put(XXH128_hash_t h, uint8_t out[SUM_SIZE])
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, h);
	memcpy(out, &c, SUM_SIZE);
}

struct sum *
sum_new(void)
{
	struct sum *s = calloc(1, sizeof(*s));

	MUST(s);
	s->state = XXH3_createState();
	MUST(s->state && XXH3_128bits_reset(s->state) == XXH_OK);
	return s;
}

void
sum_add(struct sum *s, struct span bytes)
{
	if (bytes.n > 0)
		MUST(XXH3_128bits_update(s->state, bytes.p, bytes.n) == XXH_OK);
}

void
sum_get(const struct sum *s, uint8_t out[SUM_SIZE])
{
	put(XXH3_128bits_digest(s->state), out);
}

void
sum_free(struct sum *s)
{
	if (!s)
		return;
	(void)XXH3_freeState(s->state);
	free(s);
}

void
sum_of(struct span bytes, uint8_t out[SUM_SIZE])
{
	put(XXH3_128bits(bytes.n > 0 ? bytes.p : "", bytes.n), out);
}
