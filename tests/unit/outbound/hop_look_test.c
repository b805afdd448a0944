/* What a next hop does with what is due: who is looked up anew, who works on it, and when it
 * looks again. */
#include "due.h"

/* ---- who is looked up anew ---- */

static void
what_goes_elsewhere_now_is_moved_and_the_rest_stays(void **state)
{
	static const char *const to[] = { "a@h.test", "b@other.test", "c@nowhere.test",
		"?", "d@OTHER.test" };
	struct gate *g = *state;
	int64_t now = clock_wall_ms();

	(void)queued(g, "smtp:h.test:25", to, 5, 0);
	struct hop *h = hop_due(g, "smtp:h.test:25");
	hop_look(h);
	struct lease *l = settled_one();
	assert_int_equal(l->m->n, 5);
	assert_int_equal(l->left, 2); /* a, and what is no address any more */
	assert_true(l->open[0] && l->open[3]);
	assert_false(l->open[1] || l->open[2] || l->open[4]);
	assert_true(l->results[0].untouched && l->results[3].untouched);
	for (size_t i = 1; i < 5; i += 3) {
		const struct settle_recipient *out = &l->results[i];

		assert_true(span_eq(out->hop, SPAN("smtp:other.test:25")));
		assert_int_equal(out->state, QUEUE_QUEUED);
		assert_in_range(out->next_try_ms, now, now + 60000);
		assert_false(out->attempted || out->untouched);
	}
	/* It was promised, and nobody knows who sent it: it waits for a route. */
	assert_int_equal(l->results[2].state, QUEUE_QUEUED);
	assert_true(l->results[2].attempted);
	assert_int_equal(l->results[2].hop.n, 0);
	assert_true(span_eq(l->results[2].reply,
			SPAN("4.7.1 its domain is in no recipient policy and has no route")));
	assert_in_range(l->results[2].next_try_ms, now + 1000, now + 3600 * 1000);
	assert_int_equal(h->n_ready, 0);
	assert_int_equal(world.opened, 0);
}

/* Q12: said once, when it begins to wait. */
static void
what_has_left_the_policies_waits_and_is_said_once(void **state)
{
	static const char *const to[] = { "x@h.test", "ann@contoso.test" };
	struct gate *g = *state;

	(void)queued(g, "smtp:h.test:25", to, 2, MESSAGE_POLICY);
	struct hop *h = hop_due(g, "smtp:h.test:25");
	hop_look(h);
	struct lease *l = settled_one();
	assert_true(span_eq(l->results[0].hop, SPAN(HOP_LEFT)));
	assert_int_equal(l->results[0].state, QUEUE_QUEUED);
	assert_true(l->results[1].untouched);
	TOLD(1, "\"id\":5010");
	forget(g);
	list_del(&l->job.job.link);
	hop_release(l);

	/* And again there, as often as it is looked at. */
	(void)queued(g, HOP_LEFT, to, 1, MESSAGE_POLICY);
	h = hop_due(g, HOP_LEFT);
	hop_look(h);
	l = settled_one();
	assert_int_equal(l->results[0].hop.n, 0);
	assert_int_equal(l->results[0].state, QUEUE_QUEUED);
	TOLD(0, "\"id\":5010");
}

static void
what_is_for_this_hop_is_left_to_its_sessions(void **state)
{
	static const char *const to[] = { "a@h.test", "ann@contoso.test" };
	struct gate *g = *state;

	(void)queued(g, "smtp:h.test:25", to, 2, 0);
	struct hop *h = hop_due(g, "smtp:h.test:25");
	hop_look(h);
	assert_true(list_empty(&handed));
	assert_int_equal(h->n_ready, 1);
	assert_int_equal(world.opened, 1);
	assert_int_equal(h->n_sessions, 1);
	assert_int_equal(g->d->all.sessions, 1);
	struct lease *l = hop_carrier_calls.take(h);
	assert_non_null(l);
	assert_int_equal(l->left, 2);
	assert_int_equal(h->n_ready, 0);
	settle_forget(l);
}

/* ---- who works on it ---- */

