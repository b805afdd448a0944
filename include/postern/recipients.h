/* recipients: who gets a collected message, and why (RECIPIENTS.md).
 *
 * Dry. Account settings and a header block go in; recipients, the envelope
 * sender, the facts to log and a record of every candidate come out, all in one
 * arena. Nothing is decided here about policy: an address inside the account's
 * domains is always submitted, the relay answers (E11). An address outside
 * them never becomes a recipient (promise 5). */
#ifndef POSTERN_RECIPIENTS_H
#define POSTERN_RECIPIENTS_H

#include <stdint.h>

#include "postern/address.h"
#include "postern/event_id.h"
#include "postern/header.h"
#include "postern/provider.h"
#include "postern/rewrite.h"

enum recipients_mode {
	RECIPIENTS_AUTO, /* known envelope headers in E1's order, then the other levels */
	RECIPIENTS_STRICT, /* as auto, but nothing after level 2 */
	RECIPIENTS_NONE, /* no envelope header is consulted */
	RECIPIENTS_NAMES, /* only the configured ones, in their order */
};

enum recipients_unrouted {
	UNROUTED_POSTMASTER,
	UNROUTED_HOLD,
	UNROUTED_BADMAIL,
	UNROUTED_ADDRESS,
};

/* An alias rule as an administrator wrote it (E6). `match` is
 *   an address             a recipient, or any other address in To and Cc
 *   *@DOMAIN               every address of the domain that nothing else maps; with one
 *                          target *@OTHER the domain alone is replaced
 *   a text                 the user part of an address of ours; the display text in To and
 *                          Cc has it as words of its own; or the List-Id is it */
struct recipients_rule {
	struct span match;
	const struct span *to; /* full addresses */
	size_t n;
};

/* Rules made ready, in an arena. See recipients_rules_init. */
struct recipients_rules;

/* Earlier rules win where two match alike. Those that can never match (no usable
 * target, an address that is none) are left out and counted in *left_out. NULL: the
 * arena is full. */
const struct recipients_rules *recipients_rules_new(struct arena *arena,
		const struct recipients_rule *v, size_t n, size_t *left_out);

struct directory;

/* What is known of an account. Borrowed: must outlive every decision. */
struct recipients_account {
	struct span name;
	bool user; /* a user account: `target` is the recipient, headers are not asked */
	struct span target; /* user account: full address that its mapping gave */
	const struct domains *
			served; /* account domains; policy domains when none are configured */
	const struct domains *
			policy; /* every policy domain, to choose a fallback that the relay takes */
	struct span first_domain; /* the first configured account domain, or empty */
	enum recipients_mode mode;
	const struct span *names; /* mode NAMES: header names in order */
	size_t n_names;
	unsigned trusted_hops; /* Received lines that the provider adds; 0: trust nothing */
	bool hops_fixed; /* they were configured: what was learned of them does not count */
	const struct domains
			*hosts; /* who writes them, as configured; NULL: nothing was */
	bool bottom; /* the provider appends: only the last field of a header is its own */
	/* What the provider adds around an address in its envelope header: a prefix of the
	 * local part ("mbox-"), or a pattern in which * stands for it ("*-pop"). */
	const struct span *strip;
	size_t n_strip;
	const struct provider_habits *learned; /* NULL: nothing */
	const struct recipients_rules *rules; /* NULL: none */
	const struct directory *directory; /* known recipients; NULL: nobody is known */
	struct span login; /* POP3 user name */
	struct span address; /* the mailbox's own address when it is known, or empty */
	struct span provider; /* host name of the POP3 server, for E1 level 3 */
	struct span default_domain; /* completes bare names; empty: off */
	bool smtputf8; /* the relay takes local parts that are not ASCII (E5, 5.6.7) */
	enum recipients_unrouted unrouted;
	struct span unrouted_address; /* for UNROUTED_ADDRESS */
	struct span postmaster; /* the server's */
};

enum recipients_outcome {
	RECIPIENTS_FOUND,
	RECIPIENTS_FALLBACK, /* nobody found: `recipients` holds one fallback address (E13) */
	RECIPIENTS_HOLD, /* nobody found: hold as unrouted */
	RECIPIENTS_BADMAIL, /* nobody found and no fallback: Badmail, no-recipients */
};

