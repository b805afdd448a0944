/* Which next hops are looked at, when, and what of the queue is known: beginnings, ends, and
 * what a session or a settlement leads to. */
#include "due.h"

static const char *const one[] = { "a@h.test" };

static struct hop *
hop_known(struct gate *g, const char *key)
{
	struct hop *h = map_get(&g->r.dispatch->by_key, span_of(key));

	assert_non_null(h);
	return h;
}

/* It comes to be where it was not known. */
static struct hop *
hop_of_key(struct gate *g, const char *key)
{
	(void)dispatch_key(g->r.dispatch, span_of(key));
	return hop_known(g, key);
}

/* The look that was asked for is not for now. */
static void
no_look(struct gate *g)
{
	loop_timer_cancel(g->r.dispatch->look);
}

static bool
looks(struct gate *g)
{
	bool is = loop_timer_pending(g->r.dispatch->look);

	no_look(g);
	return is;
}

/* ---- what the queue holds ---- */

static void
a_start_finds_the_hops_that_have_mail(void **state)
{
	static const char *const other[] = { "b@other.test" };
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	(void)queued(g, "smtp:other.test:25", other, 1, 0);
	d->stale = true;
	dispatch_start(d);
	assert_true(looks(g));
	assert_int_equal(d->by_key.n, 2);
	assert_true(hop_known(g, "smtp:h.test:25")->wake_ms <= clock_wall_ms());
	assert_true(hop_known(g, "smtp:other.test:25")->wake_ms <= clock_wall_ms());
	assert_false(d->stale);
	assert_in_range(d->refreshed_ms, 1, loop_now_ms(g->r.loop));
	assert_true(dispatch_quiet(d) && dispatch_leases(d) == 0);
}

static void
a_queue_that_cannot_be_read_is_told_and_read_again_soon(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	world.hops_fail = true;
	dispatch_start(d);
	assert_true(looks(g));
	TOLD(1, "\"id\":9005");
	assert_true(d->stale);
	dispatch_tick(d);
	TOLD(2, "\"id\":9005");
	world.hops_fail = false;
	dispatch_tick(d);
	TOLD(2, "\"id\":9005");
	assert_false(d->stale);
	assert_non_null(hop_known(g, "smtp:h.test:25"));
}

/* A minute is the longest that mail of another program waits to be seen. */
static void
the_whole_queue_is_read_each_minute_and_when_a_hop_was_emptied(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;
	int64_t now = loop_now_ms(g->r.loop);

	dispatch_start(d);
	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	d->refreshed_ms = now - 50 * 1000;
	dispatch_tick(d);
	assert_int_equal(d->by_key.n, 0);
	d->refreshed_ms = now - 60 * 1000 - 1;
	dispatch_tick(d);
	assert_int_equal(d->by_key.n, 1);
	assert_true(d->refreshed_ms >= now);
	assert_true(looks(g));

	(void)queued(g, "smtp:other.test:25", one, 1, 0);
	d->stopping = true;
	d->stale = true;
	dispatch_tick(d);
	assert_int_equal(d->by_key.n, 1);
	assert_false(looks(g));
	d->stopping = false;
	dispatch_tick(d);
	assert_int_equal(d->by_key.n, 2);
	assert_false(d->stale);
}

static void
whoever_asks_waits_for_no_back_off(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;
	struct hop *h;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	dispatch_start(d);
	h = hop_known(g, "smtp:h.test:25");
	h->shut_until_ms = loop_now_ms(g->r.loop) + 100000;
	dispatch_refresh(d);
	assert_int_equal(h->shut_until_ms, 0);
	assert_true(looks(g));
}

static void
other_policies_have_what_nobody_began_read_again(void **state)
{
	static const char *const other[] = { "b@other.test" };
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	(void)queued(g, "smtp:other.test:25", other, 1, 0);
	dispatch_start(d);
	struct hop *h = hop_known(g, "smtp:h.test:25");
	struct hop *busy = hop_known(g, "smtp:other.test:25");
	hop_look(h);
	hop_look(busy);
	struct lease *begun = dispatch_take(busy);
	assert_int_equal(h->n_ready, 2);
	h->wake_ms = busy->wake_ms = INT64_MAX;
	no_look(g);
	dispatch_reconsider(d);
	assert_int_equal(h->n_ready, 0);
	assert_true(list_empty(&h->ready));
	assert_int_equal(h->wake_ms, 0);
	assert_int_equal(busy->wake_ms, INT64_MAX); /* it is in somebody's hands */
	assert_int_equal(dispatch_leases(d), 1);
	assert_true(looks(g));
	dispatch_forget(begun);
	assert_true(dispatch_quiet(d));
}

