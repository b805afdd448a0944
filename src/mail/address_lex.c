#include "address_lex.h"

#include <string.h>

/* What a byte is outside quotes, comments and literals. */
enum class {
	CLASS_BAD,
	CLASS_ATEXT,
	CLASS_BLANK,
	CLASS_SPECIAL,
};

static enum class
class_of(char c)
{
	static const unsigned char classes[128] = {
		[' '] = CLASS_BLANK, ['\t'] = CLASS_BLANK, ['\r'] = CLASS_BLANK,
		['\n'] = CLASS_BLANK,
		['!'] = CLASS_ATEXT, ['#'] = CLASS_ATEXT, ['$'] = CLASS_ATEXT,
		['%'] = CLASS_ATEXT, ['&'] = CLASS_ATEXT, ['\''] = CLASS_ATEXT,
		['*'] = CLASS_ATEXT, ['+'] = CLASS_ATEXT, ['-'] = CLASS_ATEXT,
		['/'] = CLASS_ATEXT, ['='] = CLASS_ATEXT, ['?'] = CLASS_ATEXT,
		['^'] = CLASS_ATEXT, ['_'] = CLASS_ATEXT, ['`'] = CLASS_ATEXT,
		['{'] = CLASS_ATEXT, ['|'] = CLASS_ATEXT, ['}'] = CLASS_ATEXT,
		['~'] = CLASS_ATEXT,
		['"'] = CLASS_SPECIAL, ['('] = CLASS_SPECIAL, [')'] = CLASS_SPECIAL,
		[','] = CLASS_SPECIAL, ['.'] = CLASS_SPECIAL, [':'] = CLASS_SPECIAL,
		[';'] = CLASS_SPECIAL, ['<'] = CLASS_SPECIAL, ['>'] = CLASS_SPECIAL,
		['@'] = CLASS_SPECIAL, ['['] = CLASS_SPECIAL, [']'] = CLASS_SPECIAL,
	};
	unsigned char u = (unsigned char)c;

	if (u >= 0x80 || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') ||
			(u >= '0' && u <= '9'))
		return CLASS_ATEXT;
	return (enum class)classes[u];
}

bool
byte_is_atext(char c)
{
	return class_of(c) == CLASS_ATEXT;
}

bool
byte_is_blank(char c)
{
	return class_of(c) == CLASS_BLANK;
}

void
lexer_init(struct lexer *lx, struct span body)
{
	*lx = (struct lexer){ .p = body.p,
		.end = body.n > 0 ? body.p + body.n : body.p };
}

/* Past a comment, which may hold others: the depth is counted. One that never
 * closes takes the rest of the body with it. */
static void
comment_skip(struct lexer *lx)
{
	const char *begin = ++lx->p;
	size_t depth = 1;

	for (; lx->p < lx->end; lx->p++) {
		if (*lx->p == '\\' && lx->end - lx->p > 1) {
			lx->p++;
		} else if (*lx->p == '(') {
			depth++;
		} else if (*lx->p == ')' && --depth == 0) {
			break;
		}
	}
	lx->comment = (struct span){ begin, (size_t)(lx->p - begin) };
	if (lx->p < lx->end)
		lx->p++;
}

static struct token
token_to(struct lexer *lx, enum token_kind kind, bool blank, const char *to)
{
	struct token t = { kind, blank, { lx->p, (size_t)(to - lx->p) } };

	lx->p = to;
	return t;
}

static struct token
quoted(struct lexer *lx, bool blank)
{
	for (const char *q = lx->p + 1; !lx->quotes_off && q < lx->end; q++) {
		if (*q == '"')
			return token_to(lx, TOKEN_QUOTED, blank, q + 1);
		if (*q == '\\' && lx->end - q > 1)
			q++;
	}
	/* Never closed: the sender forgot one. What follows is read as if this
	 * quote were not there, and no later one is searched for its end. */
	lx->quotes_off = true;
	return token_to(lx, TOKEN_BAD, blank, lx->p + 1);
}

static struct token
literal(struct lexer *lx, bool blank)
{
	const char *bad = NULL; /* where it would end if it never closed */

	for (const char *q = lx->p + 1; q < lx->end; q++) {
		unsigned char u = (unsigned char)*q;

		if (u == ']')
			return token_to(lx, TOKEN_LITERAL, blank, q + 1);
		if (!bad && strchr(",;\"()", *q))
			bad = q;
		if ((u < 0x20 && !byte_is_blank(*q)) || u >= 0x7f ||
				strchr("[\\<>", *q))
			return token_to(lx, TOKEN_BAD, blank, bad ? bad : q);
	}
	return token_to(lx, TOKEN_BAD, blank, bad ? bad : lx->end);
}

static enum token_kind
special_kind(char c)
{
	switch (c) {
	case '.':
		return TOKEN_DOT;
	case '@':
		return TOKEN_AT;
	case ',':
		return TOKEN_COMMA;
	case ';':
		return TOKEN_SEMI;
	case ':':
		return TOKEN_COLON;
	case '<':
		return TOKEN_LT;
	case '>':
		return TOKEN_GT;
	default:
		return TOKEN_STRAY;
	}
}

struct token
lexer_next(struct lexer *lx)
{
	bool blank = false;

	for (; lx->p < lx->end; blank = true) {
		if (*lx->p == '(')
			comment_skip(lx);
		else if (byte_is_blank(*lx->p))
			lx->p++;
		else
			break;
	}
	if (lx->p >= lx->end)
		return (struct token){ TOKEN_END, blank, { lx->end, 0 } };

	const char *q = lx->p;
	enum class c = class_of(*q);
	if (c == CLASS_ATEXT) {
		while (q < lx->end && class_of(*q) == CLASS_ATEXT)
			q++;
		return token_to(lx, TOKEN_ATOM, blank, q);
	}
	if (c != CLASS_SPECIAL)
		return token_to(lx, TOKEN_BAD, blank, q + 1);
	if (*q == '"')
		return quoted(lx, blank);
	if (*q == '[')
		return literal(lx, blank);
	return token_to(lx, special_kind(*q), blank, q + 1);
}
