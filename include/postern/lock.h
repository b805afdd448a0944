/* lock: one service per state directory, and one holder of a numbered thing.
 *
 * An open-file-description lock on DIR/lock, which holds the pid of its taker
 * as text. The kernel gives it back when the last process that inherited it is
 * gone, however it went; a forked role keeps it, an executed program does not. */
#ifndef POSTERN_LOCK_H
#define POSTERN_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "postern/err.h"

/* The fd to keep (close it to give the lock back); -1 and *err, which names the
 * holder, when somebody has it. *holder (may be NULL) is then the pid, or 0. */
int lock_take(const char *dir, pid_t *holder, struct err *err);
/* Is a service there? Its pid, 0 when the lock is free, -1 and *err. */
pid_t lock_holder(const char *dir, struct err *err);

/* Locks one octet of a file, at `at` (< 2^62), of which nothing is read or written:
 * a number that one holder has at a time, in this process and in all others. The fd
 * to keep; it excludes also others of the same process. -1 with *taken when somebody
 * has it; -1 and *err when the file cannot be opened (`make`: it is made, mode 0600)
 * or locked. Never waits. */
int lock_octet(const char *path, uint64_t at, bool make, bool *taken, struct err *err);

#endif
