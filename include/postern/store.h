/* store: the durable state of this machine. SQL and transactions stay behind
 * this door and its neighbours: queue.h (due, attempts, questions), body.h
 * (reading messages), origin.h (what was collected), policystore.h (recipient
 * policies). A second driver may stand behind the same doors.
 *
 * The life of a message. "Crash" is what a kill or power cut in that state leaves.
 *
 *	state      on disk                             moved on by             crash
 *	---------  ----------------------------------  ----------------------  -------------------------------
 *	receiving  nothing, or a part of spool/QUEUEID store_port_submit       a spool file without a row: swept
 *	           (bodies over BODY_BLOB_MAX)                                 at start; a visitor's once older
 *	                                                                       than any session can be
 *	synced     spool/QUEUEID whole and synced,     the COMMIT of its       the same; the sender has no 250
 *	           its directory entry too             group                   and sends again
 *	queued     message, body, recipients, origin   queue_due: a lease in   found again by queue_due; a second
 *	           in one transaction; 250 may be      memory, nothing on      submission of the origin is
 *	           said from here on                   disk                    answered "had it"
 *	leased     as queued                           STORE_SETTLE with the   attempted again: names in Drop and
 *	                                               answers of the attempt  Maildir come from the queue id
 *	deferred   as queued; next try, attempts and   queue_due when its      found again by queue_due
 *	           last reply in the recipient         time has come
 *	refused,   as queued; no attempt is made any   STORE_SETTLE with       written to Badmail again, under
 *	bounced    more, Badmail is to be written      QUEUE_BADMAIL           the same name
 *	           what a postmaster is told of
 *	           the failure (notice.h) came in
 *	           the same transaction
 *	damaged    the body is gone, cut or altered    STORE_SETTLE with how    the same; found again when it is read,
 *	           (body.h): seen when it is read for  (queue.h): bounced,      by its size at start, and after a crash
 *	           delivery, before its end goes out   the origin forgotten     by its digest (the newest files)
 *	                                               where the provider
 *	                                               still has the message
 *	held       as queued, one recipient without    queue_assign: that row  the same; nothing expires it and
 *	           address (QUEUE_HELD, "unrouted")    settled, a queued one   no retry makes it due
 *	                                               beside it, at once
 *	settled    last recipient delivered, in        (STORE_SETTLE did it)   body row gone in the same
 *	           Badmail or removed: no body row;                            transaction; a spool file still
 *	           message, recipients and attempts                            there is unlinked at start
 *	           stay as history
 *	duplicate  as settled, from the start: every   (STORE_SUBMIT did it)   the same: no body row was ever
 *	           recipient had the mail before.                              written
 *	           Origin too: it is deleted at the
 *	           provider like any other
 *	pruned     nothing                             STORE_PRUNE             nothing
 *
 * An origin (account, UIDL) has a life of its own: see origin.h.
 *
 * The ledger holds a key for each recipient of a collected message and the queue id of
 * the first message that had it. The key is looked up and entered in the transaction
 * of the message: two copies in one group, or in one message, meet there like any
 * others, and a crash leaves a key exactly when it leaves its message. A key older than
 * STORE_LEDGER_MS counts as none and is renewed by the next copy; STORE_PRUNE removes it.
 * So does one whose recipient did not get the mail after all (bounced, in Badmail,
 * removed by somebody, its body lost): the next copy is an attempt of its own, since a
 * mail twice is better than a mail that is nowhere. One that is still on its way, or held
 * by somebody's word, counts: it is here, and what becomes of it is told.
 *
 * The steady clock. What is kept for a time (history, ledger, origins, Badmail, evidence) is
 * judged by a clock of the state's own, since the wall clock may jump. It passes with
 * monotonic time while somebody holds the state; of the time between two runs it counts what
 * the wall clock says, at most a day; it never jumps. Towards the wall clock it
 * goes by an eighth of the time that passes. So a clock that is wrong for a while ages nothing by more than a
 * day, and one that is right is followed exactly.
 *
 * Threads. A struct store belongs to the thread that opened it, until
 * store_start gives it to the store thread; from then on only the functions
 * below that say "any thread" may be called, and jobs go through a port. Without
 * store_start (the words of the command line, tests) store_run does the same
 * work in the calling thread, so every word acts with and without a service.
 *
 * Errors carry event 9005 (damaged, unreadable, locked, full, not migrated: the words tell
 * which) or 9015 (its files were removed or replaced while in use).
 *
 * The log of the database (postern.db-wal) and its index (-shm) are looked at before each
 * group, after its commit, and once a second while nothing is to be done. One that was
 * removed or replaced would take with it what was answered: while this connection still
 * has it open, all of it is written into postern.db, and the store is over. */
