#include "rows.h"

#include "checks.h"

#define DAY (UINT64_C(86400))
#define YEAR (366 * DAY)
#define KIB (UINT64_C(1024))
#define GIB (KIB * KIB * KIB)

/* clang-format off */

static const struct row server_rows[] = {
	{ .name = "hostname", .kind = ROW_HOSTNAME, .at = offsetof(struct conf_server, hostname),
		.says = "This host's full name in greeting, EHLO, Received and Message-ID; the machine's own unless set." },
	{ .name = "state", .kind = ROW_PATH, .at = offsetof(struct conf_server, state), .preset = "/var/lib/postern",
		.says = "Directory of postern.db, spool, Pickup, Drop, Badmail and run." },
	{ .name = "postmaster", .kind = ROW_ADDRESS, .at = offsetof(struct conf_server, postmaster),
		.says = "Who receives mail for the postmaster, and mail nobody was found for." },
	{ .name = "user", .kind = ROW_TEXT, .at = offsetof(struct conf_server, user), .least = 1, .most = 32,
		.says = "System user to become when started as root." },
	{ .name = NULL },
};
static const struct section server_section = { .rows = server_rows, .size = sizeof(struct conf_server) };

static const struct word account_types[] = {
	{ "global", CONF_GLOBAL, false }, { "user", CONF_USER, false }, { NULL, 0, false },
};
static const struct word pop_tls[] = {
	{ "implicit", CONF_TLS_IMPLICIT, false }, { "starttls", CONF_TLS_STARTTLS, false },
	{ "none", CONF_TLS_NONE, false }, { NULL, 0, false },
};
static const struct word auths[] = {
	{ "auto", CONF_AUTH_AUTO, false }, { "user", CONF_AUTH_USER, false },
	{ "plain", CONF_AUTH_PLAIN, false }, { "login", CONF_AUTH_LOGIN, false },
	{ "cram-md5", CONF_AUTH_CRAM_MD5, false }, { "apop", CONF_AUTH_APOP, false },
	{ "xoauth2", CONF_AUTH_XOAUTH2, false }, { "oauthbearer", CONF_AUTH_OAUTHBEARER, false },
	{ NULL, 0, false },
};
static const struct word oversizes[] = {
	{ "notice", CONF_OVERSIZE_NOTICE, false }, { "skip", CONF_OVERSIZE_SKIP, false }, { NULL, 0, false },
};

static const struct word envelope_positions[] = {
	{ "top", CONF_ENVELOPE_TOP, false }, { "bottom", CONF_ENVELOPE_BOTTOM, false }, { NULL, 0, false },
};

static const struct row alias_rows[] = {
	{ .name = "match", .kind = ROW_TEXT, .flags = ROW_REQUIRED, .at = offsetof(struct conf_alias, match), .least = 1, .most = 255,
		.says = "An address; *@DOMAIN for all of one; or a text: the user part of an address, words in To and Cc, or a List-Id." },
	{ .name = "to", .kind = ROW_ADDRESS, .flags = ROW_REQUIRED | ROW_LIST, .at = offsetof(struct conf_alias, to), .least = 1, .most = 1000,
		.says = "Who receives the message then; *@DOMAIN for the same user there." },
	{ .name = NULL },
};
static const struct section alias_section = { .rows = alias_rows, .size = sizeof(struct conf_alias) };

