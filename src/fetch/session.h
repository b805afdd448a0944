/* session: one POP3 session, from connecting to QUIT.
 *
 * CONNECT - GREETING - [STLS] - CAPA - LOGON - LIST - UIDL - (plan) - RETR - DELE -
 * QUIT. Sets the libetpan session's state by hand where our own readers do the
 * talking; whatever goes wrong ends it without QUIT, so that nothing is deleted
 * that was not meant to be. */
#ifndef FETCH_SESSION_H
#define FETCH_SESSION_H

#include <libetpan/libetpan.h>

#include "known.h"
#include "low.h"
#include "plan.h"
#include "poll.h"
#include "submit.h"

enum { POP_REFUSAL_WORDS = 64 * 1024 };

struct reading;
struct refusal;

enum pop_stage {
	POP_AT_CONNECT,
	POP_AT_GREETING,
	POP_AT_STLS,
	POP_AT_CAPA,
	POP_AT_LOGON,
	POP_AT_LIST,
	POP_AT_UIDL,
	POP_AT_RETR,
	POP_AT_DELE,
	POP_AT_QUIT,
	POP_AT_END,
};

struct pop_caps {
	bool heard; /* CAPA was answered */
	uint64_t login_delay_s; /* 0: not named */
	bool pipelining, uidl, top, stls, user, sdps;
	bool utf8; /* RFC 6856 */
	bool early; /* PIPELINING was told before the logon */
	bool sasl_said; /* it told which mechanisms it has: */
	unsigned sasl; /* 1u << enum conf_auth */
};

struct pop_session {
	struct fetch_poll *poll;
	struct pop_low low;
	mailpop3 *pop;
	struct pop_wire wire;
	enum pop_stage stage;
	struct pop_caps caps;
	enum conf_auth logged_on; /* how; CONF_AUTH_AUTO: not yet */
	char ip[NET_TEXT_SIZE];
	struct pop_listing listing;
	struct pop_message *messages; /* listing.n of them */
	struct pop_known known;
	char **keys; /* listing.n, NULL: none; content keys of what has no name */
	struct pop_plan plan;
	struct fetch_submit *submit; /* NULL until the first message */
	size_t kept_again; /* deleted before, listed again, and the same */
	size_t kept_left; /* ... and left by the listing alone */
	bool relay_down; /* it puts mail off: collect no more */
	bool came; /* the server gave a message */
	bool refused; /* and refused all behind it */
	struct refusal *refusals; /* RETRs refused in a row, up to the last one (refusals.c) */
	size_t n_refusals, cap_refusals;
	struct arena words; /* what was said to them */
	bool listing_refused; /* LIST was answered -ERR: */
	char list_said[201];
	bool listing_asked; /* LIST and UIDL are under way, behind the logon */
	int64_t trip_ms; /* from that flight to its first answer */
	bool quit_sent; /* QUIT is under way, behind what was asked last */
	/* A message ended, and nothing shows yet that it was whole (held.c). */
	bool ended;
	size_t ended_at;
	uint64_t ended_octets;
	struct reading *held; /* the same, where the relay waits for its end; or NULL */
	unsigned check; /* pop_check of what we logged on with; 0: by no password */
	bool again; /* ended early for one message's sake: the next session goes on */
	struct fetch_flight *current; /* whose body is being handed over */
	struct buf head, out; /* of the message being read */
	bool told; /* the server told its envelope: */
	struct buf told_from, told_to;
	uint64_t moved; /* octets since the session's deadline was set */
	uint64_t fresh; /* messages this session brought that were not known */
	struct err err; /* why the session ended early; event 0: it did not */
};

/* One whole session. False with s->err in p->result.error. *more: messages were
 * left for the next session. */
bool pop_session_run(struct fetch_poll *p, bool *more);

/* commands.c: commands out, answers in, and how a session fails. */
/* Notes what ended the session, once; gives false to return. */
bool pop_fail(struct pop_session *s, int event, const char *fmt, ...)
		__attribute__((format(printf, 3, 4)));