#ifndef POSTERN_STORE_H
#define POSTERN_STORE_H

#include <stdint.h>

#include "postern/err.h"
#include "postern/list.h"
#include "postern/span.h"

enum {
	/* Bodies up to this are handed over in memory and stored as blobs in the
	 * transaction; larger ones go to the spool. Why: see src/store/spool.c. */
	BODY_BLOB_MAX = 64 * 1024,
	STORE_ROUTE_MAX = 64 * 1024, /* octets of a route record */
	STORE_NAME_MAX = 255, /* octets of an account's name */
	STORE_UIDL_MAX = 255,
	STORE_RECIPIENTS_MAX = 65536, /* recipients of one message */
	STORE_KEY_SIZE = 16, /* octets of a key in the ledger */
	STORE_SECRET_SIZE = 32,
	STORE_SCHEMA = 6, /* the version of the database's schema */
};

/* How long a copy of a message is known (RECIPIENTS E7). Copies of one mail come within
 * hours; what comes later was held back somewhere, and mail servers give up on that
 * after five days, some after ten. Longer would only keep more rows. */
#define STORE_LEDGER_MS (INT64_C(14) * 24 * 3600 * 1000)

/* How long history can be kept. */
#define STORE_HISTORY_MS (INT64_C(40) * 24 * 3600 * 1000)

/* ---- trouble ---- */

/* What keeps the database from its work. */
enum store_trouble {
	STORE_SOUND,
	STORE_DISK_FULL, /* passes when there is room */
	STORE_LOCKED, /* another program holds it; passes when that one lets go */
	STORE_DISK_FAILS, /* a read, a write or a sync failed */
	STORE_DAMAGED, /* it holds nonsense, or is missing beside a state that was in use */
	STORE_MOVED, /* its files were removed or replaced while in use */
};

/* ---- opening ---- */

struct store_options {
	/* This is the service itself, holding the lock of the state directory:
	 * recover after a crash and sweep the spool. Else: a visitor. */
	bool service;
	uint64_t min_free; /* octets: below this the disk counts as low */
	int busy_ms; /* how long to wait for another writer; 0: 10 s */
	int64_t now_ms;
};

/* What the service found at its start, for event 1004. */
struct store_recovery {
	int64_t migrated_from; /* the older schema version it had, or 0; for visitors too */
	bool unclean; /* the last service did not close the state */
	uint64_t queued; /* messages with recipients still open */
	uint64_t resumed; /* spool files of settled messages or broken sessions removed */
	uint64_t verified; /* spool files of open messages found whole */
	int64_t away_ms; /* the wall clock moved so far since the last run; 0: the first */
	uint64_t damaged; /* gone, cut or altered: due at once, for Badmail (body.h) */
	enum store_trouble trouble; /* why it could not be opened */
};

struct store;

/* Opens the state in `dir` for writing; what is missing is made (modes 0700,
 * 0600), an older schema is migrated in one transaction. NULL and *e when the
 * state is damaged, of a newer version, locked for too long, or when the database is
 * missing or empty beside a state that was in use (its spool holds mail, or the file
 * postern.made says that there was one). found may be NULL; it is filled for a service
 * only, but for `trouble`. */
