#include "check.h"

#include <string.h>

#include "postern/conf_load.h"
#include "postern/window.h"

enum {
	H = 60,
	D = WINDOW_DAY,
	MON = 0,
	TUE = D,
	WED = 2 * D,
	THU = 3 * D,
	FRI = 4 * D,
	SAT = 5 * D,
	SUN = 6 * D,
	END = WINDOW_WEEK
};

struct taken {
	const char *text;
	size_t n;
	struct conf_hours hours[8];
};

static const struct taken taken[] = {
	{ "Mon 07:00-20:00", 1, { { MON + 7 * H, MON + 20 * H } } },
	{ "monday 7:00-20:00", 1, { { MON + 7 * H, MON + 20 * H } } },
	{ " SUN  07:05 - 07:06 ", 1, { { SUN + 7 * H + 5, SUN + 7 * H + 6 } } },
	{ "Mon-Tue 07:00-20:00", 2,
			{ { MON + 7 * H, MON + 20 * H },
					{ TUE + 7 * H, TUE + 20 * H } } },
	{ "Mon - Tuesday 07:00-20:00", 2,
			{ { MON + 7 * H, MON + 20 * H },
					{ TUE + 7 * H, TUE + 20 * H } } },
	{ "Mon, Wed 07:00-08:00", 2,
			{ { MON + 7 * H, MON + 8 * H },
					{ WED + 7 * H, WED + 8 * H } } },
	{ "Mon 07:00-08:00; Wed 09:00-10:00", 2,
			{ { MON + 7 * H, MON + 8 * H },
					{ WED + 9 * H, WED + 10 * H } } },
	/* The order of the text does not matter, and what touches is one. */
	{ "Wed 09:00-10:00, Mon 07:00-08:00, Mon 08:00-09:00, Mon 07:30-07:40", 2,
			{ { MON + 7 * H, MON + 9 * H },
					{ WED + 9 * H, WED + 10 * H } } },
	/* Round the week. */
	{ "Sat-Mon 10:00-11:00", 3,
			{ { MON + 10 * H, MON + 11 * H },
					{ SAT + 10 * H, SAT + 11 * H },
					{ SUN + 10 * H, SUN + 11 * H } } },
	/* Past midnight: of the day it begins on. */
	{ "Fri 22:00-06:00", 1, { { FRI + 22 * H, SAT + 6 * H } } },
	{ "Sun 22:00-06:00", 2, { { MON, MON + 6 * H }, { SUN + 22 * H, END } } },
	{ "Sun 22:00-00:00", 1, { { SUN + 22 * H, END } } },
	{ "Sun 22:00-24:00", 1, { { SUN + 22 * H, END } } },
	{ "Mon 00:00-24:00", 1, { { MON, TUE } } },
	{ "Mon-Fri 00:00-24:00", 1, { { MON, SAT } } },
	{ "00:00-24:00", 1, { { MON, END } } },
	{ "Mon-Sun 00:00-24:00", 1, { { MON, END } } },
	{ "12:00-11:00", 8,
			{ { MON, MON + 11 * H }, { MON + 12 * H, TUE + 11 * H },
					{ TUE + 12 * H, WED + 11 * H },
					{ WED + 12 * H, THU + 11 * H },
					{ THU + 12 * H, FRI + 11 * H },
					{ FRI + 12 * H, SAT + 11 * H },
					{ SAT + 12 * H, SUN + 11 * H },
					{ SUN + 12 * H, END } } },
};

struct refused {
	const char *text, *wrong, *why;
};

static const struct refused refused[] = {
	{ "", "", "days and hours" },
	{ "always", "always", "a day" },
	{ "Mon", "Mon", "hours behind these days" },
	{ "Mon 07:00-08:00, Sat", "Sat", "hours behind these days" },
	{ "Mon 07:00-08:00,", "", "days and hours" },
	{ "Mon 07:00-08:00,,Tue 07:00-08:00", "", "days and hours" },
	{ "Mon 07:00-08:00, 09:00-10:00", "09:00-10:00", "days before these hours" },
	{ "Mo 07:00-08:00", "Mo 07:00-08:00", "a day" },
	{ "Mond 07:00-08:00", "Mond 07:00-08:00", "a day" },
	{ "Mon- 07:00-08:00", "Mon- 07:00-08:00", "a day" },
	{ "Mon-Tue-Wed 07:00-08:00", "Mon-Tue-Wed 07:00-08:00", "a day" },
	{ "Mon 7-8", "Mon 7-8", "hours such as" },
	{ "Mon 07:00", "Mon 07:00", "hours such as" },
	{ "Mon 07:00-", "Mon 07:00-", "hours such as" },
	{ "Mon 07:00-08:00-09:00", "Mon 07:00-08:00-09:00", "hours such as" },
	{ "Mon 07:0-08:00", "Mon 07:0-08:00", "hours such as" },
	{ "Mon 007:00-08:00", "Mon 007:00-08:00", "hours such as" },
	{ "Mon 07:60-08:00", "Mon 07:60-08:00", "hours such as" },
	{ "Mon 07:00-24:01", "Mon 07:00-24:01", "hours such as" },
	{ "Mon 07:00-25:00", "Mon 07:00-25:00", "hours such as" },
	{ "Mon 24:00-08:00", "Mon 24:00-08:00", "hours that begin" },
	{ "Mon 08:00-08:00", "Mon 08:00-08:00", "hours that end" },
	{ "Mon 07:00-08:00 Tue 07:00-08:00", "Mon 07:00-08:00 Tue 07:00-08:00",
			"hours such as" },
	{ "Tue 07:00-08:00, Mon 07.00-08.00", "Mon 07.00-08.00", "hours such as" },
};

