/* getmail's configuration: an INI file as Python's RawConfigParser reads it, one
 * mailbox. Lines that are deeper than their option continue its value. */
#include <string.h>

#include "postern/must.h"
#include "postern/num.h"
#include "rc.h"

enum { VALUE_MAX = 64 * 1024, ARGS_MAX = 64 };

struct getmail {
	struct rc_reader *r;
	struct rc_draft d;
	struct span section;
	struct map seen; /* sections, and "SECTION NUL OPTION" */
	unsigned line, type_line;
	bool has_type, ssl, multidrop, foreign;
	bool delete, read_all;
	uint64_t delete_after;
};

struct option {
	struct span name, value; /* the value's lines are joined by LF */
	unsigned line;
};

static struct conf_mark
at_line(unsigned line)
{
	return (struct conf_mark){ line, 1 };
}

static void
lost(struct getmail *g, const struct option *o, const char *says)
{
	rc_note(g->r, &g->d.notes, o->line, "%.*s: %s", (int)span_first(o->name, 60).n,
			o->name.p, says);
}

static bool
bool_of(struct getmail *g, const struct option *o, bool *out)
{
	static const char *const yes[] = { "1", "yes", "true", "on" };
	static const char *const no[] = { "0", "no", "false", "off" };

	for (size_t i = 0; i < 4; i++) {
		if (span_eq_nocase(o->value, span_of(yes[i]))) {
			*out = true;
			return true;
		}
		if (span_eq_nocase(o->value, span_of(no[i]))) {
			*out = false;
			return true;
		}
	}
	return rc_fault_at(g->r, at_line(o->line), "%.*s: expected true or false",
			(int)span_first(o->name, 60).n, o->name.p);
}

static bool
number_of(struct getmail *g, const struct option *o, uint64_t most, uint64_t *out)
{
	return num_u64(o->value, most, out) ||
			rc_fault_at(g->r, at_line(o->line), "%.*s: expected a number",
					(int)span_first(o->name, 60).n, o->name.p);
}

/* ---- password_command: a Python tuple of strings ---- */

static void
blanks(struct span *s)
{
	while (s->n > 0 && strchr(" \t\r\n", *s->p))
		*s = span_skip(*s, 1);
}

/* One quoted string. What only Python understands (prefixes, \x, three quotes) is
 * not taken, rather than taken wrong. */
static bool
string_of(struct getmail *g, struct span *s, const char **out)
{
	AUTO(buf_done) struct buf text = BUF_MAX(VALUE_MAX);

	if (s->n < 2 || (*s->p != '"' && *s->p != '\''))
		return false;
	char quote = *s->p;
	for (*s = span_skip(*s, 1); s->n > 0 && *s->p != quote; *s = span_skip(*s, 1)) {
		char c = *s->p;
		if (c == '\n')
			return false;
		if (c == '\\') {
			*s = span_skip(*s, 1);
			if (s->n == 0 || !strchr("\\'\"", *s->p))
				return false;
			c = *s->p;
		}
		if (!buf_addc(&text, c))
			return false;
	}
	if (s->n == 0)
		return false;
	*s = span_skip(*s, 1);
	if (text.n == 0 && s->n > 0 && *s->p == quote)
		return false;
	*out = rc_keep(g->r, buf_span(&text));
	return true;
}

static bool
tuple_of(struct getmail *g, struct span s, const char **argv)
{
	size_t n = 0;

	blanks(&s);
	if (s.n == 0 || *s.p != '(')
		return false;
	s = span_skip(s, 1);
	bool comma = true;
	for (;;) {
		blanks(&s);
		if (s.n > 0 && *s.p == ')')
			break;
		if (!comma || n == ARGS_MAX - 1 || !string_of(g, &s, &argv[n]))
			return false;
		n++;
		blanks(&s);
		comma = s.n > 0 && *s.p == ',';
		if (comma)
			s = span_skip(s, 1);
	}
	s = span_skip(s, 1);
	blanks(&s);
	/* ("a") is a text and no tuple, but what is meant is clear. */
	return n > 0 && s.n == 0;
}

