/* What the relay would say to each recipient of a decision. */
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "postern/clock.h"
#include "postern/roll.h"
#include "postern/store.h"

/* ---- the rows of one message ---- */

struct row {
	struct span address, asked, reply;
	const struct nexthop *hop; /* NULL: refused */
	const char *reason;
};

struct rows {
	struct arena arena;
	struct row *v;
	size_t n, cap;
	bool fallback; /* nobody was found: it is the stopgap that is refused */
};

static struct row *
row_room(struct rows *rows, size_t i)
{
	if (i == rows->cap) {
		rows->cap = rows->cap * 4 + 16;
		rows->v = realloc(rows->v, rows->cap * sizeof(*rows->v));
		if (!rows->v)
			abort();
	}
	rows->n += i == rows->n;
	return &rows->v[i];
}

static struct span
reply_kept(struct rows *rows, enum smtp_refusal why, struct span said)
{
	AUTO(buf_done) struct buf b = BUF_MAX(1024);
	char text[SMTP_TEXT_SIZE];
	struct smtp_reply r = rcpt_reply(why, said, text);

	(void)!buf_addf(&b, "%d %s %s", r.code, r.esc, r.text);
	return arena_dup(&rows->arena, buf_span(&b));
}

static bool
put(void *host, size_t i, const struct roll_entry *e)
{
	struct rows *rows = host;
	struct row what = { .address = arena_dup(&rows->arena, e->address),
		.asked = arena_dup(&rows->arena, e->asked),
		.hop = e->hop };

	if (e->refused) {
		what.reply = reply_kept(rows, e->why, e->said);
		what.reason = rows->fallback ? "no-recipients" : rcpt_reason(e->why);
	}
	if (!what.address.p || (e->refused && !what.reply.p))
		return false;
	*row_room(rows, i) = what;
	return true;
}

static void
seed(void *host, uint64_t number[2])
{
	(void)host;
	clock_random(number, 2 * sizeof(*number));
}

static void
refuse(void *host, size_t i, enum smtp_refusal why)
{
	struct rows *rows = host;
	struct row *row = &rows->v[i];

	if (!row->hop)
		return;
	row->hop = NULL;
	row->reply = reply_kept(rows, why, row->address);
	row->reason = rcpt_reason(why);
}

static const struct roll_calls calls = { .put = put, .seed = seed, .refuse = refuse };

/* ---- as JSON ---- */

static void
answers_fill(struct answers *all, const struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		const struct row *row = &rows->v[i];
		json_t *one = json_object();

		(void)json_object_set_new(one, "address", cli_json_span(row->address));
		if (!row->hop) {
			(void)json_object_set_new(
					one, "reply", cli_json_span(row->reply));
			(void)json_array_append_new(all->refused, one);
			(void)json_array_append_new(
					all->reasons, json_string(row->reason));
			continue;
		}
		(void)json_object_set_new(one, "route", json_string(row->hop->key));
		if (row->asked.n > 0)
			(void)json_object_set_new(
					one, "asked", cli_json_span(row->asked));
		(void)json_array_append_new(all->recipients, one);
	}
}

/* ---- the door of this file ---- */

void
answers_open(struct answers *all, struct cli *c, struct directory *d)
{
	*all = (struct answers){ .conf = c->conf,
		.directory = d,
		.routes = nexthop_table_new(&c->conf->delivery.routes) };
	all->rules = (struct rcpt_rules){ .directory = d,
		.routes = all->routes,
		.postmaster = span_of(c->conf->server.postmaster) };
}

void
answers_close(struct answers *all)
{
	json_decref(all->recipients);
	json_decref(all->refused);
	json_decref(all->reasons);
	nexthop_table_free(all->routes);
	directory_free(all->directory);
	*all = (struct answers){ 0 };
}

void
explain_answers(struct answers *all, const struct recipients *r)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(256 * 1024 * 1024);
	struct rows rows = { .arena = ARENA_MAX(256 * 1024 * 1024),
		.fallback = r->outcome == RECIPIENTS_FALLBACK };
	struct smtp_path path;
	enum smtp_refusal why;
	struct roll roll;
	struct rcpt rc;

	json_decref(all->recipients);
	json_decref(all->refused);
	json_decref(all->reasons);
	all->recipients = json_array();
	all->refused = json_array();
	all->reasons = json_array();
	roll_init(&roll, &calls, &rows, &rows.arena, STORE_RECIPIENTS_MAX, true);
	for (size_t i = 0; i < r->n; i++) {
		if (smtp_mailbox_parse(r->v[i], &path) &&
				rcpt_decide(&all->rules, &path, false, &a, &rc))
			(void)roll_take(&roll, &all->rules, &rc, &why);
	}
	all->hops = roll_hops(&roll, r->received, all->conf->smtp.max_hops);
	roll_done(&roll);
	answers_fill(all, &rows);
	arena_done(&rows.arena);
	free(rows.v);
}

bool
explain_hops(const struct answers *all, const struct recipients *r)
{
	const json_t *reason;
	size_t i;

	if (all->hops && r->outcome == RECIPIENTS_HOLD)
		return true;
	json_array_foreach(all->reasons, i, reason)
	{
		if (strcmp(json_string_value(reason), "hop-count") == 0)
			return true;
	}
	return false;
}

size_t
explain_addresses(const json_t *list, struct arena *a, struct span **out)
{
	size_t n = json_array_size(list), done = 0, i;
	const json_t *one;

	*out = arena_alloc(a, (n + 1) * sizeof(**out));
	json_array_foreach(list, i, one)
	{
		const char *address =
				json_string_value(json_object_get(one, "address"));
		if (*out && address)
			(*out)[done++] = span_of(address);
	}
	return done;
}
