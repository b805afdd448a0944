/* What the relay keeps an eye on: the wall clock, mail whose domain has left the policies, and
 * the state of the store. */
#include "hand.h"

static int64_t wall, boot;
static unsigned refreshed, tidied;
static bool low;
static struct store_health health;

int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_boot_ms(void);
void __wrap_dispatch_refresh(struct dispatch *d);
void __wrap_control_tidy(struct control *c);
bool __wrap_store_space_look(struct store *s);
struct store_health __wrap_store_health(struct store *s);

int64_t
__wrap_clock_wall_ms(void)
{
	return wall;
}

int64_t
__wrap_clock_boot_ms(void)
{
	return boot;
}

void
__wrap_dispatch_refresh(struct dispatch *d)
{
	(void)d;
	refreshed++;
}

void
__wrap_control_tidy(struct control *c)
{
	(void)c;
	tidied++;
}

bool
__wrap_store_space_look(struct store *s)
{
	(void)s;
	return low;
}

struct store_health
__wrap_store_health(struct store *s)
{
	(void)s;
	return health;
}

static int
watch_up(void **state)
{
	wall = INT64_C(1764500000000);
	boot = 5000000;
	refreshed = tidied = 0;
	low = false;
	health = (struct store_health){ .trouble = STORE_SOUND };
	(void)err_set(&health.err, 9005, "it says why");
	return set_up(state);
}

/* The one job that was handed in, off the list. */
static struct store_job *
job_of(enum store_work work)
{
	assert_false(list_empty(&handed));
	struct store_job *job = LIST_ITEM(handed.next, struct store_job, link);

	assert_ptr_equal(handed.next->next, &handed);
	assert_int_equal(job->work, work);
	list_del(&job->link);
	return job;
}

static void
comes_back(struct store_job *job, enum store_result result, uint64_t changed)
{
	LIST_ITEM(job, struct retiming, job)->changed = changed;
	job->result = result;
	job->done(job->host, job);
}

/* ---- the wall clock ---- */

/* A minute is how clocks are set right; more is said, and back is acted on. */
static void
a_jump_is_said_and_only_back_changes_what_is_due(void **state)
{
	static const struct {
		int64_t by;
		bool said, retimed;
	} cases[] = {
		{ 0, false, false },
		{ 59999, false, false },
		{ -59999, false, false },
		{ 60000, true, false },
		{ -60000, true, true },
		{ INT64_C(86400000) * 3650, true, false },
		{ INT64_C(-86400000) * 3650, true, true },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		clockwatch_start(&g->r);
		comes_back(job_of(STORE_RETIME), STORE_DONE, 0);
		forget(g);
		tidied = 0;
		boot += 1000; /* time that passes is no jump */
		wall += 1000;
		clockwatch_tick(&g->r);
		TOLD(0, "\"id\":6008");
		wall += cases[i].by;
		clockwatch_tick(&g->r);
		TOLD(cases[i].said, "\"id\":6008");
		assert_int_equal(tidied, cases[i].said);
		if (cases[i].said)
			assert_int_equal(
					event(g, 6008,
							cases[i].by < 0 ? "within delivery.retry"
									: "nothing that is kept",
							"", ""),
					1);
		assert_int_equal(!list_empty(&handed), cases[i].retimed);
		if (cases[i].retimed)
			comes_back(job_of(STORE_RETIME), STORE_DONE, 0);
		clockwatch_tick(&g->r); /* once */
		TOLD(cases[i].said, "\"id\":6008");
	}
	assert_int_equal(refreshed, 0);
}

static void
what_the_store_found_at_its_start_is_said(void **state)
{
	static const struct {
		int64_t away;
		const char *what; /* NULL: nothing */
	} cases[] = {
		{ 0, NULL },
		{ -60000, NULL },
		{ -60001, "what waits is tried" },
		{ 86400000, NULL },
		{ 86400001, "nothing ran so long" },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		g->r.clock.away_ms = cases[i].away;
		clockwatch_start(&g->r);
		comes_back(job_of(STORE_RETIME), STORE_DONE, 0);
		TOLD(cases[i].what != NULL, "\"id\":6008");
		if (cases[i].what)
			assert_int_equal(event(g, 6008, cases[i].what, "", ""), 1);
		forget(g);
	}
}

