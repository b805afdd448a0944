/* Messages in hand without a next hop; what is logged stands in the journal. The group of tests
 * includes it once. */
#ifndef TESTS_OUTBOUND_HAND_H
#define TESTS_OUTBOUND_HAND_H

#include "told.h"

#include "dispatch.h"
#include "notice.h"

enum { DAY_MS = 24 * 3600 * 1000, MOST = 120 };

static inline int
set_up(void **state)
{
	static struct dispatch d;

	(void)told_up(state);
	struct gate *g = *state;
	dispatch_init(&d, &g->hub);
	g->d = &d;
	return 0;
}

static inline int
tear_down(void **state)
{
	struct gate *g = *state;

	dispatch_done(g->d);
	return told_down(state);
}

/* A next hop as if there were mail for it. */
static inline struct hop *
hop_made(struct dispatch *d, const char *key)
{
	struct hop *h = hop_new(&d->all, span_of(key));

	list_add(&d->hops, &h->link);
	(void)map_put(&d->by_key, h->at.key, h);
	return h;
}

static inline void
hop_over(struct dispatch *d, struct hop *h)
{
	if (map_get(&d->by_key, h->at.key) == h)
		(void)map_del(&d->by_key, h->at.key);
	hop_free(h);
}

/* ---- a message in hand ---- */

struct hand {
	struct queue_message m;
	struct queue_recipient *to;
	struct hop *hop;
	struct lease *l; /* it ends with what the store says */
};

static inline void
hand_take(struct gate *g, struct hand *h, const char *hop, size_t n)
{
	static char address[MOST][40];
	struct batch *b = calloc(1, sizeof(*b));
	struct lease *l = calloc(1, sizeof(*l));

	*h = (struct hand){ .m = { .id = store_new_id(g->hub.store, clock_wall_ms()),
					    .sender = SPAN("s@x.test"),
					    .arrived_ms = clock_wall_ms(),
					    .n = n } };
	b->arena = ARENA_MAX(1024 * 1024);
	h->m.recipients = h->to = arena_alloc(&b->arena, n * sizeof(*h->to));
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(address[i], sizeof(address[i]), "u%zu@h.test", i);
		h->to[i] = (struct queue_recipient){ .address = span_of(address[i]),
			.seq = (uint32_t)i + 7,
			.state = QUEUE_QUEUED };
	}
	h->hop = hop_made(g->d, hop);
	b->refs = 1;
	l->hop = h->hop;
	l->at = &h->hop->at;
	l->settling = &g->d->all.settling;
	l->batch = b;
	l->m = &h->m;
	l->words = ARENA_MAX(1024 * 1024);
	l->results = calloc(n, sizeof(*l->results));
	l->open = malloc(n);
	assert_non_null(l->open);
	memset(l->open, 1, n);
	l->left = n;
	l->host = SPAN("h.test:25");
	list_init(&l->link);
	list_init(&l->job.job.link);
	g->d->all.leases++;
	h->l = l;
}

static inline struct verdict
answer(enum fate fate, int code, const char *esc, const char *text)
{
	return verdict_make(fate, code, esc, "%s", text);
}

#define IN_GATE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

#endif
