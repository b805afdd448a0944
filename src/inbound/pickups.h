/* Pickup: the loop's side (pickups.c) and the thread that reads files (picked.c). */
#ifndef INBOUND_PICKUPS_H
#define INBOUND_PICKUPS_H

#include "mail.h"
#include "postern/badmail.h"
#include "postern/intake.h"
#include "postern/pickup.h"
#include "postern/smtp_body.h"
#include "postern/thread.h"
#include "postern/trace.h"

enum {
	PICKUP_SLICE = 64, /* files in hand at one time */
};

enum picked_task {
	PICKED_LOOK, /* to the thread: take some; back with what came of it */
	PICKED_MAIL, /* from the thread: a message to be queued */
	PICKED_QUEUED, /* to the thread: it is durable, remove the file */
	PICKED_REMOVED, /* from the thread: and so it was */
	PICKED_END,
};

/* One file, or one look, on its way between loop and thread. */
struct picked {
	struct list link;
	enum picked_task task;

	/* a file */
	struct claim claim;
	struct arena arena; /* the spans of file */
	struct buf head; /* the file's own head, for as long as it is read */
	struct pickup file;
	struct buf body; /* the message, or its beginning when it is spooled */
	struct trace_hop_count hops;
	struct heading heading;
	struct buf gather; /* on its way to the spool */
	struct sum *sum; /* of what was written to it; NULL: nothing */
	struct smtp_scan scan;
	uint64_t id; /* of the spool file */
	int spool_fd;
	uint64_t spool_size;
	bool removed; /* PICKED_REMOVED: for good */

	/* a look, by the configuration as it is now */
	bool again; /* the work area, too */
	bool badmail_enabled;
	uint64_t max_size;
	char *hostname;
	struct intake_look look;
	bool failed; /* something is to be tried again later */
	unsigned badmail, badmail_failed; /* files that went there, or could not */
};

struct pickups {
	struct inbound *in;
	struct thread *thread;
	struct mailbox *to_thread, *from_thread;
	struct loop_wake *bell;
	char *path, *work, *badmail_path;

	/* the loop's */
	int watch_fd;
	struct loop_watch *watch;
	struct loop_timer *timer;
	bool looking; /* a look is with the thread */
	bool news; /* the folder changed since */
	bool more; /* its pass is not over */
	bool again; /* the next look begins with the work area */
	bool passed; /* one pass is over */
	bool waiting; /* there are files that are not ready yet */
	bool slice; /* between a look and the end of what it brought */
	int64_t ready_ms; /* when they may be */
	size_t in_hand; /* files between thread, loop and store */
	int64_t again_at_ms, give_up_ms;

	int leaving; /* set by the loop, atomically: what is not read yet waits */

	/* the thread's */
	struct intake *intake;
	struct badmail *badmail;
};

/* ---- pickups.c ---- */
struct pickups *pickups_new(struct inbound *in, struct err *err);
void pickups_start(struct pickups *w); /* looks what lies there */
/* No more files: those that are not read yet wait for the next start. */
void pickups_leave(struct pickups *w);
void pickups_stop(
		struct pickups *w); /* ends the thread; what the store has comes back */
void pickups_free(struct pickups *w);
bool pickups_quiet(
		const struct pickups *w); /* nothing in hand; `once`: nothing to come */

/* ---- picked.c ---- */
struct picked *picked_new(enum picked_task task);
void picked_free(struct picked *p);
void picked_thread(void *arg); /* struct pickups */

#endif
