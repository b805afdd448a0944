/* What becomes of the answers of a next hop: what the store is given, and what when it will
 * not have it. */
#include "hand.h"

/* ---- what the store is given ---- */

static void
an_answer_is_kept_as_it_came_without_its_code(void **state)
{
	static const struct {
		enum fate fate;
		int code;
		const char *esc, *text, *reply;
		enum queue_state state;
		const char *reason;
	} all[] = {
		{ FATE_DELIVERED, 250, "2.0.0", "250 2.0.0 stored", "2.0.0 stored",
				QUEUE_DELIVERED, "" },
		{ FATE_DELIVERED, 0, "2.0.0", "written", "2.0.0 written",
				QUEUE_DELIVERED, "" },
		{ FATE_DEFERRED, 450, "4.2.1", "450 later", "later", QUEUE_QUEUED, "" },
		{ FATE_DEFERRED, 421, "4.3.2", "busy", "busy", QUEUE_QUEUED, "" },
		{ FATE_DEFERRED, 0, "4.4.1", "4.4.1 no route", "4.4.1 no route",
				QUEUE_QUEUED, "" },
		{ FATE_DEFERRED, 0, "", "lost", "lost", QUEUE_QUEUED, "" },
		{ FATE_DEFERRED, 0, "", "0 octets", "0 octets", QUEUE_QUEUED, "" },
		{ FATE_DEFERRED, 0, "4.4.2", "0 octets came", "4.4.2 0 octets came",
				QUEUE_QUEUED, "" },
		{ FATE_BOUNCED, 550, "5.1.1", "550 5.1.1 no such user",
				"5.1.1 no such user", QUEUE_BOUNCED, "unknown-user" },
		{ FATE_BOUNCED, 554, "5.4.6", "554 5.4.6 again", "5.4.6 again",
				QUEUE_BOUNCED, "loop" },
		{ FATE_BOUNCED, 550, "5.7.1", "550 5.7.1 no", "5.7.1 no", QUEUE_BOUNCED,
				"general" },
	};
	struct gate *g = *state;
	struct hand h;
	const size_t n = sizeof(all) / sizeof(*all);
	int64_t before = clock_wall_ms();

	hand_take(g, &h, "smtp:h.test:25", n + 1);
	for (size_t i = 0; i < n; i++) {
		struct verdict v = answer(
				all[i].fate, all[i].code, all[i].esc, all[i].text);
		const struct settle_recipient *out = &h.l->results[i];

		settle_verdict(h.l, i, &v);
		assert_int_equal(h.l->left, n - i);
		assert_false(h.l->open[i]);
		assert_true(out->attempted);
		assert_int_equal(out->state, all[i].state);
		assert_int_equal(out->code, all[i].code);
		if (!span_eq(out->reply, span_of(all[i].reply)))
			fail_msg("\"" SPAN_FMT "\", want \"%s\"", SPAN_ARG(out->reply),
					all[i].reply);
		assert_true(span_eq(out->reason, span_of(all[i].reason)));
		assert_true(span_eq(out->host, SPAN("h.test:25")));
		bool bad = all[i].state == QUEUE_BOUNCED;
		assert_true(span_eq(
				out->hop, bad ? SPAN(QUEUE_HOP_BADMAIL) : SPAN("")));
		if (all[i].state == QUEUE_QUEUED)
			assert_true(out->next_try_ms >= before + 30 * 1000);
		else if (bad)
			assert_in_range(out->next_try_ms, before, before + 60 * 1000);
	}
	/* The first answer counts; the rest get what all get. */
	struct verdict late = answer(FATE_BOUNCED, 550, "5.1.1", "550 late");
	settle_all(h.l, &late);
	assert_int_equal(h.l->left, 0);
	assert_int_equal(h.l->results[0].state, QUEUE_DELIVERED);
	assert_int_equal(h.l->results[n].state, QUEUE_BOUNCED);
	settle_forget(h.l);
}

