/* The digest of stored bodies. */
#include "check.h"

#include <string.h>

#include "postern/sum.h"

enum { SIZE = 70000 };

static char octets[SIZE];

static void
of_pieces(size_t n, size_t piece, uint8_t out[SUM_SIZE])
{
	struct sum *s = sum_new();
	struct span rest = { octets, n };

	while (rest.n > 0) {
		sum_add(s, span_first(rest, piece));
		rest = span_skip(rest, piece < rest.n ? piece : rest.n);
		if (piece > 1000)
			sum_get(s, out); /* a look on the way changes nothing */
	}
	sum_get(s, out);
	sum_free(s);
}

static void
pieces_give_what_the_whole_gives(void **state)
{
	static const size_t sizes[] = { 0, 1, 16, 17, 128, 129, 240, 241, 1024, 1025,
		SIZE };
	static const size_t pieces[] = { 1, 7, 256, 4096, SIZE };
	uint8_t want[SUM_SIZE], got[SUM_SIZE];

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		octets[i] = (char)(i * 7 + i / 251);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		sum_of((struct span){ octets, sizes[i] }, want);
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			of_pieces(sizes[i], pieces[k], got);
			assert_memory_equal(got, want, SUM_SIZE);
		}
	}
}

static void
every_bit_counts(void **state)
{
	uint8_t was[SUM_SIZE], is[SUM_SIZE];

	(void)state;
	sum_of((struct span){ octets, 500 }, was);
	for (size_t i = 0; i < 500 * 8; i++) {
		octets[i / 8] = (char)(octets[i / 8] ^ (1 << i % 8));
		sum_of((struct span){ octets, 500 }, is);
		octets[i / 8] = (char)(octets[i / 8] ^ (1 << i % 8));
		assert_memory_not_equal(is, was, SUM_SIZE);
	}
	sum_of((struct span){ octets, 499 }, is);
	assert_memory_not_equal(is, was, SUM_SIZE);
}

/* It is kept on disk: another library, or another machine, must give the same. The value of
 * nothing is the one that xxhash's specification has. */
static void
it_is_the_same_everywhere(void **state)
{
	static const uint8_t nothing[SUM_SIZE] = { 0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47,
		0x98, 0xd8, 0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f };
	uint8_t got[SUM_SIZE];

	(void)state;
	sum_of(SPAN(""), got);
	assert_memory_equal(got, nothing, SUM_SIZE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_give_what_the_whole_gives),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(it_is_the_same_everywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
