/* smtp_reply: what an SMTP server says, from both ends.
 *
 * Our own refusals are one table: a reason, its code, its RFC 3463 code, its
 * words. Handlers name the reason only. Replies of others are read with a
 * ceiling on lines and on their length; what they say is data, never shown raw. */
#ifndef POSTERN_SMTP_REPLY_H
#define POSTERN_SMTP_REPLY_H

#include <stdint.h>

#include "postern/buf.h"
#include "postern/err.h"

/* A reply of ours, one line. esc is NULL or empty where RFC 2034 wants none. Control
 * bytes in text are printed as '?', text past SMTP_TEXT_MAX is cut. */
struct smtp_reply {
	int code; /* RFC 5321 */
	const char *esc; /* RFC 3463 */
	const char *text;
};

/* The enhanced code of 250 for a collected message that was here already; a new one has 2.6.0. */
#define SMTP_ESC_HAD "2.0.0"

enum { SMTP_TEXT_MAX = 480, SMTP_TEXT_SIZE = SMTP_TEXT_MAX + 1 };

enum smtp_refusal {
	/* said by the engine itself */
	SMTP_REFUSE_VERB, /* 500 5.3.3 */
	SMTP_REFUSE_LINE, /* 500 5.5.2 control bytes in a command, or 8-bit ones out of place */
	SMTP_REFUSE_LONG, /* 500 5.5.2 line too long */
	SMTP_REFUSE_NOT_HERE, /* 502 5.5.1 */
	SMTP_REFUSE_NEED_HELLO, /* 503 5.5.2 */
	SMTP_REFUSE_NEED_MAIL, /* 503 5.5.2 */
	SMTP_REFUSE_NEED_RCPT, /* 503 5.5.2 */
	SMTP_REFUSE_HAVE_MAIL, /* 503 5.5.2 */
	SMTP_REFUSE_ORDER, /* 503 5.5.1 */
	SMTP_REFUSE_MIXED, /* 503 5.5.1 DATA and BDAT, DATA and BINARYMIME */
	SMTP_REFUSE_DOMAIN, /* 501 5.5.4 EHLO argument */
	SMTP_REFUSE_ARGUMENT, /* 501 5.5.4 */
	SMTP_REFUSE_SENDER, /* 501 5.1.7 syntax */
	SMTP_REFUSE_RECIPIENT, /* 501 5.1.3 syntax */
	SMTP_REFUSE_UTF8, /* 553 5.6.7 an address that is not ASCII, without SMTPUTF8 */
	SMTP_REFUSE_PARAMETER, /* 555 5.5.4 */
	SMTP_REFUSE_RECIPIENTS, /* 452 4.5.3 too many */
	SMTP_REFUSE_SIZE, /* 552 5.3.4 */
	SMTP_REFUSE_BARE, /* 550 5.6.11 bare CR or LF, NUL */
	SMTP_REFUSE_ROUTE, /* 552 5.3.4 route record too large */
	SMTP_REFUSE_SYNC, /* 554 5.5.0, then closed */
	SMTP_REFUSE_ERRORS, /* 421 4.7.0 too many errors */
	SMTP_REFUSE_FOREIGN, /* 421 4.7.0 HTTP and the like */
	/* said by the host */
	SMTP_REFUSE_RELAY, /* 550 5.7.1 Unable to relay for ... */
	SMTP_REFUSE_NO_ROUTE, /* 550 5.4.4 No route leads to ... */
	SMTP_REFUSE_UNKNOWN, /* 550 5.1.1 User unknown ... */
	SMTP_REFUSE_LIST, /* 550 5.2.4 Mailing list leads to nobody: ... */
	SMTP_REFUSE_MEMBERS, /* 554 5.5.3 Too many recipients, with the members of ... */
	SMTP_REFUSE_HOPS, /* 554 5.4.6 */
	SMTP_REFUSE_BUSY, /* 452 4.3.1 Insufficient system resources */
	SMTP_REFUSE_STORE, /* 451 4.3.0 */
	SMTP_REFUSE_SHUTDOWN, /* 421 4.3.2 */
	SMTP_REFUSE_IDLE, /* 421 4.4.2 */
	SMTP_REFUSE_CLIENTS, /* 421 4.3.2 too many connections */
	SMTP_REFUSE_MESSAGES, /* 421 4.7.0 too many messages in one session */
	SMTP_REFUSALS,
};

