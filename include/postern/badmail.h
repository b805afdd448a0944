/* badmail: what could not be delivered, kept for people to look at.
 *
 * Three files (E17): ID.BAD the message as it was, ID.BDP one JSON object, ID.BDR
 * the reason in words. ID is the queue id as qid_print has it: one item per
 * message; a second letter for the same message joins its recipients to the
 * item that is there (the same recipient again replaces its own row), so a
 * repeated attempt changes nothing. An item exists when its BDP does. Written
 * and synced before the store settles the recipients. */
#ifndef POSTERN_BADMAIL_H
#define POSTERN_BADMAIL_H

#include <stdint.h>

#include "postern/buf.h"
#include "postern/drop.h"
#include "postern/err.h"
#include "postern/span.h"

enum { BADMAIL_AT_ONCE = 500 };

enum badmail_reason {
	BADMAIL_BAD_PICKUP,
	BADMAIL_GENERAL,
	BADMAIL_HOP_COUNT,
	BADMAIL_NDR_OF_DSN,
	BADMAIL_NO_RECIPIENTS,
	BADMAIL_EXPIRED,
	BADMAIL_RELAY_DENIED,
	BADMAIL_UNKNOWN_USER,
	BADMAIL_LOOP,
	BADMAIL_POISON,
	BADMAIL_POLICY,
	BADMAIL_REASONS,
};

struct badmail_recipient {
	struct span address;
	struct span status; /* RFC 3463, "5.7.1"; may be empty */
	struct span reply; /* last reply, one line; may be empty */
	uint64_t attempts;
};

struct badmail_letter {
	uint64_t qid;
	enum badmail_reason reason;
	int event; /* under which it was logged */
	int64_t time_ms; /* wall */
	int64_t steady_ms; /* by the store's steady clock: the files' time, for their age; 0: wall */
	struct span sender; /* empty: the null sender */
	const struct badmail_recipient *recipients;
	size_t n_recipients;
	struct span message_id, account, uidl,
			path; /* path: of a Pickup file; all may be empty */
	struct letter_body body;
};

struct badmail;

/* Makes the folder (0700) unless it is there. keep_s and max_bytes: 0 is no limit. */
struct badmail *badmail_open(
		const char *path, uint64_t keep_s, uint64_t max_bytes, struct err *err);
/* Other limits, from the next badmail_prune on. */
void badmail_limits(struct badmail *b, uint64_t keep_s, uint64_t max_bytes);
void badmail_close(struct badmail *b);
/* Into the batch; false: not in it. */
bool badmail_write(struct badmail *b, const struct badmail_letter *letter,
		struct err *err);
/* Makes the batch durable and visible, as drop_sync. */
bool badmail_sync(struct badmail *b, struct err *err);
/* Removes what is older than keep_s, then the oldest until the folder is within
 * max_bytes, at most BADMAIL_AT_ONCE items: *more tells to come again. Says 5104 for each, 5106
 * when it stays over. Items newer than an hour are never removed for size. Age is
 * told by the store's steady clock; an item of its future is new. */
bool badmail_prune(struct badmail *b, int64_t steady_ms, bool *more, struct err *err);

/* One item as it lies there; owned by whoever got it. Texts are UTF-8. */
struct badmail_item {
	uint64_t qid;
	enum badmail_reason reason;
	int event;
	int64_t time_ms;
	uint64_t size; /* octets of the message */
	char *sender, *message_id, *account, *uidl, *path;
	struct badmail_row {
		char *address, *status, *reply;
		enum badmail_reason reason;
		uint64_t attempts;
	} * recipients;
	size_t n_recipients;
	char *json; /* the BDP as it is */
};

/* Calls `each` for all items, oldest first, until it says false; the item is only lent. Broken ones
 * are skipped and counted in *broken (may be NULL). */
bool badmail_list(struct badmail *b,
		bool (*each)(void *host, const struct badmail_item *item), void *host,
		size_t *broken, struct err *err);
/* NULL and *err when there is none or it is broken. */
struct badmail_item *badmail_get(struct badmail *b, uint64_t qid, struct err *err);
void badmail_item_free(struct badmail_item *item);
/* The message, open for reading; -1 and *err. */
int badmail_message(struct badmail *b, uint64_t qid, uint64_t *size, struct err *err);
/* What ID.BDR says. */
bool badmail_words(struct badmail *b, uint64_t qid, struct buf *out, struct err *err);
/* Removes the three files and syncs; one that is not there is no error. */
bool badmail_remove(struct badmail *b, uint64_t qid, struct err *err);

const char *badmail_reason_name(enum badmail_reason r); /* "relay-denied" */
bool badmail_reason_parse(struct span name, enum badmail_reason *out);

#endif
