/* What is logged while a test runs, in its directory. */
#ifndef TESTS_FOLDER_EVENTS_H
#define TESTS_FOLDER_EVENTS_H

#include "folder_dir.h"
#include "postern/log.h"

static inline void
events_begin(void)
{
	assert_true(log_open(&(struct log_options){ .level = 3,
					     .journal = folder_path("events") },
			NULL));
}

/* Lines that say so. */
static inline size_t
events(const char *what)
{
	AUTO(buf_done) struct buf got = BUF_MAX(1 << 20);
	size_t n = 0;

	assert_true(file_read(AT_FDCWD, folder_path("events"), 0, &got, NULL));
	for (const char *p = buf_cstr(&got); (p = strstr(p, what)); n++)
		p = strchr(p, '\n');
	return n;
}

#endif
