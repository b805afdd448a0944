#include "pool.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "hand.h"
#include "poll.h"
#include "postern/clock.h"
#include "postern/descriptors.h"
#include "postern/must.h"
#include "postern/thread.h"
#include "turns.h"

enum {
	STACK = 512 * 1024,
	REST_MS = 10000, /* without work; then a worker goes */
};

enum slot_state { SLOT_IDLE, SLOT_WAITING, SLOT_POLLED };

/* One account. `memo` belongs to the poll under way, the rest to the lock. */
struct slot {
	struct fetch_pool *pool;
	uint32_t account;
	uint32_t ended; /* the account behind it in the pool's list, + 1 */
	enum slot_state state;
	bool asked; /* by its name, since its last poll */
	bool again; /* asked for while its poll was under way */
	bool news; /* in the list of those that ended */
	uint64_t polls;
	int64_t due_ms;
	struct fetch_result *result; /* NULL: never polled */
	struct fetch_memo memo;
};

/* One TLS context for all accounts with the same settings. */
struct context {
	const struct conf_account *like;
	struct tls *tls;
};

struct worker {
	struct list link;
	struct fetch_pool *pool;
	struct thread *thread;
	bool stays; /* also without work */
};

struct fetch_pool {
	struct fetch_options o;
	struct fetch_setup setup;
	struct dial_cancel *cancel;
	atomic_bool ending;
	struct mutex *lock;
	struct cond *work;
	/* under the lock */
	struct slot *slots; /* one per account */
	size_t n;
	struct turns turns; /* of those that wait */
	size_t waiting, polled;
	uint32_t ended; /* the first account whose poll ended, + 1 */
	bool tell_idle, stop, scheduled;
	void (*told)(void *host); /* somebody waits for those that ended */
	struct context *contexts;
	size_t n_contexts;
	struct list workers, gone; /* those that are to be joined */
	size_t n_workers, most_workers;
};

static bool
same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Under the lock: reading the system's authorities takes a while, but once. */
static struct tls *
tls_for(struct fetch_pool *p, const struct conf_account *a, struct err *err)
{
	if (a->tls == CONF_TLS_NONE)
		return NULL;
	for (size_t i = 0; i < p->n_contexts; i++) {
		const struct context *c = &p->contexts[i];

		if (same_text(c->like->tls_ca, a->tls_ca) &&
				same_text(c->like->tls_pin, a->tls_pin))
			return c->tls;
	}

	struct tls *tls = fetch_tls_new(a, err);
	if (tls)
		p->contexts[p->n_contexts++] = (struct context){ a, tls };
	return tls;
}

static void
publish(void *host, const struct fetch_result *r)
{
	struct slot *slot = host;
	struct fetch_pool *p = slot->pool;

	mutex_lock(p->lock);
	*slot->result = *r;
	mutex_unlock(p->lock);
	if (p->o.progress)
		p->o.progress(p->o.host, r);
}

/* ---- whose turn it is; all of it under the lock ---- */

static void
put(struct fetch_pool *p, struct slot *slot)
{
	slot->state = SLOT_WAITING;
	turns_put(&p->turns, slot->account);
	p->waiting++;
}

/* NULL when none may begin. */
static struct slot *
take(struct fetch_pool *p)
{
	size_t account;

	if (!turns_take(&p->turns, &account))
		return NULL;

	struct slot *slot = &p->slots[account];
	slot->state = SLOT_POLLED;
	p->waiting--;
	p->polled++;
	return slot;
}

static void
finish(struct fetch_pool *p, struct slot *slot, enum host_said said)
{
	turns_over(&p->turns, slot->account, said);
	slot->state = SLOT_IDLE;
	slot->polls++;
	p->polled--;
	if (p->told && !slot->news) {
		slot->news = true;
		slot->ended = p->ended;
		p->ended = slot->account + 1;
	}
	if (slot->again && !atomic_load(&p->ending))
		put(p, slot);
	slot->again = false;
}

/* ---- workers ---- */

static enum host_said
host_said(const struct fetch_poll *poll)
{
	if (!poll->result.failed)
		return HOST_GOOD;
	return poll->word == SCHEDULE_IN_USE || poll->word == SCHEDULE_SYS_TEMP ||
					poll->result.error.event ==
							EVENT_CONNECT_ACCOUNT_FAILED
			? HOST_STRAINED
			: HOST_NOTHING;
}

