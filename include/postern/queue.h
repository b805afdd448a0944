/* queue: what is due, what became of it, and what there is. See store.h for
 * the life of a message. Functions that take a reader belong to its thread;
 * those that take a store need one that was not started (the command line's).
 *
 * What they return lives in the arena given; false and *e when the state could
 * not be read or the arena is at its limit. Order is by queue id, oldest first,
 * unless said otherwise. */
#ifndef POSTERN_QUEUE_H
#define POSTERN_QUEUE_H

#include "postern/aliasstore.h"
#include "postern/arena.h"
#include "postern/notice.h"
#include "postern/store.h"

/* The next hop of what is to be written to Badmail. */
#define QUEUE_HOP_BADMAIL "badmail"
#define QUEUE_HOP_UNROUTED "unrouted" /* of what is held; nothing is ever due there */

struct queue_recipient {
	uint32_t seq; /* its number within the message, from 0 */
	enum queue_state state;
	uint32_t attempts;
	int code; /* last reply; 0: nobody spoke */
	int64_t next_try_ms; /* while open */
	int64_t last_ms; /* of the last attempt, 0: none yet */
	struct span address, hop;
	struct span host; /* who spoke last */
	struct span reply, reason;
	struct span asked; /* what was asked for, when it led to this address; or empty */
	bool asked_list; /* that was a list */
};

struct queue_message {
	uint64_t id;
	struct span account, uidl, source; /* empty when it was not collected */
	struct span sender, message_id;
	uint64_t size; /* octets, top and body */
	int64_t arrived_ms;
	unsigned flags; /* MESSAGE_8BIT ... */
	bool body; /* still here */
	struct queue_recipient *recipients;
	size_t n;
};

/* ---- dispatch ---- */

struct queue_hop {
	struct span hop;
	int64_t next_try_ms; /* the earliest of its recipients, may be in the past */
};

/* All next hops with open recipients that are not held, in no order. */
bool queue_hops(struct reader *r, struct arena *a, struct queue_hop **out, size_t *n,
		struct err *e);

struct queue_due {
	struct span hop;
	int64_t now_ms;
	size_t messages; /* at most so many */
	size_t recipients; /* of one message, at most so many; the rest comes when these are settled */
	/* True: leased already, leave it out. Leases are the caller's, in memory. */
	bool (*leased)(void *arg, uint64_t id);
	void *arg;
};

/* Messages with recipients on this hop that are due (queued, refused or bounced),
 * longest due first; `recipients` of each holds only those due ones. */
bool queue_due(struct reader *r, const struct queue_due *q, struct arena *a,
		struct queue_message **out, size_t *n, struct err *e);

/* What became of one recipient. */
struct settle_recipient {
	uint32_t seq;
	bool untouched; /* nothing became of it: it stays as it is, whatever stands here */
	enum queue_state state; /* QUEUE_QUEUED: deferred until next_try_ms */
	/* An attempt was made: it is counted, and the fields from code on replace the last
	 * ones, which become history. False: code, host and reply are ignored. */
	bool attempted;
	int64_t next_try_ms; /* for QUEUE_QUEUED, QUEUE_REFUSED, QUEUE_BOUNCED */
	struct span hop; /* another next hop from now on; empty: as it was */
	int code;
	struct span host;
	struct span reply;
	struct span reason; /* for Badmail; empty: as it was */
};

/* The job for STORE_SETTLE: all of it in one transaction, and when no recipient of
 * the message is open any more the body goes in the same one. Recipients that are
 * settled already stay as they are. */
struct settlement {
	struct store_job job;
	uint64_t id;
	int64_t at_ms;
	const struct settle_recipient *recipients;
	size_t n;
	struct notice *notices; /* to be queued in the same transaction; NULL: none */
	/* How its body is damaged; empty: it is not. Its other recipients become due, so that
	 * they are told too; where it is still at the provider its origin is forgotten, so that
	 * it is collected again. */
	struct span damage;
	bool settled; /* set by the store: it was the last of the message */
	bool damage_new; /* nobody knew of the damage */
	bool again; /* with damage_new: its origin was forgotten */
};

/* ---- questions ---- */

struct queue_filter {
	uint64_t after; /* only ids above it: pages */
	size_t limit; /* 0: 100. Fewer where they have many recipients (QUEUE_PAGE_RECIPIENTS) */
	bool open; /* only messages with open recipients */
	bool by_state;
	enum queue_state state; /* with by_state: with a recipient in this state */
	struct span domain; /* with a recipient in this domain; empty: any */
};

enum {
	QUEUE_PAGE_RECIPIENTS = 5000
}; /* no message is added to a page that has so many */

