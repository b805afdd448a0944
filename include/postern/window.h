/* window: days and hours of the week.
 *
 * "Mon-Fri 07:00-20:00, Sat 09:00-12:00": parts with commas or semicolons between
 * them, each DAYS HOURS. DAYS is a day or a range of days (which may go round the
 * week: Fri-Mon), in three letters or in full; "Mon, Wed 07:00-08:00" is a list;
 * without DAYS it is every day. HOURS is HH:MM-HH:MM; hours that go past midnight
 * (22:00-06:00) belong to the day they begin on, 24:00 is the end of a day. */
#ifndef POSTERN_WINDOW_H
#define POSTERN_WINDOW_H

#include "postern/arena.h"
#include "postern/conf.h"

enum { WINDOW_DAY = 24 * 60, WINDOW_WEEK = 7 * WINDOW_DAY };

/* Fills *out, its hours from the arena. On failure *why says what is expected,
 * *wrong is the part of text that is not that, and *out is untouched. */
bool window_parse(struct span text, struct arena *a, struct conf_window *out,
		struct span *wrong, const char **why);
/* Minutes until it is open, 0 when it is open now. `minute` is that of the week,
 * from Monday 00:00, less than WINDOW_WEEK. */
unsigned window_wait(const struct conf_window *w, unsigned minute);

#endif
