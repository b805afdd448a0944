/* journal: the events on disk, STATE/events.jsonl, as they can be read again.
 *
 * One JSON object a line, oldest first; an older half stands in events.jsonl.1.
 * Lines that are not whole or not ours are passed over. */
#ifndef POSTERN_JOURNAL_H
#define POSTERN_JOURNAL_H

#include <stdint.h>

#include "postern/arena.h"
#include "postern/err.h"

struct journal;

struct journal_filter {
	int id; /* 0: all */
	struct span account; /* empty: all */
	struct span trace; /* queue id or ACCOUNT/UIDL; empty: all */
	int64_t since_ms;
	unsigned level; /* events up to this level */
};

struct journal_entry {
	int64_t time_ms;
	int id;
	char severity;
	unsigned level;
	const char *name;
	struct span text; /* lines joined by LF */
	struct span account, trace; /* empty when the event has none */
	struct span line; /* the JSON object as it stands in the file */
};

/* An absent file is an empty journal. NULL with *err set on anything else. */
struct journal *journal_open(
		const char *path, const struct journal_filter *f, struct err *err);
/* The next entry that the filter lets pass; false at the end, and a later call
 * may find more. The entry is valid until the next call. */
bool journal_next(struct journal *j, struct journal_entry *out);
void journal_close(struct journal *j);

/* The entry as the text log writes it, with the LF at its end. */
struct buf;
bool journal_print(struct buf *out, const struct journal_entry *e);

#endif
