/* low: libetpan's mailstream over our own connection (sys/dial).
 *
 * What libetpan's drivers lack: an end of file is an error (it would spin on 0),
 * every wait has an end, the server can be given a quota, TLS is verified. The
 * stream owns the dial from pop_low_stream on: mailstream_close closes it. */
#ifndef FETCH_LOW_H
#define FETCH_LOW_H

#include <libetpan/mailstream.h>

#include "postern/dial.h"

enum { POP_STREAM_BUFFER = 32 * 1024 };

struct pop_low {
	struct dial *dial; /* NULL after mailstream_close */
	uint64_t quota; /* octets the server may still send in this phase */
	bool greedy; /* it sent more than that */
	/* Called when a read is about to wait for the server: time for other work. */
	void (*waiting)(void *host);
	void *host;
};

/* NULL: out of memory. low outlives the stream. */
mailstream *pop_low_stream(struct pop_low *low);
/* Why the last read or write failed, in words. */
const char *pop_low_error(const struct pop_low *low);

#endif
