/* What the store knows of a listing's messages, and what the listing tells the store. The
 * store is a table here: the walk over it is ours. */
#include "../../../src/fetch/known.h"

#include <stdio.h>

#include "../../../src/fetch/print.h"
#include "check.h"
#include "memory.h"
#include "postern/clock.h"

#define SECOND INT64_C(1000)
#define DAY (INT64_C(24) * 3600 * SECOND)
#define NOW (INT64_C(20000) * DAY)

enum { LEAST = 20 };

/* ---- the store ---- */

static const struct origin_row *rows;
static size_t n_rows, at_row;
static bool walk_breaks, clock_breaks;

void
origin_walk(struct reader *r, struct span account)
{
	(void)r;
	assert_true(span_eq(account, SPAN("contoso")));
	at_row = 0;
}

bool
origin_walk_next(struct reader *r, struct origin_row *out)
{
	(void)r;
	if (at_row == n_rows)
		return false;
	*out = rows[at_row++];
	return true;
}

bool
origin_walk_end(struct reader *r, struct err *e)
{
	(void)r;
	return !walk_breaks || err_set(e, 9005, "the disk is gone");
}

bool
reader_steady_ms(struct reader *r, int64_t *out, struct err *e)
{
	(void)r;
	(void)e;
	*out = clock_breaks ? 1 : NOW;
	return !clock_breaks;
}

/* ---- the listing ---- */

struct listed {
	const char *uid; /* "": the server names none */
	unsigned octets;
};

static void
list(struct pop_listing *l, const struct listed *p, size_t n)
{
	struct buf sizes = BUF_MAX(1024 * 1024), uids = BUF_MAX(1024 * 1024);
	struct err err;

	for (size_t i = 0; i < n; i++) {
		assert_true(buf_addf(&sizes, "%zu %u\r\n", i + 1, p[i].octets));
		/* What is no name at all, it is called. */
		assert_true(buf_addf(&uids, "%zu %s\r\n", i + 1,
				p[i].uid[0] ? p[i].uid : "\x80"));
	}
	assert_true(buf_add(&sizes, SPAN(".\r\n")) && buf_add(&uids, SPAN(".\r\n")));
	pop_listing_init(l);
	for (int k = 0; k < 2; k++) {
		struct memory m = { buf_span(k == 0 ? &sizes : &uids), 4096 };
		struct pop_wire w;

		pop_init(&w, memory_stream(&m));
		assert_true(k == 0 ? pop_listing_read_sizes(l, &w, &err)
				   : pop_listing_read_uids(l, &w, &err));
		(void)mailstream_close(w.stream);
	}
	pop_listing_sort(l);
	buf_done(&sizes);
	buf_done(&uids);
}

static struct reader *
the_store(void)
{
	static char some;

	return (struct reader *)(void *)&some;
}

static void
look(struct pop_known *k, const struct pop_listing *l, struct pop_message *messages,
		const struct origin_row *of, size_t n)
{
	struct err err;

	rows = of;
	n_rows = n;
	for (size_t i = 0; i < l->n; i++)
		messages[i].octets = l->items[i].octets;
	pop_known_init(k);
	assert_true(pop_known_look(k, the_store(), SPAN("contoso"), l, messages, &err));
}

static uint64_t
print_of(unsigned fields, unsigned octets)
{
	return (uint64_t)fields << 40 | octets;
}

static void
check_uids(const struct pop_uids *u, const char *all)
{
	struct buf got = BUF_MAX(4096);

	for (size_t i = 0; i < u->n; i++)
		assert_true(buf_add(&got, u->v[i]) && buf_addc(&got, ' '));
	assert_string_equal(u->n ? buf_cstr(&got) : "", all);
	buf_done(&got);
}

