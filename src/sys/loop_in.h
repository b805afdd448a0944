/* loop_in: what the rest of sys may know of a loop. */
#ifndef SYS_LOOP_IN_H
#define SYS_LOOP_IN_H

#include <event2/event.h>

#include "postern/loop.h"

struct event_base *loop_base(struct loop *l);
/* The buffer that all reads of this loop share: valid until the callback that
 * asked for it returns. */
char *loop_read_buffer(struct loop *l, size_t *size);
/* An event; ends the process when there is no memory. */
struct event *loop_event(
		struct loop *l, int fd, short what, event_callback_fn fn, void *arg);

#endif
