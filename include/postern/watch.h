/* watch: is there something new in a directory (inotify)?
 *
 * A hint and no more: who watches also looks by himself now and then, since not
 * every file system tells, and a full queue of the kernel forgets. */
#ifndef POSTERN_WATCH_H
#define POSTERN_WATCH_H

#include <stdbool.h>

#include "postern/err.h"

/* A non-blocking fd that becomes readable when a file in the directory was closed after
 * writing, came in by a rename, or got another mode or owner. -1 and *err. */
int watch_open(const char *path, struct err *err);
/* Reads away what the fd has to tell; false when the directory itself has gone, and
 * nothing more will come. */
bool watch_drain(int fd);

/* Has somebody, in any process, the file of this read-only fd open for writing? False
 * also where the system cannot tell: another owner's file, a network's file system. */
bool watch_has_writer(int fd);

#endif
