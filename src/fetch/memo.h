/* memo: what is remembered of an account from poll to poll.
 *
 * Touched by one poll at a time (the pool sees to that). Between polls it lives in
 * memory and, as text, in the store: it outlives a restart. Losing it costs no more
 * than one more attempt; nothing in it decides what may be deleted. */
#ifndef FETCH_MEMO_H
#define FETCH_MEMO_H

#include <stdint.h>

#include "postern/buf.h"
#include "postern/map.h"
#include "postern/provider.h"

enum {
	/* RETRs of one message before it is set aside (4012), if none of its pauses was
	 * longer than it had to be. */
	MEMO_ATTEMPTS = 19,
	MEMO_CRASHES = 3, /* ... of one that ended this process */
	MEMO_ROUNDS = 2, /* sessions that find again what was deleted before it is left (4014) */
	MEMO_DELETES = 2, /* odd answers to its DELE before it is left out, */
	MEMO_DELETES_REFUSED =
			5, /* and refusals: those keep no other from being deleted */
	MEMO_MESSAGES = 10000, /* troublesome messages remembered */
	MEMO_FLIGHTS = 2, /* logons in one flight that may get lost in a row */
	MEMO_FIRST = 10, /* messages of a new account that may come to nobody */
	MEMO_REFUSALS = 5, /* refused logons before the account is suspended (4019) */
};

struct memo_message {
	unsigned attempts; /* that failed */
	unsigned crashes; /* of these, when the process ended */
	bool told; /* 4010 was logged */
	bool aside; /* 4012 was logged: it is asked for once a day */
	int64_t last_ms; /* wall: when it failed last; 0: never */
	int64_t next_ms; /* wall: not before; see fetch_memo_due */
	int64_t waited_ms; /* between its attempts, no pause counted for more than a day */
	uint64_t listed; /* as LIST said when it streamed past max_size; 0: it did not */
	unsigned deletes; /* of it that were not done */
	int64_t delete_ms; /* wall: not deleted before; see fetch_memo_may_delete */
	bool suspect; /* the server sent bytes behind it that nobody asked for (4020) */
	bool verified; /* its unique-id was another message's; this one is collected */
	uint64_t octets; /* what it was seen to have, where LIST said less; 0: not seen */
	size_t uid_n;
	char uid[];
};

/* What CAPA told, RFC 2449. */
enum memo_caps {
	MEMO_PIPELINING = 1,
	MEMO_UIDL = 2,
	MEMO_TOP = 4,
	MEMO_USER = 8,
	MEMO_SDPS = 16,
	MEMO_EARLY = 32, /* PIPELINING was told before the logon already */
	MEMO_UTF8 = 64, /* RFC 6856 */
};

/* Why messages of a new account came to nobody. */
enum memo_nobody { MEMO_NOBODY_REFUSED = 1, MEMO_NOBODY_FOUND = 2 };
/* For so long a server's bad habits are remembered. */
#define MEMO_HABIT_MS ((int64_t)28 * 24 * 3600 * 1000)

struct fetch_memo {
	unsigned failures; /* polls that failed since the last good one */
	unsigned refusals; /* logons refused since the last good one */
	/* Habits of the server, which count for this one only: */
	unsigned server; /* digest of its name and port, 16 bits; 0: not known */
	int64_t alone_until_ms; /* wall: see fetch_memo_alone */
	int64_t grounded_until_ms; /* wall: see fetch_memo_grounded */
	unsigned flights_lost; /* in a row: begun, and never seen to get through */
	/* By how much LIST said too much: in octets, and in thousandths of a message. */
	unsigned off_octets, off_share;
	/* Digest of server, user and password of the last good session: 16 bits, enough
	 * to see that one changed, and nothing to guess a password by. */
	unsigned check;
	unsigned refused; /* logon_check of the last refused logon; 0: none */
	int64_t logon_ms; /* wall: suspended until then, unless that changes; 0: it is not */
	int64_t kept_ms; /* wall: since then deletions are confirmed and not done; see kept.c */
	unsigned kept_rounds; /* sessions in a row that found deleted messages listed again */
	int64_t kept_try_ms; /* wall: one of them was deleted once more then */
	bool proven; /* a session with these went well, and `caps` are its */
	int64_t heard_ms; /* wall: when CAPA was heard last */
	unsigned caps; /* enum memo_caps */
	uint64_t login_delay_s; /* from CAPA */
	bool held; /* 4009 was logged */
	/* A new account, of which nothing has reached anybody yet (newcomer.c). */
	bool newcomer;
	unsigned nobody; /* messages that came to nobody; MEMO_FIRST hold it (4018) */
	unsigned nobody_why; /* enum memo_nobody */
	uint64_t held_at; /* times it was resumed before it was held so, + 1; 0: it is not */
	bool domainless; /* 4018 was logged, because there is no policy domain */
	uint64_t retried; /* number of the last `accounts retry` that was heeded */
	bool loaded; /* what the store has was read */
	uint64_t kept; /* digest of what the store has */
	uint64_t printed; /* ... of what fetch_memo_print gave last */
	struct map messages;
	struct provider_habits provider; /* what its messages showed */
};

