/* num: numbers, sizes and durations as people and protocols write them.
 *
 * All of them take the whole span or fail: no sign, no spaces, no overflow.
 * On failure *out is untouched. */
#ifndef POSTERN_NUM_H
#define POSTERN_NUM_H

#include <stdint.h>

#include "postern/span.h"

bool num_u64(struct span s, uint64_t max, uint64_t *out); /* decimal digits */
/* "64K" "50M" "10G" or plain bytes; K is 1024. */
bool num_size(struct span s, uint64_t max, uint64_t *out_bytes);
/* "30s" "5m" "2h" "7d"; a bare number is refused, but for "0". */
bool num_duration(struct span s, uint64_t max, uint64_t *out_seconds);
/* The shortest exact way to write them again; out holds at least 24 bytes. */
void num_size_print(uint64_t bytes, char out[24]);
void num_duration_print(uint64_t seconds, char out[24]);

#endif
