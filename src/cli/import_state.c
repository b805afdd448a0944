/* import --state: what the old program has fetched is not collected again. */
#include <stdlib.h>
#include <string.h>

#include "import.h"
#include "policies.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/origin.h"

enum {
	LIST_MAX = 256 * 1024 * 1024, /* of a list; a million messages have 60 MiB */
	BATCH = 1000, /* unique-ids in one transaction */
};

struct takeover {
	struct import *im;
	struct store *store;
	const struct conf_account *to;
	struct span uidls[BATCH];
	size_t n;
	uint64_t taken, unfit;
	struct arena spelled; /* of the batch: other spellings */
	struct err err;
};

static unsigned
port_of(const struct rc_account *a)
{
	return a->server.port != 0		      ? a->server.port
			: a->tls == CONF_TLS_IMPLICIT ? 995
						      : 110;
}

/* The configured account of the same mailbox. The port may have changed meanwhile,
 * with TLS; where several have the mailbox, it decides. */
static const struct conf_account *
account_for(const struct conf *conf, const struct rc_account *a)
{
	const struct conf_account *found = NULL;

	for (size_t i = 0; i < conf->accounts.n; i++) {
		const struct conf_account *c = &conf->accounts.p[i];
		if (!span_eq_nocase(span_of(c->server.name), span_of(a->server.name)) ||
				strcmp(c->user, a->user) != 0)
			continue;
		if (!found ||
				(c->server.port == port_of(a) &&
						found->server.port != port_of(a)))
			found = c;
	}
	return found;
}

static bool
flush(struct takeover *t)
{
	struct origin_change change = {
		.job = { .work = STORE_ORIGINS },
		.act = ORIGIN_ACT_ADOPT,
		.account = span_of(t->to->name),
		.uidls = t->uidls,
		.n = t->n,
	};
	struct list jobs;

	if (t->n > 0) {
		list_init(&jobs);
		list_add(&jobs, &change.job.link);
		store_run(t->store, &jobs);
		if (change.job.result != STORE_DONE) {
			t->err = change.job.err;
			return false;
		}
	}
	t->n = 0;
	arena_done(&t->spelled);
	t->spelled = ARENA_MAX(4 * BATCH * STORE_UIDL_MAX);
	return true;
}

/* getmail wrote - where the server said /. No server uses both in its unique-ids, so
 * the two spellings are one message; an unused one is forgotten after a week. */
static bool
add_with_slashes(struct takeover *t, struct span uidl)
{
	if (t->im->format != RC_GETMAIL || span_find(uidl, '-') == uidl.n)
		return true;
	if (t->n == BATCH && !flush(t))
		return false;
	char *p = arena_str(&t->spelled, uidl);
	for (size_t i = 0; p && i < uidl.n; i++) {
		if (p[i] == '-')
			p[i] = '/';
	}
	if (p)
		t->uidls[t->n++] = (struct span){ p, uidl.n };
	return true;
}

static bool
add(struct takeover *t, struct span uidl)
{
	if (uidl.n > STORE_UIDL_MAX) {
		t->unfit++;
		return true;
	}
	if (t->n == BATCH && !flush(t))
		return false;
	t->uidls[t->n++] = uidl;
	t->taken++;
	return add_with_slashes(t, uidl);
}

static bool
adopt(struct takeover *t, const struct rc_account *a, struct span list)
{
	struct rc_ids ids = { .format = t->im->format, .rest = list };
	struct rc_id id;

	t->spelled = ARENA_MAX(4 * BATCH * STORE_UIDL_MAX);
	bool ok = true;
	while (ok && rc_ids_next(&ids, &id))
		ok = !rc_ids_of(t->im->format, &id, a) || add(t, id.uidl);
	ok = ok && flush(t);
	arena_done(&t->spelled);
	t->unfit += ids.bad;
	return ok;
}

/* ---- where the lists are ---- */

/* mpop's name with %U and %H. */
static const char *
mpop_list(struct import *im, const struct rc_account *a)
{
	AUTO(buf_done) struct buf b = BUF_MAX(16384);
	const char *name = a->ids_file ? a->ids_file : "~/.mpop_uidls/%U_at_%H";
	bool ok = true;

	for (const char *p = name; ok && *p; p++) {
		const char *with = p[0] == '%' && p[1] == 'U' ? a->user
				: p[0] == '%' && p[1] == 'H'  ? a->ids_host
							      : NULL;
		ok = with ? buf_add(&b, span_of(with)) : buf_addc(&b, *p);
		p += with ? 1 : 0;
	}
	const char *kept = ok ? arena_str(&im->arena, buf_span(&b)) : NULL;
	return import_path(im, kept ? kept : name);
}

static const char *
list_of(struct import *im, const struct rc_account *a)
{
	const char *name;

	if (im->ids)
		return im->ids;
	switch (im->format) {
	case RC_FETCHMAIL:
		name = im->file->ids_file ? im->file->ids_file : ".fetchids";
		return import_path(im, name);
	case RC_GETMAIL:
		name = rc_getmail_ids_name(a, &im->arena);
		return import_path(im, name ? name : "oldmail");
	case RC_MPOP:
		break;
	}
	return mpop_list(im, a);
}

