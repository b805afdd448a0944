/* clockwatch: the wall clock jumped. It is said once (6008), and what was to be tried again
 * at a time that is now far away is tried within the schedule. What is kept for a time
 * is judged by the store's steady clock and needs nothing here. */
#include <stdlib.h>

#include "room.h"

#include "postern/clock.h"
#include "postern/log.h"

enum {
	JUMP_MS = 60 * 1000, /* less is how clocks are set right */
	DAY_MS = 24 * 3600 * 1000,
};

/* How far the wall clock is ahead of the one that only passes. */
static int64_t
ahead(void)
{
	return clock_wall_ms() - clock_boot_ms();
}

void
clockwatch_start(struct relay *r)
{
	int64_t away = r->clock.away_ms;

	r->clock.ahead_ms = ahead();
	if (away < -JUMP_MS)
		log_event(EVENT_CLOCK_JUMP,
				FIELDS(f_num("seconds", away / 1000),
						f_str("what",
								"since the last run; what waits is tried "
								"again within delivery.retry")));
	else if (away > DAY_MS)
		log_event(EVENT_CLOCK_JUMP,
				FIELDS(f_num("seconds", away / 1000),
						f_str("what",
								"since the last run, or nothing ran so long; "
								"one day of it counts for what is kept")));
	outbound_retime(r->outbound);
}

void
clockwatch_tick(struct relay *r)
{
	int64_t now = ahead(), by = now - r->clock.ahead_ms;

	r->clock.ahead_ms = now;
	if (by > -JUMP_MS && by < JUMP_MS)
		return;
	log_event(EVENT_CLOCK_JUMP,
			FIELDS(f_num("seconds", by / 1000),
					f_str("what",
							by < 0 ? "what waits is tried again within delivery.retry"
							       : "nothing that is kept is older for it")));
	control_tidy(r->control);
	if (by < 0)
		outbound_retime(r->outbound);
}
