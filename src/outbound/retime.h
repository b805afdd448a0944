/* What is due is due earlier, since a clock or a policy has changed. */
#ifndef OUTBOUND_RETIME_H
#define OUTBOUND_RETIME_H

#include "dispatch.h"

struct retime {
	struct dispatch *d;
	struct retiming job;
	struct span hop; /* of whose mail, empty: of all */
	int64_t latest_ms; /* what was asked for last */
	bool busy, again; /* under way, and wanted once more */
};

void retime_init(struct retime *t, struct dispatch *d, struct span hop);
/* All of it is due by then (wall), if not before. */
void retime_by(struct retime *t, int64_t latest_ms);

#endif
