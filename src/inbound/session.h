/* One client: for the files that deal with those who are connected. */
#ifndef INBOUND_SESSION_H
#define INBOUND_SESSION_H

#include "mail.h"

#include "postern/net.h"
#include "postern/stream.h"

struct session {
	struct list link;
	struct list dirty; /* on inbound's list while the engine has news */
	struct inbound *in;
	struct stream *stream;
	struct smtp_server *engine;
	struct mail *mail; /* the transaction that is open */
	struct list waiting; /* mails that the store has */
	struct client *client; /* NULL: our own */
	char ip[NET_TEXT_SIZE];
	bool internal, may_relay;
	bool paused; /* not read: the window is full, or memory is */
	bool clogged; /* our output does not get away */
	bool ended; /* the client says no more */
	bool closing;
	bool in_body;
	unsigned messages;
	unsigned bare; /* of them refused for bare line ends, as far as it was told */
	int64_t stamp_ms; /* monotonic: something useful happened */
	uint64_t moved; /* octets of bodies since then */
};

/* session.c */
struct session *session_new(struct inbound *in, int fd, const struct loop_peer *peer,
		bool internal);
void session_free(struct session *s);
/* Answers what is asked and says what is to be said. False: it is over, and must
 * not be touched any more. */
bool session_settle(struct session *s);
void session_resume(struct session *s); /* reads on, if nothing else forbids it */
void session_end(struct session *s, enum smtp_refusal why);
void session_tick(struct session *s, int64_t now);

#endif