/* ---- once ---- */

static void
once_is_over_when_nothing_is_due_and_nobody_works(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;

	assert_true(dispatch_nothing_due(d));
	assert_int_equal(world.idle_closed, 1);
	assert_true(dispatch_disconnected(d));
	d->sessions_n = 1;
	assert_false(dispatch_disconnected(d));
	d->sessions_n = 0;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	assert_false(looks(g));
	assert_false(dispatch_nothing_due(d));
	assert_true(looks(g));
	assert_int_equal(world.idle_closed, 1);
	struct hop *h = hop_known(g, "smtp:h.test:25");
	hop_look(h);
	assert_false(dispatch_nothing_due(d)); /* in hand */
	assert_false(looks(g));
	dispatch_forget(dispatch_take(h));

	g->r.hold = true; /* --queue-only: it stays */
	assert_true(dispatch_nothing_due(d));
	g->r.hold = false;
	assert_int_equal(g->failures, 0);
}

static void
once_ends_where_the_queue_cannot_be_read_or_results_not_recorded(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;

	world.hops_fail = true;
	assert_false(dispatch_nothing_due(d));
	assert_int_equal(g->failures, 1);
	world.hops_fail = false;

	world.spent = true;
	assert_true(dispatch_nothing_due(d)); /* nothing needs recording */
	assert_int_equal(g->failures, 1);
	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	d->stopping = true;
	assert_false(dispatch_nothing_due(d));
	assert_int_equal(g->failures, 1); /* it ends anyway */
	d->stopping = false;
	assert_false(dispatch_nothing_due(d));
	assert_int_equal(g->failures, 2);
	world.spent = false;
	assert_false(dispatch_nothing_due(d));
	assert_int_equal(g->failures, 2);
}

/* ---- what may begin ---- */

static void
nobody_takes_a_message_that_must_not_begin(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	dispatch_start(d);
	struct hop *h = hop_known(g, "smtp:h.test:25");
	hop_look(h);
	assert_int_equal(h->n_ready, 1);
	g->r.owed = 1;
	assert_null(dispatch_take(h));
	g->r.owed = 0;
	world.spent = true;
	assert_null(dispatch_take(h));
	world.spent = false;
	d->stopping = true;
	assert_null(dispatch_take(h));
	d->stopping = false;
	struct lease *l = dispatch_take(h);
	assert_non_null(l);
	assert_null(dispatch_take(h));
	assert_int_equal(h->n_ready, 0);
	dispatch_forget(l);
}

static void
a_stop_gives_back_what_nobody_began(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	dispatch_start(d);
	struct hop *h = hop_known(g, "smtp:h.test:25");
	hop_look(h);
	dispatch_stop(d);
	assert_true(d->stopping && dispatch_quiet(d));
	assert_int_equal(h->n_ready, 0);
	d->stopping = false;
}

/* ---- mail that comes ---- */

static void
mail_for_a_hop_has_it_looked_at(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;

	dispatch_nudge(d, SPAN("smtp:h.test:25"));
	assert_true(looks(g));
	struct hop *h = hop_known(g, "smtp:h.test:25");
	assert_int_equal(h->wake_ms, 0);
	h->wake_ms = INT64_MAX;
	dispatch_nudge(d, SPAN("smtp:other.test:25"));
	assert_int_equal(hop_known(g, "smtp:other.test:25")->wake_ms, 0);
	assert_int_equal(h->wake_ms, INT64_MAX);
	dispatch_nudge(d, SPAN("smtp:h.test:25"));
	assert_int_equal(h->wake_ms, 0);
	assert_int_equal(d->by_key.n, 2);
	assert_true(span_eq(dispatch_key(d, SPAN("smtp:h.test:25")), h->key));
}

/* ---- what a settlement leads to ---- */

