/* provider: how an account's provider marks the mail it stores (RECIPIENTS.md E2).
 *
 * Dry. Learned from an account's first messages: how many Received lines the
 * provider adds itself, under which host name, and which envelope headers stand
 * above them, how often. Nothing can be learned from below those lines, and a
 * sender can only add lines below them, so he makes his own message look strange
 * but not the provider. Afterwards what is not like it is told (4036) and not
 * obeyed. Fifty strange messages in a row mean that the provider has changed: it is
 * learned again. */
#ifndef POSTERN_PROVIDER_H
#define POSTERN_PROVIDER_H

#include <stdint.h>

#include "postern/buf.h"

enum {
	PROVIDER_LEARN_HOPS = 25, /* messages that its lines are counted in */
	PROVIDER_LEARN = 50, /* ... and then as many again for the headers */
	PROVIDER_STRANGE = 50, /* in a row, before it is learned again */
	PROVIDER_HOPS = 8, /* lines that are told apart */
	PROVIDER_NAMES = 24, /* envelope headers remembered */
	PROVIDER_NAME_MAX = 64,
	PROVIDER_TIMES = 4, /* not there, once, twice, more often */
};

struct provider_header {
	char name[PROVIDER_NAME_MAX + 1]; /* as it was spelled first */
	uint8_t times[PROVIDER_TIMES]; /* messages with so many; [0] stays 0 */
};

/* Zeroed to start. */
struct provider_habits {
	unsigned seen; /* messages learned from, at most PROVIDER_LEARN */
	uint8_t hops[PROVIDER_HOPS]; /* messages with so many lines of its own */
	char host[256]; /* who wrote the topmost Received of the first message */
	unsigned same; /* messages whose topmost line is from beside it */
	struct provider_header headers[PROVIDER_NAMES];
	size_t n;
	unsigned strange; /* messages in a row that were not like it */
};

/* What one message shows. */
struct provider_seen {
	struct span by; /* host of the topmost Received, canonical, or empty */
	bool beside; /* it belongs to the host that was learned first */
	unsigned hops; /* Received lines from the top that are of one site */
	struct {
		struct span name;
		unsigned times; /* above those lines, at least 1 */
	} v[PROVIDER_NAMES];
	size_t n;
	bool strange; /* as provider_usual and provider_hops said when it was decided */
};

void provider_learn(struct provider_habits *p, const struct provider_seen *seen);
/* Lines the provider adds, 0 while it is not known. Nine of ten messages have them. */
unsigned provider_hops(const struct provider_habits *p);
/* The site its topmost lines come from, or empty: not known, or not always the same. */
struct span provider_host(const struct provider_habits *p);
/* Are its headers known? */
bool provider_known(const struct provider_habits *p);
/* Does it write this header at all; and, where it always does, so many times? True while it
 * is not known, and where it has no habit of its own to be told by. */
bool provider_writes(const struct provider_habits *p, struct span name);
bool provider_usual(const struct provider_habits *p, struct span name, unsigned times);
/* Does it write this header into (nearly) every message? False while not known. */
bool provider_always(const struct provider_habits *p, struct span name);

/* As text, one line for each fact, each beginning with the word "provider", with its
 * LF; nothing when nothing was learned. False when out is full. */
bool provider_print(const struct provider_habits *p, struct buf *out)
		__attribute__((warn_unused_result));
/* Takes one such line, without its LF and its first word; unknown ones change nothing. */
void provider_read(struct provider_habits *p, struct span line);

#endif
