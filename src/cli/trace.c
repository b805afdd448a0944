/* trace ID: all that is known of one message, in the order it happened. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "policies.h"
#include "postern/journal.h"
#include "postern/qid.h"
#include "postern/queue.h"

struct step {
	int64_t at_ms;
	int event; /* 0: from the store, not from the journal */
	const char *text;
};

struct steps {
	struct arena *arena;
	struct step *v;
	size_t n, cap;
};

static void
add_step(struct steps *s, int64_t at_ms, int event, struct buf *text)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 32;
		s->v = realloc(s->v, s->cap * sizeof(*s->v));
		if (!s->v)
			abort();
	}
	char *copy = arena_str(s->arena, buf_span(text));
	if (copy)
		s->v[s->n++] = (struct step){ at_ms, event, copy };
}

static struct span
address_of(const struct queue_story *q, uint32_t seq)
{
	return seq < q->message.n ? q->message.recipients[seq].address : SPAN("?");
}

static void
step_arrival(struct steps *s, const struct queue_story *q)
{
	const struct queue_message *m = &q->message;
	AUTO(buf_done) struct buf text = BUF_MAX(65536);
	const char *how = m->account.n > 0 ? "collected from" : "received from";
	struct span from = m->source.n > 0 ? m->source : m->account;

	if (buf_addf(&text,
			    "%s " SPAN_FMT ", sender <" SPAN_FMT ">, %" PRIu64
			    " octets; durable in the queue",
			    how, SPAN_ARG(from), SPAN_ARG(m->sender), m->size))
		add_step(s, m->arrived_ms, m->account.n > 0 ? 2003 : 2002, &text);
}

/* What the route record says of every candidate: who, from where, why. */
static void
step_route(struct steps *s, const struct queue_story *q)
{
	json_t *record = json_loadb(q->route.p ? q->route.p : "", q->route.n, 0, NULL),
	       *one;
	const char *source = json_string_value(json_object_get(record, "source"));
	size_t i;

	if (source) {
		AUTO(buf_done) struct buf text = BUF_MAX(4096);
		if (buf_addf(&text, "recipients come from %s", source))
			add_step(s, q->message.arrived_ms, 4030, &text);
	}
	json_array_foreach(json_object_get(record, "candidates"), i, one)
	{
		const char *address =
				json_string_value(json_object_get(one, "address"));
		const char *header = json_string_value(json_object_get(one, "header"));
		const char *why = json_string_value(json_object_get(one, "why"));
		AUTO(buf_done) struct buf text = BUF_MAX(65536);
		if (address && header &&
				buf_addf(&text, "%s: %s %s%s%s", header, address,
						json_is_true(json_object_get(
								one, "kept"))
								? "kept"
								: "not taken",
						why ? ", " : "", why ? why : ""))
			add_step(s, q->message.arrived_ms, 4030, &text);
	}
	json_decref(record);
}

/* What the relay said to it. */
static void
step_recipient(struct steps *s, int64_t arrived_ms, const struct queue_recipient *r)
{
	AUTO(buf_done) struct buf text = BUF_MAX(65536);
	bool refused = r->reason.n > 0 && r->attempts == 0;

	if (r->state == QUEUE_DUPLICATE) {
		if (buf_addf(&text, "recipient " SPAN_FMT ": has it already, " SPAN_FMT,
				    SPAN_ARG(r->address), SPAN_ARG(r->reply)))
			add_step(s, arrived_ms, 4041, &text);
	} else if (buf_addf(&text,
				   "recipient " SPAN_FMT ": %s" SPAN_FMT
				   ", route " SPAN_FMT,
				   SPAN_ARG(r->address),
				   refused ? "refused, " : "accepted",
				   SPAN_ARG(refused ? r->reply : SPAN("")),
				   SPAN_ARG(r->hop))) {
		add_step(s, arrived_ms, refused ? 4032 : 5001, &text);
	}
}

static void
step_recipients(struct steps *s, const struct queue_story *q)
{
	for (size_t i = 0; i < q->message.n; i++)
		step_recipient(s, q->message.arrived_ms, &q->message.recipients[i]);
	for (size_t i = 0; i < q->n; i++) {
		const struct queue_attempt *t = &q->attempts[i];
		AUTO(buf_done) struct buf text = BUF_MAX(65536);
		struct span to = address_of(q, t->seq);
		char code[16] = ""; /* nobody spoke SMTP to a folder */
		if (t->code > 0)
			(void)snprintf(code, sizeof(code), "%d ", t->code);
		int event = t->state == QUEUE_DELIVERED	   ? 5003
				: t->state == QUEUE_QUEUED ? 5002
							   : 4031;
		if (buf_addf(&text,
				    "attempt %" PRIu32 " for " SPAN_FMT " at " SPAN_FMT
				    ": %s, %s" SPAN_FMT,
				    t->number, SPAN_ARG(to), SPAN_ARG(t->host),
				    t->state == QUEUE_QUEUED
						    ? "deferred"
						    : queue_state_name(t->state),
				    code, SPAN_ARG(t->reply)))
			add_step(s, t->at_ms, event, &text);
	}
}

/* What the journal has under the message's names: its queue id, and what it was
 * called before it had one. */
static void
step_events(struct cli *c, struct steps *s, const char *trace)
{
	const struct journal_filter f = { .trace = span_of(trace), .level = 3 };
	struct journal_entry e;
	struct journal *j = journal_open(cli_path(c, "events.jsonl"), &f, NULL);

	while (j && journal_next(j, &e)) {
		AUTO(buf_done) struct buf text = BUF_MAX(256 * 1024);
		if (buf_add(&text, e.text))
			add_step(s, e.time_ms, e.id, &text);
	}
	journal_close(j);
}

