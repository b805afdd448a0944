/* unrouted list, show: mail held because nobody was found. */
#include "unrouted.h"

#include <inttypes.h>
#include <string.h>

#include "postern/header.h"
#include "postern/qid.h"
#include "postern/rewrite.h"
#include "record.h"

enum {
	PAGE_MEMORY = 256 * 1024 * 1024,
	HEADER_SHOWN = 64 * 1024,
	LINES_SHOWN = 25,
};

bool
unrouted_held(const struct queue_message *m)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->recipients[i].state == QUEUE_HELD &&
				span_eq(m->recipients[i].reason, SPAN("unrouted")))
			return true;
	}
	return false;
}

static struct span
field_of(struct span header, struct span name)
{
	struct header_field f;

	return header_find(header, name, &f) ? span_trim(f.body) : SPAN("");
}

/* ---- list ---- */

static struct span
reason_of(const struct record *r)
{
	return r->reason.n > 0 ? r->reason : SPAN("no-recipients");
}

static json_t *
message_json(const struct queue_message *m, struct span header, struct span reason)
{
	char id[QID_SIZE];

	qid_print(m->id, id);
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:o,s:o}", "id", id,
			"account", cli_json_span(m->account), "uidl",
			cli_json_span(m->uidl), "message_id",
			cli_json_span(m->message_id), "sender",
			cli_json_span(m->sender), "subject",
			cli_json_span(field_of(header, SPAN("Subject"))), "to",
			cli_json_span(field_of(header, SPAN("To"))), "size",
			(json_int_t)m->size, "arrived", cli_json_time(m->arrived_ms),
			"reason", cli_json_span(reason));
}

static void
list_one(struct cli_list *l, const struct queue_message *m, struct span header,
		struct span reason)
{
	enum { SHORT = 60 };
	char id[QID_SIZE];

	if (l->json) {
		cli_list_json(l, message_json(m, header, reason));
		return;
	}
	qid_print(m->id, id);
	const char *const row[] = { cli_cell(&l->table, span_of(id)),
		cli_cell_time(&l->table, m->arrived_ms),
		cli_cell(&l->table, m->account), cli_cell_num(&l->table, m->size),
		m->sender.n > 0 ? cli_cell(&l->table, m->sender) : "<>",
		cli_cell(&l->table, span_first(field_of(header, SPAN("To")), SHORT)),
		cli_cell(&l->table,
				span_first(field_of(header, SPAN("Subject")), SHORT)) };
	cli_list_row(l, row, true);
}

/* The reason in its record; the story's own memory is given back. */
static bool
list_message(struct reader *r, struct cli_list *l, const struct queue_message *m,
		struct err *err)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(PAGE_MEMORY);
	struct queue_story story = { 0 };
	struct record record = { 0 };
	bool found = false;

	if (!queue_show(r, m->id, &a, &story, &found, err))
		return false;
	if (!found) /* settled and pruned meanwhile */
		return true;
	bool known = record_read(story.route, &a, &record);
	list_one(l, m, cli_stored_header(r, m->id, HEADER_SHOWN, &a),
			known ? reason_of(&record) : SPAN("no-recipients"));
	if (known)
		record_done(&record);
	return true;
}

static bool
list_pages(struct reader *r, struct cli_list *l, struct err *err)
{
	uint64_t after = 0;
	size_t n;

	do {
		AUTO(arena_done) struct arena a = ARENA_MAX(PAGE_MEMORY);
		struct queue_message *page;

		if (!queue_unrouted(r, after, &a, &page, &n, err))
			return false;
		for (size_t i = 0; i < n; i++) {
			if (!list_message(r, l, &page[i], err))
				return false;
		}
		after = n > 0 ? page[n - 1].id : 0;
	} while (n == QUEUE_UNROUTED_PAGE && cli_list_goes_on(l));
	return true;
}

int
cli_unrouted_list(struct cli *c)
{
	static const char *const titles[] = { "id", "arrived", "account", ">size",
		"sender", "to", "subject" };
	struct cli_list l;
	struct err err = { 0 };
	bool nothing, ok = true;

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	cli_list_init(&l, c->json, titles, 7);
	if (r)
		ok = list_pages(r, &l, &err);
	reader_close(r);
	if (ok)
		return cli_list_end(&l, "No mail is held as unrouted.");
	cli_list_drop(&l);
	return cli_fail(CLI_FAILED, "%s", err.text);
}

/* ---- show ---- */

/* Fields that say, or might say, whom a message is for. */
static bool
says_who(const struct header_field *f)
{
	static const struct span names[] = {
		{ SPAN_INIT("To") },
		{ SPAN_INIT("Cc") },
		{ SPAN_INIT("Bcc") },
		{ SPAN_INIT("Resent-To") },
		{ SPAN_INIT("Resent-Cc") },
		{ SPAN_INIT("Resent-Bcc") },
		{ SPAN_INIT("Apparently-To") },
		{ SPAN_INIT("List-Id") },
		{ SPAN_INIT("List-Post") },
		{ SPAN_INIT("X-Postern-Orig-Delivered-To") },
	};
	const struct rewrite_rules none = { 0 };

	if (f->kind != HEADER_FIELD)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (header_is(f, names[i]))
			return true;
	}
	return rewrite_is_envelope(f->name, &none);
}

struct shown {
	const struct queue_message *m;
	struct record record;
	bool known; /* the record */
	struct span header;
	struct buf sentence;
};

