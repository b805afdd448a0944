/* The recipients of one message: what is asked for in which order, and who is in which row. */
#include "house.h"

#include <stdlib.h>
#include <string.h>

#include "postern/roll.h"

enum { ROWS = 64, LINE = 200 };

/* Rows as text: "ann@contoso.test smtp:mail.contoso.test:25 sales@contoso.test, list". */
struct host {
	struct house house;
	struct arena arena;
	struct roll roll;
	char rows[ROWS][LINE];
	size_t n, refuse_put; /* that put fails; 0: none */
	size_t puts, room, asked_room, seeds, refused;
};

static bool
put(void *arg, size_t row, const struct roll_entry *e)
{
	struct host *h = arg;

	h->puts++;
	if (h->refuse_put == h->puts)
		return false;
	assert_true(row <= h->n && row < ROWS);
	h->n += row == h->n;
	AUTO(buf_done) struct buf b = BUF_MAX(LINE - 1);
	if (e->refused)
		assert_true(buf_addf(&b, SPAN_FMT " refused %d for " SPAN_FMT,
				SPAN_ARG(e->address), smtp_refuse(e->why).code,
				SPAN_ARG(e->said)));
	else if (!e->hop)
		assert_true(buf_addf(&b, SPAN_FMT " nobody", SPAN_ARG(e->address)));
	else
		assert_true(buf_addf(&b, SPAN_FMT " %s%s" SPAN_FMT "%s",
				SPAN_ARG(e->address), e->hop->key,
				e->asked.n > 0 ? " " : "", SPAN_ARG(e->asked),
				e->asked_list ? ", list" : ""));
	memcpy(h->rows[row], buf_cstr(&b), b.n + 1);
	return true;
}

static bool
members(void *arg, size_t n)
{
	struct host *h = arg;

	h->asked_room += n;
	return h->asked_room <= h->room;
}

static void
seed(void *arg, uint64_t number[2])
{
	struct host *h = arg;

	h->seeds++;
	number[0] = number[1] = 7;
}

static void
refuse(void *arg, size_t row, enum smtp_refusal why)
{
	struct host *h = arg;

	assert_int_equal(why, SMTP_REFUSE_HOPS);
	assert_int_equal(row, h->refused);
	h->refused++;
}

static const struct roll_calls calls = {
	.put = put, .members = members, .seed = seed, .refuse = refuse
};

static struct host *
host_new(size_t most, bool keeps)
{
	struct host *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	house_open(&h->house);
	h->arena = ARENA_MAX(1024 * 1024);
	h->room = 1000;
	roll_init(&h->roll, &calls, h, &h->arena, most, keeps);
	return h;
}

static void
host_free(struct host *h)
{
	roll_done(&h->roll);
	arena_done(&h->arena);
	house_close(&h->house);
	free(h);
}

/* 250, or the code of the refusal. */
static int
ask(struct host *h, const char *said)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(1024 * 1024);
	enum smtp_refusal why;
	struct rcpt rc;

	assert_true(house_ask(&h->house, said, false, &a, &rc));
	return roll_take(&h->roll, &h->house.rules, &rc, &why) ? 250
							       : smtp_refuse(why).code;
}

#define ANN "ann@contoso.test smtp:mail.contoso.test:25"
#define BOB "bob@contoso.test smtp:mail.contoso.test:25"
#define FAR "far@away.test smtp:mail.away.test:25"
#define NOBODY "nobody@contoso.test refused 550 for nobody@contoso.test"

