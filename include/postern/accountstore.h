/* accountstore: what an administrator has said of an account, for its next poll. */
#ifndef POSTERN_ACCOUNTSTORE_H
#define POSTERN_ACCOUNTSTORE_H

#include "postern/store.h"

/* How often the account was told to go on; a hold (4018) that began at a lower number is over. */
bool accountstore_resumed(
		struct reader *r, struct span account, uint64_t *times, struct err *e);
/* For a store that was not started. */
bool accountstore_resume(struct store *s, struct span account, struct err *e);

/* Hands over what was asked for (`accounts retry`) since *asked, a unique-id or (empty) all of
 * the account, and sets *asked to the number of the last one. */
bool accountstore_retries(struct reader *r, struct span account, uint64_t *asked,
		void (*each)(void *host, struct span uidl), void *host, struct err *e);
/* uidl empty: all of the account. For a store that was not started. */
bool accountstore_retry(
		struct store *s, struct span account, struct span uidl, struct err *e);

#endif
