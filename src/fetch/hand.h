/* hand: which message is being handled, told to whoever comes after a crash.
 *
 * A message whose bytes end this process would do so again at every poll. Its
 * unique-id stands in a small mapped file below run/ while it is handled: no
 * system call for each message, and it survives the process (not a power cut,
 * which no message causes).
 *
 * Blamed is a message only for what it may have done: a fault of the thread that had it
 * in its hand (SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE; noted by a handler before the
 * process dies), or an end of the collector alone, whatever ended it, while the service
 * lived on and started another one (the same `life`). A stop, a power cut, a kill of the
 * whole service, and of `once`, which has nobody over it, blame nobody: whoever ends
 * `once` each time at the same slow message must not have it set aside. */
#ifndef FETCH_HAND_H
#define FETCH_HAND_H

#include <stdint.h>

#include "postern/span.h"

struct hand;

enum { HAND_BLAMED = 8 };

/* Opens the account's for this thread, and blames what an earlier process had in its hand.
 * NULL where it cannot be had, which costs only this. life: see struct fetch_role. */
struct hand *hand_open(const char *state, struct span account, uint64_t life);
/* Has the faults of threads that opened a hand noted in it, once for the process. */
void hand_watch(void);
/* The i-th message that is blamed, and how often since the last hand_close; 0: none. */
unsigned hand_blamed(const struct hand *h, size_t i, struct span *uid);
void hand_take(struct hand *h, struct span uid); /* NULL is welcome, here and below */
void hand_drop(struct hand *h);
/* The poll ended in order: nothing is in hand, and nobody is blamed any more. */
void hand_close(struct hand *h);

#endif
