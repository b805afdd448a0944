/* state: what stands behind the doors of the store. */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include <dirent.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "db.h"
#include "postern/aliasstore.h"
#include "postern/buf.h"
#include "postern/map.h"
#include "postern/qid.h"
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

/* The steady clock: steady.c. */
struct steady {
	int64_t at_ms; /* what it shows */
	int64_t wall_ms, mono_ms; /* the others at the last look */
};

/* The database and what belongs to it, as they were when they were opened. */
enum { FILE_DATABASE, FILE_LOG, FILE_INDEX, FILES };
struct file_seen {
	dev_t dev;
	ino_t ino;
	bool seen;
};

struct store {
	struct reader self;
	char *path; /* of the database */
	int dir;
	const char *at; /* the directory's path, while the store is opened */
	struct file_seen files[FILES];
	bool fresh; /* there was no database before */
	enum store_trouble
			trouble; /* why it could not be opened, when rc does not tell */
	struct err over_err; /* once it is over */
	bool service;
	bool opened; /* for good */
	int64_t migrated_from; /* the older schema version that was found, or 0 */
	int busy_ms;
	_Atomic uint64_t min_free;
	struct names accounts, hops;
	int64_t hops_kept; /* rows that were left when the table was pruned last */
	struct mutex *lock; /* of the next two */
	struct buf doubtful; /* ids that a failed commit may have kept; any thread */
	struct store_health health; /* any thread */
	struct buf removed; /* ids whose spool file goes after the commit */
	struct mutex *steady_lock;
	struct steady steady; /* any thread, by steady_now */
	uint64_t ledger_end; /* keys of this id and before count no more */
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
	atomic_bool low, over, spent,
			tight; /* tight: nearly low, what is not needed is given back */
	_Atomic uint64_t spare; /* octets of free pages in the database */
	atomic_int about_to_end;
	_Atomic uint64_t groups, jobs, submitted, had, failed, sync_us;

	/* The store thread's desk: desk.c. */
	struct thread *thread;
	struct mailbox *inbox;
	atomic_bool stopping;
};

enum {
	SPOOL_KEEP_MS = 36 * 3600 * 1000, /* longer than any session can be */
	PRUNE_AT_ONCE = 200, /* messages */
	HOPS_MANY = 1000, /* new next hops before the table is pruned again */
	PRUNE_KEYS = 2000, /* of the ledger */
	LOOK_MS = 1000, /* at the files, while nothing is to be done */
};

/* An id that no message which arrived since then has. Ids begin with the time at which a
 * message began to come, and never go back. */
static inline int64_t
id_before(int64_t since_ms)
{
	int64_t began_ms = since_ms - SPOOL_KEEP_MS;

	return since_ms > SPOOL_KEEP_MS && since_ms < INT64_MAX >> 16
			? (began_ms << 16) - 1
			: -1;
}

/* steady.c */
/* Goes on to where the others are now; what it shows. */
int64_t steady_look(struct steady *t, int64_t wall_ms, int64_t mono_ms);
/* Reads, or begins, it as the state is opened. *away_ms: how far the wall clock is from where
 * it was when somebody looked last; 0 when nobody did. */
bool steady_open(struct store *s, int64_t wall_ms, int64_t *away_ms, struct err *e);
bool steady_put(struct store *s, struct err *e); /* in a transaction */
void steady_keep(struct store *s); /* in one of its own, if it can */
/* The highest id that is older than that, 0: none is known to be. */
bool steady_mark(struct store *s, int64_t age_ms, uint64_t *id, struct err *e);

/* database.c */
/* Not `migrate`: only what is of our version already. */
bool database_open(struct store *s, bool migrate, struct err *e);
/* Version and owner as this program knows them? */
bool database_schema(struct db *db, int64_t *version, struct err *e);
bool database_check(struct db *db, struct err *e); /* reads it through */

/* names.c */
void names_init(struct names *n, enum sql find, enum sql add);
void names_forget(struct names *n);
bool names_id(struct store *s, struct names *n, struct span name, int64_t *id,
		struct err *e);

/* The work of each kind of job, inside a transaction. False: the database failed;
 * s->self.db.rc and *e say how. */
bool submit_do(struct store *s, struct submission *sub, struct err *e);
bool settle_do(struct store *s, struct settlement *set, struct err *e);
bool damage_due(struct store *s, uint64_t id, int64_t now_ms, struct err *e);
bool origins_do(struct store *s, struct store_job *job, struct err *e);
bool prune_do(struct store *s, struct pruning *p, struct err *e);
bool retime_do(struct store *s, struct retiming *t, struct err *e);
bool digest_do(struct store *s, struct notice_digest *d, struct err *e);
/* A notice about message `about`, or its count. */
bool notice_do(struct store *s, uint64_t about, int64_t now_ms, struct notice *n,
		struct err *e);

/* aliasstore.c */
bool alias_rule_put(struct store *s, const struct aliasstore_rule *rule, bool *added,
		struct err *e);

/* What is wrong with a submission before anything is asked of the database. */
bool submit_check(const struct submission *sub, struct err *e);

