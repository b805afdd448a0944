/* A VFS between SQLite and the disk: it counts writes and syncs, has the n-th one fail, and
 * tells a test of each before it is done. */
#ifndef TESTS_STORE_SHIM_H
#define TESTS_STORE_SHIM_H

#include <stdbool.h>

enum shim_call { SHIM_WRITE, SHIM_SYNC };

struct shim {
	/* The how-many-th call fails, from 1 on; 0: none. */
	long fail_at;
	bool for_good; /* and all after it */
	int code; /* what it fails with; 0: SQLITE_IOERR_WRITE or _FSYNC */
	/* Set by the shim. */
	long calls;
	long failed;
	/* NULL: nobody listens. log: it is the write-ahead log. */
	void (*seen)(enum shim_call call, bool log);
};

extern struct shim shim;

/* From now on all connections of this process are made through it. */
void shim_install(void);
/* Counts from 0 again. */
void shim_fail(long at, int code, bool for_good);

#endif
