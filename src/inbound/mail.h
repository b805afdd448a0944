/* A message on its way in, from MAIL to the answer of the store. */
#ifndef INBOUND_MAIL_H
#define INBOUND_MAIL_H

#include "heading.h"
#include "room.h"

#include "postern/arena.h"
#include "postern/buf.h"
#include "postern/roll.h"
#include "postern/smtp_server.h"
#include "postern/sum.h"
#include "postern/trace.h"

struct picked;
struct session;

/* One transaction, from MAIL to the answer of the store. */
struct mail {
	struct submission job;
	struct list link; /* of the session's mails that wait for the store */
	struct session *session; /* NULL: the client is gone */
	uint64_t ticket;
	struct arena arena; /* every span of the job but the body */
	struct heading heading;
	struct buf head; /* the body, until it is spooled */
	struct buf gather; /* small pieces on their way to the spool */
	struct sum *sum; /* of what was written to it; NULL: nothing */
	struct buf top;
	struct submission_recipient *recipients; /* &one, or allocated */
	struct submission_recipient one;
	size_t cap;
	struct roll roll; /* which of them is whose */
	size_t *members; /* inbound's, with those of the roll */
	bool collected, tls, relay_client, utf8;
	bool put_off; /* a recipient was told to come again */
	struct picked *picked; /* it is a file of the Pickup folder: pickups.h */
	bool counted; /* store_about_to_end was told */
	struct span provider, ip;
	struct span badmail, hold, fallback; /* reasons, or empty: smtp_collect */
	int64_t began_ms; /* monotonic */
	struct trace_hop_count hops;
	struct fingerprint *print; /* collected ones: copies.h */
};

struct mail_client {
	struct span helo; /* as it was said; empty: none */
	struct span ip; /* as text, empty for a unix socket */
	bool esmtp, tls, internal, may_relay;
};

struct mail *mail_new(struct inbound *in, const struct smtp_mail *said,
		const struct mail_client *client);
/* The transaction is over without the store: its file goes too. */
void mail_drop(struct inbound *in, struct mail *m);
void mail_free(struct inbound *in, struct mail *m);
/* As it is kept and sent, in the mail's arena: its domain as A-labels (E5). */
struct span mail_wire(struct mail *m, const struct smtp_path *path);
bool mail_route(struct mail *m, struct span route);
/* SMTP_LATER or a refusal. */
struct smtp_reply mail_body(struct inbound *in, struct mail *m, struct span piece);
/* Completes the job. SMTP_LATER: to be handed to the store; else the refusal. */
struct smtp_reply mail_whole(struct inbound *in, struct mail *m,
		const struct smtp_commit *commit, const struct mail_client *client);
/* What the store said: the reply, and the events of it. */
struct smtp_reply mail_answer(struct inbound *in, struct mail *m, char *text);
size_t mail_weight(const struct mail *m); /* octets in memory */
void mail_uncount(struct inbound *in, struct mail *m);

/* A copy that lives as long as the mail; of what did not fit, what did not fit. */
static inline struct span
mail_keep(struct mail *m, struct span s)
{
	if (s.n > 0 && !s.p)
		return (struct span){ NULL, 0 };
	return s.n > 0 ? arena_dup(&m->arena, s) : (struct span){ "", 0 };
}

/* ---- recipient.c: whom it is for ---- */

/* The answer to RCPT; text has room for SMTP_TEXT_SIZE. */
struct smtp_reply mail_rcpt(struct inbound *in, struct mail *m,
		const struct smtp_path *path, char *text);
/* The answer to VRFY, likewise. */
struct smtp_reply mail_vrfy(const struct inbound *in, const struct smtp_path *path,
		bool may_relay, char *text);
void recipient_begin(struct inbound *in, struct mail *m);
void recipient_end(struct mail *m);
/* It is whole, with so many hops: false when it passed too many of them, and nobody gets it. */
bool recipient_hops(struct mail *m, unsigned hops, unsigned most);
/* The one row of a message without recipients. */
void recipient_none(struct mail *m);

#endif
