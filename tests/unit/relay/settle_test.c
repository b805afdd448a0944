/* What becomes of the answers of a next hop: what the store is given, what is said when it
 * has it, and what when it will not have it. */
#include "gate.h"

#include "dispatch.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/qid.h"

enum { DAY_MS = 24 * 3600 * 1000, MOST = 120 };

static unsigned failures; /* the role was told to end */
void __wrap_relay_fail(struct relay *r, const struct err *e);

void
__wrap_relay_fail(struct relay *r, const struct err *e)
{
	(void)r, (void)e;
	failures++;
}

static const struct policy_domain domains[] = {
	{ .domain = { SPAN_INIT("contoso.test") }, .authoritative = true },
};
static const struct directory_rows rows = { .domains = domains, .n_domains = 1 };

static int
set_up(void **state)
{
	struct gate *g = gate_new(&rows);
	struct err err = { 0 };
	char path[100];

	gate_fresh(g);
	g->r.state = g->dir;
	g->r.reader = store_reader(g->r.store);
	g->r.jobs = jobs_new(&g->r, &err);
	g->r.dispatch = dispatch_new(&g->r);
	list_init(&g->r.unsettled);
	assert_non_null(g->r.jobs);
	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	assert_true(log_open(
			&(struct log_options){ .level = 3, .journal = path }, &err));
	failures = 0;
	*state = g;
	return 0;
}

static int
tear_down(void **state)
{
	struct gate *g = *state;

	log_close();
	settle_free(&g->r);
	dispatch_free(g->r.dispatch);
	store_port_free(g->r.port);
	g->r.port = NULL;
	jobs_free(g->r.jobs);
	gate_free(g);
	return 0;
}

/* How often that stands in the log, and it is empty again. */
static size_t
told(const struct gate *g, const char *words)
{
	AUTO(buf_done) struct buf got = BUF_MAX(1024 * 1024);
	char path[100];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	assert_true(file_read(AT_FDCWD, path, 0, &got, NULL));
	for (const char *at = buf_cstr(&got); (at = strstr(at, words)); at++)
		n++;
	return n;
}

static void
forget(const struct gate *g)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	assert_int_equal(truncate(path, 0), 0);
}

#define TOLD(n, words) \
	do { \
		if (told(g, words) != (n)) \
			fail_msg("%zu of %s", told(g, words), words); \
	} while (0)

/* ---- a message in hand ---- */

struct hand {
	struct queue_message m;
	struct queue_recipient *to;
	struct hop *hop;
	struct lease *l; /* it ends with what the store says */
};

static void
hand_take(struct gate *g, struct hand *h, const char *hop, size_t n)
{
	static char address[MOST][40];
	struct batch *b = calloc(1, sizeof(*b));
	struct lease *l = calloc(1, sizeof(*l));

	*h = (struct hand){ .m = { .id = store_new_id(g->r.store, clock_wall_ms()),
					    .sender = SPAN("s@x.test"),
					    .arrived_ms = clock_wall_ms(),
					    .n = n } };
	b->arena = ARENA_MAX(1024 * 1024);
	h->m.recipients = h->to = arena_alloc(&b->arena, n * sizeof(*h->to));
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(address[i], sizeof(address[i]), "u%zu@h.test", i);
		h->to[i] = (struct queue_recipient){ .address = span_of(address[i]),
			.seq = (uint32_t)i + 7,
			.state = QUEUE_QUEUED };
	}
	h->hop = hop_new(g->r.dispatch, span_of(hop));
	b->refs = 1;
	l->hop = h->hop;
	l->batch = b;
	l->m = &h->m;
	l->words = ARENA_MAX(1024 * 1024);
	l->results = calloc(n, sizeof(*l->results));
	l->open = malloc(n);
	assert_non_null(l->open);
	memset(l->open, 1, n);
	l->left = n;
	l->host = SPAN("h.test:25");
	list_init(&l->link);
	list_init(&l->job.job.link);
	g->r.dispatch->leases++;
	h->l = l;
}

