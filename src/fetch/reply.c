#include "reply.h"

/* ---- response codes ---- */

struct code {
	struct span code; /* without "]", so that "[SYS/TEMP" is also "[SYS/TEMP/DISK" */
	enum reply_sense sense;
};

static const struct code codes[] = {
	{ { SPAN_INIT("[IN-USE") }, REPLY_IN_USE },
	{ { SPAN_INIT("[LOGIN-DELAY") }, REPLY_IN_USE },
	{ { SPAN_INIT("[SYS/TEMP") }, REPLY_LATER },
	{ { SPAN_INIT("[SYS/PERM") }, REPLY_BARRED },
	{ { SPAN_INIT("[AUTH]") }, REPLY_REFUSED },
	/* Of RFC 5530; some servers use one table for both protocols. */
	{ { SPAN_INIT("[AUTHENTICATIONFAILED") }, REPLY_REFUSED },
	{ { SPAN_INIT("[AUTHORIZATIONFAILED") }, REPLY_REFUSED },
	{ { SPAN_INIT("[EXPIRED") }, REPLY_REFUSED },
	{ { SPAN_INIT("[UNAVAILABLE") }, REPLY_LATER },
	{ { SPAN_INIT("[LIMIT") }, REPLY_LATER },
	{ { SPAN_INIT("[INUSE") }, REPLY_IN_USE },
};

/* A code nobody knows (RFC 2449 section 8: ignored) is at least not [AUTH]. */
static bool
sense_of_code(struct span text, enum reply_sense *out)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (span_starts_nocase(text, codes[i].code)) {
			*out = codes[i].sense;
			return true;
		}
	*out = REPLY_ILL;
	return span_starts(text, SPAN("[")) && span_find(text, ']') < text.n;
}

/* ---- words ---- */

static bool
has(struct span text, struct span word)
{
	for (; text.n >= word.n; text = span_skip(text, 1))
		if (span_starts_nocase(text, word))
			return true;
	return false;
}

static bool
has_one(struct span text, const struct span *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (has(text, words[i]))
			return true;
	return false;
}

#define WORD(text) \
	{ \
		SPAN_INIT(text) \
	}
#define HAS(text, list) has_one(text, list, sizeof(list) / sizeof((list)[0]))

/* It will pass, whatever else is said. */
static const struct span passing[] = { WORD("temporar"), WORD("try again"),
	WORD("try later"), WORD("try it later"), WORD("again later"), WORD("too many"),
	WORD("too often"), WORD("too frequent"), WORD("exceed"), WORD("limit"),
	WORD("quota"), WORD("unavailable"), WORD("not available"), WORD("maintenance"),
	WORD("overload"), WORD("busy"), WORD("timeout"), WORD("timed out"),
	WORD("time out"), WORD("shutting down") };
/* Another session has it. */
static const struct span taken[] = { WORD("in use"), WORD("mailbox lock"),
	WORD("maildrop lock"), WORD("mailbox is lock"), WORD("maildrop is lock"),
	WORD("lock maildrop"), WORD("lock mailbox"), WORD("lock the mail"),
	WORD("already lock"), WORD("obtain lock"), WORD("get lock"),
	WORD("another session"), WORD("already open"), WORD("already logged") };
/* About who we are. */
static const struct span credentials[] = { WORD("passw"), WORD("passphrase"),
	WORD("credential"), WORD("auth"), WORD("login"), WORD("logon"), WORD("log in"),
	WORD("log on"), WORD("sign in"), WORD("user"), WORD("account"), WORD("denied"),
	WORD("permission"), WORD("not allowed"), WORD("not permitted") };
/* About what is behind the logon. */
static const struct span innards[] = { WORD("mailbox"), WORD("maildrop"),
	WORD("mail drop"), WORD("message"), WORD("folder"), WORD("spool"),
	WORD("store"), WORD("storage"), WORD("server"), WORD("system"), WORD("service"),
	WORD("backend"), WORD("database"), WORD("disk"), WORD("internal"),
	WORD("damaged"), WORD("corrupt"), WORD("i/o"), WORD("connection"),
	WORD("session"), WORD("protocol"), WORD("command") };

enum reply_sense
reply_to_logon(struct span text)
{
	enum reply_sense sense;

	if (sense_of_code(text, &sense))
		return sense;
	if (HAS(text, taken))
		return REPLY_IN_USE;
	if (HAS(text, passing))
		return REPLY_LATER;
	if (!HAS(text, credentials) && HAS(text, innards))
		return REPLY_ILL;
	return REPLY_REFUSED;
}

bool
reply_is_of_account(struct span text)
{
	enum reply_sense sense;

	if (sense_of_code(text, &sense))
		return sense == REPLY_IN_USE || sense == REPLY_LATER;
	return HAS(text, taken) || HAS(text, passing);
}
