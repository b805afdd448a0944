/* fetch: the collector. Polls POP3 mailboxes and hands what it finds to the
 * relay, as an SMTP client on the unix socket run/relay.sock.
 *
 * A poll is one or more POP3 sessions with one account (max_per_session ends a
 * session so that its deletions are applied, the next one goes on). A message is
 * listed, retrieved, routed, submitted; committed when the relay says 250;
 * deleted at the provider only then; its origin is settled (told to the relay
 * over run/relay.ctl) only when the server confirmed QUIT. What a crash leaves
 * at each step is in ARCHITECTURE.md section 2 (here: src/README.md).
 *
 * A pool is a set of worker threads; each carries one poll at a time, and an
 * account is never polled twice at once. The configuration is borrowed and must
 * outlive the pool. Nothing here writes the database. */
#ifndef POSTERN_FETCH_H
#define POSTERN_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "postern/err.h"

struct conf;
struct conf_account;
struct fetch_pool;

/* One poll of one account. Counted in messages but for octets and ms. */
struct fetch_result {
	size_t account; /* its place in conf's accounts */
	bool finished; /* the poll ran to its end, well or badly */
	bool failed; /* an error ended it early: see error */
	bool more; /* max_per_session left messages behind for the next session */
	uint64_t listed; /* at the provider when the first session began */
	uint64_t fresh; /* of these never seen before */
	uint64_t collected; /* durable here, by this poll */
	uint64_t known; /* the relay had them already, queued nothing */
	uint64_t deleted; /* deletions the server confirmed at QUIT */
	uint64_t skipped; /* left alone on purpose (max_size) */
	uint64_t notices; /* of these, whose recipients were told by this poll */
	uint64_t failures; /* messages that could not be retrieved or submitted */
	uint64_t recipients; /* accepted by the relay, over all collected messages */
	uint64_t refused; /* recipients the relay refused for good */
	uint64_t octets; /* of the collected messages, as the provider sent them */
	uint64_t ms; /* from connecting to the end */
	struct err error; /* when failed: event 4002, 4003, 4005..., complete text */
};

struct fetch_options {
	const struct conf *conf; /* borrowed */
	const char *state; /* the state directory; borrowed */
	unsigned workers; /* polls at the same time; 0: one per account, at most 256 */
	/* After each message and at the end of a poll, on a worker's thread, several
	 * workers at once: `r` is the poll as it stands, only valid during the call.
	 * NULL: nobody looks. */
	void (*progress)(void *host, const struct fetch_result *r);
	/* No poll is waiting or under way any more, and every connection to the
	 * relay is closed. On a worker's thread. NULL: nobody waits. */
	void (*idle)(void *host);
	void *host;
};

/* Nothing is polled yet. Workers come when there is work and go some time after it,
 * all but one. Every secret is read when its poll begins, never kept. NULL with *err
 * set. */
struct fetch_pool *fetch_pool_new(const struct fetch_options *o, struct err *err)
		__attribute__((warn_unused_result));
/* Asks for polls of these accounts, in this order; one that is waiting already
 * is left alone, one that is under way is followed by another. They begin in this
 * order as far as they are of one provider's server; the servers take turns, and one
 * gets only so many polls at once as it bears. `idle` is called once afterwards, also
 * when n is 0. Any thread. */
void fetch_pool_poll(struct fetch_pool *p, const size_t *accounts, size_t n);
/* Copies the account's last poll, or the one under way (finished is false). False
 * when there was none since fetch_pool_new. Any thread. */
bool fetch_pool_result(struct fetch_pool *p, size_t account, struct fetch_result *out);
/* Ends what is under way at once: sessions are dropped without QUIT, so nothing
 * is deleted that is not confirmed. Polls that wait are forgotten. Any thread. */
void fetch_pool_cancel(struct fetch_pool *p);
/* Waits for the workers, after fetch_pool_cancel if need be. NULL is welcome. */
void fetch_pool_free(struct fetch_pool *p);

/* Connects, logs in, lists and leaves: nothing is collected or deleted. For
 * `check --online`. Blocks; result->listed counts. False when result->failed. */
bool fetch_try(const struct conf *conf, size_t account, struct fetch_result *result);

/* The first moment from wall_ms on (milliseconds since 1970) at which the account's
 * window is open: wall_ms itself when it is open then. Any thread. */
int64_t fetch_window_opens_ms(const struct conf_account *a, int64_t wall_ms);

/* The fetch role: polls on schedule, within the accounts' windows, answers
 * run/fetch.ctl (CTL_POLL), until SIGTERM or SIGINT. Sessions in hand then end in order within a few seconds. */
struct fetch_role {
	const struct conf *conf;
	const char *state;
	int ready_fd; /* gets one byte when fetch.ctl is open, then is closed; -1: none */
};
/* The exit status: 0 stopped as asked, 1 failed (the event is logged). */
int fetch_role(const struct fetch_role *o);

#endif
