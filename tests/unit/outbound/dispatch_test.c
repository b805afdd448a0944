/* Which next hops are looked at, when, and what of the queue is known: beginnings, ends, and
 * what a session or a settlement leads to. */
#include "due.h"

static const char *const one[] = { "a@h.test" };

static struct hop *
hop_known(struct gate *g, const char *key)
{
	struct hop *h = map_get(&g->d->by_key, span_of(key));

	assert_non_null(h);
	return h;
}

/* It comes to be where it was not known. */
static struct hop *
hop_of_key(struct gate *g, const char *key)
{
	dispatch_nudge(g->d, span_of(key));
	return hop_known(g, key);
}

/* The look that was asked for is not for now. */
static void
no_look(struct gate *g)
{
	loop_timer_cancel(g->d->all.look);
}

static bool
looks(struct gate *g)
{
	bool is = loop_timer_pending(g->d->all.look);

	no_look(g);
	return is;
}

/* ---- what the queue holds ---- */

static void
a_start_finds_the_hops_that_have_mail(void **state)
{
	static const char *const other[] = { "b@other.test" };
	struct gate *g = *state;
	struct dispatch *d = g->d;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	(void)queued(g, "smtp:other.test:25", other, 1, 0);
	d->all.stale = true;
	dispatch_start(d);
	assert_true(looks(g));
	assert_int_equal(d->by_key.n, 2);
	assert_true(hop_known(g, "smtp:h.test:25")->wake_ms <= clock_wall_ms());
	assert_true(hop_known(g, "smtp:other.test:25")->wake_ms <= clock_wall_ms());
	assert_false(d->all.stale);
	assert_in_range(d->refreshed_ms, 1, loop_now_ms(g->hub.loop));
	assert_true(d->all.leases == 0 && d->all.leases == 0);
}

static void
a_queue_that_cannot_be_read_is_told_and_read_again_soon(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->d;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	world.hops_fail = true;
	dispatch_start(d);
	TOLD(1, "\"id\":9005");
	assert_true(d->all.stale);
	dispatch_tick(d);
	TOLD(2, "\"id\":9005");
	world.hops_fail = false;
	dispatch_tick(d);
	TOLD(2, "\"id\":9005");
	assert_false(d->all.stale);
	assert_non_null(hop_known(g, "smtp:h.test:25"));
}

/* A minute is the longest that mail of another program waits to be seen. */
static void
the_whole_queue_is_read_each_minute_and_when_a_hop_was_emptied(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->d;
	int64_t now = loop_now_ms(g->hub.loop);

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
	d->all.hub->stopping = true;
	d->all.stale = true;
	dispatch_tick(d);
	assert_int_equal(d->by_key.n, 1);
	assert_false(looks(g));
	d->all.hub->stopping = false;
	dispatch_tick(d);
	assert_int_equal(d->by_key.n, 2);
	assert_false(d->all.stale);
}

static void
whoever_asks_waits_for_no_back_off(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->d;
	struct hop *h;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	dispatch_start(d);
	h = hop_known(g, "smtp:h.test:25");
	h->shut_until_ms = loop_now_ms(g->hub.loop) + 100000;
	dispatch_refresh(d);
	assert_int_equal(h->shut_until_ms, 0);
	assert_true(looks(g));
}

static void
other_policies_have_what_nobody_began_read_again(void **state)
{
	static const char *const other[] = { "b@other.test" };
	struct gate *g = *state;
	struct dispatch *d = g->d;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	(void)queued(g, "smtp:other.test:25", other, 1, 0);
	dispatch_start(d);
	struct hop *h = hop_known(g, "smtp:h.test:25");
	struct hop *busy = hop_known(g, "smtp:other.test:25");
	hop_look(h);
	hop_look(busy);
	struct lease *begun = hop_carrier_calls.take(busy);
	assert_int_equal(h->n_ready, 2);
	h->wake_ms = busy->wake_ms = INT64_MAX;
	no_look(g);
	dispatch_reconsider(d);
	assert_int_equal(h->n_ready, 0);
	assert_true(list_empty(&h->ready));
	assert_int_equal(h->wake_ms, 0);
	assert_int_equal(busy->wake_ms, INT64_MAX); /* it is in somebody's hands */
	assert_int_equal(d->all.leases, 1);
	assert_true(looks(g));
	settle_forget(begun);
	assert_true(d->all.leases == 0);
}

/* ---- once ---- */

