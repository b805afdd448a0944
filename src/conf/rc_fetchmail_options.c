/* The options of fetchmail's servers and users. */
#include <string.h>

#include "postern/num.h"
#include "rc_fetchmail.h"

enum { INTERVAL_MAX = 100000 };

struct keyword {
	const char *word, *same; /* two spellings */
	enum takes { NOTHING, FLAG, TEXT, TEXTS, NUMBER, NUMBERS, OWN } takes;
	bool for_user;
	/* Value: of TEXT and NUMBER; `on` of FLAG. NULL: it is only noted. */
	bool (*run)(struct fetchmail *f, const struct fm_token *value, bool on);
	const char *says; /* why it has no equivalent; NULL: nothing is lost */
};

static const struct keyword *keyword_of(const struct fm_token *t);

void
fm_step(struct fetchmail *f)
{
	f->t = fm_next(&f->lexer);
}

bool
fm_is_word(const struct fm_token *t, const char *word)
{
	return t->kind == FM_WORD && span_eq(t->text, span_of(word));
}

bool
fm_unexpected(struct fetchmail *f, const char *wanted)
{
	if (f->t.kind == FM_END)
		return rc_fault_at(f->r, f->t.mark, "expected %s, not the end", wanted);
	/* Quoted text may be a password out of place. */
	if (f->t.kind == FM_TEXT)
		return rc_fault_at(f->r, f->t.mark, "expected %s, not a quoted text",
				wanted);
	return rc_fault_at(f->r, f->t.mark, "expected %s, not \"%.*s\"", wanted,
			(int)span_first(f->t.text, 60).n, f->t.text.p);
}

bool
fm_is_text(const struct fm_token *t)
{
	return t->kind == FM_TEXT || (t->kind == FM_WORD && !keyword_of(t));
}

struct rc_notes *
fm_notes_of(struct fetchmail *f)
{
	if (f->in_defaults || !f->in_entry)
		return &f->r->notes;
	return f->has_user ? &f->user.notes : &f->server.notes;
}

static bool
set_via(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)on;
	f->server.via = v->text;
	return true;
}

static bool
set_qvirtual(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)on;
	f->server.qvirtual = v->text;
	return true;
}

static bool
set_proto(struct fetchmail *f, const struct fm_token *v, bool on)
{
	static const struct {
		const char *word;
		enum fm_proto proto;
	} known[] = {
		{ "pop3", PROTO_POP3 },
		{ "apop", PROTO_APOP },
		{ "auto", PROTO_AUTO },
		{ "sdps", PROTO_SDPS },
		{ "imap", PROTO_OTHER },
		{ "kpop", PROTO_OTHER },
		{ "pop2", PROTO_OTHER },
		{ "rpop", PROTO_OTHER },
		{ "etrn", PROTO_OTHER },
		{ "odmr", PROTO_OTHER },
	};

	(void)on;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!span_eq_nocase(v->text, span_of(known[i].word)))
			continue;
		f->server.proto = known[i].proto;
		f->server.proto_word = v->text;
		return true;
	}
	return rc_fault_at(f->r, v->mark, "there is no protocol \"%.*s\"",
			(int)span_first(v->text, 40).n, v->text.p);
}

static bool
set_auth(struct fetchmail *f, const struct fm_token *v, bool on)
{
	static const struct {
		const char *word;
		enum conf_auth auth;
	} known[] = {
		{ "any", CONF_AUTH_AUTO },
		{ "password", CONF_AUTH_AUTO },
		{ "cram-md5", CONF_AUTH_CRAM_MD5 },
		{ "cram", CONF_AUTH_CRAM_MD5 },
		{ "xoauth2", CONF_AUTH_XOAUTH2 },
		{ "oauthbearer", CONF_AUTH_OAUTHBEARER },
	};

	(void)on;
	f->server.auth = CONF_AUTH_AUTO;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (span_eq(v->text, span_of(known[i].word))) {
			f->server.auth = known[i].auth;
			return true;
		}
	}
	rc_note(f->r, fm_notes_of(f), v->mark.line,
			"auth %.*s: there is no such method here; auto is taken",
			(int)span_first(v->text, 40).n, v->text.p);
	return true;
}

