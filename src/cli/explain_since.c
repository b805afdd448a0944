/* explain --since: decides again, under changed rules, who gets what was collected in the
 * last days, and tells what would go elsewhere. Changes nothing.
 *
 * Message after message in an arena of its own: memory does not grow with the history. */
#include <inttypes.h>
#include <stdlib.h>

#include "explain.h"
#include "postern/clock.h"
#include "postern/num.h"
#include "postern/qid.h"
#include "record.h"

enum {
	MESSAGE_MEMORY = 256 * 1024 * 1024,
	TOLD_MAX = 10000, /* differences in one JSON answer */
	SHOWN = 20, /* addresses of one message, in text */
};

/* Where one message goes: the recipients' keys, sorted, or nobody's place. */
struct place {
	struct span *accepted, *refused; /* as they are spelled */
	size_t n_accepted, n_refused;
	struct span *keys; /* of both: '+' or '-' before the compare form */
	size_t n_keys;
	bool held, badmail; /* nobody was found */
	bool hops; /* in Badmail for its hops, whoever was found */
};

/* An account of the configuration. */
struct replayed {
	bool known; /* the next was made, if it could be */
	struct routing *routing;
};

struct replay {
	struct cli *c;
	struct answers answers;
	struct reader *reader;
	struct replayed *routings; /* one for each account of the configuration */
	uint64_t looked, different, unable;
	json_t *json; /* the differences, with --json */
};

/* ---- places ---- */

static int
by_bytes(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

static bool
add_key(struct place *p, char sign, struct span address, struct arena *a)
{
	AUTO(buf_done) struct buf key = BUF_MAX(ADDRESS_SIZE + 1);
	struct address parsed;

	if (!buf_addc(&key, sign))
		return false;
	if (!address_parse(a, address, &parsed) || !address_key(&key, &parsed)) {
		key.n = 1; /* as it is: what was refused need not be an address */
		if (!buf_add(&key, span_first(address, ADDRESS_SIZE - 1)))
			return false;
	}
	p->keys[p->n_keys] = arena_dup(a, buf_span(&key));
	return p->keys[p->n_keys++].p;
}

static bool
make_keys(struct place *p, struct arena *a)
{
	bool ok = true;

	p->keys = arena_alloc(a, (p->n_accepted + p->n_refused + 1) * sizeof(*p->keys));
	for (size_t i = 0; p->keys && ok && i < p->n_accepted; i++)
		ok = add_key(p, '+', p->accepted[i], a);
	for (size_t i = 0; p->keys && ok && i < p->n_refused; i++)
		ok = add_key(p, '-', p->refused[i], a);
	if (p->keys && p->n_keys > 1)
		qsort(p->keys, p->n_keys, sizeof(*p->keys), by_bytes);
	return ok && p->keys;
}

static bool
same_keys(const struct place *x, const struct place *y)
{
	if (x->n_keys != y->n_keys)
		return false;
	for (size_t i = 0; i < x->n_keys; i++) {
		if (!span_eq(x->keys[i], y->keys[i]))
			return false;
	}
	return true;
}

/* Held, and then given by hand to those who would get it now: no difference. */
static bool
same_place(const struct place *was, const struct place *now)
{
	if (was->held && was->n_keys > 0 && !now->held && !now->badmail)
		return same_keys(was, now);
	if (was->held || now->held)
		return was->held == now->held;
	return was->badmail == now->badmail && same_keys(was, now);
}

/* Refused at RCPT, or for its hops; what failed later is no matter of recipients. */
static bool
by_policy(const struct queue_recipient *r)
{
	return record_refused(r) && !span_eq(r->reason, SPAN("loop"));
}

static bool
place_then(const struct queue_message *m, struct arena *a, struct place *out)
{
	struct place p = { .accepted = arena_alloc(a, (m->n + 1) * sizeof(struct span)),
		.refused = arena_alloc(a, (m->n + 1) * sizeof(struct span)) };

	if (!p.accepted || !p.refused)
		return false;
	for (size_t i = 0; i < m->n; i++) {
		const struct queue_recipient *r = &m->recipients[i];

		p.hops = p.hops || record_hops(r);
		if (record_nobody(r) &&
				(r->state == QUEUE_HELD || r->state == QUEUE_REMOVED))
			p.held = true;
		else if (record_nobody(r))
			p.badmail = true;
		else if (by_policy(r))
			p.refused[p.n_refused++] = r->address;
		else
			p.accepted[p.n_accepted++] = r->address;
	}
	*out = p;
	return make_keys(out, a);
}

static bool
place_now(struct replay *x, const struct recipients *r, struct arena *a,
		struct place *out)
{
	explain_answers(&x->answers, r);

	bool hops = explain_hops(&x->answers, r);
	struct place p = { .held = r->outcome == RECIPIENTS_HOLD && !hops,
		.badmail = r->outcome == RECIPIENTS_BADMAIL ||
				(r->outcome == RECIPIENTS_HOLD && hops),
		.hops = hops };
	p.n_accepted = explain_addresses(x->answers.recipients, a, &p.accepted);
	p.n_refused = explain_addresses(x->answers.refused, a, &p.refused);
	*out = p;
	return make_keys(out, a);
}

/* ---- what is told ---- */

static json_t *
addresses_json(const struct span *v, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, cli_json_span(v[i]));
	return list;
}

