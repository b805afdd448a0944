/* memo: what is remembered of an account from poll to poll, in memory only.
 *
 * Touched by one poll at a time (the pool sees to that). A restart forgets all
 * of it, which costs no more than one more attempt. */
#ifndef FETCH_MEMO_H
#define FETCH_MEMO_H

#include <stdint.h>

#include "postern/map.h"

enum {
	MEMO_ATTEMPTS = 5, /* RETRs of one message before it is set aside (4012) */
	MEMO_MESSAGES = 10000, /* troublesome messages remembered */
	MEMO_REFUSALS = 5, /* refused logons before the account is suspended (4019) */
};

struct memo_message {
	unsigned attempts; /* that failed */
	bool told; /* 4010 was logged */
	size_t uid_n;
	char uid[];
};

struct fetch_memo {
	unsigned failures; /* polls that failed since the last good one */
	unsigned refusals; /* logons refused since the last good one */
	int64_t alone_until_ms; /* wall: no pipelining, its answers were out of step */
	struct map messages;
};

void fetch_memo_init(struct fetch_memo *m, const uint64_t seed[2]);
void fetch_memo_done(struct fetch_memo *m);
/* NULL: nothing is remembered of it. */
struct memo_message *fetch_memo_find(const struct fetch_memo *m, struct span uid);
/* The same, made when it is new; NULL when too much is remembered already. */
struct memo_message *fetch_memo_get(struct fetch_memo *m, struct span uid);
void fetch_memo_forget(struct fetch_memo *m, struct span uid);

/* How long to wait after so many failures in a row: the interval, doubled with
 * each, up to an hour (or the interval, when that is longer). */
int64_t fetch_memo_wait_ms(int64_t every_ms, unsigned failures);

#endif