static void
who_was_put_off_too_long_expires(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v = answer(FATE_DEFERRED, 450, "4.2.1", "450 4.2.1 later");

	hand_take(g, &h, "smtp:h.test:25", 2);
	h.m.arrived_ms = clock_wall_ms() - INT64_C(30) * DAY_MS;
	h.to[0].attempts = 100;
	settle_all(h.l, &v);
	assert_int_equal(h.l->results[0].state, QUEUE_BOUNCED);
	assert_true(span_eq(h.l->results[0].reason, SPAN("expired")));
	assert_true(span_eq(h.l->results[0].hop, SPAN(QUEUE_HOP_BADMAIL)));
	assert_int_equal(h.l->results[1].state, QUEUE_QUEUED); /* it hardly was tried */
	assert_int_equal(h.l->results[1].hop.n, 0);
	forget(g);
	settle_done(&g->d->all.settling, &h.l->job.job);
	TOLD(1, "\"id\":5004");
	TOLD(1, "\"age\":\"720 h 0 min\"");
	TOLD(1, "\"id\":5002");
	TOLD(0, "\"id\":4031");
	assert_int_equal(g->hub.sum.refused, 1);
	assert_int_equal(g->hub.sum.deferred, 1);
}

/* Else all that one dead hop put off would come at once. */
static void
those_who_are_put_off_come_at_different_times(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v = answer(FATE_DEFERRED, 450, "4.2.1", "450 4.2.1 later");
	int64_t least = INT64_MAX, most = 0;

	hand_take(g, &h, "smtp:h.test:25", MOST);
	settle_all(h.l, &v);
	for (size_t i = 0; i < MOST; i++) {
		int64_t at = h.l->results[i].next_try_ms;

		least = at < least ? at : least;
		most = at > most ? at : most;
	}
	assert_true(most > least + 10 * 1000);
	settle_forget(h.l);
}

static void
the_store_gets_what_was_answered_and_no_more(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");
	int64_t before = clock_wall_ms();

	hand_take(g, &h, "smtp:h.test:25", 3);
	settle_verdict(h.l, 1, &v);
	struct verdict harm = settle_damage(h.l, "cut");
	assert_int_equal(harm.fate, FATE_BOUNCED);
	assert_string_equal(harm.esc, "5.3.0");
	assert_string_equal(harm.text, "the stored body is damaged (cut)");
	harm = settle_damage(h.l, "gone"); /* the first that was seen */
	assert_string_equal(harm.text, "the stored body is damaged (cut)");
	settle_lease(h.l);
	const struct settlement *job = &h.l->job;
	assert_int_equal(job->job.work, STORE_SETTLE);
	assert_int_equal(job->id, h.m.id);
	assert_in_range(job->at_ms, before, clock_wall_ms());
	assert_int_equal(job->n, 3);
	assert_true(span_eq(job->damage, SPAN("cut")));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(job->recipients[i].untouched, i != 1);
	assert_false(list_empty(&h.l->job.job.link)); /* it is on its way */
	list_del(&h.l->job.job.link);
	settle_forget(h.l);
}

static void
what_badmail_has_is_settled_and_what_it_has_not_comes_again(void **state)
{
	struct gate *g = *state;

	for (int written = 0; written < 2; written++) {
		struct hand h;
		int64_t before = clock_wall_ms();

		hand_take(g, &h, QUEUE_HOP_BADMAIL, 2);
		h.to[0].state = QUEUE_BOUNCED;
		h.to[1].state = QUEUE_REFUSED;
		h.l->results[0].attempted = true;
		settle_badmail(h.l, written, 60 * 1000);
		assert_int_equal(h.l->left, 0);
		for (size_t i = 0; i < 2; i++) {
			const struct settle_recipient *out = &h.l->results[i];

			assert_false(out->attempted);
			assert_false(h.l->open[i]);
			assert_int_equal(out->state,
					written ? QUEUE_BADMAIL : h.to[i].state);
			assert_in_range(out->next_try_ms, before + 60 * 1000,
					before + 120 * 1000);
		}
		forget(g);
		settle_done(&g->d->all.settling, &h.l->job.job);
		TOLD(written ? 1 : 0, "\"id\":4117");
		TOLD(0, "\"id\":5005");
		assert_int_equal(g->hub.sum.badmail, written);
	}
}

/* ---- a store that will not have it ---- */

static void
refuse(struct gate *g, struct lease *l, enum store_trouble trouble)
{
	l->job.job.result = STORE_FAILED;
	l->job.job.trouble = trouble;
	err_set(&l->job.job.err, 9005, "the disk is full");
	settle_done(&g->d->all.settling, &l->job.job);
}

