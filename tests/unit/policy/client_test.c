#include "check.h"

#include "postern/policy.h"

struct question {
	const char *nets[3];
	const char *client;
	bool may;
};

static const struct question questions[] = {
	{ { "192.168.2.0/24" }, "192.168.2.25", true },
	{ { "192.168.2.0/24" }, "192.168.3.25", false },
	{ { "192.168.2.0/24" }, "::ffff:192.168.2.25", true },
	{ { "192.168.2.0/24" }, "::192.168.2.25", false },
	{ { "10.0.0.0/8", "192.168.2.0/24" }, "192.168.2.1", true },
	{ { "192.168.2.7" }, "192.168.2.7", true },
	{ { "192.168.2.7" }, "192.168.2.6", false },
	{ { "192.168.2.128/25" }, "192.168.2.127", false },
	{ { "192.168.2.128/25" }, "192.168.2.128", true },
	{ { "10.0.0.0/9" }, "10.127.255.255", true },
	{ { "10.0.0.0/9" }, "10.128.0.0", false },
	{ { "0.0.0.0/0" }, "203.0.113.9", true },
	{ { "0.0.0.0/0" }, "2001:db8::1", false },
	{ { "::/0" }, "2001:db8::1", true },
	{ { "::/0" }, "203.0.113.9", false },
	{ { "::/0" }, "::ffff:203.0.113.9", false },
	{ { "::ffff:0:0/96" }, "203.0.113.9", true },
	{ { "fe80::/10" }, "fe80::1%eth0", true },
	{ { "2001:db8::/33" }, "2001:db8:8000::1", false },
	{ { "2001:db8::/33" }, "2001:db8:7fff::1", true },
	{ { "0.0.0.0/0", "::/0" }, "", false },
	{ { "0.0.0.0/0", "::/0" }, "unix", false },
	{ { "0.0.0.0/0", "::/0" }, "10.0.0.1 ", false },
	{ { "0.0.0.0/0", "::/0" }, "[10.0.0.1]", false },
	{ { "0.0.0.0/0", "::/0" }, "10.0.0.1:25", false },
	{ { 0 }, "127.0.0.1", false },
};

static void
networks_decide_who_may_relay(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		const struct question *q = &questions[i];
		struct conf_cidr p[3];
		struct conf_cidrs nets = { .p = p };
		const char *why;
		for (; nets.n < 3 && q->nets[nets.n]; nets.n++)
			assert_true(conf_cidr_parse(
					span_of(q->nets[nets.n]), &p[nets.n], &why));
		if (policy_may_relay(&nets, span_of(q->client)) != q->may)
			fail_msg("%s in %s", q->client, q->nets[0]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks_decide_who_may_relay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
