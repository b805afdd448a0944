/* What the files of this room share: the role. All of it belongs to the loop thread. */
#ifndef RELAY_ROOM_H
#define RELAY_ROOM_H

#include "postern/hub.h"
#include "postern/inbound.h"
#include "postern/list.h"
#include "postern/outbound.h"
#include "postern/policyload.h"
#include "postern/relay.h"

enum { STOP_LIMIT_MS = 10 * 1000 /* SPEC: SIGTERM settles what is in hand */ };

struct relay {
	struct hub hub; /* what the parts stand on */
	struct policyload *policyload;
	struct inbound *inbound;
	struct outbound *outbound;
	struct control *control;

	struct renewal {
		struct conf *(*reload)(void *host);
		void (*drop)(struct conf *conf);
		void *host;
		bool (*log)(const struct conf *conf, struct err *err);
		int sockets_fd;
		struct list dns; /* those before, while they have queries */
		struct conf mixed; /* what hub.conf points to: renew.c */
		struct conf *taken; /* what some of it belongs to, NULL: the first one */
	} renewal;

	/* relay.c */
	struct loop_timer *tick;
	int64_t tick_at_ms; /* monotonic */
	struct loop_timer *limit; /* of the time that stopping may take */
	struct loop_timer *done; /* a look whether all is done, after this callback */
	struct loop_signal *signals[2];
	struct loop_wake *wake; /* relay_stop, relay_fetched */
	int stop_asked, fetched; /* set from any thread, atomically */
	bool goodbye; /* only peers that were told goodbye are waited for */
	bool tidied; /* `once`: what is too old was removed */
	int ready_fd;
	struct err failed;
	bool has_failed;

	/* health.c */
	bool space_low;
	enum store_trouble trouble; /* told */
	int64_t trouble_since_ms; /* monotonic */
	enum store_trouble
			trouble_told; /* the last one that was, at that monotonic time */
	int64_t trouble_told_ms;

	/* clockwatch.c: the wall clock */
	struct {
		int64_t away_ms; /* what the store found at the start */
		int64_t ahead_ms; /* of the one that only passes, at the last look */
	} clock;
};

/* ---- parts.c: what is made for a configuration ---- */

/* What a process may have open, divided for this configuration; says 1008. */
void parts_divide(struct hub *hub);
struct dns *parts_dns(struct loop *loop, const struct conf_dns *c, struct err *err);

/* ---- health.c: what the state of the store means to the relay ---- */
void health_job(struct relay *r, const struct store_job *job); /* one came back */
void health_look(struct relay *r);
void health_space(struct relay *r); /* 6004, 6005 */

/* ---- renew.c: another configuration ---- */
void renew_init(struct relay *r, const struct relay_options *o);
void renew_tick(struct relay *r);
void renew_end(struct relay *r);
/* False and *err: it takes another start, and everything is as it was. */
bool renew(struct relay *r, struct err *err);

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