static json_t *
fields_json(struct span header)
{
	json_t *list = json_array();
	struct header_scan scan;
	struct header_field f;

	header_scan_init(&scan, header);
	while (header_next(&scan, &f)) {
		if (says_who(&f))
			(void)json_array_append_new(list,
					json_pack("{s:o,s:o}", "name",
							cli_json_span(f.name), "body",
							cli_json_span(span_trim(
									f.body))));
	}
	return list;
}

static int
show_json(const struct shown *s)
{
	json_t *j = message_json(s->m, s->header,
			s->known ? reason_of(&s->record) : SPAN("no-recipients"));
	json_t *candidates = json_object_get(s->record.json, "candidates");

	(void)json_object_set_new(j, "held", json_boolean(unrouted_held(s->m)));
	(void)json_object_set_new(j, "sentence", cli_json_span(buf_span(&s->sentence)));
	(void)json_object_set_new(j, "fields", fields_json(s->header));
	(void)json_object_set_new(j, "candidates",
			candidates ? json_incref(candidates) : json_array());
	(void)json_object_set_new(j, "header", cli_json_span(s->header));
	return cli_print_json(j);
}

static void
print_lines(struct span text, size_t most)
{
	for (size_t i = 0; text.n > 0; i++) {
		struct span line = span_until(&text, '\n');

		if (i == most) {
			(void)puts("  | ...");
			return;
		}
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0)
			return;
		(void)fputs("  | ", stdout);
		cli_print_span(stdout, line, 0);
		(void)putchar('\n');
	}
}

static void
print_candidates(const struct record *r)
{
	static const char *const titles[] = { "header", "address", "why not" };
	struct cli_table t;

	if (r->n_candidates == 0)
		return;
	(void)puts("\nThe addresses seen:");
	cli_table_init(&t, titles, 3);
	for (size_t i = 0; i < r->n_candidates; i++) {
		const struct recipients_candidate *x = &r->candidates[i];
		const char *const row[] = { cli_cell(&t, x->header),
			cli_cell(&t, x->address), cli_cell(&t, span_of(x->why)) };
		cli_table_row(&t, row);
	}
	cli_table_print(&t);
	if (r->cut)
		(void)puts("and more than are recorded");
}

static void
show_text(const struct shown *s)
{
	const struct queue_message *m = s->m;
	struct cli_table unused = { .arena = ARENA_MAX(4096) };
	struct header_scan scan;
	struct header_field f;
	char id[QID_SIZE];

	qid_print(m->id, id);
	(void)printf("%s  ", id);
	cli_print_span(stdout,
			unrouted_held(m) ? SPAN("held") : m->recipients[0].reason, 0);
	(void)printf(", %" PRIu64 " octets, arrived %s\nsender   <", m->size,
			cli_cell_time(&unused, m->arrived_ms));
	arena_done(&unused.arena);
	cli_print_span(stdout, m->sender, 0);
	(void)fputs(">\norigin   ", stdout);
	cli_print_span(stdout, m->account, 0);
	(void)putchar('/');
	cli_print_span(stdout, m->uidl, 0);
	(void)fputs("\n\n", stdout);
	cli_print_span(stdout, buf_span(&s->sentence), 0);
	(void)putchar('\n');
	if (s->known)
		print_candidates(&s->record);
	if (s->header.n == 0) {
		(void)puts("\nThe message itself is not kept here any more.");
		return;
	}
	(void)puts("\nThe fields that say who gets it:");
	header_scan_init(&scan, s->header);
	while (header_next(&scan, &f)) {
		if (says_who(&f))
			print_lines(f.raw, LINES_SHOWN);
	}
	(void)puts("\nThe header begins:");
	print_lines(s->header, LINES_SHOWN);
	if (unrouted_held(m))
		(void)printf("\nTo give it to somebody: postern unrouted assign %s RECIPIENT "
			     "[--rule]\n",
				id);
}

/* Was it ever held? What came by another way belongs to `queue show`. */
static bool
was_unrouted(const struct queue_message *m)
{
	return unrouted_held(m) ||
			(m->n > 0 && record_nobody(&m->recipients[0]) &&
					m->recipients[0].state == QUEUE_REMOVED);
}

static int
show(struct cli *c, struct reader *r, uint64_t id)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(PAGE_MEMORY);
	struct queue_story story = { 0 };
	struct err err = { 0 };
	bool found = false;
	int status = CLI_DONE;

	if (r && !queue_show(r, id, &a, &story, &found, &err))
		return cli_fail(CLI_FAILED, "%s", err.text);
	if (!found)
		return cli_fail(CLI_FAILED,
				"there is no message %s; postern unrouted list shows those that are held",
				c->argv[0]);
	if (!was_unrouted(&story.message))
		return cli_fail(CLI_FAILED,
				"%s was never held as unrouted; see postern queue show %s",
				c->argv[0], c->argv[0]);

	struct shown s = { .m = &story.message,
		.header = cli_stored_header(r, id, HEADER_SHOWN, &a),
		.sentence = BUF_MAX(65536) };
	s.known = record_read(story.route, &a, &s.record);
	if (s.known)
		(void)!record_sentence(&s.record, s.m, &a, &s.sentence);
	if (c->json)
		status = show_json(&s);
	else
		show_text(&s);
	if (s.known)
		record_done(&s.record);
	buf_done(&s.sentence);
	return status;
}

int
cli_unrouted_show(struct cli *c)
{
	bool nothing;
	uint64_t id;

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	if (!qid_parse(span_of(c->argv[0]), &id))
		return cli_fail(CLI_USAGE,
				"%s is no queue id; postern unrouted list shows them",
				c->argv[0]);
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	int status = show(c, r, id);
	reader_close(r);
	return status;
}