static const struct row account_rows[] = {
	{ .name = "type", .kind = ROW_WORD, .flags = ROW_REQUIRED, .at = offsetof(struct conf_account, type), .words = account_types,
		.says = "global: mail for many people, found in the message; user: one person's mailbox." },
	{ .name = "server", .kind = ROW_HOST, .flags = ROW_REQUIRED, .at = offsetof(struct conf_account, server),
		.says = "The provider's POP3 server, HOST or HOST:PORT; port 995 or 110 by tls unless given." },
	{ .name = "tls", .kind = ROW_WORD, .at = offsetof(struct conf_account, tls), .words = pop_tls, .preset = "implicit",
		.says = "How the connection is protected: from its first byte, by STLS, or not at all." },
	{ .name = "tls_ca", .kind = ROW_PATH, .at = offsetof(struct conf_account, tls_ca),
		.says = "File of certificates to trust for this account instead of the system's." },
	{ .name = "tls_pin", .kind = ROW_PIN, .at = offsetof(struct conf_account, tls_pin),
		.says = "Digest of the server's public key, sha256//BASE64, several by \";\"; trusted instead of any authority, or besides tls_ca where both are set." },
	{ .name = "user", .kind = ROW_TEXT, .flags = ROW_REQUIRED, .at = offsetof(struct conf_account, user), .least = 1, .most = 255,
		.says = "Name to log in with." },
	{ .name = "password", .kind = ROW_SECRET, .at = offsetof(struct conf_account, password),
		.says = "Where the password is kept: file, env, command, credential or, with a warning, value." },
	{ .name = "auth", .kind = ROW_WORD, .at = offsetof(struct conf_account, auth), .words = auths, .preset = "auto",
		.says = "How to log in; auto takes plain, user or login as the server offers them, and with a token but no password oauthbearer or xoauth2." },
	{ .name = "token", .kind = ROW_SECRET, .at = offsetof(struct conf_account, token),
		.says = "Where the access token for xoauth2 and oauthbearer is kept; a command is run again when the server refuses the token. With auth: auto it is used where no password is set." },
	{ .name = "domains", .kind = ROW_DOMAIN, .flags = ROW_LIST | ROW_STAR, .at = offsetof(struct conf_account, domains), .least = 1, .most = 1000,
		.says = "Domains whose mail this global account holds, *.DOMAIN for those below one; every policy domain unless set." },
	{ .name = "envelope", .kind = ROW_ENVELOPE, .at = offsetof(struct conf_account, envelope), .preset = "auto",
		.says = "Header fields in which the provider notes the recipient: auto, strict, none, a name or a list of names; or sdps, where its server tells it by *ENV." },
	{ .name = "envelope_position", .kind = ROW_WORD, .at = offsetof(struct conf_account, envelope_position), .words = envelope_positions, .preset = "top",
		.says = "Where the provider writes that field: above its Received lines, or as the last field of the header; then only the last one counts." },
	{ .name = "envelope_strip", .kind = ROW_TEXT, .flags = ROW_LIST, .at = offsetof(struct conf_account, envelope_strip), .least = 1, .most = 255,
		.says = "What the provider adds around the user in that field: a prefix such as mbox-, or a pattern such as *-pop in which * is the user." },
	{ .name = "trusted_hops", .kind = ROW_COUNT, .at = offsetof(struct conf_account, trusted_hops), .preset = "1", .least = 0, .most = 50,
		.says = "Received lines that the provider adds; what stands below them is not trusted. Learned from the first messages unless set." },
	{ .name = "provider_hosts", .kind = ROW_DOMAIN, .flags = ROW_LIST | ROW_STAR, .at = offsetof(struct conf_account, provider_hosts), .least = 1, .most = 1000,
		.says = "The hosts that write the provider's Received lines (their by), names or *.DOMAIN. The server's domain and what is learned unless set." },
	{ .name = "aliases", .kind = ROW_GROUP, .flags = ROW_LIST, .at = offsetof(struct conf_account, aliases), .section = &alias_section, .least = 1, .most = 1000,
		.says = "Rules from texts or addresses in To and Cc to recipients." },
	{ .name = "default_domain", .kind = ROW_DOMAIN, .at = offsetof(struct conf_account, default_domain),
		.says = "Completes addresses without a domain; off unless set." },
	{ .name = "unrouted", .kind = ROW_UNROUTED, .at = offsetof(struct conf_account, unrouted), .preset = "postmaster",
		.says = "Where mail for nobody goes: postmaster, badmail, hold or an address." },
	{ .name = "every", .kind = ROW_TIME, .at = offsetof(struct conf_account, every_s), .preset = "5m", .least = 10, .most = YEAR,
		.says = "Time from one collection to the next." },
	{ .name = "window", .kind = ROW_WINDOW, .at = offsetof(struct conf_account, window),
		.says = "Days and hours of collection in local time, such as \"Mon-Fri 07:00-20:00, Sat 09:00-12:00\"; always unless set." },
	{ .name = "keep", .kind = ROW_KEEP, .at = offsetof(struct conf_account, keep_s), .preset = "0", .least = 0, .most = 10 * YEAR,
		.says = "How long collected mail stays at the provider; 0 deletes it once it is durable here." },
	{ .name = "max_size", .kind = ROW_SIZE, .at = offsetof(struct conf_account, max_size), .preset = "50M", .least = KIB, .most = 1024 * GIB,
		.says = "Larger messages are left at the provider with event 4010; see oversize." },
	{ .name = "oversize", .kind = ROW_WORD, .at = offsetof(struct conf_account, oversize), .words = oversizes, .preset = "notice",
		.says = "What becomes of larger messages: a notice to the recipient, or nothing but the event." },
	{ .name = "max_per_session", .kind = ROW_COUNT, .at = offsetof(struct conf_account, max_per_session), .preset = "500", .least = 1, .most = 1000000,
		.says = "Messages collected before QUIT makes their deletion final; then it goes on." },
	{ .name = "dedup", .kind = ROW_BOOL, .at = offsetof(struct conf_account, dedup), .preset = "true",
		.says = "Whether a recipient gets a message once when copies of it come within 14 days, from whatever account; false delivers every copy." },
	{ .name = "preserve_signed", .kind = ROW_BOOL, .at = offsetof(struct conf_account, preserve_signed), .preset = "false",
		.says = "Whether a Delivered-To field that a DKIM signature covers keeps its name, so that the signature holds; some mail servers take it for a loop." },
	{ .name = "recipient", .kind = ROW_RECIPIENT, .at = offsetof(struct conf_account, recipient),
		.says = "Who receives the mail of a user account: the alias of a recipient, or a mail address." },
	{ .name = NULL },
};
static const struct section account_section = {
	.rows = account_rows, .size = sizeof(struct conf_account), .key = KEY_NAME, .key_word = "NAME",
	.key_at = offsetof(struct conf_account, name), .mark_at = offsetof(struct conf_account, mark),
	.check = check_account,
};

