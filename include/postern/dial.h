/* dial: a connection for a thread that may block, with an end to every wait.
 *
 * One thread uses a dial; only dial_cancel_now may come from others. Works
 * with any fd number, never raises SIGPIPE. An end of file is an error (-1,
 * DIAL_EOF), never 0, since libetpan would spin on 0. */
#ifndef POSTERN_DIAL_H
#define POSTERN_DIAL_H

#include <stdint.h>
#include <sys/types.h>

#include "postern/dns.h"
#include "postern/err.h"
#include "postern/net.h"
#include "postern/tls.h"

struct dial;
struct dial_cancel;

enum dial_end {
	DIAL_OK,
	DIAL_NO_NAME, /* the name does not exist or has no address */
	DIAL_DNS, /* name service failed for now */
	DIAL_REFUSED, /* nobody would connect: refused, unreachable */
	DIAL_EOF, /* the peer ended the connection */
	DIAL_RESET, /* ... by force, or it broke */
	DIAL_IDLE, /* nothing moved for idle_ms */
	DIAL_DEADLINE, /* the absolute deadline passed */
	DIAL_CANCELLED,
	DIAL_CERTIFICATE, /* the peer is not who it should be */
	DIAL_PIN, /* ... and its key is not the pinned one */
	DIAL_TLS, /* TLS failed otherwise */
	DIAL_SYSTEM, /* out of descriptors or the like */
};

struct dial_to {
	const char *host; /* name or IP literal; NULL: unix_path */
	uint16_t port;
	const char *unix_path;
	struct tls *tls; /* client context: TLS from the first byte; NULL: plain */
	int64_t connect_ms; /* limit for name, connect and handshake; 0: 30 s */
	int64_t idle_ms; /* limit for each read or write to move; 0: 60 s */
	int64_t deadline_ms; /* monotonic moment when all is over; 0: never */
	struct dial_cancel *cancel; /* may be NULL; outlives the dial */
	const struct dns_setup *dns; /* NULL: as resolv.conf says */
};

/* Resolves and connects: addresses of both families in turn, the next one 250
 * ms after the one before (RFC 8305), first come wins. NULL: *why and *err say
 * it in words with host and address. */
struct dial *dial_open(const struct dial_to *to, enum dial_end *why, struct err *err);
/* Takes over a connected, non-blocking fd. For tests and socketpairs. */
struct dial *dial_from_fd(int fd, int64_t idle_ms, struct dial_cancel *cancel);
void dial_close(struct dial *d); /* says goodbye to TLS if it can without waiting */

/* At least one byte into p, waiting for it; -1 on any end (see dial_why). */
ssize_t dial_read(struct dial *d, void *p, size_t n);
/* What is there now without waiting; 0 when there is nothing yet. */
ssize_t dial_read_now(struct dial *d, void *p, size_t n);
/* Some of p, at least one byte, waiting for room; -1 on any end. */
ssize_t dial_write(struct dial *d, const void *p, size_t n);
/* What can be written without waiting; 0 when there is no room now. */
ssize_t dial_write_now(struct dial *d, const void *p, size_t n);
/* Plain connections only: waits until it can be read or written (or has ended);
 * false when wait_ms have passed, which is an end (DIAL_IDLE) like any other. */
bool dial_wait_both(struct dial *d, int64_t wait_ms);
/* All of the parts in order, in as few calls as can be. */
bool dial_send(struct dial *d, const struct span *parts, size_t n);
/* Waits until there is something to read (true) or wait_ms have passed. An end
 * counts as something to read. */
bool dial_wait(struct dial *d, int64_t wait_ms);

/* The handshake on the open connection (STLS, STARTTLS). name is whom the
 * certificate must be for. The caller has made sure that nothing it read in
 * plain text lies unused. false: the connection is of no more use. */
bool dial_starttls(struct dial *d, struct tls *tls, const char *name, struct err *err);

/* What came is acknowledged at once, also what comes next: the peer may be waiting for
 * that before it sends the rest (Nagle's algorithm), and we would wait 40 ms to say it
 * with something of ours. Holds for a while only: to be called before each such wait. */
void dial_hurry(struct dial *d);

void dial_set_idle(struct dial *d, int64_t idle_ms);
void dial_set_deadline(struct dial *d, int64_t mono_ms); /* 0: none */

int dial_fd(const struct dial *d);
enum dial_end dial_why(const struct dial *d); /* why the last call gave -1 */
/* The same in words for the administrator; "" while all is well. */
const char *dial_error(const struct dial *d);
const char *dial_end_name(enum dial_end end); /* "timed out" */
const struct net_addr *dial_peer(const struct dial *d);
bool dial_is_tls(const struct dial *d);
bool dial_tls_facts(const struct dial *d, struct tls_facts *out); /* false: plain */
/* Payload moved so far: after TLS, without it. */
uint64_t dial_bytes_in(const struct dial *d);
uint64_t dial_bytes_out(const struct dial *d);

/* Ends all waits of the dials made with it, now and in future, until reset. */
struct dial_cancel *dial_cancel_new(struct err *err);
void dial_cancel_now(struct dial_cancel *c); /* any thread, signal handlers too */
bool dial_cancelled(const struct dial_cancel *c);
void dial_cancel_reset(struct dial_cancel *c);
void dial_cancel_free(struct dial_cancel *c);

#endif
