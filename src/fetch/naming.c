/* What a message is called: in the store, and in events. */
#include <stdlib.h>
#include <string.h>

#include "session.h"

struct span
pop_key(const struct pop_session *s, size_t i)
{
	return s->keys && s->keys[i] ? span_of(s->keys[i])
				     : pop_listing_uid(&s->listing, i);
}

void
pop_set_key(struct pop_session *s, size_t i, const char *key)
{
	if (!s->keys && !key)
		return;
	if (!s->keys)
		s->keys = calloc(s->listing.n, sizeof(*s->keys));
	if (!s->keys)
		abort();
	free(s->keys[i]);
	s->keys[i] = key ? strdup(key) : NULL;
	if (key && !s->keys[i])
		abort();
}

bool
pop_trace(const struct pop_session *s, size_t i, struct buf *out)
{
	struct span key = pop_key(s, i);

	buf_clear(out);
	if (!buf_add(out, s->poll->name) || !buf_addc(out, '/'))
		return false;
	return key.n > 0 ? buf_add(out, key) : buf_addf(out, "#%zu", i + 1);
}
