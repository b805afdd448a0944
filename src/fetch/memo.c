#include "memo.h"

#include <stdlib.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000 };

void
fetch_memo_init(struct fetch_memo *m, const uint64_t seed[2])
{
	*m = (struct fetch_memo){ 0 };
	map_init(&m->messages, seed[0], seed[1]);
}

void
fetch_memo_done(struct fetch_memo *m)
{
	size_t at = 0;

	for (struct map_slot *slot; (slot = map_next(&m->messages, &at));)
		free(slot->value);
	map_done(&m->messages);
}

struct memo_message *
fetch_memo_find(const struct fetch_memo *m, struct span uid)
{
	return m->messages.n > 0 && uid.n > 0 ? map_get(&m->messages, uid) : NULL;
}

struct memo_message *
fetch_memo_get(struct fetch_memo *m, struct span uid)
{
	struct memo_message *known = fetch_memo_find(m, uid);

	if (known || uid.n == 0 || m->messages.n >= MEMO_MESSAGES)
		return known;
	known = calloc(1, sizeof(*known) + uid.n);
	if (!known)
		abort();
	known->uid_n = uid.n;
	memcpy(known->uid, uid.p, uid.n);
	map_put(&m->messages, (struct span){ known->uid, uid.n }, known);
	return known;
}

void
fetch_memo_forget(struct fetch_memo *m, struct span uid)
{
	if (fetch_memo_find(m, uid))
		free(map_del(&m->messages, uid));
}

int64_t
fetch_memo_wait_ms(int64_t every_ms, unsigned failures)
{
	int64_t limit = every_ms > HOUR_MS ? every_ms : HOUR_MS;
	int64_t wait = every_ms;

	for (unsigned i = 1; i < failures && wait < limit; i++)
		wait *= 2;
	return wait < limit ? wait : limit;
}
