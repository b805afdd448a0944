#include "check.h"

#include <string.h>

#include "postern/directory.h"

static void
domains_that_no_policy_knows_are_told(void **state)
{
	(void)state;
	static const char text[] =
			"server: { postmaster: p@nowhere.test }\n"
			"accounts:\n"
			"  a: { type: global, server: s, user: u, password: { env: P }, domains: [ ours.test, b\303\274cher.test, '*.below.test' ] }\n"
			"  b: { type: user, server: s, user: v, password: { env: P }, recipient: x@theirs.test }\n"
			"  c: { type: global, server: s, user: w, password: { env: P }, unrouted: y@far.test }\n"
			"  d: { type: user, server: s, user: x, password: { env: P }, recipient: ANN }\n"
			"  e: { type: user, server: s, user: y, password: { env: P }, recipient: bob }\n"
			"delivery:\n"
			"  routes:\n"
			"    ours.test: { to: drop }\n"
			"    '*.below.test': { to: drop }\n"
			"    other.test: { to: drop }\n";
	static const struct policy_domain rows[] = {
		{ { SPAN_INIT("ours.test") }, false, true, { SPAN_INIT("p") }, 1, false,
				{ SPAN_INIT("+") }, false },
		{ { SPAN_INIT("below.test") }, true, true, { SPAN_INIT("p") }, 1, false,
				{ SPAN_INIT("+") }, false },
	};
	static struct conf_faults faults;
	conf_faults_init(&faults);
	struct conf *c = conf_parse(
			&(struct conf_source){ .text = SPAN(text), .path = "p.yaml" },
			&faults);
	assert_non_null(c);
	assert_int_equal(faults.n, 0);
	struct directory *d = directory_new(&(struct directory_rows){ .domains = rows,
			.n_domains = 2,
			.recipients = &(struct directory_row){ .alias = SPAN("ann") },
			.n_recipients = 1 });
	policy_check_conf(d, c, &faults);

	struct buf out = BUF_MAX(10000);
	for (size_t i = 0; i < faults.n; i++)
		assert_true(conf_fault_print(&faults.list[i], &out));
	const char *said = buf_cstr(&out);
	assert_int_equal(faults.errors, 0);
	if (faults.n != 6)
		fail_msg("%s", said);
	assert_non_null(strstr(said,
			"p.yaml:3:3: warning: Domain xn--bcher-kva.test is served by account a but is not in the recipient policy; its mail would be refused with 550 5.7.1. (event 4045)\n"));
	assert_non_null(strstr(said,
			"p.yaml:4:3: warning: Domain theirs.test is served by account b "));
	assert_non_null(strstr(said,
			"p.yaml:5:3: warning: Domain far.test is served by account c "));
	assert_non_null(strstr(said, "server.postmaster, nowhere.test, is in no"));
	assert_non_null(strstr(
			said, "p.yaml:12:5: warning: there is a route for other.test"));
	assert_non_null(strstr(said,
			"p.yaml:7:3: warning: account e: there is no recipient bob; its mail would stay at the provider\n"));
	assert_int_equal(faults.list[0].event, 4045);
	buf_done(&out);
	directory_free(d);
	conf_free(c);
	conf_faults_done(&faults);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(domains_that_no_policy_knows_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
