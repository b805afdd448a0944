/* stream_in: the insides of a stream, for its files.
 *
 * From the ground up: stream_life.c: timers and death. stream_io.c: bytes in and out,
 * TLS. stream_race.c: connecting. stream.c: the door. Hosts are called only from event callbacks,
 * between stream_enter and stream_leave; stream_leave says whether the stream
 * is still there. */
#ifndef SYS_STREAM_IN_H
#define SYS_STREAM_IN_H

#include "loop_in.h"
#include "postern/buf.h"
#include "postern/dns.h"
#include "postern/stream.h"
#include "tls_io.h"

struct stream_race;

struct stream_out {
	char *p;
	size_t head, n, cap, max; /* n bytes from p + head */
};

struct stream {
	struct loop *loop;
	const struct stream_calls *calls;
	void *host;
	int fd; /* -1: not yet, or no more */
	struct net_addr peer;
	struct stream_race *race; /* while connecting */
	struct event *readable; /* stays, so that reading costs no epoll_ctl */
	struct event *writable; /* one-shot */
	struct loop_timer *soon; /* what must not happen inside the host's call */
	struct loop_timer *watchdog; /* idle limit, deadline */

	struct tls_io *io;
	struct tls *tls; /* to be started with this context */
	char *tls_name;
	bool handshaking;

	struct buf kept; /* input the host did not use */
	struct stream_out out;
	uint64_t in_bytes, out_bytes;

	int64_t idle_ms, moved_ms, deadline_ms, watched_ms;
	bool paused;
	bool resumed; /* what was kept is to be delivered again */
	bool ended; /* the peer sends no more */
	bool cannot_write; /* the peer takes no more */
	bool closing; /* once the output is out */
	bool lingering; /* it is out: waiting for the peer to hang up */
	bool wrote; /* something is to be reported as drained */
	bool closed, dead;
	int entered;
	enum stream_end end_why; /* with closing */
	struct err said;
};

struct race_try {
	struct stream *s;
	int fd; /* -1: not begun, or failed */
	struct event *ev;
};
struct stream_race {
	struct net_addr addrs[DNS_ADDRS_MAX];
	struct race_try tries[DNS_ADDRS_MAX];
	size_t n, next, open;
	struct loop_timer *stagger;
};

/* ---- stream_life.c ---- */
void *stream_alloc(size_t n);
void stream_bark(void *host); /* the watchdog */
struct stream *stream_make(
		struct loop *l, const struct stream_calls *calls, void *host);
void stream_attach(struct stream *s, int fd); /* the connected fd; makes its events */
void stream_enter(struct stream *s);
bool stream_leave(struct stream *s); /* false: closed or freed, do not touch */
void stream_end(struct stream *s, enum stream_end why, const char *words);
void stream_moved(struct stream *s); /* for the idle limit */
void stream_watch(struct stream *s); /* sets the watchdog anew */
void stream_soon(struct stream *s);

void stream_on_readable(evutil_socket_t fd, short what, void *arg);
void stream_on_writable(evutil_socket_t fd, short what, void *arg);
/* Flushes, starts TLS, goes on reading: whatever is due. On a turn of its own it
 * may also deliver; after a read it must not, or it would go round and round. */
void stream_advance(struct stream *s, bool own_turn);
void stream_want_read(struct stream *s);
/* Puts as much as the kernel takes at once; what it took, for stream_write. */
size_t stream_put_now(struct stream *s, struct span bytes);
void stream_race_free(struct stream *s);

#endif
