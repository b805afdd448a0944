/* recipients_rules: alias rules made ready to be asked many times. */
#ifndef ROUTE_RECIPIENTS_RULES_H
#define ROUTE_RECIPIENTS_RULES_H

#include "postern/recipients.h"

struct rule_target {
	struct span wire, key;
	bool utf8; /* needs SMTPUTF8 */
};

struct rule {
	size_t index; /* among the rules kept, in the order given */
	struct span match; /* as it was written */
	struct span key; /* what it is found by: address key, domain, or folded text */
	bool rewrite; /* *@domain to *@other: `other` is all there is */
	struct span other; /* canonical domain */
	struct rule_target *to;
	size_t n;
};

#define NO_TEXT SIZE_MAX

struct recipients_rules {
	size_t n; /* all of them */
	struct rule *addresses, *domains; /* sorted by key, each key once */
	size_t n_addresses, n_domains;
	struct rule *texts; /* sorted by key, each key once */
	/* For each text the longest other that it begins with, or NO_TEXT. So all texts that
	 * something begins with are found from the last one that sorts before it. */
	size_t *text_within;
	size_t n_texts;
};

/* NULL: no rule. rules may be NULL. */
const struct rule *rules_address(const struct recipients_rules *rules, struct span key);
const struct rule *rules_domain(
		const struct recipients_rules *rules, struct span domain, bool rewrite);
/* The first rule whose text stands in `text` as words; text is folded. */
const struct rule *rules_text(const struct recipients_rules *rules, struct span text);
/* The first rule whose text is `text`. */
const struct rule *rules_exact_text(
		const struct recipients_rules *rules, struct span text);

#endif