/* Until all of it is recorded no other attempt begins. */
static void
results_come_again_until_they_are_recorded(void **state)
{
	struct gate *g = *state;
	struct hand h[2];
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");

	for (size_t i = 0; i < 2; i++) {
		hand_take(g, &h[i], "smtp:h.test:25", 1);
		settle_all(h[i].l, &v);
		refuse(g, h[i].l, STORE_LOCKED);
	}
	assert_int_equal(g->d->all.settling.owed, 2);
	assert_false(hops_may_begin(&g->d->all));
	for (unsigned again = 1; again <= 20; again++) {
		settle_tick(&g->d->all.settling);
		assert_int_equal(g->d->all.settling.tries, again);
		assert_true(list_empty(&g->d->all.settling.unsettled));
		for (size_t i = 0; i < 2; i++) { /* it was on its way */
			assert_false(list_empty(&h[i].l->job.job.link));
			list_del(&h[i].l->job.job.link);
			refuse(g, h[i].l, STORE_LOCKED);
		}
		assert_int_equal(g->d->all.settling.owed, 2);
	}
	assert_int_equal(g->failures, 0); /* it waits, as health.c says */
	TOLD(0, "\"id\"");
	for (size_t i = 0; i < 2; i++) {
		list_del(&h[i].l->link);
		h[i].l->job.job.result = STORE_DONE;
		loop_timer_cancel(g->d->all.look);
		settle_done(&g->d->all.settling, &h[i].l->job.job);
		assert_int_equal(g->d->all.settling.owed, 1 - i);
		assert_int_equal(g->d->all.settling.tries, 0);
		assert_true(loop_timer_pending(g->d->all.look));
	}
	assert_true(hops_may_begin(&g->d->all));
	TOLD(2, "\"id\":5003");
}

static void
a_sound_store_that_refuses_ten_times_ends_the_role(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");

	hand_take(g, &h, "smtp:h.test:25", 1);
	settle_all(h.l, &v);
	refuse(g, h.l, STORE_SOUND);
	for (int again = 1; again <= 11; again++) {
		assert_int_equal(g->failures, 0);
		settle_tick(&g->d->all.settling);
		list_del(&h.l->job.job.link);
		refuse(g, h.l, STORE_SOUND);
	}
	assert_int_equal(g->failures, 1);
}

/* Who was delivered may get it twice, and is named; nobody else is. */
static void
what_is_not_recorded_in_the_end_is_told(void **state)
{
	struct gate *g = *state;
	struct err err = { 0 };
	struct verdict ok = answer(FATE_DELIVERED, 250, "2.0.0",
				       "250 2.0.0 mine, all of it"),
		       late = answer(FATE_DEFERRED, 450, "4.2.1", "450 later");

	struct hand two[2];

	assert_true(settle_end(&g->d->all.settling, &err));
	for (size_t many = 1; many <= 2; many++) {
		struct lease *l;

		hand_take(g, &two[many - 1], "smtp:h.test:25", 4);
		l = two[many - 1].l;
		settle_verdict(l, 0, &ok);
		settle_verdict(l, 1, &late);
		settle_verdict(l, 2, &ok);
		l->results[2].attempted = false; /* the fourth is open */
		refuse(g, l, STORE_DISK_FULL);
		forget(g);
		assert_false(settle_end(&g->d->all.settling, &err));
		assert_int_equal(err.event, 9005);
		TOLD(many, "\"id\"");
		assert_int_equal(
				event(g, 5011, "\"recipient\":\"u0@h.test\"",
						"\"reply\":\"250 2.0.0 mine, all of it\"",
						"\"err\":\"the disk is full\""),
				many);
		char qid[QID_SIZE], id[40];
		qid_print(l->m->id, qid);
		(void)snprintf(id, sizeof(id), "\"trace\":\"%s\"", qid);
		TOLD(1, id);
		assert_non_null(strstr(err.text,
				many == 1 ? "of 1 message could"
					  : "of 2 messages could"));
		assert_non_null(strstr(err.text,
				many == 1 ? "it is attempted" : "they are attempted"));
	}
	settle_free(&g->d->all.settling);
	assert_int_equal(g->d->all.leases, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_GATE(an_answer_is_kept_as_it_came_without_its_code),
		IN_GATE(who_was_put_off_too_long_expires),
		IN_GATE(those_who_are_put_off_come_at_different_times),
		IN_GATE(the_store_gets_what_was_answered_and_no_more),
		IN_GATE(what_badmail_has_is_settled_and_what_it_has_not_comes_again),
		IN_GATE(results_come_again_until_they_are_recorded),
		IN_GATE(a_sound_store_that_refuses_ten_times_ends_the_role),
		IN_GATE(what_is_not_recorded_in_the_end_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
