/* What is said of the answers of a next hop, once the store has them. */
#include "hand.h"

static void
each_result_is_told_once_it_is_recorded(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v[] = { answer(FATE_DELIVERED, 250, "2.0.0",
					       "250 2.0.0 mine, all of it"),
		answer(FATE_DEFERRED, 450, "4.2.1", "450 4.2.1 late"),
		answer(FATE_BOUNCED, 550, "5.1.1", "550 5.1.1 nobody"),
		answer(FATE_BOUNCED, 0, "", "no words with digits") };
	static const char host[] = "\"host\":\"h.test:25\"";

	hand_take(g, &h, "smtp:h.test:25", 5);
	h.m.account = SPAN("inbox");
	h.l->attempted = true;
	for (size_t i = 0; i < 4; i++)
		settle_verdict(h.l, i, &v[i]);
	TOLD(0, "\"id\"");
	char qid[QID_SIZE], id[40];
	qid_print(h.m.id, qid);
	(void)snprintf(id, sizeof(id), "\"trace\":\"%s\"", qid);
	settle_done(&g->d->all.settling, &h.l->job.job);
	assert_int_equal(g->hub.sum.delivered, 1);
	assert_int_equal(g->hub.sum.deferred, 1);
	assert_int_equal(g->hub.sum.refused, 2);
	TOLD(8, "\"id\":");
	TOLD(8, id);
	TOLD(8, "\"account\":\"inbox\"");
	TOLD(0, "u4@h.test"); /* nothing became of it */
	assert_int_equal(event(g, 5003, host, "\"recipient\":\"u0@h.test\"",
					 "\"reply\":\"250 2.0.0 mine, all of it\""),
			1);
	assert_int_equal(event(g, 4032, host, "\"level\":3,\"severity\":\"I\"",
					 "\"ndr\":\"0\""),
			1);
	assert_int_equal(event(g, 5002, host, "\"recipient\":\"u1@h.test\"",
					 "\"step\":\"first\""),
			1);
	assert_int_equal(event(g, 5002, "\"next\":\"20", "450 4.2.1 late", id), 1);
	assert_int_equal(event(g, 4032, host, "\"level\":0,\"severity\":\"E\"",
					 "\"ndr\":\"511\""),
			1);
	assert_int_equal(event(g, 4032, "\"recipient\":\"u2@h.test\"",
					 "\"severity\":\"E\"",
					 "\"reply\":\"550 5.1.1 nobody\""),
			1);
	assert_int_equal(event(g, 4031, host, "\"recipient\":\"u2@h.test\"",
					 "\"reply\":\"550 5.1.1 nobody\""),
			1);
	assert_int_equal(event(g, 4032, "u3@h.test", "\"ndr\":\"550\"", host), 1);
	assert_int_equal(event(g, 4031, "u3@h.test", "\"no words with digits\"", host),
			1);
	assert_int_equal(event(g, 2001, host, "\"delivered\":1,\"undeliverable\":2",
					 "\"sender\":\"s@x.test\""),
			1);
}

/* Who is not told of everything is told of what failed. */
static void
a_refusal_is_told_at_the_lowest_level(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v[] = { answer(FATE_DELIVERED, 250, "2.0.0", "250 ok"),
		answer(FATE_BOUNCED, 550, "5.1.1", "550 5.1.1 nobody") };
	struct err err = { 0 };
	char path[100];

	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	assert_true(log_open(&(struct log_options){ .journal = path }, &err));
	hand_take(g, &h, "smtp:h.test:25", 2);
	h.l->attempted = true;
	settle_verdict(h.l, 0, &v[0]);
	settle_verdict(h.l, 1, &v[1]);
	settle_done(&g->d->all.settling, &h.l->job.job);
	TOLD(2, "\"id\"");
	TOLD(1, "\"id\":4031");
	TOLD(1, "\"id\":4032");
}

