/* What `import` prints. */
#include <inttypes.h>
#include <string.h>

#include "import.h"

#include "postern/enc.h"
#include "postern/num.h"
#include <stdlib.h>

/* ---- YAML ---- */

struct page {
	struct import *im;
	FILE *f;
	const char *margin; /* "# " where the whole account is a comment */
};

const char *
import_path(struct import *im, const char *path)
{
	AUTO(buf_done) struct buf b = BUF_MAX(16384);
	const char *home = getenv("HOME");
	bool tilde = path[0] == '~' && path[1] == '/';
	const char *before = tilde && home ? home : path[0] == '/' ? "" : im->folder;

	if (!buf_addf(&b, "%s%s", before, tilde && home ? path + 1 : path))
		return path;
	const char *kept = arena_str(&im->arena, buf_span(&b));
	return kept ? kept : path;
}

/* Words that YAML, or a reader older than 1.2, takes for something else than text. */
static bool
is_reserved(struct span s)
{
	static const char *const words[] = { "null", "true", "false", "yes", "no", "on",
		"off", "y", "n" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (span_eq_nocase(s, span_of(words[i])))
			return true;
	}
	return false;
}

static bool
is_plain(struct span s)
{
	char first = '\0';

	if (s.n > 0)
		first = ascii_lower(s.p[0]);
	if (first < 'a' || first > 'z' || is_reserved(s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
				    memchr("._-@/", c, 5)))
			return false;
	}
	return true;
}

static void
put_text(const struct page *p, const char *text)
{
	AUTO(buf_done) struct buf quoted = BUF_MAX(64 * 1024);
	struct span s = span_of(text);

	/* A JSON string is a double-quoted scalar of YAML. */
	if (is_plain(s) || !enc_json(&quoted, s))
		(void)fwrite(s.p ? s.p : "", 1, s.n, p->f);
	else
		(void)fwrite(quoted.p, 1, quoted.n, p->f);
}

static void
put_key(const struct page *p, const char *key)
{
	(void)fprintf(p->f, "%s    %s: ", p->margin, key);
}

static void
put_pair(const struct page *p, const char *key, const char *text)
{
	put_key(p, key);
	put_text(p, text);
	(void)fputc('\n', p->f);
}

static void
put_list(const struct page *p, const char *key, const struct conf_texts *list)
{
	put_key(p, key);
	(void)fputs("[ ", p->f);
	for (size_t i = 0; i < list->n; i++) {
		(void)fputs(i > 0 ? ", " : "", p->f);
		put_text(p, list->p[i]);
	}
	(void)fputs(" ]\n", p->f);
}

static void
put_place(const struct page *p, unsigned line)
{
	cli_print_span(p->f, span_of(p->im->path), 0);
	if (line > 0)
		(void)fprintf(p->f, ":%u", line);
}

static void
put_notes(const struct page *p, const struct rc_note *notes, const char *indent)
{
	for (const struct rc_note *n = notes; n; n = n->next) {
		(void)fprintf(p->f, "%s%s# ", p->margin, indent);
		put_place(p, n->line);
		(void)fputs(": ", p->f);
		cli_print_span(p->f, span_of(n->text), 0);
		(void)fputc('\n', p->f);
	}
}

static const char *
tls_word(enum conf_pop_tls tls)
{
	static const char *const words[] = { [CONF_TLS_IMPLICIT] = "implicit",
		[CONF_TLS_STARTTLS] = "starttls",
		[CONF_TLS_NONE] = "none" };
	return words[tls];
}

static const char *
auth_word(enum conf_auth auth)
{
	static const char *const words[] = {
		[CONF_AUTH_AUTO] = "auto",
		[CONF_AUTH_USER] = "user",
		[CONF_AUTH_PLAIN] = "plain",
		[CONF_AUTH_LOGIN] = "login",
		[CONF_AUTH_CRAM_MD5] = "cram-md5",
		[CONF_AUTH_APOP] = "apop",
		[CONF_AUTH_XOAUTH2] = "xoauth2",
		[CONF_AUTH_OAUTHBEARER] = "oauthbearer",
	};
	return words[auth];
}

