/* fingerprint: what makes two collected messages the same mail (E7), taken while the
 * bytes come in; and the loop stamps (E10) that the header carries.
 *
 * SHA-256 over the digests of From, Date, Subject, Message-ID and the body. Each of
 * the five is a digest of its own, so that parts cannot run into each other. Of a
 * field every occurrence counts, unfolded: trace and envelope headers, the order of
 * fields and their folding, which providers change, do not matter. The body counts
 * octet by octet. A message with neither a Message-ID nor a Date has its lowest Received
 * field in their place; one that names nothing ("<>", blank, 1970) counts as none. */
#ifndef POSTERN_FINGERPRINT_H
#define POSTERN_FINGERPRINT_H

#include <stdint.h>

#include "postern/digest.h"
#include "postern/span.h"

struct fingerprint;

/* whole: the fingerprint is wanted; else only the stamps, and bodies cost nothing. */
struct fingerprint *fingerprint_new(bool whole);
void fingerprint_add(struct fingerprint *f, struct span piece);
/* Once, when all has come. False: it was not wanted. */
bool fingerprint_end(struct fingerprint *f, uint8_t out[DIGEST_SIZE]);
/* The bodies of the first X-Postern-Loop fields from the top, each behind an LF. */
struct span fingerprint_stamps(const struct fingerprint *f);
void fingerprint_free(struct fingerprint *f); /* NULL: nothing */

#endif
