#include "book.h"

#include <stdlib.h>

#include "postern/list.h"
#include "postern/must.h"
#include "postern/policystore.h"
#include "postern/recipientstore.h"
#include "postern/thread.h"

/* One version; freed when it is not the newest and nobody holds it. */
struct edition {
	struct list link;
	struct directory *directory;
	uint64_t version;
	size_t held;
};

struct book {
	struct mutex *lock;
	struct list editions; /* the newest is the last */
};

struct book *
book_new(void)
{
	struct book *b = calloc(1, sizeof(*b));

	if (!b)
		abort();
	b->lock = mutex_new();
	list_init(&b->editions);
	return b;
}

static struct edition *
newest(struct book *b)
{
	return list_empty(&b->editions)
			? NULL
			: LIST_ITEM(b->editions.prev, struct edition, link);
}

/* Those that are out of date and in nobody's hands. */
static void
tidy(struct book *b)
{
	LIST_EACH (link, &b->editions) {
		struct edition *x = LIST_ITEM(link, struct edition, link);

		if (x == newest(b) || x->held > 0)
			continue;
		list_del(&x->link);
		directory_free(x->directory);
		free(x);
	}
}

/* NULL and *err. */
static struct edition *
load(struct book *b, struct reader *r, struct err *err)
{
	struct edition *x = calloc(1, sizeof(*x));

	if (!x)
		abort();
	if (!directory_load(r, &x->directory, &x->version, err)) {
		free(x);
		return NULL;
	}
	list_add(&b->editions, &x->link);
	return x;
}

const struct directory *
book_take(struct book *b, struct reader *r, struct err *err)
{
	struct edition *x = NULL;
	uint64_t version;

	/* Under the lock also while it is loaded: whoever else wants it waits for the
	 * one load instead of beginning another. */
	mutex_lock(b->lock);
	if (policystore_version(r, &version, err)) {
		x = newest(b);
		if (!x || x->version != version)
			x = load(b, r, err);
	}
	if (x) {
		x->held++;
		tidy(b);
	}
	mutex_unlock(b->lock);
	return x ? x->directory : NULL;
}

void
book_give(struct book *b, const struct directory *d)
{
	if (!d)
		return;
	mutex_lock(b->lock);
	LIST_EACH (link, &b->editions) {
		struct edition *x = LIST_ITEM(link, struct edition, link);

		if (x->directory == d)
			x->held--;
	}
	tidy(b);
	mutex_unlock(b->lock);
}

void
book_free(struct book *b)
{
	if (!b)
		return;
	LIST_EACH (link, &b->editions) {
		struct edition *x = LIST_ITEM(link, struct edition, link);

		MUST(x->held == 0);
		list_del(&x->link);
		directory_free(x->directory);
		free(x);
	}
	mutex_free(b->lock);
	free(b);
}
