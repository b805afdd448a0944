/* fd_pass: descriptors for another process, over a pair of connected sockets
 * (unix(7), SCM_RIGHTS). */
#ifndef POSTERN_FD_PASS_H
#define POSTERN_FD_PASS_H

#include <stdbool.h>
#include <stddef.h>

#include "postern/err.h"

enum { FD_PASS_MAX = 64 }; /* descriptors of one parcel */

/* Two ends of a pair over which parcels go; close-on-exec, never waiting. */
bool fd_pass_pair(int ends[2], struct err *err);
/* One parcel of n descriptors, which may be none; the sender keeps its own. False and
 * *err: nothing was sent. */
bool fd_pass_send(int end, const int *fds, size_t n, struct err *err);
/* The parcel that was sent last; older ones are closed. How many descriptors it had, which
 * belong to the caller; -1: there is none. */
int fd_pass_last(int end, int fds[FD_PASS_MAX]);

#endif
