#include "hours.h"

#include <time.h>

#include "postern/fetch.h"
#include "postern/must.h"
#include "postern/window.h"

enum { MS = 1000, MINUTE_MS = 60 * MS, STEPS = 8 };

static unsigned
minute_of_week(const struct tm *t)
{
	unsigned day = ((unsigned)t->tm_wday + 6) % 7; /* Monday is 0 */

	return day * WINDOW_DAY + (unsigned)t->tm_hour * 60 + (unsigned)t->tm_min;
}

int64_t
hours_open_ms(const struct conf_window *w, int64_t wall_ms)
{
	/* A change of the clock may lie between, so what comes out is looked at again. */
	for (int i = 0; w->n > 0 && i < STEPS; i++) {
		time_t at = (time_t)(wall_ms / MS), opens;
		struct tm t;

		MUST(localtime_r(&at, &t));
		unsigned wait = window_wait(w, minute_of_week(&t));
		if (wait == 0)
			break;
		t.tm_min += (int)wait;
		t.tm_sec = 0;
		t.tm_isdst = -1;
		opens = mktime(&t);
		/* At least a minute on, also where the clock goes back meanwhile. */
		wall_ms = opens > at ? (int64_t)opens * MS : wall_ms + MINUTE_MS;
	}
	return wall_ms;
}

int64_t
fetch_window_opens_ms(const struct conf_account *a, int64_t wall_ms)
{
	return hours_open_ms(&a->window, wall_ms);
}