/* One goes ahead; when it was greeted, as many as there is mail for follow, within limits. */
static void
sessions_are_opened_as_mail_and_limits_have_it(void **state)
{
	static const struct {
		bool works;
		unsigned per_host, outgoing, messages, want;
	} cases[] = {
		{ false, 5, 100, 20, 1 },
		{ true, 5, 100, 20, 5 },
		{ true, 5, 100, 2, 1 },
		{ true, 5, 100, 3, 2 },
		{ true, 5, 100, 5, 3 },
		{ true, 5, 3, 20, 3 },
		{ true, 5, 1, 20, 1 },
		{ true, 1, 100, 20, 1 },
		{ true, 0, 100, 20, 1 },
	};
	static const char *const to[] = { "a@h.test" };
	struct gate *g = *state;

	for (size_t i = 0; i < 20; i++)
		(void)queued(g, "smtp:h.test:25", to, 1, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hop *h = hop_due(g, "smtp:h.test:25");

		world.opened = 0;
		g->d->all.sessions = 0;
		g->conf->delivery.connections_per_host = cases[i].per_host;
		g->hub.share.outgoing = cases[i].outgoing;
		h->works = cases[i].works;
		hop_look(h);
		assert_int_equal(h->n_ready, 20);
		/* As if so many were left. */
		while (h->n_ready > cases[i].messages)
			settle_forget(hop_carrier_calls.take(h));
		h->n_sessions = 0;
		g->d->all.sessions = 0;
		world.opened = world.poked = 0;
		h->wake_ms = INT64_MAX;
		hop_look(h);
		assert_int_equal(world.poked, 1);
		assert_int_equal(world.opened, cases[i].want);
		assert_int_equal(h->n_sessions, cases[i].want);
		g->d->all.sessions = 0;
		hop_over(g->d, h);
	}
}

static void
folders_get_all_that_is_due_at_once(void **state)
{
	static const char *const to[] = { "ann@contoso.test" };
	static const char *const keys[] = { "drop", "maildir:/m/%d/%u" };
	struct gate *g = *state;
	struct conf_routes none = { 0 };

	nexthop_table_free(g->hub.routes);
	g->hub.routes = nexthop_table_new(&none); /* it goes to Drop */
	for (size_t i = 0; i < 3; i++)
		(void)queued(g, keys[0], to, 1, 0);
	struct hop *h = hop_due(g, keys[0]);
	hop_look(h);
	assert_int_equal(world.delivered, 3);
	assert_int_equal(h->n_ready, 0);
	assert_int_equal(world.opened + world.poked, 0);
	hop_look(h); /* nothing more: nobody is called */
	assert_int_equal(world.delivered, 3);
	leases_free(&world.leases);
	list_init(&world.leases);

	(void)queued(g, keys[1], to, 1, 0);
	h = hop_due(g, keys[1]); /* it has a route of its own no more */
	hop_look(h);
	assert_true(span_eq(settled_one()->results[0].hop, SPAN("drop")));
}

/* What nobody may have is written to Badmail; where there is none, it is kept. */
static void
badmail_is_written_or_kept(void **state)
{
	static const char *const to[] = { "x@nowhere.test", "y@h.test" };
	struct gate *g = *state;
	int64_t now = clock_wall_ms();

	(void)queued(g, QUEUE_HOP_BADMAIL, to, 2, 0);
	g->conf->badmail.enabled = true;
	struct hop *h = hop_due(g, QUEUE_HOP_BADMAIL);
	hop_look(h);
	assert_int_equal(world.delivered, 1); /* not looked up anew */
	assert_true(list_empty(&handed));
	leases_free(&world.leases);
	list_init(&world.leases);

	g->conf->badmail.enabled = false;
	h->wake_ms = 0;
	hop_look(h);
	assert_int_equal(world.delivered, 1);
	struct lease *l = settled_one();
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(l->results[i].state, QUEUE_QUEUED);
		assert_false(l->results[i].untouched || l->results[i].attempted);
		assert_in_range(l->results[i].next_try_ms, now + 3600 * 1000,
				now + 3660 * 1000);
	}
	assert_int_equal(h->n_ready, 0);
	/* That Badmail is off is no matter of other next hops. */
	list_del(&l->job.job.link);
	hop_release(l);
	static const char *const other[] = { "a@h.test" };
	(void)queued(g, "smtp:h.test:25", other, 1, 0);
	hop_look(hop_due(g, "smtp:h.test:25"));
	assert_int_equal(world.opened, 1);
}

