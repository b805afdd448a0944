/* Names: of states, and the rows of accounts and next hops by theirs. */
#include "postern/clock.h"
#include "postern/must.h"
#include "state.h"

enum { NAMES_MAX = 4096 /* remembered; more are asked for again */ };

static const char *const state_names[] = {
	[QUEUE_QUEUED] = "queued",
	[QUEUE_REFUSED] = "refused",
	[QUEUE_BOUNCED] = "bounced",
	[QUEUE_HELD] = "held",
	[QUEUE_DELIVERED] = "delivered",
	[QUEUE_BADMAIL] = "badmail",
	[QUEUE_REMOVED] = "removed",
	[QUEUE_DUPLICATE] = "duplicate",
};

const char *
queue_state_name(enum queue_state s)
{
	MUST((size_t)s < sizeof state_names / sizeof state_names[0]);
	return state_names[s];
}

bool
queue_state_parse(struct span name, enum queue_state *out)
{
	for (size_t i = 0; i < sizeof state_names / sizeof state_names[0]; i++)
		if (span_eq(name, span_of(state_names[i]))) {
			*out = (enum queue_state)i;
			return true;
		}
	return false;
}

void
names_init(struct names *n, enum sql find, enum sql add)
{
	uint64_t seed[2];
	clock_random(seed, sizeof seed);
	map_init(&n->ids, seed[0], seed[1]);
	n->keys = ARENA_MAX(SIZE_MAX);
	n->find = find;
	n->add = add;
}

/* Also when a transaction was rolled back: its ids may come again for other names. */
void
names_forget(struct names *n)
{
	uint64_t seed0 = n->ids.seed[0], seed1 = n->ids.seed[1];
	map_done(&n->ids);
	map_init(&n->ids, seed0, seed1);
	arena_done(&n->keys);
}

bool
names_id(struct store *s, struct names *n, struct span name, int64_t *id, struct err *e)
{
	const int64_t *known = map_get(&n->ids, name);
	if (known) {
		*id = *known;
		return true;
	}
	struct query q = query_of(&s->self.db, n->find);
	query_text(&q, name);
	bool there = query_row(&q);
	if (there)
		*id = query_get(&q, 0);
	if (!query_end(&q, "cannot look up a name", e))
		return false;
	if (!there) {
		q = query_of(&s->self.db, n->add);
		query_text(&q, name);
		if (!query_run(&q, "cannot write a name", e))
			return false;
		*id = db_last_row(&s->self.db);
	}
	if (n->ids.n >= NAMES_MAX)
		names_forget(n);
	int64_t *value = arena_alloc(&n->keys, sizeof *value);
	struct span key = arena_dup(&n->keys, name);
	MUST(value && key.p);
	*value = *id;
	map_put(&n->ids, key, value);
	return true;
}
