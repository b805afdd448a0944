/* rewrite: the few header changes that collected mail gets (RECIPIENTS.md E15).
 *
 *   Return-Path             becomes X-Postern-Orig-Return-Path (E8)
 *   Delivered-To            becomes X-Postern-Orig-Delivered-To (E10c), but for one that a
 *                           DKIM signature has in its h= where such are preserved; with
 *                           several recipients it is removed when it names a served domain
 *   an envelope field       is removed when it lists several addresses, or when
 *                           the copy goes to several recipients (E12)
 *   Bcc, Resent-Bcc         are removed when the copy goes to several recipients (E1.5),
 *                           or when they name anybody but its one recipient (E12)
 *
 * Everything else comes out byte for byte: an mbox "From " line, junk lines,
 * X-Sender and X-Receiver (FAULTS H06) and X-Postern-* lines that came with the
 * message. The last are somebody's words and are never believed. Nothing is
 * copied: the pieces are spans of the header and of constants. */
#ifndef POSTERN_REWRITE_H
#define POSTERN_REWRITE_H

#include "postern/address.h"
#include "postern/header.h"

struct rewrite_rules {
	size_t recipients; /* of this copy; more than one when it is not known yet */
	struct span only; /* the recipient when there is one, in wire form */
	const struct domains *served; /* the account's domains; NULL: none */
	const struct span *
			names; /* configured envelope header names, beside the known ones */
	size_t n_names;
	bool preserve_signed; /* see Delivered-To above */
	/* The header did not end within HEADER_MAX: its last field may go on in
	 * what follows and is left as it is. */
	bool open;
};

struct rewrite {
	struct header_scan scan;
	const struct rewrite_rules *rules; /* borrowed */
	bool delivered_signed; /* Delivered-To keeps its name */
	struct span block;
	struct span kept; /* found to be kept, not yet given out */
	struct span next; /* to give out before `kept` */
};

/* The envelope header names of E1 level 2, in their order; ends with an empty span. */
extern const struct span rewrite_envelope_names[];
/* Is name (any case) one of them or of the configured ones? */
bool rewrite_is_envelope(struct span name, const struct rewrite_rules *rules);

/* block: the header with its empty line, as header_length or header_end found it. */
void rewrite_init(struct rewrite *r, struct span block,
		const struct rewrite_rules *rules);
/* The next piece of the new header, never empty; false when all is told. The
 * empty line is part of the last piece. */
bool rewrite_next(struct rewrite *r, struct span *out);

#endif
