/* badmail list, show, replay */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "directory.h"
#include "postern/badmail.h"
#include "postern/clock.h"
#include "postern/date.h"
#include "postern/file.h"
#include "postern/header.h"
#include "postern/log.h"
#include "postern/nexthop.h"
#include "postern/origin.h"
#include "postern/qid.h"
#include "postern/queue.h"
#include "postern/sum.h"

static struct badmail *
open_folder(struct cli *c)
{
	const struct conf_badmail *b = &c->conf->badmail;
	struct err err = { 0 };
	struct badmail *folder = badmail_open(cli_path(c, "Badmail"),
			b->keep_s == CONF_KEEP_FOREVER ? 0 : (uint64_t)b->keep_s,
			b->max, &err);

	if (!folder)
		(void)cli_fail(0, "%s", err.text);
	return folder;
}

static json_t *
item_json(const struct badmail_item *item)
{
	json_t *recipients = json_array();
	char id[QID_SIZE];

	qid_print(item->qid, id);
	for (size_t i = 0; i < item->n_recipients; i++) {
		const struct badmail_row *row = &item->recipients[i];
		(void)json_array_append_new(recipients,
				json_pack("{s:o,s:o,s:o,s:s,s:I}", "address",
						cli_json_span(span_of(row->address)),
						"status",
						cli_json_span(span_of(row->status)),
						"last_reply",
						cli_json_span(span_of(row->reply)),
						"reason",
						badmail_reason_name(row->reason),
						"attempts", (json_int_t)row->attempts));
	}
	return json_pack("{s:s,s:s,s:i,s:o,s:o,s:o,s:I,s:o}", "id", id, "reason",
			badmail_reason_name(item->reason), "event", item->event,
			"sender", cli_json_span(span_of(item->sender)), "recipients",
			recipients, "message_id",
			cli_json_span(span_of(item->message_id)), "size",
			(json_int_t)item->size, "time", cli_json_time(item->time_ms));
}

static bool
list_one(void *host, const struct badmail_item *item)
{
	struct cli_list *l = host;
	struct cli_table *t = &l->table;
	char id[QID_SIZE];

	if (l->json) {
		cli_list_json(l, item_json(item));
		return cli_list_goes_on(l);
	}
	qid_print(item->qid, id);
	for (size_t i = 0; i < item->n_recipients || i == 0; i++) {
		const struct badmail_row *row =
				i < item->n_recipients ? &item->recipients[i] : NULL;
		struct span sender = span_of(item->sender);
		const char *const cells[] = { i == 0 ? cli_cell(t, span_of(id)) : "",
			i == 0 ? cli_cell_time(t, item->time_ms) : "",
			i == 0 ? cli_cell_num(t, item->size) : "",
			badmail_reason_name(row ? row->reason : item->reason),
			i > 0			       ? ""
					: sender.n > 0 ? cli_cell(t, sender)
						       : "<>",
			row ? cli_cell(t, span_of(row->address)) : "-",
			row ? cli_cell(t, span_of(row->reply)) : "-" };
		cli_list_row(l, cells, i == 0);
	}
	return cli_list_goes_on(l);
}

int
cli_badmail_list(struct cli *c)
{
	static const char *const titles[] = { "id", "time", ">size", "reason", "sender",
		"recipient", "reply" };
	struct cli_list l;
	struct err err = { 0 };
	size_t broken = 0;

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	if (!cli_state(c))
		return CLI_CONFIG;

	struct badmail *folder = open_folder(c);
	if (!folder)
		return CLI_FAILED;
	cli_list_init(&l, c->json, titles, 7);
	bool ok = badmail_list(folder, list_one, &l, &broken, &err);
	badmail_close(folder);
	if (!ok) {
		cli_list_drop(&l);
		return cli_fail(CLI_FAILED, "%s", err.text);
	}
	int status = cli_list_end(&l, "Badmail is empty.");
	if (broken > 0 && !c->json)
		(void)printf("%zu items are not whole.\n", broken);
	return status;
}

/* An item that was replayed is gone; its number still stands in notices and events. */
static bool
say_replayed(struct cli *c, const char *id, uint64_t qid)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(1024 * 1024);
	struct queue_replay *v = NULL;
	struct err err = { 0 };
	size_t n = 0;
	bool nothing;
	struct reader *r = cli_reader_open(c, &nothing);
	bool found = r && queue_replays(r, qid, &a, &v, &n, &err) && n > 0;

	reader_close(r);
	for (size_t i = 0; found && i < n; i++) {
		char as[QID_SIZE], when[DATE_ISO_SIZE];

		qid_print(v[i].id, as);
		date_iso(v[i].at_ms, when);
		(void)cli_fail(0, "%s was replayed as %s at %s for " SPAN_FMT, id, as,
				when, SPAN_ARG(v[i].address));
	}
	return found;
}

