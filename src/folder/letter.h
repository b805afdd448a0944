/* letter: message files, and batches of them that become visible together. */
#ifndef FOLDER_LETTER_H
#define FOLDER_LETTER_H

#include <stdint.h>
#include <sys/types.h>

#include "postern/drop.h"

/* Events of a struct err. One without an event is the folder's, too: whoever writes a
 * batch says 5107 of it, once. EVENT_DATABASE_TROUBLE: it is the message that fails. */

/* A folder could not be read, cleaned or synced: gives *err, filled below, its event (NULL
 * is welcome). Always false. */
bool folder_fault(struct err *err);

/* Writes the message without its first `skip` octets. */
bool letter_copy(
		int to, const struct letter_body *body, uint64_t skip, struct err *err);
/* The first octets of the message; how many there were. */
size_t letter_peek(const struct letter_body *body, char *out, size_t n);

/* Files that are written under one name and get another when all of the batch
 * is on disk. Names are below `dir`; `home` is the directory they end in.
 *
 * A batch may have to be synced before its owner asks for it: batch_flush. What that
 * fails for is remembered: nothing more goes into the batch, and the owner's own
 * batch_sync, which speaks for all of its messages, fails too. */
struct batch {
	int dir, home;
	dev_t dev;
	ino_t ino; /* of dir */
	struct batch_file {
		char *tmp, *name;
	} * files;
	size_t n, cap;
	bool renamed; /* home is to be synced */
	bool failed; /* some of the batch is not on disk; err says why */
	struct err err;
};

enum { BATCH_FEW = 3 }; /* more than that are synced by syncfs */

/* Makes the directory unless it is there, and opens it for an empty batch: as dir and
 * as home. False: dir is -1. */
bool batch_open(struct batch *b, const char *path, struct err *err);
/* Closes what is open and removes what has not got its name. */
void batch_close(struct batch *b);
/* Creates the file to be written, empty, mode 0600; -1 and *err, also when the batch
 * has failed. An old one of that name is gone. */
int batch_create(const struct batch *b, const char *tmp, struct err *err);
void batch_add(struct batch *b, const char *tmp, const char *name);
/* False and *err when the batch has failed already. */
bool batch_sound(const struct batch *b, struct err *err);
/* Sets it to failed for that reason and removes what has not got its name. */
void batch_fail(struct batch *b, const struct err *err);
/* The three steps of making a batch durable: contents, names, directories. */
bool batch_sync_files(const struct batch *b, bool whole, struct err *err);
bool batch_rename(struct batch *b, struct err *err);
bool batch_sync_home(struct batch *b, struct err *err);
/* All of them, in the middle of a batch; it goes on empty, or failed. */
bool batch_flush(struct batch *b, struct err *err);
/* The same at its end: false also when it failed before. The next one begins, empty. */
bool batch_sync(struct batch *b, struct err *err);
/* Takes the files from number n on out of the batch again. */
void batch_cut(struct batch *b, size_t n);
/* Removes files of dir named ".*.tmp" that are older than that by the steady clock and by
 * the wall's, since they have their time from the one or the other: where one of them
 * jumped, somebody may still write to them. One of the future is young from now on. */
void batch_sweep(int dir, int64_t steady_s, int64_t age_s);

#endif