static json_t *
place_json(const struct place *p)
{
	return json_pack("{s:o,s:o,s:b,s:b}", "recipients",
			addresses_json(p->accepted, p->n_accepted), "refused",
			addresses_json(p->refused, p->n_refused), "held", p->held,
			"badmail", p->badmail);
}

static void
print_addresses(const struct span *v, size_t n)
{
	for (size_t i = 0; i < n && i < SHOWN; i++) {
		if (i > 0)
			(void)fputs(", ", stdout);
		cli_print_span(stdout, v[i], 0);
	}
	if (n > SHOWN)
		(void)printf(" and %zu more", n - SHOWN);
}

static void
print_place(const struct place *p)
{
	if (p->held)
		(void)fputs("nobody, held as unrouted", stdout);
	if (p->held && p->n_accepted > 0)
		(void)fputs(", then by hand to ", stdout);
	if (p->badmail)
		(void)fputs(p->hops ? "Badmail (hop-count)" : "Badmail (no-recipients)",
				stdout);
	print_addresses(p->accepted, p->n_accepted);
	if (p->n_refused == 0)
		return;
	(void)fputs(p->n_accepted > 0 ? ", and to Badmail for " : "Badmail for ",
			stdout);
	print_addresses(p->refused, p->n_refused);
}

/* "X-Original-To, E1.2"; nobody's own reason; the words of a refusal. */
static void
reason_of(const struct replay *x, const struct recipients *r, struct buf *out)
{
	const char *reply = json_string_value(json_object_get(
			json_array_get(x->answers.refused, 0), "reply"));

	if (r->outcome != RECIPIENTS_FOUND)
		(void)!buf_addf(out, "nobody is found, %zu address%s seen",
				r->n_candidates,
				r->n_candidates == 1 ? " was" : "es were");
	else if (r->level == 0)
		(void)!buf_add(out, SPAN("user account, E0"));
	else
		(void)!buf_addf(out, SPAN_FMT ", E1.%u", SPAN_ARG(r->source), r->level);
	if (reply)
		(void)!buf_addf(out, "; %s", reply);
}

