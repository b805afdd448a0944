/* Listings that look renumbered: which messages are looked at, and what is held for them. */
#include "../../../src/fetch/session.h"

#include <stdlib.h>
#include <unistd.h>

#include "../../../src/fetch/print.h"
#include "check.h"
#include "journal.h"
#include "postern/event.h"
#include "postern/log.h"

enum { MOST = 400 };

static struct {
	struct fetch_memo memo;
	struct fetch_poll poll;
	struct pop_session s;
	struct pop_message messages[MOST];
	bool blank, storm;
	bool hit[MOST]; /* what was collected before */
	bool unread[MOST]; /* the provider will not show it */
	size_t sent[MOST], n_sent, flushes, reading;
	size_t fail_at; /* this call of sending, flushing or reading fails; 0: none */
	size_t calls;
} w;

static bool
fine(void)
{
	return ++w.calls != w.fail_at;
}

bool __wrap_pop_peek_send(struct pop_session *s, size_t i);
bool __wrap_pop_peek_read(struct pop_session *s, size_t i, bool *got);
bool __wrap_pop_flush(struct pop_session *s);
bool __wrap_pop_known_blank(const struct pop_known *k);
bool __wrap_pop_known_storm(const struct pop_known *k);
bool __wrap_pop_known_print(const struct pop_known *k, uint64_t print);
uint64_t __wrap_pop_print(struct span header, uint64_t octets);

bool
__wrap_pop_peek_send(struct pop_session *s, size_t i)
{
	(void)s;
	w.sent[w.n_sent++] = i;
	return fine();
}

bool
__wrap_pop_flush(struct pop_session *s)
{
	(void)s;
	w.flushes++;
	return fine();
}

bool
__wrap_pop_peek_read(struct pop_session *s, size_t i, bool *got)
{
	(void)s;
	w.reading = i;
	*got = !w.unread[i];
	return fine();
}

bool
__wrap_pop_known_blank(const struct pop_known *k)
{
	(void)k;
	return w.blank;
}

bool
__wrap_pop_known_storm(const struct pop_known *k)
{
	(void)k;
	return w.storm;
}

uint64_t
__wrap_pop_print(struct span header, uint64_t octets)
{
	(void)header;
	assert_int_equal(octets, 0); /* by the header alone */
	return w.reading;
}

bool
__wrap_pop_known_print(const struct pop_known *k, uint64_t print)
{
	(void)k;
	return w.hit[print];
}

/* n messages, all unknown. */
static void
listed(size_t n)
{
	memset(&w, 0, sizeof(w));
	w.poll.memo = &w.memo;
	w.poll.name = SPAN("contoso");
	w.s.poll = &w.poll;
	w.s.messages = w.messages;
	w.s.listing.n = n;
	w.s.known.unknown = n;
	w.s.caps.top = w.s.caps.pipelining = true;
	for (size_t i = 0; i < n; i++)
		w.messages[i] = (struct pop_message){ .known = POP_UNKNOWN,
			.octets = 1000 };
	w.storm = true;
	assert_int_equal(truncate(journal, 0), 0);
}

static void
an_ordinary_listing_costs_nothing(void **state)
{
	(void)state;
	listed(50);
	w.storm = false;
	w.memo.held = true; /* somebody has adopted it meanwhile */
	assert_true(pop_storm_pass(&w.s));
	assert_int_equal(w.n_sent, 0);
	assert_false(w.memo.held);
}

static void
a_sample_is_spread_over_what_is_unknown(void **state)
{
	static const size_t sizes[] = { 1, 2, 19, 20, 21, 39, 40, 100, 399, 400 };

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		size_t n = sizes[k], want = n < 20 ? n : 20;

		listed(n);
		assert_true(pop_storm_pass(&w.s)); /* none of them was here */
		assert_int_equal(w.n_sent, want);
		for (size_t i = 1; i < w.n_sent; i++)
			assert_true(w.sent[i] > w.sent[i - 1]);
		assert_int_equal(w.sent[0], 0);
		assert_true(w.sent[want - 1] >= n - 1 - n / 20);
		assert_int_equal(w.flushes, 1);
		assert_false(w.memo.held);
	}
}