static void
each_is_there_once_in_whatever_order_they_are_named(void **state)
{
	static const struct {
		const char *said[4], *rows[5];
		bool keeps;
	} cases[] = {
		{ { "ann@contoso.test", "ANN@open.test", "ann@contoso.test" }, { ANN },
				false },
		{ { "ANN@open.test", "ann@contoso.test" }, { ANN " ANN@open.test" },
				false },
		{ { "sales@contoso.test", "ann@contoso.test", "Sales@contoso.test" },
				{ ANN " sales@contoso.test, list",
						FAR " sales@contoso.test, list" },
				false },
		{ { "ann@contoso.test", "sales@contoso.test" },
				{ ANN, FAR " sales@contoso.test, list" }, false },
		{ { "nobody@contoso.test", "bob@contoso.test" }, { BOB }, false },
		{ { "nobody@contoso.test", "bob@contoso.test", "nobody@contoso.test" },
				{ NOBODY, BOB }, true },
		{ { "sales@contoso.test", "crew@contoso.test" },
				{ ANN " sales@contoso.test, list",
						FAR " sales@contoso.test, list",
						BOB " crew@contoso.test, list" },
				true },
		{ { "nobody@contoso.test", "odd@contoso.test", "nobody@contoso.test" },
				{ "nobody@contoso.test smtp:mail.contoso.test:25 "
				  "odd@contoso.test, list",
						ANN " odd@contoso.test, list" },
				true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host *h = host_new(100, cases[i].keeps);
		size_t n = 0;

		for (size_t k = 0; k < 4 && cases[i].said[k]; k++)
			(void)ask(h, cases[i].said[k]);
		while (cases[i].rows[n])
			n++;
		assert_int_equal(h->roll.n, n);
		assert_int_equal(h->n, n);
		for (size_t k = 0; k < n; k++)
			assert_string_equal(h->rows[k], cases[i].rows[k]);
		assert_int_equal(h->seeds, 0); /* few are compared one by one */
		host_free(h);
	}
}

/* The domain takes whoever is unknown now, and it did not a moment ago. */
static void
who_was_refused_and_is_accepted_later_gets_it_in_the_same_row(void **state)
{
	(void)state;
	for (int many = 0; many < 2; many++) {
		struct host *h = host_new(100, true);
		struct directory *strict = h->house.directory;
		struct policy_domain lax[2] = { house_domains[0], house_domains[1] };
		struct directory_rows rows = house_rows;
		char said[40];
		size_t before = many ? 2 * ROLL_FIRST : 2;

		for (size_t i = 0; i < before; i++) {
			(void)snprintf(said, sizeof(said), "u%zu@open.test", i);
			assert_int_equal(ask(h, said), 250);
		}
		assert_int_equal(ask(h, "nobody@contoso.test"), 550);
		assert_string_equal(h->rows[before], NOBODY);
		lax[0].reject_unknown = false;
		rows.domains = lax;
		h->house.rules.directory = h->house.directory = directory_new(&rows);
		assert_int_equal(ask(h, "bob@contoso.test"), 250);
		assert_int_equal(ask(h, "nobody@contoso.test"), 250);
		assert_string_equal(h->rows[before],
				"nobody@contoso.test smtp:mail.contoso.test:25");
		assert_int_equal(h->roll.n, before + 2);
		/* And never back: he has it. */
		directory_free(h->house.directory);
		h->house.rules.directory = h->house.directory = strict;
		assert_int_equal(ask(h, "nobody@contoso.test"), 550);
		assert_string_equal(h->rows[before],
				"nobody@contoso.test smtp:mail.contoso.test:25");
		assert_int_equal(h->roll.n, before + 2);
		assert_int_equal(h->seeds, many);
		host_free(h);
	}
}

static void
many_are_told_apart_as_few_are(void **state)
{
	struct host *h = host_new(ROWS, false);
	char said[40];

	(void)state;
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < 40; i++) {
			(void)snprintf(said, sizeof(said),
					round == 1 ? "U%zu@OPEN.test"
						   : "u%zu@open.test",
					i);
			assert_int_equal(ask(h, said), 250);
		}
	assert_int_equal(h->roll.n, 40);
	assert_int_equal(h->puts, 40);
	assert_int_equal(h->seeds, 1);
	host_free(h);
}

/* n-1, n, n+1 rows; those who are there already need no room. */
static void
there_is_a_most(void **state)
{
	(void)state;
	for (int keeps = 0; keeps < 2; keeps++) {
		struct host *h = host_new(3, keeps);

		assert_int_equal(ask(h, "a@open.test"), 250);
		assert_int_equal(ask(h, "crew@contoso.test"), 250);
		assert_int_equal(h->roll.n, 3);
		assert_int_equal(ask(h, "b@open.test"), 452);
		assert_int_equal(ask(h, "a@open.test"), 250);
		assert_int_equal(ask(h, "ann@open.test"), 250);
		assert_int_equal(ask(h, "sales@contoso.test"), 452); /* one too many */
		assert_int_equal(h->roll.n, 3);
		host_free(h);

		h = host_new(2, keeps);
		assert_int_equal(ask(h, "a@open.test"), 250);
		/* What is one message for good keeps the list's name for Badmail. */
		assert_int_equal(ask(h, "sales@contoso.test"), keeps ? 554 : 452);
		assert_int_equal(h->roll.n, keeps ? 2 : 1);
		if (keeps)
			assert_string_equal(h->rows[1],
					"sales@contoso.test refused 554 for sales@contoso.test");
		host_free(h);

		/* Lists with members in common fit exactly. */
		h = host_new(3, keeps);
		assert_int_equal(ask(h, "sales@contoso.test"), 250);
		assert_int_equal(ask(h, "crew@contoso.test"), 250);
		assert_int_equal(h->roll.n, 3);
		host_free(h);
	}
}

