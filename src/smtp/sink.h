/* sink: output waiting to be taken. Bytes are added at the end and taken from the
 * front without moving the rest each time. */
#ifndef SMTP_SINK_H
#define SMTP_SINK_H

#include "postern/buf.h"

struct sink {
	struct buf b;
	size_t at; /* taken so far */
};

static inline size_t
sink_left(const struct sink *s)
{
	return s->b.n - s->at;
}

static inline struct span
sink_span(const struct sink *s)
{
	return span_skip(buf_span(&s->b), s->at);
}

static inline void
sink_sent(struct sink *s, size_t n)
{
	s->at += n;
	if (s->at == s->b.n) {
		buf_clear(&s->b);
		s->at = 0;
	} else if (s->at > s->b.n / 2) {
		buf_drop(&s->b, s->at);
		s->at = 0;
	}
}

#endif
