#include "postern/net.h"

#include <string.h>

#include "check.h"

static void
test_addresses(void **state)
{
	static const struct {
		const char *in, *text, *literal;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", "[192.0.2.1]" },
		{ "2001:DB8::1", "2001:db8::1", "[IPv6:2001:db8::1]" },
		{ "[::1]", "::1", "[IPv6:::1]" },
		{ "::ffff:10.0.0.1", "10.0.0.1", "[10.0.0.1]" },
		{ "[192.0.2.1]", NULL, NULL },
		{ "192.0.2", NULL, NULL },
		{ "192.0.2.1 ", NULL, NULL },
		{ "pop.isp.test", NULL, NULL },
		{ "", NULL, NULL },
		{ "[]", NULL, NULL },
	};
	char out[NET_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct net_addr a;
		bool ok = net_addr_parse(span_of(rows[i].in), 25, &a);

		if (ok != (rows[i].text != NULL))
			fail_msg("%s", rows[i].in);
		if (!ok)
			continue;
		net_addr_text(&a, out);
		assert_string_equal(out, rows[i].text);
		net_addr_literal(&a, out);
		assert_string_equal(out, rows[i].literal);
	}
}

static void
within(const char *addr, const char *range, bool want)
{
	struct net_addr a;

	assert_true(net_addr_parse(span_of(addr), 0, &a));
	if (net_addr_within(&a, span_of(range)) != want)
		fail_msg("%s in %s", addr, range);
}

static void
test_ranges(void **state)
{
	(void)state;
	within("192.168.2.77", "192.168.2.0/24", true);
	within("192.168.3.77", "192.168.2.0/24", false);
	within("192.168.3.77", "192.168.2.0/23", true);
	within("192.168.2.129", "192.168.2.128/25", true);
	within("192.168.2.127", "192.168.2.128/25", false);
	within("10.0.0.1", "10.0.0.1", true);
	within("10.0.0.2", "10.0.0.1", false);
	within("10.0.0.2", "0.0.0.0/0", true);
	within("::1", "0.0.0.0/0", false);
	within("2001:db8::5", "2001:db8::/32", true);
	within("2001:db9::5", "2001:db8::/32", false);
	within("10.0.0.1", "10.0.0.0/33", false);
	within("10.0.0.1", "10.0.0.0/", false);
	within("10.0.0.1", "ten/8", false);
	within("::ffff:10.0.0.1", "10.0.0.0/8", true);
	within("10.1.0.1", "::ffff:10.0.0.0/104", true);
	within("11.1.0.1", "::ffff:10.0.0.0/104", false);
}

static void
cuts(const char *text, const char *host, unsigned port)
{
	struct span h;
	uint16_t p;
	bool ok = net_host_port(span_of(text), 7, &h, &p);

	assert_int_equal(ok, host != NULL);
	if (!ok)
		return;
	assert_true(span_eq(h, span_of(host)));
	assert_int_equal(p, port);
}

static void
test_host_and_port(void **state)
{
	(void)state;
	cuts("pop.isp.test", "pop.isp.test", 7);
	cuts("pop.isp.test:995", "pop.isp.test", 995);
	cuts("[::1]:25", "::1", 25);
	cuts("[::1]", "::1", 7);
	cuts("2001:db8::1", "2001:db8::1", 7);
	cuts("host:", NULL, 0);
	cuts("host:99999", NULL, 0);
	cuts("host:25x", NULL, 0);
	cuts(":25", NULL, 0);
	cuts("[::1", NULL, 0);
	cuts("[::1]25", NULL, 0);
	cuts("", NULL, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_host_and_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