struct store *store_open(const char *dir, const struct store_options *o,
		struct store_recovery *found, struct err *e);
/* Ends the store thread if there is one (jobs handed over are done first),
 * writes the log back and closes. Take the completions before: see store_stop. */
void store_close(struct store *s);

/* A connection that only reads, for one thread at a time; any number of them, in any
 * process, beside the writer. Never made before a fork and used after it. */
struct reader;

/* For those who know that there is a state: NULL and *e when there is none, too. */
struct reader *reader_open(const char *dir, struct err *e);
/* For those who may come before the first service: NULL and *none when there is no state
 * yet, which is so when the database or its directory does not exist and nothing tells
 * that it did. Else NULL and *e: it is there and cannot be read. */
struct reader *reader_find(const char *dir, bool *none, struct err *e);
/* Reads the whole database through: false and *e when it is damaged. */
bool reader_check(struct reader *r, struct err *e);
void reader_close(struct reader *r);
/* The reading side of a store that has not been started. Belongs to the store. */
struct reader *store_reader(struct store *s);

/* A secret of this state by its name ("loop"): random octets, made when the first
 * service opened it, the same ever since. */
bool store_secret(struct reader *r, const char *name, uint8_t out[STORE_SECRET_SIZE],
		struct err *e);

/* ---- the steady clock ---- */

/* In milliseconds since 1970, like the wall clock's; any thread. */
int64_t store_steady_ms(struct store *s);
/* The same for who only reads: within an hour of it, whatever the clock did. */
bool reader_steady_ms(struct reader *r, int64_t *out, struct err *e);

/* ---- queue ids; any thread ---- */

/* Unique for ever and rising: max(last + 1, now_ms << 16), also across restarts and
 * clocks set back: so an id's time is never before the clock's when it was made, but may be
 * after it. A visitor's ids have bit 15 set, the service's have not, so that they
 * never meet. */
uint64_t store_new_id(struct store *s, int64_t now_ms);

/* ---- jobs ---- */

enum store_work {
	STORE_SUBMIT, /* struct submission */
	STORE_SETTLE, /* struct settlement, queue.h */
	STORE_ORIGINS, /* struct origin_change, origin.h */
	STORE_POLLED, /* struct poll_result, origin.h */
	STORE_PRUNE, /* struct pruning */
	STORE_RETIME, /* struct retiming */
	STORE_DIGEST, /* struct notice_digest, notice.h */
};

enum store_result {
	STORE_DONE, /* durable */
	STORE_HAD, /* submit: this origin was committed before; nothing was queued */
	STORE_FULL, /* no room: 452 4.3.1; nothing changed */
	STORE_BUSY, /* another program holds the database: 451 4.3.0; nothing changed */
	STORE_FAILED, /* err says why: 451 4.3.0; nothing changed */
};

/* The head of every job. The job and all that it points to belong to the store
 * from the hand-over until it is taken back, and to the caller otherwise. */
struct store_job {
	struct list link;
	enum store_work work;
	enum store_result result; /* set by the store */
	struct err err; /* for STORE_FULL, STORE_BUSY and STORE_FAILED */
	enum store_trouble trouble; /* STORE_SOUND: the job itself was at fault */
	/* Of whoever hands jobs over and takes them back for others; the store calls it never. */
	void (*done)(void *host, struct store_job *job);
	void *host;
	/* the store's own: */
	struct store_port *port;
	bool decided;
};

enum queue_state {
	/* open: queue_due finds them */
	QUEUE_QUEUED, /* to be delivered */
	QUEUE_REFUSED, /* refused at RCPT, or nobody found: Badmail is to be written */
	QUEUE_BOUNCED, /* failed for good: Badmail is to be written */
	/* open: waits for somebody's word */
	QUEUE_HELD,
	/* settled */
	QUEUE_DELIVERED,
	QUEUE_BADMAIL, /* stands in Badmail */
	QUEUE_REMOVED, /* by the administrator */
	QUEUE_DUPLICATE, /* the recipient had this mail before: the ledger */
};