static void
members_of_lists_are_counted_where_memory_is_shared(void **state)
{
	struct host *h = host_new(100, false);

	(void)state;
	h->room = 4;
	assert_int_equal(ask(h, "ann@contoso.test"), 250);
	assert_int_equal(h->asked_room, 0);
	assert_int_equal(ask(h, "sales@contoso.test"), 250);
	assert_int_equal(ask(h, "sales@contoso.test"), 250);
	assert_int_equal(h->roll.members, 2);
	assert_int_equal(ask(h, "crew@contoso.test"), 250);
	assert_int_equal(h->roll.members, 4);
	host_free(h);

	h = host_new(100, true);
	h->room = 1;
	assert_int_equal(ask(h, "sales@contoso.test"), 452); /* BUSY: come again */
	assert_int_equal(h->roll.members + h->roll.n, 0);
	h->room = 100;
	assert_int_equal(ask(h, "sales@contoso.test"), 250);
	assert_int_equal(h->roll.members, 2);
	h->roll.members = ROLL_MEMBERS_MAX - 1; /* by others that overlap */
	assert_int_equal(ask(h, "crew@contoso.test"), 554);
	host_free(h);
}

/* The n-th row cannot be kept: nothing is said that is not so, and asked again it is whole. */
static void
a_row_that_cannot_be_kept_puts_the_client_off(void **state)
{
	static const char *const said[] = { "nobody@contoso.test", "ann@contoso.test",
		"sales@contoso.test", "crew@contoso.test" };

	(void)state;
	for (size_t nth = 1; nth <= 4; nth++) {
		struct host *h = host_new(100, true);
		size_t put_off = 0;

		h->refuse_put = nth;
		for (size_t i = 0; i < 4; i++) {
			int code = ask(h, said[i]);

			put_off += code == 452;
			if (code == 452) /* and comes again */
				code = ask(h, said[i]);
			assert_int_equal(code, i == 0 ? 550 : 250);
		}
		assert_int_equal(put_off, 1);
		assert_int_equal(h->roll.n, 4);
		assert_string_equal(h->rows[0], NOBODY);
		assert_string_equal(h->rows[1], ANN);
		assert_string_equal(h->rows[2], FAR " sales@contoso.test, list");
		assert_string_equal(h->rows[3], BOB " crew@contoso.test, list");
		host_free(h);
	}
}

static void
a_message_that_nobody_gets_has_rows_without_a_next_hop(void **state)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(1024 * 1024);
	struct host *h = host_new(1, true);
	enum smtp_refusal why = SMTP_REFUSE_VERB;
	struct rcpt rc;

	(void)state;
	assert_true(house_ask(&h->house, "x@else.test", false, &a, &rc));
	assert_true(roll_nobody(&h->roll, &rc, &why));
	assert_true(roll_nobody(&h->roll, &rc, &why));
	assert_int_equal(h->n, 1);
	assert_string_equal(h->rows[0], "x@else.test nobody");
	assert_true(house_ask(&h->house, "y@else.test", false, &a, &rc));
	assert_false(roll_nobody(&h->roll, &rc, &why));
	assert_int_equal(why, SMTP_REFUSE_RECIPIENTS);
	host_free(h);
}

static void
the_last_hop_that_may_be_refuses_nobody(void **state)
{
	struct host *h = host_new(100, true);

	(void)state;
	(void)ask(h, "ann@contoso.test");
	(void)ask(h, "nobody@contoso.test");
	assert_false(roll_hops(&h->roll, 29, 30));
	assert_false(roll_hops(&h->roll, 30, 30));
	assert_int_equal(h->refused, 0);
	assert_true(roll_hops(&h->roll, 31, 30));
	assert_int_equal(h->refused, 2);
	host_free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_there_once_in_whatever_order_they_are_named),
		cmocka_unit_test(
				who_was_refused_and_is_accepted_later_gets_it_in_the_same_row),
		cmocka_unit_test(many_are_told_apart_as_few_are),
		cmocka_unit_test(there_is_a_most),
		cmocka_unit_test(members_of_lists_are_counted_where_memory_is_shared),
		cmocka_unit_test(a_row_that_cannot_be_kept_puts_the_client_off),
		cmocka_unit_test(
				a_message_that_nobody_gets_has_rows_without_a_next_hop),
		cmocka_unit_test(the_last_hop_that_may_be_refuses_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