static void
command_of(struct getmail *g, const struct option *o)
{
	const char **argv = rc_take(g->r, ARGS_MAX * sizeof(*argv));

	if (!tuple_of(g, o->value, argv)) {
		lost(g, o, "only a list of plain quoted strings can be read here");
		return;
	}
	g->d.a.argv = argv;
	g->d.a.password_kind = RC_PASSWORD_COMMAND;
	g->d.a.password_line = o->line;
}

/* ---- [retriever] ---- */

static void
type_of(struct getmail *g, const struct option *o)
{
	static const struct {
		const char *name;
		bool ssl, multidrop, sdps;
		const char *says;
	} types[] = {
		{ "SimplePOP3Retriever", false, false, false, NULL },
		{ "SimplePOP3SSLRetriever", true, false, false, NULL },
		{ "MultidropPOP3Retriever", false, true, false, NULL },
		{ "MultidropPOP3SSLRetriever", true, true, false, NULL },
		{ "BrokenUIDLPOP3Retriever", false, false, false,
				"messages without a usable UIDL are told apart by content" },
		{ "BrokenUIDLPOP3SSLRetriever", true, false, false,
				"messages without a usable UIDL are told apart by content" },
		{ "MultidropSDPSRetriever", false, true, true, NULL },
	};

	g->has_type = true;
	g->type_line = o->line;
	g->foreign = true;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (!span_eq(o->value, span_of(types[i].name)))
			continue;
		g->foreign = false;
		g->ssl = types[i].ssl;
		g->multidrop = types[i].multidrop;
		if (types[i].sdps)
			g->d.a.envelope.mode = CONF_ENVELOPE_SDPS;
		if (types[i].says)
			lost(g, o, types[i].says);
	}
	if (g->foreign)
		rc_note(g->r, &g->r->notes, o->line,
				"type %.*s: only POP3 mailboxes are collected",
				(int)span_first(o->value, 60).n, o->value.p);
}

/* "x-envelope-to:1", the field and which of them from the top. */
static void
envelope_of(struct getmail *g, const struct option *o)
{
	struct span count = o->value, name = span_trim(span_until(&count, ':'));
	uint64_t n = 1;

	g->d.envelope = name;
	count = span_trim(count);
	if (count.n > 0 && (!num_u64(count, 1000, &n) || n != 1))
		lost(g, o, "the topmost field is taken; trusted_hops says how far down one is looked for");
}

static bool
retriever(struct getmail *g, const struct option *o)
{
	static const struct rc_reason reasons[] = {
		{ "timeout", "timeouts are fixed" },
		{ "delete_dup_msgids",
				"messages with the same UIDL are told apart by content" },
		{ "keyfile", "there are no client certificates" },
		{ "certfile", "there are no client certificates" },
		{ "ssl_version", "the system's TLS policy holds" },
		{ "ssl_ciphers", "the system's TLS policy holds" },
		{ "ssl_fingerprints",
				"a fingerprint of the certificate; tls_pin is one of its key, and must be made anew" },
		{ "ssl_cert_hostname",
				"the certificate must be for the name in server" },
		{ NULL, NULL },
	};
	struct rc_account *a = &g->d.a;
	uint64_t n;
	bool on;

	if (span_eq(o->name, SPAN("type"))) {
		type_of(g, o);
	} else if (span_eq(o->name, SPAN("server"))) {
		g->d.server = o->value;
	} else if (span_eq(o->name, SPAN("port"))) {
		if (!number_of(g, o, 65535, &n))
			return false;
		a->server.port = (unsigned)n;
	} else if (span_eq(o->name, SPAN("username"))) {
		g->d.user = o->value;
	} else if (span_eq(o->name, SPAN("password"))) {
		a->password_kind = RC_PASSWORD_INLINE;
		a->password = rc_keep(g->r, o->value);
		a->password_line = o->line;
	} else if (span_eq(o->name, SPAN("password_command"))) {
		command_of(g, o);
	} else if (span_eq(o->name, SPAN("use_apop"))) {
		if (!bool_of(g, o, &on))
			return false;
		a->auth = on ? CONF_AUTH_APOP : CONF_AUTH_AUTO;
	} else if (span_eq(o->name, SPAN("ca_certs"))) {
		a->tls_ca = rc_keep(g->r, o->value);
	} else if (span_eq(o->name, SPAN("envelope_recipient"))) {
		envelope_of(g, o);
	} else {
		const char *says = rc_reason_find(reasons, o->name);
		lost(g, o, says ? says : "there is nothing like it here");
	}
	return true;
}

