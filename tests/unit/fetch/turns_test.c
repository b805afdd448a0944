/* Whose poll begins next. */
#include "../../../src/fetch/turns.h"

#include "check.h"

enum { MOST = 8, NONE = 99 };

static struct conf_account accounts[MOST];
static struct turns turns;
static const uint64_t seed[2] = { 3, 7 };

/* "HOST USER HOST USER ...": one account for each pair. */
static void
start(size_t workers, size_t n, const char *const (*of)[2])
{
	for (size_t i = 0; i < n; i++)
		accounts[i] = (struct conf_account){ .name = "a",
			.server = { .name = of[i][0], .port = 995 },
			.user = of[i][1] };
	turns_init(&turns, &(const struct conf_accounts){ accounts, n }, workers, seed);
	assert_false(turns_ready(&turns));
}

static void
put(const char *numbers)
{
	for (; *numbers; numbers++)
		turns_put(&turns, (size_t)(*numbers - '0'));
}

static void
over(const char *numbers, enum host_said said)
{
	for (; *numbers; numbers++)
		turns_over(&turns, (size_t)(*numbers - '0'), said);
}

/* Those that may begin now, in their order. */
static void
check_take(const char *numbers)
{
	char got[2 * MOST] = "";
	size_t i = NONE;

	for (size_t n = 0; n < MOST && turns_take(&turns, &i); n++)
		got[n] = (char)('0' + i);
	assert_string_equal(got, numbers);
	assert_false(turns_ready(&turns));
}

static void
servers_take_turns(void **state)
{
	static const char *const of[][2] = { { "one.test", "a" }, { "one.test", "b" },
		{ "One.TEST", "c" }, { "two.test", "a" }, { "two.test", "b" } };

	(void)state;
	start(8, 5, of);
	put("01234");
	assert_true(turns_ready(&turns));
	check_take("03142");
	over("01234", HOST_GOOD);
	assert_false(turns_ready(&turns));
	put("4");
	assert_true(turns_ready(&turns));
	put("1032");
	check_take("41302");
	over("01234", HOST_NOTHING);
	turns_done(&turns);
	assert_null(turns.all);
	turns_done(&turns);
}

/* A server that has as many as it bears holds up nobody else. */
static void
a_server_gets_what_it_bears(void **state)
{
	static const char *const of[][2] = { { "one.test", "a" }, { "one.test", "b" },
		{ "one.test", "c" }, { "one.test", "d" }, { "two.test", "a" },
		{ "two.test", "b" }, { "two.test", "c" } };

	(void)state;
	start(3, 7, of); /* two of three for each server */
	put("0123");
	check_take("01");
	put("45");
	check_take("45");
	over("1", HOST_GOOD);
	check_take("2");
	/* It is unwell: one at a time. */
	over("0", HOST_STRAINED);
	check_take("");
	over("2", HOST_NOTHING);
	check_take("3");
	put("01");
	over("3", HOST_GOOD);
	check_take("01");
	over("0145", HOST_GOOD);
	put("6");
	check_take("6");
	over("6", HOST_GOOD);
	turns_done(&turns);
	/* Where there is but one server, it gets all. */
	start(3, 4, of);
	put("0123");
	check_take("012");
	turns_done(&turns);
}

static void
accounts_of_one_mailbox_wait_for_each_other(void **state)
{
	static const char *const of[][2] = { { "one.test", "same" },
		{ "one.test", "other" }, { "one.test", "same" }, { "one.test", "same" },
		{ "one.test", "more" }, { "two.test", "same" } };

	(void)state;
	start(8, 6, of);
	put("02315");
	check_take("051");
	put("4");
	check_take("4");
	/* They were there before whoever comes now. */
	over("1", HOST_GOOD);
	over("0", HOST_GOOD);
	put("10");
	check_take("21");
	over("2", HOST_GOOD);
	check_take("3");
	over("3", HOST_GOOD);
	check_take("0");
	over("0145", HOST_GOOD);
	check_take("");
	put("3");
	check_take("3");
	over("3", HOST_GOOD);
	turns_done(&turns);
}

/* Whoever waits for its mailbox does so in the order in which it came, and in front of
 * those who came later. */
static void
the_wait_for_a_mailbox_counts(void **state)
{
	static const char *const of[][2] = { { "one.test", "same" },
		{ "one.test", "same" }, { "one.test", "same" }, { "one.test", "x" },
		{ "one.test", "y" }, { "one.test", "z" } };

	(void)state;
	start(2, 6, of);
	put("012");
	check_take("0");
	put("345");
	check_take("3");
	over("0", HOST_GOOD);
	check_take("1");
	over("3", HOST_GOOD);
	check_take("4");
	over("1", HOST_GOOD);
	check_take("2");
	over("4", HOST_GOOD);
	check_take("5");
	turns_done(&turns);
}

static void
an_account_may_leave_the_queue(void **state)
{
	static const char *const of[][2] = { { "one.test", "same" },
		{ "one.test", "same" }, { "one.test", "x" }, { "two.test", "y" } };

	(void)state;
	start(8, 4, of);
	turns_drop(&turns, 0); /* it is not in it */
	put("0");
	turns_drop(&turns, 0);
	assert_false(turns_ready(&turns));
	check_take("");
	put("023");
	turns_drop(&turns, 0);
	assert_true(turns_ready(&turns));
	turns_drop(&turns, 3);
	check_take("2");
	/* From the queue for its mailbox too. */
	put("01");
	check_take("0");
	turns_drop(&turns, 1);
	over("0", HOST_GOOD);
	check_take("");
	put("1");
	check_take("1");
	over("12", HOST_GOOD);
	turns_done(&turns);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_take_turns),
		cmocka_unit_test(a_server_gets_what_it_bears),
		cmocka_unit_test(accounts_of_one_mailbox_wait_for_each_other),
		cmocka_unit_test(the_wait_for_a_mailbox_counts),
		cmocka_unit_test(an_account_may_leave_the_queue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
