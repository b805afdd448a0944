/* What the files of this room share. All of it belongs to the loop thread;
 * what goes to the store thread or the folder thread says so. */
#ifndef RELAY_ROOM_H
#define RELAY_ROOM_H

#include "heading.h"
#include "jobs.h"
#include "pulse.h"

#include "postern/arena.h"
#include "postern/buf.h"
#include "postern/conf.h"
#include "postern/descriptors.h"
#include "postern/directory.h"
#include "postern/dns.h"
#include "postern/list.h"
#include "postern/loop.h"
#include "postern/loop_stamp.h"
#include "postern/map.h"
#include "postern/nexthop.h"
#include "postern/origin.h"
#include "postern/policy.h"
#include "postern/queue.h"
#include "postern/rcpt.h"
#include "postern/relay.h"
#include "postern/retry.h"
#include "postern/roll.h"
#include "postern/smtp_server.h"
#include "postern/store.h"
#include "postern/sum.h"
#include "postern/trace.h"

/* Recipients that are to be written to Badmail wait at a next hop of this name. */
#define HOP_BADMAIL QUEUE_HOP_BADMAIL
#define HOP_LEFT "no-policy" /* of what waits since its domain has left the policies */
#define HOP_UNROUTED "unrouted" /* of what is held; nothing is ever due there */

enum {
	STOP_LIMIT_MS = 10 * 1000, /* SPEC: SIGTERM settles what is in hand */
	/* Bodies handed to the store and not yet committed: past it, clients wait. */
	PENDING_MAX = 16 * 1024 * 1024,
	/* Bodies being received, in memory: past it they go to the spool early. */
	RECEIVING_MAX = 12 * 1024 * 1024,
};

/* The wall clock: clockwatch.c. */
struct clockwatch {
	int64_t away_ms; /* what the store found at the start */
	int64_t ahead_ms; /* of the one that only passes, at the last look */
	struct retiming job;
	bool retiming;
};

struct relay {
	const struct conf *conf;
	const char *state;
	bool once;
	bool hold; /* deliver nothing */
	uint64_t split; /* the message of which 3041 was said last: it leaves by many leases */
	struct loop *loop;
	struct store *store;
	struct reader *reader;
	struct dns *dns;
	struct directory *directory;
	const struct policy_set *policies; /* the directory's */
	size_t members; /* of lists, in the mails at hand */
	uint64_t policy_version;
	struct policyload *policyload;
	struct nexthop_table *hops;

	struct renewal {
		struct conf *(*reload)(void *host);
		void (*drop)(struct conf *conf);
		void *host;
		bool (*log)(const struct conf *conf, struct err *err);
		int sockets_fd;
		struct list dns; /* those before, while they have queries */
		struct conf mixed; /* what conf points to: renew.c */
		struct conf *taken; /* what some of it belongs to, NULL: the first one */
	} renewal;
	size_t descriptors; /* the limit of this process, */
	struct descriptors share; /* and what it is divided into */

	struct pulse pulse; /* what its parts may ask of it */
	struct jobs *jobs;
	struct inbound *inbound;
	struct dispatch *dispatch;
	struct local *local;
	struct control *control;
	struct pickups *pickups;

	struct loop_timer *tick;
	int64_t tick_at_ms; /* monotonic */
	struct loop_timer *limit; /* of the time that stopping may take */
	struct loop_timer *done; /* a look whether all is done, after this callback */
	struct loop_signal *signals[2];
	struct loop_wake *wake; /* relay_stop, relay_fetched */
	int stop_asked, fetched; /* set from any thread, atomically */
	bool stopping;
	bool goodbye; /* only peers that were told goodbye are waited for */
	bool space_low;
	int ready_fd;
	struct err failed;
	bool has_failed;
	bool spool_told; /* a failing spool is logged once */
	size_t receiving; /* octets in memory of mails that are being received */
	size_t pending; /* ... and of those that the store has */
	enum store_trouble trouble; /* told */
	int64_t trouble_since_ms; /* monotonic */
	enum store_trouble
			trouble_told; /* the last one that was, at that monotonic time */
	int64_t trouble_told_ms;
	struct list unsettled; /* leases whose results the store could not take */
	size_t owed; /* how many they are, with those that are tried again just now */
	unsigned unsettled_tries; /* in a row */
	size_t digests; /* jobs of notice.c under way */
	int64_t digest_at_ms; /* monotonic: the next look */
	struct clockwatch clock;
	struct retiming left; /* left.c: the job, */
	bool left_busy, left_again; /* under way, and wanted once more */
	bool tidied; /* `once`: what is too old was removed */
	struct loop_key loop_key;
	struct relay_summary sum;
};

