/* letter: message files, and batches of them that become visible together. */
#ifndef FOLDER_LETTER_H
#define FOLDER_LETTER_H

#include <stdint.h>
#include <sys/types.h>

#include "postern/drop.h"

/* Writes the message without its first `skip` octets. */
bool letter_copy(
		int to, const struct letter_body *body, uint64_t skip, struct err *err);
/* The first octets of the message; how many there were. */
size_t letter_peek(const struct letter_body *body, char *out, size_t n);

/* Files that are written under one name and get another when all of the batch
 * is on disk. Names are below `dir`; `home` is the directory they end in. */
struct batch {
	int dir, home;
	dev_t dev;
	struct batch_file {
		char *tmp, *name;
	} * files;
	size_t n, cap;
	bool renamed; /* home is to be synced */
	bool fresh; /* home itself is new in its maildir */
};

enum { BATCH_FEW = 3 }; /* more than that are synced by syncfs */

/* Makes the directory unless it is there, and opens it for an empty batch: as dir and
 * as home. False: dir is -1. */
bool batch_open(struct batch *b, const char *path, struct err *err);
/* Creates the file to be written, empty, mode 0600; -1 and *err. An old one of
 * that name is gone. */
int batch_create(const struct batch *b, const char *tmp, struct err *err);
void batch_add(struct batch *b, const char *tmp, const char *name);
/* The three steps of making a batch durable: contents, names, directory. */
bool batch_sync_files(const struct batch *b, bool whole, struct err *err);
bool batch_rename(struct batch *b, struct err *err);
bool batch_sync_home(struct batch *b, struct err *err);
/* All of them; the batch is empty afterwards, come what may. */
bool batch_sync(struct batch *b, struct err *err);
void batch_drop(struct batch *b); /* removes what has not got its name; empty again */
/* Takes the files from number n on out of the batch again. */
void batch_cut(struct batch *b, size_t n);
/* Removes files of dir that begin with '.' (all: any) and are older than that. */
void batch_sweep(int dir, bool all, int64_t age_s);

#endif
