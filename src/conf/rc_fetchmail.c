/* fetchmail's configuration: free-form words. `poll NAME` with options of the server,
 * then users with theirs; `defaults` fills what they leave out; `set` is for all. */
#include "rc_fetchmail.h"

#include "postern/num.h"

enum { YEAR = 366 * 24 * 3600 };

/* ---- accounts ---- */

static bool
end_entry(struct fetchmail *f)
{
	bool ok = true;

	if (f->in_defaults) {
		f->server_defaults = f->server;
		f->user_defaults = f->user;
		f->server_defaults.notes = f->user_defaults.notes =
				(struct rc_notes){ 0 };
	} else if (f->has_user) {
		ok = fm_end_user(f);
	} else if (f->in_entry && !f->had_user) {
		rc_note(f->r, &f->r->notes, f->server.line,
				"poll %.*s: no user is named; fetchmail took whoever ran it",
				(int)span_first(f->server.name, 80).n,
				f->server.name.p);
	}
	f->in_entry = f->in_defaults = f->has_user = false;
	return ok;
}

static void
begin_entry(struct fetchmail *f, unsigned line)
{
	f->in_entry = true;
	f->had_user = false;
	f->server = f->server_defaults;
	f->user = f->user_defaults;
	f->server.line = line;
}

/* ---- statements ---- */

static bool
set_daemon(struct fetchmail *f, unsigned line)
{
	uint64_t n;

	if (f->t.kind != FM_NUMBER || !num_u64(f->t.text, YEAR, &n))
		return fm_unexpected(f, "a number of seconds");
	f->daemon_s = (unsigned)n;
	f->daemon_line = line;
	fm_step(f);
	return true;
}

static bool
set(struct fetchmail *f)
{
	static const struct {
		const char *word;
		bool text; /* else a switch */
		const char *says;
	} known[] = {
		{ "logfile", true, "log: { to: FILE }" },
		{ "pidfile", true, NULL },
		{ "idfile", true, NULL },
		{ "postmaster", true,
				"server.postmaster, and unrouted of each account" },
		{ "properties", true, NULL },
		{ "bouncemail", false,
				"collected mail never causes a report to its sender" },
		{ "spambounce", false,
				"collected mail never causes a report to its sender" },
		{ "softbounce", false,
				"what a next hop refuses for good is kept in Badmail" },
		{ "syslog", false, "log: { to: syslog }" },
		{ "invisible", false, NULL },
		{ "showdots", false, NULL },
	};
	unsigned line = f->t.mark.line;

	fm_step(f);
	if (fm_is_word(&f->t, "daemon")) {
		fm_step(f);
		return set_daemon(f, line);
	}
	bool on = !fm_is_word(&f->t, "no");
	if (!on)
		fm_step(f);
	struct span word = f->t.text;
	if (on && f->t.kind == FM_WORD && span_starts(word, SPAN("no"))) {
		word = span_skip(word, 2);
		on = false;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (f->t.kind != FM_WORD || !span_eq(word, span_of(known[i].word)) ||
				(!on && known[i].text))
			continue;
		fm_step(f);
		if (known[i].text) {
			if (f->t.kind == FM_EQUALS)
				fm_step(f);
			if (!fm_is_text(&f->t))
				return fm_unexpected(f, "a text");
			if (span_eq(word, SPAN("idfile")))
				f->r->file->ids_file = f->t.text.p;
			fm_step(f);
		}
		if (on && known[i].says)
			rc_note(f->r, &f->r->notes, line, "set %s: %s", known[i].word,
					known[i].says);
		return true;
	}
	return fm_unexpected(f, "a setting behind \"set\"");
}

static bool
statement(struct fetchmail *f)
{
	struct fm_token word = f->t;
	bool skip = fm_is_word(&word, "skip");

	if (fm_is_word(&word, "poll") || fm_is_word(&word, "server") || skip) {
		if (!end_entry(f))
			return false;
		fm_step(f);
		if (!fm_is_text(&f->t) && f->t.kind != FM_NUMBER)
			return fm_unexpected(f, "a server");
		begin_entry(f, word.mark.line);
		f->server.name = f->t.text;
		f->server.idle = skip;
		fm_step(f);
		return true;
	}
	if (fm_is_word(&word, "defaults")) {
		if (!end_entry(f))
			return false;
		begin_entry(f, word.mark.line);
		f->in_defaults = true;
		fm_step(f);
		return true;
	}
	if (fm_is_word(&word, "set"))
		return end_entry(f) && set(f);
	if (!f->in_entry)
		return fm_unexpected(f, "poll, skip, defaults or set");
	return fm_option(f);
}

/* Polls become seconds. */
static void
times(struct fetchmail *f)
{
	enum { LEAST = 10 };
	bool quick = f->daemon_s > 0 && f->daemon_s < LEAST;
	uint64_t every = quick ? LEAST : f->daemon_s;

	if (quick)
		rc_note(f->r, &f->r->notes, f->daemon_line,
				"set daemon: at least 10 seconds lie between two polls");
	for (struct rc_account *a = f->r->file->accounts; a; a = a->next) {
		uint64_t s = (uint64_t)a->every_s * every;
		a->every_s = (int64_t)(s > YEAR ? YEAR : s);
	}
}

bool
rc_fetchmail(struct rc_reader *r)
{
	struct fetchmail f = { .r = r };
	const char *start = r->text.p ? r->text.p : "";

	f.lexer = (struct fm_lexer){ .r = r,
		.p = start,
		.end = start + r->text.n,
		.line_start = start,
		.line = 1 };
	fm_step(&f);
	while (f.t.kind != FM_END) {
		if (!statement(&f))
			return false;
	}
	if (!end_entry(&f))
		return false;
	times(&f);
	return true;
}
