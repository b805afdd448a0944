#include <stdio.h>
#include <string.h>

#include "kinds.h"
#include "postern/must.h"
#include "postern/template.h"
#include "postern/window.h"
#include "values.h"

static const char *const secret_words[] = { "file", "env", "command", "credential",
	"value" };

enum { SECRET_WORDS = 5, SECRET_TEXT_MAX = 3000, COMMAND_MAX = 64 };

static const char secret_hint[] =
		"{ file: PATH }, { env: NAME }, { command: [PROGRAM, ARGUMENT] } "
		"or { credential: NAME }";

/* The address as it will stand in envelopes. */
bool
read_address(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct buf wire = BUF_MAX(ADDRESS_SIZE);
	struct address a;
	struct span s;

	if (!scalar_text(r, n, ADDRESS_SIZE, "a mail address", &s))
		return false;
	(void)row;
	if (!address_parse(r->arena, s, &a) || address_refused(&a))
		return not_that(r, n, "a full mail address such as ann@example.com");
	bool fits = address_wire(&wire, &a);
	if (fits)
		reader_text(r, buf_span(&wire), place);
	else
		not_that(r, n, "a mail address of at most 320 bytes");
	buf_done(&wire);
	return fits;
}

static bool
env_name_ok(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);
		bool digit = c >= '0' && c <= '9';
		if (c != '_' && !(c >= 'a' && c <= 'z') && (!digit || i == 0))
			return false;
	}
	return s.n > 0;
}

static bool
secret_command(struct reader *r, const struct node *n, struct secret *out)
{
	if (!n || n->kind != NODE_LIST || n->n == 0 || n->n > COMMAND_MAX)
		return reader_fault(r, n,
				"no shell is started: command: [/usr/bin/pass, show, isp]",
				"%s: command: expected a list of the program and its arguments",
				r->where);

	const char **argv = reader_take(r, (n->n + 1) * sizeof(*argv));
	size_t at = 0;
	for (const struct node *i = n->first; i; i = i->next) {
		struct span s;
		if (!scalar_text(r, i, SECRET_TEXT_MAX, "an argument", &s))
			return false;
		argv[at++] = reader_keep(r, s);
	}
	if (argv[0][0] == '\0')
		return reader_fault(r, n, NULL, "%s: command: the program is empty",
				r->where);
	*out = (struct secret){ .kind = SECRET_COMMAND, .text = argv[0], .argv = argv };
	return true;
}

static bool
secret_text(struct reader *r, enum secret_kind kind, const struct node *n,
		struct secret *out)
{
	struct span s;

	if (!scalar_text(r, n, SECRET_TEXT_MAX, "a text", &s))
		return false;
	if (s.n == 0)
		return reader_fault(r, n, NULL, "%s is empty", r->where);
	if (kind == SECRET_ENV && !env_name_ok(s))
		return not_that(r, n, "the name of an environment variable");
	if (kind == SECRET_CREDENTIAL && (memchr(s.p, '/', s.n) || s.p[0] == '.'))
		return not_that(r, n, "the name of a credential, without a path");
	/* A value is not shown, and longer than 255 bytes no server takes it. */
	if (kind == SECRET_VALUE && s.n > 255)
		return reader_fault(r, n, NULL, "%s: longer than 255 bytes", r->where);
	if (kind == SECRET_VALUE)
		reader_warn(r, n, "keep it elsewhere: file, env, command or credential",
				"%s: the secret stands in the configuration, readable for whoever may read that",
				r->where);
	out->kind = kind;
	out->text = kind == SECRET_FILE ? reader_path(r, s) : reader_keep(r, s);
	out->argv = NULL;
	return true;
}

