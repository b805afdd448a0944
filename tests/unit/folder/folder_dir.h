/* A directory for one test, and looking into it. */
#ifndef TESTS_FOLDER_DIR_H
#define TESTS_FOLDER_DIR_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "postern/buf.h"
#include "postern/file.h"
#include "postern/qid.h"

static char folder_dir[64];

static inline int
folder_make(void **state)
{
	(void)state;
	/* In memory where there is such a place: syncs there cost nothing. */
	(void)snprintf(folder_dir, sizeof(folder_dir), "%s/postern-folder-XXXXXX",
			access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return mkdtemp(folder_dir) ? 0 : -1;
}

static inline int
folder_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline int
folder_remove(void **state)
{
	(void)state;
	return nftw(folder_dir, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *
folder_path(const char *name)
{
	static char path[4][512];
	static size_t turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, 512, "%s/%s", folder_dir, name);
	return p;
}

static inline void
folder_expect(const char *name, struct span want)
{
	AUTO(buf_done) struct buf got = BUF_MAX(10 * 1024 * 1024);
	struct err err = { 0 };

	if (!file_read(AT_FDCWD, folder_path(name), 0, &got, &err))
		fail_msg("%s", err.text);
	if (!span_eq(buf_span(&got), want))
		fail_msg("%s holds:\n" SPAN_FMT, name, SPAN_ARG(buf_span(&got)));
}

static inline size_t
folder_count(const char *name)
{
	struct file_names names;
	int fd = dir_open(AT_FDCWD, folder_path(name), NULL);

	assert_true(fd >= 0);
	assert_true(dir_names(fd, 100000, &names, NULL));
	size_t n = names.n;
	file_names_done(&names);
	(void)close(fd);
	return n;
}

#endif
