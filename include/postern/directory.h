/* directory: the recipients, the addresses they have, and whom an address leads to
 * (SPEC section 4; RECIPIENTS.md E0, E5, E6).
 *
 * A directory is built once from rows, never changed, and may be read by any
 * thread. The order of the rows does not matter: recipients are taken by alias.
 *
 * Addresses. A recipient gets those of the first policy (lowest priority, then
 * name; "default" last) that has templates and whose groups match. Its own
 * primary address comes before the template's, which is a proxy then; without a
 * primary the first address is the primary. An address that is somebody else's
 * already gets a number: ann.lee2@. Own addresses are given first, then the
 * primaries of all, then the proxies, each by alias.
 *
 * Loading and resolving are linear in the number of addresses and members. */
#ifndef POSTERN_DIRECTORY_H
#define POSTERN_DIRECTORY_H

#include "postern/address.h"
#include "postern/policy.h"

enum {
	DIRECTORY_ENTRIES_MAX = 200000, /* recipients; a loader refuses more */
	DIRECTORY_TEMPLATES_MAX =
			64, /* of one policy; what is behind them is not used */
	DIRECTORY_DEPTH_MAX = 10, /* lists within lists */
	DIRECTORY_MEMBERS_MAX = 50000, /* addresses one list may lead to */
};

struct directory_texts {
	const struct span *v;
	size_t n;
};

/* ---- what it is made from ---- */

struct directory_row {
	struct span alias, given, surname, display;
	struct span primary; /* its own, as written; empty: by policy */
	struct directory_texts groups;
	struct directory_texts members; /* aliases or addresses; n > 0: a list */
};

/* The columns of a row, in the order of its fields; one group, one member. */
enum directory_column {
	DIRECTORY_ALIAS,
	DIRECTORY_GIVEN,
	DIRECTORY_SURNAME,
	DIRECTORY_DISPLAY,
	DIRECTORY_PRIMARY,
	DIRECTORY_GROUP,
	DIRECTORY_MEMBER,
	DIRECTORY_COLUMNS,
};

enum { DIRECTORY_TEXT_MAX = 255, DIRECTORY_GROUPS_MAX = 100 };

/* Why this cannot be such a value (static: "an alias has ..."), NULL: it can. */
const char *directory_fault(enum directory_column what, struct span value);
/* An address as people write it in its wire form; p is NULL when it is none. */
struct span directory_wire(struct arena *a, struct span address);
/* In lower case, as aliases and groups are compared; p is NULL when a is full. */
struct span directory_fold(struct arena *a, struct span text);

struct directory_template {
	struct span text; /* template.h */
	bool primary;
};

struct directory_policy {
	struct span name;
	unsigned priority;
	bool german; /* its templates spell so (template.h) */
	struct directory_texts groups; /* none: every recipient */
	const struct directory_template *addresses;
	size_t n_addresses;
};

struct directory;

/* Copies everything. domains: the policy domains, for the sub-address delimiters
 * and for policy_set below. */
struct directory_rows {
	const struct directory_row *recipients;
	size_t n_recipients;
	const struct directory_policy *policies;
	size_t n_policies;
	const struct policy_domain *domains;
	size_t n_domains;
};

struct directory *directory_new(const struct directory_rows *rows)
		__attribute__((warn_unused_result));
void directory_free(struct directory *d); /* NULL is fine */
/* The policy domains it was made with. */
const struct policy_set *directory_policies(const struct directory *d);

/* ---- recipients ---- */

struct directory_entry {
	struct span alias, given, surname, display;
	struct span primary; /* in wire form; empty: no address came of its policy */
	bool own; /* the primary is its own, not a policy's */
	bool left_out; /* a letter of its names could not be spelled in an address */
	bool list;
	const struct span *addresses; /* wire form; the primary first, then proxies */
	size_t n_addresses;
	struct span policy; /* whose templates it has; empty: none matched */
	struct directory_texts groups, members; /* as in its row */
};

size_t directory_size(const struct directory *d);
/* The i-th by alias, i < directory_size. */
const struct directory_entry *directory_at(const struct directory *d, size_t i);
/* By its alias, letters without case; NULL: there is none. */
const struct directory_entry *directory_alias(
		const struct directory *d, struct span alias);