static const struct word listen_tls[] = {
	{ "none", CONF_LISTEN_PLAIN, false }, { "starttls", CONF_LISTEN_STARTTLS, true },
	{ "implicit", CONF_LISTEN_IMPLICIT, true }, { NULL, 0, false },
};
static const struct row listen_rows[] = {
	{ .name = "address", .kind = ROW_LISTEN, .flags = ROW_REQUIRED, .at = offsetof(struct conf_listen, address),
		.says = "ADDRESS:PORT to listen on; [ADDRESS]:PORT for IPv6, *:PORT for all." },
	{ .name = "tls", .kind = ROW_WORD, .at = offsetof(struct conf_listen, tls), .words = listen_tls, .preset = "none",
		.says = "Whether TLS begins with the connection, by STARTTLS, or not at all." },
	{ .name = NULL },
};
static const struct section listen_section = { .rows = listen_rows, .size = sizeof(struct conf_listen), .shorthand = true, .mark_at = offsetof(struct conf_listen, mark) };

static const struct row smtp_tls_rows[] = {
	{ .name = "certificate", .kind = ROW_PATH, .flags = ROW_REQUIRED, .at = offsetof(struct conf_smtp_tls, certificate),
		.says = "File of this host's certificate and those above it." },
	{ .name = "key", .kind = ROW_PATH, .flags = ROW_REQUIRED, .at = offsetof(struct conf_smtp_tls, key),
		.says = "File of its private key." },
	{ .name = NULL },
};
static const struct section smtp_tls_section = { .rows = smtp_tls_rows, .size = sizeof(struct conf_smtp_tls) };

