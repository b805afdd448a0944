#include "drops.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "postern/clock.h"
#include "postern/list.h"
#include "postern/map.h"

struct drop_at {
	struct list link; /* in open or over */
	struct drop_id id;
	struct drop *drop; /* NULL: closed */
	bool used; /* in this batch */
	bool failed;
	struct err err;
};

struct drops {
	struct map by_id; /* those that are open */
	struct list open; /* the one that was used last is last */
	struct list over; /* of this batch, closed already */
	size_t n, most;
};

struct drops *
drops_new(size_t open_most)
{
	struct drops *d = calloc(1, sizeof(*d));
	uint64_t seed[2];

	if (!d)
		abort();
	clock_random(seed, sizeof(seed));
	map_init(&d->by_id, seed[0], seed[1]);
	list_init(&d->open);
	list_init(&d->over);
	d->most = open_most;
	return d;
}

static struct span
id_span(const struct drop_id *id)
{
	return (struct span){ (const char *)id, sizeof(*id) };
}

static void
at_sync(struct drop_at *at)
{
	if (!drop_sync(at->drop, &at->err))
		at->failed = true;
}

/* What the batch still asks about stays until its end. */
static void
at_close(struct drops *d, struct drop_at *at)
{
	(void)map_del(&d->by_id, id_span(&at->id));
	list_del(&at->link);
	d->n--;
	drop_close(at->drop);
	at->drop = NULL;
	if (at->used)
		list_add(&d->over, &at->link);
	else
		free(at);
}

static void
make_room(struct drops *d)
{
	struct drop_at *first = LIST_ITEM(d->open.next, struct drop_at, link);

	if (first->used)
		at_sync(first);
	at_close(d, first);
}

static struct drop_at *
at_open(struct drops *d, const char *path, int64_t steady_ms, struct err *err)
{
	struct drop *drop = drop_open(path, steady_ms, err);

	if (!drop)
		return NULL;
	struct drop_id id = drop_identity(drop);
	struct drop_at *at = map_get(&d->by_id, id_span(&id));
	if (at) { /* the path led nowhere when it was looked at */
		drop_close(drop);
		return at;
	}
	if (d->n == d->most)
		make_room(d);
	at = calloc(1, sizeof(*at));
	if (!at)
		abort();
	at->id = id;
	at->drop = drop;
	list_add(&d->open, &at->link);
	(void)map_put(&d->by_id, id_span(&at->id), at);
	d->n++;
	return at;
}

bool
drops_write(struct drops *d, const char *path, const struct letter *letter,
		struct drop_at **out, struct err *err)
{
	struct drop_at *at = NULL;
	struct stat st;

	*out = NULL;
	if (stat(path, &st) == 0) {
		struct drop_id id = { st.st_dev, st.st_ino };

		at = map_get(&d->by_id, id_span(&id));
	}
	if (!at)
		at = at_open(d, path, letter->steady_ms, err);
	if (!at)
		return false;
	list_del(&at->link);
	list_add(&d->open, &at->link);
	at->used = true;
	*out = at;
	return drop_write(at->drop, letter, err);
}

void
drops_sync(struct drops *d)
{
	LIST_EACH (link, &d->open) {
		struct drop_at *at = LIST_ITEM(link, struct drop_at, link);

		if (!at->used)
			continue;
		at_sync(at);
		if (at->failed) /* opened anew the next time: it may be another by then */
			at_close(d, at);
	}
}

const struct err *
drop_at_failed(const struct drop_at *at)
{
	return at->failed ? &at->err : NULL;
}

void
drops_end(struct drops *d)
{
	LIST_EACH (link, &d->over) {
		list_del(link);
		free(LIST_ITEM(link, struct drop_at, link));
	}
	LIST_EACH (link, &d->open)
		LIST_ITEM(link, struct drop_at, link)->used = false;
}

void
drops_free(struct drops *d)
{
	if (!d)
		return;
	drops_end(d);
	LIST_EACH (link, &d->open)
		at_close(d, LIST_ITEM(link, struct drop_at, link));
	map_done(&d->by_id);
	free(d);
}
