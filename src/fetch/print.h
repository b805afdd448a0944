/* print: a short digest of what makes a message itself, kept with its origin.
 *
 * Its upper bits tell From, Date, Subject and Message-ID, its lower 20 what LIST
 * said of its size. It proves nothing: it tells when a server has given a
 * unique-id to another message, or new unique-ids to old messages. Header fields
 * that a server adds by itself do not change it. 0 is no print. */
#ifndef FETCH_PRINT_H
#define FETCH_PRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "postern/span.h"

uint64_t pop_print(struct span header, uint64_t octets);
/* Does LIST say of it what it said when the print was made? */
bool pop_print_size_is(uint64_t print, uint64_t octets);
/* The same message, as far as the header tells? */
bool pop_print_same(uint64_t a, uint64_t b);
/* Only what pop_print_same compares; for sorted lists. */
uint64_t pop_print_header(uint64_t print);

#endif