/* Opens folder and item; NULL after saying why. */
static struct badmail_item *
item_of(struct cli *c, struct badmail *folder, const char *id, uint64_t *qid)
{
	struct err err = { 0 };
	struct badmail_item *item = NULL;

	if (!qid_parse(span_of(id), qid))
		(void)cli_fail(0, "%s is no id", id);
	else if (!(item = badmail_get(folder, *qid, &err)) &&
			!say_replayed(c, id, *qid))
		(void)cli_fail(0, "%s", err.text);
	return item;
}

int
cli_badmail_show(struct cli *c)
{
	AUTO(buf_done) struct buf words = BUF_MAX(1024 * 1024);
	struct err err = { 0 };
	uint64_t qid;
	int status = CLI_FAILED;

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;
	if (!cli_state(c))
		return CLI_CONFIG;

	struct badmail *folder = open_folder(c);
	struct badmail_item *item =
			folder ? item_of(c, folder, c->argv[0], &qid) : NULL;
	if (item && c->json) {
		json_t *j = item_json(item);
		if (badmail_words(folder, qid, &words, &err))
			(void)json_object_set_new(
					j, "words", cli_json_span(buf_span(&words)));
		status = cli_print_json(j);
	} else if (item && badmail_words(folder, qid, &words, &err)) {
		struct span left = buf_span(&words);
		while (left.n > 0) {
			struct span line = span_until(&left, '\n');
			cli_print_span(stdout, span_trim(line), 0);
			(void)putchar('\n');
		}
		(void)printf("\nThe message: %s/%s.BAD\n", cli_path(c, "Badmail"),
				c->argv[0]);
		status = CLI_DONE;
	} else if (item) {
		(void)cli_fail(0, "%s", err.text);
	}
	badmail_item_free(item);
	badmail_close(folder);
	return status;
}

/* --- replay --- */

struct replay {
	struct cli *c;
	struct store *store;
	struct badmail *folder;
	struct directory *directory;
	struct nexthop_table *routes;
	struct rcpt_rules rules; /* of these two */
	const char *to;
	bool dry;
	json_t *json;
};

/* A recipient that is replayed has this origin, so that it is replayed once
 * whatever crashes between the commit and the end of the Badmail item. Account
 * names cannot begin with a colon. */
static bool
origin_of(struct buf *out, const struct badmail_item *item, struct span address)
{
	char id[QID_SIZE];

	qid_print(item->qid, id);
	return buf_addf(out, "%s/", id) && buf_add(out, span_first(address, 230));
}

static void
report(struct replay *r, const struct badmail_item *item, struct span address,
		const char *done, uint64_t queued)
{
	char from[QID_SIZE], to[QID_SIZE] = "";

	qid_print(item->qid, from);
	if (queued)
		qid_print(queued, to);
	if (r->c->json) {
		(void)json_array_append_new(r->json,
				json_pack("{s:s,s:o,s:s,s:o}", "id", from, "address",
						cli_json_span(address), "result", done,
						"queue_id",
						queued ? json_string(to)
						       : json_null()));
		return;
	}
	(void)printf("%s  ", from);
	cli_print_span(stdout, address, 0);
	(void)printf("  %s%s%s\n", done, queued ? " as " : "", to);
}

/* Puts the message's bytes where the submission wants them: in memory when they
 * are few, else in the spool. */
static bool
load_body(struct replay *r, const struct badmail_item *item, struct submission *sub,
		struct buf *memory, struct sum *sum, struct err *err)
{
	uint64_t size = 0, at = 0;
	AUTO(fd_done) int fd = badmail_message(r->folder, item->qid, &size, err);
	char piece[8192];

	if (fd < 0)
		return false;
	if (size > BODY_BLOB_MAX &&
			(sub->spool_fd = spool_create(r->store, sub->id, err)) < 0)
		return false;
	for (;;) {
		ssize_t n = fd_read_at(fd, piece, sizeof(piece), at);
		if (n < 0)
			return err_set(err, 0,
					"the message of the Badmail item cannot be read");
		if (n == 0)
			break;
		at += (uint64_t)n;
		struct span bytes = { piece, (size_t)n };
		sum_add(sum, bytes);
		if (sub->spool_fd < 0 ? !buf_add(memory, bytes)
				      : !spool_write(sub->spool_fd, bytes,
							&sub->spool_size, err))
			return sub->spool_fd < 0
					? err_set(err, 0, "the message grew while it was read")
					: false;
	}
	sub->body = buf_span(memory);
	sub->spool_sum = sum;
	return true;
}

