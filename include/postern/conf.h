/* conf: the configuration as typed structs (SPEC section 3).
 *
 * One struct conf is one configuration version: read whole by conf_parse
 * (conf_load.h), never changed afterwards, owned by whoever parsed it, and
 * freed whole by conf_free. Every pointer below lives as long as the struct.
 *
 * Text that is not set is NULL, a list that is not set has n == 0. Durations
 * are seconds (_s), sizes are bytes. Domains are canonical: lower-case
 * A-labels without a trailing dot (E5). Paths are absolute or relative to the
 * working directory, already resolved against the file's folder. All texts are
 * valid UTF-8 without control bytes.
 *
 * A setting whose row (conf_rows.h) says `later` has its field here, always
 * with its preset: the key is refused in a file until its feature exists. */
#ifndef POSTERN_CONF_H
#define POSTERN_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/secret.h"

/* Where in the file something stood; line 0: nowhere, it is a preset. */
struct conf_mark {
	unsigned line, column; /* from 1 */
};

struct conf_texts {
	const char *const *p;
	size_t n;
};

struct conf_times {
	const int64_t *p; /* seconds */
	size_t n;
};

/* HOST or HOST:PORT. An address has no brackets here. */
struct conf_host {
	const char *name;
	unsigned port; /* 0: not given */
	bool literal; /* an IPv4 or IPv6 address, so no DNS is asked */
};

struct conf_hosts {
	const struct conf_host *p;
	size_t n;
};

struct conf_server {
	const char *hostname; /* never NULL: the caller of conf_parse gave the machine's */
	const char *state; /* directory */
	const char *postmaster; /* address; NULL: none */
	const char *user; /* to drop to when started as root; NULL: stay */
};

enum conf_account_type { CONF_GLOBAL, CONF_USER };

enum conf_pop_tls { CONF_TLS_IMPLICIT, CONF_TLS_STARTTLS, CONF_TLS_NONE };

enum conf_auth {
	CONF_AUTH_AUTO,
	CONF_AUTH_USER, /* USER and PASS */
	CONF_AUTH_PLAIN,
	CONF_AUTH_LOGIN,
	CONF_AUTH_CRAM_MD5,
	CONF_AUTH_APOP,
	CONF_AUTH_XOAUTH2,
	CONF_AUTH_OAUTHBEARER,
};

enum conf_envelope_mode {
	CONF_ENVELOPE_AUTO, /* the order of RECIPIENTS.md E1 level 2, then To and Cc */
	CONF_ENVELOPE_STRICT, /* stop after level 2 */
	CONF_ENVELOPE_NONE, /* no level 2 */
	CONF_ENVELOPE_NAMED, /* `names` instead of the auto order */
	CONF_ENVELOPE_SDPS, /* the server is asked by *ENV; then as auto */
};

struct conf_envelope {
	enum conf_envelope_mode mode;
	struct conf_texts
			names; /* header field names as written; n > 0 only when NAMED */
};

/* Where the provider writes it: above its Received lines, or last of all. */
enum conf_envelope_position { CONF_ENVELOPE_TOP, CONF_ENVELOPE_BOTTOM };

enum conf_unrouted_kind {
	CONF_UNROUTED_POSTMASTER,
	CONF_UNROUTED_HOLD,
	CONF_UNROUTED_BADMAIL,
	CONF_UNROUTED_ADDRESS,
};

struct conf_unrouted {
	enum conf_unrouted_kind kind;
	const char *address; /* CONF_UNROUTED_ADDRESS only */
};

struct conf_alias {
	const char *match;
	struct conf_texts to;
};

struct conf_aliases {
	const struct conf_alias *p;
	size_t n;
};

enum conf_oversize { CONF_OVERSIZE_NOTICE, CONF_OVERSIZE_SKIP };

/* Minutes of the week in local time, Monday 00:00 is 0: open from, closed at to. */
struct conf_hours {
	uint16_t from, to;
};

struct conf_window {
	const struct conf_hours *p; /* in order, apart from each other */
	size_t n; /* 0: always open */
};

#define CONF_KEEP_FOREVER INT64_C(-1)

struct conf_account {
	const char *name; /* 1 to 64 of A-Z a-z 0-9 . _ - ; begins with a letter or digit */
	struct conf_mark mark;
	enum conf_account_type type;
	struct conf_host server; /* port always set: as given, else 995 or 110 by tls */
	enum conf_pop_tls tls;
	const char *tls_ca; /* path; NULL: the system's */
	const char *tls_pin; /* "sha256//BASE64" */
	const char *user;
	struct secret password;
	enum conf_auth auth;
	struct secret token;
	struct conf_texts domains; /* n == 0: every policy domain; "*.x": all below x */
	struct conf_envelope envelope;
	enum conf_envelope_position envelope_position;
	struct conf_texts envelope_strip; /* prefixes, or patterns with one "*" */
	unsigned trusted_hops;
	bool trusted_hops_fixed; /* it was set, so it is not learned */
	struct conf_texts
			provider_hosts; /* who writes them; n == 0: learned; "*.x": all below x */
	struct conf_aliases aliases;
	const char *default_domain;
	struct conf_unrouted unrouted;
	bool unrouted_fixed; /* it was set */
	int64_t every_s;
	struct conf_window window; /* when it is collected by schedule; see window.h */
	int64_t keep_s; /* 0: delete once durable; CONF_KEEP_FOREVER */
	uint64_t max_size;
	enum conf_oversize oversize;
	unsigned max_per_session;
	bool dedup; /* copies of a message that came before are not delivered again */
	bool preserve_signed; /* a signed Delivered-To keeps its name (E10c) */
	const char *recipient; /* user accounts: full address, or (without @) an alias */
};

