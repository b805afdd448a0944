#include "fixture.h"
#include "postern/policystore.h"

static struct policystore_domain domains[] = {
	{ { SPAN_INIT("contoso.test") }, false, true, false, { SPAN_INIT("+") },
			false },
	{ { SPAN_INIT("branch.test") }, true, false, true, { SPAN_INIT("+-") }, false },
};
static struct policystore_address addresses[] = {
	{ { SPAN_INIT("%g.%s@contoso.test") }, true },
	{ { SPAN_INIT("%m@contoso.test") }, false },
};
static struct span groups[] = { { SPAN_INIT("staff") } };

static struct policystore_policy
policy(const char *name, int64_t priority)
{
	return (struct policystore_policy){ .name = span_of(name),
		.priority = priority,
		.groups = groups,
		.n_groups = 1,
		.addresses = addresses,
		.n_addresses = 2,
		.domains = domains,
		.n_domains = 2 };
}

static size_t
load(struct state *t, struct policystore_policy **p, uint64_t *version)
{
	size_t n;
	if (!policystore_load(
			    store_reader(t->store), &t->arena, p, &n, version, &t->err))
		fail_msg("%s", t->err.text);
	return n;
}

static void
policies_come_back_in_their_order(void **state)
{
	struct state *t = *state;
	struct policystore_policy in[] = { policy("default", 0), policy("b", 20),
		policy("a", 30) },
				  *p;
	uint64_t changed, first, version;
	assert_int_equal(load(t, &p, &first), 0);
	assert_true(policystore_apply(t->store, in, 3, &changed, &t->err));
	assert_int_equal(changed, 3);
	fixture_reopen(t);
	assert_int_equal(load(t, &p, &version), 3);
	assert_true(version > first);
	assert_span(p[0].name, "b");
	assert_span(p[1].name, "a");
	assert_span(p[2].name, "default");
	assert_int_equal(p[1].priority, 30);
	assert_int_equal(p[0].n_domains, 2);
	assert_span(p[0].domains[0].name, "branch.test");
	assert_true(p[0].domains[0].subdomains && p[0].domains[0].reject_unknown);
	assert_false(p[0].domains[0].authoritative);
	assert_span(p[0].domains[0].subaddress, "+-");
	assert_true(p[0].domains[1].authoritative);
	assert_span(p[0].addresses[0].text, "%g.%s@contoso.test");
	assert_true(p[0].addresses[0].primary);
	assert_span(p[0].addresses[1].text, "%m@contoso.test");
	assert_span(p[0].groups[0], "staff");
}

static void
only_a_change_raises_the_version(void **state)
{
	struct state *t = *state;
	struct policystore_policy in = policy("a", 1), *p;
	uint64_t changed, before, after;
	assert_true(policystore_apply(t->store, &in, 1, &changed, &t->err));
	assert_true(policystore_version(store_reader(t->store), &before, &t->err));
	assert_true(policystore_apply(t->store, &in, 1, &changed, &t->err));
	assert_int_equal(changed, 0);
	assert_true(policystore_version(store_reader(t->store), &after, &t->err));
	assert_int_equal(before, after);
	in.n_domains = 1;
	assert_true(policystore_apply(t->store, &in, 1, &changed, &t->err));
	assert_int_equal(changed, 1);
	assert_int_equal(load(t, &p, &after), 1);
	assert_true(after > before);
	assert_int_equal(p[0].n_domains, 1);
}

static void
all_or_none_is_applied(void **state)
{
	struct state *t = *state;
	struct policystore_policy in[] = { policy("a", 1), policy("b", 1) }, *p;
	struct policystore_address broken = { { 0 },
		false }; /* no template: NOT NULL */
	uint64_t version;
	in[1].addresses = &broken;
	in[1].n_addresses = 1;
	assert_false(policystore_apply(t->store, in, 2, NULL, &t->err));
	assert_true(t->err.event != 0);
	assert_int_equal(load(t, &p, &version), 0);
}

static void
domains_come_and_go(void **state)
{
	struct state *t = *state;
	struct policystore_policy *p, in[] = { policy("a", 1), policy("b", 2) };
	struct policystore_domain d = { SPAN("new.test"), false, true, false,
		{ SPAN_INIT("+") }, false };
	uint64_t version, was;
	bool gone;
	assert_true(policystore_apply(t->store, in, 2, NULL, &t->err));
	assert_true(policystore_add_domain(
			t->store, SPAN("default"), 1000, &d, NULL, &t->err));
	d.authoritative = false;
	assert_true(policystore_add_domain(t->store, SPAN("default"), 5, &d, NULL, &t->err));
	assert_int_equal(load(t, &p, &version), 3);
	assert_int_equal(p[2].priority, 1000);
	assert_int_equal(p[2].n_domains, 1);
	assert_false(p[2].domains[0].authoritative);
	assert_true(policystore_remove_domain(
			t->store, SPAN("branch.test"), false, &was, &t->err));
	assert_int_equal(was, 0);
	assert_true(policystore_remove_domain(
			t->store, SPAN("branch.test"), true, &was, &t->err));
	assert_int_equal(was, 2);
	assert_true(policystore_remove(t->store, SPAN("a"), &gone, &t->err));
	assert_true(gone);
	assert_true(policystore_remove(t->store, SPAN("a"), &gone, &t->err));
	assert_false(gone);
	assert_int_equal(load(t, &p, &version), 2);
	assert_int_equal(p[0].n_domains, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(policies_come_back_in_their_order),
		TEST(only_a_change_raises_the_version),
		TEST(all_or_none_is_applied),
		TEST(domains_come_and_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
