/* The administrator's words whose statements fail: one that was not done changes nothing at
 * all, and one that was is done whole. */
#include "deeds.h"
#include "postern/accountstore.h"
#include "postern/policystore.h"
#include "postern/recipientstore.h"
#include "state.h"

static void
prepare_retry(struct state *t)
{
	assert_false(fixture_settle(t, first_id,
			(struct settle_recipient){ .state = QUEUE_QUEUED,
					.attempted = true,
					.next_try_ms = NOW * 2,
					.reply = SPAN("4.2.0 later") }));
}

static bool
do_retry(struct state *t)
{
	uint64_t changed = 0;

	if (!queue_retry(t->store, 0, SPAN(""), NOW, &changed, &t->err))
		return false;
	assert_int_equal(changed, 3);
	return true;
}

static void
check_retry(struct state *t)
{
	struct queue_message *m;

	assert_int_equal(fixture_due(t, "drop", NOW, &m), 2);
	assert_int_equal(m[0].n + m[1].n, 3);
}

static const struct aliasstore_rule rule = { { SPAN_INIT("isp") },
	{ SPAN_INIT("sales") }, { SPAN_INIT("ann@contoso.test") }, NOW };

static void
prepare_assign(struct state *t)
{
	const struct submission_recipient nobody = {
		.hop = SPAN("unrouted"), .state = QUEUE_HELD, .reason = SPAN("unrouted")
	};
	struct submission sub = message(t, "held", &nobody, 1);

	sub.id = id;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
}

static bool
do_assign(struct state *t)
{
	const struct queue_target to[] = { { SPAN("ann@contoso.test"), SPAN("drop") },
		{ SPAN("bob@contoso.test"), SPAN("new hop") } };
	const struct queue_assignment x = { .id = id,
		.address = SPAN("sales@contoso.test"),
		.to = to,
		.n = 2,
		.list = true,
		.now_ms = NOW,
		.rule = &rule };
	bool was, added;

	if (!queue_assign(t->store, &x, &was, &added, &t->err))
		return false;
	assert_true(was && added);
	return true;
}

static void
check_assign(struct state *t)
{
	struct queue_story s = fixture_show(t, id);

	assert_int_equal(s.message.n, 3);
	assert_int_equal(s.message.recipients[0].state, QUEUE_REMOVED);
	assert_int_equal(s.message.recipients[1].state, QUEUE_QUEUED);
	assert_int_equal(s.message.recipients[2].state, QUEUE_QUEUED);
	assert_span(s.message.recipients[2].hop, "new hop");
}

static size_t
rules_of(struct state *t)
{
	struct aliasstore_rule *v;
	size_t n;

	assert_true(aliasstore_load(
			store_reader(t->store), isp, &t->arena, &v, &n, &t->err));
	return n;
}

static bool
do_rule(struct state *t)
{
	bool added;

	return aliasstore_add(t->store, &rule, &added, &t->err) && added;
}

static void
check_rule(struct state *t)
{
	assert_int_equal(rules_of(t), 1);
}

static void
prepare_forget(struct state *t)
{
	assert_true(do_rule(t));
}

static bool
do_forget(struct state *t)
{
	uint64_t was = 0;

	return aliasstore_forget(t->store, isp, SPAN("sales"), &was, &t->err) &&
			was == 1;
}

static void
check_forget(struct state *t)
{
	assert_int_equal(rules_of(t), 0);
}

static bool
do_resume(struct state *t)
{
	return accountstore_resume(t->store, isp, &t->err);
}

static void
check_resume(struct state *t)
{
	uint64_t times = 0;

	assert_true(accountstore_resumed(store_reader(t->store), isp, &times, &t->err));
	assert_int_equal(times, 1);
}

static bool
do_ask_again(struct state *t)
{
	return accountstore_retry(t->store, isp, SPAN("u"), &t->err);
}

static void
each_uidl(void *host, struct span uidl)
{
	assert_span(uidl, "u");
	++*(int *)host;
}

static void
check_ask_again(struct state *t)
{
	uint64_t asked = 0;
	int n = 0;

	assert_true(accountstore_retries(
			store_reader(t->store), isp, &asked, each_uidl, &n, &t->err));
	assert_int_equal(n, 1);
	assert_true(asked > 0);
}

static struct policystore_domain domain = { .name = { SPAN_INIT("contoso.test") } };
static struct policystore_address address = { { SPAN_INIT("%m@contoso.test") }, true };
static struct span group = { SPAN_INIT("staff") };

static bool
do_policies(struct state *t)
{
	const struct policystore_policy p = { .name = SPAN("default"),
		.groups = &group,
		.n_groups = 1,
		.addresses = &address,
		.n_addresses = 1,
		.domains = &domain,
		.n_domains = 1 };
	uint64_t changed = 0;

	return policystore_apply(t->store, &p, 1, &changed, &t->err) && changed == 1;
}

static size_t
policies(struct state *t, struct policystore_policy **p)
{
	uint64_t version;
	size_t n;

	assert_true(policystore_load(
			store_reader(t->store), &t->arena, p, &n, &version, &t->err));
	assert_true(version > 0);
	return n;
}

static void
check_policies(struct state *t)
{
	struct policystore_policy *p;

	assert_int_equal(policies(t, &p), 1);
	assert_int_equal(p->n_groups + p->n_addresses + p->n_domains, 3);
}

static void
prepare_policy(struct state *t)
{
	assert_true(do_policies(t));
}

static bool
do_remove_policy(struct state *t)
{
	bool was = false;

	return policystore_remove(t->store, SPAN("default"), &was, &t->err) && was;
}

