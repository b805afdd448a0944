#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "postern/directory.h"

/* Texts of the tables below, parted by blanks. */
static struct span words[4096];
static size_t words_n;

static struct directory_texts
texts_of(const char *text)
{
	struct span rest = span_of(text);
	struct directory_texts out = { &words[words_n], 0 };

	while (rest.n > 0) {
		assert_true(words_n < sizeof(words) / sizeof(words[0]));
		words[words_n++] = span_word(&rest);
		out.n++;
	}
	return out;
}

static struct directory_row
row(const char *alias, const char *given, const char *surname, const char *primary,
		const char *members)
{
	return (struct directory_row){
		.alias = span_of(alias),
		.given = span_of(given),
		.surname = span_of(surname),
		.display = { "", 0 },
		.primary = span_of(primary),
		.members = texts_of(members),
	};
}

static const struct directory_template staff_templates[] = {
	{ { SPAN_INIT("%m@Fabrikam.test") }, false },
	{ { SPAN_INIT("%g.%s@contoso.test") }, true },
	{ { SPAN_INIT("%m@contoso.test") }, false },
};
static const struct directory_template guest_templates[] = {
	{ { SPAN_INIT("%m@guests.test") }, false },
};
static const struct policy_domain domains[] = {
	{ { SPAN_INIT("contoso.test") }, false, true, { SPAN_INIT("staff") }, 10, true,
			{ SPAN_INIT("+") }, false },
	{ { SPAN_INIT("fabrikam.test") }, false, true, { SPAN_INIT("staff") }, 10, true,
			{ SPAN_INIT("+-") }, false },
	{ { SPAN_INIT("guests.test") }, false, true, { SPAN_INIT("guests") }, 20, true,
			{ SPAN_INIT("") }, false },
};

static const struct directory_policy *
policies(void)
{
	static struct directory_policy p[3];
	static const struct span guests[] = { { SPAN_INIT("Guests") } };

	p[0] = (struct directory_policy){ .name = SPAN("default"),
		.priority = 1,
		.addresses = guest_templates,
		.n_addresses = 1 };
	p[1] = (struct directory_policy){ .name = SPAN("staff"),
		.priority = 10,
		.addresses = staff_templates,
		.n_addresses = 3 };
	p[2] = (struct directory_policy){ .name = SPAN("guests"),
		.priority = 5,
		.groups = { guests, 1 },
		.addresses = guest_templates,
		.n_addresses = 1 };
	return p;
}

static struct directory *
make(const struct directory_row *rows, size_t n)
{
	return directory_new(&(struct directory_rows){
			.recipients = rows,
			.n_recipients = n,
			.policies = policies(),
			.n_policies = 3,
			.domains = domains,
			.n_domains = 3,
	});
}

/* "primary proxy proxy" of an alias. */
static const char *
addresses(const struct directory *d, const char *alias)
{
	static struct buf out = { .max = 10000 };
	const struct directory_entry *e = directory_alias(d, span_of(alias));

	buf_clear(&out);
	for (size_t i = 0; e && i < e->n_addresses; i++)
		assert_true(buf_addf(&out, "%s" SPAN_FMT, i ? " " : "",
				SPAN_ARG(e->addresses[i])));
	if (e && e->n_addresses > 0)
		assert_true(span_eq(e->primary, e->addresses[0]));
	return buf_cstr(&out);
}

/* Where mail for an address goes. */
static const char *
leads_to(const struct directory *d, const char *address)
{
	static struct buf out = { .max = 10000 };
	AUTO(arena_done) struct arena a = ARENA_MAX(1 << 20);
	struct directory_resolved r;

	buf_clear(&out);
	if (!directory_resolve_address(d, span_of(address), &a, &r)) {
		assert_null(r.entry);
		return "nobody";
	}
	for (size_t i = 0; i < r.n; i++) {
		size_t at = span_rfind(r.v[i].address, '@');
		assert_true(span_eq(r.v[i].domain, span_skip(r.v[i].address, at + 1)));
		assert_true(span_eq_nocase(r.v[i].key, r.v[i].address));
		assert_true(buf_addf(&out, "%s" SPAN_FMT, i ? " " : "",
				SPAN_ARG(r.v[i].address)));
	}
	return buf_cstr(&out);
}

