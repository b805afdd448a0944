/* record: a route record (recipients.h) read again, and told with what became of it. */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include "cli.h"
#include "explain_words.h"
#include "postern/queue.h"

/* Spans point into json. */
struct record {
	json_t *json;
	enum recipients_outcome outcome;
	bool user, cut;
	unsigned level, received;
	struct span source, reason, account, rule;
	/* `to` as the server told it; empty: it did not. */
	struct recipients_envelope told;
	struct span header; /* recipient-relevant fields, a header block */
	bool has_header;
	size_t n_seen; /* candidates that there were, where that is more than are here */
	struct recipients_candidate *candidates;
	size_t n_candidates;
	/* What had been learned of the provider when it was decided. */
	bool has_learned;
	struct provider_habits learned;
};

/* False when there is none that can be read. */
bool record_read(struct span route, struct arena *a, struct record *out);
void record_done(struct record *r);
/* Who was to get it, and why, in the past tense. */
bool record_sentence(const struct record *r, const struct queue_message *m,
		struct arena *a, struct buf *out);

/* Of the rows of a message: was it refused at RCPT? Was it for nobody? */
bool record_refused(const struct queue_recipient *r);
bool record_hops(const struct queue_recipient *r); /* ... or for its hops? */
bool record_nobody(const struct queue_recipient *r);

#endif
