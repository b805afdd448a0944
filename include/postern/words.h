/* words: header text as people read it, to be compared with what an administrator
 * wrote. For nothing else: an address is never looked for in it (RFC 2047
 * section 5, RECIPIENTS.md E4). */
#ifndef POSTERN_WORDS_H
#define POSTERN_WORDS_H

#include "postern/buf.h"

enum { WORDS_MAX = 1024 }; /* octets of raw text that are read */

/* Appends raw in the form texts are compared in: folds and runs of blanks are one
 * blank, quoting is gone, encoded words are decoded (UTF-8, US-ASCII, ISO-8859-1,
 * -15, windows-1252; in other charsets they stay as they are), letters are in lower
 * case (Latin, Greek, Cyrillic), what is not UTF-8 becomes U+FFFD. At most
 * WORDS_MAX octets are read and three times as many written. */
bool words_fold(struct buf *out, struct span raw) __attribute__((warn_unused_result));
/* May a word begin or end at byte `at` of text, or does it lie within one? */
bool words_bound(struct span text, size_t at);
/* Does `wanted` stand in `text`, not as part of longer words? Both folded. */
bool words_have(struct span text, struct span wanted);

#endif
