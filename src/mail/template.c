#include "postern/template.h"

#include "address_lex.h"
#include "postern/enc.h"
#include "spelling.h"

#include <string.h>

enum { REPLACEMENTS_MAX = 32 };

struct replacement {
	struct span from, to; /* one character each */
};

/* One piece of a template. */
struct piece {
	char code; /* 'm', 'g', 's', 'd', 'i', 'r'; 0: the byte literal */
	char literal;
	unsigned first; /* letters of the value; 0: all */
	struct replacement r;
};

static bool
may_stand(char c)
{
	return (unsigned char)c < 0x80 && (c == '.' || byte_is_atext(c));
}

/* One character, or one byte of what is no UTF-8. */
static struct span
cut_character(struct span *s)
{
	size_t n = utf8_len(*s);
	struct span one = span_first(*s, n > 0 ? n : 1);

	*s = span_skip(*s, one.n);
	return one;
}

static const char *
cut_replacement(struct span *rest, struct replacement *out)
{
	if (rest->n > 0)
		out->from = cut_character(rest);
	if (out->from.n == 0 || rest->n == 0)
		return "%r needs two characters behind it, as in %r-_";
	out->to = cut_character(rest);
	return NULL;
}

/* Cuts one piece off; says what is wrong with it. */
static const char *
cut_piece(struct span *rest, struct piece *out)
{
	char c = rest->p[0];

	*out = (struct piece){ .literal = c };
	*rest = span_skip(*rest, 1);
	if (c != '%')
		return may_stand(c) ? NULL
				    : "a character that may not stand in an address";
	if (rest->n == 0)
		return "a % with nothing behind it; %% is a percent sign";
	c = rest->p[0];
	*rest = span_skip(*rest, 1);
	if (c == '%')
		return NULL;
	if (c == 'r') {
		out->code = c;
		return cut_replacement(rest, &out->r);
	}
	if (c >= '1' && c <= '9') {
		out->first = (unsigned char)c - (unsigned)'0';
		if (rest->n == 0 || !memchr("gsmd", rest->p[0], 4))
			return "a number stands before g, s, m or d only, as in %1g";
		c = rest->p[0];
		*rest = span_skip(*rest, 1);
	} else if (!memchr("mgsid", c, 5)) {
		return "no code of a template: %m %g %s %i %d %1g %rxy %%";
	}
	out->code = c;
	return NULL;
}

struct span
template_domain(struct span text)
{
	size_t at = span_rfind(text, '@');

	return at < text.n ? span_skip(text, at + 1) : (struct span){ "", 0 };
}

const char *
template_fault(struct span text, size_t *at)
{
	struct span rest = span_first(text, span_rfind(text, '@'));
	struct piece piece;
	size_t whole = rest.n, replacements = 0;

	*at = 0;
	if (text.n > TEMPLATE_MAX)
		return "longer than 400 octets";
	if (whole == 0 || whole == text.n)
		return "a template has something before and a domain behind its @";
	while (rest.n > 0) {
		*at = whole - rest.n;
		const char *fault = cut_piece(&rest, &piece);
		if (fault)
			return fault;
		replacements += piece.code == 'r';
		if (replacements > REPLACEMENTS_MAX)
			return "more than 32 replacements";
	}
	return NULL;
}

struct local {
	char p[ADDRESS_LOCAL_MAX];
	size_t n;
	const struct replacement *r;
	size_t n_r;
	bool german;
	bool left_out; /* a letter that has no spelling */
};

/* True when it was taken. */
static bool
local_add(struct local *out, char c)
{
	if (out->n == ADDRESS_LOCAL_MAX || !may_stand(c))
		return false;
	if (c == '.' && (out->n == 0 || out->p[out->n - 1] == '.'))
		return false;
	out->p[out->n++] = c;
	return true;
}

static struct span
replaced(const struct local *out, struct span one)
{
	for (size_t i = 0; i < out->n_r; i++) {
		if (!span_eq(one, out->r[i].from))
			continue;
		if (span_eq(out->r[i].from, out->r[i].to))
			return (struct span){ "", 0 };
		one = out->r[i].to;
	}
	return one;
}

/* u and a combining diaeresis, as some systems write the one letter. */
static bool
takes_e(const struct local *out, struct span one)
{
	return out->german && span_eq(one, SPAN("\xcc\x88")) && out->n > 0 &&
			memchr("aouAOU", out->p[out->n - 1], 6);
}

/* One character as it is spelled; true when something of it was taken. */
static bool
spell(struct local *out, struct span one)
{
	if (takes_e(out, one)) {
		(void)local_add(out, 'e');
		return false;
	}
	struct span word = spelling_of(one, out->german);
	bool taken = false;

	out->left_out |= word.n == 0 && !spelling_is_mark(one);
	for (size_t i = 0; i < word.n; i++)
		taken |= local_add(out, word.p[i]);
	return taken;
}

static void
value_add(struct local *out, struct span value, unsigned first)
{
	for (unsigned taken = 0; value.n > 0 && (first == 0 || taken < first);) {
		struct span one = replaced(out, cut_character(&value));

		if (one.n == 1 && (unsigned char)one.p[0] < 0x80)
			taken += local_add(out, one.p[0]);
		else if (one.n > 0)
			taken += spell(out, one);
	}
}

/* "Mary Ann" has A, "Ann" has A too. */
static struct span
initial_of(struct span given)
{
	struct span rest = span_trim(given), first = span_word(&rest);
	struct span second = span_word(&rest);

	return second.n > 0 ? second : first;
}

size_t
template_local(struct span text, const struct template_names *names,
		char out[ADDRESS_LOCAL_MAX], bool *left_out)
{
	struct replacement r[REPLACEMENTS_MAX];
	struct local local = { .r = r, .german = names->german };
	struct span rest = span_first(text, span_rfind(text, '@'));
	struct piece piece;

	while (rest.n > 0 && !cut_piece(&rest, &piece)) {
		switch (piece.code) {
		case 'm':
			value_add(&local, names->alias, piece.first);
			break;
		case 'g':
			value_add(&local, names->given, piece.first);
			break;
		case 's':
			value_add(&local, names->surname, piece.first);
			break;
		case 'd':
			value_add(&local, names->display, piece.first);
			break;
		case 'i':
			value_add(&local, initial_of(names->given), 1);
			break;
		case 'r':
			if (local.n_r < REPLACEMENTS_MAX)
				r[local.n_r++] = piece.r;
			break;
		default:
			(void)local_add(&local, piece.literal);
			break;
		}
	}
	while (local.n > 0 && local.p[local.n - 1] == '.')
		local.n--;
	memcpy(out, local.p, local.n);
	if (left_out)
		*left_out = local.left_out;
	return local.n;
}