struct directory_match {
	bool without_tag; /* found only without its sub-address */
	struct span tag; /* with its delimiter, "+news"; points into local; or empty */
};

/* Whose address local@domain is: exactly, local part without case, then without
 * its sub-address tag where the policy domain has delimiters (the longest known
 * user wins). local without quoting, domain canonical. NULL: nobody's. out may be
 * NULL. */
const struct directory_entry *directory_find(const struct directory *d,
		struct span local, struct span domain, struct directory_match *out);

/* ---- whom mail for an address goes to ---- */

struct directory_target {
	struct span address; /* wire form: what the envelope gets */
	struct span domain; /* canonical, for the next hop */
	struct span key; /* canonical form, to tell the same one again (E5) */
};

struct directory_resolved {
	const struct directory_entry *entry; /* whose address was asked for */
	struct directory_match match;
	const struct directory_target *v; /* each once, in stable order */
	size_t n;
	size_t unknown; /* members of lists that are nobody, or have no address */
	bool too_deep; /* lists below DIRECTORY_DEPTH_MAX were left out */
	bool too_many; /* more than DIRECTORY_MEMBERS_MAX: n is 0 then */
};

/* A person gives the primary address, with the tag where it was found without it
 * (unless the whole would be too long); a list its members, those of a nested list
 * behind those of the list that names it. Lists that name each other are taken once.
 * match may be NULL; spans point into d, or into the arena. False when the
 * arena is full. out->n == 0: nobody to deliver to. */
bool directory_resolve(const struct directory *d, const struct directory_entry *entry,
		const struct directory_match *match, struct arena *arena,
		struct directory_resolved *out);

/* Both for one address as it is written in an envelope, "j.doe+x@Contoso.test":
 * false also when it is nobody's (entry is NULL then). */
bool directory_resolve_address(const struct directory *d, struct span address,
		struct arena *arena, struct directory_resolved *out);

/* ---- the answer to RCPT ---- */

enum directory_outcome {
	DIRECTORY_FOREIGN, /* 550 5.7.1: its domain is in no policy */
	DIRECTORY_UNKNOWN, /* 550 5.1.1: nobody, in a domain that rejects those */
	DIRECTORY_NOBODY, /* 550 5.2.4: a list that leads to nobody, or to too many */
	DIRECTORY_AS_IS, /* accepted, goes along the route of its domain */
	DIRECTORY_RESOLVED, /* accepted, goes to the addresses of `to` */
};

struct directory_decision {
	enum directory_outcome outcome;
	const struct policy_domain *row; /* NULL: in no policy */
	struct directory_resolved to; /* entry NULL: nobody's; see postmaster */
	bool postmaster; /* of a domain without one: to is the server's */
};

/* What becomes of mail for the address; its domain canonical. The
 * postmaster of a policy domain is always somebody (RFC 5321 4.5.1): where the domain
 * rejects who is unknown, it is `postmaster`, the server's (an address in a policy
 * domain; or empty), or the address goes along its route. False: the arena is full. */
bool directory_decide(const struct directory *d, const struct address *to,
		struct span postmaster, struct arena *arena,
		struct directory_decision *out);

/* "person ann", "list sales", "person ann, sub-address +news": for people. */
bool directory_describe(const struct directory_resolved *r, struct buf *out)
		__attribute__((warn_unused_result));

/* ---- what did not fit ---- */

struct directory_collision {
	const struct directory_entry *entry; /* who wanted it */
	const struct directory_entry *holder; /* who has it */
	struct span wanted, got; /* got is empty: an own address is never changed */
};

size_t directory_collisions(const struct directory *d);
const struct directory_collision *directory_collision_at(
		const struct directory *d, size_t i);

/* ---- beside the configuration ---- */

/* What the configuration says of domains that no policy knows: warnings with
 * event 4045 for the domains and recipients of accounts, plain ones for the
 * postmaster and for routes of other domains; and of accounts whose recipient is
 * nobody: their mail would stay at the provider (event 4046 when they are polled). */
void policy_check_conf(const struct directory *d, const struct conf *conf,
		struct conf_faults *faults);

#endif