static bool
own_port(struct fetchmail *f, const struct fm_token *word, bool on)
{
	uint64_t n = 0;

	(void)on;
	if (span_eq(f->t.text, SPAN("pop3")))
		n = 110;
	else if (span_eq(f->t.text, SPAN("pop3s")))
		n = 995;
	else if (fm_is_text(&f->t) && !num_u64(f->t.text, 65535, &n))
		rc_note(f->r, fm_notes_of(f), word->mark.line,
				"service %.*s: say the port as a number",
				(int)span_first(f->t.text, 40).n, f->t.text.p);
	else if (f->t.kind != FM_NUMBER && !fm_is_text(&f->t))
		return fm_unexpected(f, "a port");
	else if (n == 0 && (!num_u64(f->t.text, 65535, &n) || n == 0))
		return rc_fault_at(f->r, f->t.mark, "expected a port from 1 to 65535");
	f->server.port = (unsigned)n;
	fm_step(f);
	return true;
}

static bool
own_auth(struct fetchmail *f, const struct fm_token *word, bool on)
{
	(void)word;
	if (f->t.kind != FM_WORD && f->t.kind != FM_TEXT)
		return fm_unexpected(f, "a method");
	if (!set_auth(f, &f->t, on))
		return false;
	fm_step(f);
	return true;
}

static bool
own_domains(struct fetchmail *f, const struct fm_token *word, bool on)
{
	(void)word;
	(void)on;
	if (!fm_is_text(&f->t))
		return fm_unexpected(f, "a domain");
	for (; fm_is_text(&f->t); fm_step(f))
		rc_text_add(f->r, &f->server.domains, f->t.text, f->t.mark.line);
	return true;
}

/* "envelope 1 X-Envelope-To", "no envelope" */
static bool
own_envelope(struct fetchmail *f, const struct fm_token *word, bool on)
{
	f->server.no_envelope = !on;
	if (!on)
		return true;
	if (f->t.kind == FM_NUMBER) {
		if (!span_eq(f->t.text, SPAN("0")))
			rc_note(f->r, fm_notes_of(f), word->mark.line,
					"envelope: the topmost field is taken; trusted_hops says how far down one is looked for");
		fm_step(f);
	}
	if (!fm_is_text(&f->t))
		return fm_unexpected(f, "a header field");
	f->server.envelope = f->t.text;
	fm_step(f);
	return true;
}

static bool
set_interval(struct fetchmail *f, const struct fm_token *v, bool on)
{
	uint64_t n;

	(void)on;
	if (!num_u64(v->text, INTERVAL_MAX, &n))
		return rc_fault_at(f->r, v->mark, "expected a number of polls");
	f->server.interval = (unsigned)n;
	return true;
}

static bool
set_password(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)on;
	f->user.password = v->text.p;
	f->user.password_line = v->mark.line;
	return true;
}

static bool
set_keep(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)v;
	f->user.keep = on;
	return true;
}

static bool
set_fetchall(struct fetchmail *f, const struct fm_token *v, bool on)
{
	f->user.fetchall = on;
	f->user.fetchall_line = v->mark.line;
	return true;
}

static bool
set_ssl(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)v;
	f->user.ssl = on;
	return true;
}

static bool
set_sslproto(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)on;
	f->user.sslproto = v->text;
	f->user.sslproto_said = true;
	f->user.ssl_line = v->mark.line;
	if (v->text.n > 0 && !span_eq_nocase(v->text, SPAN("auto")))
		rc_note(f->r, fm_notes_of(f), v->mark.line,
				"sslproto: the system's TLS policy holds");
	return true;
}

static bool
set_certck(struct fetchmail *f, const struct fm_token *v, bool on)
{
	if (!on)
		rc_note(f->r, fm_notes_of(f), v->mark.line,
				"no sslcertck: certificates are always checked; tls_ca names the provider's own");
	return true;
}

static bool
set_ca(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)on;
	f->user.tls_ca = v->text;
	return true;
}

static bool
set_limit(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)on;
	return num_u64(v->text, UINT64_C(1) << 40, &f->user.limit) ||
			rc_fault_at(f->r, v->mark, "expected a size");
}

