/* Domain names: the form they are compared in, and sets of them. */
#include "postern/address.h"

#include "postern/enc.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_MAX = 63, SPELLED_MAX = 512 };

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Lower-case letters, digits, - and _, in labels of 1 to 63 that neither begin
 * nor end with a hyphen (RFC 5321 4.1.2 sub-domain, "_" let through). */
static bool
ascii_canon(struct span s, char *out)
{
	size_t label = 0;

	if (s.n == 0 || s.n > ADDRESS_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);

		if (c == '.') {
			if (label == 0 || out[i - 1] == '-')
				return false;
			label = 0;
		} else if (!is_name_byte(c) || (label == 0 && c == '-') ||
				++label > LABEL_MAX) {
			return false;
		}
		out[i] = c;
	}
	out[s.n] = '\0';
	return label > 0 && out[s.n - 1] != '-';
}

/* [192.0.2.1] or [IPv6:2001:db8::1], RFC 5321 4.1.3. */
static bool
literal_canon(struct span s, char *out)
{
	char text[64];
	unsigned char address[16];
	bool six = span_starts_nocase(s, SPAN("[IPv6:"));
	size_t from = six ? 6 : 1;

	if (s.n < from + 2 || s.n >= sizeof(text) || s.p[s.n - 1] != ']')
		return false;
	for (size_t i = 0; i < s.n; i++)
		out[i] = ascii_lower(s.p[i]);
	out[s.n] = '\0';
	memcpy(text, out + from, s.n - from - 1);
	text[s.n - from - 1] = '\0';
	return strlen(text) == s.n - from - 1 &&
			inet_pton(six ? AF_INET6 : AF_INET, text, address) == 1;
}

static bool
is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	}
	return true;
}

/* Every label that was not ASCII is an A-label now, and there are as many as
 * before: UTS 46 would turn full-width letters into plain ones and ideographic
 * full stops into dots, and so one domain into the look-alike of another. */
static bool
labels_agree(struct span spelled, struct span ascii)
{
	while (spelled.n > 0 && ascii.n > 0) {
		struct span from = span_until(&spelled, '.');
		struct span to = span_until(&ascii, '.');

		if (!is_ascii(from) && !span_starts(to, SPAN("xn--")))
			return false;
	}
	return spelled.n == 0 && ascii.n == 0;
}

/* The one place that asks libidn2. */
static bool
idn_canon(struct span s, char *out)
{
	char name[SPELLED_MAX + 1];
	uint8_t *ascii = NULL;

	if (s.n > SPELLED_MAX || memchr(s.p, '\0', s.n))
		return false;
	for (size_t i = 0; i < s.n;) {
		size_t n = utf8_len(span_skip(s, i));

		if (n == 0)
			return false;
		i += n;
	}
	memcpy(name, s.p, s.n);
	name[s.n] = '\0';
	int rc = idn2_lookup_u8((const uint8_t *)name, &ascii,
			IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc != IDN2_OK)
		return false;

	struct span found = span_of((const char *)ascii);
	bool ok = labels_agree(s, found) && ascii_canon(found, out);
	idn2_free(ascii);
	return ok;
}

bool
domain_canon(struct span spelled, char out[ADDRESS_DOMAIN_MAX + 1])
{
	struct span s = spelled;

	if (s.n > 0 && s.p[0] == '[')
		return literal_canon(s, out);
	if (s.n > 1 && s.p[s.n - 1] == '.')
		s.n--;
	return is_ascii(s) ? ascii_canon(s, out) : idn_canon(s, out);
}

static int
span_order(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return span_cmp(*x, *y);
}

bool
domains_init(struct domains *set, struct arena *arena, const struct span *entries,
		size_t n, struct span *out_bad)
{
	char name[ADDRESS_DOMAIN_MAX + 1];

	*set = (struct domains){ .n_exact = 0 };
	*out_bad = (struct span){ NULL, 0 };
	if (n == 0)
		return true;
	set->exact = arena_alloc(arena, n * sizeof(struct span));
	set->under = arena_alloc(arena, n * sizeof(struct span));
	if (!set->exact || !set->under)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool under = span_starts(entries[i], SPAN("*."));

		if (!domain_canon(span_skip(entries[i], under ? 2 : 0), name)) {
			*out_bad = entries[i];
			return false;
		}
		struct span copy = arena_dup(arena, span_of(name));
		if (!copy.p)
			return false;
		if (under)
			set->under[set->n_under++] = copy;
		else
			set->exact[set->n_exact++] = copy;
	}
	qsort(set->exact, set->n_exact, sizeof(struct span), span_order);
	qsort(set->under, set->n_under, sizeof(struct span), span_order);
	return true;
}

static bool
sorted_have(const struct span *v, size_t n, struct span name)
{
	return n > 0 && bsearch(&name, v, n, sizeof(*v), span_order);
}

bool
domains_have_canon(const struct domains *set, struct span canonical)
{
	if (sorted_have(set->exact, set->n_exact, canonical))
		return true;
	while (set->n_under > 0 && canonical.n > 0) {
		(void)span_until(&canonical, '.');
		if (canonical.n > 0 && sorted_have(set->under, set->n_under, canonical))
			return true;
	}
	return false;
}

bool
domains_have(const struct domains *set, struct span spelled)
{
	char name[ADDRESS_DOMAIN_MAX + 1];

	return domain_canon(spelled, name) && domains_have_canon(set, span_of(name));
}