/* HOST, HOST:PORT where the port is not the usual one; in out. */
static void
server_text(const struct rc_account *a, char out[300])
{
	bool six = strchr(a->server.name, ':') != NULL;
	unsigned usual = a->tls == CONF_TLS_IMPLICIT ? 995 : 110;
	char port[16] = "";

	if (a->server.port != 0 && a->server.port != usual)
		(void)snprintf(port, sizeof(port), ":%u", a->server.port);
	(void)snprintf(out, 300, "%s%.255s%s%s", six ? "[" : "", a->server.name,
			six ? "]" : "", port);
}

static void
secret_path(struct import *im, const struct rc_account *a, struct buf *out)
{
	(void)!buf_addf(out, "%s/%s", im->secrets ? im->secrets : "secrets", a->name);
}

/* Where the password is now, and how it gets to where it will be read. */
static void
put_password_words(const struct page *p, const struct rc_account *a)
{
	if (a->password_kind == RC_PASSWORD_INLINE) {
		(void)fprintf(p->f, "%s    # The password stands in ", p->margin);
		put_place(p, a->password_line);
		(void)fputc('\n', p->f);
	} else {
		(void)fprintf(p->f, "%s    # There is no password in ", p->margin);
		put_place(p, 0);
		(void)fputs(", perhaps in ~/.netrc or a key ring\n", p->f);
	}
	(void)fprintf(p->f,
			"%s    # To put it in its place, in the folder of the configuration "
			"(then type it, Enter, Ctrl-D):\n"
			"%s    #   mkdir -p -m 700 secrets\n"
			"%s    #   install -m 600 /dev/stdin secrets/%s\n",
			p->margin, p->margin, p->margin, a->name);
}

static void
put_password(const struct page *p, const struct rc_account *a)
{
	AUTO(buf_done) struct buf path = BUF_MAX(8192);
	bool token = a->auth == CONF_AUTH_XOAUTH2 || a->auth == CONF_AUTH_OAUTHBEARER;
	const char *key = token ? "token" : "password";
	bool written = p->im->secrets && a->password_kind == RC_PASSWORD_INLINE &&
			!a->idle;

	if (a->password_kind == RC_PASSWORD_COMMAND) {
		put_key(p, key);
		(void)fputs("{ command: [ ", p->f);
		for (size_t i = 0; a->argv[i]; i++) {
			(void)fputs(i > 0 ? ", " : "", p->f);
			put_text(p, a->argv[i]);
		}
		(void)fputs(" ] }\n", p->f);
		return;
	}
	if (!written)
		put_password_words(p, a);
	put_key(p, key);
	(void)fputs("{ file: ", p->f);
	if (written)
		secret_path(p->im, a, &path);
	else
		(void)!buf_addf(&path, "secrets/%s", a->name);
	put_text(p, buf_cstr(&path) ? path.p : "");
	(void)fputs(" }\n", p->f);
}

static void
put_recipients(const struct page *p, const struct rc_account *a)
{
	if (a->type == CONF_USER) {
		put_pair(p, "recipient", a->recipient);
		return;
	}
	if (a->domains.n > 0)
		put_list(p, "domains", &a->domains);
	if (a->envelope.mode == CONF_ENVELOPE_NONE)
		put_pair(p, "envelope", "none");
	else if (a->envelope.mode == CONF_ENVELOPE_SDPS)
		put_pair(p, "envelope", "sdps");
	else if (a->envelope.mode == CONF_ENVELOPE_NAMED)
		put_list(p, "envelope", &a->envelope.names);
	if (a->strip)
		put_list(p, "envelope_strip", &(struct conf_texts){ &a->strip, 1 });
}