static struct verdict
answer(enum fate fate, int code, const char *esc, const char *text)
{
	return verdict_make(fate, code, esc, "%s", text);
}

/* ---- what the store is given ---- */

static void
an_answer_is_kept_as_it_came_without_its_code(void **state)
{
	static const struct {
		enum fate fate;
		int code;
		const char *esc, *text, *reply;
		enum queue_state state;
		const char *reason;
	} all[] = {
		{ FATE_DELIVERED, 250, "2.0.0", "250 2.0.0 stored", "2.0.0 stored",
				QUEUE_DELIVERED, "" },
		{ FATE_DELIVERED, 0, "2.0.0", "written", "2.0.0 written",
				QUEUE_DELIVERED, "" },
		{ FATE_DEFERRED, 450, "4.2.1", "450 later", "later", QUEUE_QUEUED, "" },
		{ FATE_DEFERRED, 421, "4.3.2", "busy", "busy", QUEUE_QUEUED, "" },
		{ FATE_DEFERRED, 0, "4.4.1", "4.4.1 no route", "4.4.1 no route",
				QUEUE_QUEUED, "" },
		{ FATE_DEFERRED, 0, "", "lost", "lost", QUEUE_QUEUED, "" },
		{ FATE_DEFERRED, 0, "4.4.2", "0 octets came", "4.4.2 0 octets came",
				QUEUE_QUEUED, "" },
		{ FATE_BOUNCED, 550, "5.1.1", "550 5.1.1 no such user",
				"5.1.1 no such user", QUEUE_BOUNCED, "unknown-user" },
		{ FATE_BOUNCED, 554, "5.4.6", "554 5.4.6 again", "5.4.6 again",
				QUEUE_BOUNCED, "loop" },
		{ FATE_BOUNCED, 550, "5.7.1", "550 5.7.1 no", "5.7.1 no", QUEUE_BOUNCED,
				"general" },
	};
	struct gate *g = *state;
	struct hand h;
	const size_t n = sizeof(all) / sizeof(*all);
	int64_t before = clock_wall_ms();

	hand_take(g, &h, "smtp:h.test:25", n + 1);
	for (size_t i = 0; i < n; i++) {
		struct verdict v = answer(
				all[i].fate, all[i].code, all[i].esc, all[i].text);
		const struct settle_recipient *out = &h.l->results[i];

		settle_verdict(h.l, i, &v);
		assert_int_equal(h.l->left, n - i);
		assert_false(h.l->open[i]);
		assert_true(out->attempted);
		assert_int_equal(out->state, all[i].state);
		assert_int_equal(out->code, all[i].code);
		if (!span_eq(out->reply, span_of(all[i].reply)))
			fail_msg("\"" SPAN_FMT "\", want \"%s\"", SPAN_ARG(out->reply),
					all[i].reply);
		assert_true(span_eq(out->reason, span_of(all[i].reason)));
		assert_true(span_eq(out->host, SPAN("h.test:25")));
		bool bad = all[i].state == QUEUE_BOUNCED;
		assert_true(span_eq(out->hop, bad ? SPAN(HOP_BADMAIL) : SPAN("")));
		if (all[i].state == QUEUE_QUEUED)
			assert_true(out->next_try_ms >= before + 30 * 1000);
		else if (bad)
			assert_in_range(out->next_try_ms, before, before + 60 * 1000);
	}
	/* The first answer counts; the rest get what all get. */
	struct verdict late = answer(FATE_BOUNCED, 550, "5.1.1", "550 late");
	settle_all(h.l, &late);
	assert_int_equal(h.l->left, 0);
	assert_int_equal(h.l->results[0].state, QUEUE_DELIVERED);
	assert_int_equal(h.l->results[n].state, QUEUE_BOUNCED);
	dispatch_forget(h.l);
}

