#include "print.h"

#include "postern/digest.h"
#include "postern/header.h"

static const uint64_t size_bits = (UINT64_C(1) << 20) - 1;

uint64_t
pop_print(struct span header, uint64_t octets)
{
	static const struct span names[] = {
		{ SPAN_INIT("From") },
		{ SPAN_INIT("Date") },
		{ SPAN_INIT("Subject") },
		{ SPAN_INIT("Message-ID") },
	};
	enum { NAMES = sizeof(names) / sizeof(names[0]) };
	struct span parts[2 * NAMES];
	struct header_scan scan;
	struct header_field f;
	uint8_t sum[DIGEST_SIZE];
	uint64_t print = 0;

	for (size_t i = 0; i < NAMES; i++) {
		parts[2 * i] = SPAN("");
		parts[2 * i + 1] = SPAN("\n"); /* no field's body holds a bare one */
	}
	header_scan_init(&scan, header);
	while (header_next(&scan, &f))
		for (size_t i = 0; i < NAMES && f.kind == HEADER_FIELD; i++)
			if (parts[2 * i].n == 0 && header_is(&f, names[i]))
				parts[2 * i] = span_trim(f.body);
	digest_of(parts, 2 * NAMES, sum);
	for (size_t i = 0; i < sizeof(print); i++)
		print = print << 8 | sum[i];
	print = (print & ~size_bits) | (octets & size_bits);
	return print ? print : 1;
}

bool
pop_print_size_is(uint64_t print, uint64_t octets)
{
	return print == 0 || (print & size_bits) == (octets & size_bits);
}

uint64_t
pop_print_header(uint64_t print)
{
	return print & ~size_bits;
}

bool
pop_print_same(uint64_t a, uint64_t b)
{
	return a && b && pop_print_header(a) == pop_print_header(b);
}
