#include <string.h>

#include "rc_fetchmail.h"

static bool
is_number(struct span s)
{
	size_t at = s.n > 1 && s.p[0] == '-' ? 1 : 0;

	for (size_t i = at; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return s.n > 0;
}

static int
digit_of(char c, int base)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, ascii_lower(c)) : NULL;

	return at && at - digits < base ? (int)(at - digits) : -1;
}

/* What stands behind a backslash, to *out. Decimal \nnn, octal \0ooo, \xhh, \n \t \b
 * \r; any other character is itself. Returns how many bytes it took. */
static size_t
escape(struct span s, char *out)
{
	bool hex = ascii_lower(s.p[0]) == 'x';
	int base = hex ? 16 : s.p[0] == '0' ? 8 : 10;
	size_t n = hex ? 1 : 0;
	int value = 0;

	if (!hex && digit_of(s.p[0], 10) < 0) {
		static const char from[] = "ntbr", to[] = "\n\t\b\r";
		const char *at = strchr(from, s.p[0]);
		*out = s.p[0];
		if (at)
			*out = to[at - from];
		return 1;
	}
	while (n < s.n && n < 3 && digit_of(s.p[n], base) >= 0)
		value = value * base + digit_of(s.p[n++], base);
	*out = (char)(unsigned char)(value & 0xff);
	return n;
}

static struct span
unescaped(struct fm_lexer *l, struct span s)
{
	char *out = rc_take(l->r, s.n + 1);
	size_t n = 0;

	while (s.n > 0) {
		char c = s.p[0];
		s = span_skip(s, 1);
		if (c != '\\') {
			out[n++] = c;
		} else if (s.n > 0 && s.p[0] == '\n') {
			s = span_skip(s, 1);
		} else if (s.n > 0) {
			size_t took = escape(s, &out[n]);
			/* \0 ends the text there, as it does in C. */
			if (out[n] == '\0')
				break;
			n++;
			s = span_skip(s, took);
		}
	}
	return (struct span){ out, n };
}

static void
advance(struct fm_lexer *l, size_t n)
{
	for (; n > 0; n--) {
		if (*l->p++ == '\n') {
			l->line++;
			l->line_start = l->p;
		}
	}
}

static bool
ends_word(char c)
{
	return strchr("=;:, \t\r\n", c) != NULL;
}

static void
blanks(struct fm_lexer *l)
{
	while (l->p < l->end) {
		size_t left = (size_t)(l->end - l->p), n = 0;
		if (strchr(" \t\r\n;:,", *l->p))
			n = 1;
		else if (*l->p == '\\' && left > 1 && l->p[1] == '\n')
			n = 2;
		else if (*l->p == '#')
			n = span_find((struct span){ l->p, left }, '\n');
		else
			return;
		advance(l, n);
	}
}

static struct fm_token
one(struct fm_lexer *l)
{
	blanks(l);
	struct fm_token t = { .kind = FM_END,
		.mark = { l->line, (unsigned)(l->p - l->line_start) + 1 } };
	size_t left = (size_t)(l->end - l->p), word = 0, quoted = 0;
	struct span s = { l->p, left };

	if (left == 0)
		return t;
	if (*l->p == '=') {
		t.kind = FM_EQUALS;
		l->name = true;
		advance(l, 1);
		return t;
	}
	while (word < left && !ends_word(l->p[word]))
		word++;
	if (*l->p == '"' || *l->p == '\'') {
		size_t close = span_find(span_skip(s, 1), *l->p);
		quoted = close < left - 1 ? close + 2 : 0;
	}
	/* The longest wins, as in fetchmail: "a"b is a word of four characters. */
	if (quoted >= word) {
		t.kind = FM_TEXT;
		t.text = unescaped(l, span_skip(span_first(s, quoted - 1), 1));
		advance(l, quoted);
	} else {
		struct span raw = span_first(s, word);
		t.kind = word == 1 && *l->p == '*' ? FM_STAR
				: l->name	   ? FM_TEXT
				: is_number(raw)   ? FM_NUMBER
						   : FM_WORD;
		t.text = unescaped(l, raw);
		advance(l, word);
	}
	l->name = false;
	return t;
}

struct fm_token
fm_next(struct fm_lexer *l)
{
	static const char *const noise[] = { "with", "and", "has", "wants", "options" };

	for (;;) {
		struct fm_token t = one(l);
		bool is_noise = false;
		for (size_t i = 0; t.kind == FM_WORD && i < 5; i++)
			is_noise = is_noise || span_eq(t.text, span_of(noise[i]));
		if (!is_noise)
			return t;
	}
}