static void
each_message_gets_what_is_known_of_it(void **state)
{
	/* Not in the order of their names. */
	static const struct listed there[] = {
		{ "settled", 100 },
		{ "new", 100 },
		{ "blank", 100 },
		{ "resized", 101 },
		{ "adopted", 100 },
		{ "committed", 100 },
		{ "zz-large", 100 },
	};
	const struct origin_row known[] = {
		{ .uidl = SPAN(" notice zz-gone"),
				.state = ORIGIN_COMMITTED,
				.print = print_of(9, 1) },
		{ .uidl = SPAN(" notice zz-large"),
				.state = ORIGIN_COMMITTED,
				.print = print_of(8, 1) },
		{ .uidl = SPAN("adopted"),
				.state = ORIGIN_ADOPTED,
				.committed_ms = 5 * SECOND },
		{ .uidl = SPAN("blank"), .state = ORIGIN_SETTLED },
		{ .uidl = SPAN("committed"),
				.state = ORIGIN_COMMITTED,
				.id = 7,
				.committed_ms = 7 * SECOND + 999,
				.print = print_of(3, 100) },
		{ .uidl = SPAN("gone"),
				.state = ORIGIN_COMMITTED,
				.print = print_of(2, 100) },
		{ .uidl = SPAN("resized"),
				.state = ORIGIN_COMMITTED,
				.print = print_of(1, 100) },
		{ .uidl = SPAN("settled"),
				.state = ORIGIN_SETTLED,
				.print = print_of(4, 99) },
	};
	static const struct {
		size_t i;
		enum pop_standing known;
		bool changed, told;
	} wants[] = {
		{ 0, POP_SETTLED, false, false },
		{ 1, POP_UNKNOWN, false, false },
		{ 2, POP_SETTLED, false, false },
		{ 3, POP_COMMITTED, true, false },
		{ 4, POP_ADOPTED, false, false },
		{ 5, POP_COMMITTED, false, false },
		{ 6, POP_UNKNOWN, false, true },
	};
	struct pop_message m[7] = { 0 };
	struct pop_listing l;
	struct pop_known k;

	(void)state;
	list(&l, there, 7);
	look(&k, &l, m, known, sizeof(known) / sizeof(known[0]));
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(m[i].known, wants[i].known);
		assert_int_equal(m[i].changed, wants[i].changed);
		assert_int_equal(m[i].told, wants[i].told);
	}
	assert_int_equal(m[5].committed_s, 7);
	assert_int_equal(m[4].committed_s, 5);
	assert_true(m[5].print == print_of(3, 100) && m[0].print == print_of(4, 99));
	assert_int_equal(k.now_ms, NOW);
	assert_int_equal(k.kept, 4); /* adopted, committed, gone, resized */
	assert_int_equal(k.vanished, 1);
	assert_int_equal(k.unknown, 2);
	assert_int_equal(k.here, 2);
	assert_int_equal(k.resized, 1);
	assert_int_equal(k.blank, 1);
	/* A notice is no message. */
	assert_int_equal(k.n_prints, 4);
	for (unsigned f = 1; f <= 4; f++)
		assert_true(pop_known_print(&k, print_of(f, 4711)));
	assert_false(pop_known_print(&k, print_of(8, 1)));
	assert_false(pop_known_print(&k, print_of(5, 1)));
	pop_known_done(&k);
	assert_false(pop_known_print(&k, print_of(1, 100)));
	pop_listing_done(&l);
}

/* What was missed in a complete listing: told once, taken back when it is there again, and
 * forgotten after a week. */
static void
a_complete_listing_tells_what_it_lacks(void **state)
{
	static const struct listed there[] = { { "back", 1 }, { "here", 1 } };
	const struct origin_row known[] = {
		{ .uidl = SPAN(" notice gone"), .state = ORIGIN_COMMITTED },
		{ .uidl = SPAN(" notice long-gone"),
				.state = ORIGIN_COMMITTED,
				.absent = true,
				.absent_ms = NOW - ORIGIN_KEEP_MS },
		{ .uidl = SPAN("back"),
				.state = ORIGIN_COMMITTED,
				.absent = true,
				.absent_ms = NOW - 2 * ORIGIN_KEEP_MS },
		{ .uidl = SPAN("gone"), .state = ORIGIN_COMMITTED },
		{ .uidl = SPAN("here"), .state = ORIGIN_COMMITTED },
		{ .uidl = SPAN("missed-a-week"),
				.state = ORIGIN_SETTLED,
				.absent = true,
				.absent_ms = NOW - ORIGIN_KEEP_MS },
		{ .uidl = SPAN("missed-long"),
				.state = ORIGIN_COMMITTED,
				.absent = true,
				.absent_ms = NOW - ORIGIN_KEEP_MS - DAY },
		{ .uidl = SPAN("missed-nearly-a-week"),
				.state = ORIGIN_COMMITTED,
				.absent = true,
				.absent_ms = NOW - ORIGIN_KEEP_MS + 1 },
		{ .uidl = SPAN("settled"), .state = ORIGIN_SETTLED },
	};
	struct pop_message m[3] = { 0 };
	struct pop_listing l;
	struct pop_known k;

	(void)state;
	list(&l, there, 2);
	look(&k, &l, m, known, sizeof(known) / sizeof(known[0]));
	check_uids(&k.absent, " notice gone gone settled ");
	check_uids(&k.back, "back ");
	check_uids(&k.forget, " notice long-gone missed-a-week missed-long ");
	assert_int_equal(
			k.kept, 2); /* what is known to be absent is not missed again */
	assert_int_equal(k.vanished, 1);
	pop_known_done(&k);
	assert_int_equal(k.absent.n + k.back.n + k.forget.n, 0);
	pop_listing_done(&l);
}

