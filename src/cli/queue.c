/* queue list, show, retry */
#include <inttypes.h>
#include <string.h>

#include "policies.h"
#include "postern/body.h"
#include "postern/clock.h"
#include "postern/header.h"
#include "postern/log.h"
#include "postern/qid.h"
#include "postern/queue.h"

enum { PAGE = 200, ANSWER_MAX = 256 * 1024 * 1024, HEADER_SHOWN = 64 * 1024 };

/* One word for the whole message: the state that asks for attention first. */
static const char *
status_of(const struct queue_message *m)
{
	static const enum queue_state order[] = { QUEUE_HELD, QUEUE_REFUSED,
		QUEUE_BOUNCED, QUEUE_QUEUED, QUEUE_BADMAIL, QUEUE_REMOVED,
		QUEUE_DELIVERED, QUEUE_DUPLICATE };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		for (size_t k = 0; k < m->n; k++) {
			if (m->recipients[k].state != order[i])
				continue;
			return order[i] == QUEUE_QUEUED && m->recipients[k].attempts > 0
					? "deferred"
					: queue_state_name(order[i]);
		}
	}
	return "settled";
}

static const char *
recipient_status(const struct queue_recipient *r)
{
	return r->state == QUEUE_QUEUED && r->attempts > 0 ? "deferred"
							   : queue_state_name(r->state);
}

/* The reply as the server gave it, code and words; in the caller's buffer. */
static struct span
reply_of(struct buf *out, int code, struct span words)
{
	buf_clear(out);
	if (code > 0 && buf_addf(out, "%d ", code) && buf_add(out, words))
		return buf_span(out);
	return words;
}

static json_t *
recipient_json(const struct queue_recipient *r)
{
	AUTO(buf_done) struct buf reply = BUF_MAX(65536);

	return json_pack("{s:o,s:s,s:i,s:o,s:o,s:o,s:o}", "address",
			cli_json_span(r->address), "status", recipient_status(r),
			"attempts", (int)r->attempts, "next_try",
			cli_json_time(r->next_try_ms), "last_reply",
			cli_json_span(reply_of(&reply, r->code, r->reply)), "route",
			cli_json_span(r->hop), "asked",
			r->asked.n > 0 ? cli_json_span(r->asked) : json_null());
}

/* An empty span as null: the message has no such thing. */
static json_t *
json_or_null(struct span s)
{
	return s.n > 0 ? cli_json_span(s) : json_null();
}

static json_t *
message_json(const struct queue_message *m)
{
	char id[QID_SIZE];
	json_t *recipients = json_array();

	qid_print(m->id, id);
	for (size_t i = 0; i < m->n; i++)
		(void)json_array_append_new(
				recipients, recipient_json(&m->recipients[i]));
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:I,s:o,s:s,s:o}", "id", id, "account",
			json_or_null(m->account), "uidl", json_or_null(m->uidl),
			"message_id", json_or_null(m->message_id), "sender",
			cli_json_span(m->sender), "size", (json_int_t)m->size,
			"arrived", cli_json_time(m->arrived_ms), "status", status_of(m),
			"recipients", recipients);
}

static void
list_message(struct cli_list *l, const struct queue_message *m)
{
	struct cli_table *t = &l->table;
	char id[QID_SIZE];

	if (l->json) {
		cli_list_json(l, message_json(m));
		return;
	}
	qid_print(m->id, id);
	for (size_t i = 0; i < m->n; i++) {
		const struct queue_recipient *r = &m->recipients[i];
		AUTO(buf_done) struct buf reply = BUF_MAX(65536);
		const char *const row[] = { i == 0 ? cli_cell(t, span_of(id)) : "",
			i == 0 ? cli_cell_time(t, m->arrived_ms) : "",
			i == 0 ? cli_cell_num(t, m->size) : "",
			i == 0 ? m->sender.n > 0 ? cli_cell(t, m->sender) : "<>" : "",
			cli_cell(t, r->address), recipient_status(r),
			cli_cell(t, r->hop),
			cli_cell(t, reply_of(&reply, r->code, r->reply)) };
		cli_list_row(l, row, i == 0);
	}
}

/* Page after page, so that a long queue needs little memory. */
static bool
list_pages(struct reader *r, struct queue_filter *f, struct cli_list *l,
		struct err *err)
{
	size_t n;

	do {
		AUTO(arena_done) struct arena a = ARENA_MAX(ANSWER_MAX);
		struct queue_message *page;

		if (!queue_list(r, f, &a, &page, &n, err))
			return false;
		for (size_t i = 0; i < n; i++)
			list_message(l, &page[i]);
		f->after = n > 0 ? page[n - 1].id : f->after;
	} while (n > 0 && cli_list_goes_on(l));
	return true;
}

int
cli_queue_list(struct cli *c)
{
	static const char *const titles[] = { "id", "arrived", ">size", "sender",
		"recipient", "status", "route", "last reply" };
	const char *domain = NULL, *status = NULL;
	bool all = false, nothing;
	const struct cli_option options[] = { { "--domain", &domain, NULL },
		{ "--status", &status, NULL }, { "--all", NULL, &all }, { 0 } };
	struct cli_list l;
	struct err err = { 0 };
	bool ok = true;

	if (!cli_options(c, options, 0, 0))
		return CLI_USAGE;
	struct queue_filter f = { .limit = PAGE,
		.open = !all && !status,
		.domain = span_of(domain),
		.by_state = status != NULL };
	if (status && strcmp(status, "deferred") == 0)
		status = "queued";
	if (status && !queue_state_parse(span_of(status), &f.state))
		return cli_fail(CLI_USAGE,
				"--status takes queued, deferred, refused, bounced, held, "
				"delivered, badmail, removed or duplicate");
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	cli_list_init(&l, c->json, titles, 8);
	if (r)
		ok = list_pages(r, &f, &l, &err);
	reader_close(r);
	if (ok)
		return cli_list_end(&l, "The queue is empty.");
	cli_list_drop(&l);
	return cli_fail(CLI_FAILED, "%s", err.text);
}

