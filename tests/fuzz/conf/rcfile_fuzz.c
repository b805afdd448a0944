/* Any bytes as a file of fetchmail, getmail or mpop (the first byte says which), and
 * as a list of fetched messages: never a crash, what comes out is what the
 * configuration takes, and a fault lies inside the file. */
#include <stdint.h>
#include <string.h>

#include "postern/conf_load.h"
#include "postern/must.h"
#include "postern/rcfile.h"

static void
notes_are_sound(const struct rc_note *n, size_t lines)
{
	for (; n; n = n->next) {
		MUST(n->line <= lines);
		MUST(n->text && *n->text);
	}
}

static void
account_is_sound(const struct rc_account *a, size_t lines)
{
	MUST(conf_name_ok(span_of(a->name)));
	MUST(a->line >= 1 && a->line <= lines);
	MUST(a->server.name && *a->server.name && a->server.port <= 65535);
	MUST(*a->user && strlen(a->user) <= 255 && !strpbrk(a->user, "\r\n\x7f"));
	MUST((a->type == CONF_USER) == (a->recipient != NULL));
	MUST(!a->recipient || strchr(a->recipient, '@'));
	MUST(a->domains.n <= 1000 && a->ids_host);
	MUST(a->max_size == 0 || a->max_size >= 1024);
	MUST(a->every_s == 0 || a->every_s >= 10);
	MUST(a->keep_s >= CONF_KEEP_FOREVER);
	if (a->password_kind == RC_PASSWORD_INLINE)
		MUST(*a->password && strlen(a->password) <= 255 &&
				!strpbrk(a->password, "\r\n"));
	if (a->password_kind == RC_PASSWORD_COMMAND)
		MUST(a->argv[0] && *a->argv[0]);
	notes_are_sound(a->notes, lines);
}

static void
list_is_sound(enum rc_format format, struct span text)
{
	struct rc_ids ids = { .format = format, .rest = text };
	struct rc_id id;
	const char *last = text.p;

	while (rc_ids_next(&ids, &id)) {
		MUST(id.uidl.n > 0 && id.uidl.p >= last);
		MUST(id.uidl.p + id.uidl.n <= text.p + text.n);
		MUST(format == RC_GETMAIL || (id.host.n > 0 && id.user.n > 0));
		last = id.uidl.p + id.uidl.n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rc_fault fault = { .text = "" };
	size_t lines = 1, accounts = 0;

	if (n == 0)
		return 0;
	struct rc_source src = { .format = (enum rc_format)(data[0] % 3),
		.text = { (const char *)data + 1, n - 1 },
		.domain = "home.test" };
	for (size_t i = 1; i < n; i++)
		lines += data[i] == '\n';
	struct rc_file *f = rcfile_parse(&src, &fault);
	if (f) {
		notes_are_sound(f->notes, lines);
		for (const struct rc_account *a = f->accounts; a; a = a->next) {
			account_is_sound(a, lines);
			accounts++;
		}
		MUST(accounts == f->n);
	} else {
		MUST(fault.mark.line >= 1 && fault.mark.line <= lines);
		MUST(fault.mark.column >= 1 && fault.mark.column <= n + 1);
		MUST(*fault.text);
	}
	rcfile_free(f);
	list_is_sound(src.format, src.text);
	return 0;
}
