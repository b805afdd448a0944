/* origin: what was collected, and how the accounts do.
 *
 * An origin (account, UIDL) is written with its message in one transaction
 * (STORE_SUBMIT), so that one UIDL is queued once. Its life:
 *
 *	state      meaning                               moved on by
 *	---------  ------------------------------------  ----------------------------------------
 *	committed  the message is durable here           ORIGIN_SETTLED when QUIT was answered +OK
 *	settled    and was deleted at the provider       -
 *	absent     (either, beside it) a complete        ORIGIN_BACK when listed again
 *	           listing did not name it
 *	adopted    seen there, never collected: never    STORE_SUBMIT, where it was retrieved while it
 *	           deleted either (ORIGIN_ACT_ADOPT)     was being adopted: committed then
 *	gone       -                                     ORIGIN_FORGET: absent from two complete listings
 *	                                                 and for ORIGIN_KEEP_MS (E14); the store checks both
 *
 * A crash leaves each of these as it was; the worst is a UIDL that is asked to be
 * deleted again, or found "had" again. */
#ifndef POSTERN_ORIGIN_H
#define POSTERN_ORIGIN_H

#include "postern/arena.h"
#include "postern/store.h"

#define ORIGIN_KEEP_MS (INT64_C(7) * 24 * 3600 * 1000)

/* The account of claims (struct submission); no account can have such a name. A claim
 * is committed with its message, and gone with ORIGIN_ACT_UNCLAIM once its file is. */
#define ORIGIN_CLAIMS ":pickup"

enum origin_state {
	ORIGIN_NEW, /* unknown here */
	ORIGIN_COMMITTED,
	ORIGIN_SETTLED,
	ORIGIN_ADOPTED,
};

struct origin_row {
	struct span uidl; /* valid until the next call */
	enum origin_state state;
	uint64_t id; /* queue id; 0 for an adopted one */
	int64_t committed_ms; /* or adopted then, by the steady clock: for `keep` */
	uint64_t print; /* as submitted with it; 0: none */
	bool absent; /* the last complete listing did not name it */
	int64_t absent_ms; /* ... since then, by the steady clock */
};

/* All origins of an account in the order of their UIDLs (octets), so that a listing
 * sorted the same way is matched in one pass, whatever its size. One walk at a time
 * for each reader; nothing else may be asked of it in between. */
void origin_walk(struct reader *r, struct span account);
/* False at the end and when reading failed; origin_walk_end tells which. */
bool origin_walk_next(struct reader *r, struct origin_row *out);
bool origin_walk_end(struct reader *r, struct err *e);

/* One origin; *out is ORIGIN_NEW when it is unknown. id may be NULL. */
bool origin_look(struct reader *r, struct span account, struct span uidl,
		enum origin_state *out, uint64_t *id, struct err *e);
/* Since when it is known, by the steady clock; 0: it is not. */
bool origin_since(struct reader *r, struct span account, struct span uidl, int64_t *out,
		struct err *e);

enum origin_act {
	ORIGIN_ACT_SETTLE, /* deleted, and QUIT answered +OK */
	ORIGIN_ACT_LISTED, /* a complete listing was read; its uidls are those that it lacks */
	ORIGIN_ACT_BACK, /* absent before, listed now */
	ORIGIN_ACT_FORGET,
	/* Seen at the provider, and to be left alone: a settled one becomes adopted, a
	 * committed one stays what it is. */
	ORIGIN_ACT_ADOPT,
	ORIGIN_ACT_UNCLAIM, /* the file is removed for good: forgotten at once */
};

/* The job for STORE_ORIGINS. UIDLs that do not fit the act are passed over. A
 * listing's absent UIDLs may come in several jobs: `continued` marks all but the
 * first, so that the listing is counted once. */
struct origin_change {
	struct store_job job;
	enum origin_act act;
	bool continued;
	struct span account;
	const struct span *uidls;
	size_t n;
};

/* The job for STORE_POLLED, and what `accounts` shows. */
struct poll_result {
	struct store_job job;
	struct span account;
	int64_t started_ms, ended_ms;
	int64_t next_ms; /* 0: unknown */
	bool ok;
	int event; /* the event that tells how it went, 0: none */
	struct span text; /* "ok" or the error's words */
	uint64_t listed, collected, deleted, skipped, failed, octets;
	uint64_t waiting; /* messages left at the provider */
	uint64_t waiting_octets;
	struct span says; /* what the server tells of quota, expiry, delays; may be empty */
	int64_t success_ms; /* out: end of the last poll that went well; 0: none */
	/* In: the collector's memory of the account, kept as it is; p NULL: as it was, n 0:
	 * nothing is to be remembered. */
	struct span memo;
	struct span session; /* in: what was said, for poll_sessions; empty: nothing */
};

enum { POLL_MEMO_MAX = 256 * 1024, POLL_SESSION_MAX = 64 * 1024 };

/* One POP3 session with what was submitted to the relay in it; no secrets, no content. */
struct poll_session {
	int64_t started_ms;
	bool ok;
	struct span text; /* lines with LF */
};

/* The collector's memory of an account; empty when there is none. */
bool poll_memo(struct reader *r, struct span account, struct arena *a, struct span *out,
		struct err *e);
/* The last few sessions of an account, oldest first; failed ones are kept longer. */
bool poll_sessions(struct reader *r, struct span account, struct arena *a,
		struct poll_session **out, size_t *n, struct err *e);
/* The last poll of every account, by name. */
bool poll_results(struct reader *r, struct arena *a, struct poll_result **out,
		size_t *n, struct err *e);
/* Messages collected from an account since then. */
bool origin_collected(struct reader *r, struct span account, int64_t since_ms,
		uint64_t *out, struct err *e);

struct collected {
	struct span account;
	uint64_t messages;
};

/* The same for all accounts that have any, by name. */
bool origin_collected_all(struct reader *r, int64_t since_ms, struct arena *a,
		struct collected **out, size_t *n, struct err *e);

#endif
