/* What may stand in the columns of a recipient. */
#include "postern/address.h"
#include "postern/directory.h"
#include "postern/enc.h"

static bool
is_word_byte(char c)
{
	unsigned char u = (unsigned char)c;

	return u > ' ' && u != 0x7f && c != ';' && c != ',';
}

static const char *
alias_fault(struct span s)
{
	return address_is_alias(s)
			? NULL
			: "an alias has 1 to 64 letters, digits and . - _ ! # $ % & ' * + / = ? ^ ` { | } ~";
}

static const char *
text_fault(struct span s)
{
	size_t n;

	if (s.n > DIRECTORY_TEXT_MAX)
		return "a name has at most 255 octets";
	for (; s.n > 0; s = span_skip(s, n)) {
		n = utf8_len(s);
		if (n == 0)
			return "a name is UTF-8";
		if ((unsigned char)s.p[0] < ' ' || s.p[0] == 0x7f)
			return "a name has no control characters";
	}
	return NULL;
}

static const char *
group_fault(struct span s)
{
	bool good = s.n > 0 && s.n <= ADDRESS_LOCAL_MAX && !text_fault(s);

	for (size_t i = 0; i < s.n; i++)
		good = good && is_word_byte(s.p[i]);
	return good ? NULL
		    : "a group has 1 to 64 octets without blanks, commas and semicolons";
}

static const char *
address_fault(struct span s)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(16384);
	struct address parsed;

	if (s.n > DIRECTORY_TEXT_MAX || !address_parse(&a, s, &parsed))
		return "this is no mail address";
	return NULL;
}

const char *
directory_fault(enum directory_column what, struct span value)
{
	switch (what) {
	case DIRECTORY_ALIAS:
		return alias_fault(value);
	case DIRECTORY_GROUP:
		return group_fault(value);
	case DIRECTORY_PRIMARY:
		return value.n > 0 ? address_fault(value) : NULL;
	case DIRECTORY_MEMBER:
		if (span_find(value, '@') < value.n)
			return address_fault(value);
		return alias_fault(value) ? "a member is an alias or a mail address"
					  : NULL;
	case DIRECTORY_GIVEN:
	case DIRECTORY_SURNAME:
	case DIRECTORY_DISPLAY:
	case DIRECTORY_COLUMNS:
		break;
	}
	return text_fault(value);
}

struct span
directory_wire(struct arena *a, struct span address)
{
	AUTO(arena_done) struct arena own = ARENA_MAX(16384);
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	struct address parsed;

	if (!address_parse(&own, address, &parsed) || !address_wire(&wire, &parsed))
		return (struct span){ NULL, 0 };
	return arena_dup(a, buf_span(&wire));
}

struct span
directory_fold(struct arena *a, struct span text)
{
	char *p = text.n < a->max ? arena_alloc(a, text.n + 1) : NULL;

	for (size_t i = 0; p && i < text.n; i++)
		p[i] = ascii_lower(text.p[i]);
	return (struct span){ p, p ? text.n : 0 };
}