/* Whom the address leads to now, as the relay would have it. */
static struct submission_recipient *
recipients_of(struct replay *r, const struct directory_said *said, struct arena *a)
{
	struct submission_recipient *to = arena_alloc(a, said->rcpt.n * sizeof(*to));

	for (size_t i = 0; to && i < said->rcpt.n; i++) {
		bool other = !span_eq(said->rcpt.v[i].key, said->rcpt.key);

		to[i] = (struct submission_recipient){
			.address = said->rcpt.v[i].address,
			.hop = span_of(rcpt_hop(&r->rules, said->rcpt.v[i].domain)
							->key),
			.state = QUEUE_QUEUED,
			.asked = other ? said->asked : (struct span){ "", 0 },
			.asked_list = other && said->rcpt.list,
		};
	}
	return to;
}

/* One recipient of one item: into the queue, in a transaction of its own. */
static bool
submit(struct replay *r, const struct badmail_item *item,
		const struct directory_said *said, struct arena *a)
{
	struct span address = said->asked;
	AUTO(buf_done) struct buf memory = BUF_MAX(BODY_BLOB_MAX + 65536);
	AUTO(buf_done) struct buf origin = BUF_MAX(256);
	int64_t now = clock_wall_ms();
	struct submission sub = { .job.work = STORE_SUBMIT,
		.id = store_new_id(r->store, now),
		.account = SPAN(":badmail"),
		.source = SPAN("Badmail"),
		.sender = span_of(item->sender),
		.message_id = span_of(item->message_id),
		.arrived_ms = now,
		.flags = MESSAGE_BARE | MESSAGE_8BIT,
		.spool_fd = -1,
		.recipients = recipients_of(r, said, a),
		.n = said->rcpt.n };
	struct sum *sum = sum_new();
	struct err err = { 0 };
	struct list jobs;

	list_init(&jobs);
	list_init(&sub.job.link);
	bool ready = sub.recipients && origin_of(&origin, item, address) &&
			load_body(r, item, &sub, &memory, sum, &err);
	sub.uidl = buf_span(&origin);
	if (ready) {
		list_add(&jobs, &sub.job.link);
		store_run(r->store, &jobs);
	}
	sum_free(sum);
	bool done = ready &&
			(sub.job.result == STORE_DONE || sub.job.result == STORE_HAD);
	if (sub.spool_fd >= 0) {
		(void)close(sub.spool_fd);
		if (!ready || sub.job.result != STORE_DONE)
			spool_remove(r->store, sub.id);
	}
	if (!done) {
		(void)cli_fail(0, "%s", ready ? sub.job.err.text : err.text);
		return false;
	}
	bool had = sub.job.result == STORE_HAD;
	report(r, item, address, had ? "was replayed before" : "queued",
			had ? sub.had : sub.id);
	if (had)
		return true;

	char bad[QID_SIZE], id[QID_SIZE];
	qid_print(item->qid, bad);
	qid_print(sub.id, id);
	log_event(EVENT_BADMAIL_REPLAYED,
			FIELDS(f_str("badmail", bad), f_str("id", id),
					f_num("recipients", 1), f_num("already", 0),
					f_str("user", cli_user())));
	return true;
}

enum outcome { REPLAYED, STAYS, TROUBLE };

static enum outcome
replay_recipient(struct replay *r, const struct badmail_item *item, struct span address)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(64 * 1024 * 1024);
	AUTO(buf_done) struct buf origin = BUF_MAX(256);
	enum origin_state known = ORIGIN_NEW;
	struct directory_said said;
	struct err err = { 0 };

	if (!directory_ask(&r->rules, address, &a, &said)) {
		report(r, item, address, "stays: it is no address; use --to", 0);
		return STAYS;
	}
	if (!origin_of(&origin, item, address) ||
			!origin_look(store_reader(r->store), SPAN(":badmail"),
					buf_span(&origin), &known, NULL, &err)) {
		(void)cli_fail(0, "%s", err.text);
		return TROUBLE;
	}
	if (known != ORIGIN_NEW) {
		report(r, item, address, "was replayed before, skipped", 0);
		return REPLAYED;
	}
	if (!said.rcpt.accepted) {
		static const char *const why[] = {
			[DIRECTORY_FOREIGN] = "stays: its domain is in no policy",
			[DIRECTORY_UNKNOWN] =
					"stays: nobody has this address; postern recipient add",
			[DIRECTORY_NOBODY] = "stays: the list leads to nobody",
		};
		report(r, item, address, why[said.rcpt.decision.outcome], 0);
		return STAYS;
	}
	if (r->dry) {
		report(r, item, address, "would be queued", 0);
		return STAYS;
	}
	return submit(r, item, &said, &a) ? REPLAYED : TROUBLE;
}