/* Of what nobody was asked for nothing is told as an attempt; of a notice nothing counts. */
static void
what_was_no_attempt_is_told_as_none(void **state)
{
	struct gate *g = *state;
	struct hand h;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");

	hand_take(g, &h, "smtp:h.test:25", 3);
	settle_all(h.l, &v);
	h.l->attempted = true;
	h.l->results[0].attempted = h.l->results[1].attempted = false;
	h.l->results[1].state = QUEUE_BOUNCED;
	h.l->results[2].state = QUEUE_BADMAIL;
	settle_done(&g->d->all.settling, &h.l->job.job);
	TOLD(1, "\"id\"");
	assert_int_equal(event(g, 2001, "\"delivered\":0,\"undeliverable\":0", "", ""),
			1);
	assert_int_equal(g->hub.sum.delivered + g->hub.sum.refused, 0);
	assert_int_equal(g->d->all.settling.owed, 0);
	for (size_t i = 0; i < 3; i++) {
		static const enum fate fates[] = { FATE_DELIVERED, FATE_DEFERRED,
			FATE_BOUNCED };

		hand_take(g, &h, "smtp:h.test:25", 1);
		h.m.flags = MESSAGE_NOTICE;
		v.fate = fates[i];
		settle_all(h.l, &v);
		settle_done(&g->d->all.settling, &h.l->job.job);
	}
	TOLD(1, "\"id\":5003");
	TOLD(1, "\"id\":5002");
	TOLD(1, "\"id\":4031");
	TOLD(1, "\"id\":2001"); /* of the first */
	assert_int_equal(
			g->hub.sum.delivered + g->hub.sum.deferred + g->hub.sum.refused,
			0);
}

/* The enhanced code alone, and as many of its digits as there is room for. */
static void
a_status_is_told_without_its_dots(void **state)
{
	static const struct {
		const char *text, *ndr;
	} all[] = {
		{ "5.7.1 no", "\"ndr\":\"571\"" },
		{ "5.7.1", "\"ndr\":\"571\"" },
		{ "5.7 no", "\"ndr\":\"550\"" },
		{ "5.123.456 no", "\"ndr\":\"5123456\"" },
		{ "5.123.4567 no", "\"ndr\":\"5123456\"" },
		{ "5.1.1: no 7", "\"ndr\":\"511\"" },
		{ "5.9.0/x", "\"ndr\":\"590\"" },
		{ "", "\"ndr\":\"550\"" },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct verdict v = answer(FATE_BOUNCED, 550, "", all[i].text);
		struct hand h;

		hand_take(g, &h, "smtp:h.test:25", 1);
		settle_all(h.l, &v);
		forget(g);
		settle_done(&g->d->all.settling, &h.l->job.job);
		TOLD(1, all[i].ndr);
	}
}

/* A reply that is longer than what is told of one. */
static void
a_long_reply_is_told_as_far_as_there_is_room(void **state)
{
	struct gate *g = *state;
	char text[700];
	struct hand h;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 x");

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i < sizeof(text) - 1 ? 'x' : '\0';
	hand_take(g, &h, "smtp:h.test:25", 1);
	settle_all(h.l, &v);
	h.l->results[0].reply = span_of(text);
	settle_done(&g->d->all.settling, &h.l->job.job);
	text[639 - 4] = '\0';
	char want[800];
	(void)snprintf(want, sizeof(want), "\"reply\":\"250 %s\"", text);
	TOLD(2, want); /* 5003 and 4032 */
}

static void
mended_line_ends_are_told_as_what_they_were(void **state)
{
	static const struct {
		bool changed, nul;
		const char *found;
	} all[] = {
		{ true, false, "\"found\":\"bare CR or LF\"" },
		{ false, true, "\"found\":\"NUL, which went out as it is\"" },
		{ true, true, "\"found\":\"bare CR or LF, and NUL, which went out as it is\"" },
	};
	struct gate *g = *state;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");

	for (size_t i = 0; i < 3; i++) {
		struct hand h;

		hand_take(g, &h, "smtp:h.test:25", 1);
		h.l->changed = all[i].changed;
		h.l->nul = all[i].nul;
		settle_all(h.l, &v);
		forget(g);
		settle_done(&g->d->all.settling, &h.l->job.job);
		assert_int_equal(event(g, 4044, all[i].found, "h.test:25", "trace"), 1);
	}
}

