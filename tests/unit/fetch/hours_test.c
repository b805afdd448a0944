/* Windows on the clock of a place with summer time. */
#include "../../../src/fetch/hours.h"

#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "postern/fetch.h"
#include "postern/window.h"

static int
setup(void **state)
{
	(void)state;
	/* CET; summer time from the last Sunday in March to that in October. */
	if (setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1) != 0)
		return -1;
	tzset();
	return 0;
}

/* Milliseconds of a moment in UTC. */
static int64_t
utc(int month, int day, int hour, int minute)
{
	struct tm t = { .tm_year = 126,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute };

	return (int64_t)timegm(&t) * 1000;
}

static void
it_opens_in_local_time(void **state)
{
	const struct {
		const char *window;
		int64_t from, opens;
	} cases[] = {
		/* Monday 5 January 2026, in winter. */
		{ "Mon-Fri 07:00-20:00", utc(1, 5, 5, 59), utc(1, 5, 6, 0) },
		{ "Mon-Fri 07:00-20:00", utc(1, 5, 6, 0), utc(1, 5, 6, 0) },
		{ "Mon-Fri 07:00-20:00", utc(1, 5, 18, 59), utc(1, 5, 18, 59) },
		{ "Mon-Fri 07:00-20:00", utc(1, 5, 19, 0), utc(1, 6, 6, 0) },
		{ "Mon-Fri 07:00-20:00", utc(1, 9, 19, 0), utc(1, 12, 6, 0) },
		/* The end of the month, and of the year. */
		{ "Mon 07:00-20:00", utc(1, 27, 12, 0), utc(2, 2, 6, 0) },
		{ "Fri 07:00-20:00", utc(12, 26, 12, 0), utc(13, 1, 6, 0) },
		/* 29 March 2026: the clock goes forward between Friday and Monday. */
		{ "Mon-Fri 07:00-20:00", utc(3, 27, 20, 0), utc(3, 30, 5, 0) },
		/* ... and the hour from 02:00 on is not there. */
		{ "Sun 03:00-04:00", utc(3, 29, 0, 30), utc(3, 29, 1, 0) },
		{ "Sun 02:10-02:20", utc(3, 29, 2, 0), utc(4, 5, 0, 10) },
		/* 25 October 2026: it goes back; 02:30 comes twice. */
		{ "Mon-Fri 07:00-20:00", utc(10, 23, 20, 0), utc(10, 26, 6, 0) },
		{ "Sun 02:30-02:40", utc(10, 25, 0, 30), utc(10, 25, 0, 30) },
		{ "Sun 02:30-02:40", utc(10, 25, 1, 35), utc(10, 25, 1, 35) },
	};
	struct arena a = ARENA_MAX(1 << 20);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf_account account = { .name = "a" };
		struct span wrong;
		const char *why;

		assert_true(window_parse(span_of(cases[i].window), &a, &account.window,
				&wrong, &why));
		int64_t opens = hours_open_ms(&account.window, cases[i].from);
		if (opens != cases[i].opens)
			fail_msg("case %zu: %lld minutes late", i,
					(long long)(opens - cases[i].opens) / 60000);
		assert_int_equal(fetch_window_opens_ms(&account, cases[i].from), opens);
	}
	arena_done(&a);
}

/* From every quarter of an hour of a year: it is open then, and was not before. */
static void
it_is_open_when_it_opens(void **state)
{
	static const char *const windows[] = { "Mon-Fri 07:00-20:00", "Sat 22:00-06:00",
		"00:00-01:00" };
	struct arena a = ARENA_MAX(1 << 20);

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct conf_window w;
		struct span wrong;
		const char *why;

		assert_true(window_parse(span_of(windows[i]), &a, &w, &wrong, &why));
		for (int64_t at = utc(1, 1, 0, 0); at < utc(13, 1, 0, 0);
				at += 15 * 60 * 1000) {
			int64_t opens = hours_open_ms(&w, at);

			assert_true(opens >= at && opens - at < 7 * 86400 * 1000LL);
			assert_int_equal(hours_open_ms(&w, opens), opens);
			if (opens > at)
				assert_int_equal(hours_open_ms(&w, opens - 60000),
						opens);
		}
	}
	arena_done(&a);
}

static void
no_window_is_always_open(void **state)
{
	struct conf_window w = { NULL, 0 };

	(void)state;
	assert_int_equal(hours_open_ms(&w, 1234567), 1234567);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_opens_in_local_time),
		cmocka_unit_test(it_is_open_when_it_opens),
		cmocka_unit_test(no_window_is_always_open),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