/* The connection is of no more use; at RETR and behind it that is 4005. */
bool pop_lost(struct pop_session *s);
/* The answer made no sense: out of step with the server. */
bool pop_odd(struct pop_session *s, struct span line);
/* Reads an answer that may be +OK or -ERR: we go on. */
bool pop_pass_over(struct pop_session *s);
/* The server answered -ERR where that ends the session. */
bool pop_refused(struct pop_session *s, int event, struct span text);
const char *pop_stage_name(enum pop_stage stage);
bool pop_command(struct pop_session *s, const char *text);
bool pop_flush(struct pop_session *s);
/* QUIT, into the flight that is being gathered; once. */
bool pop_say_quit(struct pop_session *s);
/* Something was achieved: the session's deadline begins anew. */
void pop_progress(struct pop_session *s);
/* Retrieve no more, but end in order: asked to, or the server is too slow to wait for.
 * Deletions have half as long again, so that QUIT comes before patience ends. */
bool pop_time_is_up(const struct pop_session *s, bool retrieves);

/* fast.c: the last session with these credentials went well, on a server that pipelines. */
bool pop_fast(const struct pop_session *s);
/* Takes the capabilities from memory, where nothing of this server was heard yet. */
void pop_fast_caps(struct pop_session *s);
/* USER, PASS, LIST and UIDL in one flight; logged on afterwards, with the answers to
 * LIST and UIDL still to be read (s->listing_asked). *changed: the password is another one
 * now, nothing was said. */
bool pop_fast_logon(struct pop_session *s, bool *changed);
/* Where the answers to LIST and UIDL of that flight are. */
enum pop_flight {
	FLIGHT_CAME, /* they have begun to come */
	FLIGHT_LATE, /* they come, and the +OK to LIST is read already */
	FLIGHT_LOST, /* they never will: to be asked again */
	FLIGHT_ENDED, /* the session is over */
};
enum pop_flight pop_fast_wait(struct pop_session *s);
/* Both were read: the flight got through. */
bool pop_fast_landed(struct pop_session *s, enum pop_flight how);
/* What a good session leaves for the next one. */
void pop_fast_remember(struct pop_session *s);
/* Digest of server, user and password; 16 bits, see memo.h. Never 0. */
unsigned pop_check(const struct pop_session *s, struct span password);
/* The same of the server's name and port. */
unsigned pop_server_check(const struct pop_session *s);
/* open.c: connects, greets, starts TLS, logs on. */
bool pop_open(struct pop_session *s);
/* logon.c: from AUTHORIZATION to TRANSACTION, by the mechanism that is configured
 * or, with auth: auto, by the first of its order that the server offers. */
bool pop_logon(struct pop_session *s);
/* The account's password, as its source gives it now; wiped by secret_done. */
bool pop_password(struct pop_session *s, struct buf *out);
/* May a secret be said on this connection, and can these words be said at all?
 * False is the end of the session. */
bool pop_secret_welcome(struct pop_session *s);
bool pop_arguments_ok(struct pop_session *s, struct span password);
bool pop_bad_argument(struct pop_session *s); /* ends it */
/* May this text be sent as an argument (P12)? */
bool pop_argument_ok(struct span text);
/* auth.c: queues USER and PASS without sending them; false where a secret is not
 * welcome or these cannot be said. The caller sends them by pop_flush_secret. */
bool pop_user_pass_write(struct pop_session *s, struct span password);
/* Reads the answer to one of the two. A refusal is noted as 4002, 4003 or 4004 by
 * what it is about. Once PASS was answered s->logged_on is CONF_AUTH_USER. */
bool pop_user_pass_read(struct pop_session *s, struct span password);
/* pop_flush, and wipes what libetpan's buffer held. */
bool pop_flush_secret(struct pop_session *s);
/* retrieve.c */
bool pop_retrieve(struct pop_session *s);
bool pop_delete(struct pop_session *s, size_t **deleted, size_t *n);
/* step.c: its answers do not match our commands: it is asked one by one for some weeks. */
bool pop_out_of_step(struct pop_session *s, struct span line);
/* held.c: an answer came (or did not), which tells of the message before it: whole, and
 * handed over; or suspect (4020). `last`: no other answer is awaited, so what follows this
 * line is nobody's. False: the session is over. */
