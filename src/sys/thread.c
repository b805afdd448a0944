#include "postern/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "postern/clock.h"
#include "postern/must.h"

enum { STACK_PRESET = 256 * 1024 };

struct thread {
	pthread_t id;
	void (*run)(void *arg);
	void *arg;
};

struct mutex {
	pthread_mutex_t m;
};

struct cond {
	pthread_cond_t c;
};

struct mailbox {
	struct mutex *lock;
	struct cond *came;
	struct list items;
	bool poked;
	bool waiting;
};

static void *
thread_body(void *self)
{
	const struct thread *t = self;

	t->run(t->arg);
	return NULL;
}

struct thread *
thread_start(const char *name, size_t stack, void (*run)(void *arg), void *arg,
		struct err *err)
{
	struct thread *t = calloc(1, sizeof(*t));
	pthread_attr_t attr;
	sigset_t all, before;

	if (!t)
		abort();
	t->run = run;
	t->arg = arg;

	MUST(pthread_attr_init(&attr) == 0);
	MUST(pthread_attr_setstacksize(&attr, stack ? stack : STACK_PRESET) == 0);
	/* The new thread inherits the mask; signals stay with the loop's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int no = pthread_create(&t->id, &attr, thread_body, t);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	if (no != 0) {
		free(t);
		(void)err_errno(err, 0, no, "cannot start the thread %s", name);
		return NULL;
	}
	(void)pthread_setname_np(t->id, name);
	return t;
}

void
thread_join(struct thread *t)
{
	if (!t)
		return;
	MUST(pthread_join(t->id, NULL) == 0);
	free(t);
}

struct mutex *
mutex_new(void)
{
	struct mutex *m = calloc(1, sizeof(*m));

	if (!m)
		abort();
	MUST(pthread_mutex_init(&m->m, NULL) == 0);
	return m;
}

void
mutex_free(struct mutex *m)
{
	if (!m)
		return;
	MUST(pthread_mutex_destroy(&m->m) == 0);
	free(m);
}

void
mutex_lock(struct mutex *m)
{
	MUST(pthread_mutex_lock(&m->m) == 0);
}

void
mutex_unlock(struct mutex *m)
{
	MUST(pthread_mutex_unlock(&m->m) == 0);
}

struct cond *
cond_new(void)
{
	struct cond *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	if (!c)
		abort();
	MUST(pthread_condattr_init(&attr) == 0);
	MUST(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	MUST(pthread_cond_init(&c->c, &attr) == 0);
	(void)pthread_condattr_destroy(&attr);
	return c;
}

void
cond_free(struct cond *c)
{
	if (!c)
		return;
	MUST(pthread_cond_destroy(&c->c) == 0);
	free(c);
}

bool
cond_wait(struct cond *c, struct mutex *m, int64_t deadline_ms)
{
	if (deadline_ms < 0) {
		MUST(pthread_cond_wait(&c->c, &m->m) == 0);
		return true;
	}

	struct timespec until = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};
	int no = pthread_cond_timedwait(&c->c, &m->m, &until);
	MUST(no == 0 || no == ETIMEDOUT);
	return no == 0;
}

void
cond_signal(struct cond *c)
{
	MUST(pthread_cond_signal(&c->c) == 0);
}

void
cond_broadcast(struct cond *c)
{
	MUST(pthread_cond_broadcast(&c->c) == 0);
}

struct mailbox *
mailbox_new(void)
{
	struct mailbox *mb = calloc(1, sizeof(*mb));

	if (!mb)
		abort();
	mb->lock = mutex_new();
	mb->came = cond_new();
	list_init(&mb->items);
	return mb;
}

void
mailbox_free(struct mailbox *mb)
{
	if (!mb)
		return;
	cond_free(mb->came);
	mutex_free(mb->lock);
	free(mb);
}

bool
mailbox_post(struct mailbox *mb, struct list *link)
{
	mutex_lock(mb->lock);
	bool first = list_empty(&mb->items);
	bool wake = mb->waiting;
	list_add(&mb->items, link);
	mutex_unlock(mb->lock);
	/* Outside the lock, so that the taker need not wait for it at once. It frees
	 * the mailbox only after its posters are gone. */
	if (wake && first)
		cond_signal(mb->came);
	return first;
}

bool
mailbox_take_all(struct mailbox *mb, struct list *out, int64_t wait_ms)
{
	mutex_lock(mb->lock);
	if (wait_ms != 0 && list_empty(&mb->items)) {
		int64_t until = wait_ms < 0 ? -1 : clock_mono_ms() + wait_ms;

		mb->waiting = true;
		while (list_empty(&mb->items) && !mb->poked)
			if (!cond_wait(mb->came, mb->lock, until))
				break;
		mb->waiting = false;
		mb->poked = false;
	}
	bool any = !list_empty(&mb->items);
	if (any) {
		/* The whole ring in one cut, behind what out holds. */
		struct list *first = mb->items.next, *last = mb->items.prev;

		first->prev = out->prev;
		out->prev->next = first;
		last->next = out;
		out->prev = last;
		list_init(&mb->items);
	}
	mutex_unlock(mb->lock);
	return any;
}

void
mailbox_poke(struct mailbox *mb)
{
	mutex_lock(mb->lock);
	mb->poked = true;
	bool wake = mb->waiting;
	mutex_unlock(mb->lock);
	if (wake)
		cond_signal(mb->came);
}