/* ---- [options] ---- */

static bool
options(struct getmail *g, const struct option *o)
{
	static const struct rc_reason reasons[] = {
		{ "delete_bigger_than",
				"larger messages are left at the server, never deleted uncollected" },
		{ "max_bytes_per_session",
				"a poll has no limit of bytes; max_per_session limits messages" },
		{ "delivered_to", "delivery.routes and the next hop decide" },
		{ "received", "a Received line is always added" },
		{ "message_log", "see log, and postern events" },
		{ "message_log_verbose", "see log, and postern events" },
		{ "message_log_syslog", "log: { to: syslog }" },
		{ "logfile", "see log, and postern events" },
		{ "use_netrc", ".netrc is not read" },
		{ "netrc_file", ".netrc is not read" },
		{ NULL, NULL },
	};
	uint64_t n;

	if (span_eq(o->name, SPAN("delete")))
		return bool_of(g, o, &g->delete);
	if (span_eq(o->name, SPAN("read_all")))
		return bool_of(g, o, &g->read_all);
	if (span_eq(o->name, SPAN("delete_after")))
		return number_of(g, o, 3650, &g->delete_after);
	if (span_eq(o->name, SPAN("max_message_size")))
		return number_of(g, o, UINT64_C(1) << 40, &g->d.a.max_size);
	if (span_eq(o->name, SPAN("max_messages_per_session"))) {
		if (!number_of(g, o, 1000000, &n))
			return false;
		g->d.a.max_per_session = (unsigned)n;
		if (n > 0)
			lost(g, o, "a poll goes on in further sessions until all are collected");
		return true;
	}
	/* How much getmail says, and how it keeps its list. */
	if (span_eq(o->name, SPAN("verbose")) ||
			span_eq(o->name, SPAN("fingerprint")) ||
			span_eq(o->name, SPAN("to_oldmail_on_each_mail")))
		return true;
	const char *says = rc_reason_find(reasons, o->name);
	lost(g, o, says ? says : "there is nothing like it here");
	return true;
}

static bool
option(struct getmail *g, const struct option *o)
{
	if (span_eq(g->section, SPAN("retriever")))
		return retriever(g, o);
	if (span_eq(g->section, SPAN("options")))
		return options(g, o);
	if (span_eq(o->name, SPAN("type"))) {
		bool filter = span_starts_nocase(g->section, SPAN("filter"));
		rc_note(g->r, &g->d.notes, o->line, "[%.*s] %.*s: %s",
				(int)span_first(g->section, 40).n, g->section.p,
				(int)span_first(o->value, 60).n, o->value.p,
				filter ? "there are no filters"
				       : "where mail goes is said by delivery.routes");
	}
	return true;
}

/* ---- INI ---- */

static bool
once(struct getmail *g, struct span section, struct span name)
{
	struct span key = { NULL, section.n + 1 + name.n };
	char *p = rc_take(g->r, key.n + 1);

	memcpy(p, section.p, section.n);
	for (size_t i = 0; i < name.n; i++)
		p[section.n + 1 + i] = ascii_lower(name.p[i]);
	key.p = p;
	return map_put(&g->seen, key, g) == NULL;
}

static bool
section_of(struct getmail *g, struct span line)
{
	size_t end = span_rfind(line, ']');

	if (end == line.n || end < 2)
		return rc_fault_at(g->r, at_line(g->line), "expected [SECTION]");
	g->section = span_skip(span_first(line, end), 1);
	return once(g, g->section, SPAN("")) ||
			rc_fault_at(g->r, at_line(g->line),
					"the section [%.*s] was given already",
					(int)span_first(g->section, 60).n,
					g->section.p);
}

