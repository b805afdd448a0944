/* qid: queue ids as text. 64 bits as 13 characters of 0-9 A-Z without I L O U
 * (Crockford's base 32), so that ids sort as they were given out, and fit file
 * names and telephones. Reading is lenient in case and in I, L, O. */
#ifndef POSTERN_QID_H
#define POSTERN_QID_H

#include <stdint.h>

#include "postern/span.h"

enum { QID_SIZE = 14 }; /* with the NUL */

void qid_print(uint64_t id, char out[QID_SIZE]);
bool qid_parse(struct span s, uint64_t *out);

#endif