bool
read_secret(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct secret secret = { .kind = SECRET_NONE };
	char hint[80];
	size_t at = 0;

	(void)row;
	/* What stands here may be the password: it is not repeated. */
	if (!n || n->kind != NODE_MAP || n->n != 1 || n->first->kind != NODE_SCALAR)
		return reader_fault(r, n, secret_hint,
				"%s: expected one place to take it from", r->where);

	const struct node *key = n->first;
	while (at < SECRET_WORDS && !span_eq(key->text, span_of(secret_words[at])))
		at++;
	if (at == SECRET_WORDS) {
		const char *near = nearest(key->text, secret_words, SECRET_WORDS);
		(void)snprintf(hint, sizeof(hint), "did you mean \"%s\"?",
				near ? near : "");
		return reader_fault(r, key, near ? hint : secret_hint,
				"unknown key \"%.*s\" in %s",
				(int)span_first(key->text, 100).n, key->text.p,
				r->where);
	}
	enum secret_kind kind = (enum secret_kind)(SECRET_FILE + at);
	bool ok = kind == SECRET_COMMAND ? secret_command(r, key->value, &secret)
					 : secret_text(r, kind, key->value, &secret);
	if (ok)
		memcpy(place, &secret, sizeof(secret));
	return ok;
}

/* A word one letter off is more likely a slip than a header field. */
static void
envelope_slip(struct reader *r, const struct node *n)
{
	static const char *const words[] = { "auto", "strict", "none", "sdps" };
	char hint[80];
	const char *near = nearest(n->text, words, 4);

	if (!near)
		return;
	(void)snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
	reader_warn(r, n, hint, "%s: \"%.*s\" is taken as the name of a header field",
			r->where, (int)n->text.n, n->text.p);
}

static bool
envelope_names(struct reader *r, const struct node *first, size_t n,
		struct conf_envelope *out)
{
	const char **names = reader_take(r, n * sizeof(*names));
	size_t at = 0;

	for (const struct node *i = first; at < n; i = i->next) {
		struct span s;
		if (!scalar_text(r, i, 255, "the name of a header field", &s))
			return false;
		if (!field_name_ok(s))
			return not_that(r, i,
					"auto, strict, none, sdps, or the name of a header field");
		names[at++] = reader_keep(r, s);
	}
	*out = (struct conf_envelope){ CONF_ENVELOPE_NAMED, { names, n } };
	return true;
}

bool
read_envelope(struct reader *r, const struct row *row, const struct node *n,
		void *place)
{
	struct conf_envelope e = { .mode = CONF_ENVELOPE_AUTO };
	struct span s;

	(void)row;
	if (n && n->kind == NODE_LIST) {
		if (n->n == 0 || n->n > 16)
			return reader_fault(r, n, NULL,
					"%s: expected 1 to 16 header fields", r->where);
		if (!envelope_names(r, n->first, n->n, &e))
			return false;
	} else {
		if (!scalar_text(r, n, 255,
				    "auto, strict, none, sdps, or a header field", &s))
			return false;
		MUST(n); /* it has a text */
		if (span_eq(s, SPAN("strict")))
			e.mode = CONF_ENVELOPE_STRICT;
		else if (span_eq(s, SPAN("none")))
			e.mode = CONF_ENVELOPE_NONE;
		else if (span_eq(s, SPAN("sdps")))
			e.mode = CONF_ENVELOPE_SDPS;
		else if (!span_eq(s, SPAN("auto")) && !envelope_names(r, n, 1, &e))
			return false;
		if (e.mode == CONF_ENVELOPE_NAMED)
			envelope_slip(r, n);
	}
	memcpy(place, &e, sizeof(e));
	return true;
}

bool
read_unrouted(struct reader *r, const struct row *row, const struct node *n,
		void *place)
{
	static const char what[] = "postmaster, hold, badmail or a mail address";
	struct conf_unrouted u = { .kind = CONF_UNROUTED_ADDRESS };
	struct span s;

	if (!scalar_text(r, n, 400, what, &s))
		return false;
	if (span_eq(s, SPAN("postmaster")))
		u.kind = CONF_UNROUTED_POSTMASTER;
	else if (span_eq(s, SPAN("badmail")))
		u.kind = CONF_UNROUTED_BADMAIL;
	else if (span_eq(s, SPAN("hold")))
		u.kind = CONF_UNROUTED_HOLD;
	else if (span_find(s, '@') == s.n)
		return not_that(r, n, what);
	else if (!read_address(r, row, n, &u.address))
		return false;
	memcpy(place, &u, sizeof(u));
	return true;
}

