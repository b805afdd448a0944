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

#include "postern/arena.h"
#include "postern/dial.h"
#include "postern/err.h"
#include "postern/provider.h"

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
	uint64_t aside; /* messages that are set aside (4012), */
	uint64_t waiting; /* that failed and are asked for again after a pause, */
	uint64_t refused_all; /* that were refused to the end of a session (4016) */
	int64_t again_ms; /* wall: the first of the former two is asked for then; 0: none */
	uint64_t recipients; /* accepted by the relay, over all collected messages */
	uint64_t refused; /* recipients the relay refused for good */
	uint64_t octets; /* of the collected messages, as the provider sent them */
	uint64_t ms; /* from connecting to the end */
	struct err error; /* when failed: event 4002, 4003, 4005..., complete text */
};

/* How long a provider may take. */
struct fetch_limits {
	int64_t greeting_ms; /* for its greeting to move on */
	int64_t idle_ms; /* for an answer to begin, or to move on */
	int64_t rate_ms; /* waiting inside answers over which it has to send 1 KB/s */
	int64_t session_ms; /* without one message; or at less than 1 KB/s altogether */
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
	const struct fetch_limits *limits; /* copied; NULL: the usual ones */
	uint64_t life; /* as in struct fetch_role */
	bool alone; /* the relay is in this process: descriptors.h */
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
 * when n is 0. `asked`: somebody named them, so one that is suspended (4019) tries its
 * password once more. Any thread. */
void fetch_pool_poll(
		struct fetch_pool *p, const size_t *accounts, size_t n, bool asked);
/* Copies the account's last poll, or the one under way (finished is false). False
 * when there was none since fetch_pool_new. Any thread. */
bool fetch_pool_result(struct fetch_pool *p, size_t account, struct fetch_result *out);
/* Ends what is under way at once: sessions are dropped without QUIT, so nothing
 * is deleted that is not confirmed. Polls that wait are forgotten. Any thread. */
void fetch_pool_cancel(struct fetch_pool *p);
/* Waits for the workers, after fetch_pool_cancel if need be. NULL is welcome. */
void fetch_pool_free(struct fetch_pool *p);

/* What was seen on the way into a mailbox. Texts may hold what the server said. */
struct fetch_look {
	enum dial_end end; /* how the connection ended, when that is why it failed */
	const char *stage; /* where the session was then: "LOGON" */
	char words[600]; /* what is wrong; empty: nothing */
	char hint[600]; /* what to do about it; may be empty */
	bool tls;
	struct tls_facts facts; /* when tls */
	const char *mechanism; /* "PLAIN": how it logged on; NULL: it did not */
	bool capa; /* the server told its capabilities: */
	bool pipelining, uidl, top;
	uint64_t login_delay_s; /* 0: it names none */
	uint64_t octets; /* of all messages that wait there, as LIST says */
	uint64_t unnamed; /* messages without a usable unique-id */
};

/* Connects, logs in, lists and leaves: nothing is collected or deleted. For
 * `check --online`. Blocks; result->listed counts. False when result->failed. Where
 * the port seems to be the wrong one, another connection asks what it speaks. look may
 * be NULL. */
bool fetch_try(const struct conf *conf, size_t account, struct fetch_result *result,
		struct fetch_look *look);

enum { FETCH_ADOPT_BATCH = 10000 };

/* Takes the unique-ids of all that is in a mailbox, which is nobody else's meanwhile. */
struct fetch_adopter {
	/* At most FETCH_ADOPT_BATCH of them, valid during the call. False with *err ends it. */
	bool (*take)(void *host, const struct span *uidls, size_t n, struct err *err);
	void *host;
};

/* The same as fetch_try, but what is listed is handed over before QUIT. Fails, too, when
 * messages wait there and none of them has a usable unique-id. look is filled. */
bool fetch_adopt(const struct conf *conf, size_t account,
		const struct fetch_adopter *to, struct fetch_result *result,
		struct fetch_look *look);

/* What the collector remembers of an account, read from poll_memo's text. */
struct fetch_trouble {
	struct span uidl;
	unsigned attempts; /* RETRs of it that failed */
	bool aside; /* for days (4012): it is asked for once a day */
	int64_t next_ms; /* wall: not before */
};

/* A message that is passed over for another reason than failed RETRs. */
struct fetch_passed {
	struct span uidl;
	bool oversize; /* else it is collected, and its DELE is not done */
	int64_t next_ms; /* wall: not before; 0: at each poll */
};

struct fetch_memory {
	unsigned failures; /* polls that failed since the last good one */
	unsigned refusals; /* logons refused since then */
	bool suspended; /* by so many refusals (4019) */
	int64_t suspended_ms; /* wall: until then; 0: it is not */
	int64_t kept_ms; /* wall: since then deletions are confirmed and not done; 0: they are */
	bool held; /* by a storm of new unique-ids (4009) */
	bool nobody; /* held because the first messages reached nobody (4018) */
	bool domainless; /* held because no policy domain exists (4018) */
	int64_t alone_until_ms; /* no pipelining until then */
	uint64_t oversize; /* messages that are left there for their size */
	struct provider_habits provider; /* how the provider marks its mail */
	const struct fetch_trouble *troubles; /* by unique-id */
	size_t n;
	size_t aside; /* of these, set aside */
	const struct fetch_passed *passed; /* by unique-id */
	size_t n_passed;
	int64_t again_ms; /* wall: the first one of all of them is asked for then; 0: none */
};

/* False when the arena is too small. */
bool fetch_memory_read(struct span memo, struct arena *a, struct fetch_memory *out);

/* The first moment from wall_ms on (milliseconds since 1970) at which the account's
 * window is open: wall_ms itself when it is open then. Any thread. */
int64_t fetch_window_opens_ms(const struct conf_account *a, int64_t wall_ms);

/* The fetch role: polls on schedule, within the accounts' windows, answers
 * run/fetch.ctl (CTL_POLL), until SIGTERM or SIGINT. Sessions in hand then end in order within a few seconds. */
struct fetch_role {
	const struct conf *conf;
	const char *state;
	int ready_fd; /* gets one byte when fetch.ctl is open, then is closed; -1: none */
	/* The same number for each process of a collector that ended by itself and was
	 * started again: a message that such a process had in its hand may have ended it, and
	 * is set aside after the third time. 0, as for `once`: only a fault does that
	 * (SIGSEGV, SIGABRT...). */
	uint64_t life;
};
/* The exit status: 0 stopped as asked, 1 failed (the event is logged). */
int fetch_role(const struct fetch_role *o);

#endif
