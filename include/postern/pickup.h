/* pickup: a message file as somebody puts it into the Pickup folder (E16).
 *
 * Leading X-Sender: and X-Receiver: lines (CRLF or LF, any number, no folding)
 * are the envelope and no part of the message; the first X-Sender counts. What
 * they do not say comes from the header: Sender, else the first address of From;
 * To, Cc and Bcc, and then Bcc is no part of the message either. Where the header
 * holds Resent- fields, the topmost set of them stands in for all these (RFC 5322
 * 3.6.6). An address that cannot be read makes the file a bad one: nobody is
 * left out in silence.
 *
 * Line ends: the first line tells what was meant. A file that begins with an LF
 * line is text, and each LF of it without a CR becomes CRLF. A file that
 * begins with CRLF is taken byte for byte, so that bare CR, bare LF and NUL of a
 * message in Drop survive (E15). SPEC section 5 refuses such bytes of strangers; here
 * our own user wrote them, and they are marked MESSAGE_BARE on their way out.
 *
 * A last line that is a lone dot is a hand's end mark and dropped. Not so in a
 * file that our own Drop wrote: an envelope, and a message whose top is
 * our own Received line. No hand ended that one, and it comes out as it was. */
#ifndef POSTERN_PICKUP_H
#define POSTERN_PICKUP_H

#include <stdint.h>

#include "postern/arena.h"
#include "postern/header.h"

enum {
	PICKUP_RECIPIENTS_MAX = 10000,
	PICKUP_BLOCK_MAX = 4 * 1024 * 1024, /* octets of the X- lines */
	PICKUP_HEAD_MAX = PICKUP_BLOCK_MAX + HEADER_MAX, /* what is held in memory */
	PICKUP_MEMORY = 16 * 1024 * 1024, /* for the arena of pickup_read */
};

enum pickup_step {
	PICKUP_BAD = -1, /* no message with sender and recipients: `why` says it */
	PICKUP_MORE = 0, /* its head goes on in what was not given */
	PICKUP_ONE = 1,
};

/* A piece of the file that is no part of the message. */
struct pickup_cut {
	uint64_t at, n;
};

struct pickup {
	struct span sender; /* ready for an envelope; empty: the null sender */
	const struct span *recipients; /* at least one; the same may come twice */
	size_t n;
	bool enveloped; /* some of it stood in X- lines */
	bool ours; /* it came out of our own Drop: no trace line is due */
	bool text; /* LF line ends, made CRLF */
	bool lacks_date, lacks_id; /* RFC 6409 8.2, 8.3; never true when enveloped */
	const struct pickup_cut *cuts; /* in order, apart from each other */
	size_t n_cuts;
	char why[200]; /* PICKUP_BAD: "it has no recipients"; may hold any bytes of it */
};

/* head: the file from its start; whole: there is no more of it. With at least
 * PICKUP_HEAD_MAX octets the answer is never PICKUP_MORE. host: our name. Spans of
 * *out point into head or the arena. */
enum pickup_step pickup_read(struct pickup *out, struct arena *arena, struct span head,
		bool whole, struct span host);

/* The message in the file: the whole file is fed to it in pieces, from its start. */
struct pickup_body {
	const struct pickup *file; /* borrowed */
	size_t cut; /* the next one */
	uint64_t at; /* octets of the file taken so far */
	enum {
		PICKUP_AT_LINE,
		PICKUP_AT_TEXT,
		PICKUP_AT_CR, /* behind a CR that was given out */
		/* A dot at the start of a line and what follows, kept back. */
		PICKUP_AT_DOT,
		PICKUP_AT_DOT_CR,
		PICKUP_AT_DOT_CRLF,
		PICKUP_AT_DOT_LF,
	} state;
};

void pickup_body_init(struct pickup_body *b, const struct pickup *file);
/* Cuts the next piece of message off *in; false when *in is used up. Pieces point
 * into the input or to constants. */
bool pickup_body_next(struct pickup_body *b, struct span *in, struct span *out);
/* What was kept back and is content after all; often empty. */
struct span pickup_body_end(struct pickup_body *b);

#endif
