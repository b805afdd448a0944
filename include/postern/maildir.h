/* maildir: local deliveries into folders as cr.yp.to/proto/maildir.html has it.
 *
 * Written to tmp/, synced, renamed to new/, new/ synced. The name comes from the
 * queue id and the recipient, so a repeated attempt gives the same file, also
 * when a reader has moved it to cur/ meanwhile (then nothing is written).
 *
 * A batch: maildir_write for each recipient, then one maildir_sync. Belongs to
 * one thread. */
#ifndef POSTERN_MAILDIR_H
#define POSTERN_MAILDIR_H

#include <stdint.h>

#include "postern/buf.h"
#include "postern/drop.h"
#include "postern/err.h"

struct maildir;

/* Puts the parts of the address into a route's path: %d the domain, %u the
 * local part, both in lower case, %% a percent sign. false and *err for a part
 * that is empty, begins with '.', is longer than 255 bytes or holds '/' or NUL,
 * and for other % signs: such a recipient has no place here. */
bool maildir_expand(struct span pattern, struct span address, struct buf *out,
		struct err *err);

/* Holds so many of them open, each with three descriptors. */
struct maildir *maildir_new(size_t open_most);
/* path: the mailbox, made with tmp, new and cur (0700) unless it is there.
 * `recipient` numbers the recipients of one message. */
bool maildir_write(struct maildir *m, const char *path, uint64_t qid,
		uint64_t recipient, const struct letter_body *body, struct err *err);
bool maildir_sync(struct maildir *m, struct err *err); /* as drop_sync */
void maildir_free(struct maildir *m);

#endif
