#include "postern/num.h"

#include <inttypes.h>
#include <stdio.h>

bool
num_u64(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(s.p[i] - '0');
		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (n > max)
		return false;
	*out = n;
	return true;
}

/* Units from the largest to the smallest. */
struct unit {
	char letter;
	uint64_t worth;
};

static const struct unit sizes[] = {
	{ 'G', 1024UL * 1024 * 1024 },
	{ 'M', 1024UL * 1024 },
	{ 'K', 1024 },
};

static const struct unit durations[] = {
	{ 'd', 86400 },
	{ 'h', 3600 },
	{ 'm', 60 },
	{ 's', 1 },
};

static const struct unit *
unit_of(const struct unit *units, size_t n, char letter)
{
	for (size_t i = 0; i < n; i++) {
		if (units[i].letter == letter)
			return &units[i];
	}
	return NULL;
}

static bool
scaled(struct span digits, uint64_t worth, uint64_t max, uint64_t *out)
{
	uint64_t n;

	if (!num_u64(digits, max / worth, &n))
		return false;
	*out = n * worth;
	return true;
}

bool
num_size(struct span s, uint64_t max, uint64_t *out_bytes)
{
	const struct unit *u = s.n > 0 ? unit_of(sizes, 3, s.p[s.n - 1]) : NULL;

	if (!u)
		return num_u64(s, max, out_bytes);
	return scaled(span_first(s, s.n - 1), u->worth, max, out_bytes);
}

bool
num_duration(struct span s, uint64_t max, uint64_t *out_seconds)
{
	if (span_eq(s, SPAN("0"))) {
		*out_seconds = 0;
		return true;
	}
	const struct unit *u = s.n > 0 ? unit_of(durations, 4, s.p[s.n - 1]) : NULL;

	return u && scaled(span_first(s, s.n - 1), u->worth, max, out_seconds);
}

static void
print_scaled(uint64_t n, const struct unit *units, size_t count, char out[24])
{
	for (size_t i = 0; i < count; i++) {
		if (n > 0 && n % units[i].worth == 0) {
			(void)snprintf(out, 24, "%" PRIu64 "%c", n / units[i].worth,
					units[i].letter);
			return;
		}
	}
	(void)snprintf(out, 24, "%" PRIu64, n);
}

void
num_size_print(uint64_t bytes, char out[24])
{
	print_scaled(bytes, sizes, 3, out);
}

void
num_duration_print(uint64_t seconds, char out[24])
{
	print_scaled(seconds, durations, 4, out);
}
