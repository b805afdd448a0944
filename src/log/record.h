/* One event as bytes: a JSON line, or the lines of the text log. */
#ifndef LOG_RECORD_H
#define LOG_RECORD_H

#include "postern/buf.h"
#include "postern/event.h"
#include "postern/journal.h"
#include "postern/log.h"

enum {
	RECORD_MAX = 128 * 1024, /* longer ones lose their tail, never their shape */
};

struct record {
	int64_t time_ms;
	const struct event *event;
	char severity;
	unsigned level;
	struct span words; /* the template with its fields */
	const struct field *fields;
};

bool record_json(struct buf *out, const struct record *r); /* with the LF */
/* TIME LEVEL event=ID account=A id=T WORDS; further lines indented by two spaces. */
bool record_text(struct buf *out, const struct record *r);

#endif
