/* address_lex: a field body as the tokens that addresses are made of.
 *
 * Linear: every byte is looked at once, but for what stands behind a quote that
 * never closes, which is looked at twice. */
#ifndef MAIL_ADDRESS_LEX_H
#define MAIL_ADDRESS_LEX_H

#include "postern/address.h"

enum token_kind {
	TOKEN_END,
	TOKEN_ATOM, /* atext and bytes from 0x80 on */
	TOKEN_QUOTED, /* with its quotes */
	TOKEN_LITERAL, /* with its brackets */
	TOKEN_DOT,
	TOKEN_AT,
	TOKEN_COMMA,
	TOKEN_SEMI,
	TOKEN_COLON,
	TOKEN_LT,
	TOKEN_GT,
	TOKEN_STRAY, /* ) or ] where nothing was opened: a boundary like a blank */
	TOKEN_BAD, /* what no address may hold */
};

struct token {
	enum token_kind kind;
	bool blank; /* white space or a comment stood before it */
	struct span s;
};

struct lexer {
	const char *p, *end;
	bool quotes_off; /* a quote never closes: from there on quotes are only bytes */
	struct span comment; /* the last comment passed, without its parentheses */
};

void lexer_init(struct lexer *lx, struct span body);
struct token lexer_next(struct lexer *lx);

bool byte_is_atext(char c); /* RFC 5322 atext, and bytes from 0x80 on (RFC 6532) */
bool byte_is_blank(char c);

#endif
