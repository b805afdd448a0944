/* rcfile: the configuration files and lists of fetchmail, getmail and mpop, for
 * `import`.
 *
 * Dry: bytes in; accounts and sentences about what has no equivalent here out.
 * Input is hostile: text over RC_TEXT_MAX, more than RC_ACCOUNTS_MAX accounts and
 * what is not of the format are faults; work is linear in the size of the text, and
 * nothing is executed, looked up or opened. Sentences (rc_note) never hold a value of
 * the file that could be a secret, but may hold any other bytes of it: tame them. */
#ifndef POSTERN_RCFILE_H
#define POSTERN_RCFILE_H

#include "postern/arena.h"
#include "postern/buf.h"
#include "postern/conf.h"

enum {
	RC_TEXT_MAX = 1024 * 1024, /* bytes of one file */
	RC_ACCOUNTS_MAX = 10000,
};

enum rc_format {
	RC_FETCHMAIL, /* fetchmail 6, .fetchmailrc */
	RC_GETMAIL, /* getmail 4 to 6, getmailrc */
	RC_MPOP, /* mpop 1, .mpoprc */
};

/* A statement that could not be carried over, or not wholly. */
struct rc_note {
	const struct rc_note *next;
	unsigned line; /* from 1; 0: no statement, but the lack of one */
	const char *text; /* "mda: ..." */
};

enum rc_password_kind {
	RC_PASSWORD_NONE, /* the file does not have it */
	RC_PASSWORD_INLINE, /* `password` */
	RC_PASSWORD_COMMAND, /* `argv` */
};

struct rc_account {
	struct rc_account *next;
	const char *name; /* conf_name_ok, no two alike */
	unsigned line; /* where it begins */
	bool idle; /* the old program did not collect it unless told to */
	enum conf_account_type type;
	struct conf_host server; /* port 0: as tls has it */
	enum conf_pop_tls tls;
	const char *tls_ca; /* as written, also "~/x"; NULL: the system's */
	const char *user; /* 1 to 255 bytes without control bytes, UTF-8 */
	enum rc_password_kind password_kind;
	unsigned password_line;
	const char *password;
	const char *const *argv; /* NULL at the end */
	enum conf_auth auth;
	int64_t keep_s; /* 0: deleted once collected; CONF_KEEP_FOREVER */
	uint64_t max_size; /* 0: not said */
	int64_t every_s; /* 0: not said */
	unsigned max_per_session; /* 0: not said */
	const char *recipient; /* user accounts: full address */
	struct conf_texts domains; /* global accounts; canonical */
	struct conf_envelope envelope;
	const char *strip; /* prefix in the envelope header; NULL: none */
	const struct rc_note *notes; /* in the order of the file */
	/* Whose messages these are in the old program's list; see rc_ids_next. */
	const char *ids_host, *ids_host2; /* the second may be NULL */
	const char *ids_file; /* its list when the file says so; "~/x"; or NULL */
};

struct rc_file {
	struct arena arena; /* of everything below */
	struct rc_account *accounts; /* in the order of the file */
	size_t n;
	const struct rc_note *notes; /* about no account */
	const char *ids_file; /* the list of all accounts (fetchmail's idfile), or NULL */
};

/* Where the text stops being of the format. */
struct rc_fault {
	struct conf_mark mark;
	char text[200];
};

struct rc_source {
	enum rc_format format;
	struct span text;
	const char *domain; /* completes local names of recipients; valid, not NULL */
};

/* Owned by the caller, or NULL and *fault. */
struct rc_file *rcfile_parse(const struct rc_source *src, struct rc_fault *fault)
		__attribute__((warn_unused_result));
void rcfile_free(struct rc_file *f); /* NULL is fine; wipes the passwords */

/* ---- the lists of messages already fetched ---- */

/* One message of a list. host and user are empty where the list is of one account
 * (getmail). */
struct rc_id {
	struct span host, user, uidl; /* parts of the text */
};

struct rc_ids {
	enum rc_format format;
	struct span rest; /* set to the whole text at first */
	unsigned line; /* of the last one given */
	unsigned bad; /* lines that are no entry, so far */
	struct span host, user; /* mpop: of the list that is read */
};

/* The next message; false at the end.
 *
 * fetchmail  "USER@HOST UIDL" lines. HOST is what `via` says, or the entry's name.
 * getmail    "UIDL NUL SECONDS" lines. getmail writes - for / in UIDLs.
 * mpop       " NUMBER HOST USER" before that many lines with a UIDL each; # comments. */
bool rc_ids_next(struct rc_ids *ids, struct rc_id *out);
/* True when the account is the one that `id` is about. */
bool rc_ids_of(enum rc_format format, const struct rc_id *id,
		const struct rc_account *a);
/* getmail's name for an account's list, in its folder; in the arena. NULL when full. */
const char *rc_getmail_ids_name(const struct rc_account *a, struct arena *arena);

#endif