/* Only what changed is looked for; one job at a time. */
static void
what_is_due_earlier_now_is_looked_for(void **state)
{
	struct gate *g = *state;

	clockwatch_start(&g->r);
	struct store_job *job = job_of(STORE_RETIME);
	struct retiming *r = LIST_ITEM(job, struct retiming, job);
	assert_true(r->latest_ms > wall);
	assert_int_equal(r->hop.n, 0);
	wall -= 100000;
	clockwatch_tick(&g->r);
	assert_true(list_empty(&handed)); /* one is under way */
	comes_back(job, STORE_DONE, 0);
	assert_int_equal(refreshed, 0);
	wall -= 100000;
	clockwatch_tick(&g->r);
	comes_back(job_of(STORE_RETIME), STORE_FAILED, 3);
	assert_int_equal(refreshed, 0);
	wall -= 100000;
	clockwatch_tick(&g->r);
	comes_back(job_of(STORE_RETIME), STORE_DONE, 3);
	assert_int_equal(refreshed, 1);
}

/* ---- mail whose domain has left the policies ---- */

static void
each_other_set_of_policies_has_what_waits_looked_at(void **state)
{
	struct gate *g = *state;

	left_look(&g->r);
	struct store_job *job = job_of(STORE_RETIME);
	struct retiming *r = LIST_ITEM(job, struct retiming, job);
	assert_true(span_eq(r->hop, SPAN(HOP_LEFT)));
	assert_int_equal(r->latest_ms, wall);
	left_look(&g->r); /* while it is under way: once more afterwards */
	left_look(&g->r);
	assert_true(list_empty(&handed));
	comes_back(job, STORE_DONE, 2);
	assert_int_equal(refreshed, 1);
	comes_back(job_of(STORE_RETIME), STORE_DONE, 0);
	assert_int_equal(refreshed, 1);
	assert_true(list_empty(&handed));
	assert_false(g->r.left_busy || g->r.left_again);
	left_look(&g->r);
	comes_back(job_of(STORE_RETIME), STORE_FAILED, 2);
	assert_int_equal(refreshed, 1);
	assert_false(g->r.left_busy);
}

/* ---- the store ---- */

static struct store_job
failed(enum store_work work, enum store_trouble trouble, int event)
{
	struct store_job job = {
		.work = work, .result = STORE_FAILED, .trouble = trouble
	};

	(void)err_set(&job.err, event, "it says why");
	return job;
}

static void
a_disk_below_its_floor_is_said_once_and_when_it_has_room_again(void **state)
{
	struct gate *g = *state;

	health_space(&g->r);
	TOLD(0, "\"id\":600");
	low = true;
	health_space(&g->r);
	health_space(&g->r);
	TOLD(1, "\"id\":6004");
	assert_true(g->r.space_low);
	low = false;
	health_space(&g->r);
	health_space(&g->r);
	TOLD(1, "\"id\":6005");
	assert_false(g->r.space_low);
}

/* Mail that was put off for want of room has its event, 6004; all else has its own. */
static void
a_job_that_failed_is_told_by_what_was_wrong(void **state)
{
	static const struct {
		enum store_work work;
		enum store_trouble trouble;
		bool low, told;
	} cases[] = {
		{ STORE_SUBMIT, STORE_DISK_FULL, true, false },
		{ STORE_SUBMIT, STORE_DISK_FULL, false, true }, /* a quota, a reserve */
		{ STORE_SETTLE, STORE_DISK_FULL, true, true },
		{ STORE_SUBMIT, STORE_LOCKED, true, true },
		{ STORE_SUBMIT, STORE_SOUND, true, true },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct store_job job = failed(cases[i].work, cases[i].trouble, 9005);

		g->r.trouble = g->r.trouble_told = STORE_SOUND;
		g->r.space_low = low = cases[i].low;
		health_job(&g->r, &job);
		TOLD(cases[i].told, "\"id\":9005");
		forget(g);
		job.result = STORE_DONE;
		health_job(&g->r, &job);
		job.result = STORE_HAD;
		health_job(&g->r, &job);
		TOLD(0, "\"id\":9005");
	}
}

