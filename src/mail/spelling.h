/* spelling: how letters of the Latin script are usually written in ASCII. */
#ifndef MAIL_SPELLING_H
#define MAIL_SPELLING_H

#include <stdbool.h>
#include <stdint.h>

#include "postern/span.h"

/* Of one UTF-8 character: "e" for e with an accent, "ss", "ae" (in_german: for a with two dots,
 * too); empty: it has none. Static text. */
struct span spelling_of(struct span one, bool in_german);
/* A combining accent: the letter before it has its spelling already. */
bool spelling_is_mark(struct span one);

#endif