static void
who_was_put_off_too_long_expires(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v = answer(FATE_DEFERRED, 450, "4.2.1", "450 4.2.1 later");

	hand_take(g, &h, "smtp:h.test:25", 2);
	h.m.arrived_ms = clock_wall_ms() - INT64_C(30) * DAY_MS;
	h.to[0].attempts = 100;
	settle_all(h.l, &v);
	assert_int_equal(h.l->results[0].state, QUEUE_BOUNCED);
	assert_true(span_eq(h.l->results[0].reason, SPAN("expired")));
	assert_true(span_eq(h.l->results[0].hop, SPAN(HOP_BADMAIL)));
	assert_int_equal(h.l->results[1].state, QUEUE_QUEUED); /* it hardly was tried */
	assert_int_equal(h.l->results[1].hop.n, 0);
	forget(g);
	settle_done(&g->r, &h.l->job);
	TOLD(1, "\"id\":5004");
	TOLD(1, "\"age\":\"720 h 0 min\"");
	TOLD(1, "\"id\":5002");
	TOLD(0, "\"id\":4031");
	assert_int_equal(g->r.sum.refused, 1);
	assert_int_equal(g->r.sum.deferred, 1);
}

static void
the_store_gets_what_was_answered_and_no_more(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");
	int64_t before = clock_wall_ms();

	hand_take(g, &h, "smtp:h.test:25", 3);
	settle_verdict(h.l, 1, &v);
	struct verdict harm = settle_damage(h.l, "cut");
	assert_int_equal(harm.fate, FATE_BOUNCED);
	assert_string_equal(harm.esc, "5.3.0");
	assert_string_equal(harm.text, "the stored body is damaged (cut)");
	harm = settle_damage(h.l, "gone"); /* the first that was seen */
	assert_string_equal(harm.text, "the stored body is damaged (cut)");
	settle_lease(&g->r, h.l);
	const struct settlement *job = &h.l->job;
	assert_int_equal(job->job.work, STORE_SETTLE);
	assert_int_equal(job->id, h.m.id);
	assert_in_range(job->at_ms, before, clock_wall_ms());
	assert_int_equal(job->n, 3);
	assert_true(span_eq(job->damage, SPAN("cut")));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(job->recipients[i].untouched, i != 1);
	assert_false(list_empty(&h.l->job.job.link)); /* it is on its way */
	list_del(&h.l->job.job.link);
	dispatch_forget(h.l);
}

static void
what_badmail_has_is_settled_and_what_it_has_not_comes_again(void **state)
{
	struct gate *g = *state;

	for (int written = 0; written < 2; written++) {
		struct hand h;
		int64_t before = clock_wall_ms();

		hand_take(g, &h, HOP_BADMAIL, 2);
		h.to[0].state = QUEUE_BOUNCED;
		h.to[1].state = QUEUE_REFUSED;
		h.l->results[0].attempted = true;
		settle_badmail(h.l, written, 60 * 1000);
		assert_int_equal(h.l->left, 0);
		for (size_t i = 0; i < 2; i++) {
			const struct settle_recipient *out = &h.l->results[i];

			assert_false(out->attempted);
			assert_false(h.l->open[i]);
			assert_int_equal(out->state,
					written ? QUEUE_BADMAIL : h.to[i].state);
			assert_in_range(out->next_try_ms, before + 60 * 1000,
					before + 120 * 1000);
		}
		forget(g);
		settle_done(&g->r, &h.l->job);
		TOLD(written ? 1 : 0, "\"id\":4117");
		TOLD(0, "\"id\":5005");
		assert_int_equal(g->r.sum.badmail, written);
	}
}

/* ---- what is said ---- */

/* How often an event was told with all of these. */
static size_t
event(const struct gate *g, int id, const char *one, const char *two, const char *three)
{
	AUTO(buf_done) struct buf got = BUF_MAX(1024 * 1024);
	char path[100], key[30];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	(void)snprintf(key, sizeof(key), "\"id\":%d,", id);
	assert_true(file_read(AT_FDCWD, path, 0, &got, NULL));
	assert_true(buf_addc(&got, '\0'));
	for (char *at = got.p, *line; (line = strsep(&at, "\n"));)
		n += strstr(line, key) && strstr(line, one) && strstr(line, two) &&
				strstr(line, three);
	return n;
}

