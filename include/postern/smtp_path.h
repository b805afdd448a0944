/* smtp_path: the one reader of addresses in SMTP commands (RFC 5321 4.1.2).
 *
 * The mailbox is a piece of the input: the string accepted is the string stored,
 * matched and later sent. '%', '!' and '@' inside a local part mean nothing. Source
 * routes are checked and ignored. Control and 8-bit bytes never get through.
 * Local part 64, domain 255, path 256 octets at most. */
#ifndef POSTERN_SMTP_PATH_H
#define POSTERN_SMTP_PATH_H

#include "postern/span.h"

struct smtp_path {
	struct span mailbox; /* local@domain; empty for <>; "postmaster" may stand alone */
	struct span local; /* as written, with its quotes */
	struct span domain; /* as written, a literal with its brackets; empty: none */
};

/* Reads "<...>" at the start of *s and cuts it off. The null path only when
 * `reverse`, a bare postmaster only when not. On failure *s and *out are untouched. */
bool smtp_path_cut(struct span *s, bool reverse, struct smtp_path *out);
/* A whole span as local@domain (or a bare postmaster), without <>. */
bool smtp_mailbox_parse(struct span s, struct smtp_path *out);
/* A domain name in RFC 5321 syntax ('_' is let through), or an address literal. */
bool smtp_domain_valid(struct span s);

#endif