/* Under the lock, which is given back meanwhile. */
static void
poll_slot(struct fetch_pool *p, struct slot *slot)
{
	struct err err = { 0 };
	struct fetch_poll poll = {
		.setup = &p->setup,
		.account = &p->setup.conf->accounts.p[slot->account],
		.cancel = p->cancel,
		.ending = &p->ending,
		.memo = &slot->memo,
		.scheduled = p->scheduled,
		.asked = slot->asked,
		.result = { .account = slot->account },
		.publish = publish,
		.host = slot,
	};
	slot->asked = false;

	if (!slot->result && !(slot->result = malloc(sizeof(*slot->result))))
		abort();
	*slot->result = poll.result;
	poll.tls = tls_for(p, poll.account, &err);
	mutex_unlock(p->lock);
	poll.tls_error = err;
	fetch_poll_run(&poll);
	mutex_lock(p->lock);
	slot->due_ms = poll.due_ms;
	finish(p, slot, host_said(&poll));
}

static void work(void *arg);

static bool
hire(struct fetch_pool *p, bool stays, struct err *err)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	*w = (struct worker){ .pool = p, .stays = stays };
	/* It begins with the lock, which is ours. */
	w->thread = thread_start("poll", STACK, work, w, err);
	if (!w->thread) {
		free(w);
		return false;
	}
	list_add(&p->workers, &w->link);
	p->n_workers++;
	return true;
}

static void
bury(struct list *workers)
{
	LIST_EACH (link, workers) {
		struct worker *w = LIST_ITEM(link, struct worker, link);

		list_del(link);
		thread_join(w->thread);
		free(w);
	}
}

/* Sees to it that somebody takes what may begin; whoever takes it looks again, so
 * that as many come as there is work. */
static void
staff(struct fetch_pool *p)
{
	struct err err;

	bury(&p->gone);
	if (!turns_ready(&p->turns) || p->stop)
		return;
	if (p->n_workers > p->polled)
		cond_signal(p->work);
	else if (p->n_workers < p->most_workers)
		(void)hire(p, false, &err); /* or it waits for those there are */
}

/* Told once all is done; the lock is given back meanwhile. */
static bool
tell_idle(struct fetch_pool *p)
{
	if (p->waiting > 0 || p->polled > 0 || !p->tell_idle)
		return false;
	p->tell_idle = false;
	mutex_unlock(p->lock);
	if (p->o.idle)
		p->o.idle(p->o.host);
	mutex_lock(p->lock);
	return true;
}

static void
work_once(struct fetch_pool *p, struct slot *slot)
{
	staff(p);
	poll_slot(p, slot);
	staff(p);
	if (p->told) {
		mutex_unlock(p->lock);
		p->told(p->o.host);
		mutex_lock(p->lock);
	}
}

static void
work(void *arg)
{
	struct worker *w = arg;
	struct fetch_pool *p = w->pool;
	bool rested = false;

	mutex_lock(p->lock);
	while (!p->stop) {
		struct slot *slot = take(p);

		if (slot) {
			work_once(p, slot);
			rested = false;
		} else if (tell_idle(p)) {
			rested = false;
		} else if (rested) {
			list_del(&w->link);
			list_add(&p->gone, &w->link);
			p->n_workers--;
			break;
		} else {
			int64_t until = w->stays ? -1 : clock_mono_ms() + REST_MS;

			rested = !cond_wait(p->work, p->lock, until);
		}
	}
	mutex_unlock(p->lock);
}

/* ---- the pool ---- */

/* As many as there is work for and the relay has kept room for. */
static size_t
workers_most(const struct fetch_options *o)
{
	const struct conf *c = o->conf;
	size_t n = o->workers ? o->workers : c->accounts.n > 0 ? c->accounts.n : 1;
	struct descriptors d;

	descriptors_divide(descriptors_raise(), o->alone, c->smtp.limits.connections,
			c->delivery.connections, &d);
	return n < d.workers ? n : d.workers;
}

struct fetch_pool *
fetch_pool_new(const struct fetch_options *o, struct err *err)
{
	struct fetch_pool *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->o = *o;
	p->n = o->conf->accounts.n;
	p->most_workers = workers_most(o);
	p->slots = calloc(p->n + 1, sizeof(*p->slots));
	p->contexts = calloc(p->n + 1, sizeof(*p->contexts));
	p->lock = mutex_new();
	p->work = cond_new();
	list_init(&p->workers);
	list_init(&p->gone);
	if (!p->slots || !p->contexts)
		abort();
	/* OpenSSL's goodbye to a peer that has gone would end the process. */
	(void)signal(SIGPIPE, SIG_IGN);
	p->cancel = dial_cancel_new(err);
	bool ok = p->cancel != NULL;
	fetch_setup_init(&p->setup, o->conf, o->state);
	p->setup.life = o->life;
	hand_watch();
	if (o->limits)
		p->setup.limits = *o->limits;
	turns_init(&p->turns, &o->conf->accounts, p->most_workers, p->setup.seed);
	for (size_t i = 0; i < p->n; i++) {
		p->slots[i] = (struct slot){ .pool = p, .account = (uint32_t)i };
		fetch_memo_init(&p->slots[i].memo, p->setup.seed);
	}
	mutex_lock(p->lock);
	ok = ok && hire(p, true, err);
	mutex_unlock(p->lock);
	if (ok)
		return p;
	fetch_pool_free(p);
	return NULL;
}