static void
each_result_is_told_once_it_is_recorded(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v[] = { answer(FATE_DELIVERED, 250, "2.0.0", "250 2.0.0 mine"),
		answer(FATE_DEFERRED, 450, "4.2.1", "450 4.2.1 late"),
		answer(FATE_BOUNCED, 550, "5.1.1", "550 5.1.1 nobody"),
		answer(FATE_BOUNCED, 0, "", "no words with digits") };
	static const char host[] = "\"host\":\"h.test:25\"";

	hand_take(g, &h, "smtp:h.test:25", 5);
	h.m.account = SPAN("inbox");
	h.l->attempted = true;
	for (size_t i = 0; i < 4; i++)
		settle_verdict(h.l, i, &v[i]);
	TOLD(0, "\"id\"");
	char qid[QID_SIZE], id[40];
	qid_print(h.m.id, qid);
	(void)snprintf(id, sizeof(id), "\"trace\":\"%s\"", qid);
	settle_done(&g->r, &h.l->job);
	assert_int_equal(g->r.sum.delivered, 1);
	assert_int_equal(g->r.sum.deferred, 1);
	assert_int_equal(g->r.sum.refused, 2);
	TOLD(8, "\"id\":");
	TOLD(8, id);
	TOLD(8, "\"account\":\"inbox\"");
	TOLD(0, "u4@h.test"); /* nothing became of it */
	assert_int_equal(event(g, 5003, host, "\"recipient\":\"u0@h.test\"",
					 "\"reply\":\"250 2.0.0 mine\""),
			1);
	assert_int_equal(event(g, 4032, host, "\"level\":3,\"severity\":\"I\"",
					 "\"ndr\":\"0\""),
			1);
	assert_int_equal(event(g, 5002, host, "\"recipient\":\"u1@h.test\"",
					 "\"step\":\"first\""),
			1);
	assert_int_equal(event(g, 5002, "\"next\":\"20", "450 4.2.1 late", id), 1);
	assert_int_equal(event(g, 4032, host, "\"level\":0,\"severity\":\"E\"",
					 "\"ndr\":\"511\""),
			1);
	assert_int_equal(event(g, 4032, "\"recipient\":\"u2@h.test\"",
					 "\"severity\":\"E\"",
					 "\"reply\":\"550 5.1.1 nobody\""),
			1);
	assert_int_equal(event(g, 4031, host, "\"recipient\":\"u2@h.test\"",
					 "\"reply\":\"550 5.1.1 nobody\""),
			1);
	assert_int_equal(event(g, 4032, "u3@h.test", "\"ndr\":\"550\"", host), 1);
	assert_int_equal(event(g, 4031, "u3@h.test", "\"no words with digits\"", host),
			1);
	assert_int_equal(event(g, 2001, host, "\"delivered\":1,\"undeliverable\":2",
					 "\"sender\":\"s@x.test\""),
			1);
}

/* Of what nobody was asked for nothing is told as an attempt; of a notice nothing counts. */
static void
what_was_no_attempt_is_told_as_none(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");

	hand_take(g, &h, "smtp:h.test:25", 2);
	settle_all(h.l, &v);
	h.l->results[0].attempted = false;
	h.l->results[1].state = QUEUE_BADMAIL;
	settle_done(&g->r, &h.l->job);
	TOLD(0, "\"id\"");
	assert_int_equal(g->r.sum.delivered, 0);
	for (size_t i = 0; i < 3; i++) {
		static const enum fate fates[] = { FATE_DELIVERED, FATE_DEFERRED,
			FATE_BOUNCED };

		hand_take(g, &h, "smtp:h.test:25", 1);
		h.m.flags = MESSAGE_NOTICE;
		v.fate = fates[i];
		settle_all(h.l, &v);
		settle_done(&g->r, &h.l->job);
	}
	TOLD(1, "\"id\":5003");
	TOLD(1, "\"id\":5002");
	TOLD(1, "\"id\":4031");
	assert_int_equal(g->r.sum.delivered + g->r.sum.deferred + g->r.sum.refused, 0);
}

