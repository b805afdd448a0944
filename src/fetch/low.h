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
	/* The least rate, so that nobody lives on an octet now and then. Waiting for an
	 * answer to begin counts only in the whole: the idle limit bounds it. */
	int64_t rate_ms; /* waiting inside answers over which it is measured; 0: never */
	int64_t waited_ms; /* inside answers, since it was last measured */
	uint64_t arrived; /* octets since then */
	bool awaits; /* an answer is still to begin */
	bool slow; /* it sent less */
	int64_t patience_ms; /* waiting in all over which it is measured; 0: never */
	int64_t total_ms; /* waited in all, for total octets */
	uint64_t total;
	/* Called when a read is about to wait for the server: time for other work. */
	void (*waiting)(void *host);
	void *host;
};

/* NULL: out of memory. low outlives the stream. */
mailstream *pop_low_stream(struct pop_low *low);
/* The server is to blame: greedy or slow. */
bool pop_low_bad(const struct pop_low *low);
/* It let us wait for ms or longer in all, at less than the least rate altogether. */
bool pop_low_crawls(const struct pop_low *low, int64_t ms);
/* Why the last read or write failed, in words. */
const char *pop_low_error(const struct pop_low *low);

#endif
