#include "steady.h"

static enum store_result
act(struct state *t, enum origin_act act, struct span *uidls, size_t n, int64_t now_ms)
{
	struct origin_change c = { .job = { .work = STORE_ORIGINS },
		.act = act,
		.account = SPAN("isp"),
		.uidls = uidls,
		.n = n };
	steady_set(t, now_ms);
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

/* The account's origins as "uidl:state " with a minus before absent ones. */
static const char *
walk(struct state *t, const char *account)
{
	static char out[256];
	struct reader *r = store_reader(t->store);
	struct origin_row o;
	size_t n = 0;

	origin_walk(r, span_of(account));
	while (origin_walk_next(r, &o))
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s" SPAN_FMT ":%d ",
				o.absent ? "-" : "", SPAN_ARG(o.uidl), (int)o.state);
	assert_true(origin_walk_end(r, &t->err));
	out[n] = '\0';
	return out;
}

static void
origins_are_walked_in_the_order_of_their_octets(void **state)
{
	struct state *t = *state;
	struct origin_row o;
	struct reader *r = store_reader(t->store);
	uint64_t d = fixture_submit(t, "d");

	fixture_submit(t, "b");
	fixture_submit(t, "dd");
	fixture_submit(t, "D");
	act(t, ORIGIN_ACT_SETTLE, (struct span[]){ SPAN("d") }, 1, NOW);
	assert_string_equal(walk(t, "isp"), "D:1 b:1 d:2 dd:1 ");
	assert_string_equal(walk(t, "nobody"), "");
	origin_walk(r, SPAN("isp"));
	for (int i = 0; i < 3; i++)
		assert_true(origin_walk_next(r, &o));
	assert_span(o.uidl, "d");
	assert_int_equal(o.id, d);
	assert_in_range(o.committed_ms, NOW,
			NOW + 60 * 1000); /* the steady clock goes on */
	assert_int_equal(o.print, 0);
	assert_true(origin_walk_end(r, &t->err));
}

static void
an_adopted_origin_is_never_collected_nor_settled_by_chance(void **state)
{
	struct state *t = *state;

	fixture_submit(t, "a");
	fixture_submit(t, "b");
	act(t, ORIGIN_ACT_SETTLE, (struct span[]){ SPAN("b") }, 1, NOW);
	act(t, ORIGIN_ACT_ADOPT, (struct span[]){ SPAN("a"), SPAN("b"), SPAN("c") }, 3,
			NOW);
	/* What is here stays known as here. */
	assert_string_equal(walk(t, "isp"), "a:1 b:3 c:3 ");
	assert_int_equal(look(t, "c"), ORIGIN_ADOPTED);
	/* Retrieved while it was being adopted: "already have it" would be a lie, and have
	 * it deleted at the provider. */
	struct submission late = fixture_message(t, "c");
	assert_int_equal(fixture_do(t, &late.job), STORE_DONE);
	assert_int_equal(look(t, "c"), ORIGIN_COMMITTED);
	struct submission again = fixture_message(t, "c");
	assert_int_equal(fixture_do(t, &again.job), STORE_HAD);
	assert_int_equal(again.had, late.id);
}

static void
an_origin_lives_until_two_listings_and_seven_days_lack_it(void **state)
{
	struct state *t = *state;
	struct span b[] = { SPAN("b") };
	const int64_t day = 24 * 3600 * 1000;

	fixture_submit(t, "a");
	fixture_submit(t, "b");
	act(t, ORIGIN_ACT_LISTED, NULL, 0, NOW);
	/* b has gone; the first listing that lacks it starts the time. */
	act(t, ORIGIN_ACT_LISTED, b, 1, NOW);
	assert_string_equal(walk(t, "isp"), "a:1 -b:1 ");
	/* Told again, its time does not start anew. */
	act(t, ORIGIN_ACT_LISTED, b, 1, NOW + 6 * day);
	act(t, ORIGIN_ACT_FORGET, b, 1, NOW + 6 * day);
	assert_int_equal(look(t, "b"), ORIGIN_COMMITTED);
	/* It comes back: the time starts again, with the next listing that lacks it. */
	act(t, ORIGIN_ACT_BACK, b, 1, NOW + 6 * day);
	assert_string_equal(walk(t, "isp"), "a:1 b:1 ");
	act(t, ORIGIN_ACT_LISTED, b, 1, NOW + 8 * day);
	/* Seven days alone are not enough for the store, whoever asks. */
	act(t, ORIGIN_ACT_FORGET, (struct span[]){ SPAN("b"), SPAN("a") }, 2,
			NOW + 30 * day);
	assert_int_equal(look(t, "b"), ORIGIN_COMMITTED);
	act(t, ORIGIN_ACT_LISTED, NULL, 0, NOW + 14 * day);
	act(t, ORIGIN_ACT_FORGET, b, 1, NOW + 14 * day);
	assert_int_equal(look(t, "b"), ORIGIN_COMMITTED);
	act(t, ORIGIN_ACT_FORGET, b, 1, NOW + 15 * day);
	assert_int_equal(look(t, "b"), ORIGIN_NEW);
	assert_int_equal(look(t, "a"), ORIGIN_COMMITTED);
	act(t, ORIGIN_ACT_FORGET, (struct span[]){ SPAN("a") }, 1, NOW + 90 * day);
	assert_int_equal(look(t, "a"), ORIGIN_COMMITTED);
}

static void
an_account_is_remembered_as_it_was_told(void **state)
{
	struct state *t = *state;
	struct reader *r = store_reader(t->store);
	struct poll_result p = { .job = { .work = STORE_POLLED },
		.account = SPAN("isp"),
		.memo = SPAN("{\"failures\":1}"),
		.session = SPAN("S: +OK\n") };
	struct poll_session *all;
	struct span memo;
	size_t n;

	for (int i = 0; i < 9; i++) {
		p.started_ms = NOW + i;
		p.ok = i != 1 && i != 2;
		assert_int_equal(fixture_do(t, &p.job), STORE_DONE);
		p.memo = (struct span){ NULL, 0 };
	}
	assert_true(poll_memo(r, SPAN("isp"), &t->arena, &memo, &t->err));
	assert_span(memo, "{\"failures\":1}");
	/* The last five, and the last that failed. */
	assert_true(poll_sessions(r, SPAN("isp"), &t->arena, &all, &n, &t->err));
	assert_int_equal(n, 7);
	assert_int_equal(all[0].started_ms, NOW + 1);
	assert_false(all[0].ok);
	assert_int_equal(all[2].started_ms, NOW + 4);
	assert_span(all[6].text, "S: +OK\n");
	p.memo = SPAN("");
	assert_int_equal(fixture_do(t, &p.job), STORE_DONE);
	assert_true(poll_memo(r, SPAN("isp"), &t->arena, &memo, &t->err));
	assert_int_equal(memo.n, 0);
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
	assert_int_equal(all[1].success_ms, NOW + 10);
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
		TEST(origins_are_walked_in_the_order_of_their_octets),
		TEST(an_adopted_origin_is_never_collected_nor_settled_by_chance),
		TEST(an_account_is_remembered_as_it_was_told),
		TEST(an_origin_lives_until_two_listings_and_seven_days_lack_it),
		TEST(polls_are_shown_by_account),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
