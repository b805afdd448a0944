/* roll: the recipients of one message, from the answers to its RCPTs.
 *
 * Each is there once, however often and by whatever list he is named; a list is expanded once;
 * who was refused, and is led to by a list, gets the message all the same. The rows themselves
 * are the host's: the roll says which one an entry is, and keeps who is in them. */
#ifndef POSTERN_ROLL_H
#define POSTERN_ROLL_H

#include "postern/map.h"
#include "postern/rcpt.h"

enum {
	ROLL_FIRST = 8, /* so many rows are compared one by one */
	/* Members of lists in all messages that are under way: past it, clients come again. */
	ROLL_MEMBERS_MAX = 500000,
};

struct roll_entry {
	/* Of whom it was asked for, or whom that leads to, in wire form. They live as long as the
	 * struct rcpt: what is kept is copied. */
	struct span address;
	struct span asked; /* where it was asked for as somebody else; or empty */
	bool asked_list; /* and he is a list */
	const struct nexthop *hop; /* NULL: refused, or nobody gets it */
	bool refused;
	enum smtp_refusal why;
	struct span said; /* as the client has it, for the words of a refusal */
};

struct roll_calls {
	/* Puts the entry into row `row`: the next one, or one whose entry was refused. False: no
	 * memory, and the row is as it was. */
	bool (*put)(void *host, size_t row, const struct roll_entry *e);
	/* Is there memory for so many members of lists more? NULL: always. */
	bool (*members)(void *host, size_t n);
	/* A number that nobody guesses, for telling many rows apart. */
	void (*seed)(void *host, uint64_t seed[2]);
	/* The row is refused after all, if it is not yet: the message has too many hops. */
	void (*refuse)(void *host, size_t row, enum smtp_refusal why);
};

struct roll {
	const struct roll_calls *calls;
	void *host;
	struct arena *arena; /* the keys live in it */
	size_t n, most; /* rows, and how many there may be */
	bool keeps; /* who is refused has a row, too: nobody else can be told */
	size_t members; /* of lists, so far */
	struct span first[ROLL_FIRST];
	bool refused[ROLL_FIRST];
	struct map rows; /* by key, once there are more than that */
	bool mapped;
	struct map lists; /* those that were expanded, by alias */
};

/* The arena outlives the roll. */
void roll_init(struct roll *l, const struct roll_calls *calls, void *host,
		struct arena *a, size_t most, bool keeps);
void roll_done(struct roll *l);

/* Takes what was decided about one RCPT. False: it is refused for *why, which may be
 * SMTP_REFUSE_RECIPIENTS or _BUSY: come again. Members that were taken before stay. */
bool roll_take(struct roll *l, const struct rcpt_rules *rules, const struct rcpt *rc,
		enum smtp_refusal *why);
/* Somebody of a message that nobody gets: has a row, and no next hop. */
bool roll_nobody(struct roll *l, const struct rcpt *rc, enum smtp_refusal *why);
/* Has it passed too many servers (E10)? Then all rows are refused. */
bool roll_hops(struct roll *l, unsigned hops, unsigned most);

#endif