/* ---- relay.c ---- */
/* What a process may have open, divided for this configuration; says 1008. */
void relay_divide(struct relay *r);
struct dns *relay_dns(struct relay *r, const struct conf_dns *c, struct err *err);

/* ---- renew.c: another configuration ---- */
void renew_init(struct relay *r, const struct relay_options *o);
void renew_tick(struct relay *r);
void renew_end(struct relay *r);
/* False and *err: it takes another start, and everything is as it was. */
bool renew(struct relay *r, struct err *err);

/* ---- health.c: what the state of the store means to the relay ---- */
void health_job(struct relay *r, const struct store_job *job); /* one came back */
void health_look(struct relay *r);
void health_space(struct relay *r); /* 6004, 6005 */

/* ---- left.c: mail whose domain has left the policies ---- */
/* The recipient was taken because of a policy, and would not be any more. */
bool left_waits(const struct relay *r, const struct queue_message *m,
		const struct queue_recipient *to);
void left_say(const struct queue_message *m,
		const struct queue_recipient *to); /* 5010 */
/* The policies may be others than when it last was looked at: all of it is due. */
void left_look(struct relay *r);

/* ---- policyload.c ---- */
/* Somebody who waits until what the database says now is in; `in` comes from the loop, perhaps
 * at once, with what failed or NULL. */
struct policy_wait {
	struct list link;
	void (*in)(struct policy_wait *w, const struct err *failed);
};
bool policyload_first(struct relay *r, struct err *err); /* and waits for it */
struct policyload *policyload_new(struct relay *r);
/* Who waits still is told nothing. */
void policyload_free(struct policyload *p);
void policyload_look(struct policyload *p, struct policy_wait *w);
bool policyload_quiet(const struct policyload *p);

/* ---- mail.c: a message on its way in ---- */

/* One transaction, from MAIL to the answer of the store. */
struct mail {
	struct submission job;
	struct list link; /* of the session's mails that wait for the store */
	struct session *session; /* NULL: the client is gone */
	uint64_t ticket;
	struct arena arena; /* every span of the job but the body */
	struct heading heading;
	struct buf head; /* the body, until it is spooled */
	struct buf gather; /* small pieces on their way to the spool */
	struct sum *sum; /* of what was written to it; NULL: nothing */
	struct buf top;
	struct submission_recipient *recipients; /* &one, or allocated */
	struct submission_recipient one;
	size_t cap;
	struct roll roll; /* which of them is whose */
	size_t *members; /* the relay's, with those of the roll */
	bool collected, tls, relay_client, utf8;
	bool put_off; /* a recipient was told to come again */
	struct picked *picked; /* it is a file of the Pickup folder: pickups.h */
	bool counted; /* store_about_to_end was told */
	struct span provider, ip;
	struct span badmail, hold, fallback; /* reasons, or empty: smtp_collect */
	int64_t began_ms; /* monotonic */
	struct trace_hop_count hops;
	struct fingerprint *print; /* collected ones: copies.h */
};

struct mail_client {
	struct span helo; /* as it was said; empty: none */
	struct span ip; /* as text, empty for a unix socket */
	bool esmtp, tls, internal, may_relay;
};

struct mail *mail_new(struct relay *r, const struct smtp_mail *said,
		const struct mail_client *client);
/* The transaction is over without the store: its file goes too. */
void mail_drop(struct relay *r, struct mail *m);
void mail_free(struct relay *r, struct mail *m);
bool mail_route(struct mail *m, struct span route);
struct span mail_keep(struct mail *m, struct span s); /* a copy that lives as long */
/* SMTP_LATER or a refusal. */
struct smtp_reply mail_body(struct relay *r, struct mail *m, struct span piece);
/* Completes the job. SMTP_LATER: to be handed to the store; else the refusal. */
struct smtp_reply mail_whole(struct relay *r, struct mail *m,
		const struct smtp_commit *commit, const struct mail_client *client);
