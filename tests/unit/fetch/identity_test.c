/* Is what is listed still what its unique-id stood for? The header and what was kept of it
 * decide; the session and the store are tables here. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../src/fetch/message.h"
#include "../../../src/fetch/print.h"
#include "check.h"
#include "postern/origin.h"

#define NOW INT64_C(2000000000000)

enum { OCTETS = 500, MANY = 1003, WINDOW = 1000, KEEP_S = 100 };

static const char head_a[] = "Subject: s\r\nMessage-ID: <a@x.test>\r\n\r\n";
static const char head_b[] = "Subject: s\r\nMessage-ID: <b@x.test>\r\n\r\n";
static const char bare[] = "Subject: alarm\r\n\r\n"; /* one is like the other */

static struct world {
	struct conf_account account;
	struct fetch_memo memo;
	struct fetch_poll poll;
	struct pop_session s;
	struct pop_message messages[MANY + 1];
	struct pop_listed listed[MANY + 1];
	struct reading r;
	bool nameless, recounted;
	char key[200];
	/* The store. */
	enum origin_state state;
	int64_t since_ms;
	bool look_fails, since_fails;
	int error, event;
	unsigned looks;
	/* The server. */
	const char *heads[MANY + 1]; /* NULL: it has none to give */
	size_t asked[MANY + 1], n_asked, n_read, most;
	size_t send_fails, read_fails; /* at so many, from 1 */
	unsigned flushes, progress;
	bool flush_fails;
} w;

bool
origin_look(struct reader *r, struct span account, struct span uidl,
		enum origin_state *out, uint64_t *id, struct err *e)
{
	assert_ptr_equal(r, w.poll.reader);
	assert_null(id);
	assert_true(span_eq(account, SPAN("contoso")));
	assert_true(span_eq(uidl, span_of(w.key)));
	w.looks++;
	*out = w.state;
	return !w.look_fails || err_set(e, w.error, "it broke");
}

bool
origin_since(struct reader *r, struct span account, struct span uidl, int64_t *out,
		struct err *e)
{
	assert_ptr_equal(r, w.poll.reader);
	assert_true(span_eq(account, SPAN("contoso")));
	assert_true(span_eq(uidl, span_of(w.key)));
	*out = w.since_ms;
	return !w.since_fails || err_set(e, w.error, "it broke");
}

int64_t
pop_steady_ms(struct reader *r)
{
	assert_ptr_equal(r, w.poll.reader);
	return NOW;
}

bool
pop_known_recounted(const struct pop_known *k)
{
	assert_ptr_equal(k, &w.s.known);
	return w.recounted;
}

struct span
pop_listing_uid(const struct pop_listing *l, size_t i)
{
	(void)l;
	(void)i;
	return w.nameless ? SPAN("") : SPAN("uid");
}

struct span
pop_key(const struct pop_session *s, size_t i)
{
	(void)i;
	return w.key[0] ? span_of(w.key) : pop_listing_uid(&s->listing, i);
}

void
pop_set_key(struct pop_session *s, size_t i, const char *key)
{
	(void)s;
	(void)i;
	(void)snprintf(w.key, sizeof(w.key), "%s", key ? key : "");
}

bool
pop_fail(struct pop_session *s, int event, const char *fmt, ...)
{
	(void)s;
	(void)fmt;
	w.event = event;
	return false;
}

bool
pop_peek_send(struct pop_session *s, size_t i)
{
	(void)s;
	w.asked[w.n_asked++] = i;
	w.most = w.n_asked - w.n_read > w.most ? w.n_asked - w.n_read : w.most;
	return w.n_asked != w.send_fails;
}

bool
pop_peek_read(struct pop_session *s, size_t i, bool *got)
{
	/* In the order in which they were asked for, and not before they went out. */
	assert_true(w.n_read < w.n_asked && w.flushes > 0);
	assert_int_equal(w.asked[w.n_read++], i);
	*got = w.heads[i] != NULL;
	buf_clear(&s->head);
	assert_true(!*got || buf_add(&s->head, span_of(w.heads[i])));
	return w.n_read != w.read_fails;
}

