/* tell: what the collector tells the relay over run/relay.ctl, since only the
 * relay's process writes the state. A relay that does not listen loses nothing:
 * what was not told is found again at the next poll. */
#ifndef FETCH_TELL_H
#define FETCH_TELL_H

#include "known.h"
#include "poll.h"

/* QUIT confirmed that these are deleted. */
void tell_settled(struct fetch_poll *p, const struct span *uidls, size_t n);
/* What a complete listing changes. */
void tell_listed(struct fetch_poll *p, const struct pop_known *known);
/* How the poll went, for `accounts`. */
void tell_polled(struct fetch_poll *p, int64_t ended_ms);

#endif
