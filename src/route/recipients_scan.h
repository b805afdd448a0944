/* recipients_scan: what one pass over a header finds for the decision. */
#ifndef ROUTE_RECIPIENTS_SCAN_H
#define ROUTE_RECIPIENTS_SCAN_H

#include "postern/recipients.h"

enum role {
	ROLE_NONE,
	ROLE_ENVELOPE, /* E1 level 2 */
	ROLE_RECEIVED, /* 3 */
	ROLE_RESENT, /* 4 */
	ROLE_VISIBLE, /* 5: To, Cc, Bcc */
	ROLE_APPARENTLY, /* 5, when those name nobody */
};

/* One field that named somebody. */
struct source {
	enum role role;
	struct span header; /* as it is spelled */
	size_t name; /* ROLE_ENVELOPE: index in struct scan.names */
	unsigned above; /* Received fields above this one */
	bool top; /* ROLE_RESENT: of the topmost block */
	bool provider; /* ROLE_RECEIVED: the by host is the provider's */
	bool single; /* ROLE_RECEIVED: the for-clause names one */
	size_t first, end; /* its members in struct scan.list */
};

/* What is thought of one member of the list. */
struct look {
	const struct source *source;
	struct span key; /* compare form, made when it is asked for */
	const char *why; /* why it is no recipient; NULL: nothing against it yet */
	bool kept;
};

struct scan {
	const struct recipients_account *account;
	struct arena *arena;
	struct recipients *out;
	struct address_list list;
	struct source *sources;
	size_t n_sources, cap_sources;
	struct look *looks; /* one for each member of the list */
	const struct span *
			names; /* of envelope headers: the configured, then the known */
	size_t n_names, first_name,
			last_name; /* the account looks at first to last - 1 */
	unsigned *inside,
			*outside; /* by name: occurrences in and below the trusted zone */
	unsigned received;
	unsigned resent_names; /* bits of the Resent-* names in the topmost block */
	bool resent_open, resent_done,
			resent_named; /* named: it has recipient fields */
	struct span return_path, from; /* bodies; p is NULL when there is none */
	bool automatic; /* a list or a machine sent it (E8) */
	struct span own[2]; /* keys of login and mailbox, once they were asked for */
	bool own_known;
	bool full; /* the arena is at its limit */
};

/* One pass over the header. */
void scan_header(struct scan *s, struct span block);
/* E2: is what stands below `above` Received fields the provider's work? */
bool scan_trusted(const struct scan *s, unsigned above);
void scan_fact(struct scan *s, struct recipients_fact fact);
/* E8, from what the scan found. */
void scan_sender(struct scan *s);

#endif
