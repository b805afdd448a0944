/* trace ID: all that is known of one message, in the order it happened. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "policies.h"
#include "postern/journal.h"
#include "postern/qid.h"
#include "postern/queue.h"
#include "record.h"

struct step {
	int64_t at_ms;
	int event; /* 0: from the store, not from the journal */
	const char *text;
	struct span asked; /* a recipient's: what led to it; or empty */
	size_t seq; /* the order in which they were found */
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
	if (copy) {
		s->v[s->n] = (struct step){
			.at_ms = at_ms, .event = event, .text = copy, .seq = s->n
		};
		s->n++;
	}
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
	bool replay = span_eq(m->account, SPAN(":badmail")); /* of ID/ADDRESS */
	const char *how = replay	   ? "replayed from Badmail item"
			: m->account.n > 0 ? "collected from"
					   : "received from";
	struct span from = replay	  ? span_first(m->uidl, span_find(m->uidl, '/'))
			: m->source.n > 0 ? m->source
					  : m->account;

	if (buf_addf(&text,
			    "%s " SPAN_FMT ", sender <" SPAN_FMT ">, %" PRIu64
			    " octets; durable in the queue",
			    how, SPAN_ARG(from), SPAN_ARG(m->sender), m->size))
		add_step(s, m->arrived_ms,
				m->account.n > 0 ? EVENT_MESSAGE_COLLECTED
						 : EVENT_MESSAGE_RECEIVED,
				&text);
}

/* The event that stands for a decision. */
static int
event_of(enum recipients_outcome outcome)
{
	switch (outcome) {
	case RECIPIENTS_FALLBACK:
	case RECIPIENTS_BADMAIL:
		return EVENT_NOBODY_FOUND;
	case RECIPIENTS_HOLD:
		return EVENT_NOBODY_FOUND_HELD;
	case RECIPIENTS_FOUND:
		break;
	}
	return EVENT_RECIPIENTS_DETERMINED;
}

/* What the route record says: the sentence, then every candidate, from where and why. */
static void
step_route(struct steps *s, const struct queue_story *q)
{
	AUTO(buf_done) struct buf sentence = BUF_MAX(65536);
	struct record r;

	if (!record_read(q->route, s->arena, &r))
		return;
	int event = event_of(r.outcome);
	if (record_sentence(&r, &q->message, s->arena, &sentence))
		add_step(s, q->message.arrived_ms, event, &sentence);
	for (size_t i = 0; i < r.n_candidates; i++) {
		const struct recipients_candidate *x = &r.candidates[i];
		AUTO(buf_done) struct buf text = BUF_MAX(65536);
		if (buf_addf(&text, "  " SPAN_FMT ": " SPAN_FMT " %s%s%s",
				    SPAN_ARG(x->header), SPAN_ARG(x->address),
				    x->kept ? "kept" : "not taken",
				    x->why[0] ? ", " : "", x->why))
			add_step(s, q->message.arrived_ms, event, &text);
	}
	if (r.cut) {
		AUTO(buf_done) struct buf text = BUF_MAX(100);
		if (buf_add(&text, SPAN("  and more than are recorded")))
			add_step(s, q->message.arrived_ms, event, &text);
	}
	record_done(&r);
}

/* When somebody said who gets it, 0: nobody did. */
static int64_t
assigned_ms(const struct queue_story *q)
{
	for (size_t i = 0; i < q->message.n; i++) {
		const struct queue_recipient *r = &q->message.recipients[i];
		if (record_nobody(r) && r->state == QUEUE_REMOVED)
			return r->next_try_ms;
	}
	return 0;
}

/* The row of a message that has nobody. */
static void
step_nobody(struct steps *s, const struct queue_story *q,
		const struct queue_recipient *r)
{
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	bool was_held = r->state == QUEUE_HELD || r->state == QUEUE_REMOVED;

	if (buf_add(&text,
			    was_held ? SPAN("held as unrouted")
				     : SPAN("for nobody, refused: ")) &&
			(was_held || buf_add(&text, r->reason)))
		add_step(s, q->message.arrived_ms,
				was_held ? EVENT_NOBODY_FOUND_HELD
					 : EVENT_RECIPIENT_PROCESSED,
				&text);
	buf_clear(&text);
	if (r->state == QUEUE_REMOVED && buf_add(&text, r->reason))
		add_step(s, r->next_try_ms, EVENT_ADMIN_ACTION, &text);
}

