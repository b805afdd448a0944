/* Whatever is read: it is all of it, or it is said that it could not be read. A step that
 * fails, an arena that is full, is never an end. */
#include "fixture.h"
#include "postern/accountstore.h"
#include "postern/policystore.h"
#include "postern/recipientstore.h"
#include "steps.h"

enum { MESSAGES = 20 };

static const struct span isp = { SPAN_INIT("isp") };
static uint64_t first_id;

/* What a question was answered, mixed into one number; false and t->err. */
struct answer {
	uint64_t n;
};

static void
mix(struct answer *out, uint64_t v)
{
	out->n = (out->n ^ v) * UINT64_C(1099511628211) + 1;
}

static void
mix_text(struct answer *out, struct span s)
{
	mix(out, s.n);
	for (size_t i = 0; i < s.n; i++)
		mix(out, (unsigned char)s.p[i]);
}

static void
mix_messages(struct answer *out, const struct queue_message *m, size_t n)
{
	mix(out, n);
	for (size_t i = 0; i < n; i++) {
		mix(out, m[i].id);
		mix(out, m[i].size);
		mix(out, m[i].n);
		mix(out, m[i].body);
		mix_text(out, m[i].account);
		mix_text(out, m[i].uidl);
		mix_text(out, m[i].source);
		mix_text(out, m[i].sender);
		mix_text(out, m[i].message_id);
		for (size_t k = 0; k < m[i].n; k++) {
			mix(out, m[i].recipients[k].state);
			mix(out, m[i].recipients[k].seq);
			mix_text(out, m[i].recipients[k].address);
			mix_text(out, m[i].recipients[k].hop);
			mix_text(out, m[i].recipients[k].reply);
			mix_text(out, m[i].recipients[k].host);
			mix_text(out, m[i].recipients[k].reason);
			mix_text(out, m[i].recipients[k].asked);
		}
	}
}

static bool
ask_hops(struct state *t, struct answer *out)
{
	struct queue_hop *v;
	size_t n;

	if (!queue_hops(store_reader(t->store), &t->arena, &v, &n, &t->err))
		return false;
	for (size_t i = 0; i < n; i++) {
		mix_text(out, v[i].hop);
		mix(out, (uint64_t)v[i].next_try_ms);
	}
	return true;
}

static bool
ask_due(struct state *t, struct answer *out)
{
	struct queue_due want = { .hop = SPAN("drop"),
		.now_ms = NOW * 2,
		.messages = 100,
		.recipients = 100 };
	struct queue_message *m;
	size_t n;

	if (!queue_due(store_reader(t->store), &want, &t->arena, &m, &n, &t->err))
		return false;
	mix_messages(out, m, n);
	return true;
}

static bool
list_of(struct state *t, const struct queue_filter *f, struct answer *out)
{
	struct queue_message *m;
	size_t n;

	if (!queue_list(store_reader(t->store), f, &t->arena, &m, &n, &t->err))
		return false;
	mix_messages(out, m, n);
	return true;
}

static bool
ask_list(struct state *t, struct answer *out)
{
	return list_of(t, &(struct queue_filter){ .limit = 100 }, out);
}

static bool
ask_list_some(struct state *t, struct answer *out)
{
	return list_of(t,
			&(struct queue_filter){ .open = true,
					.by_state = true,
					.state = QUEUE_QUEUED,
					.domain = SPAN("contoso.test") },
			out);
}

static bool
ask_show(struct state *t, struct answer *out)
{
	struct queue_story s;
	bool found = false;

	if (!queue_show(store_reader(t->store), first_id, &t->arena, &s, &found,
			    &t->err))
		return false;
	assert_true(found);
	mix_messages(out, &s.message, 1);
	mix_text(out, s.route);
	for (size_t i = 0; i < s.n; i++) {
		mix(out, s.attempts[i].number);
		mix_text(out, s.attempts[i].reply);
		mix_text(out, s.attempts[i].host);
	}
	return true;
}

static bool
find(struct state *t, const char *text, struct answer *out)
{
	uint64_t *ids;
	size_t n;

	if (!queue_find(store_reader(t->store), span_of(text), &t->arena, &ids, &n,
			    &t->err))
		return false;
	for (size_t i = 0; i < n; i++)
		mix(out, ids[i]);
	return true;
}

static bool
ask_find_id(struct state *t, struct answer *out)
{
	char id[QID_SIZE];

	qid_print(first_id, id);
	return find(t, id, out);
}

