/* listing: what the maildrop holds, as LIST and UIDL tell it.
 *
 * Numbers run from 1 to n without holes (RFC 1939 section 5: a fresh session);
 * anything else is a server not to be trusted with DELE, so it is refused whole.
 * A unique-id outside of 1 to 255 bytes of 0x21 to 0x7e, or twice in the same
 * listing, does not name its message: that one is told by its content (P02). */
#ifndef FETCH_LISTING_H
#define FETCH_LISTING_H

#include "postern/buf.h"
#include "postern/err.h"
#include "wire.h"

enum { LISTING_MESSAGES = 1000000, LISTING_UID = 255 };
enum { LISTING_BYTES = 64 * 1024 * 1024 }; /* of unique-ids, and of LIST's lines */

struct pop_listed {
	uint64_t octets; /* an estimate, never used to frame (P04) */
	uint32_t uid_at;
	uint16_t uid_n; /* 0: has no usable unique-id */
};

struct pop_listing {
	struct pop_listed *items; /* message number i + 1 */
	size_t n, cap;
	struct buf uids;
	size_t unnamed; /* messages without a usable unique-id */
	size_t twins; /* of these, because another one has the same */
	uint64_t octets; /* of all messages */
	uint32_t *order; /* after pop_listing_sort: places of the named ones, by unique-id */
	size_t named;
};

void pop_listing_init(struct pop_listing *l);
void pop_listing_done(struct pop_listing *l);
struct span pop_listing_uid(const struct pop_listing *l, size_t i);

/* Read the lines behind +OK. False with *err (4005) when they are not an answer
 * to LIST or UIDL, or the stream was lost (event 0, the reason is the stream's). */
bool pop_listing_read_sizes(struct pop_listing *l, struct pop_wire *w, struct err *err);
/* After the sizes. Must name the same messages. */
bool pop_listing_read_uids(struct pop_listing *l, struct pop_wire *w, struct err *err);
/* UIDL is not to be had: every message is told by its content. */
void pop_listing_no_uids(struct pop_listing *l);
/* Fills `order`; an id that more than one message has names none of them. */
void pop_listing_sort(struct pop_listing *l);
/* The place of the message with that unique-id, or n. After pop_listing_sort. */
size_t pop_listing_find(const struct pop_listing *l, struct span uid);

#endif
