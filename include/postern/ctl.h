/* ctl: the control protocol between our own processes, both ends.
 *
 * Frames on a unix socket (run/relay.ctl, run/fetch.ctl): four bytes length of
 * what follows, one byte kind, then the body, numbers in little endian. Bodies
 * are written and read by the put and get calls; every length is checked by the
 * reader, so a peer that was taken over can at worst say something false. Only
 * root and our own user are listened to (SO_PEERCRED). */
#ifndef POSTERN_CTL_H
#define POSTERN_CTL_H

#include <stdint.h>

#include "postern/buf.h"
#include "postern/err.h"

enum { CTL_BODY_MAX = 1024 * 1024 };

/* Who asks whom, and what the body holds. */
enum ctl_kind {
	CTL_OK = 1, /* answer: done. Body: nothing, or what the question names */
	CTL_FAILED, /* answer: span with the reason */
	CTL_WAKE, /* to relay: queue or policies were changed in the store. -> OK */
	CTL_SETTLED, /* to relay: span account, u64 n, n times span uidl: the provider
	                confirmed QUIT. -> OK when it is in the store */
	CTL_LISTED, /* to relay: span account, u64 continued (1: of the same listing as the
	               frame before), and of a complete listing three times u64 n, n times
	               span uidl: those it lacks, those that are back, those to forget. -> OK */
	CTL_POLLED, /* to relay: span account, span result as JSON, u64 (1: the memory is
	               new) span memory, span session: for `accounts`. -> OK */
	CTL_POLL, /* to fetch: u64 n, n times span account; none: all. -> PROGRESS..., OK */
	CTL_PROGRESS, /* from fetch: span account, span words, u64 listed, u64 collected,
	                 u64 octets, u64 finished, u64 failed */
	CTL_STATUS, /* to anybody. -> OK with a span of JSON */
	CTL_RELOAD, /* to relay: the configuration's file is another one. -> OK when it is in
	               use, FAILED when that takes another start */
};

bool ctl_put_u64(struct buf *body, uint64_t n) __attribute__((warn_unused_result));
bool ctl_put_span(struct buf *body, struct span s) __attribute__((warn_unused_result));

/* The getters cut the value off *body; false when it does not hold one. Spans
 * point into the body. */
bool ctl_get_u64(struct span *body, uint64_t *out) __attribute__((warn_unused_result));
bool ctl_get_span(struct span *body, struct span *out)
		__attribute__((warn_unused_result));

/* Appends a whole frame. */
bool ctl_frame(struct buf *out, enum ctl_kind kind, struct span body)
		__attribute__((warn_unused_result));

enum ctl_step { CTL_BROKEN = -1, CTL_MORE = 0, CTL_ONE = 1 };
/* Cuts the first frame off *in; the body points into it. */
enum ctl_step ctl_unframe(struct span *in, enum ctl_kind *kind, struct span *body);

/* --- The asking end: blocks, with a limit on every wait. --- */

struct ctl_client;

/* NULL when nobody listens at the path: no service runs there. */
struct ctl_client *ctl_connect(const char *path, int64_t wait_ms, struct err *err);
bool ctl_send(struct ctl_client *c, enum ctl_kind kind, struct span body,
		struct err *err);
/* The next frame; the body is valid until the next call. */
bool ctl_receive(struct ctl_client *c, int64_t wait_ms, enum ctl_kind *kind,
		struct span *body, struct err *err);
/* Sends and waits for OK; false with the peer's reason when it says FAILED. */
bool ctl_ask(struct ctl_client *c, enum ctl_kind kind, struct span body,
		struct err *err);
void ctl_client_free(struct ctl_client *c); /* NULL is welcome */

/* --- The answering end: on a loop. --- */

struct loop;
struct ctl_server;
struct ctl_peer;

struct ctl_calls {
	/* A frame came. The answer may be given now or later by ctl_reply. */
	void (*said)(void *host, struct ctl_peer *peer, enum ctl_kind kind,
			struct span body);
	/* The peer is gone; it must not be used any more. */
	void (*gone)(void *host, struct ctl_peer *peer);
};

/* Listens at the path (mode 0600; a dead socket there is replaced). */
struct ctl_server *ctl_server_new(struct loop *l, const char *path,
		const struct ctl_calls *calls, void *host, struct err *err);
void ctl_server_free(struct ctl_server *s); /* drops the peers without `gone` */
/* False when the peer reads too slowly: it is dropped then. */
bool ctl_reply(struct ctl_peer *peer, enum ctl_kind kind, struct span body);

#endif