bool
pop_flush(struct pop_session *s)
{
	(void)s;
	w.flushes++;
	return !w.flush_fails;
}

void
pop_progress(struct pop_session *s)
{
	(void)s;
	w.progress++;
}

static void
start(const char *head)
{
	static const uint64_t seed[2] = { 1, 2 };
	static char the_reader;

	fetch_memo_done(&w.memo);
	buf_done(&w.s.head);
	memset(&w, 0, sizeof(w));
	fetch_memo_init(&w.memo, seed);
	w.poll.memo = &w.memo;
	w.poll.account = &w.account;
	w.poll.name = SPAN("contoso");
	w.poll.reader = (struct reader *)(void *)&the_reader;
	w.s.poll = &w.poll;
	w.s.messages = w.messages;
	w.s.listing.items = w.listed;
	w.s.listing.n = 1;
	w.s.head = BUF_MAX(4096);
	w.s.caps.top = w.s.caps.pipelining = true;
	assert_true(buf_add(&w.s.head, span_of(head)));
	w.listed[0].octets = w.messages[0].octets = OCTETS;
	w.r.s = &w.s;
	w.r.octets = OCTETS;
}

/* ---- by its content ---- */

static void
a_message_without_a_name_is_told_by_header_and_size(void **state)
{
	char first[sizeof(w.key)];

	(void)state;
	start(head_a);
	w.nameless = true;
	assert_true(reading_name(&w.r));
	assert_int_equal(w.looks, 1);
	memcpy(first, w.key, sizeof(first));
	assert_memory_equal(first, "sha256:", 7);
	assert_string_equal(strrchr(first, ':'), ":500");
	assert_true(strlen(first) > 7 + 60);
	assert_true(reading_name(&w.r));
	assert_string_equal(w.key, first);
	start(head_b);
	w.nameless = true;
	assert_true(reading_name(&w.r));
	assert_string_not_equal(w.key, first);
	assert_string_equal(strrchr(w.key, ':'), ":500");
	/* One that has a name needs no other. */
	start(head_a);
	assert_true(reading_name(&w.r));
	assert_int_equal(w.looks, 0);
	assert_string_equal(w.key, "");
	assert_false(w.r.drop || w.r.doubt);
	/* Without a store everything is new. */
	start(head_a);
	w.nameless = true;
	w.poll.reader = NULL;
	assert_true(reading_name(&w.r));
	assert_int_equal(w.looks, 0);
	assert_false(w.r.drop);
	assert_string_equal(w.key, first);
}

static void
what_is_known_by_its_content_comes_no_more(void **state)
{
	static const struct {
		const char *what;
		enum origin_state state;
		int64_t keep_s, since_ms;
		bool drop, durable;
	} rows[] = {
		{ "new", ORIGIN_NEW, 0, 0, false, false },
		{ "new, and kept for a time", ORIGIN_NEW, KEEP_S, 0, false, false },
		{ "here", ORIGIN_COMMITTED, 0, NOW, true, true },
		{ "here, and kept for ever", ORIGIN_COMMITTED, -1, 0, true, false },
		{ "kept for a time that is not over", ORIGIN_COMMITTED, KEEP_S,
				NOW - KEEP_S * 1000 + 1, true, false },
		{ "kept for a time", ORIGIN_COMMITTED, KEEP_S, NOW - KEEP_S * 1000,
				true, true },
		{ "deleted before", ORIGIN_SETTLED, 0, NOW, true, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(head_a);
		w.nameless = true;
		w.state = rows[i].state;
		w.since_ms = rows[i].since_ms;
		w.account.keep_s = rows[i].keep_s;
		assert_true(reading_name(&w.r));
		if (w.r.drop != rows[i].drop ||
				w.messages[0].durable != rows[i].durable)
			fail_msg("%s", rows[i].what);
	}
}

static void
where_the_store_cannot_be_asked_the_session_ends(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++) {
		start(head_a);
		w.nameless = true;
		w.state = ORIGIN_COMMITTED;
		w.look_fails = how & 1;
		w.since_fails = !w.look_fails;
		w.error = how & 2 ? 9001 : 0;
		assert_false(reading_name(&w.r));
		assert_int_equal(w.event, how & 2 ? 9001 : 9005);
		assert_false(w.r.drop || w.messages[0].durable);
	}
}