struct recipients_candidate {
	struct span address; /* canonical spelling */
	struct span header; /* as it is spelled; "received-for" */
	bool kept; /* it became a recipient */
	const char *why; /* begins with the rule, "E11: ..." */
};

/* Something to log, once, by the caller (EVENTS.md):
 *   4030  name source, n accepted, m ignored
 *   4033  text the fallback address (empty: Badmail)     4034  held
 *   4035  name the header that is missing
 *   4036  name the header, n its occurrences
 *   4038  n found, m the limit, name "addresses", "header octets" or "field octets"
 *   4039  name the header, text the raw member
 *   4040  name the rule, text what it was found in, more who receives for it
 *   4043  text the envelope sender ("<>" when null) */
struct recipients_fact {
	int event;
	struct span name;
	struct span text, more;
	uint64_t n, m;
};

enum { RECIPIENTS_FACTS = 16, RECIPIENTS_RECORD_MAX = 64 * 1024 };

struct recipients {
	enum recipients_outcome outcome;
	unsigned level; /* 1 to 7 as in E1; 0 for a user account */
	struct span source; /* "*ENV", header name as E1 spells it, "received-for", "to-cc", "resent-to",
		"alias", "list-id", "account" (user), "fallback" */
	const char *reason; /* for X-Postern-Route when nobody was found: "no-recipients", ... */
	struct span *v; /* recipients in wire form, each once, in the order found */
	size_t n;
	struct span sender; /* envelope sender in wire form, without <>; empty is the null sender */
	bool no_notify; /* the sender was not told by a trusted Return-Path (E8) */
	bool utf8; /* an address needs SMTPUTF8 */
	unsigned received; /* Received fields in the header */
	struct span message_id; /* as trace_message_id reads it */
	struct recipients_candidate *candidates; /* from the top of the message */
	size_t n_candidates;
	size_t ignored; /* candidates that were not kept */
	struct recipients_fact facts[RECIPIENTS_FACTS];
	size_t n_facts;
	/* What the decision looked at, as header fields with CRLF: recipients_decide makes the
	 * same of it. Received is shortened to its by and for. Empty for user accounts. */
	struct span fields;
	struct span told; /* and who the server said it is for (recipients_envelope.to) */
	bool fields_cut; /* not all of it: it would have been longer than RECIPIENTS_FIELDS_MAX */
	struct provider_seen seen; /* for provider_learn */
};

enum { RECIPIENTS_FIELDS_MAX = 8 * 1024 };

/* What the POP3 server itself said of a message's envelope (E1 level 1, SDPS *ENV). */
struct recipients_envelope {
	struct span to; /* an address, or several with commas; empty: nothing */
	struct span from; /* the sender; empty: the null sender */
};

/* Bytes an arena must allow for one decision; nothing is allocated ahead. */
enum { RECIPIENTS_ARENA_MAX = 16 * 1024 * 1024 };

/* block: the header block, at most HEADER_MAX are read. `arena` may be shared with
 * the block's other uses; out's spans point into it and into block. */
void recipients_decide(const struct recipients_account *account, struct span block,
		struct arena *arena, struct recipients *out);
/* The same for a message whose envelope the server told. envelope: NULL when it did not;
 * its spans are borrowed as block is. */
void recipients_decide_told(const struct recipients_account *account,
		const struct recipients_envelope *envelope, struct span block,
		struct arena *arena, struct recipients *out);
/* The route record: one JSON object of at most RECIPIENTS_RECORD_MAX bytes with account,
 * outcome, level, source, sender, recipients[], candidates[address,header,kept,why],
 * `rule` when an alias rule was applied, recipient_count, candidate_count and `cut`, true when lists are shortened; and with
 * `header` (r->fields) unless that is cut or has no room. Beside it stand `envelope_to`
 * (r->told), when there is one, and `learned`, what was known of the provider
 * (provider_print's lines). */
bool recipients_record(const struct recipients_account *account,
		const struct recipients *r, struct buf *out)
		__attribute__((warn_unused_result));
/* Does this Received "by" host belong to the provider: its POP3 host or one
 * beside it under the same domain (E1 level 3)? */
bool recipients_is_provider(struct span provider, struct span host);

#endif