static const struct row limit_rows[] = {
	{ .name = "message", .kind = ROW_SIZE, .at = offsetof(struct conf_limits, message), .preset = "50M", .least = 64 * KIB, .most = 1024 * GIB,
		.says = "Largest message accepted, announced as SIZE." },
	{ .name = "recipients", .kind = ROW_COUNT, .at = offsetof(struct conf_limits, recipients), .preset = "1000", .least = 100, .most = 50000,
		.says = "Recipients of one message; more get 452 4.5.3." },
	{ .name = "messages_per_session", .kind = ROW_COUNT, .at = offsetof(struct conf_limits, messages_per_session), .preset = "1000", .least = 1, .most = 1000000,
		.says = "Messages in one connection; then 421 asks for a new one." },
	{ .name = "connections", .kind = ROW_COUNT, .at = offsetof(struct conf_limits, connections), .preset = "1000", .least = 1, .most = 100000,
		.says = "Connections at once." },
	{ .name = "connections_per_client", .kind = ROW_COUNT, .at = offsetof(struct conf_limits, connections_per_client), .preset = "50", .least = 1, .most = 100000,
		.says = "Connections at once from one address." },
	{ .name = "errors", .kind = ROW_COUNT, .at = offsetof(struct conf_limits, errors), .preset = "10", .least = 1, .most = 10000,
		.says = "Refused commands in one connection before it is closed." },
	{ .name = "idle", .kind = ROW_TIME, .at = offsetof(struct conf_limits, idle_s), .preset = "5m", .least = 1, .most = DAY,
		.says = "Silence after which a connection is closed." },
	{ .name = NULL },
};
static const struct section limit_section = { .rows = limit_rows, .size = sizeof(struct conf_limits) };

static const struct row smtp_rows[] = {
	{ .name = "listen", .kind = ROW_GROUP, .flags = ROW_LIST, .at = offsetof(struct conf_smtp, listen), .section = &listen_section, .least = 0, .most = 64,
		.says = "Where the relay listens: \"ADDRESS:PORT\", or a mapping with address and tls; nowhere unless set." },
	{ .name = "tls", .kind = ROW_GROUP, .flags = ROW_LATER, .at = offsetof(struct conf_smtp, tls), .section = &smtp_tls_section,
		.says = "The relay's certificate." },
	{ .name = "relay_from", .kind = ROW_CIDR, .flags = ROW_LIST, .at = offsetof(struct conf_smtp, relay_from), .least = 0, .most = 10000,
		.says = "Networks whose clients may relay anywhere; nobody unless set." },
	{ .name = "auth_users", .kind = ROW_PATH, .flags = ROW_LATER, .at = offsetof(struct conf_smtp, auth_users),
		.says = "File of NAME:CRYPT lines for AUTH." },
	{ .name = "limits", .kind = ROW_GROUP, .at = offsetof(struct conf_smtp, limits), .section = &limit_section,
		.says = "What one client may ask for." },
	{ .name = "max_hops", .kind = ROW_COUNT, .at = offsetof(struct conf_smtp, max_hops), .preset = "50", .least = 5, .most = 1000,
		.says = "Received lines after which a message counts as looping." },
	{ .name = "reverse_dns", .kind = ROW_BOOL, .flags = ROW_LATER, .at = offsetof(struct conf_smtp, reverse_dns), .preset = "false",
		.says = "Whether Received says \"unverified\" where EHLO name and address disagree." },
	{ .name = NULL },
};
static const struct section smtp_section = { .rows = smtp_rows, .size = sizeof(struct conf_smtp) };

static const struct word out_tls[] = {
	{ "off", CONF_OUT_TLS_OFF, false }, { "opportunistic", CONF_OUT_TLS_OPPORTUNISTIC, false },
	{ "required", CONF_OUT_TLS_REQUIRED, false }, { "verify", CONF_OUT_TLS_VERIFY, false },
	{ "dane", CONF_OUT_TLS_DANE, false }, { NULL, 0, false },
};
static const struct row route_auth_rows[] = {
	{ .name = "user", .kind = ROW_TEXT, .flags = ROW_REQUIRED, .at = offsetof(struct conf_route_auth, user), .least = 1, .most = 255,
		.says = "Name to log in with." },
	{ .name = "password", .kind = ROW_SECRET, .flags = ROW_REQUIRED, .at = offsetof(struct conf_route_auth, password),
		.says = "Where its password is kept." },
	{ .name = NULL },
};
static const struct section route_auth_section = { .rows = route_auth_rows, .size = sizeof(struct conf_route_auth) };