/* One message without a name may be any of those that are missed. */
static void
a_listing_with_a_nameless_message_tells_nothing(void **state)
{
	static const struct listed there[] = { { "back", 1 }, { "", 1 } };
	const struct origin_row known[] = {
		{ .uidl = SPAN("back"), .state = ORIGIN_COMMITTED, .absent = true },
		{ .uidl = SPAN("gone"), .state = ORIGIN_COMMITTED },
		{ .uidl = SPAN("missed"), .state = ORIGIN_COMMITTED, .absent = true },
	};
	struct pop_message m[2] = { 0 };
	struct pop_listing l;
	struct pop_known k;

	(void)state;
	list(&l, there, 2);
	assert_int_equal(l.unnamed, 1);
	look(&k, &l, m, known, 3);
	assert_int_equal(k.absent.n + k.back.n + k.forget.n, 0);
	assert_int_equal(m[0].known, POP_COMMITTED);
	assert_int_equal(k.unknown, 1);
	pop_known_done(&k);
	pop_listing_done(&l);
}

/* A mailbox that was emptied: what is more than that comes with the next poll. */
static void
what_a_listing_lacks_is_told_in_parts(void **state)
{
	enum { MANY = KNOWN_CHANGES + 5, SIZE = 8 };
	struct origin_row *many = calloc(MANY, sizeof(*many));
	char *names = calloc(MANY, SIZE);
	struct pop_listing l;
	struct pop_known k;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		char *name = names + i * SIZE;

		(void)snprintf(name, SIZE, "%06zu", i);
		many[i] = (struct origin_row){ .uidl = span_of(name),
			.state = ORIGIN_COMMITTED,
			.print = print_of((unsigned)(MANY - i), 1) };
	}
	list(&l, NULL, 0);
	look(&k, &l, NULL, many, MANY);
	assert_int_equal(k.absent.n, KNOWN_CHANGES);
	assert_true(span_eq(k.absent.v[0], SPAN("000000")));
	assert_true(span_eq(k.absent.v[KNOWN_CHANGES - 1], SPAN("099999")));
	assert_int_equal(k.vanished, MANY);
	assert_int_equal(k.n_prints, MANY);
	for (unsigned f = 1; f <= MANY; f += 1000)
		assert_true(pop_known_print(&k, print_of(f, 1)));
	pop_known_done(&k);
	pop_listing_done(&l);
	free(many);
	free(names);
}

static void
what_cannot_be_read_to_its_end_is_said(void **state)
{
	struct pop_listing l;
	struct pop_known k;
	struct err err;

	(void)state;
	list(&l, NULL, 0);
	n_rows = 0;
	walk_breaks = true;
	pop_known_init(&k);
	assert_false(pop_known_look(&k, the_store(), SPAN("contoso"), &l, NULL, &err));
	assert_int_equal(err.event, 9005);
	walk_breaks = false;
	pop_known_done(&k);
	pop_listing_done(&l);
}

/* Without a store, or one that cannot tell, the wall clock. */
static void
there_is_always_a_time(void **state)
{
	int64_t before = clock_wall_ms();

	(void)state;
	assert_int_equal(pop_steady_ms(the_store()), NOW);
	assert_true(pop_steady_ms(NULL) >= before);
	clock_breaks = true;
	assert_true(pop_steady_ms(the_store()) >= before);
	clock_breaks = false;
}

