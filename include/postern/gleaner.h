/* gleaner: the bodies of a few chosen fields, out of a message that comes in pieces.
 *
 * Header and fields are those of header.h, but nothing is held in memory and nothing
 * is too long: a field behind the first megabyte is seen like any other. A body is
 * told word by word. What parts words (blanks, folds, CRs) counts as one blank and is
 * dropped at both ends, so that a header means the same whoever folded it. */
#ifndef POSTERN_GLEANER_H
#define POSTERN_GLEANER_H

#include "postern/header.h"

enum { GLEANER_NAME_MAX = 32 };

struct gleaner {
	const struct span *names; /* at most GLEANER_NAME_MAX octets each */
	size_t n_names;
	struct header_end end;
	struct span in; /* the part of the piece that is not looked at yet */
	char name[GLEANER_NAME_MAX];
	size_t name_n;
	size_t field; /* whose body it is; n_names: nobody's */
	unsigned char at; /* where in a line */
	bool words; /* the body has had some */
	bool parted; /* and something that parts them */
};

struct gleaner_bit {
	size_t field; /* index of its name */
	bool begins; /* a field of that name begins; the others carry bytes */
	bool parted; /* a blank stands between what came before and these bytes */
	struct span bytes; /* of one word, or a part of one */
};

void gleaner_init(struct gleaner *w, const struct span *names, size_t n_names);
/* The next piece of the message; call gleaner_next until it has no more. Returns how
 * many of its octets belong to the header, the empty line included. */
size_t gleaner_feed(struct gleaner *w, struct span piece);
bool gleaner_next(struct gleaner *w, struct gleaner_bit *out);

#endif
