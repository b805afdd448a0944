/* What RCPT is answered: each kind of address, for a stranger and for a client that may relay. */
#include "house.h"

#include <string.h>

struct question {
	const char *said;
	bool may_relay;
	enum smtp_refusal why; /* not accepted */
	const char *mailbox, *key;
	const char *to[3], *hop[3]; /* accepted */
};

static const struct question questions[] = {
	{ "ann@contoso.test", false, 0, "ann@contoso.test", "ann@contoso.test",
			{ "ann@contoso.test" }, { "smtp:mail.contoso.test:25" } },
	{ "Ann@Open.TEST", false, 0, "Ann@Open.TEST", "ann@open.test",
			{ "ann@contoso.test" }, { "smtp:mail.contoso.test:25" } },
	{ "Some@open.test", false, 0, "Some@open.test", "some@open.test",
			{ "Some@open.test" }, { "drop" } },
	{ "\"so\\me\"@open.test", false, 0, "some@open.test", "some@open.test",
			{ "some@open.test" }, { "drop" } },
	{ "\"a b\"@open.test", false, 0, "\"a b\"@open.test", "a b@open.test",
			{ "\"a b\"@open.test" }, { "drop" } },
	{ "ann+x@contoso.test", false, 0, "ann+x@contoso.test", "ann+x@contoso.test",
			{ "ann+x@contoso.test" }, { "smtp:mail.contoso.test:25" } },
	{ "sales@contoso.test", false, 0, "sales@contoso.test", "sales@contoso.test",
			{ "ann@contoso.test", "far@away.test" },
			{ "smtp:mail.contoso.test:25", "smtp:mail.away.test:25" } },
	{ "nobody@contoso.test", false, SMTP_REFUSE_UNKNOWN, "nobody@contoso.test",
			"nobody@contoso.test", { NULL }, { NULL } },
	{ "nobody@contoso.test", true, SMTP_REFUSE_UNKNOWN, "nobody@contoso.test",
			"nobody@contoso.test", { NULL }, { NULL } },
	{ "empty@contoso.test", false, SMTP_REFUSE_LIST, "empty@contoso.test",
			"empty@contoso.test", { NULL }, { NULL } },
	{ "x@away.test", false, SMTP_REFUSE_RELAY, "x@away.test", "x@away.test",
			{ NULL }, { NULL } },
	{ "x@away.test", true, 0, "x@away.test", "x@away.test", { "x@away.test" },
			{ "smtp:mail.away.test:25" } },
	{ "x@else.test", true, SMTP_REFUSE_NO_ROUTE, "x@else.test", "x@else.test",
			{ NULL }, { NULL } },
	{ "x@b\xc3\xbc"
	  "cher.test",
			false, SMTP_REFUSE_RELAY, "x@xn--bcher-kva.test",
			"x@xn--bcher-kva.test", { NULL }, { NULL } },
	{ "postmaster", false, 0, "admin@contoso.test", "admin@contoso.test",
			{ "admin@contoso.test" }, { "smtp:mail.contoso.test:25" } },
	{ "PostMaster@contoso.test", false, 0, "PostMaster@contoso.test",
			"postmaster@contoso.test", { "admin@contoso.test" },
			{ "smtp:mail.contoso.test:25" } },
};

static void
each_kind_of_address_has_its_answer(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		AUTO(arena_done) struct arena a = ARENA_MAX(100000);
		const struct question *q = &questions[i];
		struct rcpt rc;
		size_t n = 0;

		print_message("%s%s\n", q->said, q->may_relay ? ", who may relay" : "");
		assert_true(house_ask(&h, q->said, q->may_relay, &a, &rc));
		assert_true(span_eq(rc.said, span_of(q->said)));
		assert_true(span_eq(rc.mailbox, span_of(q->mailbox)));
		assert_true(span_eq(rc.key, span_of(q->key)));
		assert_int_equal(rc.bare, strchr(q->said, '@') == NULL);
		assert_int_equal(rc.accepted, q->to[0] != NULL);
		if (!rc.accepted)
			assert_int_equal(rc.why, q->why);
		while (n < 3 && q->to[n])
			n++;
		assert_int_equal(rc.n, n);
		for (size_t k = 0; k < n; k++) {
			assert_true(span_eq(rc.v[k].address, span_of(q->to[k])));
			assert_string_equal(rcpt_hop(&h.rules, rc.v[k].domain)->key,
					q->hop[k]);
		}
		assert_int_equal(rc.list != NULL, strncmp(q->said, "sales@", 6) == 0);
	}
	house_close(&h);
}

