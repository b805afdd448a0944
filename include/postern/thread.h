/* thread: threads, and the mailbox by which they talk.
 *
 * A struct belongs to one thread. It crosses to another by being posted: from
 * then on it is the taker's. Mutexes are for the insides of sys and for small
 * tables that several threads look into; nothing else shares memory. */
#ifndef POSTERN_THREAD_H
#define POSTERN_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/err.h"
#include "postern/list.h"

struct thread;
struct mutex;
struct cond;
struct mailbox;

/* Starts run(arg) on a new thread with all signals blocked (they belong to the
 * loop). stack is in bytes, 0: 256 KiB. name, at most 15 characters, shows in
 * top and gdb. NULL and *err when the system refuses. */
struct thread *thread_start(const char *name, size_t stack, void (*run)(void *arg),
		void *arg, struct err *err);
/* Waits for its end and frees it. NULL is fine. */
void thread_join(struct thread *t);

struct mutex *mutex_new(void);
void mutex_free(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);

struct cond *cond_new(void);
void cond_free(struct cond *c);
/* Sleeps until signalled or until the monotonic moment, with m given back
 * meanwhile. deadline_ms < 0: without end. false: the moment came. Wakes may
 * be spurious: ask again what you wait for. */
bool cond_wait(struct cond *c, struct mutex *m, int64_t deadline_ms);
void cond_signal(struct cond *c); /* wakes one */
void cond_broadcast(struct cond *c); /* wakes all */

/* A mailbox: many post, one takes. Without a limit of its own: the posters'
 * work must be bounded by their rooms. Items keep their order. */
struct mailbox *mailbox_new(void);
void mailbox_free(struct mailbox *mb); /* must be empty, or what is in it leaks */
/* Puts the link of an owned struct in. true when nothing lay in it before: a
 * taker that sleeps elsewhere (a loop) is to be woken then, and only then. */
bool mailbox_post(struct mailbox *mb, struct list *link);
/* Moves all there is behind *out (an initialised head), oldest first, and says
 * whether there was any. Waits for the first at most wait_ms; 0 does not wait,
 * < 0 waits without end. mailbox_poke ends the wait early. */
bool mailbox_take_all(struct mailbox *mb, struct list *out, int64_t wait_ms);
/* Ends the present or the next wait of the taker, with nothing posted. */
void mailbox_poke(struct mailbox *mb);

#endif
