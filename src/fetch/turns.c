#include "turns.h"

#include <stdlib.h>
#include <string.h>

#include "mailbox.h"
#include "postern/arena.h"
#include "postern/must.h"

/* One provider's server: its accounts that wait, and how many it gets at once. */
struct host {
	struct list ready; /* in the list of those while a poll of it may begin */
	struct list waiting; /* turns, oldest first */
	struct host_limit limit;
	size_t key_n;
	char key[];
};

/* A mailbox that several accounts name: one of them at a time. */
struct shared {
	struct list link;
	struct list waiting; /* turns that came while it was polled */
	bool polled;
};

struct turn {
	struct list link; /* in its host's list while it waits, or in shared's */
	struct host *host;
	struct shared *shared; /* NULL: the mailbox is this account's alone */
	unsigned begun; /* what the host's limit gave for its poll */
};

static void *
take_zeroed(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		abort();
	return p;
}

static struct host *
host_of(struct turns *t, const struct conf_account *a)
{
	AUTO(buf_done) struct buf key = BUF_MAX(1024);

	MUST(host_key(&a->server, &key));
	struct host *h = map_get(&t->hosts, buf_span(&key));
	if (h)
		return h;
	h = take_zeroed(sizeof(*h) + key.n);
	list_init(&h->ready);
	list_init(&h->waiting);
	h->key_n = key.n;
	memcpy(h->key, key.p, key.n);
	(void)map_put(&t->hosts, (struct span){ h->key, h->key_n }, h);
	return h;
}

/* Accounts of one mailbox; the configuration was warned of. */
static void
shared_init(struct turns *t, const struct conf_accounts *accounts,
		const uint64_t seed[2])
{
	struct arena keys = ARENA_MAX(64 * 1024 * 1024);
	struct map seen;

	map_init(&seen, seed[0], seed[1]);
	for (size_t i = 0; i < accounts->n; i++) {
		AUTO(buf_done) struct buf key = BUF_MAX(2048);

		MUST(mailbox_key(&accounts->p[i], &key));
		struct span kept = arena_dup(&keys, buf_span(&key));
		MUST(kept.p);
		struct turn *first = map_get(&seen, kept);
		if (!first) {
			(void)map_put(&seen, kept, &t->all[i]);
			continue;
		}
		if (!first->shared) {
			first->shared = take_zeroed(sizeof(*first->shared));
			list_init(&first->shared->waiting);
			list_add(&t->shared, &first->shared->link);
		}
		t->all[i].shared = first->shared;
	}
	map_done(&seen);
	arena_done(&keys);
}

void
turns_init(struct turns *t, const struct conf_accounts *accounts, size_t workers,
		const uint64_t seed[2])
{
	size_t at = 0;

	*t = (struct turns){ .all = take_zeroed((accounts->n + 1) * sizeof(*t->all)) };
	map_init(&t->hosts, seed[0], seed[1]);
	list_init(&t->ready);
	list_init(&t->shared);
	for (size_t i = 0; i < accounts->n; i++) {
		list_init(&t->all[i].link);
		t->all[i].host = host_of(t, &accounts->p[i]);
	}
	shared_init(t, accounts, seed);
	for (struct map_slot *m; (m = map_next(&t->hosts, &at));) {
		struct host *h = m->value;

		host_limit_init(&h->limit, (unsigned)workers, t->hosts.n > 1);
	}
}

void
turns_done(struct turns *t)
{
	size_t at = 0;

	if (!t->all)
		return;
	for (struct map_slot *m; (m = map_next(&t->hosts, &at));)
		free(m->value);
	map_done(&t->hosts);
	LIST_EACH (link, &t->shared)
		free(LIST_ITEM(link, struct shared, link));
	free(t->all);
	*t = (struct turns){ 0 };
}

static void
offer(struct turns *t, struct host *h)
{
	if (list_empty(&h->ready) && !list_empty(&h->waiting) &&
			host_limit_room(&h->limit))
		list_add(&t->ready, &h->ready);
}

void
turns_put(struct turns *t, size_t account)
{
	struct turn *turn = &t->all[account];

	list_add(&turn->host->waiting, &turn->link);
	offer(t, turn->host);
}

void
turns_drop(struct turns *t, size_t account)
{
	struct turn *turn = &t->all[account];

	list_del(&turn->link);
	if (list_empty(&turn->host->waiting))
		list_del(&turn->host->ready);
}

bool
turns_ready(const struct turns *t)
{
	return !list_empty(&t->ready);
}

/* Of a host, past those whose mailbox is polled under another name; NULL: none. */
static struct turn *
oldest(struct host *h)
{
	while (!list_empty(&h->waiting)) {
		struct turn *turn = LIST_ITEM(h->waiting.next, struct turn, link);

		list_del(&turn->link);
		if (!turn->shared || !turn->shared->polled)
			return turn;
		list_add(&turn->shared->waiting, &turn->link);
	}
	return NULL;
}

bool
turns_take(struct turns *t, size_t *account)
{
	while (!list_empty(&t->ready)) {
		struct host *h = LIST_ITEM(t->ready.next, struct host, ready);
		struct turn *turn = oldest(h);

		list_del(&h->ready);
		if (!turn)
			continue;
		turn->begun = host_limit_begin(&h->limit);
		if (turn->shared)
			turn->shared->polled = true;
		offer(t, h);
		*account = (size_t)(turn - t->all);
		return true;
	}
	return false;
}

/* The mailbox is free for those who wait for it; they were asked for first. */
static void
share(struct shared *s, struct host *h)
{
	s->polled = false;
	while (!list_empty(&s->waiting)) {
		struct list *last = s->waiting.prev;

		list_del(last);
		list_add(h->waiting.next, last);
	}
}

void
turns_over(struct turns *t, size_t account, enum host_said said)
{
	struct turn *turn = &t->all[account];

	host_limit_end(&turn->host->limit, turn->begun, said);
	if (turn->shared)
		share(turn->shared, turn->host);
	offer(t, turn->host);
}
