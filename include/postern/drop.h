/* drop: local deliveries as files of a folder, QUEUEID.eml.
 *
 * A file holds `X-Sender:`, one `X-Receiver:` per recipient, then the message
 * byte for byte (SPEC section 6, E16). It appears whole or not at all: it is
 * written under another name, synced, renamed, and the folder synced. The name
 * comes from the queue id, so a repeated attempt gives the same file; when a
 * file of that name is still there, its receivers are kept and joined.
 *
 * A batch: drop_write for each message, then one drop_sync; only then may the
 * store settle them. Belongs to one thread. */
#ifndef POSTERN_DROP_H
#define POSTERN_DROP_H

#include <stdint.h>

#include "postern/err.h"
#include "postern/span.h"

struct drop;

/* A message as it is to be delivered: the parts in memory (trace lines, header,
 * a body kept as blob), then fd_size bytes of fd from fd_at on. */
struct letter_body {
	const struct span *parts;
	size_t n_parts;
	int fd; /* < 0: none; stays the caller's */
	uint64_t fd_at;
	uint64_t fd_size;
	const uint8_t *fd_sum; /* SUM_SIZE, of these octets (sum.h); NULL: not known */
};

struct letter {
	uint64_t qid;
	struct span sender; /* empty: the null sender */
	const struct span *recipients;
	size_t n_recipients;
	int64_t steady_ms; /* by the store's steady clock: for drop_open; 0: not known */
	struct letter_body body;
};

/* Makes the folder (0700) unless it is there. Left-overs of a crash that are older than an
 * hour by the store's steady clock and by the wall's are removed; steady_ms 0: none is. */
struct drop *drop_open(const char *path, int64_t steady_ms, struct err *err);
/* false: this message is not in the batch. */
bool drop_write(struct drop *d, const struct letter *letter, struct err *err);
/* Makes the batch durable and visible. false: none of it may be settled; all of
 * it is to be written again. An empty batch is true. */
bool drop_sync(struct drop *d, struct err *err);
void drop_close(struct drop *d); /* drops an unsynced batch */

/* The directory that is held open, whatever path led to it. */
struct drop_id {
	uint64_t dev, ino;
};
struct drop_id drop_identity(const struct drop *d);

/* The octets of the whole message. */
uint64_t letter_size(const struct letter_body *body);

#endif
