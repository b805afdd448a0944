/* What the relay keeps an eye on: the wall clock, mail whose domain has left the policies, and
 * the state of the store. */
#include "role.h"

static int64_t wall, boot;
static unsigned retimed, tidied;
static bool low, owes;
static struct store_health health;

int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_boot_ms(void);
void __wrap_outbound_retime(struct outbound *o);
bool __wrap_outbound_unsettled(const struct outbound *o);
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
__wrap_outbound_retime(struct outbound *o)
{
	(void)o;
	retimed++;
}

bool
__wrap_outbound_unsettled(const struct outbound *o)
{
	(void)o;
	return owes;
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
	retimed = tidied = 0;
	low = false;
	health = (struct store_health){ .trouble = STORE_SOUND };
	(void)err_set(&health.err, 9005, "it says why");
	return role_up(state);
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
		clockwatch_start(&role);
		assert_int_equal(retimed, 1);
		forget(g);
		tidied = retimed = 0;
		boot += 1000; /* time that passes is no jump */
		wall += 1000;
		clockwatch_tick(&role);
		TOLD(0, "\"id\":6008");
		wall += cases[i].by;
		clockwatch_tick(&role);
		TOLD(cases[i].said, "\"id\":6008");
		assert_int_equal(tidied, cases[i].said);
		if (cases[i].said)
			assert_int_equal(
					event(g, 6008,
							cases[i].by < 0 ? "within delivery.retry"
									: "nothing that is kept",
							"", ""),
					1);
		assert_int_equal(retimed, cases[i].retimed);
		retimed = 0;
		clockwatch_tick(&role); /* once */
		assert_int_equal(retimed, 0);
		TOLD(cases[i].said, "\"id\":6008");
	}
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
		role.clock.away_ms = cases[i].away;
		clockwatch_start(&role);
		TOLD(cases[i].what != NULL, "\"id\":6008");
		if (cases[i].what)
			assert_int_equal(event(g, 6008, cases[i].what, "", ""), 1);
		forget(g);
	}
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

	health_space(&role);
	TOLD(0, "\"id\":600");
	low = true;
	health_space(&role);
	health_space(&role);
	TOLD(1, "\"id\":6004");
	assert_true(role.space_low);
	low = false;
	health_space(&role);
	health_space(&role);
	TOLD(1, "\"id\":6005");
	assert_false(role.space_low);
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

		role.trouble = role.trouble_told = STORE_SOUND;
		role.space_low = low = cases[i].low;
		health_job(&role, &job);
		TOLD(cases[i].told, "\"id\":9005");
		forget(g);
		job.result = STORE_DONE;
		health_job(&role, &job);
		job.result = STORE_HAD;
		health_job(&role, &job);
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
	health_look(&role);
	health_look(&role);
	TOLD(1, "\"id\":9005");
	assert_int_equal(role.trouble, STORE_LOCKED);
	health.trouble = STORE_SOUND;
	health_look(&role);
	assert_int_equal(role.trouble, STORE_SOUND);
	health.trouble = STORE_LOCKED;
	health_look(&role);
	TOLD(1, "\"id\":9005"); /* it comes and goes */
	health.trouble = STORE_DISK_FULL;
	health_look(&role);
	TOLD(2, "\"id\":9005");
	health.trouble = STORE_SOUND;
	health_look(&role);
	role.trouble_told_ms -= 10 * 1000 + 1;
	health.trouble = STORE_DISK_FULL;
	health_look(&role);
	TOLD(3, "\"id\":9005");
	assert_int_equal(g->failures, 0);
	/* The end of the role says it itself. */
	role.has_failed = true;
	health.trouble = STORE_LOCKED;
	health_look(&role);
	TOLD(3, "\"id\":9005");
}

static void
a_store_that_is_over_or_broken_for_long_ends_the_role(void **state)
{
	struct gate *g = *state;

	health.trouble = STORE_LOCKED;
	health.broken = 4;
	health_look(&role);
	assert_int_equal(g->failures, 0);
	health.broken = 5;
	health_look(&role);
	assert_int_equal(g->failures, 1);
	health.broken = 0;
	health.over = true;
	health_look(&role);
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

	for (int once = 0; once < 2; once++)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			role.hub.once = once;
			role.trouble = STORE_SOUND;
			g->failures = 0;
			health.trouble = cases[i].trouble;
			owes = cases[i].owes;
			health_look(&role);
			assert_int_equal(g->failures, 0);
			role.trouble_since_ms -= cases[i].waited_s * 1000;
			health_look(&role);
			assert_int_equal(g->failures, once && cases[i].ends);
		}
}

#define WATCH(f) cmocka_unit_test_setup_teardown(f, watch_up, role_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WATCH(a_jump_is_said_and_only_back_changes_what_is_due),
		WATCH(what_the_store_found_at_its_start_is_said),
		WATCH(a_disk_below_its_floor_is_said_once_and_when_it_has_room_again),
		WATCH(a_job_that_failed_is_told_by_what_was_wrong),
		WATCH(trouble_is_told_when_it_begins),
		WATCH(a_store_that_is_over_or_broken_for_long_ends_the_role),
		WATCH(once_gives_up_after_a_while),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
