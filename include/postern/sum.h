/* sum: a digest of octets that tells damage and exchange: a bit that has turned, a page of
 * zeros, another file of the same length. XXH3 of 128 bits: a MB costs less than reading it
 * does. It is no proof against somebody who forges: for that there is digest.h. */
#ifndef POSTERN_SUM_H
#define POSTERN_SUM_H

#include <stdint.h>

#include "postern/span.h"

enum { SUM_SIZE = 16 };

struct sum;

struct sum *sum_new(void);
void sum_add(struct sum *s, struct span bytes);
/* Of all that was added so far; more may be added. */
void sum_get(const struct sum *s, uint8_t out[SUM_SIZE]);
void sum_free(struct sum *s); /* NULL: nothing */

void sum_of(struct span bytes, uint8_t out[SUM_SIZE]);

#endif
