/* faults: system calls that a test counts, puts in order and lets fail.
 *
 * An executable with `faults` among its dependencies is linked with --wrap: the calls
 * that our own objects make come here first, those of libraries do not. Only what lies
 * below one directory is seen, so log and coverage files stay out of it. Callable
 * from any thread. */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

enum fault_call {
	FAULT_OPEN = 1, /* open, openat */
	FAULT_READ = 2, /* read, pread */
	FAULT_WRITE = 4, /* write, writev, pwrite */
	FAULT_SYNC = 8, /* fsync, fdatasync */
	FAULT_SYNCFS = 16,
	FAULT_RENAME = 32, /* rename, renameat, renameat2 */
	FAULT_UNLINK = 64, /* unlink, unlinkat */
	FAULT_MKDIR = 128, /* mkdir, mkdirat */
	FAULT_SYNCS = FAULT_SYNC | FAULT_SYNCFS,
	FAULT_ALL = 255,
};

/* From here on calls at or below that directory (its real path) are counted and
 * recorded; none fails. */
void faults_begin(const char *below);
/* Of the calls of these kinds that come now, the n-th (from 1) and as many behind it as
 * `times` says (0: all) fail with that errno; a write that fails for ENOSPC has
 * written half of it first when it is long enough. */
void faults_fail(unsigned calls, unsigned n, unsigned times, int no);
/* Nothing fails and nothing is seen any more; the record stays. */
void faults_end(void);

/* Has any call been made to fail since faults_fail? */
bool faults_struck(void);
/* Calls of these kinds since faults_begin, those that failed included. */
unsigned faults_count(unsigned calls);
/* Those calls in words, one line each: "sync Drop/.1.tmp", "rename Drop/.1.tmp
 * Drop/1.eml", "sync Drop/" (a directory ends in a slash), "... = Input/output
 * error" where it was made to fail. Until the next call of this function. */
const char *faults_story(unsigned calls);

/* Calls hook(host, name) at each crash point (postern/crash.h); NULL: no more. */
void faults_at_points(void (*hook)(void *host, const char *name), void *host);

#endif
