#include "postern/span.h"

#include <string.h>

char
ascii_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

struct span
span_of(const char *cstr)
{
	return (struct span){ cstr, cstr ? strlen(cstr) : 0 };
}

bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
span_eq_nocase(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	}
	return true;
}

int
span_cmp(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (order != 0)
		return order;
	return (a.n > b.n) - (a.n < b.n);
}

bool
span_starts(struct span s, struct span with)
{
	return s.n >= with.n && span_eq(span_first(s, with.n), with);
}

bool
span_starts_nocase(struct span s, struct span with)
{
	return s.n >= with.n && span_eq_nocase(span_first(s, with.n), with);
}

bool
span_ends_nocase(struct span s, struct span with)
{
	return s.n >= with.n && span_eq_nocase(span_skip(s, s.n - with.n), with);
}

size_t
span_find(struct span s, char c)
{
	const char *at = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

size_t
span_rfind(struct span s, char c)
{
	const char *at = s.n > 0 ? memrchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

struct span
span_skip(struct span s, size_t n)
{
	return n == 0 ? s : (struct span){ s.p + n, s.n - n };
}

struct span
span_first(struct span s, size_t n)
{
	return (struct span){ s.p, n < s.n ? n : s.n };
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span
span_trim(struct span s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = span_skip(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct span
span_word(struct span *s)
{
	struct span word = span_first(*s, span_find(*s, ' '));

	*s = span_skip(*s, word.n);
	while (s->n > 0 && *s->p == ' ')
		*s = span_skip(*s, 1);
	return word;
}

struct span
span_until(struct span *s, char c)
{
	struct span head = span_first(*s, span_find(*s, c));

	*s = span_skip(*s, head.n < s->n ? head.n + 1 : head.n);
	return head;
}