/* What the store said: the reply, and the events of it. */
struct smtp_reply mail_answer(struct relay *r, struct mail *m, char *text);
size_t mail_weight(const struct mail *m); /* octets in memory */
void mail_uncount(struct relay *r, struct mail *m);

/* ---- recipient.c: whom it is for ---- */

/* The answer to RCPT; text has room for SMTP_TEXT_SIZE. */
struct smtp_reply mail_rcpt(struct relay *r, struct mail *m,
		const struct smtp_path *path, char *text);
/* The answer to VRFY, likewise. */
struct smtp_reply mail_vrfy(const struct relay *r, const struct smtp_path *path,
		bool may_relay, char *text);
/* As it is kept and sent, in the mail's arena: its domain as A-labels (E5). */
struct span mail_wire(struct mail *m, const struct smtp_path *path);
void recipient_begin(struct relay *r, struct mail *m);
void recipient_end(struct mail *m);
/* It is whole, with so many hops: false when it passed too many of them, and nobody gets it. */
bool recipient_hops(struct mail *m, unsigned hops, unsigned most);
/* The one row of a message without recipients. */
void recipient_none(struct mail *m);

/* ---- inbound.c: listeners and sessions ---- */
struct inbound *inbound_new(
		struct relay *r, const struct relay_options *o, struct err *err);
/* Listens on these from now on, which it takes over; at most FD_PASS_MAX. */
void inbound_sockets(struct inbound *in, const int *fds, size_t n);
void inbound_free(struct inbound *in);
void inbound_stop(struct inbound *in); /* no new mail; what is in hand is answered */
bool inbound_quiet(const struct inbound *in); /* nothing in hand */
unsigned inbound_internal(const struct inbound *in); /* sessions of our own fetcher */
size_t inbound_sessions(const struct inbound *in);
void inbound_tick(struct inbound *in);
/* The store gave back a batch of jobs: those that waited for it go on. */
void inbound_flush(struct inbound *in);

/* ---- dispatch.c: what is due, by next hop ---- */

struct hop; /* dispatch.h */
struct batch;

/* One message with its due recipients on one next hop, taken out of the queue
 * in memory only. */
struct lease {
	struct list link;
	struct hop *hop;
	struct batch *batch; /* what it was loaded with: m and all that it points to */
	struct arena words;
	struct queue_message *m;
	struct settlement job;
	struct settle_recipient *results; /* one per recipient of m */
	bool *open; /* no answer yet, one per recipient */
	size_t left; /* how many of them */
	struct span host; /* who answered */
	struct span last_reply; /* answers that repeat are kept once */
	bool attempted; /* somebody was asked */
	bool owed; /* the store would not take its results; they come again */
	bool changed; /* line ends were mended on the way out */
	bool nul; /* a NUL went out to who does not offer BINARYMIME */
	struct span damage; /* how its stored body is damaged; empty: it is not */
	size_t parts; /* transactions it took */
	struct notices *notices; /* who is told that it failed; NULL: nobody */
	/* outbound.c: recipients still to be sent, by their place in m */
	size_t *todo, todo_n, todo_at;
	size_t sends; /* transactions under way */
};

/* What decides about recipients now. */
struct rcpt_rules rcpt_rules_now(const struct relay *r);

struct dispatch *dispatch_new(struct relay *r);
void dispatch_free(struct dispatch *d);
void dispatch_start(struct dispatch *d); /* looks what the queue holds */
void dispatch_stop(struct dispatch *d); /* no new attempts */
void dispatch_shut(struct dispatch *d); /* and those under way are dropped */
/* Mail for this next hop was queued. */
void dispatch_nudge(struct dispatch *d, struct span key);
/* Policies are others: what nobody has begun is read again. */
void dispatch_reconsider(struct dispatch *d);
void dispatch_renew(struct dispatch *d); /* the schedule of another configuration */
void dispatch_refresh(struct dispatch *d); /* somebody else changed the queue */
void dispatch_tick(struct dispatch *d);
bool dispatch_quiet(const struct dispatch *d); /* nothing leased */
/* `once`: looks at the disk whether anything is due; what is idle says goodbye. */
bool dispatch_nothing_due(struct dispatch *d);
bool dispatch_disconnected(const struct dispatch *d); /* no session is open */
/* Milliseconds until something may become due, at most `most`. */
int64_t dispatch_wait(const struct dispatch *d, int64_t most);
size_t dispatch_leases(const struct dispatch *d);
const struct retry *dispatch_retry(const struct dispatch *d);