/* `once` waits for nobody who would not talk a moment ago. */
static void
once_puts_off_what_a_hop_would_not_take(void **state)
{
	static const char *const to[] = { "a@h.test" };
	struct gate *g = *state;
	struct verdict why = answer(FATE_DEFERRED, 0, "4.4.1", "it does not answer");

	for (int once = 0; once < 2; once++) {
		(void)queued(g, "smtp:h.test:25", to, 1, 0);
		struct hop *h = hop_due(g, "smtp:h.test:25");

		g->hub.once = once;
		world.opened = 0;
		hop_failed(h, &why);
		assert_int_equal(h->failures, 1);
		h->shut_until_ms = 0;
		hop_look(h);
		assert_int_equal(world.opened, !once);
		if (once) {
			size_t n = 0;

			LIST_EACH (link, &handed) {
				struct store_job *job =
						LIST_ITEM(link, struct store_job, link);
				struct lease *l = LIST_ITEM(
						LIST_ITEM(job, struct settlement, job),
						struct lease, job);

				n++;
				assert_int_equal(l->results[0].state, QUEUE_QUEUED);
				assert_true(span_eq(l->results[0].reply,
						SPAN("4.4.1 it does not answer")));
			}
			assert_int_equal(n, 2); /* with that of the first round */
		}
		/* And one with a session open is left to it. */
		if (once) {
			(void)queued(g, "smtp:h.test:25", to, 1, 0);
			h->wake_ms = 0;
			h->n_sessions = 1;
			hop_look(h);
			assert_int_equal(world.poked > 0, true);
			h->n_sessions = 0;
		}
	}
}

/* ---- when it looks ---- */

static void
a_queue_that_cannot_be_read_is_asked_for_less_and_later_again(void **state)
{
	static const char *const to[] = { "a@h.test" };
	struct gate *g = *state;
	struct hop *h = hop_due(g, "smtp:h.test:25");
	int64_t now = clock_wall_ms();

	(void)queued(g, "smtp:h.test:25", to, 1, 0);
	world.queue_fails = true;
	hop_look(h);
	assert_int_equal(world.queue_asked, 2);
	assert_int_equal(world.queue_room[0], 64);
	assert_int_equal(world.queue_room[1], 1);
	assert_in_range(h->wake_ms, now + 5000, now + 65000);
	TOLD(1, "\"id\":9005");
	hop_look(h); /* not before */
	assert_int_equal(world.queue_asked, 2);
	world.queue_fails = false;
	h->wake_ms = 0;
	hop_look(h);
	assert_int_equal(h->n_ready, 1);
}

static void
the_window_is_refilled_by_halves(void **state)
{
	enum { MAIL = 70 };
	static const char *const to[] = { "a@h.test" };
	struct gate *g = *state;
	struct hop *h = hop_due(g, "smtp:h.test:25");

	for (size_t i = 0; i < MAIL; i++)
		(void)queued(g, "smtp:h.test:25", to, 1, 0);
	hop_look(h);
	assert_int_equal(h->n_ready, 64);
	assert_true(h->wake_ms <= clock_wall_ms()); /* there may be more */
	for (size_t left = 64; left > 32; left--) {
		hop_look(h);
		assert_int_equal(world.queue_asked, 1);
		assert_int_equal(h->n_ready, left);
		settle_forget(hop_carrier_calls.take(h));
	}
	hop_look(h);
	assert_int_equal(world.queue_asked, 2);
	assert_int_equal(world.queue_room[1], 32);
	/* Those that were only forgotten are there again: no more than the window. */
	assert_int_equal(h->n_ready, 64);
	h->limit = 0;
	while (h->n_ready > 0)
		settle_forget(hop_carrier_calls.take(h));
}

static void
a_hop_that_is_long_dead_is_asked_about_more_at_a_time(void **state)
{
	static const struct {
		unsigned failures;
		size_t room;
	} cases[] = { { 0, 64 }, { 1, 128 }, { 2, 256 }, { 3, 512 }, { 4, 1024 },
		{ 5, 1024 }, { 50, 1024 } };
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hop *h = hop_due(g, "smtp:h.test:25");

		world.queue_asked = 0;
		h->failures = cases[i].failures;
		hop_look(h);
		assert_int_equal(world.queue_asked, 1);
		assert_int_equal(world.queue_room[0], cases[i].room);
		assert_true(h->wake_ms == INT64_MAX); /* nothing is there */
		assert_true(g->d->all.stale);
		g->d->all.stale = false;
		hop_over(g->d, h);
	}
	struct hop *h = hop_due(g, "drop");
	world.queue_asked = 0;
	h->failures = 3;
	hop_look(h);
	assert_int_equal(world.queue_room[0], 256);
}

