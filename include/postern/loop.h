/* loop: one thread that waits for everything: sockets, timers, signals, and
 * other threads.
 *
 * All of it belongs to the thread that calls loop_run; only loop_wake may be
 * called from others. A callback may free the thing it was called for. What
 * was made on a loop is freed before the loop. Make a loop after fork, not
 * before. SIGPIPE is ignored from loop_new on. */
#ifndef POSTERN_LOOP_H
#define POSTERN_LOOP_H

#include <stdint.h>
#include <sys/types.h>

#include "postern/err.h"
#include "postern/net.h"

struct loop;
struct loop_timer;
struct loop_signal;
struct loop_watch;
struct loop_wake;
struct loop_listen;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop *loop_new(struct err *err);
void loop_free(struct loop *l);
/* Runs until loop_stop. false when waiting itself failed. */
bool loop_run(struct loop *l, struct err *err);
/* One round: waits at most wait_ms (< 0: until something happens) and calls
 * what is due. For tests and for `once`. false when nothing is left to wait for. */
bool loop_round(struct loop *l, int64_t wait_ms);
void loop_stop(struct loop *l); /* after the callbacks of this round */
/* Monotonic milliseconds as of the beginning of this round: cheap. */
int64_t loop_now_ms(const struct loop *l);

/* One-shot; may be set again at any time, also from its own callback. */
struct loop_timer *loop_timer_new(struct loop *l, void (*due)(void *host), void *host);
void loop_timer_set(struct loop_timer *t, int64_t in_ms); /* 0: after this callback */
void loop_timer_cancel(struct loop_timer *t);
bool loop_timer_pending(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

struct loop_signal *loop_signal_new(struct loop *l, int signo,
		void (*came)(void *host, int signo), void *host);
void loop_signal_free(struct loop_signal *s);

/* Watches an fd that stays the caller's. Wants nothing at first. `ready` gets
 * the bits that are true now; it is called again as long as they are. */
struct loop_watch *loop_watch_new(struct loop *l, int fd,
		void (*ready)(void *host, int bits), void *host);
void loop_watch_want(struct loop_watch *w, int bits); /* 0: nothing for now */
void loop_watch_free(struct loop_watch *w); /* before the fd is closed */

/* A bell. Many rings before the loop looks are one call. */
struct loop_wake *loop_wake_new(struct loop *l, void (*woken)(void *host), void *host);
void loop_wake(struct loop_wake *w); /* from any thread or signal handler */
void loop_wake_free(struct loop_wake *w);

/* Makes a listening socket: "127.0.0.1:2525", "[::1]:25", "*:25" (both
 * families), "HOST:PORT" with HOST "localhost", or "/PATH", "unix:PATH" (mode
 * 0600; a dead socket file in its place is replaced, a live one is refused).
 * Port 0 takes any free one. -1 and *err. The fd may be passed to a role. */
int listen_open(const char *address, struct err *err);
/* Where an fd listens, with the port the kernel chose. */
bool listen_address(int fd, struct net_addr *out);

struct loop_peer {
	struct net_addr addr;
	uid_t uid; /* unix sockets: who is there (SO_PEERCRED); else (uid_t)-1 */
};

/* Accepts on fd (closed by loop_listen_free). `accepted` owns the new fd,
 * which is non-blocking and close-on-exec, with TCP_NODELAY. Out of
 * descriptors: the caller is taken in with a reserve fd and closed, and
 * accepting rests for 100 ms; `refused` (may be NULL) is told. */
struct loop_listen *loop_listen_new(struct loop *l, int fd,
		void (*accepted)(void *host, int fd, const struct loop_peer *peer),
		void (*refused)(void *host, int no), void *host);
void loop_listen_pause(struct loop_listen *ll, bool pause);
void loop_listen_free(struct loop_listen *ll);

#endif
