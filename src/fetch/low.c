#include "low.h"

#include <stdlib.h>

#include "postern/clock.h"

enum { RATE = 1024 }; /* octets a second */

static bool
below_rate(uint64_t octets, int64_t ms)
{
	return octets < (uint64_t)ms * RATE / 1000;
}

static bool
too_slow(struct pop_low *low)
{
	if (low->patience_ms > 0 && pop_low_crawls(low, low->patience_ms))
		low->slow = true;
	if (low->rate_ms == 0 || low->waited_ms < low->rate_ms)
		return low->slow;
	low->slow |= below_rate(low->arrived, low->waited_ms);
	low->waited_ms = 0;
	low->arrived = 0;
	return low->slow;
}

/* Waits for the server; the time is its own. */
static ssize_t
wait_read(struct pop_low *low, void *p, size_t n)
{
	int64_t began = clock_mono_ms();
	ssize_t got = dial_read(low->dial, p, n);
	int64_t took = clock_mono_ms() - began;

	low->total_ms += took;
	if (!low->awaits)
		low->waited_ms += took;
	return got;
}

static ssize_t
low_read(mailstream_low *stream, void *p, size_t n)
{
	struct pop_low *low = stream->data;

	if (low->slow)
		return -1;
	if (low->quota == 0) {
		low->greedy = true;
		return -1;
	}
	if (n > low->quota)
		n = (size_t)low->quota;

	ssize_t got = dial_read_now(low->dial, p, n);
	if (got == 0) {
		if (!low->awaits) /* inside an answer: it may be waiting for us */
			dial_hurry(low->dial);
		if (low->waiting)
			low->waiting(low->host);
		got = wait_read(low, p, n);
	}
	low->awaits = false;
	if (got <= 0)
		return -1;
	low->quota -= (uint64_t)got;
	low->arrived += (uint64_t)got;
	low->total += (uint64_t)got;
	if (too_slow(low))
		return -1;
	return got;
}

static ssize_t
low_write(mailstream_low *stream, const void *p, size_t n)
{
	struct pop_low *low = stream->data;

	low->awaits = true;
	return dial_write(low->dial, p, n);
}

static int
low_close(mailstream_low *stream)
{
	struct pop_low *low = stream->data;

	dial_close(low->dial);
	low->dial = NULL;
	return 0;
}

static int
low_fd(mailstream_low *stream)
{
	struct pop_low *low = stream->data;

	return low->dial ? dial_fd(low->dial) : -1;
}

static void
low_free(mailstream_low *stream)
{
	free(stream);
}

static mailstream_low_driver driver = {
	.mailstream_read = low_read,
	.mailstream_write = low_write,
	.mailstream_close = low_close,
	.mailstream_get_fd = low_fd,
	.mailstream_free = low_free,
};

mailstream *
pop_low_stream(struct pop_low *low)
{
	mailstream_low *stream = mailstream_low_new(low, &driver);

	if (!stream)
		return NULL;

	mailstream *s = mailstream_new(stream, POP_STREAM_BUFFER);
	if (!s)
		mailstream_low_free(stream);
	return s;
}

bool
pop_low_bad(const struct pop_low *low)
{
	return low->greedy || low->slow;
}

bool
pop_low_crawls(const struct pop_low *low, int64_t ms)
{
	return low->total_ms >= ms && below_rate(low->total, low->total_ms);
}

const char *
pop_low_error(const struct pop_low *low)
{
	if (low->slow)
		return "the server sends less than 1 KB/s";
	if (low->greedy)
		return "the server sent more than any answer may hold";

	const char *words = low->dial ? dial_error(low->dial) : "";
	return *words ? words : "the connection was lost";
}
