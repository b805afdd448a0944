/* rcpt: what RCPT is answered, and where mail for the address goes.
 *
 * The one decision of the relay, of `explain`, `policy test`, `badmail replay` and `unrouted
 * assign`. A function of the directory, the routes, and whether the client may relay. */
#ifndef POSTERN_RCPT_H
#define POSTERN_RCPT_H

#include "postern/directory.h"
#include "postern/nexthop.h"
#include "postern/smtp_path.h"
#include "postern/smtp_reply.h"

struct rcpt_rules {
	const struct directory *directory;
	const struct nexthop_table *routes;
	struct span postmaster; /* the server's; may be empty */
};

struct rcpt {
	struct span said; /* "Ann@BÜCHER.test", as the path has it */
	struct span mailbox; /* the same as it is kept and sent (E5): domain as A-labels, quotes
				only where the local part needs them; of the bare postmaster, the server's */
	struct span key; /* canonical, letters without case: tells the same one again */
	bool bare; /* "postmaster" without a domain was said (RFC 5321 4.5.1) */
	bool accepted;
	enum smtp_refusal why; /* not accepted: see rcpt_reply */
	struct directory_decision decision; /* all zero for a domain that is none */
	const struct directory_entry
			*list; /* the list whose address it is; NULL: no list */
	const struct directory_target *v; /* accepted: whom it goes to, one at least */
	size_t n;
};

/* What becomes of mail for the path. may_relay: also to domains of no policy that have a route.
 * Spans point into the path, the directory and the arena. False: the arena is full. */
bool rcpt_decide(const struct rcpt_rules *rules, const struct smtp_path *path,
		bool may_relay, struct arena *a, struct rcpt *out);

/* Is it a domain of a policy? Canonical; empty, the bare postmaster's, is one. */
bool rcpt_is_ours(const struct directory *d, struct span domain);
/* The next hop of mail for the canonical domain; never NULL, lives as long as the routes. */
const struct nexthop *rcpt_hop(const struct rcpt_rules *rules, struct span domain);

/* The refusal as it is said; text is borrowed by the reply. */
struct smtp_reply rcpt_reply(
		enum smtp_refusal why, struct span said, char text[SMTP_TEXT_SIZE]);
/* The same as Badmail's reason: "unknown-user", "relay-denied", "hop-count", "general". */
const char *rcpt_reason(enum smtp_refusal why);

#endif
