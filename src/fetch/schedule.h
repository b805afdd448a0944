/* schedule: whose poll is due when. Dry.
 *
 * A heap of moments, one for each account that waits for one, and the rules by
 * which the next moment follows from what became of a poll. */
#ifndef FETCH_SCHEDULE_H
#define FETCH_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/span.h"

enum { SCHEDULE_HOUR_MS = 3600 * 1000 };

/* ---- the heap: setting and removing take time that grows with log n ---- */

struct schedule {
	int64_t *due_ms; /* per account */
	uint32_t *heap; /* accounts, the soonest first */
	uint32_t *place; /* per account: its place in heap + 1; 0: it is not there */
	size_t n; /* in the heap */
};

void schedule_init(struct schedule *s, size_t accounts);
void schedule_done(struct schedule *s);
/* The account is due then, whatever was set before. */
void schedule_set(struct schedule *s, size_t account, int64_t due_ms);
void schedule_remove(struct schedule *s, size_t account); /* also when not there */
/* The account that is due first; false when none is. */
bool schedule_first(const struct schedule *s, size_t *account, int64_t *due_ms);

/* ---- the rules ---- */

/* What a refusal is about (RFC 2449 section 8.1, RFC 3206). */
enum schedule_word {
	SCHEDULE_NO_WORD,
	SCHEDULE_IN_USE, /* somebody else has the mailbox open */
	SCHEDULE_HERE, /* ... and that is another poll of ours */
	SCHEDULE_LOGIN_DELAY, /* too soon after the last logon */
	SCHEDULE_SYS_TEMP, /* the provider is unwell and says that it will pass */
};

/* The response code in the text behind -ERR. */
enum schedule_word schedule_word(struct span text);

struct schedule_poll {
	int64_t every_ms;
	int64_t took_ms; /* from its beginning to its end */
	bool failed;
	enum schedule_word word; /* why, if the server said so */
	unsigned failures; /* in a row, with this one */
	int64_t login_delay_ms; /* what the server asks for between logons; 0: unknown */
};

/* How long to wait after the poll's end. After a good poll `every` from its
 * beginning; after a failed one `every`, doubled with each further failure, up to
 * an hour (or `every`, when that is longer). What mends itself soon is tried sooner:
 * after a minute or `every`, then less and less often. Never before the delay
 * between logons that the server names is over; where it asks for one without
 * saying how long, that is five minutes. */
int64_t schedule_wait_ms(const struct schedule_poll *p);

/* When the account's first poll comes after the start of `n` accounts: a few at
 * once, the others over a second per hundred, but nobody later than `every`. */
int64_t schedule_first_ms(size_t account, size_t n, int64_t every_ms);

#endif
