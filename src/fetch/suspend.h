/* suspend: accounts whose logon was refused time and again (4019).
 *
 * Providers lock a mailbox after so many wrong passwords, and some refuse the right one for
 * some minutes. So after MEMO_REFUSALS refusals there are growing pauses, with one logon
 * each; at once where the secret or the account's settings are others than those that were
 * refused, or where somebody asks for the account. */
#ifndef FETCH_SUSPEND_H
#define FETCH_SUSPEND_H

#include "poll.h"

/* Digest of a secret and of the settings it goes with; 16 bits, as in memo.h. Never 0. */
unsigned suspend_check(const struct conf_account *a, struct span secret);
/* May the poll log on? False: with its error, 4019, which was told before. */
bool suspend_passes(struct fetch_poll *p);

#endif