/* It leaves by many leases, and is told once. */
static void
a_message_that_is_split_is_told_once(void **state)
{
	static const struct {
		size_t recipients, parts, told;
	} all[] = { { 101, 2, 1 }, { 101, 2, 0 }, { 100, 2, 0 }, { 101, 1, 0 } };
	struct gate *g = *state;
	struct verdict v = answer(FATE_DELIVERED, 250, "2.0.0", "250 ok");
	uint64_t id = 0;

	for (size_t i = 0; i < 4; i++) {
		struct hand h;

		hand_take(g, &h, "smtp:h.test:25", all[i].recipients);
		if (i == 1)
			h.m.id = id;
		id = h.m.id;
		h.l->parts = all[i].parts;
		settle_all(h.l, &v);
		forget(g);
		settle_done(&g->d->all.settling, &h.l->job.job);
		TOLD(all[i].told, "\"id\":3041");
		assert_int_equal(event(g, 3041, "\"recipients\":101", "\"max\":100",
						 "\"parts\":2"),
				all[i].told);
	}
}

static void
damage_is_told_with_what_comes_of_it(void **state)
{
	static const struct {
		bool badmail, again, told;
		const char *disp;
	} all[] = {
		{ true, false, true,
				"\"disp\":\"what is left of it goes to Badmail\"" },
		{ false, false, true,
				"\"disp\":\"what is left of it stays in the queue\"" },
		{ true, true, true,
				"goes to Badmail, and the next poll collects it again where the provider still has it\"" },
		{ true, true, false, "" },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < 4; i++) {
		struct hand h;

		hand_take(g, &h, "smtp:h.test:25", 1);
		g->conf->badmail.enabled = all[i].badmail;
		struct verdict v = settle_damage(h.l, "cut short");
		settle_all(h.l, &v);
		h.l->job.again = all[i].again;
		h.l->job.damage_new = all[i].told;
		forget(g);
		settle_done(&g->d->all.settling, &h.l->job.job);
		assert_int_equal(event(g, 5009, all[i].disp, "\"how\":\"cut short\"",
						 "trace"),
				all[i].told);
	}
}

static void
badmail_is_told_for_its_reason_or_as_held(void **state)
{
	static const struct {
		bool enabled, written, notice;
		const char *reason, *want;
		int id; /* what is told; 0: nothing */
	} all[] = {
		{ true, true, false, "loop", "\"reason\":\"loop\"", 4117 },
		{ true, true, false, "", "\"reason\":\"general\"", 4117 },
		{ true, true, true, "loop", "\"reason\":\"loop\"", 4117 },
		{ true, false, false, "loop", "", 0 },
		{ false, false, false, "loop", "badmail.enabled is false", 5005 },
		{ false, true, false, "loop", "\"badmail\":\"", 4117 },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct hand h;

		hand_take(g, &h, QUEUE_HOP_BADMAIL, 2);
		h.to[0].state = h.to[1].state = QUEUE_BOUNCED;
		h.to[0].reason = span_of(all[i].reason);
		h.m.flags = all[i].notice ? MESSAGE_NOTICE : 0;
		g->conf->badmail.enabled = all[i].enabled;
		settle_badmail(h.l, all[i].written, 1000);
		g->hub.sum.badmail = g->hub.sum.notices_lost = 0;
		forget(g);
		settle_done(&g->d->all.settling, &h.l->job.job);
		if (all[i].id != 0)
			assert_int_equal(event(g, all[i].id, all[i].want, "trace", ""),
					1);
		TOLD(all[i].id != 0, "\"id\"");
		assert_int_equal(g->hub.sum.badmail, all[i].written && !all[i].notice);
		assert_int_equal(g->hub.sum.notices_lost, all[i].notice);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_GATE(each_result_is_told_once_it_is_recorded),
		IN_GATE(a_refusal_is_told_at_the_lowest_level),
		IN_GATE(what_was_no_attempt_is_told_as_none),
		IN_GATE(a_status_is_told_without_its_dots),
		IN_GATE(a_long_reply_is_told_as_far_as_there_is_room),
		IN_GATE(mended_line_ends_are_told_as_what_they_were),
		IN_GATE(a_message_that_is_split_is_told_once),
		IN_GATE(damage_is_told_with_what_comes_of_it),
		IN_GATE(badmail_is_told_for_its_reason_or_as_held),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
