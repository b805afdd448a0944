/* mailbox: at most one session with a mailbox at a time, here and in every other
 * process that works on the same state directory. */
#ifndef FETCH_MAILBOX_H
#define FETCH_MAILBOX_H

#include "postern/buf.h"
#include "postern/conf.h"
#include "postern/err.h"

/* What the mailbox is known by: server, port and user, whatever the account is
 * called. */
bool mailbox_key(const struct conf_account *a, struct buf *out)
		__attribute__((warn_unused_result));

enum mailbox_lock {
	MAILBOX_OURS, /* until *fd is closed */
	MAILBOX_TAKEN, /* another poll of it is under way */
	MAILBOX_FAILED, /* the state directory cannot be used for it */
};

/* Locks the account's mailbox. `make`: the lock file may be made. *fd is -1 but for MAILBOX_OURS.
 * *err: event 4004 when it is taken, 9005 otherwise. */
enum mailbox_lock fetch_mailbox_lock(const char *state, const struct conf_account *a,
		bool make, int *fd, struct err *err);

#endif
