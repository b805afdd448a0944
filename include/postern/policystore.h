/* policystore: recipient policies as they are kept. What they mean is decided
 * by the policy room, which is fed with the array that policystore_load gives.
 *
 * Every change is one transaction and raises the version, so that the relay
 * loads again only when policystore_version has moved. */
#ifndef POSTERN_POLICYSTORE_H
#define POSTERN_POLICYSTORE_H

#include "postern/arena.h"
#include "postern/store.h"

struct policystore_domain {
	struct span name; /* lower-case A-labels, without "*." */
	bool subdomains; /* it was "*.name": what lies below it, not itself */
	bool authoritative;
	bool reject_unknown; /* unknown: reject */
	struct span subaddress; /* characters that part a tag from the user; empty: none */
	bool by_hand; /* by policy add: it stays whatever the policy's file says */
};

/* Where a policy comes from. */
enum policystore_source {
	POLICYSTORE_HAND, /* policy add; files of older programs, too */
	POLICYSTORE_NAMED, /* policy apply FILE: it goes when that file goes */
	POLICYSTORE_CONFIGURED, /* `policies:`: it goes when no file there says it any more */
};

struct policystore_address {
	struct span text; /* "%g.%s@contoso.test" */
	bool primary;
};

struct policystore_policy {
	struct span name;
	int64_t priority; /* lower is tried first */
	enum policystore_source source;
	struct span file; /* its path; empty for POLICYSTORE_HAND */
	bool german; /* spelling: german */
	struct span *groups; /* match.groups; none: every recipient */
	size_t n_groups;
	struct policystore_address *addresses; /* in their order */
	size_t n_addresses;
	struct policystore_domain *domains;
	size_t n_domains;
};

/* All of them, by priority, then name; "default" comes last. */
bool policystore_load(struct reader *r, struct arena *a,
		struct policystore_policy **out, size_t *n, uint64_t *version,
		struct err *e);
bool policystore_version(struct reader *r, uint64_t *version, struct err *e);

/* Are these one and the same but for the name and the file? Domains count as a set; those
 * that `a` has by hand do not count. */
bool policystore_same(
		const struct policystore_policy *a, const struct policystore_policy *b);

/* For a store that was not started. Puts each, in place of one of the same name;
 * all or none. Domains that were added by hand stay beside those of the new one. Changed
 * tells how many differ from what was there; may be NULL. */
bool policystore_apply(struct store *s, const struct policystore_policy *p, size_t n,
		uint64_t *changed, struct err *e);
/* What no file says any more: each of these policies goes, but for domains added by hand. */
bool policystore_take_back(
		struct store *s, const struct span *names, size_t n, struct err *e);
bool policystore_remove(struct store *s, struct span name, bool *was, struct err *e);
/* Puts one domain into the policy of that name, by hand; the policy is made when missing (with
 * this priority and nothing else). *added: it was not there; may be NULL. */
bool policystore_add_domain(struct store *s, struct span policy, int64_t priority,
		const struct policystore_domain *d, bool *added, struct err *e);
/* Out of every policy; *was counts them. */
bool policystore_remove_domain(struct store *s, struct span domain, bool subdomains,
		uint64_t *was, struct err *e);

#endif
