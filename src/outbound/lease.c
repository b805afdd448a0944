/* lease: the memory of one message in hand. */
#include "lease.h"

#include <stdlib.h>
#include <string.h>

#include "notice.h"

#include "postern/must.h"

enum { LEASE_MORE = 4 /* words of a lease beside a reply for each recipient */ };

struct batch *
batch_new(size_t memory)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		abort();
	b->arena = ARENA_MAX(memory);
	b->refs = 1;
	return b;
}

void
batch_drop(struct batch *b)
{
	if (--b->refs > 0)
		return;
	arena_done(&b->arena);
	free(b);
}

/* What a settlement needs is had before anybody is asked, and not from the batch, which
 * may be full of what was loaded: an answer must never be lost for want of room. */
struct lease *
lease_new(struct hop *h, const struct destination *at, struct settling *s,
		struct batch *b, struct queue_message *m)
{
	struct lease *l = calloc(1, sizeof(*l));
	struct settle_recipient *results = calloc(m->n, sizeof(*results));
	bool *open = calloc(m->n, 1);

	MUST(l && results && open);
	l->words = ARENA_MAX((m->n + LEASE_MORE) * sizeof(struct verdict));
	list_init(&l->link);
	list_init(&l->job.job.link);
	l->hop = h;
	l->at = at;
	l->settling = s;
	l->batch = b;
	l->m = m;
	l->results = results;
	l->open = open;
	l->left = m->n;
	memset(open, 1, m->n);
	for (size_t i = 0; i < m->n; i++)
		results[i].seq = m->recipients[i].seq;
	b->refs++;
	return l;
}

void
lease_free(struct lease *l)
{
	list_del(&l->link);
	notices_free(l->notices);
	batch_drop(l->batch);
	arena_done(&l->words);
	free(l->results);
	free(l->open);
	free(l->todo);
	free(l);
}

struct span
lease_key(const struct lease *l)
{
	return (struct span){ (const char *)&l->m->id, sizeof(l->m->id) };
}

struct span
lease_words(struct lease *l, struct span s)
{
	struct span copy = arena_dup(&l->words, s);

	MUST(copy.p);
	return copy;
}
