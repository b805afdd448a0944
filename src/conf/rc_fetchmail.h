/* rc_fetchmail: what its files share: tokens, and the entry that is read. */
#ifndef CONF_RC_FETCHMAIL_H
#define CONF_RC_FETCHMAIL_H

#include "rc.h"

enum fm_kind { FM_END, FM_WORD, FM_TEXT, FM_NUMBER, FM_STAR, FM_EQUALS };

struct fm_token {
	enum fm_kind kind; /* WORD: unquoted; TEXT: quoted, or a name by its place */
	struct span text; /* escapes done; kept in the file's arena */
	struct conf_mark mark;
};

struct fm_lexer {
	struct rc_reader *r;
	const char *p, *end, *line_start;
	unsigned line;
	bool name; /* whatever comes is a name, also if it looks like a keyword */
};

/* The next token; noise words, comments, blanks and , ; : are passed over. */
struct fm_token fm_next(struct fm_lexer *l);

enum fm_proto {
	PROTO_UNSAID,
	PROTO_AUTO,
	PROTO_POP3,
	PROTO_APOP,
	PROTO_SDPS,
	PROTO_OTHER
};

struct fm_server {
	struct span name, via, envelope, qvirtual;
	const struct rc_text *domains;
	struct rc_notes notes; /* until the first user takes them */
	struct span proto_word;
	enum fm_proto proto;
	enum conf_auth auth;
	unsigned line, port, interval;
	bool idle, no_envelope;
};

struct fm_user {
	struct rc_notes notes;
	struct span name, local, sslproto, domain, recipient, tls_ca;
	const char *password;
	unsigned line, password_line, locals_line, fetchall_line, ssl_line;
	unsigned locals; /* local names */
	uint64_t limit, per_session;
	bool star, maps, keep, fetchall, ssl, sslproto_said;
};

struct fetchmail {
	struct rc_reader *r;
	struct fm_lexer lexer;
	struct fm_token t; /* not yet used */
	struct fm_server server, server_defaults;
	struct fm_user user, user_defaults;
	bool in_entry, in_defaults, has_user, had_user;
	unsigned daemon_s, daemon_line;
};

void fm_step(struct fetchmail *f);
/* An unquoted word, exactly. */
bool fm_is_word(const struct fm_token *t, const char *word);
/* Text where no keyword is meant. */
bool fm_is_text(const struct fm_token *t);
/* Fills the fault: what was wanted instead of the token. Always false. */
bool fm_unexpected(struct fetchmail *f, const char *wanted);
/* Where the notes about the statement go. */
struct rc_notes *fm_notes_of(struct fetchmail *f);
/* An option of server or user, from its first word on. */
bool fm_option(struct fetchmail *f);
/* Options of a user stand behind "user NAME"; those before it make a user of their
 * own, whose name is that of whoever runs fetchmail. */
void fm_begin_user(struct fetchmail *f, unsigned line);
bool fm_end_user(struct fetchmail *f);

#endif