static void
tell(struct replay *x, const struct queue_message *m, const struct place *was,
		const struct place *now, const struct recipients *r)
{
	AUTO(buf_done) struct buf reason = BUF_MAX(8192);
	struct cli_table unused = { .arena = ARENA_MAX(4096) };
	char id[QID_SIZE];

	qid_print(m->id, id);
	reason_of(x, r, &reason);
	if (x->json) {
		json_t *would = place_json(now);
		(void)json_object_set_new(
				would, "reason", cli_json_span(buf_span(&reason)));
		if (json_array_size(x->json) < TOLD_MAX)
			(void)json_array_append_new(x->json,
					json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:O}", "id",
							id, "time",
							cli_json_time(m->arrived_ms),
							"account",
							cli_json_span(m->account),
							"uidl", cli_json_span(m->uidl),
							"message_id",
							cli_json_span(m->message_id),
							"went", place_json(was),
							"would", would));
		json_decref(would);
		return;
	}
	(void)printf("%s  %s  ", id, cli_cell_time(&unused, m->arrived_ms));
	arena_done(&unused.arena);
	cli_print_span(stdout, m->account, 0);
	(void)fputs("  ", stdout);
	cli_print_span(stdout, m->message_id, 0);
	(void)fputs("\n    went to ", stdout);
	print_place(was);
	(void)fputs("\n    would go to ", stdout);
	print_place(now);
	(void)fputs(" (", stdout);
	cli_print_span(stdout, buf_span(&reason), 0);
	(void)fputs(")\n", stdout);
}

/* ---- one message ---- */

/* The target of a user account is nobody's: told once. */
static void
say_uncollected(const struct conf_account *a)
{
	(void)cli_fail(0,
			"account %s would not be collected: there is no recipient %s; "
			"its messages are not replayed",
			a->name, a->recipient);
}

static bool
routing_make(struct replay *x, struct replayed *out, const struct conf_account *a,
		struct err *err)
{
	struct routing *r = malloc(sizeof(*r));

	if (!r)
		abort();
	out->known = true;
	if (routing_init(r, x->c->conf, a, x->answers.directory, x->reader, err)) {
		out->routing = r;
		return true;
	}
	free(r);
	if (err->event != EVENT_TARGET_DISABLED)
		return false;
	*err = (struct err){ 0 };
	say_uncollected(a);
	return true;
}

/* Made when its account is met first. NULL: it is not in the configuration (any more), or
 * it would not be collected. */
static bool
routing_of(struct replay *x, struct span account, struct routing **out, struct err *err)
{
	const struct conf *conf = x->c->conf;

	*out = NULL;
	for (size_t i = 0; i < conf->accounts.n; i++) {
		const struct conf_account *a = &conf->accounts.p[i];

		if (!span_eq(account, span_of(a->name)))
			continue;
		if (!x->routings[i].known && !routing_make(x, &x->routings[i], a, err))
			return false;
		*out = x->routings[i].routing;
		return true;
	}
	return true;
}

static bool
again(struct replay *x, struct reader *reader, uint64_t id, struct err *err)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(MESSAGE_MEMORY);
	AUTO(arena_done) struct arena decision = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	struct queue_story story;
	struct record record;
	struct recipients r;
	struct routing *routing;
	struct place was, now;
	bool found = false, ok = true;

	if (!queue_show(reader, id, &a, &story, &found, err))
		return false;
	if (!found) /* pruned meanwhile */
		return true;
	x->looked++;
	if (!routing_of(x, story.message.account, &routing, err))
		return false;
	if (!routing || !record_read(story.route, &a, &record)) {
		x->unable++;
		return true;
	}
	/* A user account asks no header. */
	if (!record.has_header && !routing->account.user) {
		x->unable++;
	} else {
		routing->account.learned = record.has_learned ? &record.learned : NULL;
		recipients_decide_told(&routing->account,
				record.told.to.n > 0 ? &record.told : NULL,
				record.header, &decision, &r);
		r.received = record.received; /* a user account's header is not kept */
		ok = place_then(&story.message, &a, &was) && place_now(x, &r, &a, &now);
		if (ok && !same_place(&was, &now)) {
			x->different++;
			tell(x, &story.message, &was, &now, &r);
		}
	}
	record_done(&record);
	return ok || err_set(err, 0, "a message has too many recipients");
}