/* The enhanced code alone, and as many of its digits as there is room for. */
static void
a_status_is_told_without_its_dots(void **state)
{
	static const struct {
		const char *text, *ndr;
	} all[] = {
		{ "5.7.1 no", "\"ndr\":\"571\"" },
		{ "5.7.1", "\"ndr\":\"571\"" },
		{ "5.7 no", "\"ndr\":\"550\"" },
		{ "5.123.456 no", "\"ndr\":\"5123456\"" },
		{ "5.123.4567 no", "\"ndr\":\"5123456\"" },
		{ "5.1.1: no 7", "\"ndr\":\"511\"" },
		{ "5.9.0/x", "\"ndr\":\"590\"" },
		{ "", "\"ndr\":\"550\"" },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct verdict v = answer(FATE_BOUNCED, 550, "", all[i].text);
		struct hand h;

		hand_take(g, &h, "smtp:h.test:25", 1);
		settle_all(h.l, &v);
		forget(g);
		settle_done(&g->r, &h.l->job);
		TOLD(1, all[i].ndr);
	}
}

/* A reply that is longer than what is told of one. */
static void
a_long_reply_is_told_as_far_as_there_is_room(void **state)
{
	struct gate *g = *state;
	char text[700];
	struct hand h;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 x");

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i < sizeof(text) - 1 ? 'x' : '\0';
	hand_take(g, &h, "smtp:h.test:25", 1);
	settle_all(h.l, &v);
	h.l->results[0].reply = span_of(text);
	settle_done(&g->r, &h.l->job);
	text[639 - 4] = '\0';
	char want[800];
	(void)snprintf(want, sizeof(want), "\"reply\":\"250 %s\"", text);
	TOLD(2, want); /* 5003 and 4032 */
}

static void
mended_line_ends_are_told_as_what_they_were(void **state)
{
	static const struct {
		bool changed, nul;
		const char *found;
	} all[] = {
		{ true, false, "\"found\":\"bare CR or LF\"" },
		{ false, true, "\"found\":\"NUL, which went out as it is\"" },
		{ true, true, "\"found\":\"bare CR or LF, and NUL, which went out as it is\"" },
	};
	struct gate *g = *state;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");

	for (size_t i = 0; i < 3; i++) {
		struct hand h;

		hand_take(g, &h, "smtp:h.test:25", 1);
		h.l->changed = all[i].changed;
		h.l->nul = all[i].nul;
		settle_all(h.l, &v);
		forget(g);
		settle_done(&g->r, &h.l->job);
		assert_int_equal(event(g, 4044, all[i].found, "h.test:25", "trace"), 1);
	}
}

/* It leaves by many leases, and is told once. */
static void
a_message_that_is_split_is_told_once(void **state)
{
	static const struct {
		size_t recipients, parts, told;
	} all[] = { { 101, 2, 1 }, { 101, 2, 0 }, { 100, 2, 0 }, { 101, 1, 0 } };
	struct gate *g = *state;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");
	uint64_t id = 0;

	for (size_t i = 0; i < 4; i++) {
		struct hand h;

		hand_take(g, &h, "smtp:h.test:25", all[i].recipients);
		if (i == 1)
			h.m.id = id;
		id = h.m.id;
		h.l->parts = all[i].parts;
		settle_all(h.l, &v);
		forget(g);
		settle_done(&g->r, &h.l->job);
		assert_int_equal(event(g, 3041, "\"recipients\":101", "\"max\":100",
						 "\"parts\":2"),
				all[i].told);
	}
}

