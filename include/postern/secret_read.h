/* secret_read: fetches a password from where `struct secret` says it is.
 *
 * file: refused when group or others can read it, or when it belongs to
 * neither us nor root; at most 64 KiB. command: 10 s. credential: a file of
 * that name below $CREDENTIALS_DIRECTORY. Of all of them the first line counts,
 * without its line end. Empty ones and ones with control bytes are refused. */
#ifndef POSTERN_SECRET_READ_H
#define POSTERN_SECRET_READ_H

#include "postern/buf.h"
#include "postern/err.h"
#include "postern/secret.h"

/* Appends the secret to *out, whose owner wipes it with secret_done. No text in
 * *err ever holds a part of it. */
bool secret_read(const struct secret *s, struct buf *out, struct err *err);
void secret_done(struct buf *b); /* overwrites, then frees */
void secret_wipe(void *p, size_t n);

#endif