struct smtp_reply smtp_refuse(enum smtp_refusal why);
/* The same for a refusal that names an address (SMTP_REFUSE_RELAY, _UNKNOWN, _LIST, _MEMBERS):
 * prints "Unable to relay for u@d" into text and returns the reply that borrows it. */
struct smtp_reply smtp_refuse_for(
		enum smtp_refusal why, struct span address, char text[SMTP_TEXT_SIZE]);
/* "250 2.6.0 <MESSAGE-ID> Queued mail for delivery, id QUEUEID"; the message-id with
 * its <>, empty when the message has none; one that is not ASCII is not said (the client
 * may not have asked for SMTPUTF8); text is borrowed by the reply. */
struct smtp_reply smtp_queued(
		struct span message_id, uint64_t queue_id, char text[SMTP_TEXT_SIZE]);
/* "250 2.0.0 already have it" */
struct smtp_reply smtp_have_it(void);

/* Adds the reply as it goes over the wire, with CRLF. False at the limit of out. */
bool smtp_reply_print(struct buf *out, struct smtp_reply r)
		__attribute__((warn_unused_result));

/* ---- the other end: reading replies ---- */

enum smtp_step {
	SMTP_BAD = -1, /* the peer broke the protocol */
	SMTP_MORE = 0, /* need more bytes */
	SMTP_ONE = 1, /* one item was produced */
};

/* Of a longer line, and behind so many lines, only the code is read; a reply of more octets is
 * none. */
enum {
	SMTP_REPLY_LINE_MAX = 2048,
	SMTP_REPLY_LINES_MAX = 100,
	SMTP_REPLY_OCTETS_MAX = 1024 * 1024
};

/* Collects one reply of any number of lines. Starts as SMTP_READER. */
struct smtp_reader {
	struct buf raw; /* the lines so far, LF between them */
	size_t line; /* where in raw the unfinished line begins */
	unsigned lines;
	size_t octets; /* of all of it */
	int code;
	bool cr, cut; /* the unfinished line: its last octet was CR; its end was not kept */
	bool done; /* the next byte begins another reply */
};

#define SMTP_READER \
	((struct smtp_reader){ .raw = BUF_MAX((size_t)SMTP_REPLY_LINE_MAX * \
					       SMTP_REPLY_LINES_MAX) })

struct smtp_heard {
	int code; /* 200 to 599 */
	struct span raw; /* all lines as they came, LF between them: not sanitised */
	char esc[12]; /* RFC 3463 code of the first line when its class fits, else "" */
};

/* Consumes bytes of *in up to the end of one reply. *out is valid until the next
 * call. SMTP_BAD: no reply (no code, mixed codes, bare LF, past SMTP_REPLY_OCTETS_MAX). */
enum smtp_step smtp_reader_feed(
		struct smtp_reader *r, struct span *in, struct smtp_heard *out);
void smtp_reader_done(struct smtp_reader *r);
/* "CODE ESC TEXT" on one line: later lines are joined with a space, without their
 * code and without the enhanced code of the first; control bytes become '?'.
 * What does not fit is cut. */
void smtp_heard_line(const struct smtp_heard *h, char *text, size_t size);
/* The verdict that a reply is: 2xx delivered, 4xx deferred, 5xx bounced; anything
 * else, and 503 (which is about our order of commands), deferred. */
struct verdict smtp_heard_verdict(const struct smtp_heard *h);

#endif
