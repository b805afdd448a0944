/* print: a short digest of a message, kept with its origin as long as that lives. It
 * decides whether a unique-id that was seen before still stands for the same message.
 *
 *	24 bits  From, Date, Subject and Message-ID: what no server changes. A listing that
 *	         looks renumbered is compared by these (storm.c).
 *	20 bits  the whole header
 *	20 bits  what LIST said of its size
 *
 * Of the whole header those fields do not count that some servers write into a mailbox
 * while it is used (Status, X-UIDL, X-Mozilla-...), nor those that others make anew for
 * each session (Content-...: the boundary of parts). Older states have 44 bits of the
 * four fields in place of 24 and 20; such a print is believed where the message has a
 * Message-ID, and for no other. 0 is no print: nothing is the same as that. */
#ifndef FETCH_PRINT_H
#define FETCH_PRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "postern/span.h"

uint64_t pop_print(struct span header, uint64_t octets);
/* Does LIST say of it what it said when the print was made? */
bool pop_print_size_is(uint64_t print, uint64_t octets);

enum pop_likeness {
	PRINT_OTHER, /* another message */
	PRINT_HEADER, /* the header is the same, what LIST says is not */
	PRINT_SAME,
};

/* The message with this header, and what LIST says of it, beside a print that was kept. */
enum pop_likeness pop_print_compare(
		uint64_t print, struct span header, uint64_t octets);
/* Has the header something that no other message has: a Message-ID, a Date, a Received?
 * Without, equal headers prove little. */
bool pop_print_tells(struct span header);
/* Only the first 24 bits; for sorted lists. */
uint64_t pop_print_fields(uint64_t print);

#endif