static void
damage_is_told_with_what_comes_of_it(void **state)
{
	static const struct {
		bool badmail, again, told;
		const char *disp;
	} all[] = {
		{ true, false, true,
				"\"disp\":\"what is left of it goes to Badmail\"" },
		{ false, false, true,
				"\"disp\":\"what is left of it stays in the queue\"" },
		{ true, true, true,
				"goes to Badmail, and the next poll collects it again where the provider still has it\"" },
		{ true, true, false, "" },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < 4; i++) {
		struct hand h;

		hand_take(g, &h, "smtp:h.test:25", 1);
		g->conf->badmail.enabled = all[i].badmail;
		struct verdict v = settle_damage(h.l, "cut short");
		settle_all(h.l, &v);
		h.l->job.again = all[i].again;
		h.l->job.damage_new = all[i].told;
		forget(g);
		settle_done(&g->r, &h.l->job);
		assert_int_equal(event(g, 5009, all[i].disp, "\"how\":\"cut short\"",
						 "trace"),
				all[i].told);
	}
}

static void
badmail_is_told_for_its_reason_or_as_held(void **state)
{
	static const struct {
		bool enabled, written, notice;
		const char *reason, *want;
		int id; /* what is told; 0: nothing */
	} all[] = {
		{ true, true, false, "loop", "\"reason\":\"loop\"", 4117 },
		{ true, true, false, "", "\"reason\":\"general\"", 4117 },
		{ true, true, true, "loop", "\"reason\":\"loop\"", 4117 },
		{ true, false, false, "loop", "", 0 },
		{ false, false, false, "loop", "badmail.enabled is false", 5005 },
		{ false, true, false, "loop", "\"badmail\":\"", 4117 },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct hand h;

		hand_take(g, &h, HOP_BADMAIL, 2);
		h.to[0].state = h.to[1].state = QUEUE_BOUNCED;
		h.to[0].reason = span_of(all[i].reason);
		h.m.flags = all[i].notice ? MESSAGE_NOTICE : 0;
		g->conf->badmail.enabled = all[i].enabled;
		settle_badmail(h.l, all[i].written, 1000);
		g->r.sum.badmail = g->r.sum.notices_lost = 0;
		forget(g);
		settle_done(&g->r, &h.l->job);
		if (all[i].id != 0)
			assert_int_equal(event(g, all[i].id, all[i].want, "trace", ""),
					1);
		TOLD(all[i].id != 0, "\"id\"");
		assert_int_equal(g->r.sum.badmail, all[i].written && !all[i].notice);
		assert_int_equal(g->r.sum.notices_lost, all[i].notice);
	}
}

/* ---- a store that will not have it ---- */

static void
refuse(struct gate *g, struct lease *l, enum store_trouble trouble)
{
	l->job.job.result = STORE_FAILED;
	l->job.job.trouble = trouble;
	err_set(&l->job.job.err, 9005, "the disk is full");
	settle_done(&g->r, &l->job);
}

/* Until all of it is recorded no other attempt begins. */
static void
results_come_again_until_they_are_recorded(void **state)
{
	struct gate *g = *state;
	struct hand h[2];
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");

	for (size_t i = 0; i < 2; i++) {
		hand_take(g, &h[i], "smtp:h.test:25", 1);
		settle_all(h[i].l, &v);
		refuse(g, h[i].l, STORE_LOCKED);
	}
	assert_int_equal(g->r.owed, 2);
	assert_false(dispatch_may_begin(g->r.dispatch));
	for (unsigned again = 1; again <= 20; again++) {
		settle_tick(&g->r);
		assert_int_equal(g->r.unsettled_tries, again);
		assert_true(list_empty(&g->r.unsettled));
		for (size_t i = 0; i < 2; i++) { /* it was on its way */
			assert_false(list_empty(&h[i].l->job.job.link));
			list_del(&h[i].l->job.job.link);
			refuse(g, h[i].l, STORE_LOCKED);
		}
		assert_int_equal(g->r.owed, 2);
	}
	assert_int_equal(failures, 0); /* it waits, as health.c says */
	TOLD(0, "\"id\"");
	for (size_t i = 0; i < 2; i++) {
		list_del(&h[i].l->link);
		h[i].l->job.job.result = STORE_DONE;
		loop_timer_cancel(g->r.dispatch->look);
		settle_done(&g->r, &h[i].l->job);
		assert_int_equal(g->r.owed, 1 - i);
		assert_int_equal(g->r.unsettled_tries, 0);
		assert_true(loop_timer_pending(g->r.dispatch->look));
	}
	assert_true(dispatch_may_begin(g->r.dispatch));
	TOLD(2, "\"id\":5003");
}