/* ---- by what was kept of it ---- */

enum is { SAME, DOUBT, OTHER };

static void
the_header_and_the_size_decide(void **state)
{
	static const struct {
		const char *what, *before, *now;
		enum pop_standing known;
		unsigned octets; /* when the print was made */
		bool changed, recounted;
		enum is is;
	} rows[] = {
		{ "deleted, and listed again", head_a, head_a, POP_SETTLED, OCTETS,
				false, false, SAME },
		{ "another one under a used name", head_a, head_b, POP_SETTLED, OCTETS,
				false, false, OTHER },
		{ "a header that proves nothing", bare, bare, POP_SETTLED, OCTETS,
				false, false, OTHER },
		{ "the same, but not deleted", bare, bare, POP_COMMITTED, OCTETS, true,
				false, SAME },
		{ "of another size", head_a, head_a, POP_SETTLED, OCTETS + 1, false,
				false, DOUBT },
		{ "of another size, here", head_a, head_a, POP_COMMITTED, OCTETS + 1,
				true, false, DOUBT },
		{ "where all sizes changed", head_a, head_a, POP_COMMITTED, OCTETS + 1,
				true, true, SAME },
		{ "where all sizes changed, but this did not", head_a, head_a,
				POP_SETTLED, OCTETS + 1, false, true, DOUBT },
		{ "where all sizes changed, and it is another", head_a, head_b,
				POP_COMMITTED, OCTETS + 1, true, true, OTHER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pop_message *m = &w.messages[0];

		start(rows[i].now);
		m->fate = POP_VERIFY;
		m->known = (uint8_t)rows[i].known;
		m->changed = rows[i].changed;
		m->print = pop_print(span_of(rows[i].before), rows[i].octets);
		w.recounted = rows[i].recounted;
		assert_true(reading_name(&w.r));
		bool same = rows[i].is == SAME;
		if (w.r.drop != same || w.r.doubt != (rows[i].is == DOUBT) ||
				w.looks != !same || (w.key[0] == '\0') != same)
			fail_msg("%s", rows[i].what);
		assert_int_equal(w.s.kept_again, same && rows[i].known == POP_SETTLED);
	}
}

static void
it_is_deleted_again_or_by_its_age(void **state)
{
	static const struct {
		const char *what;
		bool changed;
		int64_t keep_s, age_s;
		bool durable;
	} rows[] = {
		{ "deleted before", false, 0, 0, true },
		{ "deleted before, kept for a time now", false, KEEP_S, 0, true },
		{ "deleted before, kept for ever now", false, -1, 9 * KEEP_S, false },
		{ "only of another size", true, 0, 0, true },
		{ "and kept for a time", true, KEEP_S, KEEP_S - 1, false },
		{ "which is over", true, KEEP_S, KEEP_S, true },
		{ "and kept for ever", true, -1, 9 * KEEP_S, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int nameless = 0; nameless < 2; nameless++) {
			struct pop_message *m = &w.messages[0];

			start(head_a);
			w.nameless = nameless;
			m->fate = POP_VERIFY;
			m->known = rows[i].changed ? POP_COMMITTED : POP_SETTLED;
			m->changed = rows[i].changed;
			m->committed_s = (uint32_t)(NOW / 1000 - rows[i].age_s);
			m->print = pop_print(span_of(head_a), OCTETS);
			w.account.keep_s = rows[i].keep_s;
			assert_true(reading_name(&w.r));
			assert_true(w.r.drop);
			if (m->durable != rows[i].durable)
				fail_msg("%s", rows[i].what);
			/* It need not be looked at another time. */
			const struct memo_message *memo =
					fetch_memo_find(&w.memo, SPAN("uid"));
			assert_int_equal(memo && memo->verified,
					rows[i].changed && !nameless);
		}
	}
}

/* LIST told wrong then: what came has the size that was kept. */
static void
a_doubt_ends_with_the_message(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++) {
		start(head_a);
		w.messages[0].known = POP_SETTLED;
		w.messages[0].print = pop_print(span_of(head_a), OCTETS + 7);
		w.r.doubt = how != 1;
		w.r.drop = how == 2;
		w.r.octets = how == 3 ? OCTETS : OCTETS + 7;
		(void)snprintf(w.key, sizeof(w.key), "sha256:...");
		assert_int_equal(reading_is_known(&w.r), how == 0);
		assert_int_equal(w.poll.result.known, how == 0);
		assert_int_equal(w.messages[0].durable, how == 0);
		assert_int_equal(w.key[0] == '\0', how == 0);
		assert_int_equal(w.s.kept_again, how == 0);
	}
}

