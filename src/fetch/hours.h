/* hours: an account's window on this machine's clock. Any thread. */
#ifndef FETCH_HOURS_H
#define FETCH_HOURS_H

#include <stdint.h>

#include "postern/conf.h"

/* The first moment from wall_ms on at which the window is open in local time:
 * wall_ms itself when it is open then. Right across a change of summer time. */
int64_t hours_open_ms(const struct conf_window *w, int64_t wall_ms);

#endif
