/* poll: one poll of one account: what its sessions share. Belongs to the worker
 * that runs it, but for result, which is published under the pool's lock. */
#ifndef FETCH_POLL_H
#define FETCH_POLL_H

#include <stdatomic.h>

#include "book.h"
#include "memo.h"
#include "postern/arena.h"
#include "postern/conf.h"
#include "postern/dial.h"
#include "postern/fetch.h"
#include "postern/routing.h"
#include "postern/store.h"
#include "ring.h"
#include "schedule.h"

/* What every poll of a pool uses; read only. */
struct fetch_setup {
	const struct conf *conf;
	char *socket; /* run/relay.sock */
	char *control; /* run/relay.ctl */
	char *state;
	struct dns_setup dns;
	struct fetch_limits limits;
	uint64_t life; /* see struct fetch_role */
	uint64_t seed[2];
	struct book *book; /* the directory, for all of them */
};

struct fetch_poll {
	const struct fetch_setup *setup;
	const struct conf_account *account;
	struct span name;
	struct tls *tls; /* borrowed; NULL: plain, or it could not be made: */
	struct err tls_error;
	struct dial_cancel *cancel; /* end at once */
	const atomic_bool *ending; /* end in order: retrieve no more */
	struct fetch_memo *memo;
	struct dial *connected; /* use this connection for the first session; NULL: make one */
	bool asked; /* somebody named this account */
	bool look_only; /* log in, list, leave; nothing is logged */
	struct fetch_look *look; /* what is seen then; NULL: nobody asks */
	const struct fetch_adopter
			*adopt; /* look_only: takes the unique-ids; may be NULL */
	bool scheduled; /* it comes again by itself: next_ms is to be set */
	struct fetch_result result;
	void (*publish)(void *host, const struct fetch_result *r);
	void *host;
	/* filled by fetch_poll_run */
	struct reader *reader; /* NULL: there is no state yet */
	const struct directory *directory; /* of the setup's book; NULL: no state yet */
	struct routing routing; /* who receives; set unless look_only */
	int64_t started_ms; /* wall */
	int64_t next_ms; /* wall: the next poll is due then; 0: not known, or suspended */
	int64_t due_ms; /* the same, monotonic, but without the window; 0: likewise */
	uint64_t login_delay_s; /* between logons, as the server says; 0: it does not */
	enum schedule_word
			word; /* why it failed, as far as the next poll depends on it */
	bool logon_refused; /* user name or password were */
	/* RETRs refused to the end of a session: the account's trouble (4016), and in which
	 * words. */
	size_t refused;
	struct err refusal;
	uint64_t waiting; /* messages at the provider when the last session ended */
	uint64_t waiting_octets; /* ... and their size as LIST tells */
	struct buf says; /* what the server tells of expiry, delays, quota */
	struct ring ring; /* what was said */
	struct hand *hand; /* the message being handled, for after a crash; may be NULL */
	const char *stage; /* where the session was when it failed */
	unsigned resumes; /* sessions that ended for the sake of a suspect message */
	enum dial_end end; /* how the connection was then */
};

/* Makes the setup; strings are copied. */
void fetch_setup_init(
		struct fetch_setup *s, const struct conf *conf, const char *state);
void fetch_setup_done(struct fetch_setup *s);

/* Carries it out: sessions until nothing is left to collect; logs 4000, 4001 or
 * what went wrong; tells the relay (CTL_POLLED). The end is in p->result. */
void fetch_poll_run(struct fetch_poll *p);

static inline void
fetch_poll_publish(struct fetch_poll *p)
{
	if (p->publish)
		p->publish(p->host, &p->result);
}

/* The context of the account's TLS settings; NULL with *err (or for tls: none). */
struct tls *fetch_tls_new(const struct conf_account *a, struct err *err);

#endif
