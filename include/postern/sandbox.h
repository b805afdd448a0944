/* sandbox: giving up what a role does not need. Call while the process has one
 * thread; there is no way back. */
#ifndef POSTERN_SANDBOX_H
#define POSTERN_SANDBOX_H

#include <stdbool.h>

#include "postern/err.h"

/* What every process of ours does first: umask 077, no core files, not
 * dumpable, stdin from /dev/null, descriptors 0 to 2 open, locale C. */
bool sandbox_start(struct err *err);
/* Becomes that user with its groups when we are root, for good; otherwise only
 * checks that we are already that user or that it is NULL. Sets no_new_privs. */
bool sandbox_user(const char *user, struct err *err);
/* The uid and gid of a user, for handing the state directory over to it. */
bool sandbox_lookup(const char *user, unsigned *uid, unsigned *gid, struct err *err);
/* Only these paths from now on (Landlock): rw may be read, written, created in;
 * ro read (and executed from, with `exec`). Paths that do not exist are
 * skipped. NULL ends a list. *abi gets the kernel's version, 0 when it has
 * none, which is no error: the best that can be had. */
bool sandbox_files(const char *const *rw, const char *const *ro, bool exec, int *abi,
		struct err *err);

#endif
