/* How the role ends: its exit status, and whether it says why. */
#include "role.h"

#include "postern/conf_load.h"

static struct {
	bool open_fails, bind_fails;
	enum store_trouble found; /* by who opens the state */
	int event;
	/* of the run */
	bool loop_fails, gives_up;
	enum store_trouble trouble;
} world;
static struct relay *running;

struct store *__real_store_open(const char *dir, const struct store_options *o,
		struct store_recovery *found, struct err *e);
struct store *__wrap_store_open(const char *dir, const struct store_options *o,
		struct store_recovery *found, struct err *e);
struct inbound *__real_inbound_new(const struct inbound_options *o, struct err *err);
struct inbound *__wrap_inbound_new(const struct inbound_options *o, struct err *err);
void __wrap_clockwatch_start(struct relay *r);
bool __wrap_loop_run(struct loop *l, struct err *err);
struct store_health __wrap_store_health(struct store *s);

struct store *
__wrap_store_open(const char *dir, const struct store_options *o,
		struct store_recovery *found, struct err *e)
{
	if (!world.open_fails)
		return __real_store_open(dir, o, found, e);
	found->trouble = world.found;
	err_set(e, world.event, "the state cannot be opened");
	return NULL;
}

struct inbound *
__wrap_inbound_new(const struct inbound_options *o, struct err *err)
{
	if (!world.bind_fails)
		return __real_inbound_new(o, err);
	err_set(err, 115, "it is taken");
	return NULL;
}

void
__wrap_clockwatch_start(struct relay *r)
{
	running = r;
}

bool
__wrap_loop_run(struct loop *l, struct err *err)
{
	struct err why = { 0 };

	(void)l;
	if (world.trouble != STORE_SOUND)
		health_look(running);
	if (world.gives_up) {
		(void)err_set(&why, 9005, "the disk fails");
		pulse_fail(&running->hub.pulse, &why);
	}
	return !world.loop_fails || err_set(err, 0, "the loop cannot go on");
}

struct store_health
__wrap_store_health(struct store *s)
{
	struct store_health h = { .trouble = world.trouble,
		.broken = world.trouble == STORE_SOUND ? 0 : 5 };

	(void)s;
	(void)err_set(&h.err, 9005, "the disk fails");
	return h;
}

static int
up(void **state)
{
	(void)told_up(state);
	gate_close(*state); /* the role opens it */
	memset(&world, 0, sizeof(world));
	return 0;
}

static int
down(void **state)
{
	gate_open(*state);
	return told_down(state);
}

static int
role_ends(struct gate *g)
{
	static const int nobody[1];

	forget(g);
	return relay_role(&(struct relay_options){ .conf = g->conf,
			.state = g->dir,
			.listeners = nobody,
			.ready_fd = -1 });
}

static void
a_role_that_cannot_begin_says_why_and_what_to_expect(void **state)
{
	static const struct {
		enum store_trouble found;
		bool bind;
		int event, status, said;
	} cases[] = {
		{ STORE_DAMAGED, false, 9005, RELAY_EXIT_DAMAGED, 9005 },
		{ STORE_DISK_FAILS, false, 9005, 1, 9005 },
		{ STORE_SOUND, false, 0, 1, 1005 },
		{ STORE_SOUND, true, 0, 78, 115 },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world.open_fails = !cases[i].bind;
		world.bind_fails = cases[i].bind;
		world.found = cases[i].found;
		world.event = cases[i].event;
		assert_int_equal(role_ends(g), cases[i].status);
		assert_int_equal(event(g, cases[i].said, "", "", ""), 1);
	}
}

static void
a_role_that_ran_says_why_it_ended_unless_it_was_said(void **state)
{
	static const struct {
		bool loop_fails, gives_up;
		enum store_trouble trouble;
		int status, said;
	} cases[] = {
		{ false, false, STORE_SOUND, 0, 0 },
		{ true, false, STORE_SOUND, 1, 1005 },
		{ false, true, STORE_SOUND, 1, 9005 },
		/* It was said when it began, and once is enough. */
		{ false, false, STORE_DISK_FAILS, 1, 9005 },
		{ false, false, STORE_DAMAGED, RELAY_EXIT_DAMAGED, 9005 },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world.loop_fails = cases[i].loop_fails;
		world.gives_up = cases[i].gives_up;
		world.trouble = cases[i].trouble;
		assert_int_equal(role_ends(g), cases[i].status);
		assert_int_equal(event(g, 1005, "", "", ""), cases[i].said == 1005);
		assert_int_equal(event(g, 9005, "", "", ""), cases[i].said == 9005);
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		TEST(a_role_that_cannot_begin_says_why_and_what_to_expect),
		TEST(a_role_that_ran_says_why_it_ended_unless_it_was_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
