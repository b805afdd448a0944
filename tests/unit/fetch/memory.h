/* A libetpan stream whose server is a text: pieces of a given size, then EOF. */
#ifndef TESTS_FETCH_MEMORY_H
#define TESTS_FETCH_MEMORY_H

#include <libetpan/libetpan.h>
#include <stdlib.h>
#include <string.h>

#include "postern/span.h"

struct memory {
	struct span left;
	size_t piece; /* octets per read */
};

static inline ssize_t
memory_read(mailstream_low *low, void *p, size_t n)
{
	struct memory *m = low->data;
	size_t give = m->left.n < m->piece ? m->left.n : m->piece;

	give = give < n ? give : n;
	if (give == 0)
		return -1;
	memcpy(p, m->left.p, give);
	m->left = span_skip(m->left, give);
	return (ssize_t)give;
}

static inline ssize_t
memory_write(mailstream_low *low, const void *p, size_t n)
{
	(void)low;
	(void)p;
	return (ssize_t)n;
}

static inline int
memory_close(mailstream_low *low)
{
	(void)low;
	return 0;
}

static inline int
memory_fd(mailstream_low *low)
{
	(void)low;
	return -1;
}

static inline void
memory_free(mailstream_low *low)
{
	free(low);
}

static inline mailstream *
memory_stream(struct memory *m)
{
	static mailstream_low_driver driver = {
		.mailstream_read = memory_read,
		.mailstream_write = memory_write,
		.mailstream_close = memory_close,
		.mailstream_get_fd = memory_fd,
		.mailstream_free = memory_free,
	};
	return mailstream_new(mailstream_low_new(m, &driver), 4096);
}

#endif
