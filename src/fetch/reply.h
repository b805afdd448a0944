/* reply: what a server's -ERR is about. Dry.
 *
 * By its response code (RFC 2449 section 8, RFC 3206, RFC 6856) where it has one, else by
 * its words. Only a refusal of user name or password may suspend an account. */
#ifndef FETCH_REPLY_H
#define FETCH_REPLY_H

#include <stdbool.h>

#include "postern/span.h"

enum reply_sense {
	REPLY_REFUSED, /* user name or password are not accepted; also where nothing tells */
	REPLY_IN_USE, /* somebody else has the mailbox open, or we come too soon */
	REPLY_LATER, /* the server is unwell, and says that it will pass */
	REPLY_BARRED, /* for good, but not for the password's sake */
	REPLY_ILL, /* something is wrong there that no other password would mend */
};

/* `text` is what stands behind -ERR in an answer to USER, PASS, APOP or AUTH. */
enum reply_sense reply_to_logon(struct span text);
/* The same in an answer to RETR: is it about the whole account (a quota, a mail store that
 * is away), and not about this message? */
bool reply_is_of_account(struct span text);

#endif