static void
step_recipient(struct steps *s, const struct queue_story *q,
		const struct queue_recipient *r)
{
	AUTO(buf_done) struct buf text = BUF_MAX(65536);
	bool refused = r->reason.n > 0 && r->attempts == 0;
	bool asked = r->asked.n > 0;
	int64_t assigned = assigned_ms(q);

	if (record_nobody(r)) {
		step_nobody(s, q, r);
		return;
	}
	if (r->state == QUEUE_DUPLICATE) {
		if (buf_addf(&text, "recipient " SPAN_FMT ": has it already, " SPAN_FMT,
				    SPAN_ARG(r->address), SPAN_ARG(r->reply)))
			add_step(s, q->message.arrived_ms, EVENT_COPY_SUPPRESSED,
					&text);
		return;
	}
	if (buf_addf(&text,
			    "recipient " SPAN_FMT "%s" SPAN_FMT "%s: %s" SPAN_FMT
			    ", route " SPAN_FMT,
			    SPAN_ARG(r->address),
			    !asked			    ? ""
					    : r->asked_list ? " (for list "
							    : " (for ",
			    SPAN_ARG(r->asked), asked ? ")" : "",
			    refused		       ? "refused, "
					    : assigned ? "named by hand"
						       : "accepted",
			    SPAN_ARG(refused ? r->reply : SPAN("")), SPAN_ARG(r->hop)))
		add_step(s, assigned ? assigned : q->message.arrived_ms,
				refused ? EVENT_RECIPIENT_PROCESSED : EVENT_QUEUED,
				&text);
	if (asked && s->n > 0)
		s->v[s->n - 1].asked = r->asked;
}

static void
step_recipients(struct steps *s, const struct queue_story *q)
{
	for (size_t i = 0; i < q->message.n; i++)
		step_recipient(s, q, &q->message.recipients[i]);
	for (size_t i = 0; i < q->n; i++) {
		const struct queue_attempt *t = &q->attempts[i];
		AUTO(buf_done) struct buf text = BUF_MAX(65536);
		struct span to = address_of(q, t->seq);
		char code[16] = ""; /* nobody spoke SMTP to a folder */
		if (t->code > 0)
			(void)snprintf(code, sizeof(code), "%d ", t->code);
		int event = t->state == QUEUE_DELIVERED	   ? EVENT_DELIVERED
				: t->state == QUEUE_QUEUED ? EVENT_DEFERRED
							   : EVENT_DELIVERY_REFUSED;
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

/* What became of it after Badmail: under other queue ids. */
static bool
step_replays(struct steps *s, struct reader *r, uint64_t id, struct err *err)
{
	struct queue_replay *v;
	size_t n;

	if (!queue_replays(r, id, s->arena, &v, &n, err))
		return false;
	for (size_t i = 0; i < n; i++) {
		AUTO(buf_done) struct buf text = BUF_MAX(4096);
		char as[QID_SIZE];

		qid_print(v[i].id, as);
		if (buf_addf(&text, "replayed from Badmail for " SPAN_FMT " as %s",
				    SPAN_ARG(v[i].address), as))
			add_step(s, v[i].at_ms, EVENT_BADMAIL_REPLAYED, &text);
	}
	return true;
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

	if (x->at_ms != y->at_ms)
		return x->at_ms < y->at_ms ? -1 : 1;
	return (x->seq > y->seq) - (x->seq < y->seq);
}

static void
where_now(struct buf *text, const struct queue_story *q)
{
	for (size_t i = 0; i < q->message.n; i++) {
		const struct queue_recipient *r = &q->message.recipients[i];
		bool waits = r->state == QUEUE_QUEUED && r->attempts > 0;
		bool bad = r->state == QUEUE_REFUSED || r->state == QUEUE_BOUNCED ||
				r->state == QUEUE_HELD || r->state == QUEUE_BADMAIL;

		if (record_nobody(r) && r->state == QUEUE_REMOVED)
			continue; /* it has somebody now */
		(void)!buf_addf(text, "%s" SPAN_FMT " %s", text->n ? "; " : "",
				SPAN_ARG(record_nobody(r) ? SPAN("for nobody,")
							  : r->address),
				waits ? "deferred" : queue_state_name(r->state));
		if (bad && r->reason.n > 0)
			(void)!buf_addf(text, " (" SPAN_FMT ")", SPAN_ARG(r->reason));
	}
}

static json_t *
trace_json(const struct queue_story *q, const struct steps *s)
{
	const struct queue_message *m = &q->message;
	json_t *list = json_array();
	char id[QID_SIZE];

	qid_print(m->id, id);
	for (size_t i = 0; i < s->n; i++) {
		json_t *step = json_pack("{s:o,s:i,s:o}", "time",
				cli_json_time(s->v[i].at_ms), "event", s->v[i].event,
				"text", cli_json_span(span_of(s->v[i].text)));
		if (s->v[i].asked.n > 0)
			(void)json_object_set_new(
					step, "asked", cli_json_span(s->v[i].asked));
		(void)json_array_append_new(list, step);
	}
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
	if (!step_replays(&steps, r, id, err)) {
		free(steps.v);
		return false;
	}
	step_events(c, &steps, qid);
	if (story.message.account.n > 0) {
		AUTO(buf_done) struct buf before = BUF_MAX(4096);
		if (buf_addf(&before, SPAN_FMT "/" SPAN_FMT,
				    SPAN_ARG(story.message.account),
				    SPAN_ARG(story.message.uidl)) &&
				buf_cstr(&before))
			step_events(c, &steps, before.p);
	}
	if (steps.n > 1)
		qsort(steps.v, steps.n, sizeof(*steps.v), by_time);
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
		return ok ? cli_fail(CLI_FAILED,
					    "nothing is known of %s: neither a queue id, a Message-ID nor ACCOUNT/UIDL that is still remembered",
					    c->argv[0])
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