bool pop_in_step(struct pop_session *s, enum pop_answer answer, struct span text,
		bool last);
/* Nothing more is retrieved: the same for the last message. */
bool pop_held_prove(struct pop_session *s);
/* Not known to be whole: what the relay has of it is thrown away. */
void pop_held_drop(struct pop_session *s);
/* owed.c: whether what is to be deleted without RETR is still what was collected. */
bool pop_owed_prove(struct pop_session *s);
/* survey.c: reads the listing; false: the session is over. */
bool pop_survey(struct pop_session *s);
/* kept.c: before the plan: which messages were deleted in vain, and are left for today. */
void pop_kept_mark(struct pop_session *s);
/* A session went well: does the provider delete what it confirms? Logs 4014. */
void pop_kept_judge(struct pop_session *s);
/* sdps.c: is the server asked for envelopes? Then each message goes by itself. */
bool pop_sdps_wanted(const struct pop_session *s);
/* Asks for that of a message, where it is to be asked: s->told. False: the session is
 * over. Nothing else may be under way. */
bool pop_sdps_ask(struct pop_session *s, size_t i);
/* peek.c: asks for a message's header (TOP, or RETR where there is none), and reads
 * the answer into s->head. False: the session is over; *got: the server gave it. */
bool pop_peek_send(struct pop_session *s, size_t i);
bool pop_peek_read(struct pop_session *s, size_t i, bool *got);
/* storm.c: false: collection is held (4009), or the session is over. */
bool pop_storm_pass(struct pop_session *s);
/* newcomer.c: false: collection is held (4018). */
bool pop_newcomer_pass(struct pop_session *s);
/* So many may be retrieved before it is seen whether they reach anybody. */
size_t pop_newcomer_more(const struct pop_session *s);
/* What the relay said of a message that is durable now. */
void pop_newcomer_count(struct pop_session *s, const struct fetch_flight *f);
/* All that was retrieved is answered. False: it is held from here on (4018). */
bool pop_newcomer_judge(struct pop_session *s);
/* aside.c: logs 4011 and counts the attempt. */
void pop_not_retrieved(struct pop_session *s, size_t i, struct span why);
/* Counts a failed attempt, and sets the message aside when its pauses are used up (4012). */
void pop_attempt_failed(struct pop_session *s, size_t i, struct span why);
/* The same, at once: no other attempt would show more. */
void pop_set_aside(struct pop_session *s, size_t i, struct span why);
/* refusals.c: RETR was answered -ERR. Whose trouble that is shows later. */
void pop_refusal(struct pop_session *s, size_t i, struct span text);
/* A message came behind those that were refused: it is theirs. */
void pop_refusals_theirs(struct pop_session *s);
/* Nothing more is retrieved: what was refused up to the end is the account's trouble, as
 * far as it may be. */
void pop_refusals_end(struct pop_session *s);
/* Logs 4010, once for each message. */
void pop_say_oversize(struct pop_session *s, size_t i, const char *action);
/* notice.c: tells the recipients of messages that are too large. */
bool pop_notices(struct pop_session *s);
/* message.c: reads the message whose RETR was answered +OK. False: the session is
 * over. What became of it shows in `durable`, maybe later. */
bool pop_message_read(struct pop_session *s, size_t index);
/* handover.c: the relay answered for a flight. */
void pop_message_settled(void *host, struct fetch_flight *f, const struct verdict *v);
/* naming.c */
/* What the origin is called: the unique-id, or the content key once it is known. */
struct span pop_key(const struct pop_session *s, size_t index);
/* NULL: by its unique-id again. */
void pop_set_key(struct pop_session *s, size_t index, const char *key);
/* ACCOUNT/KEY, or ACCOUNT/#NUMBER where it has none: the id of its events. */
bool pop_trace(const struct pop_session *s, size_t index, struct buf *out);

#endif