static bool
set_fetchlimit(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)on;
	if (!num_u64(v->text, 1000000, &f->user.per_session))
		return rc_fault_at(f->r, v->mark, "expected a number of messages");
	if (f->user.per_session > 0)
		rc_note(f->r, fm_notes_of(f), v->mark.line,
				"fetchlimit: a poll goes on in further sessions until all are collected");
	return true;
}

static bool
set_address(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)on;
	f->user.domain = v->text;
	return true;
}

static bool
set_name(struct fetchmail *f, const struct fm_token *v, bool on)
{
	(void)on;
	f->user.recipient = v->text;
	return true;
}

static bool
set_rewrite(struct fetchmail *f, const struct fm_token *v, bool on)
{
	if (on)
		rc_note(f->r, fm_notes_of(f), v->mark.line,
				"rewrite: addresses in the header stay as they are");
	return true;
}

/* ---- user, is, to ---- */

/* Names, NAME=NAME and * until a keyword. */
static bool
names(struct fetchmail *f, struct span *first, unsigned *n, bool *star, bool *maps)
{
	for (*n = 0, *star = *maps = false;; fm_step(f)) {
		if (f->t.kind == FM_STAR) {
			*star = true;
			continue;
		}
		if (f->t.kind == FM_EQUALS) {
			*maps = true;
			fm_step(f);
			if (!fm_is_text(&f->t))
				return fm_unexpected(f, "a name behind =");
			continue;
		}
		if (!fm_is_text(&f->t))
			break;
		if ((*n)++ == 0)
			*first = f->t.text;
	}
	return *n > 0 || *star || fm_unexpected(f, "a name");
}

static void
locals(struct fetchmail *f, const struct fm_token *word, struct span first, unsigned n,
		bool star, bool maps)
{
	struct fm_user *u = &f->user;

	if (u->locals == 0)
		u->local = first;
	u->locals += n;
	u->locals_line = word->mark.line;
	u->star = u->star || star;
	u->maps = u->maps || maps;
}

static bool
own_user(struct fetchmail *f, const struct fm_token *word, bool on)
{
	struct span first = { NULL, 0 };
	bool star, maps;
	unsigned n;

	(void)on;
	if (!names(f, &first, &n, &star, &maps))
		return false;
	if (!f->in_defaults) {
		if (f->has_user && !fm_end_user(f))
			return false;
		fm_begin_user(f, word->mark.line);
	}
	if (fm_is_word(&f->t, "here")) {
		fm_step(f);
		locals(f, word, first, n, star, maps);
		return true;
	}
	if (n != 1 || star || maps)
		return fm_unexpected(f, "\"here\" behind several names");
	f->user.name = first;
	if (fm_is_word(&f->t, "there"))
		fm_step(f);
	return true;
}

static bool
own_is(struct fetchmail *f, const struct fm_token *word, bool on)
{
	struct span first = { NULL, 0 };
	bool star, maps;
	unsigned n;

	(void)on;
	if (!names(f, &first, &n, &star, &maps))
		return false;
	if (fm_is_word(&f->t, "there")) {
		if (n != 1 || star || maps)
			return fm_unexpected(f, "one name before \"there\"");
		f->user.name = first;
		fm_step(f);
		return true;
	}
	if (fm_is_word(&f->t, "here"))
		fm_step(f);
	locals(f, word, first, n, star, maps);
	return true;
}

static const char to_routes[] = "where mail goes is said by delivery.routes";
static const char no_commands[] = "no commands are run around a poll";
static const char no_client_cert[] = "there are no client certificates";
static const char as_it_came[] = "a message is delivered as it came";
static const char by_itself[] = "there is nothing like it here, and no need of it";