static bool
ask_find_message_id(struct state *t, struct answer *out)
{
	return find(t, "one@nwtraders.test", out);
}

static bool
ask_find_uidl(struct state *t, struct answer *out)
{
	return find(t, "isp/u1", out);
}

static bool
ask_unrouted(struct state *t, struct answer *out)
{
	struct queue_message *m;
	size_t n;

	if (!queue_unrouted(store_reader(t->store), 0, &t->arena, &m, &n, &t->err))
		return false;
	mix_messages(out, m, n);
	return true;
}

static bool
ask_collected_ids(struct state *t, struct answer *out)
{
	uint64_t ids[QUEUE_IDS_PAGE];
	size_t n;
	const struct queue_since f = { .account = isp };

	if (!queue_collected(store_reader(t->store), &f, ids, &n, &t->err))
		return false;
	for (size_t i = 0; i < n; i++)
		mix(out, ids[i]);
	return true;
}

static bool
ask_source(struct state *t, struct answer *out)
{
	struct queue_source s;

	if (!queue_source(store_reader(t->store), first_id, &t->arena, &s, &t->err))
		return false;
	mix_text(out, s.account);
	mix(out, (uint64_t)s.arrived_ms);
	return true;
}

static bool
ask_heaps(struct state *t, struct answer *out)
{
	struct queue_heap h[QUEUE_HEAPS];

	if (!queue_heaps(store_reader(t->store), NOW + 10, h, &t->err))
		return false;
	for (size_t i = 0; i < QUEUE_HEAPS; i++) {
		mix(out, h[i].messages);
		mix(out, h[i].of_hour);
		mix(out, h[i].of_day);
		mix(out, h[i].unrouted);
		mix(out, (uint64_t)h[i].oldest_ms);
	}
	return true;
}

static bool
ask_count(struct state *t, struct answer *out)
{
	struct queue_size s;

	if (!queue_count(store_reader(t->store), &s, &t->err))
		return false;
	mix(out, s.messages);
	mix(out, s.recipients);
	mix(out, (uint64_t)s.oldest_ms);
	return true;
}

static bool
ask_replays(struct state *t, struct answer *out)
{
	struct queue_replay *v;
	size_t n;

	if (!queue_replays(store_reader(t->store), first_id, &t->arena, &v, &n,
			    &t->err))
		return false;
	mix(out, n);
	return true;
}

static bool
ask_origins(struct state *t, struct answer *out)
{
	struct reader *r = store_reader(t->store);
	struct origin_row row;

	origin_walk(r, isp);
	while (origin_walk_next(r, &row)) {
		mix_text(out, row.uidl);
		mix(out, row.id);
		mix(out, row.state);
	}
	return origin_walk_end(r, &t->err);
}

static bool
ask_origin(struct state *t, struct answer *out)
{
	enum origin_state is;
	uint64_t id = 0;

	if (!origin_look(store_reader(t->store), isp, SPAN("u1"), &is, &id, &t->err))
		return false;
	mix(out, is);
	mix(out, id);
	return true;
}

static bool
ask_since(struct state *t, struct answer *out)
{
	int64_t at;

	if (!origin_since(store_reader(t->store), isp, SPAN("u1"), &at, &t->err))
		return false;
	mix(out, (uint64_t)at);
	return true;
}

static bool
ask_collected(struct state *t, struct answer *out)
{
	return origin_collected(store_reader(t->store), isp, 0, &out->n, &t->err);
}

static bool
ask_collected_all(struct state *t, struct answer *out)
{
	struct collected *v;
	size_t n;

	if (!origin_collected_all(
			    store_reader(t->store), 0, &t->arena, &v, &n, &t->err))
		return false;
	for (size_t i = 0; i < n; i++) {
		mix_text(out, v[i].account);
		mix(out, v[i].messages);
	}
	return true;
}

static bool
ask_memo(struct state *t, struct answer *out)
{
	struct span memo;

	if (!poll_memo(store_reader(t->store), isp, &t->arena, &memo, &t->err))
		return false;
	mix_text(out, memo);
	return true;
}

static bool
ask_sessions(struct state *t, struct answer *out)
{
	struct poll_session *v;
	size_t n;

	if (!poll_sessions(store_reader(t->store), isp, &t->arena, &v, &n, &t->err))
		return false;
	for (size_t i = 0; i < n; i++) {
		mix(out, (uint64_t)v[i].started_ms);
		mix_text(out, v[i].text);
	}
	return true;
}