/* Lists are read before root is given up for server.user: they are private. */
struct list_text {
	const char *path;
	struct buf text;
	struct err err;
	bool there;
};

struct lists {
	struct list_text *v; /* one for each account; equal paths are read once */
	size_t n;
};

static void
lists_read(struct import *im, struct lists *l)
{
	l->v = calloc(im->file->n + 1, sizeof(*l->v));
	if (!l->v)
		abort();
	for (const struct rc_account *a = im->file->accounts; a; a = a->next) {
		struct list_text *t = &l->v[l->n++];
		t->path = list_of(im, a);
		t->text = BUF_MAX(LIST_MAX);
		/* Neighbours share a list, or have one each. */
		if (l->n > 1 && strcmp(t[-1].path, t->path) == 0)
			t->there = t[-1].there;
		else
			t->there = file_read(AT_FDCWD, t->path, FILE_REGULAR, &t->text,
					&t->err);
	}
}

static struct span
list_text(const struct lists *l, size_t i)
{
	while (i > 0 && l->v[i].text.n == 0 &&
			strcmp(l->v[i - 1].path, l->v[i].path) == 0)
		i--;
	return buf_span(&l->v[i].text);
}

static void
lists_done(struct lists *l)
{
	for (size_t i = 0; i < l->n; i++)
		buf_done(&l->v[i].text);
	free(l->v);
}

/* ---- telling ---- */

static void
told(struct import *im, const struct takeover *t, const char *path)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf detail = BUF_MAX(2048);

	(void)json_array_append_new(im->state,
			json_pack("{s:s,s:I,s:o}", "account", t->to->name, "taken_over",
					(json_int_t)t->taken, "list",
					cli_json_span(span_of(path))));
	(void)cli_fail(0, "%s: %llu messages of %s are known as fetched", t->to->name,
			(unsigned long long)t->taken, path);
	if (t->unfit > 0)
		(void)cli_fail(0, "%s: %llu lines of %s are no messages, or not usable",
				t->to->name, (unsigned long long)t->unfit, path);
	(void)!buf_addf(&detail, "%s: %llu messages of %.1000s", t->to->name,
			(unsigned long long)t->taken, path);
	if (!cli_log_quietly(im->c->conf, &err))
		(void)cli_fail(0, "the change is made, but not in the log: %s",
				err.text);
	else if (buf_cstr(&detail))
		log_event(EVENT_ADMIN_ACTION,
				FIELDS(f_str("user", cli_user()),
						f_str("action", "import state"),
						f_str("detail", detail.p)));
	log_close();
}

/* Messages that no account of the rc file has: the list is shared, or a name changed. */
static void
tell_strangers(struct import *im, struct span list, const char *path)
{
	struct rc_ids ids = { .format = im->format, .rest = list };
	unsigned long long n = 0;
	unsigned first = 0;
	struct rc_id id;

	while (rc_ids_next(&ids, &id)) {
		const struct rc_account *a = im->file->accounts;
		while (a && !rc_ids_of(im->format, &id, a))
			a = a->next;
		if (!a && n++ == 0)
			first = ids.line;
	}
	if (n > 0)
		(void)cli_fail(0,
				"%s:%u: %llu messages are of accounts that are not in %s; "
				"they were left out",
				path, first, n, im->path);
}

static bool
take_one(struct import *im, struct store *s, const struct rc_account *a,
		struct span list, const char *path)
{
	struct takeover *t = calloc(1, sizeof(*t));
	bool ok = false;

	if (!t)
		abort();
	t->im = im;
	t->store = s;
	t->to = account_for(im->c->conf, a);
	if (!t->to) {
		(void)cli_fail(0,
				"%s:%u: no account of %s has the mailbox of %s at %s; its "
				"list was not taken over",
				im->path, a->line, im->c->conf_path, a->user,
				a->server.name);
	} else {
		ok = adopt(t, a, list);
		if (ok)
			told(im, t, path);
		else
			(void)cli_fail(0, "%s", t->err.text);
	}
	free(t);
	return ok;
}

int
import_state(struct import *im)
{
	struct lists lists = { 0 };
	bool ok = true;
	size_t i = 0;

	im->state = json_array();
	lists_read(im, &lists);
	if (!cli_state(im->c)) {
		lists_done(&lists);
		return CLI_CONFIG;
	}
	struct store *s = cli_store_open(im->c);
	for (const struct rc_account *a = im->file->accounts; s && a;
			a = a->next, i++) {
		const struct list_text *t = &lists.v[i];
		bool first = i == 0 || strcmp(t->path, t[-1].path) != 0;
		if (a->idle)
			continue;
		if (!t->there) {
			if (first)
				(void)cli_fail(0, "%s", t->err.text);
			ok = false;
			continue;
		}
		struct span list = list_text(&lists, i);
		ok = take_one(im, s, a, list, t->path) && ok;
		if (first && im->format != RC_GETMAIL)
			tell_strangers(im, list, t->path);
	}
	store_close(s);
	lists_done(&lists);
	if (s)
		cli_wake_relay(im->c);
	return s && ok ? CLI_DONE : CLI_FAILED;
}
