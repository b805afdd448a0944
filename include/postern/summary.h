/* summary: what the relay did since it began, counted over recipients. */
#ifndef POSTERN_SUMMARY_H
#define POSTERN_SUMMARY_H

#include <stdint.h>

struct relay_summary {
	/* Of mail that came; what was written about it (E9) does not count. */
	uint64_t delivered;
	uint64_t deferred; /* recipients that wait for another attempt at the end */
	uint64_t refused; /* by policy or by the next hop, for good */
	uint64_t badmail; /* messages moved to Badmail */
	uint64_t badmail_failed; /* times that one could not be; it is queued still */
	uint64_t notices_lost; /* notices that had to be moved there */
};

#endif