/* RFC 3464: a report with `Action: delayed`. Sending it again would tell people
 * of a delay that is over. Only the beginning of the message is looked at. */
static bool
is_delay_report(struct replay *r, const struct badmail_item *item)
{
	uint64_t size = 0;
	AUTO(fd_done) int fd = badmail_message(r->folder, item->qid, &size, NULL);
	char head[8192];
	ssize_t n = fd < 0 ? -1 : fd_read_at(fd, head, sizeof(head), 0);
	struct span text = { head, n > 0 ? (size_t)n : 0 };
	struct header_field type;

	if (!header_find(text, SPAN("Content-Type"), &type) ||
			memmem(type.body.p, type.body.n, "delivery-status", 15) == NULL)
		return false;
	while (text.n > 0) {
		struct span line = span_trim(span_until(&text, '\n'));
		if (span_starts_nocase(line, SPAN("Action:")) &&
				span_eq_nocase(span_trim(span_skip(line, 7)),
						SPAN("delayed")))
			return true;
	}
	return false;
}

/* All recipients of one item; the item goes when nobody is left in it. */
static bool
replay_item(struct replay *r, const char *id)
{
	struct err err = { 0 };
	uint64_t qid;
	struct badmail_item *item = item_of(r->c, r->folder, id, &qid);
	bool all = true, fine = true;

	if (!item)
		return false;
	if (is_delay_report(r, item)) {
		(void)cli_fail(0, "%s is a delay report, which is never replayed", id);
		badmail_item_free(item);
		return false;
	}
	if (!r->to && item->n_recipients == 0)
		(void)cli_fail(0, "%s has no recipients; say --to ADDRESS", id);
	for (size_t i = 0; i < (r->to ? 1 : item->n_recipients); i++) {
		struct span address =
				span_of(r->to ? r->to : item->recipients[i].address);
		enum outcome o = replay_recipient(r, item, address);
		all = all && o == REPLAYED;
		fine = fine && o != TROUBLE && (r->dry || o == REPLAYED);
	}
	if (all && (r->to || item->n_recipients > 0) &&
			!badmail_remove(r->folder, qid, &err)) {
		(void)cli_fail(0, "%s", err.text);
		fine = false;
	}
	fine = fine && (r->to || item->n_recipients > 0);
	badmail_item_free(item);
	return fine;
}

int
cli_badmail_replay(struct cli *c)
{
	const char *to = NULL;
	bool dry = false, fine = true;
	const struct cli_option options[] = { { "--to", &to, NULL },
		{ "--dry-run", NULL, &dry }, { 0 } };
	struct err err = { 0 };

	if (!cli_options(c, options, 1, 10000))
		return CLI_USAGE;
	if (!cli_state(c))
		return CLI_CONFIG;

	struct replay r = { .c = c, .to = to, .dry = dry };
	if (!cli_log_quietly(c->conf, &err))
		return cli_fail(CLI_FAILED, "%s", err.text);
	r.folder = open_folder(c);
	r.store = r.folder ? cli_store_open(c) : NULL;
	r.directory = r.store ? directory_now(c, store_reader(r.store), &err) : NULL;
	r.routes = nexthop_table_new(&c->conf->delivery.routes);
	r.rules = (struct rcpt_rules){ r.directory, r.routes,
		span_of(c->conf->server.postmaster) };
	r.json = json_array();
	if (r.store && !r.directory)
		(void)cli_fail(0, "%s", err.text);
	for (int i = 0; r.directory && i < c->argc; i++)
		fine = replay_item(&r, c->argv[i]) && fine;
	bool ran = r.directory != NULL;
	nexthop_table_free(r.routes);
	directory_free(r.directory);
	store_close(r.store);
	badmail_close(r.folder);
	log_close();
	if (ran && !dry)
		cli_wake_relay(c);
	if (c->json)
		(void)cli_print_json(r.json);
	else
		json_decref(r.json);
	return ran && fine ? CLI_DONE : CLI_FAILED;
}