static void
put_limits(const struct page *p, const struct rc_account *a)
{
	char text[24];

	if (a->every_s > 0) {
		num_duration_print((uint64_t)a->every_s, text);
		(void)fprintf(p->f, "%s    every: %s\n", p->margin, text);
	}
	num_duration_print(a->keep_s > 0 ? (uint64_t)a->keep_s : 0, text);
	(void)fprintf(p->f, "%s    keep: %s\n", p->margin,
			a->keep_s == CONF_KEEP_FOREVER ? "forever" : text);
	if (a->max_size > 0) {
		num_size_print(a->max_size, text);
		(void)fprintf(p->f, "%s    max_size: %s\n%s    oversize: skip\n",
				p->margin, text, p->margin);
	}
	if (a->max_per_session > 0)
		(void)fprintf(p->f, "%s    max_per_session: %u\n", p->margin,
				a->max_per_session);
}

static void
put_account(struct page *p, const struct rc_account *a)
{
	char server[300];

	p->margin = a->idle ? "# " : "";
	(void)fprintf(p->f, "%s  ", p->margin);
	put_text(p, a->name);
	(void)fputs(":\n", p->f);
	put_pair(p, "type", a->type == CONF_GLOBAL ? "global" : "user");
	server_text(a, server);
	put_pair(p, "server", server);
	put_pair(p, "tls", tls_word(a->tls));
	if (a->tls_ca)
		put_pair(p, "tls_ca", import_path(p->im, a->tls_ca));
	put_pair(p, "user", a->user);
	put_password(p, a);
	if (a->auth != CONF_AUTH_AUTO)
		put_pair(p, "auth", auth_word(a->auth));
	put_recipients(p, a);
	put_limits(p, a);
	put_notes(p, a->notes, "    ");
}

void
import_print_yaml(struct import *im, FILE *f)
{
	struct page p = { im, f, "" };
	bool any = false;

	(void)fputs("# From ", f);
	cli_print_span(f, span_of(im->path), 0);
	(void)fputs(". What has no equivalent here is told in comments.\n"
		    "# An account without max_size has the usual one, see postern config "
		    "defaults.\n",
			f);
	put_notes(&p, im->file->notes, "");
	for (const struct rc_account *a = im->file->accounts; a; a = a->next)
		any = any || !a->idle;
	(void)fputs(any ? "accounts:\n" : "# accounts:\n", f);
	for (const struct rc_account *a = im->file->accounts; a; a = a->next) {
		if (a->idle) {
			(void)fputs("# ", f);
			put_place(&p, a->line);
			(void)fputs(": skip: not collected unless asked for\n", f);
		}
		put_account(&p, a);
		p.margin = "";
	}
}

/* ---- JSON ---- */

static void
set(json_t *j, const char *key, json_t *value)
{
	(void)json_object_set_new(j, key, value);
}

static json_t *
json_texts(const struct conf_texts *list)
{
	json_t *j = json_array();

	for (size_t i = 0; i < list->n; i++)
		(void)json_array_append_new(j, cli_json_span(span_of(list->p[i])));
	return j;
}

static json_t *
json_password(struct import *im, const struct rc_account *a)
{
	AUTO(buf_done) struct buf path = BUF_MAX(8192);

	if (a->password_kind == RC_PASSWORD_COMMAND) {
		json_t *argv = json_array();
		for (size_t i = 0; a->argv[i]; i++)
			(void)json_array_append_new(
					argv, cli_json_span(span_of(a->argv[i])));
		return json_pack("{s:o}", "command", argv);
	}
	secret_path(im, a, &path);
	return json_pack("{s:o}", "file", cli_json_span(buf_span(&path)));
}

