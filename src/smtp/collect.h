/* collect: XCOLLECT=ACCOUNT/UIDL/PROVIDER/IP/POP3|POP3S[/PRINT], both directions.
 *
 * ACCOUNT is xtext, UIDL is base64url without padding (so that neither '/' nor '='
 * occurs in it), PRINT is 1 to 16 hexadecimal digits, not all zero; the other parts are
 * printable and have no '/'. */
#ifndef SMTP_COLLECT_H
#define SMTP_COLLECT_H

#include "postern/smtp_server.h"

enum {
	COLLECT_ACCOUNT_MAX = 128,
	COLLECT_UIDL_MAX = 512,
	COLLECT_HOST_MAX = 255,
	COLLECT_IP_MAX = 64,
	COLLECT_REASON_MAX = 64,
	COLLECT_DECODED_MAX = COLLECT_ACCOUNT_MAX + COLLECT_UIDL_MAX,
};

/* Decoded parts go into `decoded` (at least COLLECT_DECODED_MAX free). */
bool collect_parse(struct span value, struct buf *decoded, struct smtp_collect *out);
bool collect_reason_valid(struct span reason);
/* How many of XBADMAIL, XHOLD and XFALLBACK there are; one at most is proper. */
unsigned collect_words(const struct smtp_collect *c);
/* Would it survive collect_print and collect_parse? */
bool collect_valid(const struct smtp_collect *c);
/* The value of XCOLLECT, for a valid one: at most 1400 octets. False at the limit. */
bool collect_print(struct buf *out, const struct smtp_collect *c);

#endif