static void
once_is_over_when_nothing_is_due_and_nobody_works(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->d;

	hop_made(d, "smtp:idle.test:25")->n_sessions = 1;
	assert_true(dispatch_nothing_due(d));
	assert_int_equal(world.idle_closed, 1);

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	assert_false(looks(g));
	assert_false(dispatch_nothing_due(d));
	assert_true(looks(g));
	assert_int_equal(world.idle_closed, 1);
	struct hop *h = hop_known(g, "smtp:h.test:25");
	hop_look(h);
	assert_false(dispatch_nothing_due(d)); /* in hand */
	assert_false(looks(g));
	settle_forget(hop_carrier_calls.take(h));

	g->hub.hold = true; /* --queue-only: it stays */
	assert_true(dispatch_nothing_due(d));
	g->hub.hold = false;
	assert_int_equal(g->failures, 0);
}

static void
once_ends_where_the_queue_cannot_be_read_or_results_not_recorded(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->d;

	world.hops_fail = true;
	assert_false(dispatch_nothing_due(d));
	assert_int_equal(g->failures, 1);
	world.hops_fail = false;

	world.spent = true;
	assert_true(dispatch_nothing_due(d)); /* nothing needs recording */
	assert_int_equal(g->failures, 1);
	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	d->all.hub->stopping = true;
	assert_false(dispatch_nothing_due(d));
	assert_int_equal(g->failures, 1); /* it ends anyway */
	d->all.hub->stopping = false;
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
	struct dispatch *d = g->d;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	dispatch_start(d);
	struct hop *h = hop_known(g, "smtp:h.test:25");
	hop_look(h);
	assert_int_equal(h->n_ready, 1);
	g->d->all.settling.owed = 1;
	assert_null(hop_carrier_calls.take(h));
	g->d->all.settling.owed = 0;
	world.spent = true;
	assert_null(hop_carrier_calls.take(h));
	world.spent = false;
	d->all.hub->stopping = true;
	assert_null(hop_carrier_calls.take(h));
	d->all.hub->stopping = false;
	struct lease *l = hop_carrier_calls.take(h);
	assert_non_null(l);
	assert_null(hop_carrier_calls.take(h));
	assert_int_equal(h->n_ready, 0);
	settle_forget(l);
}

static void
a_stop_gives_back_what_nobody_began(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->d;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	dispatch_start(d);
	struct hop *h = hop_known(g, "smtp:h.test:25");
	hop_look(h);
	dispatch_stop(d);
	assert_int_equal(d->all.leases, 0);
	assert_int_equal(h->n_ready, 0);
}

/* ---- what is remembered ---- */

/* Thousands of them come by; only those stay of whom something is known that matters. */
static void
a_hop_without_mail_is_forgotten_unless_something_is_known_of_it(void **state)
{
	enum {
		NOTHING,
		MAIL,
		LEASED,
		TALKS,
		SHUT,
		BREAKS,
		SINGLE,
		BODY,
		CAREFUL,
		NUDGED,
		ALL
	};
	static const char *const to[] = { "a@mail.test" };
	struct gate *g = *state;
	struct dispatch *d = g->d;
	struct hop *h[ALL];
	int64_t soon = loop_now_ms(g->hub.loop) + 100000;

	for (int i = 0; i < ALL; i++) {
		char key[40];

		(void)snprintf(key, sizeof(key), "smtp:h%d.test:25", i);
		h[i] = hop_made(d, key);
		h[i]->wake_ms = clock_wall_ms() + 100000;
	}
	(void)queued(g, "smtp:h1.test:25", to, 1, 0);
	(void)map_put(&h[LEASED]->leased, SPAN("12345678"), h);
	h[TALKS]->n_sessions = 1;
	h[SHUT]->failures = 1;
	h[BREAKS]->fruitless = 1;
	h[SINGLE]->habits.single = true;
	h[BODY]->habits.no_body_until_ms = soon;
	h[CAREFUL]->habits.careful_until_ms = soon;
	dispatch_nudge(d, SPAN("smtp:h9.test:25"));
	world.hops_fail = true; /* it is not known who has mail */
	dispatch_refresh(d);
	assert_int_equal(d->by_key.n, ALL);
	world.hops_fail = false;
	dispatch_refresh(d);
	assert_int_equal(d->by_key.n, ALL - 1);
	assert_null(map_get(&d->by_key, SPAN("smtp:h0.test:25")));
	/* And those too when it does not matter any more. */
	h[TALKS]->n_sessions = h[SHUT]->failures = h[BREAKS]->fruitless = 0;
	h[SINGLE]->habits.single = false;
	h[BODY]->habits.no_body_until_ms = h[CAREFUL]->habits.careful_until_ms =
			loop_now_ms(g->hub.loop);
	h[NUDGED]->wake_ms = INT64_MAX;
	(void)map_del(&h[LEASED]->leased, SPAN("12345678"));
	dispatch_refresh(d);
	assert_int_equal(d->by_key.n, 1);
	assert_non_null(map_get(&d->by_key, SPAN("smtp:h1.test:25")));
	dispatch_nudge(d, SPAN("smtp:h9.test:25")); /* it is none that was freed */
	assert_int_equal(d->by_key.n, 2);
}

