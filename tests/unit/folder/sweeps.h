/* What was half written in a folder, and when it is swept: by the steady clock and by the
 * wall's, which a test moves (moved_clock.h). Included once in each executable. */
#ifndef TESTS_SWEEPS_H
#define TESTS_SWEEPS_H

#include "folder_dir.h"
#include "moved_clock.h"

static inline void
folder_put(const char *name)
{
	int fd = open(folder_path(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	(void)close(fd);
}

/* The folder is there; sweep is what sweeps it. */
static inline void
expect_sweeps(const char *folder, void (*sweep)(void *host, int64_t steady_ms),
		void *host)
{
	enum { YEAR_H = 365 * 24 };
	static const struct {
		const char *what;
		int64_t age_h, steady_h, wall_h; /* how far off each clock is */
		bool goes;
	} rows[] = {
		{ "young", 0, 0, 0, false },
		{ "old", 2, 0, 0, true },
		{ "the wall clock jumped ahead", 0, 0, 10 * YEAR_H, false },
		{ "the wall clock is behind", 2, 0, -10 * YEAR_H, false },
		{ "the steady clock is ahead", 0, 10 * YEAR_H, 0, false },
		{ "both passed", 0, 2, 2, true },
		{ "written by a clock that was ahead", -10 * YEAR_H, 0, 0, false },
	};
	int64_t now = clock_wall_ms();
	char name[100];

	(void)snprintf(name, sizeof(name), "%s/.half.tmp", folder);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		folder_put(name);
		file_set_time(AT_FDCWD, folder_path(name),
				now / 1000 - rows[i].age_h * 3600);
		clock_move(rows[i].wall_h * 3600 * 1000);
		sweep(host, now + rows[i].steady_h * 3600 * 1000);
		clock_move(-rows[i].wall_h * 3600 * 1000);
		if ((access(folder_path(name), F_OK) != 0) != rows[i].goes)
			fail_msg("%s: it %s", rows[i].what,
					rows[i].goes ? "stayed" : "went");
		if (!rows[i].goes && i + 1 < sizeof(rows) / sizeof(rows[0]))
			assert_int_equal(unlink(folder_path(name)), 0);
	}
	/* The last one is young from then on: it is old two hours later. */
	clock_move(2 * 3600 * 1000);
	sweep(host, now + 2 * 3600 * 1000);
	clock_move(-2 * 3600 * 1000);
	assert_int_equal(access(folder_path(name), F_OK), -1);
}

#endif