static void
a_notice_has_a_key_of_its_own(void **state)
{
	const size_t longest = KNOWN_KEY_MAX - strlen(" notice ");
	struct buf key = BUF_MAX(1024), small = BUF_MAX(10), smallest = BUF_MAX(2);
	char uid[KNOWN_KEY_MAX];

	(void)state;
	memset(uid, 'u', sizeof(uid));
	for (int again = 0; again < 2; again++) {
		assert_true(pop_known_notice_key(SPAN("uid-1"), &key));
		assert_string_equal(buf_cstr(&key), " notice uid-1");
	}
	assert_false(pop_known_notice_key(SPAN(""), &key));
	assert_true(pop_known_notice_key((struct span){ uid, longest }, &key));
	assert_int_equal(key.n, KNOWN_KEY_MAX);
	assert_false(pop_known_notice_key((struct span){ uid, longest + 1 }, &key));
	assert_false(pop_known_notice_key(SPAN("uid-1"), &small));
	assert_false(pop_known_notice_key(SPAN("u"), &smallest));
	buf_done(&key);
	buf_done(&small);
	buf_done(&smallest);
}

static void
listings_that_are_not_what_they_should_be(void **state)
{
	const struct {
		const char *what;
		struct pop_known k;
		bool storm, recounted, blank;
	} rows_of[] = {
		{ "nothing known", { .unknown = 500 }, false, false, false },
		{ "few are known",
				{ .unknown = 500,
						.n_prints = LEAST - 1,
						.kept = 25,
						.vanished = 25 },
				false, false, false },
		{ "few are new",
				{ .unknown = LEAST - 1,
						.n_prints = LEAST,
						.kept = 25,
						.vanished = 25 },
				false, false, false },
		{ "all that was kept vanished",
				{ .unknown = LEAST,
						.n_prints = 1000,
						.kept = 100,
						.vanished = 100 },
				true, false, false },
		{ "nine of ten did",
				{ .unknown = LEAST,
						.n_prints = 1000,
						.kept = 100,
						.vanished = 90 },
				true, false, false },
		{ "a little less",
				{ .unknown = LEAST,
						.n_prints = 1000,
						.kept = 100,
						.vanished = 89 },
				false, false, false },
		{ "just enough to tell, and most of it is new",
				{ .unknown = LEAST, .n_prints = LEAST }, true, false,
				false },
		{ "hardly anything was kept",
				{ .unknown = LEAST,
						.n_prints = 1000,
						.kept = LEAST,
						.vanished = LEAST },
				false, false, false },
		{ "just enough was",
				{ .unknown = LEAST,
						.n_prints = 1000,
						.kept = LEAST + 1,
						.vanished = LEAST + 1 },
				true, false, false },
		{ "half as many came as are known", { .unknown = 50, .n_prints = 100 },
				true, false, false },
		{ "fewer", { .unknown = 49, .n_prints = 100 }, false, false, false },
		{ "many were counted anew", { .resized = LEAST, .here = 2 * LEAST },
				false, true, false },
		{ "too few to tell", { .resized = LEAST - 1, .here = LEAST }, false,
				false, false },
		{ "less than half", { .resized = LEAST, .here = 2 * LEAST + 1 }, false,
				false, false },
		{ "back from a backup", { .blank = LEAST }, false, false, true },
		{ "some of it", { .blank = LEAST - 1 }, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows_of) / sizeof(rows_of[0]); i++)
		if (pop_known_storm(&rows_of[i].k) != rows_of[i].storm ||
				pop_known_recounted(&rows_of[i].k) !=
						rows_of[i].recounted ||
				pop_known_blank(&rows_of[i].k) != rows_of[i].blank)
			fail_msg("%s", rows_of[i].what);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_message_gets_what_is_known_of_it),
		cmocka_unit_test(a_complete_listing_tells_what_it_lacks),
		cmocka_unit_test(a_listing_with_a_nameless_message_tells_nothing),
		cmocka_unit_test(what_a_listing_lacks_is_told_in_parts),
		cmocka_unit_test(what_cannot_be_read_to_its_end_is_said),
		cmocka_unit_test(there_is_always_a_time),
		cmocka_unit_test(a_notice_has_a_key_of_its_own),
		cmocka_unit_test(listings_that_are_not_what_they_should_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
