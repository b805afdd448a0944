/* nexthop: where a domain's mail goes next.
 *
 * A table is built once per configuration, never changed, and may be read by
 * any thread. The most specific route wins: the exact domain, then the longest
 * "*.suffix". A policy domain without a route goes to Drop; for any other
 * domain there is no way yet (NEXTHOP_NONE: the verdict is 5.4.4). */
#ifndef POSTERN_NEXTHOP_H
#define POSTERN_NEXTHOP_H

#include "postern/conf.h"
#include "postern/conf_load.h"
#include "postern/err.h"

enum nexthop_kind {
	NEXTHOP_NONE, /* no route: bounce 5.4.4 */
	NEXTHOP_DROP, /* path, or NULL for the state's Drop folder */
	NEXTHOP_MAILDIR, /* path with %d and %u */
	NEXTHOP_SMTP, /* host and port */
	NEXTHOP_LMTP_TCP, /* host and port */
	NEXTHOP_LMTP_UNIX, /* path of a socket */
};

struct nexthop {
	enum nexthop_kind kind;
	const char *host; /* NULL, name, or address without brackets */
	bool literal; /* host is an address: no DNS at all */
	unsigned port;
	const char *path;
	const char *key; /* normal text, equal for equal next hops: "smtp:mail.example:25",
			    "lmtp:/run/x", "drop", "none"; what messages are grouped by */
};

struct nexthop_table;

struct nexthop_table *nexthop_table_new(const struct conf_routes *routes)
		__attribute__((warn_unused_result)); /* copies what it needs */
void nexthop_table_free(struct nexthop_table *t); /* NULL is fine */
/* Where mail for the canonical domain goes; never NULL, lives as long as t. An
 * empty domain (bare postmaster) counts as a policy domain. */
const struct nexthop *nexthop_find(
		const struct nexthop_table *t, struct span domain, bool policy_domain);
/* Reads a key or a `to:` text with absolute paths; strings from the arena. */
bool nexthop_parse(struct span text, struct arena *a, struct nexthop *out,
		struct err *err);
/* What becomes of a recipient whose next hop is NEXTHOP_NONE: bounced, 5.4.4. */
struct verdict nexthop_none_verdict(struct span domain);

#endif
