#include "pool.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "poll.h"
#include "postern/must.h"
#include "postern/thread.h"

enum { WORKERS_MAX = 64, STACK = 512 * 1024 };

enum slot_state { SLOT_IDLE, SLOT_WAITING, SLOT_POLLED };

/* One account. `memo` belongs to the poll under way, the rest to the lock. */
struct slot {
	struct fetch_pool *pool;
	size_t account;
	enum slot_state state;
	struct fetch_result result;
	uint64_t polls;
	bool any;
	bool again; /* asked for while its poll was under way */
	int64_t next_ms;
	struct fetch_memo memo;
};

/* One TLS context for all accounts with the same settings. */
struct context {
	const struct conf_account *like;
	struct tls *tls;
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
	size_t *queue; /* accounts that wait, oldest first; a ring of n */
	size_t first, waiting, polled;
	bool tell_idle, stop, scheduled;
	void (*ended)(void *host);
	struct context *contexts; /* at most n */
	size_t n_contexts;
	struct thread *workers[WORKERS_MAX];
	size_t n_workers;
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
	slot->result = *r;
	mutex_unlock(p->lock);
	if (p->o.progress)
		p->o.progress(p->o.host, r);
}

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
		.result = { .account = slot->account },
		.publish = publish,
		.host = slot,
	};

	slot->result = poll.result;
	slot->any = true;
	poll.tls = tls_for(p, poll.account, &err);
	mutex_unlock(p->lock);
	poll.tls_error = err;
	fetch_poll_run(&poll);
	mutex_lock(p->lock);
	slot->next_ms = poll.next_ms;
	slot->polls++;
}

/* Under the lock. */
static void
put(struct fetch_pool *p, struct slot *slot)
{
	slot->state = SLOT_WAITING;
	p->queue[(p->first + p->waiting) % p->n] = slot->account;
	p->waiting++;
}

/* Under the lock: the next account that waits, or NULL when there is no work. */
static struct slot *
take(struct fetch_pool *p)
{
	if (p->waiting == 0)
		return NULL;

	struct slot *slot = &p->slots[p->queue[p->first]];
	p->first = (p->first + 1) % p->n;
	p->waiting--;
	p->polled++;
	slot->state = SLOT_POLLED;
	return slot;
}

static void
work(void *arg)
{
	struct fetch_pool *p = arg;

	mutex_lock(p->lock);
	while (!p->stop) {
		struct slot *slot = take(p);

		if (slot) {
			poll_slot(p, slot);
			slot->state = SLOT_IDLE;
			p->polled--;
			if (slot->again && !atomic_load(&p->ending))
				put(p, slot);
			slot->again = false;
			if (p->ended) {
				mutex_unlock(p->lock);
				p->ended(p->o.host);
				mutex_lock(p->lock);
			}
		}
		if (p->waiting == 0 && p->polled == 0 && p->tell_idle) {
			p->tell_idle = false;
			mutex_unlock(p->lock);
			if (p->o.idle)
				p->o.idle(p->o.host);
			mutex_lock(p->lock);
		} else if (!slot) {
			(void)cond_wait(p->work, p->lock, -1);
		}
	}
	mutex_unlock(p->lock);
}

static bool
start_workers(struct fetch_pool *p, struct err *err)
{
	size_t n = p->o.workers ? p->o.workers : p->n;

	n = n > WORKERS_MAX ? WORKERS_MAX : n;
	for (n = n ? n : 1; p->n_workers < n; p->n_workers++) {
		p->workers[p->n_workers] = thread_start("poll", STACK, work, p, err);
		if (!p->workers[p->n_workers])
			return false;
	}
	return true;
}

struct fetch_pool *
fetch_pool_new(const struct fetch_options *o, struct err *err)
{
	struct fetch_pool *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->o = *o;
	p->n = o->conf->accounts.n;
	p->slots = calloc(p->n + 1, sizeof(*p->slots));
	p->queue = calloc(p->n + 1, sizeof(*p->queue));
	p->contexts = calloc(p->n + 1, sizeof(*p->contexts));
	p->lock = mutex_new();
	p->work = cond_new();
	if (!p->slots || !p->queue || !p->contexts)
		abort();
	/* OpenSSL's goodbye to a peer that has gone would end the process. */
	(void)signal(SIGPIPE, SIG_IGN);
	p->cancel = dial_cancel_new(err);
	bool ok = p->cancel && fetch_setup_init(&p->setup, o->conf, o->state, err);
	for (size_t i = 0; i < p->n; i++) {
		p->slots[i] = (struct slot){ .pool = p, .account = i };
		fetch_memo_init(&p->slots[i].memo, p->setup.seed);
	}
	if (ok && start_workers(p, err))
		return p;
	fetch_pool_free(p);
	return NULL;
}

