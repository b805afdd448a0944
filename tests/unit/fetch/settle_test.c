/* What the relay's answer for a message leads to: counts, events, what is remembered of it,
 * and whether it may be deleted. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../../src/fetch/session.h"
#include "check.h"
#include "journal.h"
#include "postern/log.h"

enum { OCTETS = 4711 };

static struct world {
	struct conf_account account;
	struct fetch_memo memo;
	struct fetch_poll poll;
	struct pop_session s;
	struct pop_message messages[2];
	struct pop_listed listed[2];
	struct fetch_flight f;
	unsigned published;
} w;

static void
publish(void *host, const struct fetch_result *r)
{
	assert_ptr_equal(host, &w);
	assert_ptr_equal(r, &w.poll.result);
	w.published++;
}

/* The second message of two was handed over; something is remembered of it. */
static void
start(unsigned level)
{
	static const uint64_t seed[2] = { 1, 2 };
	struct err err;

	fetch_memo_done(&w.memo);
	buf_done(&w.s.listing.uids);
	log_close();
	(void)unlink(journal);
	assert_true(log_open(
			&(struct log_options){ .to = journal, .level = level }, &err));
	memset(&w, 0, sizeof(w));
	fetch_memo_init(&w.memo, seed);
	w.poll.memo = &w.memo;
	w.poll.account = &w.account;
	w.poll.name = SPAN("contoso");
	w.poll.publish = publish;
	w.poll.host = &w;
	w.s.poll = &w.poll;
	w.s.messages = w.messages;
	pop_listing_init(&w.s.listing);
	w.s.listing.items = w.listed;
	w.s.listing.n = 2;
	assert_true(buf_add(&w.s.listing.uids, SPAN("uid-1uid-2")));
	w.listed[0].uid_n = w.listed[1].uid_n = 5;
	w.listed[1].uid_at = 5;
	w.f = (struct fetch_flight){ .index = 1,
		.trace = SPAN("contoso/uid-2"),
		.octets = OCTETS,
		.accepted = 3,
		.refused = 2,
		.collect = { .uidl = SPAN("uid-2") } };
	fetch_memo_get(&w.memo, SPAN("uid-2"))->attempts = 3;
}

static void
answered(enum fate fate, int code, const char *esc, const char *text)
{
	const struct verdict v = verdict_make(fate, code, esc, "%s", text);

	pop_message_settled(&w.s, &w.f, &v);
}

static void
queued(void)
{
	answered(FATE_DELIVERED, 250, "2.6.0",
			"250 2.6.0 <x@y> Queued mail for delivery, id QUEUE-ID");
}

/* Edge 31: the code tells it, whatever the words are. */
static void
had(void)
{
	answered(FATE_DELIVERED, 250, "2.0.0", "250 2.0.0 it is here");
}

static void
what_is_durable_is_counted_told_and_deleted(void **state)
{
	const struct fetch_result *r = &w.poll.result;

	(void)state;
	for (unsigned level = 0; level <= 2; level++) {
		start(level);
		queued();
		assert_int_equal(w.s.fresh, 1);
		assert_int_equal(r->collected, 1);
		assert_int_equal(r->known, 0);
		assert_int_equal(r->octets, OCTETS);
		assert_int_equal(r->recipients, 3);
		assert_int_equal(r->refused, 2);
		assert_int_equal(r->notices + r->failures, 0);
		assert_true(w.messages[1].durable);
		assert_false(w.messages[0].durable || w.s.relay_down);
		assert_int_equal(logged("event=2003"), level >= 1);
		assert_int_equal(logged("QUEUE-ID"), level >= 1);
		assert_false(logged("event=2005") || logged("event=4034"));
		assert_null(fetch_memo_find(&w.memo, SPAN("uid-2")));
		assert_int_equal(w.published, 1);
	}
}

static void
what_the_relay_had_is_deleted_and_not_told_again(void **state)
{
	const struct fetch_result *r = &w.poll.result;

	(void)state;
	start(3);
	w.memo.newcomer = true;
	w.f.collect.hold = SPAN("unrouted");
	had();
	assert_int_equal(w.s.fresh, 1);
	assert_int_equal(r->known, 1);
	assert_int_equal(r->collected + r->octets + r->recipients + r->refused, 0);
	assert_true(w.messages[1].durable);
	assert_false(logged("event=2003") || logged("event=4034"));
	assert_null(fetch_memo_find(&w.memo, SPAN("uid-2")));
	/* To whom it came then is not known now. */
	assert_true(w.memo.newcomer);
	assert_int_equal(w.memo.nobody, 0);
}

static void
a_new_account_is_known_by_what_reaches_somebody(void **state)
{
	(void)state;
	start(0);
	w.memo.newcomer = true;
	queued();
	assert_false(w.memo.newcomer);
	start(0);
	w.memo.newcomer = true;
	w.f.accepted = 0;
	queued();
	assert_true(w.memo.newcomer);
	assert_int_equal(w.memo.nobody, 1);
	assert_int_equal(w.memo.nobody_why, MEMO_NOBODY_REFUSED);
}

