/* words: header text as people read it, to be compared with what an administrator
 * wrote. For nothing else: an address is never looked for in it (RFC 2047
 * section 5, RECIPIENTS.md E4). */
#ifndef POSTERN_WORDS_H
#define POSTERN_WORDS_H

#include "postern/buf.h"

enum { WORDS_MAX = 1024 }; /* octets of raw text that are read */

/* Appends raw in the form texts are compared in: folds and runs of blanks are one
 * blank, quoting is gone, encoded words are decoded (in a charset that is not known,
 * or not valid in it, they stay as they are), letters are folded as Unicode has it and in
 * NFKC, so that case and the way accents are written do not matter; what is not UTF-8
 * becomes U+FFFD. At most WORDS_MAX octets are read. False: out cannot hold it, which
 * three times as many can unless it is full of ligatures. */
bool words_fold(struct buf *out, struct span raw) __attribute__((warn_unused_result));
/* May a word begin or end at byte `at` of text, or does it lie within one? */
bool words_bound(struct span text, size_t at);
/* Does `wanted` stand in `text`, not as part of longer words? Both folded. */
bool words_have(struct span text, struct span wanted);

#endif