static void
recipients_have_the_addresses_of_their_first_policy(void **state)
{
	(void)state;
	static const struct span guest[] = { { SPAN_INIT("x") },
		{ SPAN_INIT("GUESTS") } };
	struct directory_row rows[] = {
		row("alee", "Ann", "Lee", "", ""),
		row("bob", "Bob", "Ray", "bob@Elsewhere.test", ""),
		row("visitor", "Vi", "Si", "", ""),
		row("sales", "", "", "", "alee"),
	};
	rows[2].groups = (struct directory_texts){ guest, 2 };
	struct directory *d = make(rows, 4);

	assert_string_equal(addresses(d, "ALee"),
			"Ann.Lee@contoso.test alee@fabrikam.test alee@contoso.test");
	assert_string_equal(addresses(d, "bob"),
			"bob@elsewhere.test Bob.Ray@contoso.test bob@fabrikam.test bob@contoso.test");
	assert_string_equal(addresses(d, "visitor"), "visitor@guests.test");
	/* the primary template gives nothing: the next one is the primary */
	assert_string_equal(addresses(d, "sales"),
			"sales@fabrikam.test sales@contoso.test");
	assert_true(directory_alias(d, SPAN("bob"))->own);
	assert_false(directory_alias(d, SPAN("alee"))->own);
	assert_true(directory_alias(d, SPAN("sales"))->list);
	assert_true(span_eq(
			directory_alias(d, SPAN("visitor"))->policy, SPAN("guests")));
	assert_null(directory_alias(d, SPAN("nobody")));
	assert_null(directory_alias(d, SPAN("")));
	assert_int_equal(directory_size(d), 4);
	assert_true(span_eq(directory_at(d, 0)->alias, SPAN("alee")));
	assert_int_equal(directory_collisions(d), 0);
	directory_free(d);
}

static void
two_alike_get_numbers_whatever_the_order_of_the_rows(void **state)
{
	(void)state;
	struct directory_row rows[] = {
		row("b", "Ann", "Lee", "", ""),
		row("c", "Ann", "Lee2", "", ""),
		row("a", "Ann", "Lee", "", ""),
		row("d", "ann", "lee", "", ""),
		/* somebody's own address is never taken by a template, nor his alias */
		row("e", "Eva", "Own", "ann.lee@contoso.test", ""),
		row("z", "", "", "ANN.lee@contoso.test", ""),
	};
	for (size_t turn = 0; turn < 6; turn++) {
		struct directory_row first = rows[0];
		memmove(rows, rows + 1, 5 * sizeof(rows[0]));
		rows[5] = first;
		struct directory *d = make(rows, 6);
		const struct directory_collision *c;

		assert_string_equal(addresses(d, "e"),
				"ann.lee@contoso.test Eva.Own@contoso.test e@fabrikam.test e@contoso.test");
		assert_string_equal(addresses(d, "a"),
				"Ann.Lee2@contoso.test a@fabrikam.test a@contoso.test");
		assert_string_equal(addresses(d, "b"),
				"Ann.Lee3@contoso.test b@fabrikam.test b@contoso.test");
		assert_string_equal(addresses(d, "c"),
				"Ann.Lee22@contoso.test c@fabrikam.test c@contoso.test");
		assert_string_equal(addresses(d, "d"),
				"ann.lee4@contoso.test d@fabrikam.test d@contoso.test");
		assert_string_equal(
				addresses(d, "z"), "z@fabrikam.test z@contoso.test");
		assert_int_equal(directory_collisions(d), 5);
		c = directory_collision_at(d, 0);
		assert_true(span_eq(c->entry->alias, SPAN("z")));
		assert_true(span_eq(c->holder->alias, SPAN("e")));
		assert_int_equal(c->got.n, 0);
		c = directory_collision_at(d, 1);
		assert_true(span_eq(c->wanted, SPAN("Ann.Lee@contoso.test")));
		assert_true(span_eq(c->got, SPAN("Ann.Lee2@contoso.test")));
		directory_free(d);
	}
}

struct way {
	const char *address, *goes;
};

