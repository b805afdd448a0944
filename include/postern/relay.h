/* relay: the built-in SMTP relay, the only writer of the queue.
 *
 * One loop thread holds every socket and every SMTP engine; beside it run the
 * store thread, which commits, the folder thread, which writes Drop, Maildir
 * and Badmail, and the pickup thread, which reads the files of Pickup. They
 * exchange messages and share nothing.
 *
 * The state directory exists, its lock is held by the caller, and policies have
 * been applied to its database. The relay opens the store itself, listens on
 * run/relay.sock (the internal SMTP socket, XCOLLECT) and run/relay.ctl, and on
 * the TCP addresses of smtp.listen.
 *
 * A message is one of: being received (nothing on disk that counts), queued
 * (250 was said, after the commit), attempted (leased, in memory only) and
 * settled (delivered, or in Badmail, in one transaction with the verdict). */
#ifndef POSTERN_RELAY_H
#define POSTERN_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "postern/err.h"
#include "postern/summary.h"

struct conf;
struct relay;

struct relay_options {
	const struct conf *conf; /* borrowed; outlives the relay */
	const char *state; /* the state directory; borrowed */
	/* Sockets already bound and listening, in the order of smtp.listen; the relay
	 * takes them over. NULL: it binds them itself. */
	const int *listeners;
	size_t listeners_n;
	bool once; /* relay_run ends when there is nothing more to do */
	bool hold; /* deliver nothing: what comes in stays queued (once --queue-only) */
	int ready_fd; /* gets one byte when the sockets are open, then is closed; -1: none */
	/* The configuration that is in its file now, and its end; NULL: there is no other.
	 * Asked for by CTL_RELOAD. */
	struct conf *(*reload)(void *host);
	void (*drop)(struct conf *conf);
	/* Has this process log as that configuration says. */
	bool (*log)(const struct conf *conf, struct err *err);
	void *host;
	/* Where the sockets of another smtp.listen come, before CTL_RELOAD asks for it:
	 * fd_pass_last. -1: nowhere, then another smtp.listen takes another relay. */
	int sockets_fd;
};

/* Opens store and sockets; connections are accepted from relay_run on, but may
 * be made at once. NULL with *err set (115: an address could not be bound). */
struct relay *relay_new(const struct relay_options *o, struct err *err)
		__attribute__((warn_unused_result));

/* Runs on the calling thread until SIGTERM, SIGINT or relay_stop, then takes no
 * new mail, settles what is in hand within 10 seconds and returns. With `once`
 * it returns by itself when relay_fetched was told, no client is connected to
 * the internal socket, what lay in Pickup is taken, and nothing in the queue is due. False with *err set when
 * the relay could not go on (the store failed); the queue is whole then too. */
bool relay_run(struct relay *r, struct err *err);

/* `once`: the collectors have finished; whoever collects says so when its last
 * connection to run/relay.sock is closed. From any thread. */
void relay_fetched(struct relay *r);
void relay_stop(struct relay *r); /* from any thread */

/* So much room is left for what is under way: below it no mail is taken. */
uint64_t relay_least_free(const struct conf *conf, const char *state);

/* After relay_run. */
void relay_summary(const struct relay *r, struct relay_summary *out);
void relay_free(struct relay *r); /* NULL is welcome */

enum { RELAY_EXIT_DAMAGED = 74 };

/* The relay as a process of its own: relay_new, relay_run, relay_free. Returns
 * the exit status: 0 stopped as asked, 1 failed (the event is logged), 78 the
 * configuration cannot be carried out here, RELAY_EXIT_DAMAGED the database is damaged or
 * lost, which another start will hardly mend. */
int relay_role(const struct relay_options *o);

#endif