static void
what_was_settled_says_when_to_look_again(void **state)
{
	static const struct {
		enum queue_state state;
		const char *hop;
		bool open, full, own, other;
		/* own: that hop has something to look at; other: the one it moved to */
	} cases[] = {
		{ QUEUE_DELIVERED, "", false, false, false, false },
		{ QUEUE_QUEUED, "", false, false, true, false },
		{ QUEUE_QUEUED, "smtp:other.test:25", false, false, false, true },
		{ QUEUE_BOUNCED, HOP_BADMAIL, false, false, false, true },
		{ QUEUE_REFUSED, HOP_BADMAIL, false, false, false, true },
		{ QUEUE_BADMAIL, "", false, false, false, false },
		{ QUEUE_DELIVERED, "", true, false, true, false },
		{ QUEUE_DELIVERED, "", false, true, true, false },
		{ QUEUE_QUEUED, "smtp:other.test:25", true, false, true, false },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hand x;

		hand_take(g, &x, "smtp:h.test:25", 1);
		x.hop->limit = cases[i].full ? 1 : 1000;
		x.hop->wake_ms = INT64_MAX;
		x.l->results[0] = (struct settle_recipient){ .state = cases[i].state,
			.hop = span_of(cases[i].hop),
			.next_try_ms = 4321 };
		x.l->open[0] = cases[i].open;
		x.l->left = cases[i].open;
		no_look(g);
		struct hop *other =
				cases[i].hop[0] ? hop_of_key(g, cases[i].hop) : NULL;
		if (other)
			other->wake_ms = INT64_MAX;
		dispatch_settled(x.l);
		assert_true(looks(g));
		assert_true(dispatch_quiet(g->r.dispatch));
		if (!cases[i].own)
			assert_int_equal(x.hop->wake_ms, INT64_MAX);
		else
			assert_int_equal(x.hop->wake_ms,
					cases[i].open || cases[i].full ? 0 : 4321);
		if (other)
			assert_int_equal(other->wake_ms,
					cases[i].other ? 4321 : INT64_MAX);
		hop_free(x.hop);
	}
}

/* ---- sessions ---- */

static void
a_hop_that_greets_and_hangs_up_is_left_alone_after_ten(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->r.dispatch;
	struct hop *h = hop_new(d, SPAN("smtp:h.test:25"));
	struct verdict why = answer(FATE_DEFERRED, 0, "4.4.2", "it hung up");

	for (unsigned i = 1; i <= 11; i++) {
		h->sessions = 2;
		d->sessions_n = 5;
		h->shut_until_ms = 0;
		h->failures = 0;
		dispatch_session_works(h);
		assert_int_equal(h->works, i <= 10); /* then greeting is not enough */
		dispatch_session_gone(h, SESSION_BROKE, &why);
		assert_int_equal(h->sessions, 1);
		assert_int_equal(d->sessions_n, 4);
		assert_int_equal(h->failures, i >= 10);
		assert_true(looks(g));
		assert_int_equal(g->looks, i);
		h->works = i < 10 && h->works;
	}
	/* A message that is answered shows that it works. */
	dispatch_session_answers(h);
	assert_int_equal(h->fruitless, 0);
	assert_true(h->works && looks(g));
	assert_int_equal(h->shut_until_ms, 0);
	dispatch_session_answers(h); /* nothing new */
	assert_false(looks(g));

	h->sessions = 2;
	d->sessions_n = 2;
	dispatch_session_gone(h, SESSION_DONE, NULL);
	assert_int_equal(h->failures + h->fruitless, 0);
	dispatch_session_gone(h, SESSION_FAILED, &why);
	assert_int_equal(h->failures, 1);
	assert_int_equal(h->sessions, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DUE(a_start_finds_the_hops_that_have_mail),
		DUE(a_queue_that_cannot_be_read_is_told_and_read_again_soon),
		DUE(the_whole_queue_is_read_each_minute_and_when_a_hop_was_emptied),
		DUE(whoever_asks_waits_for_no_back_off),
		DUE(other_policies_have_what_nobody_began_read_again),
		DUE(once_is_over_when_nothing_is_due_and_nobody_works),
		DUE(once_ends_where_the_queue_cannot_be_read_or_results_not_recorded),
		DUE(nobody_takes_a_message_that_must_not_begin),
		DUE(a_stop_gives_back_what_nobody_began),
		DUE(mail_for_a_hop_has_it_looked_at),
		DUE(what_was_settled_says_when_to_look_again),
		DUE(a_hop_that_greets_and_hangs_up_is_left_alone_after_ten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