static int
by_time(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

static void
where_now(struct buf *text, const struct queue_story *q)
{
	for (size_t i = 0; i < q->message.n; i++) {
		const struct queue_recipient *r = &q->message.recipients[i];
		const char *state = r->state == QUEUE_QUEUED && r->attempts > 0
				? "deferred"
				: queue_state_name(r->state);
		(void)!buf_addf(text, "%s" SPAN_FMT " %s", i ? "; " : "",
				SPAN_ARG(r->address), state);
	}
}

static json_t *
trace_json(const struct queue_story *q, const struct steps *s)
{
	const struct queue_message *m = &q->message;
	json_t *list = json_array();
	char id[QID_SIZE];

	qid_print(m->id, id);
	for (size_t i = 0; i < s->n; i++)
		(void)json_array_append_new(list,
				json_pack("{s:o,s:i,s:o}", "time",
						cli_json_time(s->v[i].at_ms), "event",
						s->v[i].event, "text",
						cli_json_span(span_of(s->v[i].text))));
	return json_pack("{s:o,s:o,s:o,s:s,s:o}", "message_id",
			cli_json_span(m->message_id), "account",
			m->account.n ? cli_json_span(m->account) : json_null(), "uidl",
			m->uidl.n ? cli_json_span(m->uidl) : json_null(), "queue_id",
			id, "steps", list);
}

static void
print_text(const struct queue_story *q, const struct steps *s)
{
	const struct queue_message *m = &q->message;
	AUTO(buf_done) struct buf now = BUF_MAX(1024 * 1024);
	char id[QID_SIZE];

	qid_print(m->id, id);
	(void)printf("%s  ", id);
	cli_print_span(stdout, m->message_id, 0);
	if (m->account.n > 0) {
		(void)fputs("  ", stdout);
		cli_print_span(stdout, m->account, 0);
		(void)putchar('/');
		cli_print_span(stdout, m->uidl, 0);
	}
	(void)putchar('\n');
	for (size_t i = 0; i < s->n; i++) {
		struct cli_table unused = { .arena = ARENA_MAX(4096) };
		struct span text = span_of(s->v[i].text);
		(void)printf("  %s  %4d  ", cli_cell_time(&unused, s->v[i].at_ms),
				s->v[i].event);
		arena_done(&unused.arena);
		for (bool first = true; text.n > 0; first = false) {
			if (!first)
				(void)fputs("                             ", stdout);
			cli_print_span(stdout, span_until(&text, '\n'), 0);
			(void)putchar('\n');
		}
	}
	where_now(&now, q);
	(void)fputs("now: ", stdout);
	cli_print_span(stdout, buf_span(&now), 0);
	(void)putchar('\n');
}

/* The story of one queue id; into `list` as JSON, else printed. */
static bool
trace_one(struct cli *c, struct reader *r, uint64_t id, json_t *list, struct err *err)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(256 * 1024 * 1024);
	struct steps steps = { .arena = &a };
	struct queue_story story = { 0 };
	char qid[QID_SIZE];
	bool found = false;

	if (!queue_show(r, id, &a, &story, &found, err))
		return false;
	if (!found)
		return true;
	qid_print(id, qid);
	step_arrival(&steps, &story);
	step_route(&steps, &story);
	step_recipients(&steps, &story);
	step_events(c, &steps, qid);
	if (story.message.account.n > 0) {
		AUTO(buf_done) struct buf before = BUF_MAX(4096);
		if (buf_addf(&before, SPAN_FMT "/" SPAN_FMT,
				    SPAN_ARG(story.message.account),
				    SPAN_ARG(story.message.uidl)) &&
				buf_cstr(&before))
			step_events(c, &steps, before.p);
	}
	/* A stable order for what happened in the same millisecond. */
	if (steps.n > 1) {
		for (size_t i = 1; i < steps.n; i++) {
			struct step x = steps.v[i];
			size_t k = i;
			while (k > 0 && by_time(&steps.v[k - 1], &x) > 0) {
				steps.v[k] = steps.v[k - 1];
				k--;
			}
			steps.v[k] = x;
		}
	}
	if (list)
		(void)json_array_append_new(list, trace_json(&story, &steps));
	else
		print_text(&story, &steps);
	free(steps.v);
	return true;
}

int
cli_trace(struct cli *c)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(1024 * 1024);
	struct err err = { 0 };
	uint64_t *ids = NULL;
	size_t n = 0;
	bool nothing, ok = true;

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	struct reader *r = cli_reader_open(c, &nothing);
	if (!r && !nothing)
		return CLI_FAILED;
	if (r)
		ok = queue_find(r, span_of(c->argv[0]), &a, &ids, &n, &err);
	json_t *list = c->json ? json_array() : NULL;
	for (size_t i = 0; ok && i < n; i++)
		ok = trace_one(c, r, ids[i], list, &err);
	reader_close(r);
	if (!ok || n == 0) {
		json_decref(list);
		return ok ? cli_fail(CLI_FAILED, "nothing is known of %s", c->argv[0])
			  : cli_fail(CLI_FAILED, "%s", err.text);
	}
	/* One message is one object; several (one Message-ID, many copies) are a list. */
	if (c->json && n == 1) {
		json_t *one = json_incref(json_array_get(list, 0));
		json_decref(list);
		return cli_print_json(one);
	}
	return c->json ? cli_print_json(list) : CLI_DONE;
}
