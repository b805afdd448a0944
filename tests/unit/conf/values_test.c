#include "check.h"

#include <string.h>

#include "postern/conf_load.h"

static struct arena arena = { .max = 1 << 20 };

struct hop_case {
	const char *text;
	int kind; /* -1: refused */
	const char *host;
	unsigned port;
	const char *path;
};

static const struct hop_case hops[] = {
	{ "drop", CONF_HOP_DROP, NULL, 0, NULL },
	{ "drop:/var/drop", CONF_HOP_DROP, NULL, 0, "/var/drop" },
	{ "drop:out", CONF_HOP_DROP, NULL, 0, "etc/out" },
	{ "maildir:/m/%d/%u", CONF_HOP_MAILDIR, NULL, 0, "/m/%d/%u" },
	{ "maildir:m/%%", CONF_HOP_MAILDIR, NULL, 0, "etc/m/%%" },
	{ "smtp:Mail.Fabrikam.test", CONF_HOP_SMTP, "mail.fabrikam.test", 25, NULL },
	{ "smtp:mail.fabrikam.test:2525", CONF_HOP_SMTP, "mail.fabrikam.test", 2525,
			NULL },
	{ "smtp:[192.168.2.25]", CONF_HOP_SMTP, "192.168.2.25", 25, NULL },
	{ "smtp:192.168.2.25:26", CONF_HOP_SMTP, "192.168.2.25", 26, NULL },
	{ "smtp:[2001:db8::1]:26", CONF_HOP_SMTP, "2001:db8::1", 26, NULL },
	{ "smtp:2001:db8::1", CONF_HOP_SMTP, "2001:db8::1", 25, NULL },
	{ "smtp:localhost:1", CONF_HOP_SMTP, "localhost", 1, NULL },
	{ "lmtp:127.0.0.1:24", CONF_HOP_LMTP, "127.0.0.1", 24, NULL },
	{ "lmtp:/run/dovecot/lmtp", CONF_HOP_LMTP_UNIX, NULL, 0, "/run/dovecot/lmtp" },
	{ "mx", CONF_HOP_MX, NULL, 0, NULL },
	{ "etrn", CONF_HOP_ETRN, NULL, 0, NULL },
	{ "", -1, NULL, 0, NULL },
	{ "Drop", -1, NULL, 0, NULL },
	{ "drop:", -1, NULL, 0, NULL },
	{ "maildir", -1, NULL, 0, NULL },
	{ "maildir:/m/%", -1, NULL, 0, NULL },
	{ "maildir:/m/%n", -1, NULL, 0, NULL },
	{ "smtp:", -1, NULL, 0, NULL },
	{ "smtp:host:", -1, NULL, 0, NULL },
	{ "smtp:host:0", -1, NULL, 0, NULL },
	{ "smtp:host:65536", -1, NULL, 0, NULL },
	{ "smtp:host:25x", -1, NULL, 0, NULL },
	{ "smtp:[host]", -1, NULL, 0, NULL },
	{ "smtp:[10.0.0.1", -1, NULL, 0, NULL },
	{ "smtp:[10.0.0.1]x", -1, NULL, 0, NULL },
	{ "smtp:[10.0.0.1]:", -1, NULL, 0, NULL },
	{ "smtp:10.0.0", -1, NULL, 0, NULL },
	{ "smtp:a b", -1, NULL, 0, NULL },
	{ "smtp:/path", -1, NULL, 0, NULL },
	{ "lmtp:host", -1, NULL, 0, NULL },
	{ "lmtp:run/lmtp", -1, NULL, 0, NULL },
	{ "http:host", -1, NULL, 0, NULL },
	{ "drop:/a\nb", -1, NULL, 0, NULL },
	{ "lmtp:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			-1, NULL, 0, NULL },
};

static void
same_text(const char *got, const char *want, const char *of)
{
	if (!got != !want || (got && strcmp(got, want) != 0))
		fail_msg("%s: got %s, want %s", of, got ? got : "(null)",
				want ? want : "(null)");
}

static void
hops_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hops) / sizeof(hops[0]); i++) {
		const struct hop_case *c = &hops[i];
		struct conf_hop hop = { 0 };
		const char *why = NULL;
		bool ok = conf_hop_parse(span_of(c->text), "etc/", &arena, &hop, &why);
		if (ok != (c->kind >= 0))
			fail_msg("%s: %s", c->text, ok ? "taken" : why);
		if (!ok) {
			assert_non_null(why);
			continue;
		}
		assert_int_equal(hop.kind, c->kind);
		same_text(hop.host.name, c->host, c->text);
		same_text(hop.path, c->path, c->text);
		assert_int_equal(hop.host.port, c->port);
	}
}