/* clang-format off */
static const struct keyword keywords[] = {
	{ "via", NULL, TEXT, false, set_via, NULL },
	{ "proto", "protocol", TEXT, false, set_proto, NULL },
	{ "local", "localdomains", OWN, false, own_domains, NULL },
	{ "port", "service", OWN, false, own_port, NULL },
	{ "auth", "authenticate", OWN, false, own_auth, NULL },
	{ "preauth", "preauthenticate", OWN, false, own_auth, NULL },
	{ "envelope", NULL, OWN, false, own_envelope, NULL },
	{ "interval", NULL, NUMBER, false, set_interval, NULL },
	{ "timeout", NULL, NUMBER, false, NULL, "timeouts are fixed" },
	{ "qvirtual", NULL, TEXT, false, set_qvirtual, NULL },
	{ "aka", NULL, TEXTS, false, NULL, "names of the server are no domains of ours; name in domains those that are" },
	{ "interface", NULL, TEXT, false, NULL, "a poll does not depend on a network interface" },
	{ "monitor", NULL, TEXT, false, NULL, "a poll does not depend on a network interface" },
	{ "plugin", NULL, TEXT, false, NULL, "connections are made directly" },
	{ "plugout", NULL, TEXT, false, NULL, "connections are made directly" },
	{ "principal", NULL, TEXT, false, NULL, "there is no Kerberos" },
	{ "esmtpname", NULL, TEXT, false, NULL, to_routes },
	{ "esmtppassword", NULL, TEXT, false, NULL, to_routes },
	{ "bad-header", NULL, TEXT, false, NULL, "a message with a broken header is collected as it is" },
	{ "dns", NULL, FLAG, false, NULL, NULL },
	{ "checkalias", NULL, FLAG, false, NULL, "recipients are matched by domain, not by address of the host" },
	{ "uidl", NULL, FLAG, false, NULL, NULL },
	{ "tracepolls", NULL, FLAG, false, NULL, NULL },

	{ "user", "username", OWN, false, own_user, NULL },
	{ "is", "to", OWN, true, own_is, NULL },
	{ "pass", "password", TEXT, true, set_password, NULL },
	{ "keep", NULL, FLAG, true, set_keep, NULL },
	{ "fetchall", NULL, FLAG, true, set_fetchall, NULL },
	{ "flush", NULL, FLAG, true, NULL, "nothing is deleted that was not collected here" },
	{ "limitflush", NULL, FLAG, true, NULL, "larger messages are left at the server, never deleted uncollected" },
	{ "rewrite", NULL, FLAG, true, set_rewrite, NULL },
	{ "stripcr", NULL, FLAG, true, NULL, as_it_came },
	{ "forcecr", NULL, FLAG, true, NULL, as_it_came },
	{ "pass8", "pass8bits", FLAG, true, NULL, as_it_came },
	{ "dropstatus", NULL, FLAG, true, NULL, as_it_came },
	{ "dropdelivered", NULL, FLAG, true, NULL, "Delivered-To of the provider is renamed, so that it makes no loop" },
	{ "mimedec", "mimedecode", FLAG, true, NULL, as_it_came },
	{ "idle", "forceidle", FLAG, true, NULL, NULL },
	{ "ssl", NULL, FLAG, true, set_ssl, NULL },
	{ "sslproto", NULL, TEXT, true, set_sslproto, NULL },
	{ "sslcertck", NULL, FLAG, true, set_certck, NULL },
	{ "sslcertfile", NULL, TEXT, true, set_ca, NULL },
	{ "sslcertpath", NULL, TEXT, true, NULL, "a folder of certificates; put those that matter into one file, and name it in tls_ca" },
	{ "sslcommonname", NULL, TEXT, true, NULL, "the certificate must be for the name in server" },
	{ "sslfingerprint", NULL, TEXT, true, NULL, "an MD5 sum of the certificate proves nothing; tls_ca or tls_pin do" },
	{ "sslkey", NULL, TEXT, true, NULL, no_client_cert },
	{ "sslcert", NULL, TEXT, true, NULL, no_client_cert },
	{ "limit", NULL, NUMBER, true, set_limit, NULL },
	{ "warnings", NULL, NUMBER, true, NULL, "event 4010 tells of a message that is too large" },
	{ "fetchlimit", NULL, NUMBER, true, set_fetchlimit, NULL },
	{ "batchlimit", NULL, NUMBER, true, NULL, by_itself },
	{ "fetchsizelimit", NULL, NUMBER, true, NULL, NULL },
	{ "fastuidl", NULL, NUMBER, true, NULL, NULL },
	{ "expunge", NULL, NUMBER, true, NULL, "max_per_session commits deletions as often" },
	{ "folder", "folders", TEXTS, true, NULL, "a POP3 mailbox has one folder" },
	{ "smtp", "smtphost", TEXTS, true, NULL, to_routes },
	{ "fetchdomains", NULL, TEXTS, true, NULL, "etrn and odmr are not spoken to a provider" },
	{ "smtpaddress", NULL, TEXT, true, set_address, NULL },
	{ "smtpname", NULL, TEXT, true, set_name, NULL },
	{ "antispam", NULL, NUMBERS, true, NULL, "a refusal of the next hop ends in Badmail, whatever its code" },
	{ "mda", NULL, TEXT, true, NULL, to_routes },
	{ "bsmtp", NULL, TEXT, true, NULL, to_routes },
	{ "lmtp", NULL, FLAG, true, NULL, to_routes },
	{ "pre", "preconnect", TEXT, true, NULL, no_commands },
	{ "post", "postconnect", TEXT, true, NULL, no_commands },
	{ "properties", NULL, TEXT, true, NULL, by_itself },

	/* Not options, but words that no text can be. */
	{ "poll", "server", OWN, false, NULL, NULL },
	{ "skip", "defaults", OWN, false, NULL, NULL },
	{ "set", "no", OWN, false, NULL, NULL },
	{ "here", "there", OWN, false, NULL, NULL },
};
/* clang-format on */

