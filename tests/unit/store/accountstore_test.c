/* What an administrator has said of accounts, and that it does not grow for ever. */
#include "postern/accountstore.h"

#include "fixture.h"

#define CONTOSO SPAN("contoso")

struct heard {
	size_t n;
	char last[40];
};

static void
hear(void *host, struct span uidl)
{
	struct heard *h = host;

	assert_true(uidl.n < sizeof(h->last));
	h->n++;
	memcpy(h->last, uidl.p ? uidl.p : "", uidl.n);
	h->last[uidl.n] = '\0';
}

static void
ask(struct state *t, struct span account, const char *uidl)
{
	if (!accountstore_retry(t->store, account, span_of(uidl), &t->err))
		fail_msg("%s", t->err.text);
}

static struct heard
retries(struct state *t, struct span account, uint64_t *asked)
{
	struct heard h = { 0 };

	if (!accountstore_retries(
			    store_reader(t->store), account, asked, hear, &h, &t->err))
		fail_msg("%s", t->err.text);
	return h;
}

static void
each_request_is_heard_once_and_in_its_order(void **state)
{
	struct state *t = *state;
	uint64_t asked = 0, other = 0;

	ask(t, CONTOSO, "a");
	ask(t, CONTOSO, "b");
	ask(t, SPAN("fabrikam"), "c");
	struct heard h = retries(t, CONTOSO, &asked);
	assert_int_equal(h.n, 2);
	assert_string_equal(h.last, "b");
	assert_int_equal(retries(t, CONTOSO, &asked).n, 0);
	ask(t, CONTOSO, "a"); /* once more */
	h = retries(t, CONTOSO, &asked);
	assert_int_equal(h.n, 1);
	assert_string_equal(h.last, "a");
	assert_int_equal(retries(t, SPAN("fabrikam"), &other).n, 1);
}

static void
a_request_for_all_takes_the_place_of_those_before(void **state)
{
	struct state *t = *state;
	uint64_t asked = 0;

	ask(t, SPAN("fabrikam"), "c");
	ask(t, CONTOSO, "a");
	ask(t, CONTOSO, "b");
	ask(t, CONTOSO, "");
	struct heard h = retries(t, CONTOSO, &asked);
	assert_int_equal(h.n, 1);
	assert_string_equal(h.last, "");
	ask(t, CONTOSO, "b");
	assert_int_equal(retries(t, CONTOSO, &asked).n, 1);
	asked = 0;
	assert_int_equal(retries(t, SPAN("fabrikam"), &asked).n, 1);
}

static void
requests_are_bounded(void **state)
{
	struct state *t = *state;
	uint64_t asked = 0;
	char uidl[20];

	t->err = (struct err){ 0 };
	for (int i = 0; i < 1100; i++) {
		(void)snprintf(uidl, sizeof(uidl), "u%d", i);
		ask(t, CONTOSO, uidl);
	}
	struct heard h = retries(t, CONTOSO, &asked);
	assert_int_equal(h.n, 1001);
	assert_string_equal(h.last, "u1099");
}

static void
an_account_is_resumed_so_many_times(void **state)
{
	struct state *t = *state;
	uint64_t times = 9;

	assert_true(accountstore_resumed(
			store_reader(t->store), CONTOSO, &times, &t->err));
	assert_int_equal(times, 0);
	for (int i = 0; i < 3; i++)
		assert_true(accountstore_resume(t->store, CONTOSO, &t->err));
	assert_true(accountstore_resumed(
			store_reader(t->store), CONTOSO, &times, &t->err));
	assert_int_equal(times, 3);
	assert_true(accountstore_resumed(
			store_reader(t->store), SPAN("fabrikam"), &times, &t->err));
	assert_int_equal(times, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_request_is_heard_once_and_in_its_order),
		TEST(a_request_for_all_takes_the_place_of_those_before),
		TEST(requests_are_bounded),
		TEST(an_account_is_resumed_so_many_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