static void
addresses_ask_no_dns(void **state)
{
	(void)state;
	struct conf_host h;
	const char *why;
	assert_true(conf_host_parse(SPAN("[192.0.2.1]"), &arena, &h, &why));
	assert_true(h.literal);
	assert_true(conf_host_parse(SPAN("192.0.2.1"), &arena, &h, &why));
	assert_true(h.literal);
	assert_true(conf_host_parse(SPAN("host.test:7"), &arena, &h, &why));
	assert_false(h.literal);
	assert_int_equal(h.port, 7);
}

struct net_case {
	const char *text;
	int bits; /* -1: refused */
	uint8_t last;
};

static const struct net_case nets[] = {
	{ "0.0.0.0/0", 96, 0 },
	{ "10.1.2.3", 128, 3 },
	{ "10.1.2.255/25", 121, 128 },
	{ "::/0", 0, 0 },
	{ "2001:db8::ff/124", 124, 0xf0 },
	{ "::1", 128, 1 },
	{ "10.1.2.3/", -1, 0 },
	{ "10.1.2.3/33", -1, 0 },
	{ "10.1.2/24", -1, 0 },
	{ "::/129", -1, 0 },
	{ "x/8", -1, 0 },
	{ "", -1, 0 },
	{ "/8", -1, 0 },
	{ "10.0.0.0/8/8", -1, 0 },
};

static void
networks_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		struct conf_cidr net;
		const char *why = NULL;
		bool ok = conf_cidr_parse(span_of(nets[i].text), &net, &why);
		if (ok != (nets[i].bits >= 0))
			fail_msg("%s", nets[i].text);
		if (!ok)
			continue;
		assert_int_equal(net.bits, nets[i].bits);
		assert_int_equal(net.address[15], nets[i].last);
	}
}

static void
domains_are_canonical(void **state)
{
	(void)state;
	const char *domain = NULL, *why = NULL;
	bool subdomains = true;
	assert_true(conf_domain_parse(
			SPAN("Contoso.Test."), &arena, &domain, &subdomains, &why));
	assert_string_equal(domain, "contoso.test");
	assert_false(subdomains);
	assert_true(conf_domain_parse(SPAN("*.B\303\234CHER.test"), &arena, &domain,
			&subdomains, &why));
	assert_string_equal(domain, "xn--bcher-kva.test");
	assert_true(subdomains);
	assert_true(conf_domain_parse(
			SPAN("[192.0.2.1]"), &arena, &domain, &subdomains, &why));
	assert_string_equal(domain, "[192.0.2.1]");
	static const char *const bad[] = { "", "*", "*.", "a..b", "a b",
		"*.[192.0.2.1]", "a.*.b", "a@b", ".a" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (conf_domain_parse(span_of(bad[i]), &arena, &domain, &subdomains,
				    &why))
			fail_msg("%s", bad[i]);
	}
}

static void
names_are_harmless_words(void **state)
{
	(void)state;
	assert_true(conf_name_ok(SPAN("contoso")));
	assert_true(conf_name_ok(SPAN("A-1_b.c")));
	assert_true(conf_name_ok(SPAN("0")));
	assert_false(conf_name_ok(SPAN("")));
	assert_false(conf_name_ok(SPAN(".a")));
	assert_false(conf_name_ok(SPAN("-a")));
	assert_false(conf_name_ok(SPAN("a/b")));
	assert_false(conf_name_ok(SPAN("a b")));
	assert_false(conf_name_ok(SPAN("\303\274")));
	char long_name[66];
	memset(long_name, 'a', sizeof(long_name));
	assert_true(conf_name_ok((struct span){ long_name, 64 }));
	assert_false(conf_name_ok((struct span){ long_name, 65 }));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hops_are_read),
		cmocka_unit_test(addresses_ask_no_dns),
		cmocka_unit_test(networks_are_read),
		cmocka_unit_test(domains_are_canonical),
		cmocka_unit_test(names_are_harmless_words),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_done(&arena);
	return failed;
}
