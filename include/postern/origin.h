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

enum origin_state {
	ORIGIN_NEW, /* unknown here */
	ORIGIN_COMMITTED,
	ORIGIN_SETTLED,
};

struct origin_listed {
	struct span uidl; /* in: as the server named it */
	uint32_t number; /* in: the caller's, carried along */
	enum origin_state state; /* out */
	uint64_t id; /* out: queue id, unless new */
	int64_t committed_ms; /* out: for `keep` */
};

/* What a complete listing changes; see STORE_ORIGINS. */
struct origin_changes {
	struct span *absent, *back, *forget;
	size_t n_absent, n_back, n_forget;
	uint64_t known; /* origins of the account in the store */
	uint64_t unlisted; /* those of them that this listing does not name */
};

struct origin_listing {
	struct span account;
	struct origin_listed *listed; /* sorted by UIDL (octets) afterwards */
	size_t n;
	int64_t now_ms;
};

/* Fills the out fields of a listing; one pass over the account's origins beside
 * the sorted listing, so a million of each is a matter of a second. Equal UIDLs
 * get equal answers. changes: NULL when the listing is not complete, else filled,
 * its spans in the arena. */
bool origin_match(struct reader *r, const struct origin_listing *listing,
		struct origin_changes *changes, struct arena *a, struct err *e);

/* One origin; *out is ORIGIN_NEW when it is unknown. id may be NULL. */
bool origin_look(struct reader *r, struct span account, struct span uidl,
		enum origin_state *out, uint64_t *id, struct err *e);

enum origin_act {
	ORIGIN_ACT_SETTLE, /* deleted, and QUIT answered +OK */
	ORIGIN_ACT_LISTED, /* a complete listing was read; its uidls are those that it lacks */
	ORIGIN_ACT_BACK, /* absent before, listed now */
	ORIGIN_ACT_FORGET,
};

/* The job for STORE_ORIGINS. UIDLs that do not fit the act are passed over. A
 * listing's absent UIDLs may come in several jobs: `continued` marks all but the
 * first, so that the listing is counted once. */
struct origin_change {
	struct store_job job;
	enum origin_act act;
	bool continued;
	struct span account;
	int64_t now_ms;
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
};

/* The last poll of every account, by name. */
bool poll_results(struct reader *r, struct arena *a, struct poll_result **out,
		size_t *n, struct err *e);
/* Messages collected from an account since then. */
bool origin_collected(struct reader *r, struct span account, int64_t since_ms,
		uint64_t *out, struct err *e);

#endif