const char *queue_state_name(enum queue_state s); /* "queued" "refused" ... */
bool queue_state_parse(struct span name, enum queue_state *out);

struct submission_recipient {
	struct span address; /* wire form, without <>; empty only for "nobody" */
	struct span hop; /* key of the next hop, any words of the relay's; for refused ones too */
	enum queue_state state; /* QUEUE_QUEUED, QUEUE_REFUSED or QUEUE_HELD */
	int code; /* the reply so far, 0: none */
	struct span reply; /* "5.7.1 Unable to relay for X" */
	struct span reason; /* for Badmail: "relay-denied", "no-recipients"...; may be empty */
	struct span asked; /* the address that was asked for, when it led to another; or empty */
	bool asked_list; /* it was that of a list */
	/* Its key in the ledger, STORE_KEY_SIZE octets; empty: copies do not matter. A
	 * QUEUE_QUEUED recipient whose key is there already becomes QUEUE_DUPLICATE, else
	 * the key is entered. A QUEUE_REFUSED one is looked up only. */
	struct span key;
};

enum {
	MESSAGE_8BIT = 1, /* octets over 127 */
	MESSAGE_BARE = 2, /* a CR or LF that is not CRLF, or a NUL: E15 */
	MESSAGE_UTF8 = 4, /* SMTPUTF8 was asked for */
	MESSAGE_SPOOLED = 8, /* the store's own */
	MESSAGE_NOTICE =
			16, /* written here, about another one: nothing is written about it */
	/* It came from who may not relay: each recipient was taken because of a policy, and
	 * waits when that is not so any more (5010). */
	MESSAGE_POLICY = 32,
};

/* A message to be made durable: one transaction holds body, recipients, route
 * record and origin. At least one recipient; a collected message for nobody has
 * one with an empty address, QUEUE_REFUSED or QUEUE_HELD, and its reason. */
struct sum;

struct submission {
	struct store_job job;
	uint64_t id; /* from store_new_id; unchanged by the store */
	uint64_t had; /* STORE_HAD: the queue id under which it was committed */
	struct span account, uidl; /* the origin; account empty: it has none */
	/* Instead of these: the name of a Pickup file in the work area. As an origin it keeps the
	 * file from being queued twice (ORIGIN_CLAIMS); the message is of no account. */
	struct span claim;
	uint64_t print; /* kept with the origin: see origin.h; 0: none */
	struct span source; /* "pop.isp.test [192.0.2.1]" or the client, for trace */
	struct span sender; /* empty: null sender */
	struct span message_id; /* with its <>; may be empty */
	int64_t arrived_ms;
	unsigned flags; /* MESSAGE_8BIT ... */
	struct span top; /* what stands before the body: Received and the like */
	struct span body; /* the octets as they came, when spool_fd is -1 */
	int spool_fd; /* from spool_create, or -1; stays the caller's to close after */
	uint64_t spool_size; /* octets written to it */
	const struct sum *
			spool_sum; /* of these; the caller's. NULL: it is never checked */
	struct span route; /* JSON, at most STORE_ROUTE_MAX; may be empty */
	const struct submission_recipient *recipients;
	size_t n;
	/* Set by the store with STORE_DONE, one for each recipient: the queue id of the
	 * first copy where it became QUEUE_DUPLICATE, else 0. NULL: no recipient has a key. */
	uint64_t *copy_of;
};

/* Forgets history of settled messages, and keys of the ledger, that are older than keep_ms
 * by the steady clock (a bounded number of them: more tells to come again), sweeps the spool and makes
 * the steady clock durable. The newest message always stays, since ids continue from it. */