/* Those that are known need no look; without TOP large ones would have to be downloaded. */
static void
only_what_can_be_looked_at_cheaply_is(void **state)
{
	(void)state;
	for (int top = 0; top < 2; top++) {
		listed(6);
		w.s.caps.top = top;
		w.messages[1].known = POP_SETTLED;
		w.messages[2].octets = 256 * 1024;
		w.messages[3].octets = 256 * 1024 + 1;
		assert_true(pop_storm_pass(&w.s));
		assert_int_equal(w.n_sent, top ? 5 : 4);
		for (size_t i = 0; i < w.n_sent; i++) {
			assert_int_not_equal(w.sent[i], 1);
			if (!top)
				assert_int_not_equal(w.sent[i], 3);
		}
	}
	/* Nothing at all: nothing is held for it. */
	listed(3);
	for (size_t i = 0; i < 3; i++)
		w.messages[i].known = POP_SETTLED;
	assert_true(pop_storm_pass(&w.s));
	assert_int_equal(w.n_sent, 0);
}

/* Half of the sample, or more. What cannot be shown is no sign of it. */
static void
half_of_the_sample_holds_the_account(void **state)
{
	(void)state;
	for (size_t hits = 0; hits <= 10; hits++) {
		listed(10);
		for (size_t i = 0; i < hits; i++)
			w.hit[9 - i] = true;
		w.unread[9] = hits == 6; /* five are seen then */
		assert_int_equal(pop_storm_pass(&w.s), hits < 5);
		assert_int_equal(w.memo.held, hits >= 5);
		assert_int_equal(logged("event=4009"), hits >= 5);
		assert_int_equal(w.s.err.event, hits >= 5 ? 4009 : 0);
	}
	listed(10);
	for (size_t i = 0; i < 5; i++)
		w.hit[i] = w.unread[i] = true;
	assert_true(pop_storm_pass(&w.s));
}

static void
it_is_logged_once_and_says_how_much(void **state)
{
	(void)state;
	listed(8);
	w.s.known.unknown = 6;
	for (size_t i = 0; i < 8; i++)
		w.hit[i] = true;
	assert_false(pop_storm_pass(&w.s));
	assert_true(logged("75"));
	assert_int_equal(truncate(journal, 0), 0);
	w.n_sent = 0;
	assert_false(pop_storm_pass(&w.s)); /* the next poll */
	assert_false(logged("event=4009"));
	assert_int_equal(w.s.err.event, 4009); /* and its result says it again */
	/* It was no storm after all. */
	memset(w.hit, 0, sizeof(w.hit));
	w.n_sent = 0;
	assert_true(pop_storm_pass(&w.s));
	assert_false(w.memo.held);
}

/* Of an old state no digest was kept: it is held without a look. */
static void
what_came_back_without_a_digest_is_held_unseen(void **state)
{
	(void)state;
	listed(8);
	w.storm = false;
	w.blank = true;
	w.s.known.blank = 5;
	assert_false(pop_storm_pass(&w.s));
	assert_true(w.memo.held && logged("event=4009"));
	assert_int_equal(w.n_sent, 0);
}

static void
a_look_that_fails_ends_the_session_and_decides_nothing(void **state)
{
	(void)state;
	for (int pipelining = 0; pipelining < 2; pipelining++) {
		size_t all = pipelining ? 4 + 1 + 4 : 4 * 3;

		for (size_t nth = 1; nth <= all; nth++) {
			listed(4);
			w.s.caps.pipelining = pipelining;
			w.fail_at = nth;
			w.memo.held = nth % 2;
			for (size_t i = 0; i < 4; i++)
				w.hit[i] = true;
			assert_false(pop_storm_pass(&w.s));
			assert_int_equal(w.calls, nth);
			assert_int_equal(w.memo.held, nth % 2);
			assert_false(logged("event=4009"));
		}
		listed(4);
		w.s.caps.pipelining = pipelining;
		assert_true(pop_storm_pass(&w.s));
		assert_int_equal(w.calls, all);
		assert_int_equal(w.flushes, pipelining ? 1 : 4);
	}
}

static int
begin(void **state)
{
	struct err err = { 0 };

	(void)state;
	(void)snprintf(journal, sizeof(journal), "/tmp/postern-storm-%d",
			(int)getpid());
	return log_open(&(struct log_options){ .to = journal, .level = 3 }, &err) ? 0
										  : -1;
}

static int
end(void **state)
{
	(void)state;
	log_close();
	return unlink(journal);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ordinary_listing_costs_nothing),
		cmocka_unit_test(a_sample_is_spread_over_what_is_unknown),
		cmocka_unit_test(only_what_can_be_looked_at_cheaply_is),
		cmocka_unit_test(half_of_the_sample_holds_the_account),
		cmocka_unit_test(it_is_logged_once_and_says_how_much),
		cmocka_unit_test(what_came_back_without_a_digest_is_held_unseen),
		cmocka_unit_test(
				a_look_that_fails_ends_the_session_and_decides_nothing),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