static bool
do_take_back(struct state *t)
{
	const struct span name = SPAN("default");

	return policystore_take_back(t->store, &name, 1, &t->err);
}

static void
check_no_policy(struct state *t)
{
	struct policystore_policy *p;

	assert_int_equal(policies(t, &p), 0);
}

static bool
do_add_domain(struct state *t)
{
	const struct policystore_domain d = { .name = SPAN("far.test") };
	bool added = false;

	return policystore_add_domain(t->store, SPAN("hand"), 7, &d, &added, &t->err) &&
			added;
}

static void
check_add_domain(struct state *t)
{
	struct policystore_policy *p;

	assert_int_equal(policies(t, &p), 1);
	assert_span(p->name, "hand");
	assert_int_equal(p->n_domains, 1);
}

static bool
do_remove_domain(struct state *t)
{
	uint64_t was = 0;

	return policystore_remove_domain(
			       t->store, SPAN("contoso.test"), false, &was, &t->err) &&
			was == 1;
}

static void
check_remove_domain(struct state *t)
{
	struct policystore_policy *p;

	assert_int_equal(policies(t, &p), 1);
	assert_int_equal(p->n_domains, 0);
}

static bool
do_recipients(struct state *t)
{
	static const struct span member = { SPAN_INIT("jane") };
	const struct directory_row rows[] = {
		{ .alias = SPAN("jane"), .groups = { &group, 1 } },
		{ .alias = SPAN("info"), .members = { &member, 1 } },
	};
	struct recipientstore_change change = { 0 };

	return recipientstore_put(t->store, rows, 2, &change, &t->err) &&
			change.added == 2;
}

static struct directory_row *
recipients(struct state *t, size_t want)
{
	struct directory_row *v;
	size_t n;

	assert_true(recipientstore_load(
			store_reader(t->store), &t->arena, &v, &n, &t->err));
	assert_int_equal(n, want);
	return v;
}

static void
check_recipients(struct state *t)
{
	const struct directory_row *v = recipients(t, 2);

	assert_int_equal(v[0].members.n, 1);
	assert_int_equal(v[1].groups.n, 1);
}

static void
prepare_recipients(struct state *t)
{
	assert_true(do_recipients(t));
}

static bool
do_remove_recipient(struct state *t)
{
	bool was = false;

	return recipientstore_remove(t->store, SPAN("info"), &was, &t->err) && was;
}

static void
check_remove_recipient(struct state *t)
{
	assert_span(recipients(t, 1)->alias, "jane");
}

static const struct deed deeds[] = {
	{ "retry", prepare_retry, do_retry, check_retry },
	{ "assign", prepare_assign, do_assign, check_assign },
	{ "rule", NULL, do_rule, check_rule },
	{ "forget a rule", prepare_forget, do_forget, check_forget },
	{ "resume", NULL, do_resume, check_resume },
	{ "ask again", NULL, do_ask_again, check_ask_again },
	{ "policies", NULL, do_policies, check_policies },
	{ "remove a policy", prepare_policy, do_remove_policy, check_no_policy },
	{ "take a policy back", prepare_policy, do_take_back, check_no_policy },
	{ "add a domain", NULL, do_add_domain, check_add_domain },
	{ "remove a domain", prepare_policy, do_remove_domain, check_remove_domain },
	{ "recipients", NULL, do_recipients, check_recipients },
	{ "remove a recipient", prepare_recipients, do_remove_recipient,
			check_remove_recipient },
};

static void
a_step_that_fails_takes_all_of_it_back(void **state)
{
	(void)state;
	all_of_them(deeds, sizeof deeds / sizeof deeds[0]);
}

/* Nor is a word written into a file that has lost its name. */
static void
a_database_that_was_replaced_takes_no_word(void **state)
{
	struct state *t = *state;
	char path[96], aside[96];
	uint64_t changed;

	(void)snprintf(path, sizeof path, "%s/postern.db", t->dir);
	(void)snprintf(aside, sizeof aside, "%s/aside", t->dir);
	before(t);
	prepare_retry(t);
	assert_int_equal(rename(path, aside), 0);
	assert_false(queue_retry(t->store, 0, SPAN(""), NOW, &changed, &t->err));
	assert_int_equal(t->err.event, 9015);
	assert_int_equal(rename(aside, path), 0);
	assert_true(queue_retry(t->store, 0, SPAN(""), NOW, &changed, &t->err));
}

/* A visitor remembers next hops, but the service may have forgotten them since. */
static void
a_visitor_asks_for_a_next_hop_again(void **state)
{
	struct state *t = *state, visitor = *t;
	struct submission_recipient to = fixture_to;

	assert_non_null(fixture_open(&visitor, false));
	to.hop = SPAN("passing");
	for (int i = 0; i < 2; i++) {
		struct submission sub = message(&visitor, NULL, &to, 1);

		assert_int_equal(fixture_do(&visitor, &sub.job), STORE_DONE);
		assert_span(fixture_show(t, sub.id).message.recipients[0].hop,
				"passing");
		assert_int_equal(
				sqlite3_exec(t->store->self.db.h,
						"DELETE FROM recipient; DELETE FROM hop;"
						"INSERT INTO hop (key) VALUES ('other')",
						NULL, NULL, NULL),
				SQLITE_OK);
	}
	store_close(visitor.store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_that_fails_takes_all_of_it_back),
		TEST(a_database_that_was_replaced_takes_no_word),
		TEST(a_visitor_asks_for_a_next_hop_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