void
fetch_pool_schedule(struct fetch_pool *p, void (*ended)(void *host))
{
	p->scheduled = true;
	p->ended = ended;
}

void
fetch_pool_poll(struct fetch_pool *p, const size_t *accounts, size_t n)
{
	mutex_lock(p->lock);
	for (size_t i = 0; i < n; i++) {
		MUST(accounts[i] < p->n);
		struct slot *slot = &p->slots[accounts[i]];

		if (atomic_load(&p->ending))
			continue;
		if (slot->state == SLOT_IDLE)
			put(p, slot);
		slot->again = slot->state == SLOT_POLLED;
	}
	p->tell_idle = true;
	cond_broadcast(p->work);
	mutex_unlock(p->lock);
}

bool
fetch_pool_result(struct fetch_pool *p, size_t account, struct fetch_result *out)
{
	mutex_lock(p->lock);
	bool any = account < p->n && p->slots[account].any;
	if (any)
		*out = p->slots[account].result;
	mutex_unlock(p->lock);
	return any;
}

void
fetch_pool_look(struct fetch_pool *p, size_t account, struct fetch_view *out)
{
	MUST(account < p->n);
	mutex_lock(p->lock);
	const struct slot *slot = &p->slots[account];
	*out = (struct fetch_view){
		.result = slot->result,
		.any = slot->any,
		.busy = slot->state != SLOT_IDLE,
		.under_way = slot->state == SLOT_POLLED,
		.polls = slot->polls,
		.next_ms = slot->next_ms,
	};
	mutex_unlock(p->lock);
}

void
fetch_pool_end(struct fetch_pool *p)
{
	mutex_lock(p->lock);
	atomic_store(&p->ending, true);
	for (; p->waiting > 0; p->waiting--, p->first = (p->first + 1) % p->n)
		p->slots[p->queue[p->first]].state = SLOT_IDLE;
	mutex_unlock(p->lock);
}

bool
fetch_pool_idle(struct fetch_pool *p)
{
	mutex_lock(p->lock);
	bool idle = p->waiting + p->polled == 0;
	mutex_unlock(p->lock);
	return idle;
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
	for (size_t i = 0; i < p->n_workers; i++)
		thread_join(p->workers[i]);
	for (size_t i = 0; i < p->n_contexts; i++)
		tls_free(p->contexts[i].tls);
	for (size_t i = 0; i < p->n; i++)
		fetch_memo_done(&p->slots[i].memo);
	fetch_setup_done(&p->setup);
	dial_cancel_free(p->cancel);
	cond_free(p->work);
	mutex_free(p->lock);
	free(p->slots);
	free(p->queue);
	free(p->contexts);
	free(p);
}

bool
fetch_try(const struct conf *conf, size_t account, struct fetch_result *result)
{
	struct fetch_setup setup;
	struct fetch_memo memo;
	atomic_bool ending = false;
	struct err err = { 0 };
	const struct conf_account *a = &conf->accounts.p[account];

	*result = (struct fetch_result){ .account = account, .finished = true };
	if (!fetch_setup_init(&setup, conf, conf->server.state, &result->error)) {
		result->failed = true;
		return false;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	fetch_memo_init(&memo, setup.seed);

	struct fetch_poll poll = {
		.setup = &setup,
		.account = a,
		.ending = &ending,
		.memo = &memo,
		.look_only = true,
		.result = { .account = account },
	};
	if (a->tls != CONF_TLS_NONE)
		poll.tls = fetch_tls_new(a, &err);
	poll.tls_error = err;
	fetch_poll_run(&poll);
	*result = poll.result;
	tls_free(poll.tls);
	fetch_memo_done(&memo);
	fetch_setup_done(&setup);
	return !result->failed;
}
