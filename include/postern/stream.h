/* stream: a connection on the loop, plain or TLS.
 *
 * Reads land in one buffer that all streams of a loop share (256 KiB), so an
 * idle connection costs little. What the host does not use of it is kept until
 * more comes. Writes are gathered: many small ones from one callback are one
 * system call. A host may call anything, stream_free too, from any callback.
 * After `closed` the fd is closed; the host then frees the stream, at once or
 * later. stream_free without `closed` closes silently. */
#ifndef POSTERN_STREAM_H
#define POSTERN_STREAM_H

#include <stdint.h>

#include "postern/err.h"
#include "postern/loop.h"
#include "postern/net.h"
#include "postern/span.h"
#include "postern/tls.h"

struct stream;

enum stream_end {
	STREAM_EOF, /* the peer ended its side, and our last bytes are out */
	STREAM_RESET, /* the connection broke */
	STREAM_REFUSED, /* it never came about */
	STREAM_IDLE, /* nothing moved for the idle limit */
	STREAM_DEADLINE, /* the absolute deadline passed */
	STREAM_CERTIFICATE, /* the peer is not who it should be */
	STREAM_TLS, /* TLS failed otherwise */
	STREAM_INJECTED, /* plain bytes behind STARTTLS (CVE-2011-0411) */
	STREAM_OVERRUN, /* the host left a full buffer unused without pausing */
	STREAM_FLUSHED, /* stream_close_when_flushed is done */
};

enum { STREAM_READ_MAX = 256 * 1024 };

struct stream_calls {
	/* Connected, or the handshake is done. Not called for a plain accepted fd. */
	void (*opened)(void *host);
	/* Bytes came; returns how many of them were used. The rest comes again with
	 * more behind it, or after stream_resume. */
	size_t (*bytes)(void *host, struct span in);
	/* All output is with the kernel. May be NULL. */
	void (*drained)(void *host);
	/* The peer will send no more; output still goes out. NULL: the stream is
	 * closed once the output is out. A host that has the callback closes. */
	void (*ended)(void *host);
	void (*closed)(void *host, enum stream_end why, const char *words);
};

/* Takes an accepted or otherwise connected non-blocking fd. calls is static. */
struct stream *stream_new(
		struct loop *l, int fd, const struct stream_calls *calls, void *host);
/* Connects to the first of the addresses (copied, at least one) that answers; the next is
 * tried 250 ms after the one before, or at once when that failed. `closed` with
 * STREAM_REFUSED or STREAM_DEADLINE when none did within limit_ms. */
struct stream *stream_connect(struct loop *l, const struct net_addr *addrs, size_t n,
		int64_t limit_ms, const struct stream_calls *calls, void *host);
void stream_free(struct stream *s); /* NULL is fine */

/* TLS from here on, once what was written is out; `opened` tells when it is
 * done. name: client: whom the certificate must be for, and SNI; NULL on
 * servers. May be called from `bytes` when all it got is used: bytes left over,
 * or already kept, close the stream with STREAM_INJECTED. */
void stream_start_tls(struct stream *s, struct tls *tls, const char *name);

/* Appends to the output (copied). false when it would pass the limit (1 MiB
 * unless set): nothing was taken. After a close it is false too. */
bool stream_write(struct stream *s, struct span bytes)
		__attribute__((warn_unused_result));
void stream_set_out_max(struct stream *s, size_t max);
size_t stream_pending(const struct stream *s); /* output not yet with the kernel */

/* No more `bytes` until resumed; the kernel's window fills and the peer waits. */
void stream_pause(struct stream *s);
/* Goes on, first with what was kept. `bytes` is not called from inside this. */
void stream_resume(struct stream *s);

/* Ends as soon as all output is out (`closed`: STREAM_FLUSHED); input is thrown
 * away meanwhile, so that a last reply is not lost in a reset; 5 s at most. */
void stream_close_when_flushed(struct stream *s);

void stream_set_idle(
		struct stream *s, int64_t ms); /* 0: none; not counted while paused */
void stream_set_deadline(struct stream *s, int64_t in_ms); /* 0: none */

const struct net_addr *stream_peer(const struct stream *s);
bool stream_tls_facts(const struct stream *s, struct tls_facts *out); /* false: plain */
uint64_t stream_bytes_in(const struct stream *s); /* payload */
uint64_t stream_bytes_out(const struct stream *s);
const char *stream_end_name(enum stream_end end);

#endif