static const struct row route_rows[] = {
	{ .name = "to", .kind = ROW_HOP, .flags = ROW_REQUIRED, .at = offsetof(struct conf_route, to),
		.says = "Next hop: smtp:HOST[:PORT], lmtp:HOST:PORT, lmtp:/SOCKET, maildir:/PATH/%d/%u, drop, drop:/DIR, mx or etrn." },
	{ .name = "tls", .kind = ROW_WORD, .flags = ROW_LATER, .at = offsetof(struct conf_route, tls), .words = out_tls, .preset = "opportunistic",
		.says = "How the connection to it is protected." },
	{ .name = "auth", .kind = ROW_GROUP, .flags = ROW_LATER, .at = offsetof(struct conf_route, auth), .section = &route_auth_section,
		.says = "How to log in there." },
	{ .name = NULL },
};
static const struct section route_section = {
	.rows = route_rows, .size = sizeof(struct conf_route), .key = KEY_DOMAIN, .key_word = "DOMAIN",
	.key_at = offsetof(struct conf_route, domain), .subdomains_at = offsetof(struct conf_route, subdomains),
	.mark_at = offsetof(struct conf_route, mark),
};

static const struct row delivery_rows[] = {
	{ .name = "retry", .kind = ROW_TIME, .flags = ROW_LIST, .at = offsetof(struct conf_delivery, retry), .preset = "15m, 30m, 1h, 4h", .least = 1, .most = 16,
		.says = "Waits before the second, third and later attempts; the last one repeats." },
	{ .name = "delay_notice", .kind = ROW_TIME, .flags = ROW_LATER, .at = offsetof(struct conf_delivery, delay_notice_s), .preset = "12h", .least = 60, .most = YEAR,
		.says = "Age at which the sender is told of the delay." },
	{ .name = "expire", .kind = ROW_TIME, .at = offsetof(struct conf_delivery, expire_s), .preset = "2d", .least = 1, .most = YEAR,
		.says = "Age at which an undelivered message is given up." },
	{ .name = "masquerade", .kind = ROW_DOMAIN, .flags = ROW_LATER, .at = offsetof(struct conf_delivery, masquerade),
		.says = "Replaces local domains in MAIL FROM of outbound mail; off unless set." },
	{ .name = "smart_host", .kind = ROW_HOST, .flags = ROW_LATER, .at = offsetof(struct conf_delivery, smart_host),
		.says = "Next hop of every domain without a route: NAME, NAME:PORT or [ADDRESS]." },
	{ .name = "direct_first", .kind = ROW_BOOL, .flags = ROW_LATER, .at = offsetof(struct conf_delivery, direct_first), .preset = "false",
		.says = "Whether the MX is tried before the smart host." },
	{ .name = "ndr_copy", .kind = ROW_ADDRESS, .flags = ROW_LATER, .at = offsetof(struct conf_delivery, ndr_copy),
		.says = "Receives a copy of every non-delivery report." },
	{ .name = "connections", .kind = ROW_COUNT, .at = offsetof(struct conf_delivery, connections), .preset = "100", .least = 1, .most = 10000,
		.says = "Outgoing connections at once." },
	{ .name = "connections_per_host", .kind = ROW_COUNT, .at = offsetof(struct conf_delivery, connections_per_host), .preset = "10", .least = 1, .most = 10000,
		.says = "Outgoing connections at once to one next hop." },
	{ .name = "routes", .kind = ROW_MAP, .at = offsetof(struct conf_delivery, routes), .section = &route_section, .most = 50000,
		.says = "Next hops by domain, the most specific wins; *.DOMAIN stands for the names below it." },
	{ .name = NULL },
};
static const struct section delivery_section = { .rows = delivery_rows, .size = sizeof(struct conf_delivery), .check = check_delivery };

