#include "mailbox.h"

#include <stdio.h>
#include <stdlib.h>

#include "hosts.h"
#include "postern/digest.h"
#include "postern/lock.h"
#include "postern/must.h"

bool
mailbox_key(const struct conf_account *a, struct buf *out)
{
	/* A user's name has no NUL, so no two mailboxes have the same text. */
	return host_key(&a->server, out) && buf_addc(out, '\0') &&
			buf_add(out, span_of(a->user));
}

/* Where in the lock file the mailbox has its octet. Two mailboxes with the same
 * 62 bits would only wait for each other. */
static uint64_t
place_of(const struct conf_account *a)
{
	AUTO(buf_done) struct buf key = BUF_MAX(2048);
	uint8_t hash[DIGEST_SIZE];
	uint64_t at = 0;

	MUST(mailbox_key(a, &key));
	digest_of(&(struct span){ key.p, key.n }, 1, hash);
	for (int i = 0; i < 8; i++)
		at = at << 8 | hash[i];
	return at >> 2;
}

enum mailbox_lock
fetch_mailbox_lock(const char *state, const struct conf_account *a, bool make, int *fd,
		struct err *err)
{
	char *path = NULL;
	bool taken = false;

	if (asprintf(&path, "%s/run/mailboxes.lock", state) < 0)
		abort();
	*fd = lock_octet(path, place_of(a), make, &taken, err);
	free(path);
	if (*fd >= 0)
		return MAILBOX_OURS;
	if (!taken) {
		err->event = EVENT_DATABASE_TROUBLE;
		return MAILBOX_FAILED;
	}
	(void)err_set(err, EVENT_MAILBOX_IN_USE,
			"another poll of the same mailbox is under way here");
	return MAILBOX_TAKEN;
}