/* spool_sweep.c */
bool spool_recover(struct store *s, struct store_recovery *found, int64_t now_ms,
		struct err *e);
/* Removes what no open message owns; counts it. starting: no session of the service lives. */
bool spool_sweep(struct store *s, bool starting, uint64_t *removed, struct err *e);

/* spool.c */
bool spool_sync(struct store *s, struct list *jobs, struct err *e);
void spool_unlink(const struct store *s, uint64_t id);
void spool_doubt(struct store *s, uint64_t id); /* spool_remove leaves it from now on */
/* For reading; -1 and *e. Its event is EVENT_BODY_DAMAGED when there is none, or (open_body) it has
 * not that size. */
int spool_open_any(int spool, uint64_t id, uint64_t *size, struct err *e);
int spool_open_body(int spool, uint64_t id, uint64_t size, struct err *e);
/* The highest id that a file there is named by, 0 when there is none. */
bool spool_last(int spool, uint64_t *last, struct err *e);
DIR *spool_entries(int spool); /* NULL: errno */
/* The next file that is a body's; false: there are no more. */
bool spool_next(DIR *d, uint64_t *id, char name[QID_SIZE]);

/* place.c */
enum place {
	PLACE_KEPT, /* there is a database */
	PLACE_NEW, /* there is none, or an empty one, and never was */
	PLACE_LOST, /* there was one: *e says what tells so */
	PLACE_UNKNOWN, /* it cannot be looked at: *e */
};
enum place place_look(int dir, const char *path, off_t *size, struct err *e);
/* The same of a database that is `how`, from what lies beside it: not PLACE_KEPT. */
enum place place_beside(int dir, const char *path, const char *how, struct err *e);
bool place_make(struct store *s, const char *path, off_t *size, bool *unclean,
		struct err *e);
void place_mark(int dir);
/* The database is to be read through at the next start, for damage was seen. */
void place_suspect(int dir);
bool place_suspected(int dir);
void place_cleared(int dir);

/* files.c */
void files_note(struct store *s); /* those that were just opened are ours */
bool files_save(struct store *s); /* all that is in the log into the database */
/* Of the log that was opened; -1: its name is gone, or another's (files_ours tells). */
int64_t files_log_size(const struct store *s);
/* A descriptor of it for writing, beside SQLite's, which holds no lock on it that closing this
 * one would end; -1: likewise, or it cannot be had. */
int files_log_open(const struct store *s);
bool files_same(struct store *s); /* the database is still the one that was opened */
/* False: somebody has removed or replaced the log or its index. All of it was written into
 * the database then and the store is over; or it could not be, and *e says why. */
bool files_ours(struct store *s, struct err *e);
bool files_there(struct store *s); /* the same without doing anything about it */

/* space.c */
uint64_t space_log_used(const struct store *s);
void space_log_look(struct store *s); /* how much of its room is left */
bool space_start(struct store *s, struct err *e); /* when the database is open */
void space_opened(struct store *s); /* it was opened again */
/* Room in the log for so many octets of submissions, and what must stay free behind them.
 * False: there is none. The database is open, and its files were looked at. */
bool space_for_group(struct store *s, uint64_t octets, size_t jobs);
/* In the transaction, at its end. `arriving`: it fails where the disk is full. */
bool space_before_commit(struct store *s, bool arriving, struct err *e);
void space_write_back(
		struct store *s); /* the log into the database, as far as it can be */

/* space_tidy.c */
/* After the answers, and when nothing is to do: a look at the files, then the log into the
 * database, the room that settling needs, and free pages back to the disk. How many
 * milliseconds until it wants to be called again; -1: when something was done. */
int64_t space_tidy(struct store *s);

/* transaction.c */
/* At the files, while nothing is under way. False: they are not to be gone on with. */
bool transaction_look(struct store *s);
/* The database is open, and its files are ours: before that nothing is asked of them. */
bool transaction_ready(struct store *s, struct err *e);
bool transaction_begin(struct store *s, struct err *e);
/* One sync. `arriving`: there is new mail in it. */
bool transaction_commit(struct store *s, bool arriving, struct err *e);
void transaction_undo(struct store *s); /* db.rc stays what it was */
/* For words that are no jobs: commits what is good, and undoes the rest. */
bool transaction_end(struct store *s, bool good, struct err *e);
/* A statement without values. */
bool transaction_word(
		struct store *s, enum sql which, const char *doing, struct err *e);
/* Nothing that this connection says counts any more. */
bool transaction_distrusts(enum store_trouble t);
void transaction_reopen(struct store *s); /* quietly; the next one tries again */
/* What everybody is to know of the state. */
void transaction_feel(struct store *s, enum store_trouble t, const struct err *e);

/* group.c */
void group_run(struct store *s, struct list *jobs);
uint64_t group_octets(
		struct store_job *job); /* of what it brings, for the size of a group */

/* queue.c: several statements that see one moment; *ours when it was begun here. */
bool ask_snapshot(struct reader *r, bool *ours, struct err *e);
bool ask_snapshot_end(struct reader *r, bool ours, bool good);

#endif