static json_t *
account_json(struct import *im, const struct rc_account *a)
{
	bool token = a->auth == CONF_AUTH_XOAUTH2 || a->auth == CONF_AUTH_OAUTHBEARER;
	char text[300];
	json_t *j = json_object();

	set(j, "name", json_string(a->name));
	set(j, "type", json_string(a->type == CONF_GLOBAL ? "global" : "user"));
	server_text(a, text);
	set(j, "server", json_string(text));
	set(j, "tls", json_string(tls_word(a->tls)));
	if (a->tls_ca)
		set(j, "tls_ca", cli_json_span(span_of(import_path(im, a->tls_ca))));
	set(j, "user", cli_json_span(span_of(a->user)));
	set(j, token ? "token" : "password", json_password(im, a));
	set(j, "auth", json_string(auth_word(a->auth)));
	if (a->recipient)
		set(j, "recipient", cli_json_span(span_of(a->recipient)));
	if (a->domains.n > 0)
		set(j, "domains", json_texts(&a->domains));
	if (a->envelope.mode == CONF_ENVELOPE_NONE)
		set(j, "envelope", json_string("none"));
	else if (a->envelope.mode == CONF_ENVELOPE_SDPS)
		set(j, "envelope", json_string("sdps"));
	else if (a->envelope.mode == CONF_ENVELOPE_NAMED)
		set(j, "envelope", json_texts(&a->envelope.names));
	if (a->strip)
		set(j, "envelope_strip",
				json_texts(&(struct conf_texts){ &a->strip, 1 }));
	num_duration_print(a->every_s > 0 ? (uint64_t)a->every_s : 0, text);
	if (a->every_s > 0)
		set(j, "every", json_string(text));
	num_duration_print(a->keep_s > 0 ? (uint64_t)a->keep_s : 0, text);
	set(j, "keep", json_string(a->keep_s == CONF_KEEP_FOREVER ? "forever" : text));
	num_size_print(a->max_size, text);
	if (a->max_size > 0) {
		set(j, "max_size", json_string(text));
		set(j, "oversize", json_string("skip"));
	}
	if (a->max_per_session > 0)
		set(j, "max_per_session", json_integer(a->max_per_session));
	return j;
}

static void
notes_json(json_t *to, const struct rc_note *notes)
{
	for (const struct rc_note *n = notes; n; n = n->next)
		(void)json_array_append_new(to,
				json_pack("{s:o,s:o}", "line",
						n->line ? json_integer(n->line)
							: json_null(),
						"text",
						cli_json_span(span_of(n->text))));
}

json_t *
import_json(struct import *im)
{
	json_t *accounts = json_array(), *notes = json_array();

	notes_json(notes, im->file->notes);
	for (const struct rc_account *a = im->file->accounts; a; a = a->next) {
		if (a->idle) {
			(void)json_array_append_new(notes,
					json_pack("{s:i,s:s}", "line", (int)a->line,
							"text",
							"skip: not collected unless asked for"));
			continue;
		}
		(void)json_array_append_new(accounts, account_json(im, a));
		notes_json(notes, a->notes);
	}
	return json_pack("{s:o,s:o}", "accounts", accounts, "not_carried_over", notes);
}

/* ---- the summary ---- */

static void
print_notes(struct import *im, const struct rc_note *notes, const char *account,
		FILE *f)
{
	for (const struct rc_note *n = notes; n; n = n->next) {
		cli_print_span(f, span_of(im->path), 0);
		if (n->line > 0)
			(void)fprintf(f, ":%u", n->line);
		(void)fprintf(f, ": %s%s", account ? account : "", account ? ": " : "");
		cli_print_span(f, span_of(n->text), 0);
		(void)fputc('\n', f);
	}
}

void
import_print_notes(struct import *im, FILE *f)
{
	print_notes(im, im->file->notes, NULL, f);
	for (const struct rc_account *a = im->file->accounts; a; a = a->next) {
		if (a->idle) {
			cli_print_span(f, span_of(im->path), 0);
			(void)fprintf(f,
					":%u: %s: skip: not collected unless asked for\n",
					a->line, a->name);
		} else {
			print_notes(im, a->notes, a->name, f);
		}
	}
}