void fetch_memo_init(struct fetch_memo *m, const uint64_t seed[2]);
void fetch_memo_done(struct fetch_memo *m);
/* NULL: nothing is remembered of it. */
struct memo_message *fetch_memo_find(const struct fetch_memo *m, struct span uid);
/* The same, made when it is new; NULL when too much is remembered already. */
struct memo_message *fetch_memo_get(struct fetch_memo *m, struct span uid);
/* Its pauses are over at once; an empty uid: those of all messages, and of the logon. */
void fetch_memo_retry(struct fetch_memo *m, struct span uid);
void fetch_memo_forget(struct fetch_memo *m, struct span uid);
/* Forgets the messages that are not listed. */
void fetch_memo_sweep(struct fetch_memo *m, bool (*listed)(void *host, struct span uid),
		void *host);

/* One more attempt failed. The pauses grow from none to six hours; true: they came to
 * three days in all, so the message is to be set aside. From then on it is asked for once
 * a day. */
bool fetch_memo_failed(struct memo_message *m, int64_t wall_ms);
/* It is to be set aside at once: no other attempt would show more. */
void fetch_memo_set_aside(struct memo_message *m, int64_t wall_ms);
/* Its pause is over. */
bool fetch_memo_due(const struct memo_message *m, int64_t wall_ms);
/* Its DELE was refused, or answered oddly, or not at all. True, when that was so `most` times:
 * from now on it is left out and tried again once a day, so that the other deletions are
 * committed. */
bool fetch_memo_not_deleted(struct memo_message *m, unsigned most, int64_t wall_ms);
bool fetch_memo_may_delete(const struct memo_message *m, int64_t wall_ms);
/* What was deleted in vain is left alone: it was tried once more today. */
bool fetch_memo_leaves_kept(const struct fetch_memo *m, int64_t wall_ms);
/* How long to wait after so many failed attempts in a row. */
int64_t fetch_memo_pause_ms(unsigned attempts);

/* How many messages are set aside, how many others failed and wait for their pause to end, and
 * when the first of them all is asked for again (wall). */
struct memo_troubles {
	size_t aside, waiting;
	int64_t again_ms;
};
void fetch_memo_troubles(const struct fetch_memo *m, struct memo_troubles *out);

/* Digest of texts, secrets among them: 16 bits, enough to see that one changed, and nothing
 * to guess one by. Never 0. */
unsigned fetch_memo_check(const struct span *parts, size_t n);
/* The account is at this server now: habits of another one are forgotten. */
void fetch_memo_at(struct fetch_memo *m, unsigned server);
/* No pipelining: its answers were out of step some weeks ago or less. */
bool fetch_memo_alone(const struct fetch_memo *m, int64_t wall_ms);
/* No logon in one flight: that failed some weeks ago or less, where the slow way works. */
bool fetch_memo_grounded(const struct fetch_memo *m, int64_t wall_ms);

/* The memo as text, as much of it as fits; false: as the store has it already. Empty
 * when there is nothing to remember. */
bool fetch_memo_print(struct fetch_memo *m, struct buf *out);
/* What was printed last is in the store now. */
void fetch_memo_kept(struct fetch_memo *m);
/* Reads such a text back; lines it does not know are passed over. */
void fetch_memo_read(struct fetch_memo *m, struct span text);

/* How long a logon waits after so many refusals in a row, once they suspend the account:
 * 15 minutes, growing to six hours. */
int64_t fetch_memo_suspension_ms(unsigned refusals);
/* Suspended still, unless the secret or the configuration changed. */
bool fetch_memo_suspended(const struct fetch_memo *m, int64_t wall_ms);

/* How long to wait after so many failures in a row: the interval, doubled with
 * each, up to an hour (or the interval, when that is longer). */
int64_t fetch_memo_wait_ms(int64_t every_ms, unsigned failures);

#endif