static const struct row badmail_rows[] = {
	{ .name = "enabled", .kind = ROW_BOOL, .at = offsetof(struct conf_badmail, enabled), .preset = "true",
		.says = "Whether mail that cannot be delivered is kept in the Badmail folder." },
	{ .name = "keep", .kind = ROW_KEEP, .at = offsetof(struct conf_badmail, keep_s), .preset = "30d", .least = 60, .most = 10 * YEAR,
		.says = "How long it is kept there." },
	{ .name = "max", .kind = ROW_SIZE, .at = offsetof(struct conf_badmail, max), .preset = "10G", .least = KIB * KIB, .most = 1024 * 1024 * GIB,
		.says = "Size of the folder at which the oldest is removed." },
	{ .name = NULL },
};
static const struct section badmail_section = { .rows = badmail_rows, .size = sizeof(struct conf_badmail) };

static const struct row dns_rows[] = {
	{ .name = "servers", .kind = ROW_RESOLVER, .flags = ROW_LIST, .at = offsetof(struct conf_dns, servers), .least = 1, .most = 16,
		.says = "Name servers to ask, ADDRESS or ADDRESS:PORT; those of resolv.conf unless set." },
	{ .name = "timeout", .kind = ROW_TIME, .at = offsetof(struct conf_dns, timeout_s), .preset = "5s", .least = 1, .most = 120,
		.says = "Time to wait for one answer." },
	{ .name = NULL },
};
static const struct section dns_section = { .rows = dns_rows, .size = sizeof(struct conf_dns) };

static const struct word log_formats[] = {
	{ "text", CONF_LOG_TEXT, false }, { "json", CONF_LOG_JSON, false }, { NULL, 0, false },
};
static const struct row log_rows[] = {
	{ .name = "to", .kind = ROW_LOG_TO, .at = offsetof(struct conf_log, to), .preset = "stderr",
		.says = "Where events are written: stderr, syslog, journald or a file." },
	{ .name = "format", .kind = ROW_WORD, .at = offsetof(struct conf_log, format), .words = log_formats, .preset = "text",
		.says = "One event as lines of text, or as one JSON object." },
	{ .name = "level", .kind = ROW_COUNT, .at = offsetof(struct conf_log, level), .preset = "0", .least = 0, .most = 3,
		.says = "How much is written: 0 always, 1 minimum, 2 medium, 3 maximum." },
	{ .name = NULL },
};
static const struct section log_section = { .rows = log_rows, .size = sizeof(struct conf_log) };

static const struct row web_rows[] = {
	{ .name = "listen", .kind = ROW_LISTEN, .flags = ROW_LATER, .at = offsetof(struct conf_web, listen.address),
		.says = "ADDRESS:PORT of the status page; none unless set." },
	{ .name = "token", .kind = ROW_SECRET, .flags = ROW_LATER, .at = offsetof(struct conf_web, token),
		.says = "Where the token that every change needs is kept." },
	{ .name = NULL },
};
static const struct section web_section = { .rows = web_rows, .size = sizeof(struct conf_web) };

static const struct row conf_rows[] = {
	{ .name = "server", .kind = ROW_GROUP, .at = offsetof(struct conf, server), .section = &server_section,
		.says = "This host." },
	{ .name = "policies", .kind = ROW_PATH, .flags = ROW_LIST, .at = offsetof(struct conf, policies), .least = 0, .most = 100,
		.says = "Files of recipient policies, with * and ? for many; applied to the database at start." },
	{ .name = "accounts", .kind = ROW_MAP, .at = offsetof(struct conf, accounts), .section = &account_section, .most = 10000,
		.says = "The mailboxes to collect from, by name." },
	{ .name = "smtp", .kind = ROW_GROUP, .at = offsetof(struct conf, smtp), .section = &smtp_section,
		.says = "The built-in relay as its clients see it." },
	{ .name = "delivery", .kind = ROW_GROUP, .at = offsetof(struct conf, delivery), .section = &delivery_section,
		.says = "How mail leaves." },
	{ .name = "badmail", .kind = ROW_GROUP, .at = offsetof(struct conf, badmail), .section = &badmail_section,
		.says = "What becomes of mail that cannot be delivered." },
	{ .name = "dns", .kind = ROW_GROUP, .at = offsetof(struct conf, dns), .section = &dns_section,
		.says = "How names are looked up." },
	{ .name = "log", .kind = ROW_GROUP, .at = offsetof(struct conf, log), .section = &log_section,
		.says = "How events are written." },
	{ .name = "web", .kind = ROW_GROUP, .flags = ROW_LATER, .at = offsetof(struct conf, web), .section = &web_section,
		.says = "The status page." },
	{ .name = NULL },
};
const struct section conf_section = { .rows = conf_rows, .size = sizeof(struct conf), .check = check_conf };