/* ---- before a deletion without RETR ---- */

static void
what_is_owed_is_compared_first(void **state)
{
	static const struct {
		const char *what, *before, *now;
		enum pop_fate fate;
		enum pop_standing known;
		int64_t keep_s;
		bool asked;
		enum pop_fate then;
	} rows[] = {
		{ "owed", head_a, head_a, POP_DELETE, POP_COMMITTED, 0, true,
				POP_DELETE },
		{ "another one by now", head_a, head_b, POP_DELETE, POP_COMMITTED, 0,
				true, POP_VERIFY },
		{ "not to be had", head_a, NULL, POP_DELETE, POP_COMMITTED, 0, true,
				POP_DELETE },
		{ "kept until now", head_a, head_b, POP_DELETE, POP_COMMITTED, KEEP_S,
				false, POP_DELETE },
		{ "nothing was kept of it", NULL, head_a, POP_DELETE, POP_COMMITTED, 0,
				false, POP_DELETE },
		{ "undone", head_a, head_a, POP_VERIFY, POP_SETTLED, 0, true,
				POP_DELETE },
		{ "undone, kept for a time", head_a, head_a, POP_VERIFY, POP_SETTLED,
				KEEP_S, true, POP_DELETE },
		{ "its name is another's", head_a, head_b, POP_VERIFY, POP_SETTLED, 0,
				true, POP_VERIFY },
		{ "two alarms", bare, bare, POP_VERIFY, POP_SETTLED, 0, true,
				POP_VERIFY },
		{ "undone, not to be had", head_a, NULL, POP_VERIFY, POP_SETTLED, 0,
				true, POP_VERIFY },
		{ "of another size, here", head_a, head_a, POP_VERIFY, POP_COMMITTED, 0,
				false, POP_VERIFY },
		{ "deleted, and left for today", head_a, head_a, POP_LEAVE, POP_SETTLED,
				0, false, POP_LEAVE },
		{ "here, and to be left", head_a, head_b, POP_LEAVE, POP_COMMITTED, 0,
				false, POP_LEAVE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pop_message *m = &w.messages[0];

		start("");
		m->fate = (uint8_t)rows[i].fate;
		m->known = (uint8_t)rows[i].known;
		m->print = rows[i].before ? pop_print(span_of(rows[i].before), OCTETS)
					  : 0;
		w.account.keep_s = rows[i].keep_s;
		w.heads[0] = rows[i].now;
		w.s.plan.delete = w.s.plan.verify = 5;
		assert_true(pop_owed_prove(&w.s));
		if (w.n_asked != rows[i].asked || m->fate != rows[i].then)
			fail_msg("%s", rows[i].what);
		assert_int_equal(w.n_read, w.n_asked);
		assert_int_equal(w.flushes, w.n_asked);
		int moved = (rows[i].then == POP_DELETE) - (rows[i].fate == POP_DELETE);
		assert_int_equal((int)w.s.plan.delete, 5 + moved);
		assert_int_equal((int)w.s.plan.verify, 5 - moved);
		assert_int_equal(w.s.kept_again, moved > 0);
		assert_int_equal(w.s.stage, POP_AT_RETR);
	}
}

/* Every one is owed but the third; what lies behind the last one is nobody's. */
static void
many_owed(size_t n)
{
	start("");
	w.s.listing.n = n;
	w.s.plan.delete = n - 1;
	for (size_t i = 0; i <= n; i++) {
		w.messages[i] = (struct pop_message){ .known = POP_COMMITTED,
			.fate = i == 2 ? POP_LEAVE : POP_DELETE,
			.octets = OCTETS,
			.print = pop_print(span_of(head_a), OCTETS) };
		w.heads[i] = head_a;
	}
}

static void
headers_are_asked_for_in_windows(void **state)
{
	(void)state;
	many_owed(MANY);
	assert_true(pop_owed_prove(&w.s));
	assert_int_equal(w.n_read, MANY - 1);
	assert_int_equal(w.most, WINDOW);
	assert_int_equal(w.flushes, 2);
	assert_true(w.progress >= 2);
	many_owed(20);
	w.s.caps.pipelining = false;
	assert_true(pop_owed_prove(&w.s));
	assert_int_equal(w.n_read, 19);
	assert_int_equal(w.most, 1);
	assert_int_equal(w.flushes, 19);
	/* No TOP, or nothing to be proved: nothing is said. */
	many_owed(20);
	w.s.caps.top = false;
	assert_true(pop_owed_prove(&w.s));
	assert_int_equal(w.n_asked + w.flushes, 0);
	many_owed(20);
	w.s.plan.delete = 0;
	assert_true(pop_owed_prove(&w.s));
	assert_int_equal(w.n_asked + w.flushes, 0);
	many_owed(20);
	w.messages[5].fate = POP_VERIFY;
	w.messages[5].known = POP_SETTLED;
	w.s.plan.delete = 0;
	w.s.plan.verify = 1;
	assert_true(pop_owed_prove(&w.s));
	assert_int_equal(w.n_asked, 19);
}

static void
where_the_server_fails_nothing_more_is_asked(void **state)
{
	(void)state;
	for (size_t n = 1; n < 8; n++) {
		many_owed(9);
		w.send_fails = n;
		assert_false(pop_owed_prove(&w.s));
		assert_int_equal(w.n_asked, n);
		assert_int_equal(w.flushes + w.n_read, 0);
		many_owed(9);
		w.read_fails = n;
		assert_false(pop_owed_prove(&w.s));
		assert_int_equal(w.n_read, n);
	}
	many_owed(9);
	w.flush_fails = true;
	assert_false(pop_owed_prove(&w.s));
	assert_int_equal(w.n_read, 0);
	fetch_memo_done(&w.memo);
	buf_done(&w.s.head);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_without_a_name_is_told_by_header_and_size),
		cmocka_unit_test(what_is_known_by_its_content_comes_no_more),
		cmocka_unit_test(where_the_store_cannot_be_asked_the_session_ends),
		cmocka_unit_test(the_header_and_the_size_decide),
		cmocka_unit_test(it_is_deleted_again_or_by_its_age),
		cmocka_unit_test(a_doubt_ends_with_the_message),
		cmocka_unit_test(what_is_owed_is_compared_first),
		cmocka_unit_test(headers_are_asked_for_in_windows),
		cmocka_unit_test(where_the_server_fails_nothing_more_is_asked),
	};
	const uint64_t seed[2] = { 1, 2 };

	fetch_memo_init(&w.memo, seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
