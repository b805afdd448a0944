/* Is what came the whole message: how long it is beside what LIST says, and whether the
 * server put a notice of its own in its place. */
#include <string.h>

#include "../../../src/fetch/message.h"
#include "check.h"

enum { KB = 1024, ASK_MOST = 2 };

struct world {
	struct fetch_memo memo;
	struct fetch_poll poll;
	struct pop_session s;
	struct pop_message message;
	struct pop_listed listed;
	struct reading r;
};

static int
setup(void **state)
{
	static struct world w;
	static const uint64_t seed[2] = { 5, 6 };

	memset(&w, 0, sizeof(w));
	fetch_memo_init(&w.memo, seed);
	w.poll.memo = &w.memo;
	w.s.poll = &w.poll;
	w.s.messages = &w.message;
	w.s.head = BUF_MAX(16 * 1024);
	w.s.out = BUF_MAX(4096);
	pop_listing_init(&w.s.listing);
	assert_true(buf_add(&w.s.listing.uids, SPAN("uid-1")));
	w.listed.uid_n = 5;
	w.s.listing.items = &w.listed;
	w.s.listing.n = 1;
	w.r.s = &w.s;
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	fetch_memo_done(&w->memo);
	buf_done(&w->s.head);
	buf_done(&w->s.out);
	buf_done(&w->s.listing.uids);
	return 0;
}

/* A session lists it, and it comes with so many octets. */
static enum reading_size
comes(struct world *w, uint64_t listed, uint64_t octets)
{
	w->listed.octets = listed;
	w->r.octets = octets;
	w->message.again = false;
	return reading_size(&w->r);
}

static void
another_session(struct world *w)
{
	w->message = (struct pop_message){ 0 };
}

static void
header_of(struct world *w, const char *text)
{
	buf_clear(&w->s.head);
	assert_true(buf_add(&w->s.head, span_of(text)));
}

static void
what_is_as_long_as_list_says_or_longer_is_whole(void **state)
{
	struct world *w = *state;

	assert_int_equal(comes(w, 1000, 1000), SIZE_FITS);
	assert_int_equal(comes(w, 1000, 5000), SIZE_FITS);
	assert_int_equal(comes(w, 0, 0), SIZE_FITS);
	assert_null(fetch_memo_find(&w->memo, SPAN("uid-1")));
	assert_false(w->message.again);
}

/* Where little is missing, the same twice is believed at once, and then by how much LIST
 * is off is known. */
static void
a_little_short_twice_is_believed_in_the_same_session(void **state)
{
	struct world *w = *state;

	assert_int_equal(comes(w, 100000, 99900), SIZE_AGAIN);
	assert_true(w->message.again);
	assert_int_equal(w->message.asked, 1);
	assert_int_equal(comes(w, 100000, 99900), SIZE_FITS);
	assert_false(w->message.again);
	assert_int_equal(w->memo.off_octets, 100);
	assert_int_equal(w->memo.off_share, 0);
	/* The next one costs nothing, as far as that goes. */
	another_session(w);
	assert_int_equal(comes(w, 5000, 4900), SIZE_FITS);
	assert_int_equal(comes(w, 5000, 4899), SIZE_AGAIN);
	assert_int_equal(comes(w, 5000, 4899), SIZE_FITS);
	assert_int_equal(w->memo.off_octets, 101);
	/* Less is nothing new. */
	w->memo.off_octets = 500;
	another_session(w);
	w->memo.off_octets = 50;
	assert_int_equal(comes(w, 5000, 4940), SIZE_AGAIN);
	w->memo.off_octets = 70;
	assert_int_equal(comes(w, 5000, 4940), SIZE_FITS);
	assert_int_equal(w->memo.off_octets, 70);
}