/* ---- recipient policies ---- */

static const struct word unknowns[] = {
	{ "accept", POLICY_UNKNOWN_ACCEPT, false }, { "reject", POLICY_UNKNOWN_REJECT, false }, { NULL, 0, false },
};
static const struct row policy_domain_rows[] = {
	{ .name = "authoritative", .kind = ROW_BOOL, .at = offsetof(struct policy_doc_domain, authoritative), .preset = "true",
		.says = "Whether nobody else answers for the domain's addresses; false: it is shared." },
	{ .name = "unknown", .kind = ROW_WORD, .at = offsetof(struct policy_doc_domain, unknown), .words = unknowns, .preset = "accept",
		.says = "What happens to mail for recipients that are not known." },
	{ .name = "subaddress", .kind = ROW_TAGS, .at = offsetof(struct policy_doc_domain, subaddress), .preset = "+",
		.says = "Characters that part a sub-address from the user, as in user+tag; empty: there are none." },
	{ .name = NULL },
};
static const struct section policy_domain_section = {
	.rows = policy_domain_rows, .size = sizeof(struct policy_doc_domain), .key = KEY_DOMAIN, .key_word = "DOMAIN",
	.key_at = offsetof(struct policy_doc_domain, domain), .subdomains_at = offsetof(struct policy_doc_domain, subdomains),
	.mark_at = offsetof(struct policy_doc_domain, mark),
};
static const struct row match_rows[] = {
	{ .name = "groups", .kind = ROW_TEXT, .flags = ROW_LIST, .at = offsetof(struct policy_match, groups), .least = 1, .most = 255,
		.says = "Recipients of these groups only." },
	{ .name = NULL },
};
static const struct section match_section = { .rows = match_rows, .size = sizeof(struct policy_match) };

static const struct word spellings[] = {
	{ "plain", POLICY_SPELLING_PLAIN, false }, { "german", POLICY_SPELLING_GERMAN, false }, { NULL, 0, false },
};
static const struct row policy_rows[] = {
	{ .name = "name", .kind = ROW_NAME, .flags = ROW_REQUIRED, .at = offsetof(struct policy_doc, name),
		.says = "The policy's name." },
	{ .name = "priority", .kind = ROW_COUNT, .at = offsetof(struct policy_doc, priority), .preset = "100", .least = 0, .most = 1000000,
		.says = "Lower is tried first; the policy named default is last." },
	{ .name = "match", .kind = ROW_GROUP, .at = offsetof(struct policy_doc, match), .section = &match_section,
		.says = "Recipients it generates addresses for; all when absent." },
	{ .name = "spelling", .kind = ROW_WORD, .at = offsetof(struct policy_doc, spelling), .words = spellings, .preset = "plain",
		.says = "How templates spell letters outside ASCII: plain, u for u with two dots; german, ue for it." },
	{ .name = "addresses", .kind = ROW_TEMPLATE, .flags = ROW_LIST, .at = offsetof(struct policy_doc, addresses), .least = 0, .most = 64,
		.says = "Address templates; their domains are policy domains." },
	{ .name = "domains", .kind = ROW_MAP, .at = offsetof(struct policy_doc, domains), .section = &policy_domain_section, .most = 50000,
		.says = "The domains it answers for; *.DOMAIN stands for the names below one." },
	{ .name = NULL },
};
const struct section policy_section = { .rows = policy_rows, .size = sizeof(struct policy_doc), .check = check_policy };
/* clang-format on */