struct conf_accounts {
	const struct conf_account *p; /* in the order of the file */
	size_t n;
};

enum conf_listen_tls { CONF_LISTEN_PLAIN, CONF_LISTEN_STARTTLS, CONF_LISTEN_IMPLICIT };

struct conf_listen {
	struct conf_host
			address; /* always literal; "*" is given as "::" ; port may be 0: any free one */
	enum conf_listen_tls tls;
	struct conf_mark mark;
};

struct conf_listens {
	const struct conf_listen *p;
	size_t n;
};

/* A network. IPv4 is kept as v4-mapped IPv6, so 10.0.0.0/8 has bits 104. */
struct conf_cidr {
	uint8_t address[16];
	unsigned bits; /* 0 to 128 */
};

struct conf_cidrs {
	const struct conf_cidr *p;
	size_t n;
};

struct conf_limits {
	uint64_t message; /* octets, announced as SIZE */
	unsigned recipients; /* per transaction */
	unsigned messages_per_session;
	unsigned connections;
	unsigned connections_per_client;
	unsigned errors; /* refused commands before 421 */
	int64_t idle_s;
};

struct conf_smtp_tls {
	const char *certificate, *key; /* paths */
};

struct conf_smtp {
	struct conf_listens listen;
	struct conf_smtp_tls tls;
	struct conf_cidrs relay_from; /* see policy_may_relay */
	const char *auth_users; /* path */
	struct conf_limits limits;
	unsigned max_hops;
	bool reverse_dns;
};

enum conf_hop_kind {
	CONF_HOP_DROP, /* path; NULL: the state's Drop folder */
	CONF_HOP_MAILDIR, /* path with %d (domain) and %u (local part) */
	CONF_HOP_SMTP, /* host, port always set (25 unless given) */
	CONF_HOP_LMTP, /* host, port always set */
	CONF_HOP_LMTP_UNIX, /* path of the socket */
	CONF_HOP_MX,
	CONF_HOP_ETRN,
};

/* What `to:` of a route says. */
struct conf_hop {
	enum conf_hop_kind kind;
	struct conf_host host;
	const char *path;
};

enum conf_out_tls {
	CONF_OUT_TLS_OFF,
	CONF_OUT_TLS_OPPORTUNISTIC,
	CONF_OUT_TLS_REQUIRED,
	CONF_OUT_TLS_VERIFY,
	CONF_OUT_TLS_DANE,
};

struct conf_route_auth {
	const char *user; /* NULL: no AUTH */
	struct secret password;
};

struct conf_route {
	const char *domain; /* canonical, without the "*." of a subdomain route */
	bool subdomains; /* "*.domain": every name below it, not itself */
	struct conf_mark mark;
	struct conf_hop to;
	enum conf_out_tls tls;
	struct conf_route_auth auth;
};

struct conf_routes {
	const struct conf_route *p; /* no two with the same domain and subdomains */
	size_t n;
};

struct conf_delivery {
	struct conf_times retry; /* 1 to 16 waits; the last one repeats */
	int64_t delay_notice_s;
	int64_t expire_s;
	const char *masquerade;
	struct conf_host smart_host; /* name NULL: none */
	bool direct_first;
	const char *ndr_copy;
	unsigned connections;
	unsigned connections_per_host;
	struct conf_routes routes;
};

struct conf_badmail {
	bool enabled;
	int64_t keep_s; /* or CONF_KEEP_FOREVER */
	uint64_t max;
};

struct conf_dns {
	struct conf_hosts
			servers; /* literal, port always set (53); n == 0: resolv.conf */
	int64_t timeout_s;
};

enum conf_log_kind {
	CONF_LOG_STDERR,
	CONF_LOG_SYSLOG,
	CONF_LOG_JOURNALD,
	CONF_LOG_FILE
};
enum conf_log_format { CONF_LOG_TEXT, CONF_LOG_JSON };

struct conf_log_to {
	enum conf_log_kind kind;
	const char *path; /* CONF_LOG_FILE only */
};

struct conf_log {
	struct conf_log_to to;
	enum conf_log_format format;
	unsigned level; /* 0 to 3 */
};

struct conf_web {
	struct conf_listen listen; /* address.name NULL: no status page */
	struct secret token;
};

struct conf {
	const char *path; /* of the file, as conf_parse was told */
	struct conf_server server;
	struct conf_texts policies; /* resolved paths with * ? [ for glob(3) */
	struct conf_accounts accounts;
	struct conf_smtp smtp;
	struct conf_delivery delivery;
	struct conf_badmail badmail;
	struct conf_dns dns;
	struct conf_log log;
	struct conf_web web;
	struct conf_leaves *
			leaves; /* the settings as they stand in the file: conf_changes */
};

/* How many settings were added, removed or changed from one to the other; a list is one. */
size_t conf_changes(const struct conf *was, const struct conf *now);
/* The account of that name, compared exactly, or NULL. */
const struct conf_account *conf_account_find(const struct conf *c, const char *name);
void conf_free(struct conf *c); /* NULL is fine */

#endif