static void
by_how_much_list_is_off_may_grow_with_the_message(void **state)
{
	struct world *w = *state;

	/* More than lines would explain: a share, of a thousand. */
	assert_int_equal(comes(w, 1000000, 970000), SIZE_AGAIN);
	assert_int_equal(comes(w, 1000000, 970000), SIZE_FITS);
	assert_int_equal(w->memo.off_octets, 0);
	assert_int_equal(w->memo.off_share, 30);
	another_session(w);
	assert_int_equal(comes(w, 2000000, 1940000), SIZE_FITS);
	assert_int_equal(comes(w, 2000000, 1939999), SIZE_AGAIN);
	/* A smaller share teaches nothing. */
	w->memo.off_share = 40;
	another_session(w);
	assert_int_equal(comes(w, 2000000, 1900000), SIZE_AGAIN);
	assert_int_equal(comes(w, 2000000, 1900000), SIZE_FITS);
	assert_int_equal(w->memo.off_share, 50);
	w->memo.off_share = 10;
	another_session(w);
	assert_int_equal(comes(w, 200000, 190000), SIZE_AGAIN);
	w->memo.off_share = 60;
	another_session(w);
	assert_int_equal(comes(w, 200000, 180000), SIZE_AGAIN);
	w->memo.off_share = 200;
	w->message.asked = 1;
	assert_int_equal(comes(w, 200000, 180000), SIZE_FITS);
	assert_int_equal(w->memo.off_share, 200);
	/* A quarter is the most that is believed. */
	w->memo.off_share = 0;
	another_session(w);
	assert_int_equal(comes(w, 40000, 40000 - 10210), SIZE_AGAIN);
	assert_int_equal(comes(w, 40000, 40000 - 10210), SIZE_FITS);
	assert_int_equal(w->memo.off_share, 250);
	w->memo.off_share = 0;
	another_session(w);
	assert_int_equal(comes(w, 40000, 25000), SIZE_AGAIN);
	assert_int_equal(comes(w, 40000, 25000), SIZE_FITS);
	assert_int_equal(w->memo.off_share + w->memo.off_octets, 0);
}

/* What the lines of a message may explain, up to 1 KB, is no share of it. */
static void
lines_that_list_counts_are_no_share_of_a_message(void **state)
{
	struct world *w = *state;

	assert_int_equal(comes(w, 10 * KB, 9 * KB), SIZE_AGAIN);
	assert_int_equal(comes(w, 10 * KB, 9 * KB), SIZE_FITS);
	assert_int_equal(w->memo.off_octets, KB);
	assert_int_equal(w->memo.off_share, 0);
	w->memo.off_octets = 0;
	another_session(w);
	assert_int_equal(comes(w, 10 * KB, 9 * KB - 1), SIZE_AGAIN);
	assert_int_equal(comes(w, 10 * KB, 9 * KB - 1), SIZE_FITS);
	assert_int_equal(w->memo.off_octets, 0);
	assert_int_equal(w->memo.off_share, 94);
}

/* Where much is missing the same twice in one session proves nothing: at the next poll it
 * does. */
static void
much_short_is_believed_at_the_next_poll(void **state)
{
	struct world *w = *state;

	assert_int_equal(comes(w, 100000, 10), SIZE_AGAIN);
	assert_int_equal(comes(w, 100000, 10), SIZE_SHORT);
	assert_false(w->message.again);
	another_session(w);
	assert_int_equal(comes(w, 100000, 10), SIZE_FITS);
	/* A quarter and 16 KB is where that begins. */
	fetch_memo_forget(&w->memo, SPAN("uid-1"));
	another_session(w);
	assert_int_equal(comes(w, 100000, 100000 - 25000 - 16 * KB), SIZE_AGAIN);
	assert_int_equal(comes(w, 100000, 100000 - 25000 - 16 * KB), SIZE_FITS);
	fetch_memo_forget(&w->memo, SPAN("uid-1"));
	another_session(w);
	assert_int_equal(comes(w, 100000, 100000 - 25000 - 16 * KB - 1), SIZE_AGAIN);
	assert_int_equal(comes(w, 100000, 100000 - 25000 - 16 * KB - 1), SIZE_SHORT);
}

/* Another length each time: so often in a session, and no more. */
static void
what_comes_with_another_length_each_time_is_left(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < ASK_MOST; i++) {
		assert_int_equal(comes(w, 100000, 99000 - i), SIZE_AGAIN);
		assert_int_equal(w->message.asked, i + 1);
	}
	assert_int_equal(comes(w, 100000, 98000), SIZE_SHORT);
	assert_false(w->message.again);
	another_session(w);
	assert_int_equal(comes(w, 100000, 98001), SIZE_AGAIN);
	/* At once where it is as it was last. */
	another_session(w);
	assert_int_equal(comes(w, 100000, 98001), SIZE_FITS);
}

/* Without a unique-id nothing is remembered: what was asked for before counts. */
static void
a_nameless_message_is_asked_for_once_more(void **state)
{
	struct world *w = *state;

	w->listed.uid_n = 0;
	assert_int_equal(comes(w, 5000, 4900), SIZE_AGAIN);
	assert_int_equal(comes(w, 5000, 4900), SIZE_FITS);
	another_session(w);
	w->memo.off_octets = 0;
	assert_int_equal(comes(w, 100000, 10), SIZE_AGAIN);
	assert_int_equal(comes(w, 100000, 10), SIZE_SHORT);
}

