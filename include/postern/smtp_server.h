/* smtp_server: the receiving side of an SMTP session, without a socket.
 *
 * Bytes go in through feed(), bytes come out through output(). Between them the
 * engine may hold one question, something only its host can decide. While a question
 * is open the engine consumes nothing. The order of work is:
 *
 *   loop: used = feed(in)        stops at a question, a full output, a full window
 *         while ask().kind:      answer() at once (all but SMTP_ASK_CLOSE)
 *         write output(), sent()
 *   later: committed(ticket)     then feed() and output() again
 *
 * Durable pipelined acceptance: a whole message is SMTP_ASK_COMMIT with a ticket, a
 * place in the order of replies. The host answers with SMTP_LATER and the engine goes
 * on with the next transaction, whose replies wait behind the ticket until
 * smtp_server_committed says what became of the message. Tickets may be answered in
 * any order; replies leave in the order of commands (RFC 2920).
 *
 * Whatever the cuts between the pieces fed, the result is the same, with one intended
 * exception: input that arrives before the output of the greeting, of EHLO, HELO or of
 * DATA's 354 was taken with sent() is a fault of the client (S05), and ends the
 * session. So a host writes output as soon as it can, but reads before it writes the
 * greeting if it wants to catch early talkers.
 *
 * Belongs to one thread. Memory: at most about 200 KB, for internal sessions 1 MB. */
#ifndef POSTERN_SMTP_SERVER_H
#define POSTERN_SMTP_SERVER_H

#include <stdint.h>

#include "postern/smtp_path.h"
#include "postern/smtp_reply.h"

struct smtp_server;

/* Spans are copied at birth. */
struct smtp_server_options {
	struct span hostname; /* ours */
	struct span peer; /* its address as text, for "Hello [IP]"; empty: "internal" */
	int64_t now_s; /* for the date in the greeting */
	uint64_t size_limit; /* octets of a message; 0: none */
	uint32_t max_recipients; /* of one transaction; 0: 1000 */
	uint32_t max_errors; /* then 421; 0: no limit. Ten refused recipients count as one */
	uint32_t max_tickets; /* commits under way; 0: 64, internal 1024 */
	bool internal; /* our own fetcher: XCOLLECT, XBADMAIL, XHOLD, XFALLBACK, XDEDUP, XROUTE */
};

enum smtp_ask {
	SMTP_ASK_NOTHING,
	SMTP_ASK_MAIL, /* mail; SMTP_YES or a refusal; begins a transaction */
	SMTP_ASK_RCPT, /* path; SMTP_YES or a refusal. In a collected transaction the host
		remembers whom it refused */
	SMTP_ASK_VRFY, /* path; SMTP_YES or a refusal */
	SMTP_ASK_ROUTE, /* bytes: the route record of the transaction; SMTP_YES or a refusal */
	SMTP_ASK_BODY, /* bytes of the message; SMTP_LATER to go on, or a refusal: then the
		rest is read and thrown away, SMTP_ASK_DROP follows, the refusal is said at the end */
	SMTP_ASK_COMMIT, /* commit: the message is whole; SMTP_LATER, or its reply at once */
	SMTP_ASK_DROP, /* the transaction is void, forget it; SMTP_LATER */
	SMTP_ASK_CLOSE, /* all is said: flush the output, hang up. Stays open for ever */
};

enum smtp_body_kind { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };

/* Where a message was collected: XCOLLECT and XDEDUP, decoded; and at most one of XBADMAIL,
 * XHOLD and XFALLBACK, when nobody was found in it (E13). */
struct smtp_collect {
	struct span account;
	struct span uidl; /* 1 to 512 octets, any */
	struct span provider; /* host name of the POP3 server */
	struct span ip; /* its address as text */
	bool tls; /* POP3S */
	struct span badmail; /* XBADMAIL: to Badmail, for this reason; empty: no */
	uint64_t print; /* of its header fields (origin.h); 0: none */
	struct span hold; /* XHOLD: to be held, for this reason; empty: no */
	struct span fallback; /* XFALLBACK: its recipient is a stopgap; refused, it goes to
		Badmail for this reason; empty: no */
	bool copies; /* XDEDUP=NO: every copy is delivered */
};

struct smtp_mail {
	struct smtp_path sender; /* mailbox empty: <> */
	bool sized;
	uint64_t size; /* SIZE=, when sized */
	enum smtp_body_kind body;
	bool utf8; /* SMTPUTF8 was asked for; without it no address is but ASCII */
	bool collected;
	struct smtp_collect collect;
};

struct smtp_commit {
	uint64_t ticket;
	uint64_t size; /* octets handed over as SMTP_ASK_BODY */
	bool eight_bit, bare, nul; /* what the bytes have */
};

/* All of it is valid until the answer; spans may point into the bytes given to feed(),
 * which must stay where they are until then. */
struct smtp_question {
	enum smtp_ask kind;
	union {
		struct smtp_mail mail;
		struct smtp_path path;
		struct span bytes;
		struct smtp_commit commit;
	};
};

/* Yes, in the words of SPEC section 5. */
#define SMTP_YES ((struct smtp_reply){ .code = 250 })
/* Nothing to be said now. */
#define SMTP_LATER ((struct smtp_reply){ .code = 0 })

struct smtp_server *smtp_server_new(const struct smtp_server_options *o);
void smtp_server_free(struct smtp_server *s); /* NULL: nothing */

/* Octets consumed; less than in.n when there is a question or the window is full. */
size_t smtp_server_feed(struct smtp_server *s, struct span in);
/* Valid until the next answer(). */
const struct smtp_question *smtp_server_ask(const struct smtp_server *s);
/* Answers the open question. A refusal with code 421 also ends the session. */
void smtp_server_answer(struct smtp_server *s, struct smtp_reply r);
/* What became of the message of this ticket. 250 only when it is durable. */
void smtp_server_committed(struct smtp_server *s, uint64_t ticket, struct smtp_reply r);
struct span smtp_server_output(const struct smtp_server *s);
void smtp_server_sent(struct smtp_server *s, size_t n);
/* Ends the session from our side: says why, behind what is still under way. A body
 * that is being received is dropped. */
void smtp_server_end(struct smtp_server *s, enum smtp_refusal why);

/* ---- what is known of the session ---- */

struct span smtp_server_helo(const struct smtp_server *s); /* empty before EHLO, HELO */
bool smtp_server_esmtp(const struct smtp_server *s); /* EHLO, not HELO */
unsigned smtp_server_tickets(const struct smtp_server *s); /* commits under way */
/* Does it wait for bytes of a message (for time-outs)? */
bool smtp_server_in_body(const struct smtp_server *s);
/* Is a transaction open that was not committed? */
bool smtp_server_in_mail(const struct smtp_server *s);
/* Messages refused for bare CR, bare LF or NUL so far (550 5.6.11). */
unsigned smtp_server_bare(const struct smtp_server *s);
/* Why the engine closed the session: SMTP_REFUSALS when the client said QUIT or it is
 * still open. */
enum smtp_refusal smtp_server_why(const struct smtp_server *s);

#endif
