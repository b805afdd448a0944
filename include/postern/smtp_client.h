/* smtp_client: the sending side of an SMTP or LMTP session, without a socket.
 *
 *   loop: write output(), sent()
 *         used = feed(in)          stops when there is a fact to be told
 *         while next(&fact):       what happened, in order
 *         if wants_body(): body()  bytes of the message handed over last
 *         if may_send(): send()    the next message
 *   connection closed, deadline passed: lost(), then next() until SMTP_FACT_OVER
 *
 * It greets, asks for the extensions, and pipelines as far as they allow: MAIL, RCPTs
 * and DATA in one flight, or MAIL, RCPTs and BDAT; with a window above 1 the next
 * message follows in the same flight as the end of the one before (RFC 2920).
 *
 * Every recipient of every message gets exactly one verdict before the message's own
 * fact, whatever the peer does; what is undecided when the session breaks is deferred.
 *
 * SMTPUTF8 (RFC 6531) is asked for when an address of the transaction is not ASCII, and
 * for messages that came with it. Where the peer does not offer it, such a recipient has
 * failed (5.6.7), and with such a sender all of them; nothing is rewritten, but that
 * U-labels behind an ASCII local part go out as the A-labels that they are.
 * Belongs to one thread. Memory: at most 300 KB, and 1 octet per recipient under way;
 * 256 KB more with a transcript. */
#ifndef POSTERN_SMTP_CLIENT_H
#define POSTERN_SMTP_CLIENT_H

#include "postern/smtp_server.h"

struct smtp_client;

struct smtp_client_options {
	struct span hostname; /* for EHLO; copied */
	bool lmtp; /* RFC 2033 */
	bool internal; /* to our own relay: XCOLLECT, XROUTE, BDAT; body goes on though every
		recipient was refused */
	bool no_body; /* BODY= is not said, though it be announced */
	bool transcript; /* give SMTP_FACT_EXCHANGE */
	unsigned window; /* messages under way at most; 0: 1 */
};

struct smtp_client_caps {
	bool esmtp; /* EHLO (or LHLO) was understood */
	bool pipelining, chunking, eight_bit, binary, enhanced, dsn, smtputf8, starttls;
	bool sized, xcollect;
	uint64_t size_limit; /* 0: none */
};

/* Borrowed until the message's SMTP_FACT_MESSAGE. */
struct smtp_client_out {
	uint64_t mark; /* the host's name for it, given back with facts */
	struct span sender; /* without <>; empty: the null path */
	const struct span *recipients; /* without <> */
	size_t n;
	uint64_t size; /* octets */
	bool eight_bit, bare, nul; /* as smtp_commit told; unknown is true */
	bool no_notify; /* NOTIFY=NEVER where DSN is offered (RFC 3461) */
	bool utf8; /* it came with SMTPUTF8: it is asked for again where the peer offers it */
	const struct smtp_collect *collect; /* internal only; NULL: none */
	struct span route; /* internal only: the route record, at most 64 KB; empty: none */
};

enum smtp_fact_kind {
	SMTP_FACT_GREETED, /* heard: the greeting; EHLO follows by itself */
	SMTP_FACT_CAPS, /* EHLO answered: smtp_client_caps is filled, may_send() is true */
	SMTP_FACT_RECIPIENT, /* mark, recipient, verdict, again, untried, in_doubt */
	SMTP_FACT_MESSAGE, /* mark, verdict, in_doubt, changed: the last fact of a message */
	SMTP_FACT_EXCHANGE, /* greeting, said, heard: for the transcript, as replies come */
	SMTP_FACT_OVER, /* verdict: why. clean: QUIT was answered. The last fact of all */
};

/* Spans and verdict are valid until the next call of any function. */
struct smtp_fact {
	enum smtp_fact_kind kind;
	uint64_t mark;
	size_t recipient; /* its place in recipients */
	/* SMTP_FACT_MESSAGE: the reply to the whole message; with recipients refused one by
	 * one, MAIL's or the last reply. In an internal session this is what counts: delivered
	 * means durable. In LMTP it is the worst of the replies to the end of the message. */
	const struct verdict *verdict;
	bool again; /* refused for their number (452 4.5.3): send it in another transaction, at
		once, and do not count this as an attempt */
	bool in_doubt; /* all was sent, no reply came: it may have been delivered */
	bool changed; /* bare CR or LF went out as CRLF (event 4044) */
	bool nul; /* a NUL went out as it is, to a peer without BINARYMIME */
	/* The peer did not want this transaction as it was said: a second one on this
	 * connection, or BODY= that it announces. Nothing of it was taken: send it again at
	 * once, and do not count this as an attempt. */
	bool untried;
	bool spent; /* SMTP_FACT_MESSAGE: this connection takes no more messages */
	bool odd; /* SMTP_FACT_OVER: the peer lost count of what was said to it */
	bool clean;
	bool greeting; /* <G>: nothing was said before it */
	/* The command, never message content. Of an internal session only the path of MAIL is
	 * shown, and XROUTE is not told. Empty for the greeting, and in LMTP for the second
	 * and later replies to the end of a message. */
	struct span said;
	struct span heard; /* the reply, LF between its lines, not sanitised */
};

struct smtp_client *smtp_client_new(const struct smtp_client_options *o);
void smtp_client_free(struct smtp_client *c); /* NULL: nothing */

struct span smtp_client_output(const struct smtp_client *c);
void smtp_client_sent(struct smtp_client *c, size_t n);
/* Octets consumed; less than in.n when a fact waits. Feed the rest again after next(). */
size_t smtp_client_feed(struct smtp_client *c, struct span in);
bool smtp_client_next(struct smtp_client *c, struct smtp_fact *out);

/* May send() be called? False before SMTP_FACT_CAPS, while a message is being handed
 * over, while the window is full, after quit() and when the session is over. */
bool smtp_client_may_send(const struct smtp_client *c);
void smtp_client_send(struct smtp_client *c, const struct smtp_client_out *m);
/* Is there room for bytes of the message that was sent last? */
bool smtp_client_wants_body(const struct smtp_client *c);
/* Hands over bytes; returns how many were taken. `last`: the message ends with them
 * (it has, when body_done() says so; else call again with the rest). Large pieces are best: each is a BDAT chunk. When
 * wants_body() turned false for good, the message is settled without its rest. */
size_t smtp_client_body(struct smtp_client *c, struct span bytes, bool last);
/* Has the message handed over last been given all of its body, or does it need none? */
bool smtp_client_body_done(const struct smtp_client *c);

void smtp_client_quit(struct smtp_client *c); /* once all messages have their replies */
/* The connection is gone or too slow, in our words ("connection closed"). */
void smtp_client_lost(struct smtp_client *c, const char *why);
/* The host cannot supply the rest of the body: the connection has to be cut, the
 * message is deferred with these words. */
void smtp_client_abandon(struct smtp_client *c, const char *why);

const struct smtp_client_caps *smtp_client_caps(const struct smtp_client *c);
unsigned smtp_client_under_way(
		const struct smtp_client *c); /* messages without their fact */
bool smtp_client_over(const struct smtp_client *c);
/* How long to wait for the peer now, in seconds (RFC 5321 4.5.3.2); 0: no wait. */
unsigned smtp_client_patience_s(const struct smtp_client *c);

#endif