static void
nothing_is_begun_while_it_is_shut_held_or_could_not_be_recorded(void **state)
{
	static const char *const to[] = { "a@h.test" };
	struct gate *g = *state;
	struct hop *h = hop_due(g, "smtp:h.test:25");

	(void)queued(g, "smtp:h.test:25", to, 1, 0);
	h->shut_until_ms = loop_now_ms(g->hub.loop) + 10000;
	hop_look(h);
	assert_int_equal(world.queue_asked, 0);
	g->hub.hold = true;
	h->shut_until_ms = 0;
	hop_look(h);
	assert_int_equal(world.queue_asked, 0);
	g->hub.hold = false;
	g->d->all.settling.owed = 1;
	hop_look(h);
	assert_int_equal(world.queue_asked, 0);
	g->d->all.settling.owed = 0;
	/* `once` asks each hop anew at its start. */
	h->shut_until_ms = loop_now_ms(g->hub.loop) + 10000;
	g->hub.once = true;
	hop_look(h);
	assert_int_equal(world.queue_asked, 1);
	g->hub.once = false;
}

/* ---- its health ---- */

static void
a_hop_that_will_not_talk_is_left_alone_longer_each_time(void **state)
{
	static const int seconds[] = { 5, 10, 20, 40, 80, 160, 300, 300, 300 };
	struct gate *g = *state;
	struct hop *h = hop_due(g, "smtp:h.test:25");
	struct verdict why = answer(FATE_DEFERRED, 0, "4.4.1", "it does not answer");

	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		h->works = true;
		h->shut_until_ms = 0;
		hop_failed(h, &why);
		hop_failed(h, &why); /* connections that fail together are one failure */
		assert_int_equal(h->failures, i + 1);
		assert_false(h->works);
		assert_int_equal(h->shut_until_ms - loop_now_ms(g->hub.loop),
				seconds[i] * 1000);
	}
	assert_int_equal(event(g, 5008, "closed", "smtp:h.test:25", "answer"), 1);
	hop_works(h);
	assert_true(h->works);
	assert_int_equal(h->failures + h->shut_until_ms, 0);
	assert_int_equal(event(g, 5008, "open", "smtp:h.test:25", "again"), 1);
	hop_works(h);
	assert_int_equal(event(g, 5008, "open", "smtp:h.test:25", "again"), 1);
}

static void
what_was_taken_for_a_hop_that_fails_is_put_off(void **state)
{
	static const char *const to[] = { "a@h.test" };
	struct gate *g = *state;
	struct verdict why = answer(FATE_DEFERRED, 0, "4.4.1", "it does not answer");

	(void)queued(g, "smtp:h.test:25", to, 1, 0);
	struct hop *h = hop_due(g, "smtp:h.test:25");
	hop_look(h);
	g->d->all.hub->stopping = true; /* the next start attempts it */
	hop_failed(h, &why);
	assert_true(list_empty(&handed));
	g->d->all.hub->stopping = false;
	hop_failed(h, &why);
	struct lease *l = settled_one();
	assert_true(l->attempted && l->results[0].attempted);
	assert_int_equal(l->results[0].state, QUEUE_QUEUED);
	assert_true(span_eq(l->results[0].reply, SPAN("4.4.1 it does not answer")));
	assert_int_equal(h->n_ready, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DUE(what_goes_elsewhere_now_is_moved_and_the_rest_stays),
		DUE(what_has_left_the_policies_waits_and_is_said_once),
		DUE(what_is_for_this_hop_is_left_to_its_sessions),
		DUE(sessions_are_opened_as_mail_and_limits_have_it),
		DUE(folders_get_all_that_is_due_at_once),
		DUE(badmail_is_written_or_kept),
		DUE(once_puts_off_what_a_hop_would_not_take),
		DUE(a_queue_that_cannot_be_read_is_asked_for_less_and_later_again),
		DUE(the_window_is_refilled_by_halves),
		DUE(a_hop_that_is_long_dead_is_asked_about_more_at_a_time),
		DUE(nothing_is_begun_while_it_is_shut_held_or_could_not_be_recorded),
		DUE(a_hop_that_will_not_talk_is_left_alone_longer_each_time),
		DUE(what_was_taken_for_a_hop_that_fails_is_put_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
