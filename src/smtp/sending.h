/* sending: the inside of the sending engine, shared by its files.
 *
 * flight.c writes commands and bodies, client.c reads replies and tells facts.
 * Messages are written one after the other and answered in the same order: only the
 * newest can have something unwritten, every reply belongs to the oldest. */
#ifndef SMTP_SENDING_H
#define SMTP_SENDING_H

#include "postern/smtp_body.h"
#include "postern/smtp_client.h"
#include "sink.h"

enum {
	OUT_PAUSE = 65536, /* no more is written until the host took some */
	CHUNK_MAX = 65536, /* of a BDAT */
	NORMALISED_MAX = 32768, /* of a BDAT that may grow to twice its size */
	OUT_MAX = 2 *
			(OUT_PAUSE + CHUNK_MAX +
					8192), /* a sink may hold as much that was taken */
	ENDS_MAX = 1 << 20,
	SAID_PAUSE = 131072,
	SAID_MAX = 4 * SAID_PAUSE,
	EAGER_MAX = 65536, /* up to here the body does not wait for the replies to RCPT */
	RECIPIENTS_MAX = 1 << 20,
};

enum phase {
	PHASE_GREETING,
	PHASE_EHLO,
	PHASE_HELO,
	PHASE_OPEN,
	PHASE_QUIT,
	PHASE_OVER
};

/* What is written next. */
enum writing { W_RSET, W_MAIL, W_ROUTE, W_RCPT, W_BEGIN, W_GO, W_BODY, W_DONE };

/* What the next reply answers. */
enum answer { A_RSET, A_MAIL, A_ROUTE, A_RCPT, A_DATA, A_CHUNK, A_END };

/* Why a message was not even tried. */
enum unfit { FIT, UNFIT_EIGHT_BIT, UNFIT_SIZE, UNFIT_SENDER, UNFIT_ORIGIN, UNFIT_UTF8 };

/* What is known of a recipient. */
enum { R_OPEN, R_ACCEPTED, R_TOLD, R_INVALID, R_UTF8 };

struct under_way {
	struct smtp_client_out m;
	enum unfit unfit;
	bool binary; /* BODY=BINARYMIME */
	bool utf8; /* SMTPUTF8 */
	bool bdat;
	bool eager;
	bool exact; /* the bytes go out as they are */
	bool nul; /* a NUL went out */
	bool plain; /* it was said without BODY= */
	bool untried; /* MAIL was refused for what does not concern the message */
	struct smtp_stuff stuff;

	enum writing writing;
	size_t rcpt_out; /* recipients looked at */
	size_t asked; /* RCPT commands written */
	unsigned chunks_out; /* BDATs that were not LAST */
	bool rset_out, mail_out, route_out, data_out, end_out;
	uint64_t end; /* place in the output behind its last octet, when end_out */
	size_t written, answered; /* commands */

	bool rset_in, mail_in, route_in, data_in;
	size_t rcpt_in; /* the next recipient to be answered */
	size_t answers; /* replies to RCPT */
	unsigned chunks_in;
	size_t ended; /* LMTP: the next recipient to be answered at the end */
	size_t ends_in; /* LMTP: how many were */
	size_t accepted;
	bool dead; /* will not be delivered in this transaction; head_verdict tells why */
	struct buf states; /* an octet for each recipient */
};

struct smtp_client {
	char hostname[256];
	bool lmtp, internal, transcript;
	unsigned window;
	enum phase phase;
	struct smtp_client_caps caps;
	bool quit; /* asked for */
	bool rset; /* the peer may think that a transaction is open */
	bool clean;
	bool spent; /* the peer takes no more transactions on this connection */
	bool no_body; /* BODY= was refused, though announced */
	bool odd; /* a reply that belongs nowhere, or none to several messages */

	struct sink out;
	uint64_t wrote, taken; /* octets, since birth */
	struct sink ends; /* uint64_t each: places behind commands not taken yet */
	size_t waiting; /* commands taken and not answered */
	size_t expected; /* commands written and not answered */
	struct sink said; /* lines, one for each command expected */
	struct buf scratch; /* one normalised chunk */

	struct smtp_reader reader;
	struct smtp_heard heard;

	struct under_way *ring; /* `window` of them */
	uint64_t first, next;

	/* Facts to tell, in this order. */
	bool tell_exchange, tell_greeting, tell_caps, tell_one, tell_rest, tell_over;
	struct buf tell_said;
	bool exchange_greets;
	bool ending; /* LMTP: more replies to the end of a message will come */
	size_t one, rest; /* recipients */
	bool one_again;
	struct verdict one_verdict; /* of recipient `one` */
	struct verdict head_verdict; /* of the oldest message */
	struct verdict told_verdict; /* of the message whose last fact was told */
	bool rest_doubt;
	struct verdict over_verdict;
};

static inline struct under_way *
at(const struct smtp_client *c, uint64_t number)
{
	return &c->ring[number % c->window];
}

/* flight.c */
void flight_greet(struct smtp_client *c, bool esmtp);
/* Writes what may be written now. */
void flight_pump(struct smtp_client *c);
/* 354 though there is nobody to send to: RFC 2920 3.1 */
void flight_lone_dot(struct smtp_client *c, struct under_way *u);
/* No more of this message is written. */
void flight_stop(struct smtp_client *c, struct under_way *u);

/* replies.c */
enum answer answers_what(const struct under_way *u);
void reply_take(struct smtp_client *c); /* c->heard was heard */
void client_lost(struct smtp_client *c, struct verdict why);
/* All of it is written and answered. */
bool message_complete(const struct under_way *u);
/* Begins to tell what became of the oldest message, if that is known. */
void message_check(struct smtp_client *c);

#endif