static void
a_sound_store_that_refuses_ten_times_ends_the_role(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");

	hand_take(g, &h, "smtp:h.test:25", 1);
	settle_all(h.l, &v);
	refuse(g, h.l, STORE_SOUND);
	for (int again = 1; again <= 11; again++) {
		assert_int_equal(failures, 0);
		settle_tick(&g->r);
		list_del(&h.l->job.job.link);
		refuse(g, h.l, STORE_SOUND);
	}
	assert_int_equal(failures, 1);
}

/* Who was delivered may get it twice, and is named; nobody else is. */
static void
what_is_not_recorded_in_the_end_is_told(void **state)
{
	struct gate *g = *state;
	struct err err = { 0 };
	struct verdict ok = answer(FATE_DELIVERED, 250, "2.0.0", "250 2.0.0 mine"),
		       late = answer(FATE_DEFERRED, 450, "4.2.1", "450 later");

	struct hand two[2];

	assert_true(settle_end(&g->r, &err));
	for (size_t many = 1; many <= 2; many++) {
		struct lease *l;

		hand_take(g, &two[many - 1], "smtp:h.test:25", 4);
		l = two[many - 1].l;
		settle_verdict(l, 0, &ok);
		settle_verdict(l, 1, &late);
		settle_verdict(l, 2, &ok);
		l->results[2].attempted = false; /* the fourth is open */
		refuse(g, l, STORE_DISK_FULL);
		forget(g);
		assert_false(settle_end(&g->r, &err));
		assert_int_equal(err.event, 9005);
		TOLD(many, "\"id\"");
		assert_int_equal(event(g, 5011, "\"recipient\":\"u0@h.test\"",
						 "\"reply\":\"250 2.0.0 mine\"",
						 "\"err\":\"the disk is full\""),
				many);
		assert_non_null(strstr(err.text,
				many == 1 ? "of 1 message could"
					  : "of 2 messages could"));
		assert_non_null(strstr(err.text,
				many == 1 ? "it is attempted" : "they are attempted"));
	}
	settle_free(&g->r); /* what they point to ends here */
}

int
main(void)
{
#define IN_GATE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		IN_GATE(an_answer_is_kept_as_it_came_without_its_code),
		IN_GATE(who_was_put_off_too_long_expires),
		IN_GATE(the_store_gets_what_was_answered_and_no_more),
		IN_GATE(what_badmail_has_is_settled_and_what_it_has_not_comes_again),
		IN_GATE(each_result_is_told_once_it_is_recorded),
		IN_GATE(what_was_no_attempt_is_told_as_none),
		IN_GATE(a_status_is_told_without_its_dots),
		IN_GATE(a_long_reply_is_told_as_far_as_there_is_room),
		IN_GATE(mended_line_ends_are_told_as_what_they_were),
		IN_GATE(a_message_that_is_split_is_told_once),
		IN_GATE(damage_is_told_with_what_comes_of_it),
		IN_GATE(badmail_is_told_for_its_reason_or_as_held),
		IN_GATE(results_come_again_until_they_are_recorded),
		IN_GATE(a_sound_store_that_refuses_ten_times_ends_the_role),
		IN_GATE(what_is_not_recorded_in_the_end_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
