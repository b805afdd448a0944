/* hop: one next hop, its window of the queue and its state of health. */
#ifndef OUTBOUND_HOP_H
#define OUTBOUND_HOP_H

#include "carrier.h"
#include "settle.h"

#include "postern/map.h"

struct local;

/* What all next hops share. */
struct hops {
	struct hub *hub;
	struct settling settling;
	struct local *local;
	struct list wanting; /* hops that want to be looked at */
	struct list waiting; /* hops that want a session of more than there may be */
	struct loop_timer *look; /* soon, for those that want it */
	size_t leases; /* in hand */
	size_t sessions;
	bool stale; /* a hop was emptied: its later mail is unknown */
	bool held_up; /* somebody would have begun something, and it might not */
};

struct hop {
	struct list link;
	struct list wants, waits; /* on those lists of all */
	struct hops *all;
	struct arena arena;
	struct destination at;
	struct list ready; /* leases that nobody works on yet */
	size_t n_ready;
	struct map leased; /* message id -> lease, ready or not */
	size_t limit; /* recipients of one message at a time */
	int64_t wake_ms; /* wall: something may be due then; INT64_MAX: nothing known */
	int64_t ahead_ms; /* wall: the clock was set back, this is what "due" means */
	uint64_t named; /* the reading of the queue that had mail for it last */
	struct list sessions;
	unsigned n_sessions;
	unsigned busy; /* of them, those with a message */
	bool works; /* it has greeted us */
	struct habits habits;
	unsigned failures; /* connections in a row that came to nothing */
	unsigned fruitless; /* sessions in a row that broke before any message was answered */
	int64_t shut_until_ms; /* monotonic */
	struct verdict last; /* why it is shut */
};

struct hop *hop_new(struct hops *all, struct span key);
void hop_free(struct hop *h);
/* Nothing would be lost with it: no mail in hand, nobody who talks, nothing remembered. */
bool hop_idle(const struct hop *h);
void hop_wake(struct hop *h, int64_t at_ms); /* something is due then, if not before */
void hop_want(struct hop *h); /* it is looked at soon */
void hop_look(struct hop *h); /* loads what is due and has it worked on */
bool hop_held(const struct hop *h); /* its mail stays queued (once --queue-only) */
void hop_stop(struct hop *h, bool now); /* no new attempts; now: and no old ones */
void hop_reconsider(struct hop *h); /* what nobody has begun is read again */
/* A lease of it ends. */
void hop_release(struct lease *l);
/* False: no attempt begins now, since what becomes of it could not be recorded. */
bool hops_may_begin(struct hops *all);

/* It would not talk to us: what was taken for it is put off, and it is left alone for a while
 * (5008). */
void hop_failed(struct hop *h, const struct verdict *why);
void hop_works(struct hop *h); /* it talks to us, or does again */
/* What carriers tell: see carrier.h. */
extern const struct carrier_calls hop_carrier_calls;

#endif