/* It is said when it begins, and not with each group; the same a moment later is not said
 * again, another one is. */
static void
trouble_is_told_when_it_begins(void **state)
{
	struct gate *g = *state;

	health.trouble = STORE_LOCKED;
	(void)err_set(&health.err, 9005, "it is locked");
	health_look(&g->r);
	health_look(&g->r);
	TOLD(1, "\"id\":9005");
	assert_int_equal(g->r.trouble, STORE_LOCKED);
	health.trouble = STORE_SOUND;
	health_look(&g->r);
	assert_int_equal(g->r.trouble, STORE_SOUND);
	health.trouble = STORE_LOCKED;
	health_look(&g->r);
	TOLD(1, "\"id\":9005"); /* it comes and goes */
	health.trouble = STORE_DISK_FULL;
	health_look(&g->r);
	TOLD(2, "\"id\":9005");
	health.trouble = STORE_SOUND;
	health_look(&g->r);
	g->r.trouble_told_ms -= 10 * 1000 + 1;
	health.trouble = STORE_DISK_FULL;
	health_look(&g->r);
	TOLD(3, "\"id\":9005");
	assert_int_equal(g->failures, 0);
	/* The end of the role says it itself. */
	g->r.has_failed = true;
	health.trouble = STORE_LOCKED;
	health_look(&g->r);
	TOLD(3, "\"id\":9005");
}

static void
a_store_that_is_over_or_broken_for_long_ends_the_role(void **state)
{
	struct gate *g = *state;

	health.trouble = STORE_LOCKED;
	health.broken = 4;
	health_look(&g->r);
	assert_int_equal(g->failures, 0);
	health.broken = 5;
	health_look(&g->r);
	assert_int_equal(g->failures, 1);
	health.broken = 0;
	health.over = true;
	health_look(&g->r);
	assert_int_equal(g->failures, 2);
}

/* `once` waits a minute for a lock, ten seconds for a disk, and only where it owes something. */
static void
once_gives_up_after_a_while(void **state)
{
	static const struct {
		enum store_trouble trouble;
		int64_t waited_s;
		bool owes, ends;
	} cases[] = {
		{ STORE_LOCKED, 59, true, false },
		{ STORE_LOCKED, 61, true, true },
		{ STORE_LOCKED, 61, false, false },
		{ STORE_DISK_FULL, 9, true, false },
		{ STORE_DISK_FULL, 11, true, true },
	};
	struct gate *g = *state;
	struct hand h;

	hand_take(g, &h, "smtp:h.test:25", 1);
	for (int once = 0; once < 2; once++)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			g->r.once = once;
			g->r.trouble = STORE_SOUND;
			g->failures = 0;
			health.trouble = cases[i].trouble;
			if (cases[i].owes)
				list_add(&g->r.unsettled, &h.l->link);
			health_look(&g->r);
			assert_int_equal(g->failures, 0);
			g->r.trouble_since_ms -= cases[i].waited_s * 1000;
			health_look(&g->r);
			assert_int_equal(g->failures, once && cases[i].ends);
			list_del(&h.l->link);
		}
	lease_free(h.l);
	hop_free(h.hop);
}

#define WATCH(f) cmocka_unit_test_setup_teardown(f, watch_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WATCH(a_jump_is_said_and_only_back_changes_what_is_due),
		WATCH(what_the_store_found_at_its_start_is_said),
		WATCH(what_is_due_earlier_now_is_looked_for),
		WATCH(each_other_set_of_policies_has_what_waits_looked_at),
		WATCH(a_disk_below_its_floor_is_said_once_and_when_it_has_room_again),
		WATCH(a_job_that_failed_is_told_by_what_was_wrong),
		WATCH(trouble_is_told_when_it_begins),
		WATCH(a_store_that_is_over_or_broken_for_long_ends_the_role),
		WATCH(once_gives_up_after_a_while),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