/* A header alone is what some servers give for the first RETR after TOP. */
static void
what_has_no_body_is_asked_for_again_in_any_case(void **state)
{
	struct world *w = *state;

	w->memo.off_octets = 1000;
	header_of(w, "Subject: all there is\r\n\r\n");
	assert_int_equal(comes(w, 500, w->s.head.n + 1), SIZE_FITS);
	assert_int_equal(comes(w, 500, w->s.head.n), SIZE_AGAIN);
	assert_int_equal(comes(w, 500, w->s.head.n), SIZE_FITS);
	assert_int_equal(comes(w, w->s.head.n, w->s.head.n), SIZE_FITS);
	/* Nor does it teach that less is missing than was known. */
	while (w->s.head.n < 6500)
		assert_true(buf_addf(&w->s.head, "X-%zu: %050d\r\n", w->s.head.n, 0));
	w->memo.off_share = 240;
	another_session(w);
	assert_int_equal(comes(w, w->s.head.n + 1700, w->s.head.n), SIZE_AGAIN);
	assert_int_equal(comes(w, w->s.head.n + 1700, w->s.head.n), SIZE_FITS);
	assert_int_equal(w->memo.off_share, 240);
}

/* ---- a notice in place of the message ---- */

static void
a_notice_is_known_by_what_it_holds(void **state)
{
	static const struct {
		const char *what, *header, *start;
		bool notice;
	} rows[] = {
		{ "as Courier does it",
				"From: <>\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n",
				"--x\r\n\r\nno UTF-8\r\n--x\r\nContent-Type: message/global\r\n\r\n",
				true },
		{ "in other words", "CONTENT-TYPE:  MULTIPART/alternative\r\n\r\n",
				"content-type: MESSAGE/Global; charset=utf-8\r\n",
				true },
		{ "with a comment", "Content-Type: multipart/mixed\r\n\r\n",
				"Content-Type: message/global (a message)\r\n", true },
		{ "its last line is not whole", "Content-Type: multipart/mixed\r\n\r\n",
				"\r\nContent-Type: message/global", true },
		{ "blanks before the colon", "Content-Type: multipart/mixed\r\n\r\n",
				"Content-Type : message/global\r\n", true },
		{ "of another type", "Content-Type: text/plain\r\n\r\n",
				"Content-Type: message/global\r\n", false },
		{ "of no type", "Subject: x\r\n\r\n",
				"Content-Type: message/global\r\n", false },
		{ "headers only", "Content-Type: multipart/report\r\n\r\n",
				"Content-Type: message/global-headers\r\n", false },
		{ "a report of delivery", "Content-Type: multipart/report\r\n\r\n",
				"Content-Type: message/global-delivery-status;\r\n",
				false },
		{ "a message", "Content-Type: multipart/mixed\r\n\r\n",
				"Content-Type: message/rfc822\r\n", false },
		{ "another field", "Content-Type: multipart/mixed\r\n\r\n",
				"X-Content-Type: message/global\r\n", false },
		{ "a body that talks of it", "Content-Type: multipart/mixed\r\n\r\n",
				"message/global\r\n", false },
		{ "an empty body", "Content-Type: multipart/mixed\r\n\r\n", "", false },
		{ "a mail that travelled: Date",
				"Date: Tue, 1 Dec 2026 04:20:01 +0000\r\n"
				"Content-Type: multipart/mixed\r\n\r\n",
				"Content-Type: message/global\r\n", false },
		{ "a mail that travelled: Received",
				"Received: from x\r\nContent-Type: multipart/mixed\r\n\r\n",
				"Content-Type: message/global\r\n", false },
		{ "a mail that travelled: Message-ID",
				"Message-ID: <1@x.test>\r\n"
				"Content-Type: multipart/mixed\r\n\r\n",
				"Content-Type: message/global\r\n", false },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span start = span_of(rows[i].start);

		header_of(w, rows[i].header);
		if (reading_replaced(&w->r, start) != rows[i].notice)
			fail_msg("%s", rows[i].what);
		/* What the relay has a part of, and what we wrote ourselves, is none. */
		w->r.begun = true;
		assert_false(reading_replaced(&w->r, start));
		w->r.begun = false;
		w->r.key = SPAN(" notice uid-1");
		assert_false(reading_replaced(&w->r, start));
		w->r.key = SPAN("");
	}
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(what_is_as_long_as_list_says_or_longer_is_whole),
		IN_WORLD(a_little_short_twice_is_believed_in_the_same_session),
		IN_WORLD(by_how_much_list_is_off_may_grow_with_the_message),
		IN_WORLD(lines_that_list_counts_are_no_share_of_a_message),
		IN_WORLD(much_short_is_believed_at_the_next_poll),
		IN_WORLD(what_comes_with_another_length_each_time_is_left),
		IN_WORLD(a_nameless_message_is_asked_for_once_more),
		IN_WORLD(what_has_no_body_is_asked_for_again_in_any_case),
		IN_WORLD(a_notice_is_known_by_what_it_holds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
