/* submit: one SMTP session with our own relay, over the unix socket.
 *
 * Messages follow each other without waiting: the relay answers in order when
 * each is durable, and `settled` is called then. Writing never waits without
 * also reading, so that neither side can be stuck on the other. Used by the
 * thread of its POP3 session only. */
#ifndef FETCH_SUBMIT_H
#define FETCH_SUBMIT_H

#include "postern/dial.h"
#include "postern/list.h"
#include "postern/smtp_client.h"
#include "ring.h"

enum {
	SUBMIT_WINDOW = 256, /* messages that wait for their commit */
	SUBMIT_BATCH = 64 * 1024, /* octets gathered before a write */
	SUBMIT_TRANSCRIPT = 256 * 1024,
};

/* A message on its way into the queue: all that the engine borrows until the
 * relay has answered, in one piece of memory. */
struct fetch_flight {
	struct list link;
	size_t index; /* in the listing */
	struct span trace; /* ACCOUNT/UIDL, the id of its events */
	struct span *recipients;
	size_t n;
	struct span sender, route;
	bool utf8; /* an address of it needs SMTPUTF8 */
	struct smtp_collect collect;
	uint64_t octets; /* as the provider sent them */
	unsigned accepted, refused;
	bool over; /* settled was called, or never will be */
	bool abandoned; /* the collector gave it up: no answer counts */
	bool notice; /* not the message itself: a note about it */
	bool reading; /* its body is still being handed over: whoever does that frees it */
	struct smtp_client_out out; /* the engine's view of it */
};

struct fetch_submit;

struct fetch_submit_options {
	const char *socket;
	struct span hostname; /* for EHLO */
	struct span account;
	struct dial_cancel *cancel;
	struct ring *ring; /* what was said is noted there; outlives the session */
	/* The relay answered for the whole message: a 250 (delivered) means durable.
	 * The flight is freed afterwards unless it is `reading`. */
	void (*settled)(void *host, struct fetch_flight *f, const struct verdict *v);
	void *host;
};

/* Makes a flight whose spans are copies. */
struct fetch_flight *fetch_flight_new(const struct fetch_flight *like);
void fetch_flight_free(struct fetch_flight *f);

/* Connects; the greeting is read later. NULL with *err (event 4024). */
struct fetch_submit *fetch_submit_open(
		const struct fetch_submit_options *o, struct err *err);
/* Begins a message, whose flight is `reading`. Waits for room in the window.
 * False: the session is over (fetch_submit_error), and so is the flight. */
bool fetch_submit_begin(struct fetch_submit *s, struct fetch_flight *f);
/* More of the message begun last; after the last piece its flight may be gone. False as above; true also when the relay has
 * refused it and takes no more: the answer comes by `settled`. */
bool fetch_submit_body(struct fetch_submit *s, struct span bytes, bool last);
/* The rest of the message begun last cannot be had. Waits for the answers to the
 * messages before it; the session is over then. */
void fetch_submit_abandon(struct fetch_submit *s, const char *why);
/* Hands the kernel what is gathered and reads what the relay has said, without
 * waiting for more answers. */
void fetch_submit_flush(struct fetch_submit *s);
bool fetch_submit_pending(const struct fetch_submit *s); /* has flush work? */
/* Waits for the answers to everything that was handed over. */
bool fetch_submit_drain(struct fetch_submit *s);
const char *fetch_submit_error(const struct fetch_submit *s);
/* QUIT when all is well, logs the transcript (4022), frees. NULL is welcome. */
void fetch_submit_close(struct fetch_submit *s);

#endif
