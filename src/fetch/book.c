#include "book.h"

#include <stdlib.h>

#include "postern/must.h"
#include "postern/policystore.h"
#include "postern/recipientstore.h"
#include "postern/thread.h"

/* One version; freed when it is not the newest and nobody holds it. */
struct edition {
	struct edition *older;
	struct directory *directory;
	uint64_t version;
	size_t held;
};

struct book {
	struct mutex *lock;
	struct edition *newest;
};

struct book *
book_new(void)
{
	struct book *b = calloc(1, sizeof(*b));

	if (!b)
		abort();
	b->lock = mutex_new();
	return b;
}

static void
edition_free(struct edition *x)
{
	directory_free(x->directory);
	free(x);
}

/* Those that are out of date and in nobody's hands. */
static void
tidy(struct book *b)
{
	for (struct edition *keep = b->newest; keep;) {
		struct edition *x = keep->older;

		if (x && x->held == 0) {
			keep->older = x->older;
			edition_free(x);
		} else {
			keep = x;
		}
	}
}

/* False and *err. */
static bool
load(struct book *b, struct reader *r, struct err *err)
{
	struct edition *x = calloc(1, sizeof(*x));

	if (!x)
		abort();
	if (!directory_load(r, &x->directory, &x->version, err)) {
		free(x);
		return false;
	}
	x->older = b->newest;
	b->newest = x;
	return true;
}

const struct directory *
book_take(struct book *b, struct reader *r, struct err *err)
{
	const struct directory *d = NULL;
	uint64_t version;

	/* Under the lock also while it is loaded: whoever else wants it waits for the
	 * one load instead of beginning another. */
	mutex_lock(b->lock);
	if (policystore_version(r, &version, err) &&
			((b->newest && b->newest->version == version) ||
					load(b, r, err)) &&
			b->newest) {
		b->newest->held++;
		d = b->newest->directory;
		tidy(b);
	}
	mutex_unlock(b->lock);
	return d;
}

void
book_give(struct book *b, const struct directory *d)
{
	if (!d)
		return;
	mutex_lock(b->lock);
	for (struct edition *x = b->newest; x; x = x->older) {
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
	for (struct edition *x = b->newest, *older; x; x = older) {
		older = x->older;
		MUST(x->held == 0);
		edition_free(x);
	}
	mutex_free(b->lock);
	free(b);
}
