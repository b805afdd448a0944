/* recipients_scan: what one pass over a header finds for the decision. */
#ifndef ROUTE_RECIPIENTS_SCAN_H
#define ROUTE_RECIPIENTS_SCAN_H

#include "recipients_rules.h"

enum role {
	ROLE_NONE,
	ROLE_TOLD, /* E1 level 1: by the server, not by the header */
	ROLE_ENVELOPE, /* E1 level 2 */
	ROLE_RECEIVED, /* 3 */
	ROLE_RESENT, /* 4 */
	ROLE_VISIBLE, /* 5: To, Cc, Bcc */
	ROLE_APPARENTLY, /* 5, when those name nobody */
};

enum { SCAN_ABOVE = 51 }; /* trusted_hops is at most 50 */

/* One field that named somebody. */
struct source {
	enum role role;
	struct span header; /* as it is spelled */
	size_t name; /* ROLE_ENVELOPE: index in struct scan.names */
	size_t field; /* its number from the top */
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

/* A recipient before it is known whether another one is the same. */
struct result {
	struct span key, wire;
	size_t from; /* its member, or NOBODY */
	bool utf8;
};

enum { NOBODY = -1 }; /* as size_t: no member of the list */

struct scan {
	const struct recipients_account *account;
	const struct recipients_envelope *told; /* NULL: the server told nothing */
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
	unsigned *times; /* [name * SCAN_ABOVE + above]: occurrences */
	size_t fields; /* in the header */
	unsigned received;
	unsigned hops; /* Received lines of the provider: what is above the last is its own */
	unsigned lead; /* lines from the top that come from one site */
	struct span top_by; /* host of the topmost Received */
	unsigned resent_names; /* bits of the Resent-* names in the topmost block */
	bool resent_open, resent_done,
			resent_named; /* named: it has recipient fields */
	struct span return_path, from; /* bodies; p is NULL when there is none */
	unsigned return_above; /* Received fields above the Return-Path */
	struct span list_id, list_post; /* bodies */
	bool list_asked; /* list_rule is known */
	const struct rule *list_rule; /* of List-Id; NULL: none */
	bool automatic; /* a list or a machine sent it (E8) */
	bool open; /* the header went on: where it ends is not known */
	struct span own[2]; /* keys of login and mailbox, once they were asked for */
	bool own_known;
	bool *rule_used; /* by index: its targets are among the results already */
	struct result *results;
	size_t n_results, cap_results;
	bool full; /* the arena is at its limit */
};

/* One pass over the header. */
void scan_header(struct scan *s, struct span block);
/* E2: is this field the provider's work? */
bool scan_trusted(const struct scan *s, const struct source *src);
/* Occurrences of an envelope header in the trusted zone, and in all. */
unsigned scan_inside(const struct scan *s, size_t name);
unsigned scan_all(const struct scan *s, size_t name);
void scan_fact(struct scan *s, struct recipients_fact fact);
/* E8, from what the scan found. */
void scan_sender(struct scan *s);

/* ---- recipients_map.c: what addresses become (E6) ---- */

struct span scan_key(struct scan *s, size_t i);
/* Members that a level takes, in order. */
struct picks {
	size_t *v;
	size_t n;
};

/* The picks, mapped, become the results, then recipients: each once, in the order
 * found. `why` is said of those that no rule changed. False: nobody. */
bool scan_take(struct scan *s, const struct picks *p, const char *why);
/* The targets of one rule become results; `text` is what it was found in, `from` the
 * member or NOBODY. */
void scan_apply(struct scan *s, const struct rule *rule, struct span text, size_t from);
/* The results become recipients. */
bool scan_settle(struct scan *s);
/* What is left of a field with <...> in it. */
struct angles {
	struct span rest;
	bool plain; /* a comment or quote did not end: none is searched for behind it */
};
/* The next <...> that no comment or quoted string hides, without its angles. */
bool scan_angle(struct angles *a, struct span *out);
/* What List-Id says: what its last angle holds, else all of it (RFC 2919). */
struct span scan_list_id(const struct scan *s);
/* The rule whose text List-Id is; looked for once. */
const struct rule *scan_list_rule(struct scan *s);

/* ---- recipients_levels.c ---- */

enum found {
	FOUND_NOBODY, /* the next level is asked */
	FOUND_SOME,
	FOUND_STOP, /* nobody, and no other level may be asked */
};

/* E1's levels in turn; out->level and out->source are set. */
enum found scan_levels(struct scan *s);
/* Why a member that no level took and nothing spoke against was left. */
const char *scan_left_because(const struct scan *s, const struct source *src);

#endif
