/* An account whose logons are refused: it waits, unless what it would log on with is new. */
#include "../../../src/fetch/suspend.h"

#include <string.h>

#include "check.h"
#include "postern/clock.h"

static const struct conf_account usual = {
	.name = "contoso",
	.server = { .name = "pop.test", .port = 995 },
	.tls = CONF_TLS_IMPLICIT,
	.auth = CONF_AUTH_PLAIN,
	.user = "tim",
	.password = { .kind = SECRET_VALUE, .text = "secret" },
};

/* Whatever is changed in the account to log on otherwise, the check is another one. */
static void
the_check_sees_what_a_logon_depends_on(void **state)
{
	struct conf_account a = usual;
	unsigned was = suspend_check(&usual, SPAN("secret"));

	(void)state;
	assert_int_equal(suspend_check(&a, SPAN("secret")), was);
	assert_int_not_equal(suspend_check(&a, SPAN("secreT")), was);
	a.server.name = "pop2.test";
	assert_int_not_equal(suspend_check(&a, SPAN("secret")), was);
	a = usual;
	a.server.port = 110;
	assert_int_not_equal(suspend_check(&a, SPAN("secret")), was);
	a = usual;
	a.tls = CONF_TLS_STARTTLS;
	assert_int_not_equal(suspend_check(&a, SPAN("secret")), was);
	a = usual;
	a.auth = CONF_AUTH_USER;
	assert_int_not_equal(suspend_check(&a, SPAN("secret")), was);
	a = usual;
	a.user = "tom";
	assert_int_not_equal(suspend_check(&a, SPAN("secret")), was);
	/* User and password do not run into each other. */
	a.user = "tims";
	assert_int_not_equal(suspend_check(&a, SPAN("ecret")), was);

	/* A command gives another token each time, so that tells nothing; a password that a
	 * command gives does. */
	struct conf_account token = usual;
	token.password.kind = SECRET_NONE;
	token.token.kind = SECRET_COMMAND;
	assert_int_equal(suspend_check(&token, SPAN("a")),
			suspend_check(&token, SPAN("b")));
	token.token.kind = SECRET_VALUE;
	assert_int_not_equal(suspend_check(&token, SPAN("a")),
			suspend_check(&token, SPAN("b")));
	a = usual;
	a.password.kind = SECRET_COMMAND;
	assert_int_not_equal(
			suspend_check(&a, SPAN("a")), suspend_check(&a, SPAN("b")));
}

static void
it_waits_for_its_time_or_for_something_new(void **state)
{
	struct conf_account a = usual;
	struct fetch_memo m = { .refusals = MEMO_REFUSALS,
		.refused = suspend_check(&usual, SPAN("secret")),
		.logon_ms = clock_wall_ms() + 3600000 };
	struct fetch_poll p = { .account = &a, .name = SPAN("contoso"), .memo = &m };

	(void)state;
	assert_false(suspend_passes(&p));
	assert_int_equal(p.result.error.event, 4019);
	assert_non_null(strstr(p.result.error.text, "contoso"));

	p.asked = true; /* somebody wants to know now */
	assert_true(suspend_passes(&p));
	p.asked = false;
	p.look_only = true;
	assert_true(suspend_passes(&p));
	p.look_only = false;
	assert_false(suspend_passes(&p));

	m.refusals--;
	assert_true(suspend_passes(&p));
	m.refusals++;
	m.logon_ms = clock_wall_ms() - 1;
	assert_true(suspend_passes(&p));
	m.logon_ms = clock_wall_ms() + 3600000;

	a.password.text = "another";
	assert_true(suspend_passes(&p));
	a.password.text = "secret";
	a.auth = CONF_AUTH_LOGIN;
	assert_true(suspend_passes(&p));
	a.auth = usual.auth;
	assert_false(suspend_passes(&p));

	/* What cannot be read is nothing to try. */
	a.password = (struct secret){ .kind = SECRET_FILE, .text = "/nowhere/at/all" };
	assert_false(suspend_passes(&p));
}

/* Of tokens the one that stands in the place of the password is looked at. */
static void
a_new_token_is_something_new(void **state)
{
	static const char *const command[] = { "/bin/false", NULL };
	struct conf_account a = usual;
	struct fetch_memo m = { .refusals = MEMO_REFUSALS,
		.logon_ms = clock_wall_ms() + 3600000 };
	struct fetch_poll p = { .account = &a, .name = SPAN("contoso"), .memo = &m };

	(void)state;
	a.password = (struct secret){ .kind = SECRET_NONE };
	a.token = (struct secret){ .kind = SECRET_VALUE, .text = "ya29" };
	m.refused = suspend_check(&a, SPAN("ya29"));
	assert_false(suspend_passes(&p));
	a.token.text = "ya30";
	assert_true(suspend_passes(&p));
	/* A command is not run for that. */
	a.token = (struct secret){ .kind = SECRET_COMMAND, .argv = command };
	m.refused = suspend_check(&a, SPAN("whatever"));
	assert_false(suspend_passes(&p));
	m.refused ^= 1;
	assert_true(suspend_passes(&p));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_sees_what_a_logon_depends_on),
		cmocka_unit_test(it_waits_for_its_time_or_for_something_new),
		cmocka_unit_test(a_new_token_is_something_new),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