static const struct way ways[] = {
	/* exactly, whatever the case; a proxy becomes the primary */
	{ "ann.lee@contoso.test", "Ann.Lee@contoso.test" },
	{ "ALEE@Contoso.test.", "Ann.Lee@contoso.test" },
	{ "alee@fabrikam.test", "Ann.Lee@contoso.test" },
	{ "\"alee\"@contoso.test", "Ann.Lee@contoso.test" },
	{ "alee@guests.test", "nobody" },
	{ "bob@contoso.test", "bob@elsewhere.test" },
	{ "carol@contoso.test", "nobody" },
	{ "contoso.test", "nobody" },
	/* without its tag: "+" in one domain, "+" and "-" in the other, none in the third */
	{ "ann.lee+news@contoso.test", "Ann.Lee+news@contoso.test" },
	{ "alee+News+x@contoso.test", "Ann.Lee+News+x@contoso.test" },
	{ "alee+@contoso.test", "Ann.Lee+@contoso.test" },
	{ "alee-news@contoso.test", "nobody" },
	{ "alee-news@fabrikam.test", "Ann.Lee-news@contoso.test" },
	{ "+alee@contoso.test", "nobody" },
	{ "visitor+x@guests.test", "nobody" },
	/* an exact address wins, then the longest user */
	{ "plus+er@contoso.test", "plus+er@contoso.test" },
	{ "plus+er+x@contoso.test", "plus+er+x@contoso.test" },
	/* a tag that makes it no address any more is dropped */
	{ "alee+0123456789012345678901234567890123456789012345678901234567@contoso.test",
			"Ann.Lee@contoso.test" },
	/* lists: each once, members of nested lists behind those of the list itself */
	{ "sales@contoso.test",
			"Ann.Lee@contoso.test x@far.test bob@elsewhere.test visitor@guests.test" },
	{ "sales+tag@contoso.test",
			"Ann.Lee@contoso.test x@far.test bob@elsewhere.test visitor@guests.test" },
	{ "round@contoso.test",
			"bob@elsewhere.test visitor@guests.test Ann.Lee@contoso.test x@far.test" },
	{ "tags@contoso.test", "Ann.Lee+a@contoso.test Ann.Lee@contoso.test" },
	{ "void@contoso.test", "" },
};

static struct directory *
house(void)
{
	static const struct span guest[] = { { SPAN_INIT("guests") } };
	struct directory_row rows[] = {
		row("alee", "Ann", "Lee", "", ""),
		row("bob", "Bob", "Ray", "bob@elsewhere.test", ""),
		row("visitor", "Vi", "Si", "", ""),
		row("plus", "", "", "", ""),
		row("pluser", "", "", "plus+er@contoso.test", ""),
		row("sales", "", "", "",
				"ALEE round x@Far.test alee@fabrikam.test X@far.test nobody"),
		row("round", "", "", "", "bob visitor sales round"),
		row("tags", "", "", "", "alee+a@contoso.test alee+A@contoso.test alee"),
		row("void", "", "", "", "nobody void a@b@c"),
	};
	rows[2].groups = (struct directory_texts){ guest, 1 };
	return make(rows, sizeof(rows) / sizeof(rows[0]));
}

static void
addresses_lead_to_primaries_and_members(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena a = ARENA_MAX(1 << 20);
	struct directory *d = house();
	struct directory_resolved r;
	struct buf said = BUF_MAX(1000);

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const char *goes = leads_to(d, ways[i].address);
		if (strcmp(goes, ways[i].goes) != 0)
			fail_msg("%s: \"%s\", not \"%s\"", ways[i].address, goes,
					ways[i].goes);
	}
	assert_true(directory_resolve_address(d, SPAN("sales@contoso.test"), &a, &r));
	assert_int_equal(r.unknown, 1);
	assert_false(r.too_deep);
	assert_true(directory_describe(&r, &said));
	assert_string_equal(buf_cstr(&said), "list sales");
	buf_clear(&said);
	assert_true(directory_resolve_address(d, SPAN("alee+n@contoso.test"), &a, &r));
	assert_true(r.match.without_tag);
	assert_true(span_eq(r.match.tag, SPAN("+n")));
	assert_true(directory_describe(&r, &said));
	assert_string_equal(buf_cstr(&said), "person alee, sub-address +n");
	assert_true(directory_resolve_address(d, SPAN("void@contoso.test"), &a, &r));
	assert_int_equal(r.unknown, 2);
	buf_done(&said);
	directory_free(d);
}

