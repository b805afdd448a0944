/* desk: where other threads hand work to the store thread. */
#include <stdlib.h>

#include "postern/clock.h"
#include "postern/must.h"
#include "postern/thread.h"
#include "state.h"

enum {
	STACK = 1024 * 1024, /* SQLite's own frames are large */
	/* One group: enough to share a sync among many, and not so much that the first of
	 * them waits long for the last. */
	GROUP_JOBS = 1000,
	GROUP_OCTETS = 8 * 1024 * 1024,
	GATHER_PERCENT = 30,
	/* Where a sync takes less than this, waking a thread costs as much as the sync, and
	 * groups would stay small for nothing. */
	GATHER_LEAST_US = 1000,
};

struct store_port {
	struct store *store;
	struct mutex *lock; /* held over the wake, so that its owner may free the port
			     * as soon as it has taken its last completion */
	struct list done;
	void (*wake)(void *arg);
	void *arg;
};

/* One hand-over. It travels as one, so that it is never torn into two groups by a
 * store thread that is quicker than the poster. */
struct batch {
	struct list link;
	struct list jobs;
};

struct store_port *
store_port_new(struct store *s, void (*wake)(void *arg), void *arg)
{
	struct store_port *p = calloc(1, sizeof *p);
	MUST(p);
	p->store = s;
	p->lock = mutex_new();
	list_init(&p->done);
	p->wake = wake;
	p->arg = arg;
	return p;
}

void
store_port_free(struct store_port *p)
{
	if (!p)
		return;
	mutex_free(p->lock);
	free(p);
}

/* Moves everything on `from` behind `to`. */
static void
splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

void
store_port_submit(struct store_port *p, struct list *jobs)
{
	if (list_empty(jobs))
		return;
	struct batch *b = malloc(sizeof *b);
	MUST(b);
	list_init(&b->jobs);
	LIST_EACH (at, jobs)
		LIST_ITEM(at, struct store_job, link)->port = p;
	splice(&b->jobs, jobs);
	mailbox_post(p->store->inbox, &b->link);
}

void
store_port_take(struct store_port *p, struct list *done)
{
	mutex_lock(p->lock);
	splice(done, &p->done);
	mutex_unlock(p->lock);
}

/* What the thread has before it. */
struct desk {
	struct store *store;
	struct list waiting;
	int64_t answered_us; /* when the last group was */
	size_t answered, back; /* its submissions, and those that have come since */
};

static size_t
submissions(const struct list *jobs)
{
	size_t n = 0;
	LIST_EACH (at, jobs)
		n += LIST_ITEM(at, struct store_job, link)->work == STORE_SUBMIT;
	return n;
}

static void
unpack(struct desk *d, int64_t wait_ms)
{
	struct list batches;
	list_init(&batches);
	(void)mailbox_take_all(d->store->inbox, &batches, wait_ms);
	LIST_EACH (at, &batches) {
		struct batch *b = LIST_ITEM(at, struct batch, link);
		d->back += submissions(&b->jobs);
		splice(&d->waiting, &b->jobs);
		free(b);
	}
}

/* While others are about to end their transactions it pays to wait a little, since
 * the sync that they would need is saved: never longer than a part of one sync, and
 * never when nobody is expected.
 *
 * Those who were just answered are about to begin their next one. Without them clients that
 * wait for each answer fall into two halves, each with a sync of its own. They are
 * expected for a part of a sync from their answers on, so a message that comes later, or
 * comes from the only client there is, waits for nobody. */
static void
gather(struct desk *d)
{
	struct store *s = d->store;
	int64_t share_us = (int64_t)(atomic_load(&s->sync_us) * GATHER_PERCENT / 100);
	while (d->back < d->answered) {
		int64_t left_us = d->answered_us + share_us - clock_mono_us();
		if (left_us < GATHER_LEAST_US)
			break;
		unpack(d, (left_us + 999) / 1000);
	}
	int64_t until = clock_mono_us() +
			(share_us > GATHER_LEAST_US ? share_us : GATHER_LEAST_US);
	while (atomic_load(&s->about_to_end) > 0) {
		int64_t left_us = until - clock_mono_us();
		if (left_us <= 0)
			return;
		unpack(d, (left_us + 999) / 1000);
	}
}

static void
cut_group(struct list *waiting, struct list *group)
{
	size_t jobs = 0, sum = 0;
	while (!list_empty(waiting) && jobs < GROUP_JOBS && sum < GROUP_OCTETS) {
		struct list *at = waiting->next;
		sum += (size_t)group_octets(LIST_ITEM(at, struct store_job, link));
		jobs++;
		list_del(at);
		list_add(group, at);
	}
}

/* A port is woken when nothing lay in it before: whoever has not taken that yet was
 * woken for it already. */
static void
answer(struct list *group)
{
	while (!list_empty(group)) {
		struct store_port *p =
				LIST_ITEM(group->next, struct store_job, link)->port;
		struct list own;
		list_init(&own);
		LIST_EACH (at, group)
			if (LIST_ITEM(at, struct store_job, link)->port == p) {
				list_del(at);
				list_add(&own, at);
			}
		mutex_lock(p->lock);
		bool first = list_empty(&p->done);
		splice(&p->done, &own);
		if (first)
			p->wake(p->arg);
		mutex_unlock(p->lock);
	}
}

static void
run(void *arg)
{
	struct desk d = { .store = arg };
	struct store *s = d.store;
	struct list group;
	list_init(&d.waiting);
	list_init(&group);
	int64_t again_ms = space_tidy(s);
	for (;;) {
		bool idle = list_empty(&d.waiting);
		/* Asked before the last look into the mailbox, so that nothing is left there. */
		bool stopping = atomic_load(&s->stopping);
		int64_t rest_ms = again_ms >= 0 && again_ms < LOOK_MS ? again_ms
								      : LOOK_MS;
		unpack(&d, idle && !stopping ? rest_ms : 0);
		if (list_empty(&d.waiting)) {
			if (stopping)
				return;
			transaction_look(s);
			again_ms = space_tidy(s);
			continue;
		}
		if (!stopping)
			gather(&d);
		cut_group(&d.waiting, &group);
		group_run(s, &group);
		unpack(&d, 0); /* who came during the sync is nobody that it answers */
		d.answered = submissions(&group);
		d.back = 0;
		answer(&group);
		d.answered_us = clock_mono_us();
		again_ms = space_tidy(s);
	}
}

bool
store_start(struct store *s, struct err *e)
{
	MUST(!s->thread && !s->inbox);
	s->inbox = mailbox_new();
	s->thread = thread_start("store", STACK, run, s, e);
	return s->thread != NULL;
}

void
store_stop(struct store *s)
{
	if (!s->thread)
		return;
	atomic_store(&s->stopping, true);
	mailbox_poke(s->inbox);
	thread_join(s->thread);
	s->thread = NULL;
}