/* RFC 5321 4.5.1: without a postmaster of the server the word is somebody even so. */
static void
a_server_without_a_postmaster_takes_his_mail(void **state)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(100000);
	struct house h;
	struct rcpt rc;

	(void)state;
	house_open(&h);
	h.rules.postmaster = (struct span){ "", 0 };
	assert_true(house_ask(&h, "Postmaster", false, &a, &rc));
	assert_true(rc.accepted && rc.bare);
	assert_int_equal(rc.n, 1);
	assert_true(span_eq(rc.v[0].address, SPAN("Postmaster")));
	assert_string_equal(rcpt_hop(&h.rules, rc.v[0].domain)->key, "drop");
	house_close(&h);
}

/* However little memory there is: an answer, or none, never half of one. */
static void
an_answer_is_whole_or_there_is_none(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		const struct question *q = &questions[i];
		size_t none = 0, all = 0;

		for (size_t max = 0; max < 3000; max += 7) {
			AUTO(arena_done) struct arena a = ARENA_MAX(max);
			struct rcpt rc;

			if (!house_ask(&h, q->said, q->may_relay, &a, &rc)) {
				none++;
				continue;
			}
			all++;
			assert_true(span_eq(rc.mailbox, span_of(q->mailbox)));
			assert_true(span_eq(rc.key, span_of(q->key)));
			assert_int_equal(rc.accepted, q->to[0] != NULL);
			for (size_t k = 0; k < rc.n; k++)
				assert_true(span_eq(
						rc.v[k].address, span_of(q->to[k])));
		}
		assert_true(none > 0 && all > 0);
	}
	house_close(&h);
}

static void
a_refusal_has_its_words_and_badmails_reason(void **state)
{
	static const struct {
		enum smtp_refusal why;
		const char *line, *reason;
	} rows[] = {
		{ SMTP_REFUSE_RELAY, "550 5.7.1 Unable to relay for u@d.test",
				"relay-denied" },
		{ SMTP_REFUSE_UNKNOWN, "550 5.1.1 User unknown u@d.test",
				"unknown-user" },
		{ SMTP_REFUSE_NO_ROUTE, "550 5.4.4 No route leads to u@d.test",
				"general" },
		{ SMTP_REFUSE_LIST, "550 5.2.4 Mailing list leads to nobody: u@d.test",
				"general" },
		{ SMTP_REFUSE_MEMBERS,
				"554 5.5.3 Too many recipients, with the members of u@d.test",
				"general" },
	};
	char text[SMTP_TEXT_SIZE], line[SMTP_TEXT_SIZE + 20];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_reply r = rcpt_reply(rows[i].why, SPAN("u@d.test"), text);

		(void)snprintf(line, sizeof(line), "%d %s %s", r.code, r.esc, r.text);
		assert_string_equal(line, rows[i].line);
		assert_string_equal(rcpt_reason(rows[i].why), rows[i].reason);
	}
	assert_string_equal(rcpt_reason(SMTP_REFUSE_HOPS), "hop-count");
	assert_int_equal(
			rcpt_reply(SMTP_REFUSE_HOPS, SPAN("u@d.test"), text).code, 554);
	assert_int_equal(
			rcpt_reply(SMTP_REFUSE_RECIPIENTS, SPAN("u@d.test"), text).code,
			452);
	assert_int_equal(
			rcpt_reply(SMTP_REFUSE_BUSY, SPAN("u@d.test"), text).code, 452);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_address_has_its_answer),
		cmocka_unit_test(a_server_without_a_postmaster_takes_his_mail),
		cmocka_unit_test(an_answer_is_whole_or_there_is_none),
		cmocka_unit_test(a_refusal_has_its_words_and_badmails_reason),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
