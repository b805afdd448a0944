/* known: what the store knows of the messages of a listing, and what a complete
 * listing tells the store. One pass over both, in the order of the unique-ids. */
#ifndef FETCH_KNOWN_H
#define FETCH_KNOWN_H

#include "listing.h"
#include "plan.h"
#include "postern/arena.h"
#include "postern/origin.h"

enum {
	KNOWN_CHANGES = 100 *
			1000, /* of each kind; what is more waits for the next poll */
	/* The key of a notice, not of its message: no unique-id has a blank in it. */
	KNOWN_KEY_MAX = STORE_UIDL_MAX,
};

struct pop_uids {
	struct span *v;
	size_t n, cap;
};

struct pop_known {
	int64_t now_ms; /* by the steady clock */
	struct pop_uids absent, back, forget; /* origins; in the arena */
	size_t kept; /* origins of messages that should still be there */
	size_t vanished; /* of these, not listed any more */
	size_t unknown; /* messages listed that no origin names */
	size_t here; /* of those committed and not deleted, listed */
	size_t resized; /* of these, where LIST tells another size than it did */
	size_t blank; /* deleted before, listed again, and no print of theirs was kept */
	uint64_t *prints; /* of all origins, sorted, only what storms are told by (print.h) */
	size_t n_prints, cap_prints;
	struct arena arena;
};

void pop_known_init(struct pop_known *k);
void pop_known_done(struct pop_known *k);

/* The key of the notice about a message: " notice UIDL". False when that is too long. */
bool pop_known_notice_key(struct span uid, struct buf *out);

/* Fills known, print, committed_s, changed and told of the messages, whose listing is
 * sorted. Where the listing names every message, what it lacks is gone. */
/* The store's steady clock: what is kept for a time is judged by it. r may be NULL. */
int64_t pop_steady_ms(struct reader *r);
bool pop_known_look(struct pop_known *k, struct reader *r, struct span account,
		const struct pop_listing *l, struct pop_message *messages,
		struct err *err);

/* Is a message with this print among the origins? */
bool pop_known_print(const struct pop_known *k, uint64_t print);

/* So many sizes changed that the server counts otherwise now: sizes tell nothing. */
bool pop_known_recounted(const struct pop_known *k);
/* So much came back of which nothing is known but its name, as from a backup, that it
 * is not to be collected unasked. */
bool pop_known_blank(const struct pop_known *k);
/* The listing is not what it should be when unique-ids are new and contents may not
 * be: most of the kept messages vanished, or at least half as many came as are known
 * at all. Then a sample of the contents tells (4009). */
bool pop_known_storm(const struct pop_known *k);

#endif
