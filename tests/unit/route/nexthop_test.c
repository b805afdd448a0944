#include "check.h"

#include <string.h>

#include "postern/nexthop.h"

static struct nexthop_table *
table_of(const char *text)
{
	static struct conf_faults faults;
	conf_faults_init(&faults);
	struct conf *c = conf_parse(&(struct conf_source){ .text = span_of(text),
						    .path = "/etc/p.yaml" },
			&faults);
	assert_non_null(c);
	conf_faults_done(&faults);
	struct nexthop_table *t = nexthop_table_new(&c->delivery.routes);
	conf_free(c); /* the table keeps nothing of it */
	return t;
}

struct question {
	const char *domain;
	bool policy;
	enum nexthop_kind kind;
	const char *key;
};

static const struct question questions[] = {
	{ "contoso.test", true, NEXTHOP_LMTP_UNIX, "lmtp:/run/dovecot/lmtp" },
	{ "contoso.test", false, NEXTHOP_LMTP_UNIX, "lmtp:/run/dovecot/lmtp" },
	{ "sub.contoso.test", true, NEXTHOP_DROP, "drop" },
	{ "fabrikam.test", true, NEXTHOP_SMTP, "smtp:mail.fabrikam.test:25" },
	{ "same.test", true, NEXTHOP_SMTP, "smtp:mail.fabrikam.test:25" },
	{ "branch.test", true, NEXTHOP_DROP, "drop" },
	{ "a.branch.test", true, NEXTHOP_SMTP, "smtp:10.0.0.1:26" },
	{ "b.a.branch.test", true, NEXTHOP_SMTP, "smtp:10.0.0.1:26" },
	{ "deep.branch.test", true, NEXTHOP_MAILDIR, "maildir:/m/%d/%u" },
	{ "x.deep.branch.test", true, NEXTHOP_LMTP_TCP, "lmtp:[::1]:24" },
	{ "y.x.deep.branch.test", true, NEXTHOP_LMTP_TCP, "lmtp:[::1]:24" },
	{ "xbranch.test", false, NEXTHOP_NONE, "none" },
	{ "dir.test", true, NEXTHOP_DROP, "drop:/etc/out" },
	{ "plain.test", true, NEXTHOP_DROP, "drop" },
	{ "unknown.test", true, NEXTHOP_DROP, "drop" },
	{ "unknown.test", false, NEXTHOP_NONE, "none" },
	{ "[192.0.2.1]", true, NEXTHOP_DROP, "drop" },
	{ "[a.branch.test]", false, NEXTHOP_NONE, "none" },
	{ "", false, NEXTHOP_DROP, "drop" },
};

static void
the_most_specific_route_wins(void **state)
{
	(void)state;
	struct nexthop_table *t = table_of(
			"delivery:\n"
			"  routes:\n"
			"    contoso.test: { to: 'lmtp:/run/dovecot/lmtp' }\n"
			"    fabrikam.test: { to: 'smtp:mail.fabrikam.test:25' }\n"
			"    same.test: { to: 'smtp:Mail.Fabrikam.TEST' }\n"
			"    '*.branch.test': { to: 'smtp:[10.0.0.1]:26' }\n"
			"    deep.branch.test: { to: 'maildir:/m/%d/%u' }\n"
			"    '*.deep.branch.test': { to: 'lmtp:[::1]:24' }\n"
			"    dir.test: { to: 'drop:out' }\n"
			"    plain.test: { to: drop }\n");
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		const struct question *q = &questions[i];
		const struct nexthop *hop =
				nexthop_find(t, span_of(q->domain), q->policy);
		if (hop->kind != q->kind || strcmp(hop->key, q->key) != 0)
			fail_msg("%s: got %s, want %s", q->domain, hop->key, q->key);
	}
	nexthop_table_free(t);
}

static void
without_routes_ours_is_dropped_and_theirs_has_no_way(void **state)
{
	(void)state;
	struct nexthop_table *t = nexthop_table_new(&(struct conf_routes){ .n = 0 });
	assert_int_equal(nexthop_find(t, SPAN("a.test"), true)->kind, NEXTHOP_DROP);
	assert_null(nexthop_find(t, SPAN("a.test"), true)->path);
	assert_int_equal(nexthop_find(t, SPAN("a.test"), false)->kind, NEXTHOP_NONE);
	nexthop_table_free(t);
	nexthop_table_free(NULL);

	struct verdict v = nexthop_none_verdict(SPAN("a.test"));
	assert_int_equal(v.fate, FATE_BOUNCED);
	assert_string_equal(v.esc, "5.4.4");
}

static void
a_key_reads_back_as_the_same_next_hop(void **state)
{
	(void)state;
	static const char *const texts[] = { "drop", "drop:/d", "maildir:/m/%d/%u",
		"smtp:host.test:25", "smtp:[2001:db8::1]:2525", "smtp:10.0.0.1:25",
		"lmtp:host.test:24", "lmtp:/run/x", "none" };
	struct arena a = ARENA_MAX(100000);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct nexthop hop;
		struct err err = { 0 };
		if (!nexthop_parse(span_of(texts[i]), &a, &hop, &err))
			fail_msg("%s", err.text);
		assert_string_equal(hop.key, texts[i]);
		assert_true(hop.literal ==
				(strpbrk(texts[i], "1") != NULL && hop.host != NULL));
	}
	struct nexthop hop;
	struct err err = { 0 };
	assert_false(nexthop_parse(SPAN("smtp:"), &a, &hop, &err));
	assert_non_null(strstr(err.text, "smtp:HOST"));
	assert_false(nexthop_parse(SPAN(""), &a, &hop, NULL));
	static char big[5000];
	memset(big, 'x', sizeof(big));
	memcpy(big, "drop:/", 6);
	assert_false(nexthop_parse((struct span){ big, sizeof(big) }, &a, &hop, &err));
	arena_done(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_most_specific_route_wins),
		cmocka_unit_test(without_routes_ours_is_dropped_and_theirs_has_no_way),
		cmocka_unit_test(a_key_reads_back_as_the_same_next_hop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
