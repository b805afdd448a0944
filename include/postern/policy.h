/* policy: may this recipient be accepted (E11)?
 *
 * A set is built once from the rows the store holds, never changed, and may be
 * read by any thread. Domains are canonical (lower-case A-labels, E5). A
 * domain is listed exactly, or lies below one that is listed with subdomains
 * (the longest such wins); %, ! and inner @ in a local part mean nothing. */
#ifndef POSTERN_POLICY_H
#define POSTERN_POLICY_H

#include "postern/buf.h"
#include "postern/conf.h"
#include "postern/conf_load.h"

struct policy_domain {
	struct span domain; /* canonical; a literal with its brackets */
	bool subdomains; /* stands for every name below it, not itself */
	bool authoritative;
	struct span policy; /* name of the policy that lists it */
	unsigned priority; /* of that policy */
	bool reject_unknown; /* authoritative, and who is no recipient gets 550 5.1.1 */
	struct span subaddress; /* each of these parts a tag from the user; "" none */
	bool by_hand; /* it is kept beside its policy's file (policystore.h) */
};

struct policy_set;

/* Copies the rows. Where several policies list one domain, the lowest priority
 * counts, then the name; the policy named default comes last. */
struct policy_set *policy_new(const struct policy_domain *rows, size_t n)
		__attribute__((warn_unused_result));
void policy_free(struct policy_set *set); /* NULL is fine */
size_t policy_size(const struct policy_set *set); /* distinct domains */
/* The i-th distinct domain, sorted by name, i < policy_size. */
const struct policy_domain *policy_at(const struct policy_set *set, size_t i);

/* The row that makes domain (canonical; empty: none) a policy domain, or NULL. */
const struct policy_domain *policy_find(
		const struct policy_set *set, struct span domain);

struct policy_answer {
	bool accepted;
	const struct policy_domain
			*row; /* why; NULL when refused, and for bare postmaster */
	int code; /* 250 or 550 */
	const char *esc; /* "2.1.5", "5.7.1" */
};

/* The answer to RCPT TO:<local@domain> for a client without relay rights.
 * Bare "postmaster" (domain empty) is accepted: RFC 5321 section 4.5.1. */
struct policy_answer policy_decide(
		const struct policy_set *set, struct span local, struct span domain);
/* The same as the reply line without CRLF, "550 5.7.1 Unable to relay for X";
 * recipient as the client spelled it. False when out is full. */
bool policy_reply(const struct policy_answer *answer, struct span recipient,
		struct buf *out) __attribute__((warn_unused_result));

/* smtp.relay_from: is the client's address, as text without brackets or port,
 * in one of the networks? v4-mapped addresses count as IPv4, a zone (%eth0) is
 * ignored, what is no address is in none. */
bool policy_may_relay(const struct conf_cidrs *nets, struct span address);

#endif
