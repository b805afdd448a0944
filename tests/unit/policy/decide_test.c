#include "check.h"

#include <string.h>

#include "postern/directory.h"

static const struct policy_domain domains[] = {
	{ .domain = { SPAN_INIT("strict.test") },
			.authoritative = true,
			.policy = { SPAN_INIT("p") },
			.reject_unknown = true,
			.subaddress = { SPAN_INIT("+") }, false },
	{ .domain = { SPAN_INIT("open.test") },
			.authoritative = true,
			.policy = { SPAN_INIT("p") } },
	{ .domain = { SPAN_INIT("shared.test") },
			.policy = { SPAN_INIT("p") },
			.reject_unknown = true },
};
static const struct directory_template templates[] = {
	{ { SPAN_INIT("%m@strict.test") }, true },
	{ { SPAN_INIT("%m@shared.test") }, false },
};
static const struct directory_policy policy = {
	.name = { SPAN_INIT("p") }, .addresses = templates, .n_addresses = 2
};
static const struct span nobody[] = { { SPAN_INIT("nobody") } };
static const struct directory_row people[] = {
	{ .alias = { SPAN_INIT("ann") } },
	{ .alias = { SPAN_INIT("empty") }, .members = { nobody, 1 } },
	{ .alias = { SPAN_INIT("far") }, .primary = { SPAN_INIT("far@away.test") } },
};

struct question {
	const char *address, *postmaster;
	enum directory_outcome outcome;
	const char *goes; /* the first address of a resolved one */
};

static const struct question questions[] = {
	{ "ann@strict.test", "", DIRECTORY_RESOLVED, "ann@strict.test" },
	{ "ann@shared.test", "", DIRECTORY_RESOLVED, "ann@strict.test" },
	{ "ann+x@strict.test", "", DIRECTORY_RESOLVED, "ann+x@strict.test" },
	{ "bob@strict.test", "", DIRECTORY_UNKNOWN, NULL },
	{ "bob@open.test", "", DIRECTORY_AS_IS, NULL },
	/* who is unknown in a shared domain is never rejected */
	{ "bob@shared.test", "", DIRECTORY_AS_IS, NULL },
	{ "bob@else.test", "", DIRECTORY_FOREIGN, NULL },
	{ "empty@strict.test", "", DIRECTORY_NOBODY, NULL },
	/* somebody's address in a foreign domain makes that domain not ours */
	{ "far@away.test", "", DIRECTORY_FOREIGN, NULL },
	{ "far@strict.test", "", DIRECTORY_RESOLVED, "far@away.test" },
	/* the postmaster of a policy domain is always somebody */
	{ "PostMaster@strict.test", "", DIRECTORY_AS_IS, NULL },
	{ "postmaster@strict.test", "ann@shared.test", DIRECTORY_RESOLVED,
			"ann@strict.test" },
	{ "postmaster@strict.test", "bob@Open.test", DIRECTORY_RESOLVED,
			"bob@open.test" },
	{ "postmaster@strict.test", "bob@else.test", DIRECTORY_AS_IS, NULL },
	{ "postmaster@strict.test", "empty@strict.test", DIRECTORY_NOBODY, NULL },
	{ "postmaster@open.test", "ann@strict.test", DIRECTORY_AS_IS, NULL },
	{ "postmaster@else.test", "ann@strict.test", DIRECTORY_FOREIGN, NULL },
};

static void
the_answer_to_rcpt_is_decided(void **state)
{
	(void)state;
	struct directory *d = directory_new(&(struct directory_rows){
			.recipients = people,
			.n_recipients = 3,
			.policies = &policy,
			.n_policies = 1,
			.domains = domains,
			.n_domains = 3,
	});

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		const struct question *q = &questions[i];
		AUTO(arena_done) struct arena a = ARENA_MAX(1 << 20);
		struct directory_decision x;
		struct address to;

		assert_true(address_parse(&a, span_of(q->address), &to));
		assert_true(directory_decide(d, &to, span_of(q->postmaster), &a, &x));
		if (x.outcome != q->outcome)
			fail_msg("%s: %d", q->address, (int)x.outcome);
		assert_int_equal(x.row != NULL, x.outcome != DIRECTORY_FOREIGN);
		if (q->goes && !span_eq(x.to.v[0].address, span_of(q->goes)))
			fail_msg("%s: " SPAN_FMT, q->address,
					SPAN_ARG(x.to.v[0].address));
	}
	directory_free(d);
}

struct value {
	enum directory_column column;
	const char *text;
	bool good;
};

static const struct value values[] = {
	{ DIRECTORY_ALIAS, "o'neil.x_1", true },
	{ DIRECTORY_ALIAS, "", false },
	{ DIRECTORY_ALIAS, "a b", false },
	{ DIRECTORY_ALIAS, "a@b", false },
	{ DIRECTORY_ALIAS, "\303\274", false },
	{ DIRECTORY_GIVEN, "J\303\274rgen", true },
	{ DIRECTORY_GIVEN, "", true },
	{ DIRECTORY_SURNAME, "a\nb", false },
	{ DIRECTORY_DISPLAY, "\377", false },
	{ DIRECTORY_PRIMARY, "", true },
	{ DIRECTORY_PRIMARY, "a@b.test", true },
	{ DIRECTORY_PRIMARY, "a", false },
	{ DIRECTORY_PRIMARY, "A <a@b.test>", false },
	{ DIRECTORY_GROUP, "night-shift", true },
	{ DIRECTORY_GROUP, "", false },
	{ DIRECTORY_GROUP, "a;b", false },
	{ DIRECTORY_MEMBER, "ann", true },
	{ DIRECTORY_MEMBER, "ann@b.test", true },
	{ DIRECTORY_MEMBER, "ann@", false },
	{ DIRECTORY_MEMBER, "", false },
};

static void
values_are_looked_at(void **state)
{
	(void)state;
	char longest[DIRECTORY_TEXT_MAX + 2];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const struct value *v = &values[i];
		if (!directory_fault(v->column, span_of(v->text)) != v->good)
			fail_msg("%d \"%s\"", (int)v->column, v->text);
	}
	memset(longest, 'a', sizeof(longest));
	assert_null(directory_fault(
			DIRECTORY_GIVEN, (struct span){ longest, DIRECTORY_TEXT_MAX }));
	assert_non_null(directory_fault(DIRECTORY_GIVEN,
			(struct span){ longest, DIRECTORY_TEXT_MAX + 1 }));
	assert_null(directory_fault(DIRECTORY_ALIAS, (struct span){ longest, 64 }));
	assert_non_null(directory_fault(DIRECTORY_ALIAS, (struct span){ longest, 65 }));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_to_rcpt_is_decided),
		cmocka_unit_test(values_are_looked_at),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
