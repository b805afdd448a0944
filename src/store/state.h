/* state: what stands behind the doors of the store. */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include <stdatomic.h>

#include "db.h"
#include "postern/aliasstore.h"
#include "postern/buf.h"
#include "postern/map.h"
#include "postern/queue.h"
#include "postern/store.h"

struct reader {
	struct db db;
	int spool; /* the directory */
	struct query walk; /* origin_walk's */
};

/* Row ids of accounts and next hops by their names, as of the last commit. */
struct names {
	struct map ids;
	struct arena keys;
	enum sql find, add;
};

struct store {
	struct reader self;
	char *path; /* of the database */
	int dir;
	bool service;
	int busy_ms;
	uint64_t min_free;
	struct names accounts, hops;
	struct mutex *doubt_lock;
	struct buf doubtful; /* ids that a failed commit may have kept; any thread */
	struct buf removed; /* ids whose spool file goes after the commit */
	int wal_pages; /* in the log after the last commit, and perhaps not written back */
	int log_pages; /* in the log after the last commit; 0: it begins anew */
	/* space.c */
	uint64_t log_room; /* octets that the log reaches past its last page */
	uint64_t allocated; /* octets that the database file has at least */
	int64_t pages; /* of the database, as of the transaction under way */
	bool log_short; /* less than half of log_room is left */
	bool shrinks; /* the database can give pages back */
	bool shrunk; /* it has, since the log was written back */

	/* Any thread. */
	_Atomic uint64_t last_id;
	atomic_bool low, spent,
			tight; /* tight: nearly low, what is not needed is given back */
	_Atomic uint64_t spare; /* octets of free pages in the database */
	atomic_int about_to_end;
	_Atomic uint64_t groups, jobs, submitted, had, failed, sync_us, broken;

	/* The store thread's desk: desk.c. */
	struct thread *thread;
	struct mailbox *inbox;
	atomic_bool stopping;
};

enum {
	SPOOL_KEEP_MS = 36 * 3600 * 1000, /* longer than any session can be */
	PRUNE_AT_ONCE = 200, /* messages */
	PRUNE_KEYS = 2000, /* of the ledger */
};

/* state.c: names, and being open */
/* Not `migrate`: only what is of our version already. */
bool state_open_db(struct store *s, bool migrate, struct err *e);
void names_init(struct names *n, enum sql find, enum sql add);
void names_forget(struct names *n);
bool names_id(struct store *s, struct names *n, struct span name, int64_t *id,
		struct err *e);

/* The work of each kind of job, inside a transaction. False: the database failed;
 * s->self.db.rc and *e say how. */
bool submit_do(struct store *s, struct submission *sub, struct err *e);
bool settle_do(struct store *s, struct settlement *set, struct err *e);
bool origins_do(struct store *s, struct store_job *job, struct err *e);
bool prune_do(struct store *s, struct pruning *p, struct err *e);
bool digest_do(struct store *s, struct notice_digest *d, struct err *e);
/* A notice about message `about`, or its count. */
bool notice_do(struct store *s, uint64_t about, int64_t now_ms, struct notice *n,
		struct err *e);

/* aliasstore.c */
bool alias_rule_put(struct store *s, const struct aliasstore_rule *rule, bool *added,
		struct err *e);

/* What is wrong with a submission before anything is asked of the database. */
bool submit_check(const struct submission *sub, struct err *e);

/* spool.c */
bool spool_sync(struct store *s, struct list *jobs);
void spool_unlink(const struct store *s, uint64_t id);
void spool_doubt(struct store *s, uint64_t id); /* spool_remove leaves it from now on */
bool spool_recover(struct store *s, struct store_recovery *found, int64_t now_ms,
		struct err *e);
/* Removes what no open message owns; counts it. */
bool spool_sweep(struct store *s, int64_t now_ms, uint64_t *removed, struct err *e);
int spool_open_at(int spool, uint64_t id);
uint64_t spool_last(int spool);

/* space.c */
bool space_start(struct store *s, struct err *e); /* when the database is open */
void space_opened(struct store *s); /* it was opened again */
/* Room in the log for so many octets of submissions, and what must stay free behind them.
 * False: there is none. */
bool space_for_group(struct store *s, uint64_t octets, size_t jobs);
/* In the transaction, at its end. `arriving`: it fails where the disk is full. */
bool space_before_commit(struct store *s, bool arriving, struct err *e);
/* After the answers, and when nothing is to do: the log into the database, the room
 * that settling needs, and free pages back to the disk. How many milliseconds until it
 * wants to be called again; -1: when something was done. */
int64_t space_tidy(struct store *s);
void space_write_back(
		struct store *s); /* the log into the database, as far as it can be */

/* group.c */
void group_run(struct store *s, struct list *jobs);
uint64_t group_octets(struct store_job *job); /* of what it brings, for the size of a group */
bool group_begin(struct store *s, struct err *e); /* for words that are no jobs */
bool group_end(struct store *s, bool good, struct err *e);

/* queue.c: several statements that see one moment; *ours when it was begun here. */
bool ask_snapshot(struct reader *r, bool *ours, struct err *e);
bool ask_snapshot_end(struct reader *r, bool ours, bool good);

#endif
