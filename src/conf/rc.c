/* rc: what the readers of other programs' files share: their memory, what they note, and an account
 * made of what they read. */
#include "rc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "postern/address.h"
#include "postern/conf_load.h"
#include "postern/enc.h"
#include "postern/must.h"
#include "values.h"

enum {
	NOTES_MAX = 20000,
	DOMAINS_MAX = 100 * 1000,
	DOMAINS_EACH = 1000, /* the configuration's own limit */
	NAME_LEN = 48, /* leaves room for -NUMBER */
};

void *
rc_take(struct rc_reader *r, size_t n)
{
	void *p = arena_alloc(&r->file->arena, n);

	MUST(p);
	return p;
}

const char *
rc_keep(struct rc_reader *r, struct span s)
{
	const char *p = arena_str(&r->file->arena, s);

	MUST(p);
	return p;
}

bool
rc_fault_at(struct rc_reader *r, struct conf_mark at, const char *fmt, ...)
{
	va_list ap;

	r->fault->mark = at;
	va_start(ap, fmt);
	(void)vsnprintf(r->fault->text, sizeof(r->fault->text), fmt, ap);
	va_end(ap);
	return false;
}

void
rc_note(struct rc_reader *r, struct rc_notes *to, unsigned line, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (!to || r->n_notes > NOTES_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);

	struct rc_note *note = rc_take(r, sizeof(*note));
	bool more = r->n_notes++ == NOTES_MAX;
	*note = (struct rc_note){ .line = line,
		.text = more ? "and more, which is not shown"
			     : rc_keep(r, span_of(text)) };
	if (to->last)
		to->last->next = note;
	else
		to->first = note;
	to->last = note;
}

void
rc_text_add(struct rc_reader *r, const struct rc_text **list, struct span s,
		unsigned line)
{
	struct rc_text *t = rc_take(r, sizeof(*t));

	*t = (struct rc_text){ *list, s, line };
	*list = t;
}

const char *
rc_reason_find(const struct rc_reason *list, struct span word)
{
	for (; list->word; list++) {
		if (span_eq_nocase(span_of(list->word), word))
			return list->says;
	}
	return NULL;
}

