#include "check.h"

#include <stdio.h>
#include <string.h>

#include "postern/conf_load.h"

static struct conf_faults faults;

static struct policy_doc *
parse(const char *text, const char *path)
{
	conf_faults_done(&faults);
	conf_faults_init(&faults);
	return policy_doc_parse(
			&(struct conf_source){ .text = span_of(text), .path = path },
			&faults);
}

static const char *
said(void)
{
	static struct buf out = { .max = 1 << 20 };

	buf_clear(&out);
	for (size_t i = 0; i < faults.n; i++)
		assert_true(conf_fault_print(&faults.list[i], &out));
	return buf_cstr(&out);
}

static void
the_policy_of_the_contract_is_read(void **state)
{
	(void)state;
	struct policy_doc *d = parse(
			"name: contoso\n"
			"priority: 10\n"
			"match: { groups: [staff] }\n"
			"addresses: [ { primary: \"%g.%s@contoso.test\" }, \"%m@Contoso.test\", \"%m@other.test\" ]\n"
			"domains:\n"
			"  contoso.test: { authoritative: false, unknown: accept, subaddress: '' }\n"
			"  \"*.Branch.test\":\n"
			"  fabrikam.test: { authoritative: true, unknown: reject, subaddress: '+-' }\n",
			"p/contoso.yaml");
	if (!d)
		fail_msg("%s", said());
	assert_string_equal(d->name, "contoso");
	assert_int_equal(d->priority, 10);
	assert_string_equal(d->match.groups.p[0], "staff");
	assert_int_equal(d->addresses.n, 3);
	assert_true(d->addresses.p[0].primary);
	assert_string_equal(d->addresses.p[0].text, "%g.%s@contoso.test");
	assert_false(d->addresses.p[1].primary);
	/* Three of its own, and other.test by its template, once. */
	assert_int_equal(d->domains.n, 4);
	assert_string_equal(d->domains.p[0].domain, "contoso.test");
	assert_false(d->domains.p[0].authoritative);
	assert_string_equal(d->domains.p[1].domain, "branch.test");
	assert_true(d->domains.p[1].subdomains);
	assert_true(d->domains.p[1].authoritative);
	assert_string_equal(d->domains.p[3].domain, "other.test");
	assert_true(d->domains.p[3].authoritative);
	assert_int_equal(d->domains.p[3].unknown, POLICY_UNKNOWN_ACCEPT);
	assert_int_equal(d->domains.p[2].unknown, POLICY_UNKNOWN_REJECT);
	assert_string_equal(d->domains.p[0].subaddress, "");
	assert_string_equal(d->domains.p[1].subaddress, "+");
	assert_string_equal(d->domains.p[2].subaddress, "+-");
	assert_string_equal(d->domains.p[3].subaddress, "+");
	policy_doc_free(d);
}

struct bad {
	const char *text, *want;
};

static const struct bad bads[] = {
	{ "domains: { a.test: {} }\n", ":1:1: error: : \"name\" is missing" },
	{ "name: a\n", "the policy lists no domain" },
	{ "", "\"name\" is missing" },
	{ "name: a b\ndomains: { a.test: {} }\n",
			":1:7: error: name: expected 1 to 64" },
	{ "name: a\npriority: ten\ndomains: { a.test: {} }\n",
			":2:11: error: priority: expected a number" },
	{ "name: a\ndomains:\n  not a domain: {}\n",
			":3:3: error: \"not a domain\" is not a domain" },
	{ "name: a\ndomains: { a.test: { unknown: refuse } }\n",
			"domains.a.test.unknown: expected one of accept, reject" },
	{ "name: a\ndomains: { a.test: { subaddress: 'x' } }\n",
			"domains.a.test.subaddress: expected up to 8 of" },
	{ "name: a\naddresses: [ '%m@a.test',\n   '%q@a.test' ]\n",
			":3:4: error: addresses[2]: no code of a template: %m %g %s %i %d %1g %rxy %% (at character 1 of \"%q@a.test\")" },
	{ "name: a\naddresses: [ { primary: '%g %s@a.test' } ]\n",
			":2:25: error: addresses[1]: a character that may not stand in an address (at character 3" },
	{ "name: a\ndomains: { a.test: { unkown: reject } }\n",
			"did you mean \"unknown\"?" },
	{ "name: a\ndomains: { a.test: {}, A.Test: {} }\n",
			"was given already in line 2" },
	{ "name: a\naddresses: [ 'x' ]\n", "addresses[1]: expected a template" },
	{ "name: a\naddresses: [ '%m@' ]\n", "a template with a domain" },
	{ "name: a\naddresses: [ '%m@%s.test' ]\n", "a template with a domain" },
	{ "name: a\naddresses: [ '%m@*.test' ]\n", "a template with a domain" },
	{ "name: a\naddresses: [ { first: '%m@a.test' } ]\n",
			"expected { primary: TEMPLATE }" },
	{ "name: a\nmatch: { groups: [] }\ndomains: { a.test: {} }\n",
			"expected 1 to 255 items" },
};

static void
mistakes_have_their_words_and_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		struct policy_doc *d = parse(bads[i].text, "p.yaml");
		if (d || !strstr(said(), bads[i].want))
			fail_msg("%s\nwanted \"%s\", got:\n%s", bads[i].text,
					bads[i].want, said());
	}
}

static void
two_files_with_one_name_are_told(void **state)
{
	(void)state;
	struct policy_doc *docs[3] = {
		parse("name: a\ndomains: { a.test: {} }\n", "p/1.yaml"),
		parse("name: b\ndomains: { a.test: {} }\n", "p/2.yaml"),
		parse("name: a\ndomains: { b.test: {} }\n", "p/3.yaml"),
	};
	policy_docs_check(docs, 2, &faults);
	assert_int_equal(faults.n, 0);
	policy_docs_check(docs, 3, &faults);
	assert_int_equal(faults.n, 1);
	assert_string_equal(faults.list[0].file, "p/3.yaml");
	assert_string_equal(
			faults.list[0].text, "the policy \"a\" is in p/1.yaml already");
	for (size_t i = 0; i < 3; i++)
		policy_doc_free(docs[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_policy_of_the_contract_is_read),
		cmocka_unit_test(mistakes_have_their_words_and_place),
		cmocka_unit_test(two_files_with_one_name_are_told),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	conf_faults_done(&faults);
	return failed;
}
