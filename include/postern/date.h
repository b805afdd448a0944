/* date: moments as text. Dry: the moment is an argument, in UTC. */
#ifndef POSTERN_DATE_H
#define POSTERN_DATE_H

#include <stdint.h>

#include "postern/span.h"

enum { DATE_RFC5322_SIZE = 40, DATE_ISO_SIZE = 32 };

/* "Sun, 22 Nov 2026 16:57:12 +0000" (RFC 5322 section 3.3). Years outside
 * 1970 to 9999 are brought to the nearer end. */
void date_rfc5322(int64_t unix_s, char out[DATE_RFC5322_SIZE]);
/* "2026-11-22T16:57:12.034Z" */
void date_iso(int64_t unix_ms, char out[DATE_ISO_SIZE]);
/* Reads what date_iso wrote, and "2026-11-22", "2026-11-22T16:57",
 * "2026-11-22T16:57:12" with or without Z. */
bool date_iso_parse(struct span s, int64_t *out_unix_ms);

#endif
