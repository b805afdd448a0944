/* explain_words: a decision in the words of explain, trace and unrouted. Dry.
 *
 * What is written may hold bytes from a message: whoever prints it tames it. */
#ifndef CLI_EXPLAIN_WORDS_H
#define CLI_EXPLAIN_WORDS_H

#include "postern/recipients.h"

/* Somebody whom the relay refuses. */
struct words_refused {
	struct span address;
	struct span reply; /* "550 5.1.1 User unknown ..."; empty: not known */
	struct span reason; /* Badmail's word for it, "unknown-user" */
};

struct words_decision {
	bool past; /* it was decided when the message came, what became of it is told elsewhere */
	bool user; /* a user account's */
	enum recipients_outcome outcome;
	unsigned level; /* as in E1; 0: user account */
	struct span source, account;
	struct span rule; /* level 6: the first alias rule that was applied; or empty */
	const struct span *accepted; /* by the relay */
	size_t n_accepted;
	const struct words_refused *refused;
	size_t n_refused;
	unsigned hops; /* Received lines, where they are too many; else 0 */
	unsigned max_hops; /* smtp.max_hops; 0: not known */
	struct span domains; /* the account's, "contoso.test, fabrikam.test"; empty: not known */
	struct span unrouted; /* as in the configuration; empty: not known */
	const struct recipients_candidate *candidates;
	size_t n_candidates;
	size_t n_seen; /* where not all candidates are known, how many there were; else 0 */
};

/* One sentence or a few: who gets it, and why. False at the limit of out. */
bool words_sentence(const struct words_decision *d, struct buf *out)
		__attribute__((warn_unused_result));
/* What an administrator can do about it, sentences; nothing where all is well. */
bool words_advice(const struct words_decision *d, struct buf *out)
		__attribute__((warn_unused_result));
/* ... about one refusal. False also where nothing is to be advised. */
bool words_refused_advice(const struct words_refused *r, struct buf *out)
		__attribute__((warn_unused_result));
/* "contoso.test, *.branch.test", at most `most` octets and "..." behind them. */
bool words_domains(const struct domains *set, size_t most, struct buf *out)
		__attribute__((warn_unused_result));

#endif