/* A chain of lists: l0 names l1, l1 names l2, ... and each one person. */
static void
lists_nest_to_a_depth_of_ten(void **state)
{
	(void)state;
	char names[14][8], members[14][40];
	struct directory_row rows[14];
	AUTO(arena_done) struct arena a = ARENA_MAX(1 << 20);
	struct directory_resolved r;

	for (size_t i = 0; i < 14; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "l%zu", i);
		(void)snprintf(members[i], sizeof(members[i]), "p%zu@far.test l%zu", i,
				i + 1);
		rows[i] = row(names[i], "", "", "", members[i]);
	}
	struct directory *d = make(rows, 14);
	assert_true(directory_resolve_address(d, SPAN("l0@contoso.test"), &a, &r));
	assert_true(r.too_deep);
	assert_int_equal(r.n, DIRECTORY_DEPTH_MAX + 1);
	assert_true(directory_resolve_address(d, SPAN("l3@contoso.test"), &a, &r));
	assert_false(r.too_deep);
	assert_int_equal(r.n, 11);
	directory_free(d);
}

enum { MANY = 50001 };

/* 50,000 of one name, in one list: linear, or this takes hours. */
static void
fifty_thousand_of_one_name_are_quick(void **state)
{
	(void)state;
	struct directory_row *rows = calloc(MANY + 2, sizeof(*rows));
	struct span *members = calloc(MANY, sizeof(*members));
	char(*names)[8] = calloc(MANY, sizeof(*names));
	AUTO(arena_done) struct arena a = ARENA_MAX(64 << 20);
	struct directory_resolved r;
	struct timespec t0, t1;

	assert_true(rows && members && names);
	for (size_t i = 0; i < MANY; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "u%05zu", i);
		members[i] = span_of(names[i]);
		rows[i] = row(names[i], "Ann", "Lee", "", "");
	}
	rows[MANY] = row("all", "", "", "", "");
	rows[MANY].members = (struct directory_texts){ members, MANY - 1 };
	rows[MANY + 1] = row("more", "", "", "", "");
	rows[MANY + 1].members = (struct directory_texts){ members, MANY };
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
	struct directory *d = make(rows, MANY + 2);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
	/* Under a second without sanitizers; square it would be minutes. */
	assert_true(t1.tv_sec - t0.tv_sec < 20);
	assert_int_equal(directory_collisions(d), MANY - 1);
	assert_string_equal(addresses(d, "u50000"),
			"Ann.Lee50001@contoso.test u50000@fabrikam.test u50000@contoso.test");
	assert_true(directory_resolve_address(d, SPAN("all@contoso.test"), &a, &r));
	assert_int_equal(r.n, 50000);
	assert_false(r.too_many);
	assert_true(directory_resolve_address(d, SPAN("more@contoso.test"), &a, &r));
	assert_int_equal(r.n, 0);
	assert_true(r.too_many);
	directory_free(d);
	free(rows);
	free(members);
	free(names);
}

static void
an_empty_directory_knows_nobody(void **state)
{
	(void)state;
	struct directory *d = make(NULL, 0);

	assert_int_equal(directory_size(d), 0);
	assert_null(directory_find(d, SPAN("ann"), SPAN("contoso.test"), NULL));
	assert_non_null(policy_find(directory_policies(d), SPAN("contoso.test")));
	directory_free(d);
	directory_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_have_the_addresses_of_their_first_policy),
		cmocka_unit_test(two_alike_get_numbers_whatever_the_order_of_the_rows),
		cmocka_unit_test(addresses_lead_to_primaries_and_members),
		cmocka_unit_test(lists_nest_to_a_depth_of_ten),
		cmocka_unit_test(fifty_thousand_of_one_name_are_quick),
		cmocka_unit_test(an_empty_directory_knows_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