static void
what_is_kept_is_not_deleted_now(void **state)
{
	(void)state;
	for (unsigned level = 1; level <= 2; level++) {
		start(level);
		w.account.keep_s = 3600;
		queued();
		assert_false(w.messages[1].durable);
		assert_int_equal(w.poll.result.collected, 1);
		assert_int_equal(logged("event=2005"), level == 2);
		assert_int_equal(logged("until 20"), level == 2);
	}
	start(3);
	w.account.keep_s = CONF_KEEP_FOREVER;
	queued();
	assert_false(w.messages[1].durable);
	assert_false(logged("event=2005"));
	start(3);
	w.account.keep_s = 3600;
	had();
	assert_true(logged("event=2005"));
}

static void
what_is_held_is_told_by_its_number(void **state)
{
	(void)state;
	for (int notice = 0; notice < 2; notice++) {
		start(0);
		w.f.collect.hold = SPAN("unrouted");
		w.f.notice = notice;
		queued();
		assert_true(logged("event=4034") && logged("QUEUE-ID"));
		assert_int_equal(w.poll.result.collected, !notice);
	}
}

/* A note about a message is not the message. */
static void
a_notice_leaves_its_message_alone(void **state)
{
	(void)state;
	start(3);
	w.f.notice = true;
	queued();
	assert_int_equal(w.poll.result.notices, 1);
	assert_int_equal(w.poll.result.collected + w.poll.result.octets, 0);
	assert_false(w.messages[1].durable);
	assert_false(logged("event=2003"));
	assert_int_equal(fetch_memo_find(&w.memo, SPAN("uid-2"))->attempts, 3);
	assert_int_equal(w.published, 1);
}

/* Its unique-id was another message's: this one is known from now on. */
static void
a_message_under_a_used_name_is_remembered(void **state)
{
	(void)state;
	start(0);
	w.messages[1].changed = true;
	queued();
	const struct memo_message *m = fetch_memo_find(&w.memo, SPAN("uid-2"));
	assert_non_null(m);
	assert_true(m->verified);
	assert_int_equal(m->attempts, 0);
	start(0);
	w.messages[1].changed = true;
	w.listed[1].uid_n = 0;
	queued();
	assert_int_equal(w.poll.result.collected, 1);
}

static void
what_is_put_off_ends_the_collection(void **state)
{
	(void)state;
	start(0);
	answered(FATE_DEFERRED, 451, "4.3.0", "451 4.3.0 not now");
	assert_true(w.s.relay_down);
	assert_int_equal(w.s.err.event, 4024);
	assert_string_equal(w.s.err.text, "451 4.3.0 not now");
	assert_false(w.messages[1].durable);
	assert_int_equal(w.s.fresh + w.poll.result.failures, 0);
	assert_int_equal(fetch_memo_find(&w.memo, SPAN("uid-2"))->attempts, 3);
	assert_int_equal(w.published, 1);
}

static void
what_is_refused_stays_and_counts_against_the_message(void **state)
{
	(void)state;
	start(0);
	answered(FATE_BOUNCED, 552, "5.3.4", "552 5.3.4 message too large");
	assert_false(w.s.relay_down || w.messages[1].durable);
	assert_int_equal(w.s.err.event, 0);
	assert_int_equal(w.poll.result.failures, 1);
	assert_int_equal(w.s.fresh, 0);
	assert_int_equal(fetch_memo_find(&w.memo, SPAN("uid-2"))->attempts, 4);
	assert_true(logged("event=4025") && logged("message too large") &&
			logged("contoso/uid-2"));
	assert_int_equal(w.published, 1);
}

static void
no_answer_counts_for_what_was_given_up(void **state)
{
	(void)state;
	start(3);
	w.f.abandoned = true;
	queued();
	answered(FATE_DEFERRED, 0, "4.3.0", "it was cut");
	answered(FATE_BOUNCED, 552, "5.3.4", "552 5.3.4 message too large");
	assert_int_equal(w.s.fresh + w.poll.result.collected + w.poll.result.failures,
			0);
	assert_false(w.messages[1].durable || w.s.relay_down);
	assert_false(logged("event="));
	assert_int_equal(w.published, 0);
	log_close();
	(void)unlink(journal);
	fetch_memo_done(&w.memo);
	buf_done(&w.s.listing.uids);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_durable_is_counted_told_and_deleted),
		cmocka_unit_test(what_the_relay_had_is_deleted_and_not_told_again),
		cmocka_unit_test(a_new_account_is_known_by_what_reaches_somebody),
		cmocka_unit_test(what_is_kept_is_not_deleted_now),
		cmocka_unit_test(what_is_held_is_told_by_its_number),
		cmocka_unit_test(a_notice_leaves_its_message_alone),
		cmocka_unit_test(a_message_under_a_used_name_is_remembered),
		cmocka_unit_test(what_is_put_off_ends_the_collection),
		cmocka_unit_test(what_is_refused_stays_and_counts_against_the_message),
		cmocka_unit_test(no_answer_counts_for_what_was_given_up),
	};
	const uint64_t seed[2] = { 1, 2 };

	(void)snprintf(journal, sizeof(journal), "/tmp/postern-settle-%d",
			(int)getpid());
	fetch_memo_init(&w.memo, seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
