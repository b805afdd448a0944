/* intake: the Pickup folder as a directory: which files may be taken, and the taking.
 *
 * A file is taken by renaming it into the work area, a directory of ours on the same
 * file system, as QUEUEID.NAME. That name is what it is known by from then on (a
 * claim): whatever crashes, a file in the work area comes again under it.
 *
 *	state     on disk                               moved on by         crash
 *	--------  ------------------------------------  ------------------  --------------------
 *	lying     the file in Pickup                    intake_take         nothing
 *	claimed   the file in the work area, both       the commit of its   comes again at start
 *	          directories synced                    message, or Badmail
 *	queued    the same, and the claim is an origin  intake_remove and   comes again, and is
 *	          (ORIGIN_CLAIMS), or an item lies in   intake_sync         had already; the item
 *	          Badmail                                                   has the same name
 *	removed   the origin alone                      ORIGIN_ACT_UNCLAIM  forgotten at start
 *
 * Taken are regular files with one name, of our own user or root, that their owner may
 * write to, once nobody has written to them for two seconds or has them open for it.
 * Names that begin with a dot are passed over: so others name what is not ready yet. All
 * else stays as it is, and 5102 tells of it once. Belongs to one thread. */
#ifndef POSTERN_INTAKE_H
#define POSTERN_INTAKE_H

#include <limits.h>
#include <stdint.h>

#include "postern/err.h"
#include "postern/span.h"

struct intake;

struct intake_options {
	const char *path; /* Pickup */
	const char *work; /* the work area */
	uint64_t max_size; /* octets; larger ones are left alone; 0: no limit */
	uint64_t (*new_id)(void *host); /* for the next claim; never the same twice */
	void *host;
};

struct claim {
	int fd; /* open for reading, at its start; the taker's */
	uint64_t id; /* the number in its name */
	uint64_t size;
	char name[NAME_MAX + 1]; /* in the work area */
	char file[NAME_MAX + 1]; /* in Pickup; a long one may have lost its end */
};

/* Makes both directories (0700) unless they are there; NULL and *err where the work
 * area cannot be had. The paths are copied. */
struct intake *intake_open(const struct intake_options *o, struct err *err);
void intake_limit(struct intake *in, uint64_t max_size); /* another one from now on */
void intake_close(struct intake *in); /* NULL is welcome */

struct intake_look {
	bool more; /* the pass is not over: there may be more to take at once */
	int64_t wait_ms; /* files that are not ready yet may be then; 0: there are none */
};

/* Goes on with the pass through work area (if it is due) and folder, and claims up to
 * `most` files; how many. What was claimed survives a power cut. Events 5102, 5105. */
size_t intake_take(struct intake *in, struct claim *out, size_t most,
		struct intake_look *look);
/* The next pass goes through the work area first, as the very first one does. Only
 * when none of the files in it is in hand. */
void intake_again(struct intake *in);
/* A claimed file is done with. False, and 5102: it cannot be removed. */
bool intake_remove(struct intake *in, const struct claim *c);
/* Back to where it came from, and not looked at again until it changes; 5102 with why. */
void intake_put_back(struct intake *in, const struct claim *c, const char *why);
/* What was removed stays removed. */
bool intake_sync(struct intake *in, struct err *err);

#endif
