/* unrouted_match: what a rule should match, so that the next message like this one is
 * routed (E1 level 6). Dry. */
#ifndef CLI_UNROUTED_MATCH_H
#define CLI_UNROUTED_MATCH_H

#include "postern/address.h"
#include "postern/header.h"

enum unrouted_kind {
	UNROUTED_NOTHING, /* nothing in the header to match */
	UNROUTED_ENCODED, /* only an encoded word: what it says must be typed */
	UNROUTED_LIST, /* the value of List-Id, between < and > */
	UNROUTED_RECIPIENT, /* an address in To or Cc that is not in the account's domains */
	UNROUTED_TEXT, /* the display text of the first member of To */
};

/* Which of these the header offers first, in this order: list, recipient, text. The match
 * is added to out, which holds ALIAS_MATCH_MAX octets at least; a longer one is nothing.
 * served: the account's domains, NULL: not known. */
enum unrouted_kind unrouted_match(
		struct span header, const struct domains *served, struct buf *out);
/* "whose List-Id is", "that names", ...: stands before the match in a sentence. */
const char *unrouted_kind_words(enum unrouted_kind kind);

#endif