static size_t
indent_of(struct span line)
{
	size_t n = 0;

	while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'))
		n++;
	return n;
}

static bool
is_comment(struct span s)
{
	return s.n > 0 && (s.p[0] == '#' || s.p[0] == ';');
}

static bool
begin_option(struct getmail *g, struct span line, struct option *o, struct buf *value)
{
	struct span s = span_trim(line);
	size_t equals = span_find(s, '='), colon = span_find(s, ':');
	size_t end = equals < colon ? equals : colon;

	if (end == 0 || end == s.n)
		return rc_fault_at(g->r,
				(struct conf_mark){ g->line,
						(unsigned)indent_of(line) + 1 },
				"expected [SECTION] or NAME = VALUE");
	struct span name = span_trim(span_first(s, end));
	char *low = rc_take(g->r, name.n + 1);
	for (size_t i = 0; i < name.n; i++)
		low[i] = ascii_lower(name.p[i]);
	o->name = (struct span){ low, name.n };
	o->line = g->line;
	if (!once(g, g->section, name))
		return rc_fault_at(g->r, at_line(g->line), "\"%.*s\" was given already",
				(int)span_first(name, 60).n, name.p);
	buf_clear(value);
	return buf_add(value, span_trim(span_skip(s, end + 1))) ||
			rc_fault_at(g->r, at_line(g->line), "the value is too long");
}

static bool
end_option(struct getmail *g, struct option *o, const struct buf *value)
{
	if (o->line == 0)
		return true;
	struct span kept = span_trim(buf_span(value));
	o->value = (struct span){ rc_keep(g->r, kept), kept.n };
	bool ok = option(g, o);
	o->line = 0;
	return ok;
}

static bool
read_lines(struct getmail *g)
{
	AUTO(buf_done) struct buf value = BUF_MAX(VALUE_MAX);
	struct option now = { .line = 0 };
	struct span rest = g->r->text;
	size_t indent = 0;

	while (rest.n > 0) {
		struct span line = span_until(&rest, '\n'), s = span_trim(line);
		g->line++;
		if (is_comment(s))
			continue;
		if (s.n == 0 || (now.line > 0 && indent_of(line) > indent)) {
			if (now.line > 0 &&
					(!buf_addc(&value, '\n') ||
							!buf_add(&value, s)))
				return rc_fault_at(g->r, at_line(g->line),
						"the value is too long");
			continue;
		}
		if (!end_option(g, &now, &value))
			return false;
		if (s.p[0] == '[') {
			if (!section_of(g, s))
				return false;
			continue;
		}
		if (g->section.n == 0)
			return rc_fault_at(g->r, at_line(g->line),
					"expected [SECTION] first");
		indent = indent_of(line);
		if (!begin_option(g, line, &now, &value))
			return false;
	}
	return end_option(g, &now, &value);
}

static bool
finish(struct getmail *g)
{
	enum { DAY = 24 * 3600 };
	struct rc_account *a = &g->d.a;

	if (!g->has_type)
		return rc_fault_at(g->r, at_line(g->line ? g->line : 1),
				"there is no type in a section [retriever]");
	if (g->foreign)
		return true;
	a->line = g->type_line;
	a->type = g->multidrop ? CONF_GLOBAL : CONF_USER;
	a->tls = g->ssl ? CONF_TLS_IMPLICIT : CONF_TLS_NONE;
	a->keep_s = g->delete		      ? 0
			: g->delete_after > 0 ? (int64_t)g->delete_after * DAY
					      : CONF_KEEP_FOREVER;
	if (g->read_all && !g->delete)
		rc_note(g->r, &g->d.notes, 0,
				"read_all: a message that stays at the server is collected once, not each time");
	if (!g->ssl)
		rc_note(g->r, &g->d.notes, a->line,
				"no TLS: the password is sent openly, as before; try tls: implicit or starttls");
	return rc_account_end(g->r, &g->d);
}

bool
rc_getmail(struct rc_reader *r)
{
	struct getmail g = { .r = r, .read_all = true };

	map_init(&g.seen, 0, 0);
	bool ok = read_lines(&g) && finish(&g);
	map_done(&g.seen);
	return ok;
}