bool
read_log_to(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct conf_log_to to = { .kind = CONF_LOG_FILE };
	struct span s;

	(void)row;
	if (!scalar_text(r, n, CONF_PATH_MAX, "stderr, syslog, journald or a path", &s))
		return false;
	if (span_eq(s, SPAN("stderr")))
		to.kind = CONF_LOG_STDERR;
	else if (span_eq(s, SPAN("syslog")))
		to.kind = CONF_LOG_SYSLOG;
	else if (span_eq(s, SPAN("journald")))
		to.kind = CONF_LOG_JOURNALD;
	else if (s.n == 0)
		return reader_fault(r, n, NULL, "%s is empty", r->where);
	else
		to.path = reader_path(r, s);
	memcpy(place, &to, sizeof(to));
	return true;
}

/* "%m@contoso.test", or { primary: "%m@contoso.test" }. */
bool
read_template(struct reader *r, const struct row *row, const struct node *n,
		void *place)
{
	static const char what[] = "a template such as \"%m@example.com\"";
	struct policy_template t = { .primary = false };
	struct span s;
	const char *domain, *why;
	bool subdomains;

	(void)row;
	if (n && n->kind == NODE_MAP) {
		if (n->n != 1 || !map_key(n, "primary"))
			return reader_fault(r, n, NULL,
					"%s: expected { primary: TEMPLATE }", r->where);
		t.primary = true;
		n = n->first->value;
	}
	if (!scalar_text(r, n, 400, what, &s))
		return false;
	size_t at = span_rfind(s, '@');
	if (at == 0 || at == s.n)
		return not_that(r, n, what);
	if (span_find(span_skip(s, at), '%') < s.n - at ||
			!conf_domain_parse(span_skip(s, at + 1), r->arena, &domain,
					&subdomains, &why) ||
			subdomains)
		return not_that(r, n, "a template with a domain behind its @");
	const char *fault = template_fault(s, &at);
	if (fault)
		return reader_fault(r, n, NULL, "%s: %s (at character %zu of \"%.*s\")",
				r->where, fault, at + 1, (int)s.n, s.p);
	t.text = reader_keep(r, s);
	memcpy(place, &t, sizeof(t));
	return true;
}

/* What parts a sub-address from the user. A letter or a dot would cut names apart. */
bool
read_tags(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	enum { TAGS_MAX = 8 };
	static const char what[] = "up to 8 of + - _ = # ~ | ! $ % & * / ? ^ ' ` { }";
	const struct span fit = SPAN("+-_=#~|!$%&*/?^'`{}");
	struct span s;

	(void)row;
	if (!scalar_text(r, n, 255, what, &s))
		return false;
	bool good = s.n <= TAGS_MAX;
	for (size_t i = 0; i < s.n; i++)
		good = good && span_find(fit, s.p[i]) < fit.n;
	if (!good)
		return not_that(r, n, what);
	const char *text = reader_keep(r, s);
	memcpy(place, &text, sizeof(text));
	return true;
}

bool
read_window(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	enum { WINDOW_TEXT = 255 };
	struct conf_window w;
	struct span s, wrong;
	const char *why;

	(void)row;
	if (!scalar_text(r, n, WINDOW_TEXT, "days and hours", &s))
		return false;
	if (!window_parse(s, r->arena, &w, &wrong, &why))
		return reader_fault(r, n, "Mon-Fri 07:00-20:00, Sat 09:00-12:00",
				"%s: expected %s, not \"%.*s\" (at character %zu)",
				r->where, why, (int)wrong.n, wrong.p,
				(size_t)(wrong.p - s.p) + 1);
	memcpy(place, &w, sizeof(w));
	return true;
}