struct span
cli_stored_header(struct reader *r, uint64_t id, size_t most, struct arena *a)
{
	AUTO(buf_done) struct buf head = BUF_MAX(most);
	struct err err = { 0 };
	struct span piece;
	struct body *b = body_open_left(r, id, &err);

	while (b && head.n < most && body_next(b, &piece, &err) && piece.n > 0) {
		if (!buf_add(&head, span_first(piece, most - head.n)))
			break;
	}
	body_close(b);
	return arena_dup(
			a, span_first(buf_span(&head), header_length(buf_span(&head))));
}

static json_t *
attempts_json(const struct queue_story *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++) {
		const struct queue_attempt *t = &s->attempts[i];
		struct span to = t->seq < s->message.n
				? s->message.recipients[t->seq].address
				: SPAN("");
		(void)json_array_append_new(list,
				json_pack("{s:o,s:i,s:o,s:s,s:i,s:o,s:o}", "address",
						cli_json_span(to), "number",
						(int)t->number, "time",
						cli_json_time(t->at_ms), "status",
						queue_state_name(t->state), "code",
						t->code, "host", cli_json_span(t->host),
						"reply", cli_json_span(t->reply)));
	}
	return list;
}

static int
print_story(struct cli *c, const struct queue_story *s, struct span header)
{
	const struct queue_message *m = &s->message;

	if (c->json) {
		json_t *j = message_json(m);
		json_t *route = json_loadb(
				s->route.p ? s->route.p : "", s->route.n, 0, NULL);
		(void)json_object_set_new(j, "attempts", attempts_json(s));
		(void)json_object_set_new(j, "explain", route ? route : json_null());
		(void)json_object_set_new(j, "header", cli_json_span(header));
		return cli_print_json(j);
	}

	char id[QID_SIZE];
	qid_print(m->id, id);
	(void)printf("%s  %s, %" PRIu64 " octets\nsender   <", id, status_of(m),
			m->size);
	cli_print_span(stdout, m->sender, 0);
	(void)puts(">");
	if (m->account.n > 0)
		(void)printf("origin   " SPAN_FMT "/", SPAN_ARG(m->account));
	cli_print_span(stdout, m->uidl, 0);
	(void)fputs(m->account.n > 0 ? "\n\n" : "\n", stdout);

	static const char *const titles[] = { "recipient", "asked for", "status",
		">attempts", "next try", "route", "last reply" };
	struct cli_table t;
	cli_table_init(&t, titles, 7);
	for (size_t i = 0; i < m->n; i++) {
		const struct queue_recipient *r = &m->recipients[i];
		AUTO(buf_done) struct buf reply = BUF_MAX(65536);
		const char *const row[] = { cli_cell(&t, r->address),
			r->asked.n > 0 ? cli_cell(&t, r->asked) : "",
			recipient_status(r), cli_cell_num(&t, r->attempts),
			r->state == QUEUE_QUEUED ? cli_cell_time(&t, r->next_try_ms)
						 : "-",
			cli_cell(&t, r->hop),
			cli_cell(&t, reply_of(&reply, r->code, r->reply)) };
		cli_table_row(&t, row);
	}
	cli_table_print(&t);
	while (header.n > 0) {
		struct span line = span_until(&header, '\n');
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		(void)fputs("  | ", stdout);
		cli_print_span(stdout, line, 0);
		(void)putchar('\n');
	}
	return CLI_DONE;
}

int
cli_queue_show(struct cli *c)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(ANSWER_MAX);
	struct queue_story story = { 0 };
	struct err err = { 0 };
	bool nothing, found = false, ok = true;
	uint64_t id;

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	if (!qid_parse(span_of(c->argv[0]), &id))
		return cli_fail(CLI_USAGE, "%s is no queue id", c->argv[0]);
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	struct span header = SPAN("");
	if (r) {
		ok = queue_show(r, id, &a, &story, &found, &err);
		header = found ? cli_stored_header(r, id, HEADER_SHOWN, &a) : header;
	}
	reader_close(r);
	if (!ok)
		return cli_fail(CLI_FAILED, "%s", err.text);
	if (!found)
		return cli_fail(CLI_FAILED, "there is no message %s", c->argv[0]);
	return print_story(c, &story, header);
}

int
cli_queue_retry(struct cli *c)
{
	const char *domain = NULL;
	const struct cli_option options[] = { { "--domain", &domain, NULL }, { 0 } };
	struct err err = { 0 };
	uint64_t id = 0, changed = 0;

	if (!cli_options(c, options, 0, 1))
		return CLI_USAGE;
	if (c->argc == 1 && (domain || !qid_parse(span_of(c->argv[0]), &id)))
		return cli_fail(CLI_USAGE,
				domain ? "either an id or --domain"
				       : "%s is no queue id",
				c->argv[0]);
	if (!cli_state(c))
		return CLI_CONFIG;

	struct store *s = cli_store_open(c);
	bool done = s &&
			queue_retry(s, id, span_of(domain), clock_wall_ms(), &changed,
					&err);
	store_close(s);
	if (!done)
		return s ? cli_fail(CLI_FAILED, "%s", err.text) : CLI_FAILED;
	cli_wake_relay(c);
	if (c->json)
		return cli_print_json(
				json_pack("{s:I}", "changed", (json_int_t)changed));
	(void)printf("%" PRIu64 " recipients are due now.\n", changed);
	return CLI_DONE;
}
