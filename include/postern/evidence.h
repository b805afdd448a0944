/* evidence: what is known of messages that a provider would not give, a file for
 * each below evidence/ (written by the collector, see event 4012). Kept for a time and
 * to a number. */
#ifndef POSTERN_EVIDENCE_H
#define POSTERN_EVIDENCE_H

#include <stddef.h>
#include <stdint.h>

#include "postern/err.h"

enum { EVIDENCE_MOST = 1000, EVIDENCE_AT_ONCE = 500 };

struct evidence_limits {
	int64_t steady_ms; /* the time by the store's steady clock */
	uint64_t keep_s; /* 0: no limit */
	size_t most; /* files; EVIDENCE_MOST */
};

/* Removes what is older than keep_s and the oldest of what is too many, at most
 * EVIDENCE_AT_ONCE of them: *more tells to come again. Says 5109 for each. */
bool evidence_prune(const char *state, const struct evidence_limits *l, bool *more,
		struct err *err);

#endif