static const struct keyword *
keyword_named(struct span word)
{
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
		const struct keyword *k = &keywords[i];
		if (span_eq(word, span_of(k->word)) ||
				(k->same && span_eq(word, span_of(k->same))))
			return k;
	}
	return NULL;
}

/* "nokeep" is "no keep". */
static struct span
without_no(struct span word)
{
	struct span rest = span_skip(word, word.n > 2 ? 2 : 0);
	const struct keyword *k = span_starts(word, SPAN("no")) && word.n > 2
			? keyword_named(rest)
			: NULL;

	return k && (k->takes == FLAG || k->run == own_envelope) ? rest : word;
}

static const struct keyword *
keyword_of(const struct fm_token *t)
{
	return t->kind == FM_WORD ? keyword_named(without_no(t->text)) : NULL;
}

/* Its argument, if it takes one; several are passed over. */
static bool
argument(struct fetchmail *f, const struct keyword *k, struct fm_token *value)
{
	*value = f->t;
	switch (k->takes) {
	case TEXT:
		if (!fm_is_text(&f->t) && f->t.kind != FM_NUMBER)
			return fm_unexpected(f, "a text");
		fm_step(f);
		return true;
	case NUMBER:
		if (f->t.kind != FM_NUMBER)
			return fm_unexpected(f, "a number");
		fm_step(f);
		return true;
	case TEXTS:
		if (!fm_is_text(&f->t))
			return fm_unexpected(f, "a text");
		while (fm_is_text(&f->t))
			fm_step(f);
		return true;
	case NUMBERS:
		if (f->t.kind != FM_NUMBER)
			return fm_unexpected(f, "a number");
		while (f->t.kind == FM_NUMBER)
			fm_step(f);
		return true;
	case NOTHING:
	case FLAG:
	case OWN:
		break;
	}
	return true;
}

bool
fm_option(struct fetchmail *f)
{
	struct fm_token word = f->t, value;
	bool on = !fm_is_word(&word, "no");

	if (!on)
		fm_step(f);
	const struct keyword *k = keyword_of(&f->t);
	if (!k || (k->takes == OWN && !k->run))
		return fm_unexpected(f, "an option");
	word = f->t;
	on = on && span_eq(without_no(word.text), word.text);
	if (!on && k->takes != FLAG && k->run != own_envelope)
		return fm_unexpected(f, "an option that can be off");
	/* What is named here is told by this word, not by its value. */
	f->lexer.name = k->run == set_password || k->run == own_user ||
			k->run == own_is;
	fm_step(f);
	if (k->for_user && !f->in_defaults && !f->has_user)
		fm_begin_user(f, word.mark.line);
	if (k->takes == OWN)
		return k->run(f, &word, on);
	if (!argument(f, k, &value))
		return false;
	value.mark.line = word.mark.line;
	if (k->run)
		return k->run(f, k->takes == FLAG ? &word : &value, on);
	if (k->says && on)
		rc_note(f->r, fm_notes_of(f), word.mark.line, SPAN_FMT ": %s",
				SPAN_ARG(word.text), k->says);
	return true;
}
