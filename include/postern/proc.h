/* proc: another program, without a shell, within limits. */
#ifndef POSTERN_PROC_H
#define POSTERN_PROC_H

#include <stdint.h>

#include "postern/buf.h"
#include "postern/err.h"

/* Runs argv (NULL at the end; argv[0] is looked up in PATH) with stdin from
 * /dev/null, stderr to /dev/null and stdout into *out (up to its limit), in a
 * process group of its own that is killed when limit_ms pass or the output
 * passes the limit. Blocks. Whoever reaps children with waitpid(-1) would
 * steal the status: don't.
 * true: it ended; *status is its exit status, or 128 + signal. Else *err. */
bool proc_run(const char *const *argv, int64_t limit_ms, struct buf *out, int *status,
		struct err *err);

#endif