struct pruning {
	struct store_job job;
	int64_t keep_ms; /* history; at most STORE_HISTORY_MS */
	uint64_t pruned;
	bool more;
};

/* What is to be tried again later than latest_ms is tried then: the clock went back, or
 * what it waited for has come. */
struct retiming {
	struct store_job job;
	struct span hop; /* only what is for this next hop; empty: all */
	int64_t latest_ms;
	uint64_t changed;
};

/* Does the jobs on the list as one group, in this thread: one transaction, one
 * sync. For a store that was not started. Each job carries its own result; a
 * job that fails does not fail the others. The list keeps its order. */
void store_run(struct store *s, struct list *jobs);

/* ---- the store thread ---- */

/* Starts it; s belongs to it from now on. */
bool store_start(struct store *s, struct err *e);
/* Ends it after everything handed over has been done. Completions can still be
 * taken from the ports. */
void store_stop(struct store *s);

/* Where one thread hands jobs over and gets them back. */
struct store_port;

/* wake is called on the store thread when completions have come and all earlier ones had
 * been taken. It only pokes the owner's loop: it must not wait, nor call store_port_*. Made
 * by the owner. */
struct store_port *store_port_new(struct store *s, void (*wake)(void *arg), void *arg);
/* Only with nothing handed over and nothing to take. */
void store_port_free(struct store_port *p);
/* Hands over all jobs on the list (it is empty afterwards). They are done in
 * this order; all that wait share one group, whatever port they came by. */
void store_port_submit(struct store_port *p, struct list *jobs);
/* Appends the jobs that are done to `done`, in the order of hand-over. */
void store_port_take(struct store_port *p, struct list *done);

/* Any thread. The relay adds 1 when a transaction is known to end soon (its last
 * octets are on the way in) and -1 when it has been handed over or dropped. While
 * the count is not zero the store may wait for them, up to 30 % of the time that a
 * sync takes here; a lone message never waits. */
void store_about_to_end(struct store *s, int change);
/* Any thread: another min_free from now on. */
void store_min_free(struct store *s, uint64_t octets);
/* Any thread: less room than min_free, free pages of the database counted. New mail should
 * be put off (452 4.3.1), deliveries go on: what settling them needs was allocated before
 * (src/store/space.c). As of the last group or store_space_look. */
bool store_space_low(struct store *s);
bool store_space_look(struct store *s); /* looks now */
/* Any thread: the room that is set aside for settlements could not be had, or is used up. What
 * is attempted now might not be recorded, so nothing should be begun. Low too, then. */
bool store_space_spent(struct store *s);

struct store_counters {
	uint64_t groups; /* transactions committed, each one sync of the log */
	uint64_t jobs; /* jobs done in them */
	uint64_t submitted, had, failed;
	uint64_t sync_us; /* what a commit takes, smoothed */
};

struct store_counters store_count(struct store *s); /* any thread */

/* How the last group ended. */
struct store_health {
	enum store_trouble trouble;
	/* Groups in a row that a failing disk or a damaged or moved database spoiled. */
	uint64_t broken;
	/* This store does nothing any more: only a new process may open it again. */
	bool over;
	struct err err; /* unless STORE_SOUND */
};

struct store_health store_health(struct store *s); /* any thread */

/* ---- spool files while they are received; any thread ---- */

/* Makes spool/QUEUEID for writing, close-on-exec; -1 and *e. */
int spool_create(struct store *s, uint64_t id, struct err *e);
/* Writes all of it at its end, and has the disk begin early so that the sync at
 * the commit finds little to do. `written` counts the octets so far. */
bool spool_write(int fd, struct span bytes, uint64_t *written, struct err *e);
/* Removes the file of a submission that is not going to be handed over, or was and is
 * not STORE_DONE. One whose commit failed in a way that may yet turn out to be whole
 * (a failed sync) is left to the sweep all the same. The fd stays the caller's. */
void spool_remove(struct store *s, uint64_t id);

#endif
