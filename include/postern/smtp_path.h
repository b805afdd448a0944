/* smtp_path: the one reader of addresses in SMTP commands (RFC 5321 4.1.2).
 *
 * The mailbox is a piece of the input: the string accepted is the string stored,
 * matched and later sent. '%', '!' and '@' inside a local part mean nothing. Source
 * routes are checked and ignored. Control bytes never get through, and of 8-bit bytes
 * only well-formed UTF-8: in local parts, and as U-labels that have an A-label (RFC 6531
 * 3.3). `utf8` tells of them; whether they are welcome is the caller's to say.
 * Local part 64, domain 255, path 256 octets at most, a domain as A-labels counted too. */
#ifndef POSTERN_SMTP_PATH_H
#define POSTERN_SMTP_PATH_H

#include "postern/span.h"

struct smtp_path {
	struct span mailbox; /* local@domain; empty for <>; "postmaster" may stand alone */
	struct span local; /* as written, with its quotes */
	struct span domain; /* as written, a literal with its brackets; empty: none */
	bool utf8; /* some of it is not ASCII */
};

/* Reads "<...>" at the start of *s and cuts it off. The null path only when
 * `reverse`, a bare postmaster only when not. On failure *s and *out are untouched. */
bool smtp_path_cut(struct span *s, bool reverse, struct smtp_path *out);
/* A whole span as local@domain (or a bare postmaster), without <>. */
bool smtp_mailbox_parse(struct span s, struct smtp_path *out);
/* Is any of it not ASCII? Of an address with its domain as A-labels: does it need SMTPUTF8? */
bool smtp_is_utf8(struct span s);
/* A domain name in RFC 5321 syntax ('_' is let through), or an address literal. */
bool smtp_domain_valid(struct span s);

#endif
