#include "fixture.h"

static enum store_result
act(struct state *t, enum origin_act act, struct span *uidls, size_t n, int64_t now_ms)
{
	struct origin_change c = { .job = { .work = STORE_ORIGINS },
		.act = act,
		.account = SPAN("isp"),
		.now_ms = now_ms,
		.uidls = uidls,
		.n = n };
	return fixture_do(t, &c.job);
}

static enum origin_state
look(struct state *t, const char *uidl)
{
	enum origin_state is;
	assert_true(origin_look(store_reader(t->store), SPAN("isp"), span_of(uidl), &is,
			NULL, &t->err));
	return is;
}

static void
an_origin_is_settled_when_told(void **state)
{
	struct state *t = *state;
	fixture_submit(t, "a");
	fixture_submit(t, "b");
	assert_int_equal(look(t, "a"), ORIGIN_COMMITTED);
	assert_int_equal(look(t, "x"), ORIGIN_NEW);
	assert_int_equal(act(t, ORIGIN_ACT_SETTLE,
					 (struct span[]){ SPAN("a"), SPAN("x") }, 2,
					 NOW),
			STORE_DONE);
	assert_int_equal(look(t, "a"), ORIGIN_SETTLED);
	assert_int_equal(look(t, "b"), ORIGIN_COMMITTED);
	assert_int_equal(look(t, "x"), ORIGIN_NEW);
}

/* What a complete listing of these UIDLs would change. */
static struct origin_changes
match(struct state *t, const char *const *uidls, size_t n, int64_t now_ms)
{
	struct origin_listed listed[8] = { 0 };
	struct origin_changes c;
	for (size_t i = 0; i < n; i++)
		listed[i].uidl = span_of(uidls[i]);
	assert_true(origin_match(store_reader(t->store),
			&(struct origin_listing){ SPAN("isp"), listed, n, now_ms }, &c,
			&t->arena, &t->err));
	return c;
}

/* And all that follows from it. */
static struct origin_changes
listing(struct state *t, const char *const *uidls, size_t n, int64_t now_ms)
{
	struct origin_changes c = match(t, uidls, n, now_ms);
	act(t, ORIGIN_ACT_LISTED, c.absent, c.n_absent, now_ms);
	act(t, ORIGIN_ACT_BACK, c.back, c.n_back, now_ms);
	act(t, ORIGIN_ACT_FORGET, c.forget, c.n_forget, now_ms);
	return c;
}

static void
a_listing_is_matched_whatever_its_order(void **state)
{
	struct state *t = *state;
	uint64_t b = fixture_submit(t, "b"), d = fixture_submit(t, "d");
	fixture_submit(t, "f");
	act(t, ORIGIN_ACT_SETTLE, (struct span[]){ SPAN("d") }, 1, NOW);
	struct origin_listed l[] = {
		{ .uidl = SPAN("e"), .number = 1 },
		{ .uidl = SPAN("d"), .number = 2 },
		{ .uidl = SPAN("b"), .number = 3 },
		{ .uidl = SPAN("a"), .number = 4 },
		{ .uidl = SPAN("d"), .number = 5 },
		{ .uidl = SPAN("zz"), .number = 6 },
		{ .uidl = SPAN("dd"), .number = 7 },
	};
	static const struct {
		const char *uidl;
		uint32_t number;
		enum origin_state state;
	} want[] = {
		{ "a", 4, ORIGIN_NEW },
		{ "b", 3, ORIGIN_COMMITTED },
		{ "d", 2, ORIGIN_SETTLED },
		{ "d", 5, ORIGIN_SETTLED },
		{ "dd", 7, ORIGIN_NEW },
		{ "e", 1, ORIGIN_NEW },
		{ "zz", 6, ORIGIN_NEW },
	};
	struct origin_changes c;
	assert_true(origin_match(store_reader(t->store),
			&(struct origin_listing){ SPAN("isp"), l, 7, NOW }, &c,
			&t->arena, &t->err));
	for (size_t i = 0; i < 7; i++) {
		assert_span(l[i].uidl, want[i].uidl);
		assert_int_equal(l[i].number, want[i].number);
		assert_int_equal(l[i].state, want[i].state);
	}
	assert_int_equal(l[1].id, b);
	assert_int_equal(l[2].id, d);
	assert_int_equal(l[1].committed_ms, NOW);
	assert_int_equal(c.known, 3);
	assert_int_equal(c.unlisted, 1);
	assert_int_equal(c.n_absent, 1);
	assert_span(c.absent[0], "f");
	assert_true(origin_match(store_reader(t->store),
			&(struct origin_listing){ SPAN("nobody"), l, 7, NOW }, &c,
			&t->arena, &t->err));
	assert_int_equal(l[1].state, ORIGIN_NEW);
	assert_int_equal(c.known, 0);
}