/* What scalar_text of the configuration takes, and its file can hold. */
static bool
text_ok(struct span s, size_t most)
{
	for (size_t i = 0; i < s.n;) {
		size_t n = utf8_len(span_skip(s, i));
		if (n == 0 || (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
		i += n;
	}
	return s.n > 0 && s.n <= most;
}

/* ---- names ---- */

static size_t
name_from(struct span wish, char out[NAME_LEN + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < wish.n && n < NAME_LEN; i++) {
		char c = wish.p[i];
		if (conf_name_ok((struct span){ &c, 1 }) || (n > 0 && strchr("._-", c)))
			out[n++] = c;
		else if (n > 0 && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n > 0 && out[n - 1] == '-')
		n--;
	out[n] = '\0';
	return n;
}

/* Names differ in more than case: secrets may lie on a file system that folds it. */
static bool
name_is_free(struct rc_reader *r, const char *name)
{
	char low[96];
	size_t n = strlen(name);

	MUST(n < sizeof(low));
	for (size_t i = 0; i < n; i++)
		low[i] = ascii_lower(name[i]);
	low[n] = '\0';
	if (map_get(&r->names, (struct span){ low, n }))
		return false;
	const char *kept = rc_keep(r, (struct span){ low, n });
	(void)map_put(&r->names, (struct span){ kept, n }, r);
	return true;
}

static const char *
name_for(struct rc_reader *r, const struct rc_draft *d)
{
	char base[NAME_LEN + 1] = "", name[96];

	struct span wishes[] = { d->name, span_first(d->user, span_find(d->user, '@')),
		d->user };
	for (size_t i = 0; i < 3; i++) {
		if (name_from(wishes[i], base) > 0 && name_is_free(r, base))
			return rc_keep(r, span_of(base));
	}
	if (base[0] == '\0')
		(void)snprintf(base, sizeof(base), "account");
	AUTO(buf_done) struct buf with_server = BUF_MAX(400);
	if (buf_addf(&with_server, "%.20s-", base) &&
			buf_add(&with_server, span_first(d->server, 27)) &&
			name_from(buf_span(&with_server), base) > 0 &&
			name_is_free(r, base))
		return rc_keep(r, span_of(base));
	/* Counted through the file, so that the tries are not more than the accounts. */
	for (;;) {
		(void)snprintf(name, sizeof(name), "%s-%u", base, ++r->serial + 1);
		if (name_is_free(r, name))
			return rc_keep(r, span_of(name));
	}
}

/* ---- values ---- */

static bool
server_of(struct rc_reader *r, struct rc_draft *d)
{
	char text[300];
	const char *why;
	bool six = span_find(d->server, ':') < d->server.n && d->server.p[0] != '[';
	struct conf_host host = { 0 };

	if (d->server.n == 0 || d->server.n > 255 || !text_ok(d->server, 255))
		return false;
	(void)snprintf(text, sizeof(text), six ? "[" SPAN_FMT "]" : SPAN_FMT,
			SPAN_ARG(d->server));
	if (!conf_host_parse(span_of(text), &r->file->arena, &host, &why) ||
			host.port != 0)
		return false;
	host.port = d->a.server.port;
	d->a.server = host;
	return true;
}

static bool
domains_of(struct rc_reader *r, struct rc_draft *d)
{
	size_t n = 0;

	for (const struct rc_text *t = d->domains; t; t = t->next)
		n++;
	if (n == 0)
		return true;
	if (n > DOMAINS_MAX - r->n_domains)
		return rc_fault_at(r, (struct conf_mark){ d->a.line, 1 },
				"too many domains");
	r->n_domains += (unsigned)n;

	const char **list = rc_take(r, n * sizeof(*list));
	size_t at = n;
	for (const struct rc_text *t = d->domains; t; t = t->next) {
		char canon[ADDRESS_DOMAIN_MAX + 1];
		if (!domain_canon(t->text, canon))
			rc_note(r, &d->notes, t->line,
					"\"%.*s\" is not a domain; it was left out",
					(int)span_first(t->text, 80).n, t->text.p);
		else
			list[--at] = rc_keep(r, span_of(canon));
	}
	d->a.domains = (struct conf_texts){ list + at, n - at };
	if (n - at > DOMAINS_EACH) {
		d->a.domains.n = DOMAINS_EACH;
		rc_note(r, &d->notes, d->a.line,
				"more than %d domains; those behind them were left out",
				DOMAINS_EACH);
	}
	return true;
}

static void
envelope_of(struct rc_reader *r, struct rc_draft *d)
{
	struct span s = d->envelope;

	if (d->strip.n > 0 && text_ok(d->strip, 255))
		d->a.strip = rc_keep(r, d->strip);
	if (s.n == 0)
		return;
	if (s.p[s.n - 1] == ':')
		s.n--;
	if (!field_name_ok(s)) {
		rc_note(r, &d->notes, d->a.line,
				"\"%.*s\" is not a header field; the envelope is looked for automatically",
				(int)span_first(s, 80).n, s.p);
		return;
	}
	const char **names = rc_take(r, sizeof(*names));
	names[0] = rc_keep(r, s);
	d->a.envelope = (struct conf_envelope){ CONF_ENVELOPE_NAMED, { names, 1 } };
}

static bool
address_of(struct rc_reader *r, struct span text, const char **out)
{
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	struct address a;

	if (text.n > ADDRESS_SIZE || !text_ok(text, ADDRESS_SIZE) ||
			!address_parse(&r->file->arena, text, &a) ||
			!address_wire(&wire, &a))
		return false;
	*out = rc_keep(r, buf_span(&wire));
	return true;
}

static void
recipient_of(struct rc_reader *r, struct rc_draft *d)
{
	struct span name = d->recipient.n > 0 ? d->recipient : d->user;
	struct span domain = d->domain.n > 0 ? d->domain : span_of(r->domain);
	bool full = span_find(name, '@') < name.n;
	char text[800];

	if (d->recipient.n == 0)
		rc_note(r, &d->notes, 0,
				"nobody is named as recipient: taken from the login; check it");
	else if (!full && d->domain.n == 0)
		rc_note(r, &d->notes, 0,
				"the recipient is the local user \"%.*s\", completed with %.200s; check it",
				(int)span_first(name, 80).n, name.p, r->domain);
	if (name.n + domain.n < sizeof(text) - 2) {
		(void)snprintf(text, sizeof(text), full ? SPAN_FMT : SPAN_FMT "@%.*s",
				SPAN_ARG(name), (int)domain.n, domain.p);
		if (address_of(r, span_of(text), &d->a.recipient))
			return;
	}
	rc_note(r, &d->notes, 0,
			"the recipient is not a mail address here; the postmaster stands in for it");
	(void)snprintf(text, sizeof(text), "postmaster@%s", r->domain);
	d->a.recipient = rc_keep(r, span_of(text));
}

/* What is not sayable in the configuration is told, and asked for as if it were absent. */
static void
password_of(struct rc_reader *r, struct rc_draft *d)
{
	if (d->a.password_kind == RC_PASSWORD_INLINE &&
			!text_ok(span_of(d->a.password), 255)) {
		d->a.password_kind = RC_PASSWORD_NONE;
		rc_note(r, &d->notes, d->a.password_line,
				"password: empty, too long, or with a control byte");
	}
	for (size_t i = 0; d->a.password_kind == RC_PASSWORD_COMMAND && d->a.argv[i];
			i++) {
		/* An empty argument is one, an empty program is none. */
		struct span s = span_of(d->a.argv[i]);
		if ((text_ok(s, 3000) || (s.n == 0 && i > 0)) && i < 64)
			continue;
		d->a.password_kind = RC_PASSWORD_NONE;
		rc_note(r, &d->notes, d->a.password_line,
				"the command for the password is too long, or holds a control byte");
	}
}

static void
tls_of(struct rc_reader *r, struct rc_draft *d)
{
	if (d->a.tls_ca && d->a.tls == CONF_TLS_NONE)
		d->a.tls_ca = NULL; /* it had no effect there either */
	if (d->a.tls_ca && !text_ok(span_of(d->a.tls_ca), 2000)) {
		rc_note(r, &d->notes, d->a.line,
				"the file of certificates has a name that cannot be said here");
		d->a.tls_ca = NULL;
	}
}

/* Within what the configuration takes. */
static void
numbers_of(struct rc_reader *r, struct rc_draft *d)
{
	enum { KIB = 1024, SESSION_MOST = 1000000 };
	static const uint64_t most = UINT64_C(1) << 40;

	if (d->a.max_size > 0 && d->a.max_size < KIB) {
		rc_note(r, &d->notes, d->a.line,
				"the limit of %u octets is raised to the least there is, 1K",
				(unsigned)d->a.max_size);
		d->a.max_size = KIB;
	}
	if (d->a.max_size > most)
		d->a.max_size = most;
	if (d->a.max_per_session > SESSION_MOST)
		d->a.max_per_session = SESSION_MOST;
}

bool
rc_account_end(struct rc_reader *r, struct rc_draft *d)
{
	struct conf_mark at = { d->a.line, 1 };

	if (r->file->n == RC_ACCOUNTS_MAX)
		return rc_fault_at(r, at, "more than %d accounts", RC_ACCOUNTS_MAX);
	d->a.ids_host = d->server.n < 256 ? rc_keep(r, d->server) : "";
	if (!server_of(r, d) || !text_ok(d->user, 255)) {
		rc_note(r, &r->notes, d->a.line,
				d->user.n == 0 ? "an account without a user"
						: d->server.n == 0
						? "an account without a server"
						: "an account whose server or user cannot be said here");
		return true;
	}
	d->a.user = rc_keep(r, d->user);
	tls_of(r, d);
	if (d->a.type == CONF_USER) {
		recipient_of(r, d);
	} else if (d->a.type == CONF_GLOBAL) {
		if (!domains_of(r, d))
			return false;
		envelope_of(r, d);
	}
	password_of(r, d);
	numbers_of(r, d);
	d->a.name = name_for(r, d);
	d->a.notes = d->notes.first;

	struct rc_account *a = rc_take(r, sizeof(*a));
	*a = d->a;
	a->next = NULL;
	if (r->last)
		r->last->next = a;
	else
		r->file->accounts = a;
	r->last = a;
	r->file->n++;
	return true;
}
