#include "fixture.h"
#include "postern/policystore.h"
#include "postern/recipientstore.h"

static const struct span groups[] = { { SPAN_INIT("staff") }, { SPAN_INIT("sales") } };
static const struct span members[] = { { SPAN_INIT("jane") },
	{ SPAN_INIT("x@far.test") } };

static const struct directory_row jane = {
	.alias = { SPAN_INIT("jane") },
	.given = { SPAN_INIT("Jane") },
	.surname = { SPAN_INIT("Doe") },
	.display = { SPAN_INIT("Doe, Jane") },
	.primary = { SPAN_INIT("jane.doe@contoso.test") },
	.groups = { groups, 2 },
};
static const struct directory_row list = {
	.alias = { SPAN_INIT("Info") },
	.members = { members, 2 },
};
static const struct directory_row bob = {
	.alias = { SPAN_INIT("bob") },
	.groups = { groups, 1 },
};

static uint64_t
version(struct state *t)
{
	uint64_t v;

	assert_true(policystore_version(store_reader(t->store), &v, &t->err));
	return v;
}

static size_t
load(struct state *t, struct directory_row **rows)
{
	size_t n;

	if (!recipientstore_load(store_reader(t->store), &t->arena, rows, &n, &t->err))
		fail_msg("%s", t->err.text);
	return n;
}

static struct recipientstore_change
put(struct state *t, const struct directory_row *rows, size_t n)
{
	struct recipientstore_change change;

	if (!recipientstore_put(t->store, rows, n, &change, &t->err))
		fail_msg("%s", t->err.text);
	return change;
}

static void
recipients_come_back_by_alias(void **state)
{
	struct state *t = *state;
	const struct directory_row in[] = { jane, list, bob };
	struct directory_row *rows;
	uint64_t before = version(t);

	assert_int_equal(load(t, &rows), 0);
	assert_int_equal(put(t, in, 3).added, 3);
	fixture_reopen(t);
	assert_true(version(t) > before);
	assert_int_equal(load(t, &rows), 3);
	assert_span(rows[0].alias, "bob");
	assert_int_equal(rows[0].groups.n, 1);
	assert_int_equal(rows[0].members.n, 0);
	assert_span(rows[1].alias, "Info");
	assert_int_equal(rows[1].groups.n, 0);
	assert_int_equal(rows[1].members.n, 2);
	assert_span(rows[1].members.v[0], "jane");
	assert_span(rows[1].members.v[1], "x@far.test");
	assert_span(rows[2].display, "Doe, Jane");
	assert_span(rows[2].given, "Jane");
	assert_span(rows[2].surname, "Doe");
	assert_span(rows[2].primary, "jane.doe@contoso.test");
	assert_span(rows[2].groups.v[1], "sales");
}

static void
one_is_replaced_whatever_the_case_and_only_a_change_counts(void **state)
{
	struct state *t = *state;
	struct directory_row *rows,
			other = { .alias = SPAN("JANE"), .given = SPAN("Jana") };
	struct recipientstore_change change = put(t, &jane, 1);
	uint64_t before = version(t);
	bool was;

	change = put(t, &jane, 1);
	assert_int_equal(change.added + change.changed, 0);
	assert_int_equal(version(t), before);
	change = put(t, &other, 1);
	assert_int_equal(change.added, 0);
	assert_int_equal(change.changed, 1);
	assert_int_equal(version(t), before + 1);
	assert_int_equal(load(t, &rows), 1);
	assert_span(rows[0].alias, "JANE");
	assert_int_equal(rows[0].groups.n, 0);
	assert_int_equal(rows[0].primary.n, 0);

	assert_true(recipientstore_remove(t->store, SPAN("nobody"), &was, &t->err));
	assert_false(was);
	assert_int_equal(version(t), before + 1);
	assert_true(recipientstore_remove(t->store, SPAN("Jane"), &was, &t->err));
	assert_true(was);
	assert_int_equal(version(t), before + 2);
	assert_int_equal(load(t, &rows), 0);
}

static void
one_primary_address_for_two_is_refused_as_a_whole(void **state)
{
	struct state *t = *state;
	struct directory_row in[] = { bob, list };
	struct recipientstore_change change = put(t, &jane, 1);
	struct directory_row *rows;
	uint64_t before = version(t);

	in[1].primary = SPAN("JANE.doe@contoso.test");
	assert_false(recipientstore_put(t->store, in, 2, &change, &t->err));
	assert_non_null(strstr(t->err.text,
			"would be the primary address of Info and of jane"));
	assert_int_equal(version(t), before);
	assert_int_equal(load(t, &rows), 1);
}

static void
policies_and_recipients_make_a_directory(void **state)
{
	struct state *t = *state;
	struct policystore_domain domain = { SPAN("contoso.test"), false, true, true,
		SPAN("-"), false };
	struct policystore_address address = { SPAN("%g.%s@contoso.test"), true };
	struct policystore_policy policy = { .name = SPAN("p"),
		.priority = 7,
		.addresses = &address,
		.n_addresses = 1,
		.domains = &domain,
		.n_domains = 1 };
	const struct directory_row in[] = { jane, list };
	struct directory_match match;
	struct directory *d;
	uint64_t v;

	assert_true(policystore_apply(t->store, &policy, 1, NULL, &t->err));
	put(t, in, 2);
	assert_true(directory_load(store_reader(t->store), &d, &v, &t->err));
	assert_int_equal(v, version(t));
	const struct directory_entry *e = directory_find(
			d, SPAN("Jane.Doe-x"), SPAN("contoso.test"), &match);
	assert_non_null(e);
	assert_span(match.tag, "-x");
	assert_span(e->policy, "p");
	assert_true(directory_alias(d, SPAN("info"))->list);
	const struct policy_domain *row =
			policy_find(directory_policies(d), SPAN("contoso.test"));
	assert_true(row->reject_unknown && row->authoritative);
	assert_int_equal(row->priority, 7);
	directory_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(recipients_come_back_by_alias),
		TEST(one_is_replaced_whatever_the_case_and_only_a_change_counts),
		TEST(one_primary_address_for_two_is_refused_as_a_whole),
		TEST(policies_and_recipients_make_a_directory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
