/* csv: comma-separated values (RFC 4180), field by field, with their places.
 *
 * UTF-8 with or without a byte order mark; lines end in CRLF or LF. A field in
 * quotes may hold commas, line ends and doubled quotes. Linear; a fault is told
 * once and reading goes on behind it. */
#ifndef POSTERN_CSV_H
#define POSTERN_CSV_H

#include "postern/arena.h"
#include "postern/conf.h"

struct csv {
	struct span rest;
	struct conf_mark mark; /* of the next byte */
	bool ended; /* the last field was told */
};

struct csv_field {
	struct span text; /* without quotes; in the text or the arena */
	struct conf_mark mark; /* where it begins */
	bool last; /* of its line */
	const char *fault; /* static; NULL: none */
};

void csv_init(struct csv *c, struct span text);
/* False at the end of the text. A field that the arena has no room for has a fault. */
bool csv_next(struct csv *c, struct arena *a, struct csv_field *out);

#endif