static bool
ask_polls(struct state *t, struct answer *out)
{
	struct poll_result *v;
	size_t n;

	if (!poll_results(store_reader(t->store), &t->arena, &v, &n, &t->err))
		return false;
	for (size_t i = 0; i < n; i++) {
		mix_text(out, v[i].account);
		mix_text(out, v[i].text);
		mix_text(out, v[i].says);
		mix(out, v[i].listed);
	}
	return true;
}

static bool
ask_body(struct state *t, struct answer *out)
{
	bool gone = true;
	struct body *b = body_find(store_reader(t->store), first_id, &gone, &t->err);
	struct span piece = { "", 1 };
	bool ok = b;

	assert_false(gone);
	while (ok && piece.n > 0) {
		ok = body_next(b, &piece, &t->err);
		mix_text(out, piece);
	}
	body_close(b);
	return ok;
}

static bool
ask_resumed(struct state *t, struct answer *out)
{
	return accountstore_resumed(store_reader(t->store), isp, &out->n, &t->err);
}

static void
each_retry(void *host, struct span uidl)
{
	mix_text(host, uidl);
}

static bool
ask_retries(struct state *t, struct answer *out)
{
	uint64_t asked = 0;

	if (!accountstore_retries(store_reader(t->store), isp, &asked, each_retry, out,
			    &t->err))
		return false;
	mix(out, asked);
	return true;
}

static bool
ask_rules(struct state *t, struct answer *out)
{
	struct aliasstore_rule *v;
	size_t n;

	if (!aliasstore_load(store_reader(t->store), isp, &t->arena, &v, &n, &t->err))
		return false;
	for (size_t i = 0; i < n; i++) {
		mix_text(out, v[i].match);
		mix_text(out, v[i].target);
	}
	return true;
}

static bool
ask_policies(struct state *t, struct answer *out)
{
	struct policystore_policy *p;
	uint64_t version;
	size_t n;

	if (!policystore_load(store_reader(t->store), &t->arena, &p, &n, &version,
			    &t->err))
		return false;
	mix(out, version);
	for (size_t i = 0; i < n; i++) {
		mix_text(out, p[i].name);
		for (size_t k = 0; k < p[i].n_groups; k++)
			mix_text(out, p[i].groups[k]);
		for (size_t k = 0; k < p[i].n_addresses; k++)
			mix_text(out, p[i].addresses[k].text);
		for (size_t k = 0; k < p[i].n_domains; k++)
			mix_text(out, p[i].domains[k].name);
	}
	return true;
}

static bool
ask_version(struct state *t, struct answer *out)
{
	return policystore_version(store_reader(t->store), &out->n, &t->err);
}

static void
mix_recipients(struct answer *out, const struct directory_row *v, size_t n)
{
	mix(out, n);
	for (size_t i = 0; i < n; i++) {
		mix_text(out, v[i].alias);
		mix_text(out, v[i].display);
		for (size_t k = 0; k < v[i].groups.n; k++)
			mix_text(out, v[i].groups.v[k]);
		for (size_t k = 0; k < v[i].members.n; k++)
			mix_text(out, v[i].members.v[k]);
	}
}

static bool
ask_recipients(struct state *t, struct answer *out)
{
	struct directory_row *v;
	size_t n;

	if (!recipientstore_load(store_reader(t->store), &t->arena, &v, &n, &t->err))
		return false;
	mix_recipients(out, v, n);
	return true;
}

static bool
ask_rows(struct state *t, struct answer *out)
{
	struct directory_rows rows;
	uint64_t version;

	if (!recipientstore_rows(store_reader(t->store), &t->arena, &rows, &version,
			    &t->err))
		return false;
	mix_recipients(out, rows.recipients, rows.n_recipients);
	mix(out, rows.n_policies);
	mix(out, rows.n_domains);
	mix(out, version);
	return true;
}

static bool
ask_directory(struct state *t, struct answer *out)
{
	struct directory *d;

	if (!directory_load(store_reader(t->store), &d, &out->n, &t->err))
		return false;
	directory_free(d);
	return true;
}

static bool
ask_notices(struct state *t, struct answer *out)
{
	struct notice_count *v;
	size_t n;

	if (!notice_due(store_reader(t->store), NOW * 2, &t->arena, &v, &n, &t->err))
		return false;
	for (size_t i = 0; i < n; i++) {
		mix_text(out, v[i].postmaster);
		mix(out, v[i].more);
	}
	return true;
}