void
fetch_pool_schedule(struct fetch_pool *p, void (*ended)(void *host))
{
	p->scheduled = true;
	p->told = ended;
}

void
fetch_pool_poll(struct fetch_pool *p, const size_t *accounts, size_t n, bool asked)
{
	mutex_lock(p->lock);
	for (size_t i = 0; i < n; i++) {
		MUST(accounts[i] < p->n);
		struct slot *slot = &p->slots[accounts[i]];

		if (atomic_load(&p->ending))
			continue;
		slot->asked = slot->asked || asked;
		if (slot->state == SLOT_IDLE)
			put(p, slot);
		else
			slot->again = slot->state == SLOT_POLLED;
	}
	p->tell_idle = true;
	if (!turns_ready(&p->turns))
		cond_signal(p->work);
	staff(p);
	mutex_unlock(p->lock);
}

size_t
fetch_pool_ended(struct fetch_pool *p, size_t *accounts, size_t n)
{
	size_t got = 0;

	mutex_lock(p->lock);
	for (; got < n && p->ended > 0; got++) {
		struct slot *slot = &p->slots[p->ended - 1];

		accounts[got] = slot->account;
		slot->news = false;
		p->ended = slot->ended;
	}
	mutex_unlock(p->lock);
	return got;
}

bool
fetch_pool_result(struct fetch_pool *p, size_t account, struct fetch_result *out)
{
	struct fetch_view v;

	if (account >= p->n)
		return false;
	fetch_pool_look(p, account, &v);
	if (v.any)
		*out = v.result;
	return v.any;
}

void
fetch_pool_look(struct fetch_pool *p, size_t account, struct fetch_view *out)
{
	MUST(account < p->n);
	const struct slot *slot = &p->slots[account];

	mutex_lock(p->lock);
	*out = (struct fetch_view){
		.any = slot->result,
		.busy = slot->state != SLOT_IDLE,
		.under_way = slot->state == SLOT_POLLED,
		.polls = slot->polls,
		.due_ms = slot->due_ms,
	};
	if (slot->result)
		out->result = *slot->result;
	mutex_unlock(p->lock);
}

void
fetch_pool_end(struct fetch_pool *p)
{
	mutex_lock(p->lock);
	atomic_store(&p->ending, true);
	for (size_t i = 0; i < p->n && p->waiting > 0; i++) {
		struct slot *slot = &p->slots[i];

		if (slot->state != SLOT_WAITING)
			continue;
		slot->state = SLOT_IDLE;
		turns_drop(&p->turns, i);
		p->waiting--;
	}
	mutex_unlock(p->lock);
}

size_t
fetch_pool_busy(struct fetch_pool *p)
{
	mutex_lock(p->lock);
	size_t busy = p->waiting + p->polled;
	mutex_unlock(p->lock);
	return busy;
}

bool
fetch_pool_idle(struct fetch_pool *p)
{
	return fetch_pool_busy(p) == 0;
}

void
fetch_pool_cancel(struct fetch_pool *p)
{
	fetch_pool_end(p);
	dial_cancel_now(p->cancel);
}

void
fetch_pool_free(struct fetch_pool *p)
{
	if (!p)
		return;
	mutex_lock(p->lock);
	p->stop = true;
	cond_broadcast(p->work);
	mutex_unlock(p->lock);
	/* From here on nobody comes or goes by itself. */
	bury(&p->workers);
	bury(&p->gone);
	for (size_t i = 0; i < p->n_contexts; i++)
		tls_free(p->contexts[i].tls);
	for (size_t i = 0; i < p->n; i++) {
		fetch_memo_done(&p->slots[i].memo);
		free(p->slots[i].result);
	}
	turns_done(&p->turns);
	fetch_setup_done(&p->setup);
	dial_cancel_free(p->cancel);
	cond_free(p->work);
	mutex_free(p->lock);
	free(p->slots);
	free(p->contexts);
	free(p);
}
