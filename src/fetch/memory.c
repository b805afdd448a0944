/* The memo of an account for people. */
#include <stdlib.h>
#include <string.h>

#include "memo.h"
#include "postern/fetch.h"

/* Of either list: the unique-id is first in both structs. */
static int
by_uidl(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return span_cmp(*x, *y);
}

bool
fetch_memory_read(struct span memo, struct arena *a, struct fetch_memory *out)
{
	static const uint64_t seed[2] = { 0, 0 }; /* our own text, read once */
	struct fetch_trouble *list;
	struct fetch_passed *passed;
	struct fetch_memo m;
	size_t at = 0;

	fetch_memo_init(&m, seed);
	fetch_memo_read(&m, memo);
	*out = (struct fetch_memory){
		.failures = m.failures,
		.refusals = m.refusals,
		.suspended = m.refusals >= MEMO_REFUSALS,
		.suspended_ms = m.logon_ms,
		.kept_ms = m.kept_ms,
		.held = m.held,
		.nobody = m.held_at > 0,
		.domainless = m.domainless,
		.alone_until_ms = m.alone_until_ms,
		.provider = m.provider,
	};
	list = arena_alloc(a, (m.messages.n + 1) * sizeof(*list));
	passed = arena_alloc(a, (m.messages.n + 1) * sizeof(*passed));
	bool ok = list && passed;
	for (struct map_slot *slot; ok && (slot = map_next(&m.messages, &at));) {
		const struct memo_message *msg = slot->value;
		struct span uidl = arena_dup(a, (struct span){ msg->uid, msg->uid_n });

		ok = uidl.p != NULL;
		out->oversize += msg->told;
		if (ok && (msg->attempts > 0 || msg->aside))
			list[out->n++] = (struct fetch_trouble){ .uidl = uidl,
				.attempts = msg->attempts,
				.aside = msg->aside,
				.next_ms = msg->next_ms };
		else if (ok && (msg->told || msg->delete_ms > 0))
			passed[out->n_passed++] = (struct fetch_passed){ .uidl = uidl,
				.oversize = msg->told,
				.next_ms = msg->told ? msg->next_ms : msg->delete_ms };
	}
	if (ok && out->n > 0)
		qsort(list, out->n, sizeof(*list), by_uidl);
	if (ok && out->n_passed > 0)
		qsort(passed, out->n_passed, sizeof(*passed), by_uidl);
	out->passed = passed;
	out->troubles = list;
	struct memo_troubles t;
	fetch_memo_troubles(&m, &t);
	out->aside = t.aside;
	out->again_ms = t.again_ms;
	fetch_memo_done(&m);
	return ok;
}