static const struct question {
	const char *what;
	bool (*ask)(struct state *t, struct answer *out);
	bool may_be_less; /* a full arena gives a part of it, the rest comes later */
} questions[] = {
	{ "hops", ask_hops, false },
	{ "due", ask_due, false },
	{ "list", ask_list, false },
	{ "list of some", ask_list_some, false },
	{ "show", ask_show, false },
	{ "find by id", ask_find_id, false },
	{ "find by Message-ID", ask_find_message_id, false },
	{ "find by UIDL", ask_find_uidl, false },
	{ "unrouted", ask_unrouted, false },
	{ "collected ids", ask_collected_ids, false },
	{ "source", ask_source, false },
	{ "heaps", ask_heaps, false },
	{ "count", ask_count, false },
	{ "replays", ask_replays, false },
	{ "origins", ask_origins, false },
	{ "origin", ask_origin, false },
	{ "since", ask_since, false },
	{ "collected", ask_collected, false },
	{ "collected from all", ask_collected_all, false },
	{ "memo", ask_memo, false },
	{ "sessions", ask_sessions, false },
	{ "polls", ask_polls, false },
	{ "body", ask_body, false },
	{ "resumed", ask_resumed, false },
	{ "retries", ask_retries, false },
	{ "alias rules", ask_rules, false },
	{ "policies", ask_policies, false },
	{ "version", ask_version, false },
	{ "recipients", ask_recipients, false },
	{ "directory rows", ask_rows, false },
	{ "directory", ask_directory, false },
	{ "notices", ask_notices, true },
};
enum { QUESTIONS = sizeof questions / sizeof questions[0] };

/* ---- a state with something of everything ---- */

static const struct submission_recipient to[] = {
	{ .address = { SPAN_INIT("ann@contoso.test") },
			.hop = { SPAN_INIT("drop") },
			.state = QUEUE_QUEUED,
			.asked = { SPAN_INIT("list@contoso.test") } },
	{ .address = { SPAN_INIT("bob@contoso.test") },
			.hop = { SPAN_INIT("drop") },
			.state = QUEUE_QUEUED },
	{ .address = { SPAN_INIT("carl@far.test") },
			.hop = { SPAN_INIT("badmail") },
			.state = QUEUE_REFUSED,
			.code = 550,
			.reply = { SPAN_INIT("5.7.1 no") },
			.reason = { SPAN_INIT("relay-denied") } },
};

static void
fill_queue(struct state *t)
{
	static const struct submission_recipient nobody = {
		.hop = { SPAN_INIT("unrouted") },
		.state = QUEUE_HELD,
		.reason = { SPAN_INIT("unrouted") }
	};
	char uidl[20];

	for (int i = 0; i < MESSAGES; i++) {
		(void)snprintf(uidl, sizeof uidl, "u%d", i);
		struct submission sub = fixture_message(t, uidl);

		sub.recipients = i == 1 ? &nobody : to;
		sub.n = i == 1 ? 1 : 3;
		assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
		if (i == 0)
			first_id = sub.id;
	}
	for (int i = 0; i < 2; i++)
		assert_false(fixture_settle(t, first_id,
				(struct settle_recipient){ .state = QUEUE_QUEUED,
						.attempted = true,
						.next_try_ms = NOW + 9,
						.hop = SPAN("smtp:far"),
						.code = 450,
						.host = SPAN("far"),
						.reply = SPAN("4.2.0 later") }));
	struct submission sub = fixture_message(t, NULL);
	struct notice n = { .postmaster = SPAN("postmaster@contoso.test"),
		.mail = sub };
	struct settle_recipient bounced = {
		.seq = 1, .state = QUEUE_BOUNCED, .attempted = true, .next_try_ms = NOW
	};
	struct settlement set = { .job = { .work = STORE_SETTLE },
		.id = first_id,
		.at_ms = NOW,
		.recipients = &bounced,
		.n = 1,
		.notices = &n };
	n.mail.n = 0; /* no notice: it is counted */
	assert_int_equal(fixture_do(t, &set.job), STORE_DONE);
}

