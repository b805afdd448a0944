/* host: a host for the receiving engine that keeps a diary instead of mail.
 *
 * What it does depends on the words it meets: a sender "busy@" is refused, "bye@" with
 * 421, "later@" is committed when the test says so, "full@" fails at its body, "gone@" there with 421; a
 * recipient "no@" is refused. */
#ifndef SMTP_HOST_H
#define SMTP_HOST_H

#include "postern/smtp_server.h"

struct host {
	struct smtp_server *engine;
	struct buf diary; /* a line for each thing decided */
	struct buf heard; /* all that the engine said */
	struct buf body;
	char sender[300];
	bool later;
	unsigned commits;
	bool closed;
};

void host_open(struct host *h, const struct smtp_server_options *o);
void host_done(struct host *h);
/* Answers all questions there are. */
void host_answer(struct host *h);
/* Takes all output there is. */
void host_drain(struct host *h);
/* Gives it the bytes, at most `step` at a time; output is taken only when the engine
 * stalls without it. Returns what was consumed. */
size_t host_feed(struct host *h, struct span bytes, size_t step);
/* Adds bytes in a form that fits one line. */
void host_escape(struct buf *out, struct span bytes);

#endif