static bool
all_of(struct replay *x, struct reader *reader, const char *account, int64_t since_ms,
		struct err *err)
{
	struct queue_since f = { .account = span_of(account), .since_ms = since_ms };
	uint64_t ids[QUEUE_IDS_PAGE];
	size_t n;

	do {
		if (!queue_collected(reader, &f, ids, &n, err))
			return false;
		for (size_t i = 0; i < n; i++) {
			if (!again(x, reader, ids[i], err))
				return false;
		}
		f.after = n > 0 ? ids[n - 1] : 0;
	} while (n == QUEUE_IDS_PAGE);
	return true;
}

static int
summary(struct replay *x, const char *since)
{
	if (x->json)
		return cli_print_json(json_pack("{s:s,s:I,s:I,s:I,s:b,s:O}", "since",
				since, "looked_at", (json_int_t)x->looked, "different",
				(json_int_t)x->different, "not_replayed",
				(json_int_t)x->unable, "cut", x->different > TOLD_MAX,
				"messages", x->json));
	(void)printf("%" PRIu64 " messages looked at, %" PRIu64
		     " would go elsewhere, %" PRIu64
		     " could not be replayed (record too old or cut).\n",
			x->looked, x->different, x->unable);
	return CLI_DONE;
}

/* ---- the word ---- */

/* The directory of the store, the named files put over policies of the same name. */
static struct directory *
directory_changed(struct cli *c, const struct replay_options *o, struct reader *reader,
		int *status)
{
	struct conf_faults *faults = malloc(sizeof(*faults));
	struct policy_files files = { 0 };
	struct directory *d = NULL;
	struct err err = { 0 };

	if (!faults)
		abort();
	conf_faults_init(faults);
	if (o->n_policies > 0)
		policy_files_read(c, o->policies, o->n_policies, &files, faults);
	*status = CLI_CONFIG;
	if (cli_print_faults(faults, stderr) == 0) {
		d = directory_would(reader, &files, &err);
		*status = d ? CLI_DONE : cli_fail(CLI_FAILED, "%s", err.text);
	}
	policy_files_done(&files);
	conf_faults_done(faults);
	free(faults);
	return d;
}

static int
run(struct replay *x, const struct replay_options *o, struct reader *reader,
		int64_t since_ms)
{
	size_t n = x->c->conf->accounts.n;
	struct err err = { 0 };
	int status;

	struct directory *d = directory_changed(x->c, o, reader, &status);
	if (!d)
		return status;
	answers_open(&x->answers, x->c, d);
	x->reader = reader;
	x->routings = calloc(n + 1, sizeof(*x->routings));
	if (!x->routings)
		abort();
	bool ok = all_of(x, reader, o->account, since_ms, &err);
	status = ok ? summary(x, o->since) : cli_fail(CLI_FAILED, "%s", err.text);
	for (size_t i = 0; i < n; i++) {
		if (x->routings[i].routing)
			routing_done(x->routings[i].routing);
		free(x->routings[i].routing);
	}
	free(x->routings);
	answers_close(&x->answers);
	return status;
}

int
explain_since(struct cli *c, const struct replay_options *o)
{
	struct replay x = { .c = c };
	uint64_t ago_s;
	bool nothing;

	if (!num_duration(span_of(o->since), INT32_MAX, &ago_s))
		return cli_fail(CLI_USAGE,
				"--since takes an age such as 7d or 12h, not %s",
				o->since);
	if (!cli_conf(c))
		return CLI_CONFIG;
	if (o->account && !conf_account_find(c->conf, o->account))
		return cli_fail(CLI_USAGE,
				"there is no account %s; postern accounts lists them",
				o->account);

	struct reader *reader = cli_reader_open(c, &nothing);
	if (!reader && !nothing)
		return CLI_FAILED;
	x.json = c->json ? json_array() : NULL;
	int status = reader
			? run(&x, o, reader, clock_wall_ms() - (int64_t)ago_s * 1000)
			: summary(&x, o->since);
	reader_close(reader);
	json_decref(x.json);
	return status;
}