static void
fill_accounts(struct state *t)
{
	for (int i = 0; i < 3; i++) {
		struct poll_result p = { .job = { .work = STORE_POLLED },
			.account = i == 2 ? SPAN("other") : isp,
			.started_ms = NOW + i,
			.ok = true,
			.text = SPAN("ok"),
			.listed = 7,
			.says = SPAN("nearly full"),
			.memo = SPAN("memo"),
			.session = SPAN("S: +OK\n") };

		assert_int_equal(fixture_do(t, &p.job), STORE_DONE);
	}
	assert_true(accountstore_resume(t->store, isp, &t->err));
	assert_true(accountstore_retry(t->store, isp, SPAN("u1"), &t->err));
	assert_true(accountstore_retry(t->store, isp, SPAN(""), &t->err));
}

static void
fill_directory(struct state *t)
{
	static struct policystore_domain domain = {
		.name = { SPAN_INIT("contoso.test") }, .subaddress = { SPAN_INIT("+") }
	};
	static struct policystore_address address = { { SPAN_INIT("%m@contoso.test") },
		true };
	static struct span group = { SPAN_INIT("staff") };
	static const struct span member = { SPAN_INIT("jane") };
	const struct policystore_policy p = { .name = SPAN("default"),
		.groups = &group,
		.n_groups = 1,
		.addresses = &address,
		.n_addresses = 1,
		.domains = &domain,
		.n_domains = 1 };
	const struct directory_row rows[] = {
		{ .alias = SPAN("jane"),
				.display = SPAN("Jane"),
				.groups = { &group, 1 } },
		{ .alias = SPAN("info"), .members = { &member, 1 } },
	};
	const struct aliasstore_rule rule = { isp, SPAN("sales"),
		SPAN("jane@contoso.test"), NOW };
	struct recipientstore_change change;
	uint64_t changed;
	bool added;

	assert_true(policystore_apply(t->store, &p, 1, &changed, &t->err));
	assert_true(recipientstore_put(t->store, rows, 2, &change, &t->err));
	if (!aliasstore_add(t->store, &rule, &added, &t->err))
		fail_msg("%s", t->err.text);
}

static int
set_up(void **state)
{
	(void)fixture_set_up(state);
	fill_queue(*state);
	fill_accounts(*state);
	fill_directory(*state);
	return 0;
}

static bool
asked(struct state *t, const struct question *q, size_t arena, struct answer *out)
{
	arena_done(&t->arena);
	t->arena = ARENA_MAX(arena);
	t->err = (struct err){ 0 };
	*out = (struct answer){ 0 };
	return q->ask(t, out);
}

enum { ENOUGH = 64 * 1024 * 1024 };

static void
a_step_that_fails_is_no_end(void **state)
{
	static const int codes[] = { SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_BUSY };
	struct state *t = *state;

	for (size_t i = 0; i < QUESTIONS; i++) {
		const struct question *q = &questions[i];
		struct answer whole, got;
		unsigned failed = 0;
		bool struck = true;

		assert_true(asked(t, q, ENOUGH, &whole));
		for (unsigned n = 1; struck; n++) {
			steps_fail(n, 1, codes[n % 3]);
			bool ok = asked(t, q, ENOUGH, &got);
			struck = steps_end();
			if (ok && got.n != whole.n)
				fail_msg("%s, step %u: another answer", q->what, n);
			if (!ok && (!struck || t->err.event != 9005 || !t->err.text[0]))
				fail_msg("%s, step %u: %d %s", q->what, n, t->err.event,
						t->err.text);
			failed += !ok;
			assert_true(asked(t, q, ENOUGH, &got));
			if (got.n != whole.n)
				fail_msg("%s, after step %u: another answer", q->what,
						n);
		}
		if (failed == 0)
			fail_msg("%s: nothing failed", q->what);
	}
}

static void
a_full_arena_is_no_end(void **state)
{
	struct state *t = *state;

	for (size_t i = 0; i < QUESTIONS; i++) {
		const struct question *q = &questions[i];
		struct answer whole, got;
		bool ok = false;

		assert_true(asked(t, q, ENOUGH, &whole));
		size_t used = t->arena.used;
		for (size_t most = 0; most < used; most += 1 + used / 150) {
			ok = asked(t, q, most, &got);
			if (ok && !q->may_be_less && got.n != whole.n)
				fail_msg("%s, of %zu octets: another answer", q->what,
						most);
			if (!ok && !t->err.text[0])
				fail_msg("%s, of %zu octets: no reason", q->what, most);
		}
		assert_true(asked(t, q, used, &got));
		assert_int_equal(got.n, whole.n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				a_step_that_fails_is_no_end, set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
				a_full_arena_is_no_end, set_up, fixture_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
