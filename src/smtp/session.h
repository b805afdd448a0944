/* session: the inside of the receiving engine, shared by its files.
 *
 * From the ground up: session.c, mail.c reads the arguments of MAIL, command.c knows the verbs,
 * answer.c answers in order, server.c moves bytes. */
#ifndef SMTP_SESSION_H
#define SMTP_SESSION_H

#include "collect.h"
#include "postern/smtp_body.h"
#include "postern/smtp_server.h"
#include "sink.h"

enum {
	LINE_MAX_OUTSIDE = 2048, /* kept of a command line; a verb may take less */
	LINE_MAX_INTERNAL = 4096,
	LINE_FLOOD = 65536, /* a longer line ends the session */
	ROUTE_MAX = 65536,
	OUTPUT_PAUSE = 32768, /* stop reading until the peer takes its replies */
	REPLY_MAX = 2048, /* all lines of one reply of ours */
	TICKET_REPLY_MAX = SMTP_TEXT_SIZE + 24,
	ERROR_WEIGHT = 10, /* one error is as bad as ten refused recipients */
};

/* Where the session stands. Verbs name the states they are welcome in. */
enum state {
	ST_START = 1 << 0, /* before EHLO */
	ST_READY = 1 << 1, /* no transaction */
	ST_MAIL = 1 << 2, /* sender known, no recipient */
	ST_RCPT = 1 << 3, /* at least one recipient, or collected */
	ST_CHUNK = 1 << 4, /* BDAT began the message */
	ST_FAILED = 1 << 5, /* a BDAT failed: RFC 3030 wants RSET or the LAST chunk */
	ST_ANY = (1 << 6) - 1,
};

/* What the next bytes are. */
enum mode { MODE_LINE, MODE_DATA, MODE_CHUNK, MODE_ROUTE, MODE_OVER };

/* A message under way to the disk; replies given after it wait behind it. */
struct ticket {
	struct buf reply; /* filled when answered before its turn */
	size_t tail; /* octets of `held` that follow it */
};

struct smtp_server {
	char hostname[256];
	char helo[256];
	char peer[64];
	uint64_t size_limit;
	uint32_t max_recipients, max_errors, max_tickets;
	uint32_t weight; /* of errors */

	enum state state;
	enum mode mode;
	enum smtp_refusal why;
	unsigned bare_refused; /* messages with bare CR, LF or NUL: event 7011 */
	struct smtp_question ask;

	/* The line so far, when it came in pieces; it may be too long to be kept. */
	struct buf line;
	size_t line_n;

	/* Output. */
	struct sink out;
	struct buf held;
	struct ticket *tickets; /* ring of max_tickets, made at the first */
	uint64_t first, next; /* numbers of the open ones */

	/* The transaction. */
	uint64_t size; /* octets handed over */
	struct buf decoded; /* parts of XCOLLECT, until MAIL is answered */
	struct buf fail; /* the reply at the end of what is being thrown away */
	struct smtp_dots dots;
	struct smtp_scan scan;
	enum smtp_body_kind body;
	uint32_t recipients;

	/* BDAT and XROUTE. */
	uint64_t left; /* octets of the chunk or record to come */
	struct buf route; /* when it comes in pieces */
	bool last;

	bool internal, esmtp;
	bool greeted; /* some of the greeting was taken */
	bool line_cr; /* the last byte of the line so far is CR */
	bool drain; /* what was said last must be taken before more may come in */
	bool in_mail; /* the host knows the transaction */
	bool utf8; /* it is one with SMTPUTF8 */
	bool drop_due; /* and must be told that it is void */
	bool collected, routed;
};

static inline unsigned
session_tickets(const struct smtp_server *s)
{
	return (unsigned)(s->next - s->first);
}

static inline struct ticket *
session_ticket(struct smtp_server *s, uint64_t number)
{
	return &s->tickets[number % s->max_tickets];
}

/* ---- session.c: the ground of the others ---- */

void session_say(struct smtp_server *s, struct smtp_reply r);
void session_say_raw(struct smtp_server *s, struct span lines);
/* "250 2.1.5 u@d": the yes that names an address, unless the host has better words. */
void session_say_yes(struct smtp_server *s, struct smtp_reply r, struct span head,
		struct span mailbox, struct span tail);
/* Asks what must be asked though the client said nothing more. */
void session_ask_rest(struct smtp_server *s);
/* Refuses a command; too many refusals end the session. */
void session_refuse(struct smtp_server *s, enum smtp_refusal why);
void session_count(struct smtp_server *s, uint32_t weight);
/* Ends the session once all is said. */
void session_over(struct smtp_server *s, enum smtp_refusal why);
/* The transaction is void: the host will be told, the state is `next`. */
void session_void(struct smtp_server *s, enum state next);
/* What is being read will be thrown away and then refused. */
void session_fail(struct smtp_server *s, struct smtp_reply r);
/* CRLF.CRLF came. */
void session_data_done(struct smtp_server *s);
/* The chunk of BDAT was read to its end. */
void session_chunk_done(struct smtp_server *s);
void session_route_done(struct smtp_server *s, struct span record);

/* command.c */
void command_run(struct smtp_server *s, struct span line);

/* mail.c: reads "FROM:<...> ..." (SMTP_REFUSALS when it is fine). */
enum smtp_refusal mail_parse(
		struct smtp_server *s, struct span arg, struct smtp_mail *out);

#endif
