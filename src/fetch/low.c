#include "low.h"

#include <stdlib.h>

static ssize_t
low_read(mailstream_low *stream, void *p, size_t n)
{
	struct pop_low *low = stream->data;

	if (low->quota == 0) {
		low->greedy = true;
		return -1;
	}
	if (n > low->quota)
		n = (size_t)low->quota;

	ssize_t got = dial_read_now(low->dial, p, n);
	if (got == 0) {
		if (low->waiting)
			low->waiting(low->host);
		got = dial_read(low->dial, p, n);
	}
	if (got <= 0)
		return -1;
	low->quota -= (uint64_t)got;
	return got;
}

static ssize_t
low_write(mailstream_low *stream, const void *p, size_t n)
{
	struct pop_low *low = stream->data;

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

const char *
pop_low_error(const struct pop_low *low)
{
	if (low->greedy)
		return "the server sent more than any answer may hold";

	const char *words = low->dial ? dial_error(low->dial) : "";
	return *words ? words : "the connection was lost";
}