static void
texts_are_taken(void **state)
{
	struct arena a = ARENA_MAX(1 << 20);

	(void)state;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		const struct taken *t = &taken[i];
		struct conf_window w = { 0 };
		struct span wrong;
		const char *why = NULL;

		if (!window_parse(span_of(t->text), &a, &w, &wrong, &why))
			fail_msg("%s: %s", t->text, why);
		if (w.n != t->n)
			fail_msg("%s: %zu parts, not %zu", t->text, w.n, t->n);
		for (size_t k = 0; k < w.n; k++)
			if (w.p[k].from != t->hours[k].from ||
					w.p[k].to != t->hours[k].to)
				fail_msg("%s: part %zu is %u-%u", t->text, k,
						w.p[k].from, w.p[k].to);
	}
	arena_done(&a);
}

static void
texts_are_refused(void **state)
{
	struct arena a = ARENA_MAX(1 << 20);

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		const struct refused *t = &refused[i];
		struct conf_window w = { NULL, 99 };
		struct span wrong = { 0 };
		const char *why = "";

		if (window_parse(span_of(t->text), &a, &w, &wrong, &why))
			fail_msg("%s: taken", t->text);
		assert_int_equal(w.n, 99);
		if (!span_eq(wrong, span_of(t->wrong)) || !strstr(why, t->why))
			fail_msg("%s: \"%.*s\": %s", t->text, (int)wrong.n,
					wrong.n ? wrong.p : "", why);
	}
	arena_done(&a);
}

static void
waits_until_it_opens(void **state)
{
	static const struct {
		unsigned minute, wait;
	} waits[] = { { MON, 7 * H }, { MON + 7 * H - 1, 1 }, { MON + 7 * H, 0 },
		{ MON + 20 * H - 1, 0 }, { MON + 20 * H, 28 * H }, { WED, 0 },
		{ WED + H, END - WED - H + 7 * H }, { END - 1, 7 * H + 1 } };
	struct arena a = ARENA_MAX(1 << 20);
	struct conf_window w, always = { NULL, 0 };
	struct span wrong;
	const char *why;

	(void)state;
	assert_true(window_parse(SPAN("Mon 07:00-20:00, Wed 00:00-01:00"), &a, &w,
			&wrong, &why));
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		assert_int_equal(window_wait(&w, waits[i].minute), waits[i].wait);
		assert_int_equal(window_wait(&always, waits[i].minute), 0);
	}
	arena_done(&a);
}

/* The fault names the place, the part and what is expected. */
static void
a_file_is_told_what_is_wrong(void **state)
{
	static struct conf_faults faults;
	struct buf said = BUF_MAX(4096);
	struct conf_source src = { .path = "p.yaml",
		.text = SPAN("accounts:\n  a:\n    type: global\n    server: pop.isp.test\n"
			     "    user: u\n    password: { env: P }\n"
			     "    window: \"Mon-Fri 07:00-20:00, Sat 9-12\"\n") };

	(void)state;
	conf_faults_init(&faults);
	assert_null(conf_parse(&src, &faults));
	assert_int_equal(faults.n, 1);
	assert_true(conf_fault_print(&faults.list[0], &said));
	assert_string_equal(buf_cstr(&said),
			"p.yaml:7:13: error: accounts.a.window: expected hours such as "
			"07:00-20:00, not \"Sat 9-12\" (at character 22)\n"
			"    hint: Mon-Fri 07:00-20:00, Sat 09:00-12:00\n");
	buf_done(&said);
	conf_faults_done(&faults);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_taken),
		cmocka_unit_test(texts_are_refused),
		cmocka_unit_test(waits_until_it_opens),
		cmocka_unit_test(a_file_is_told_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
