/* plan: what to do with each message of a maildrop. Dry.
 *
 * The listing and what is known of its messages go in; a fate for each comes
 * out. The session carries it out and has nothing left to decide. */
#ifndef FETCH_PLAN_H
#define FETCH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pop_fate {
	POP_LEAVE, /* collected, and kept at the provider */
	POP_RETRIEVE,
	/* Deleted here once with QUIT confirmed, and listed again under the same
	 * unique-id: the deletion came undone, or the id was given to another
	 * message. Its header tells. */
	POP_VERIFY,
	POP_DELETE, /* durable here: delete without RETR (P07) */
	POP_OVERSIZE, /* larger than max_size: left, event 4010 */
	POP_NOTICE, /* the same, and its recipients are to be told */
	POP_ASIDE, /* failed, and is not to be asked for yet */
	POP_LATER, /* would be retrieved, but max_per_session is reached */
};

enum pop_standing { POP_UNKNOWN, POP_COMMITTED, POP_SETTLED, POP_ADOPTED };

/* Small, since a maildrop may hold a million. */
struct pop_message {
	uint64_t octets; /* as LIST says */
	uint64_t print; /* as kept with its origin; 0: none */
	uint32_t committed_s; /* unless unknown; seconds of the epoch */
	uint8_t known; /* enum pop_standing */
	uint8_t fate; /* out: enum pop_fate */
	bool named : 1; /* has a unique-id; else it is known by its content only */
	bool aside : 1; /* not to be asked for yet */
	bool blamed : 1; /* failed before, by itself: it comes behind those that did not */
	bool told : 1; /* its recipients have had their notice of its size */
	/* Committed under this unique-id, but of another size then: maybe another one. */
	bool changed : 1;
	bool suspect : 1; /* the server sent more than it should behind it: it comes last */
	bool again : 1; /* shorter than LIST says, it is to be asked for again (size.c) */
	uint8_t asked : 2; /* so often it was */
	bool kept : 1; /* deleted there, listed again, and to be left for today (kept.c) */
	bool durable : 1; /* here for good, and may be deleted there */
};

struct pop_rules {
	int64_t keep_ms; /* 0: delete once durable; < 0: keep for ever */
	uint64_t max_size; /* 0: no limit */
	bool notice; /* recipients of larger ones are told */
	uint64_t max_per_session; /* messages retrieved; 0: no limit */
	int64_t now_ms;
};

struct pop_plan {
	size_t retrieve, verify, delete, leave, oversize, notice, aside, later;
	size_t fresh; /* unknown, whatever becomes of them */
};

/* True when a message that was committed then is to be deleted now. */
bool pop_plan_expired(const struct pop_rules *rules, int64_t committed_ms);
void pop_plan_make(const struct pop_rules *rules, struct pop_message *messages,
		size_t n, struct pop_plan *out);

#endif
