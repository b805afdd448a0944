/* dispatch and its next hops, for the files that work through their mail. */
#ifndef RELAY_DISPATCH_H
#define RELAY_DISPATCH_H

#include "room.h"

/* Messages that were loaded together, and all that was made for them. */
struct batch {
	struct arena arena;
	size_t refs;
};

struct dispatch {
	struct relay *r;
	struct map by_key; /* hop key -> struct hop */
	struct list hops;
	struct list sessions; /* of outbound.c, all hops */
	struct hop *nudged; /* last; mail mostly comes for one hop */
	size_t leases; /* of all hops */
	size_t sessions_n;
	struct loop_timer *look; /* soon: hops that want attention */
	bool stale; /* a hop was emptied: its later mail is unknown */
	bool stopping;
	int64_t refreshed_ms; /* monotonic */
	struct retry retry;
};

struct hop {
	struct list link;
	struct dispatch *d;
	struct arena arena;
	struct span key;
	struct nexthop to;
	bool badmail; /* to be written to Badmail */
	struct list ready; /* leases that nobody works on yet */
	size_t n_ready;
	struct map leased; /* message id -> lease, ready or not */
	size_t limit; /* recipients of one message at a time */
	int64_t wake_ms; /* wall: something may be due then; INT64_MAX: nothing known */
	int64_t ahead_ms; /* wall: the clock was set back, this is what "due" means */
	unsigned sessions; /* of outbound.c */
	unsigned busy; /* of them, those with a message */
	bool works; /* it has greeted us */
	bool single; /* it takes one transaction on a connection */
	int64_t no_body_until_ms; /* monotonic: till then BODY= is not said */
	int64_t careful_until_ms; /* monotonic: till then no message follows another's dot */
	unsigned failures; /* connections in a row that came to nothing */
	unsigned fruitless; /* sessions in a row that broke before any message was answered */
	int64_t shut_until_ms; /* monotonic */
	struct verdict last; /* why it is shut */
};

/* hop.c */
struct hop *hop_new(struct dispatch *d, struct span key);
void hop_free(struct hop *h);
void hop_wake(struct hop *h, int64_t at_ms); /* something is due then, if not before */
void hop_look(struct hop *h); /* loads what is due and has it worked on */
bool hop_held(const struct hop *h); /* nothing is to be done for now */
/* False: no attempt begins now, since what becomes of it could not be recorded. */
bool dispatch_may_begin(const struct dispatch *d);
/* The same key, for as long as there is a dispatch. */
struct span dispatch_key(struct dispatch *d, struct span key);
/* It would not talk to us: what was taken for it is put off, and it is left alone
 * for a while (5008). */
void hop_failed(struct hop *h, const struct verdict *why);
void hop_works(struct hop *h); /* it talks to us (again) */
void lease_free(struct lease *l);

#endif
