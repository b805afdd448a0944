/* The folder thread prunes Badmail and evidence: when, by which limits, and again at once where
 * there was more. What is pruned is stood in for. */
#include "told.h"

#include <sys/stat.h>

#include "local.h"

#include "postern/badmail.h"
#include "postern/evidence.h"

enum { HOUR_MS = 3600 * 1000 };

static int64_t later_ms; /* the clock is ahead by so much */
static struct {
	unsigned n, evidence;
	bool more, evidence_more, fails, evidence_fails;
	uint64_t keep_s, max, evidence_keep_s;
} pruned;

int64_t __real_loop_now_ms(const struct loop *l);
int64_t __wrap_loop_now_ms(const struct loop *l);
void __wrap_jobs_flush(struct jobs *j);
void __wrap_badmail_limits(struct badmail *b, uint64_t keep_s, uint64_t max_bytes);
bool __wrap_badmail_prune(
		struct badmail *b, int64_t steady_ms, bool *more, struct err *err);
bool __wrap_evidence_prune(const char *state, const struct evidence_limits *l,
		bool *more, struct err *err);

int64_t
__wrap_loop_now_ms(const struct loop *l)
{
	return __real_loop_now_ms(l) + later_ms;
}

void
__wrap_jobs_flush(struct jobs *j)
{
	(void)j;
}

void
__wrap_badmail_limits(struct badmail *b, uint64_t keep_s, uint64_t max_bytes)
{
	(void)b;
	pruned.keep_s = keep_s;
	pruned.max = max_bytes;
}

bool
__wrap_badmail_prune(struct badmail *b, int64_t steady_ms, bool *more, struct err *err)
{
	(void)b, (void)steady_ms;
	pruned.n++;
	*more = pruned.more;
	return !pruned.fails || err_set(err, 0, "Badmail cannot be pruned");
}

bool
__wrap_evidence_prune(const char *state, const struct evidence_limits *l, bool *more,
		struct err *err)
{
	(void)state;
	pruned.evidence++;
	pruned.evidence_keep_s = l->keep_s;
	*more = pruned.evidence_more;
	return !pruned.evidence_fails || err_set(err, 0, "evidence cannot be pruned");
}

static struct local *w;

static int
up(void **state)
{
	struct err err = { 0 };

	(void)told_up(state);
	struct gate *g = *state;
	later_ms = 0;
	memset(&pruned, 0, sizeof(pruned));
	g->hub.share.drops = g->hub.share.maildirs = 1;
	g->looks = 0;
	w = local_new(&g->hub, &err);
	if (!w)
		fail_msg("%s", err.text);
	return 0;
}

static int
down(void **state)
{
	local_free(w);
	return told_down(state);
}

/* Until the thread has done what it was told to. */
static void
settle(struct gate *g)
{
	while (!local_quiet(w))
		gate_turn(g, 20);
}

static void
ticks(struct gate *g, unsigned n)
{
	unsigned before = pruned.n;

	local_tick(w);
	settle(g);
	assert_int_equal(pruned.n, before + n);
	assert_int_equal(pruned.evidence, pruned.n);
}

static void
it_is_pruned_by_the_hour_and_again_where_there_was_more(void **state)
{
	struct gate *g = *state;

	ticks(g, 0); /* never in the first hour */
	later_ms = HOUR_MS - 1000;
	ticks(g, 0);
	later_ms = HOUR_MS;
	ticks(g, 1);
	assert_true(g->looks > 0);
	ticks(g, 0);
	later_ms = 2 * HOUR_MS;
	pruned.more = true;
	ticks(g, 1);
	pruned.more = false;
	pruned.evidence_more = true;
	ticks(g, 1); /* the rest of Badmail, at the next tick */
	pruned.evidence_more = false;
	ticks(g, 1); /* and of the evidence */
	ticks(g, 0);
}

/* `once` does it at its end, when it is told to. */
static void
once_prunes_when_it_is_told_to(void **state)
{
	struct gate *g = *state;

	g->hub.once = true;
	later_ms = 10 * HOUR_MS;
	ticks(g, 0);
	local_tidy(w);
	assert_false(local_quiet(w));
	local_tidy(w); /* it is under way */
	settle(g);
	assert_int_equal(pruned.n, 1);
}

static void
the_limits_are_those_of_the_configuration_now(void **state)
{
	struct gate *g = *state;

	g->conf->badmail.keep_s = 77;
	g->conf->badmail.max = 88;
	local_tidy(w);
	settle(g);
	assert_int_equal(pruned.keep_s, 77);
	assert_int_equal(pruned.max, 88);
	assert_int_equal(pruned.evidence_keep_s, 77);
	g->conf->badmail.keep_s = -1; /* for ever */
	local_tidy(w);
	settle(g);
	assert_int_equal(pruned.keep_s, 0);
}

/* One that fails is told, and the other is pruned all the same. */
static void
each_failure_is_told(void **state)
{
	struct gate *g = *state;

	pruned.fails = true;
	local_tidy(w);
	settle(g);
	assert_int_equal(event(g, 5108, "Badmail cannot be pruned", "", ""), 1);
	assert_int_equal(event(g, 5108, "evidence", "", ""), 0);
	pruned.fails = false;
	pruned.evidence_fails = true;
	local_tidy(w);
	settle(g);
	assert_int_equal(event(g, 5108, "evidence cannot be pruned", "", ""), 1);
	assert_int_equal(pruned.evidence, 2);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		TEST(it_is_pruned_by_the_hour_and_again_where_there_was_more),
		TEST(once_prunes_when_it_is_told_to),
		TEST(the_limits_are_those_of_the_configuration_now),
		TEST(each_failure_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
