/* event: the catalogue of everything Postern tells people about itself.
 *
 * One row per event; the number is never reused. The rows feed the log, the
 * journal, JSON, `events catalog` and `events explain`. In a template %name
 * stands for the field of that name; a field that is not given prints as "-".
 * Two fields are known everywhere: `account`, and `id`, the trace id (queue id,
 * or ACCOUNT/UIDL while there is none). */
#ifndef POSTERN_EVENT_H
#define POSTERN_EVENT_H

#include <stddef.h>

#include "postern/event_id.h"

struct event {
	int id;
	char severity; /* I W E C */
	unsigned level; /* 0 always, 1 minimum, 2 medium, 3 maximum */
	const char *name; /* for machines: lower-case words joined by '-' */
	const char *text; /* template; lines end in '\n', but the last */
	const char *means; /* one or two sentences for the administrator */
	const char *advice; /* what to do */
};

const struct event *event_find(int id); /* NULL: no such event */
/* All rows, in order of id. */
const struct event *event_all(size_t *out_n);

#endif
