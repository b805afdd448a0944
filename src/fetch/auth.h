/* auth: one exchange that proves who we are. */
#ifndef FETCH_AUTH_H
#define FETCH_AUTH_H

#include "sasl.h"
#include "session.h"

enum {
	AUTH_WORDS_MAX = 160, /* of a server, per sentence */
	AUTH_REFUSAL_SIZE = 2 * AUTH_WORDS_MAX + 40,
};

enum answer { ANSWER_IN, ANSWER_REFUSED, ANSWER_MORE, ANSWER_ENDED };

struct logon {
	struct pop_session *s;
	enum conf_auth how;
	struct span secret, before; /* password or token; the one that was refused */
	struct buf line; /* the last thing said, built in a room of its own */
	struct span challenge; /* behind "+"; until the next line is read */
	bool told; /* the secret, or what is made of it, was said */
	bool counts; /* it was refused for what it is */
	int event; /* of a refusal, */
	/* what the server said to it, and to a token as its reason */
	char said[AUTH_WORDS_MAX + 1], reason[AUTH_WORDS_MAX + 1];
};

/* Carries out l->how with l->secret, which has been looked at: ANSWER_IN, or
 * ANSWER_REFUSED with event and words, or ANSWER_ENDED with the session's err. */
enum answer auth_prove(struct logon *l);
/* "-ERR ..." as far as it may be shown. */
void auth_refusal(const struct logon *l, char out[AUTH_REFUSAL_SIZE]);
/* Notes how the logon ended: true when it succeeded. */
bool auth_settled(struct logon *l, enum answer a);

#endif