/* A session takes messages of its hop, one by one; NULL: there is none. */
struct lease *dispatch_take(struct hop *h);
void dispatch_forget(struct lease *l); /* its message is not there any more */
void dispatch_settled(struct lease *l); /* the store has the results */
void dispatch_session_works(struct hop *h); /* greeted: more may be opened */
void dispatch_session_answers(struct hop *h); /* a message got its reply */

enum session_end {
	SESSION_DONE, /* it served its purpose, or we ended it */
	SESSION_BROKE, /* it ended before any message was answered */
	SESSION_FAILED, /* the hop would not talk to us */
};

/* why: for all but SESSION_DONE. */
void dispatch_session_gone(
		struct hop *h, enum session_end end, const struct verdict *why);
/* A copy that lives as long as the lease. There is always room for a reply of each
 * recipient and what else a session says of a message. */
struct span lease_words(struct lease *l, struct span s);

/* ---- settle.c ---- */
/* One recipient's answer; only the first counts. */
void settle_verdict(struct lease *l, size_t recipient, const struct verdict *v);
void settle_all(struct lease *l, const struct verdict *v); /* those without one yet */
/* Its stored body is damaged, and what `how` says goes with the settlement. The verdict for
 * those who do not get it. */
struct verdict settle_damage(struct lease *l, const char *how);
/* Badmail has it, or is to get it later. */
void settle_badmail(struct lease *l, bool written, int64_t again_ms);
/* To the store with the answers; recipients without one stay as they are. */
void settle_lease(struct relay *r, struct lease *l);
void settle_done(void *host, struct store_job *done); /* the job's: host is the relay */
void settle_tick(struct relay *r); /* what the store could not take comes again */
/* At the end, when the store is gone: false when results were not recorded, each of them
 * told (5011) and *err set. */
bool settle_end(struct relay *r, struct err *err);
void settle_free(struct relay *r);

/* ---- notice.c: postmasters are told of collected mail that failed ---- */
struct field;
/* Notices for those whom this settlement bounces, as part of it. */
void notices_make(struct relay *r, struct lease *l);
/* It is durable: the events of them. */
void notices_settled(struct relay *r, struct lease *l, struct field account,
		struct field id);
void notices_free(struct notices *all);
void notices_tick(struct relay *r);

/* ---- outbound.c ---- */
struct outbound;
/* Opens a session with the hop; it takes leases itself and frees itself. */
void outbound_open(struct relay *r, struct hop *h, struct list *all);
/* What is under way is ended and no more begun; now: everything is dropped. */
void outbound_stop(struct list *all, bool now);
void outbound_poke(struct list *all, const struct hop *h); /* there is mail again */
void outbound_idle_close(struct list *all); /* those without mail say QUIT */

/* ---- local.c: the folder thread ---- */
struct local *local_new(struct relay *r, struct err *err);
void local_free(struct local *w); /* ends the thread after what it has in hand */
void local_deliver(struct local *w, struct list *leases); /* they come back settled */
bool local_quiet(const struct local *w);
void local_tick(struct local *w);
void local_tidy(struct local *w); /* Badmail and evidence are pruned, now */

/* ---- pickups.c: the Pickup folder, and a thread of its own ---- */
struct pickups *pickups_new(struct relay *r, struct err *err);
void pickups_start(struct pickups *w); /* looks what lies there */
/* No more files: those that are not read yet wait for the next start. */
void pickups_leave(struct pickups *w);
void pickups_stop(
		struct pickups *w); /* ends the thread; what the store has comes back */
void pickups_free(struct pickups *w);
bool pickups_quiet(
		const struct pickups *w); /* nothing in hand; `once`: nothing to come */

/* ---- control.c ---- */
struct control *control_new(struct relay *r, struct err *err);
void control_free(struct control *c);
bool control_quiet(const struct control *c);
void control_tick(struct control *c);
void control_tidy(struct control *c); /* history is pruned, now */

/* ---- clockwatch.c ---- */
void clockwatch_start(struct relay *r);
void clockwatch_tick(struct relay *r);

#endif