static void
an_origin_lives_until_two_listings_and_seven_days_lack_it(void **state)
{
	struct state *t = *state;
	static const char *const both[] = { "a", "b" };
	const int64_t day = 24 * 3600 * 1000;
	fixture_submit(t, "a");
	fixture_submit(t, "b");
	assert_int_equal(listing(t, both, 2, NOW).n_absent, 0);
	/* b has gone; the first listing that lacks it starts the time. */
	assert_int_equal(listing(t, both, 1, NOW).n_absent, 1);
	assert_int_equal(listing(t, both, 1, NOW + 6 * day).n_absent, 0);
	/* Told again, its time does not start anew. */
	act(t, ORIGIN_ACT_LISTED, (struct span[]){ SPAN("b") }, 1, NOW + 6 * day);
	assert_int_equal(match(t, both, 1, NOW + 7 * day).n_forget, 1);
	assert_int_equal(look(t, "b"), ORIGIN_COMMITTED);
	/* It comes back: the time starts again. */
	assert_int_equal(listing(t, both, 2, NOW + 6 * day).n_back, 1);
	assert_int_equal(listing(t, both, 1, NOW + 8 * day).n_absent, 1);
	assert_int_equal(look(t, "b"), ORIGIN_COMMITTED);
	/* Seven days alone are not enough for the store, whoever asks. */
	act(t, ORIGIN_ACT_FORGET, (struct span[]){ SPAN("b"), SPAN("a") }, 2,
			NOW + 30 * day);
	assert_int_equal(look(t, "b"), ORIGIN_COMMITTED);
	assert_int_equal(listing(t, both, 1, NOW + 14 * day).n_forget, 0);
	assert_int_equal(listing(t, both, 1, NOW + 15 * day).n_forget, 1);
	assert_int_equal(look(t, "b"), ORIGIN_NEW);
	assert_int_equal(look(t, "a"), ORIGIN_COMMITTED);
	act(t, ORIGIN_ACT_FORGET, (struct span[]){ SPAN("a") }, 1, NOW + 90 * day);
	assert_int_equal(look(t, "a"), ORIGIN_COMMITTED);
}

static void
polls_are_shown_by_account(void **state)
{
	struct state *t = *state;
	struct poll_result p = { .job = { .work = STORE_POLLED },
		.account = SPAN("isp"),
		.started_ms = NOW,
		.ended_ms = NOW + 10,
		.event = 4003,
		.text = SPAN("refused"),
		.waiting = 7 };
	assert_int_equal(fixture_do(t, &p.job), STORE_DONE);
	p.ok = true;
	p.text = SPAN("ok");
	p.collected = 3;
	p.next_ms = NOW + 300000;
	assert_int_equal(fixture_do(t, &p.job), STORE_DONE);
	p.account = SPAN("abc");
	assert_int_equal(fixture_do(t, &p.job), STORE_DONE);
	struct poll_result *all;
	size_t n;
	assert_true(poll_results(store_reader(t->store), &t->arena, &all, &n, &t->err));
	assert_int_equal(n, 2);
	assert_span(all[0].account, "abc");
	assert_span(all[1].account, "isp");
	assert_true(all[1].ok);
	assert_span(all[1].text, "ok");
	assert_int_equal(all[1].collected, 3);
	assert_int_equal(all[1].waiting, 7);
	assert_int_equal(all[1].next_ms, NOW + 300000);
	fixture_submit(t, "a");
	fixture_submit(t, "b");
	uint64_t count;
	struct reader *r = store_reader(t->store);
	assert_true(origin_collected(r, SPAN("isp"), NOW, &count, &t->err));
	assert_int_equal(count, 2);
	assert_true(origin_collected(r, SPAN("isp"), NOW + 1, &count, &t->err));
	assert_int_equal(count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_origin_is_settled_when_told),
		TEST(a_listing_is_matched_whatever_its_order),
		TEST(an_origin_lives_until_two_listings_and_seven_days_lack_it),
		TEST(polls_are_shown_by_account),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