/* One page, in the order of ids; *n is 0 behind the last one. */
bool queue_list(struct reader *r, const struct queue_filter *f, struct arena *a,
		struct queue_message **out, size_t *n, struct err *e);

struct queue_attempt {
	uint32_t seq; /* which recipient */
	uint32_t number; /* from 1 */
	int64_t at_ms;
	enum queue_state state; /* what it led to */
	int code;
	struct span host, reply;
};

struct queue_story {
	struct queue_message message;
	struct span route; /* the route record, JSON, or empty */
	struct queue_attempt *attempts; /* all of them, by recipient, then number */
	size_t n;
};

/* *out is left alone and *found false when there is no such message. */
bool queue_show(struct reader *r, uint64_t id, struct arena *a, struct queue_story *out,
		bool *found, struct err *e);
/* Ids of the messages that `text` names: a queue id, a Message-ID (with or without
 * <>) or ACCOUNT/UIDL; newest first, at most 100. */
bool queue_find(struct reader *r, struct span text, struct arena *a, uint64_t **out,
		size_t *n, struct err *e);

enum { QUEUE_UNROUTED_PAGE = 100, QUEUE_IDS_PAGE = 500 };

/* Messages held because nobody was found (E13), after this id: a page of them. */
bool queue_unrouted(struct reader *r, uint64_t after, struct arena *a,
		struct queue_message **out, size_t *n, struct err *e);

struct queue_since {
	struct span account; /* empty: any */
	int64_t since_ms;
	uint64_t after; /* only ids above it: pages */
};

/* Ids of messages that were collected since then: a page of them. */
bool queue_collected(struct reader *r, const struct queue_since *f,
		uint64_t out[QUEUE_IDS_PAGE], size_t *n, struct err *e);
struct queue_source {
	struct span account; /* empty: it was not collected, or is not there any more */
	int64_t arrived_ms; /* 0 then */
};

/* From which account a message came, and when. */
bool queue_source(struct reader *r, uint64_t id, struct arena *a,
		struct queue_source *out, struct err *e);

/* Open messages whose recipients are in one state; one with several stands in several. */
struct queue_heap {
	enum queue_state state;
	bool deferred; /* QUEUE_QUEUED, and was tried */
	uint64_t messages, of_hour, of_day; /* of the hour, the day before now_ms */
	uint64_t unrouted; /* QUEUE_HELD because nobody was found */
	int64_t oldest_ms; /* 0: none */
};

enum { QUEUE_HEAPS = 5 }; /* queued, deferred, refused, bounced, held */

bool queue_heaps(struct reader *r, int64_t now_ms, struct queue_heap out[QUEUE_HEAPS],
		struct err *e);

struct queue_size {
	uint64_t messages; /* with open recipients */
	uint64_t recipients; /* open */
	int64_t oldest_ms; /* when the oldest of them arrived, 0: none */
};

bool queue_count(struct reader *r, struct queue_size *out, struct err *e);

/* ---- the administrator's words: each its own transaction ---- */

/* Makes recipients due at once that are queued or wait for Badmail: of one message (id),
 * of a domain, or all (0 and empty). *changed counts them. */
bool queue_retry(struct store *s, uint64_t id, struct span domain, int64_t now_ms,
		uint64_t *changed, struct err *e);

struct queue_target {
	struct span address; /* wire form */
	struct span hop;
};

/* A held message for which somebody was named. */
struct queue_assignment {
	uint64_t id;
	struct span address; /* whom somebody named, for the record */
	const struct queue_target
			*to; /* whom that leads to: one, or a list's members */
	size_t n;
	bool list;
	int64_t now_ms;
	const struct aliasstore_rule *rule; /* made with it, or NULL */
};

/* Settles what is held (QUEUE_REMOVED, "assigned to ADDRESS") and queues the message for
 * the targets, due at once. *was is false, and nothing is changed, when it is not held as
 * unrouted (any more). *added: the rule is new. */
bool queue_assign(struct store *s, const struct queue_assignment *x, bool *was,
		bool *added, struct err *e);

/* ---- replays ---- */

enum { QUEUE_REPLAYS_MAX = 1000 };

/* Of one recipient of a Badmail item. */
struct queue_replay {
	uint64_t id; /* the new message's */
	struct span address;
	int64_t at_ms;
};

/* What a Badmail item was replayed as, oldest first; at most QUEUE_REPLAYS_MAX. */
bool queue_replays(struct reader *r, uint64_t item, struct arena *a,
		struct queue_replay **out, size_t *n, struct err *e);

#endif
