#include "postern/must.h"
#include "read.h"

enum { WORD_MAX = 40 };

/* "-" and "_" are mixed up more often than letters. */
static char
folded(char c)
{
	if (c == '-')
		c = '_';
	return ascii_lower(c);
}

/* Changes, insertions, losses and swaps of neighbours between a and b
 * (optimal string alignment); both at most WORD_MAX bytes. */
static size_t
distance(struct span a, struct span b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *two = rows[0], *one = rows[1], *now = rows[2];

	MUST(a.n <= WORD_MAX && b.n <= WORD_MAX);
	for (size_t j = 0; j <= b.n; j++)
		one[j] = two[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		now[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			char x = folded(a.p[i - 1]), y = folded(b.p[j - 1]);
			size_t d = one[j - 1] + (x != y);
			if (d > one[j] + 1)
				d = one[j] + 1;
			if (d > now[j - 1] + 1)
				d = now[j - 1] + 1;
			if (i > 1 && j > 1 && x == folded(b.p[j - 2]) &&
					y == folded(a.p[i - 2]) && d > two[j - 2] + 1)
				d = two[j - 2] + 1;
			now[j] = d;
		}
		size_t *spare = two;
		two = one;
		one = now;
		now = spare;
	}
	return one[b.n];
}

const char *
nearest(struct span text, const char *const *names, size_t n)
{
	const char *best = NULL;
	size_t best_d = 0;

	if (text.n == 0 || text.n > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct span name = span_of(names[i]);
		if (name.n > WORD_MAX)
			continue;
		size_t longer = name.n > text.n ? name.n : text.n;
		size_t d = distance(text, name);
		if (d <= (longer + 2) / 3 && d < longer && (!best || d < best_d)) {
			best = names[i];
			best_d = d;
		}
	}
	return best;
}