/* One that found no place for a session is the first to have the next. */
static void
who_waits_for_a_session_is_next(void **state)
{
	static const char *const other[] = { "b@other.test" };
	struct gate *g = *state;
	struct dispatch *d = g->d;

	(void)queued(g, "smtp:h.test:25", one, 1, 0);
	(void)queued(g, "smtp:other.test:25", other, 1, 0);
	g->hub.share.outgoing = 1;
	struct hop *h = hop_made(d, "smtp:h.test:25");
	struct hop *late = hop_made(d, "smtp:other.test:25");
	h->wake_ms = late->wake_ms = 0;
	hop_look(h);
	hop_look(late);
	assert_int_equal(world.opened, 1);
	assert_int_equal(h->n_sessions, 1);
	assert_int_equal(late->n_sessions, 0);
	no_look(g);
	settle_forget(hop_carrier_calls.take(h));
	hop_carrier_calls.gone(h, CARRIER_DONE, NULL);
	assert_true(looks(g));
	assert_false(list_empty(&late->wants));
	assert_true(list_empty(&d->all.waiting));
	hop_look(late);
	assert_int_equal(world.opened, 2);
	assert_int_equal(late->n_sessions, 1);
}

/* ---- mail that comes ---- */

static void
mail_for_a_hop_has_it_looked_at(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->d;

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
		{ QUEUE_BOUNCED, QUEUE_HOP_BADMAIL, false, false, false, true },
		{ QUEUE_REFUSED, QUEUE_HOP_BADMAIL, false, false, false, true },
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
		g->d->all.settling.calls->settled(g->d, x.l);
		assert_true(looks(g));
		assert_true(g->d->all.leases == 0);
		if (!cases[i].own)
			assert_int_equal(x.hop->wake_ms, INT64_MAX);
		else
			assert_int_equal(x.hop->wake_ms,
					cases[i].open || cases[i].full ? 0 : 4321);
		if (other)
			assert_int_equal(other->wake_ms,
					cases[i].other ? 4321 : INT64_MAX);
		hop_over(g->d, x.hop);
	}
}

/* ---- sessions ---- */

static void
a_hop_that_greets_and_hangs_up_is_left_alone_after_ten(void **state)
{
	struct gate *g = *state;
	struct dispatch *d = g->d;
	struct hop *h = hop_made(d, "smtp:h.test:25");
	struct verdict why = answer(FATE_DEFERRED, 0, "4.4.2", "it hung up");

	for (unsigned i = 1; i <= 11; i++) {
		h->n_sessions = 2;
		d->all.sessions = 5;
		h->shut_until_ms = 0;
		h->failures = 0;
		hop_carrier_calls.greeted(h);
		assert_int_equal(h->works, i <= 10); /* then greeting is not enough */
		hop_carrier_calls.gone(h, CARRIER_BROKE, &why);
		assert_int_equal(h->n_sessions, 1);
		assert_int_equal(d->all.sessions, 4);
		assert_int_equal(h->failures, i >= 10);
		assert_true(looks(g));
		assert_int_equal(g->looks, i);
		h->works = i < 10 && h->works;
	}
	/* A message that is answered shows that it works. */
	hop_carrier_calls.answered(h);
	assert_int_equal(h->fruitless, 0);
	assert_true(h->works && looks(g));
	assert_int_equal(h->shut_until_ms, 0);
	hop_carrier_calls.answered(h); /* nothing new */
	assert_false(looks(g));

	h->n_sessions = 2;
	d->all.sessions = 2;
	hop_carrier_calls.gone(h, CARRIER_DONE, NULL);
	assert_int_equal(h->failures + h->fruitless, 0);
	hop_carrier_calls.gone(h, CARRIER_FAILED, &why);
	assert_int_equal(h->failures, 1);
	assert_int_equal(h->n_sessions, 0);
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
		DUE(a_hop_without_mail_is_forgotten_unless_something_is_known_of_it),
		DUE(who_waits_for_a_session_is_next),
		DUE(mail_for_a_hop_has_it_looked_at),
		DUE(what_was_settled_says_when_to_look_again),
		DUE(a_hop_that_greets_and_hangs_up_is_left_alone_after_ten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
