/* log: says what happened, once, to everybody who listens.
 *
 * An event goes to the sink of `log:` (stderr, a file, syslog or journald; text
 * or JSON) and always to the journal STATE/events.jsonl, which `postern events`
 * reads. Both take only events at or below the configured level. A record is
 * one write; a sink that does not take it is skipped and counted (9008), since
 * mail never waits for its log. Callable from any thread; opened once per process
 * before threads start. */
#ifndef POSTERN_LOG_H
#define POSTERN_LOG_H

#include <stdint.h>

#include "postern/err.h"
#include "postern/span.h"

enum field_kind { FIELD_END, FIELD_TEXT, FIELD_LINES, FIELD_NUM };

struct field {
	const char *name;
	enum field_kind kind;
	struct span text; /* FIELD_LINES: may hold lines, each ending in LF */
	int64_t num;
};

static inline struct field
f_span(const char *name, struct span text)
{
	return (struct field){ .name = name, .kind = FIELD_TEXT, .text = text };
}

static inline struct field
f_str(const char *name, const char *text)
{
	return f_span(name, span_of(text));
}

static inline struct field
f_lines(const char *name, struct span text)
{
	return (struct field){ .name = name, .kind = FIELD_LINES, .text = text };
}

static inline struct field
f_num(const char *name, int64_t num)
{
	return (struct field){ .name = name, .kind = FIELD_NUM, .num = num };
}

/* log_event(EVENT_LOGON_FAILED, FIELDS(f_str("account", name), f_span("reply", reply))) */
#define FIELDS(...) ((const struct field[]){ __VA_ARGS__, { 0 } })

struct log_options {
	const char *to; /* "stderr", "syslog", "journald" or a path; NULL: the journal alone */
	bool json;
	unsigned level; /* 0..3 */
	const char *journal; /* path of events.jsonl, or NULL for none */
};

/* Replaces what was opened before, also while other threads log. On failure the old sinks stay. */
bool log_open(const struct log_options *o, struct err *err);
void log_close(void); /* when nobody else logs any more */
/* True when an event of this level would be recorded: for callers whose fields
 * cost something to make. */
bool log_wants(unsigned level);

/* The id must be in the catalogue. No failure has event 0: a build with tests aborts on
 * that, another logs it under 1006. */
void log_event(int id, const struct field *fields);
/* The same with another severity and level than the catalogue's (4022 and 4032
 * have two). */
void log_event_at(int id, char severity, unsigned level, const struct field *fields);
/* For an err that carries its own event: logs it under that id with its text as
 * the field `err`. */
void log_err(const struct err *e, struct span account, struct span id);

/* The words of an event, without TIME and LEVEL: its template with the fields
 * put in, all of them tamed for a terminal. `out` holds up to its limit. */
struct buf;
bool log_words(struct buf *out, int id, const struct field *fields);
/* How many records could not be written since the process began. */
uint64_t log_lost(void);

#endif
