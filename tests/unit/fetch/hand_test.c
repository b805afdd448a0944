/* Which ends of a process a message is blamed for (edge 15). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../src/fetch/hand.h"
#include "check.h"

static int
setup(void **state)
{
	static char dir[64];
	char run[80];

	(void)strcpy(dir, "/tmp/postern-hand-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(run, sizeof(run), "%s/run", dir);
	*state = dir;
	return mkdir(run, 0700);
}

static int
teardown(void **state)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/run/hand.a", (char *)*state);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/run", (char *)*state);
	(void)rmdir(path);
	return rmdir(*state);
}

static struct span in_hand = { SPAN_INIT("uid") };

/* A collector takes a message into its hand and dies of that signal. */
static void
die(const char *dir, uint64_t life, int sig)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		sigset_t all;

		(void)sigfillset(&all);
		(void)pthread_sigmask(SIG_SETMASK, &all, NULL); /* as in a worker */
		(void)signal(sig, SIG_DFL); /* not cmocka's */
		hand_watch();
		hand_take(hand_open(dir, SPAN("a"), life), in_hand);
		(void)raise(sig);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), sig);
}

/* How often the message is blamed, as the next process sees it; its poll ends in order. */
static unsigned
blamed(const char *dir, uint64_t life)
{
	struct hand *h = hand_open(dir, SPAN("a"), life);
	struct span uid;

	assert_non_null(h);
	unsigned times = hand_blamed(h, 0, &uid);
	if (times > 0)
		assert_true(span_eq(uid, SPAN("uid")));
	hand_close(h);
	return times;
}

static void
an_end_of_the_collector_alone_counts(void **state)
{
	for (int i = 0; i < 3; i++)
		die(*state, 7, SIGKILL);
	assert_int_equal(blamed(*state, 7), 3);
	assert_int_equal(blamed(*state, 7), 0);
}

static void
a_kill_of_the_whole_service_does_not(void **state)
{
	for (uint64_t life = 1; life < 4; life++)
		die(*state, life, SIGKILL);
	assert_int_equal(blamed(*state, 4), 0);
}

static void
once_is_killed_without_blame(void **state)
{
	for (int i = 0; i < 3; i++)
		die(*state, 0, SIGKILL);
	assert_int_equal(blamed(*state, 0), 0);
}

/* ... unless the message did it, as far as a process can tell. */
static void
a_fault_counts_whoever_ran_it(void **state)
{
	static const int faults[] = { SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE };

	for (uint64_t i = 0; i < 5; i++)
		die(*state, i % 2 ? i : 0, faults[i]);
	assert_int_equal(blamed(*state, 0), 5);
}

/* What was counted before a kill of all stays counted. */
static void
a_kill_of_all_forgives_nothing_else(void **state)
{
	die(*state, 1, SIGKILL);
	die(*state, 1, SIGKILL);
	die(*state, 1, SIGKILL); /* by whoever killed super too: the next life is 2 */
	assert_int_equal(blamed(*state, 2), 2);
}

static void
nothing_in_hand_nobody_blamed(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct hand *h = hand_open(*state, SPAN("a"), 1);

		(void)signal(SIGABRT, SIG_DFL);
		hand_watch();
		hand_take(h, SPAN("uid"));
		hand_drop(h);
		(void)raise(SIGABRT);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(blamed(*state, 1), 0);
}

/* There is room for so many; what has no name that fits, or none, is blamed for nothing. */
static void
so_many_are_remembered(void **state)
{
	static char uids[HAND_BLAMED + 1][8], longest[256];
	struct span usual = in_hand, uid;

	memset(longest, 'u', sizeof(longest));
	in_hand = (struct span){ longest, sizeof(longest) };
	die(*state, 1, SIGSEGV);
	in_hand = SPAN("");
	die(*state, 1, SIGSEGV);
	for (size_t i = 0; i <= HAND_BLAMED; i++) {
		(void)snprintf(uids[i], sizeof(uids[i]), "uid-%zu", i);
		in_hand = span_of(uids[i]);
		die(*state, 1, SIGSEGV);
	}
	in_hand = usual;
	struct hand *h = hand_open(*state, SPAN("a"), 2);
	for (size_t i = 0; i < HAND_BLAMED; i++) {
		assert_int_equal(hand_blamed(h, i, &uid), 1);
		assert_true(span_eq(uid, span_of(uids[i])));
	}
	assert_int_equal(hand_blamed(h, HAND_BLAMED, &uid), 0);
	assert_int_equal(hand_blamed(NULL, 0, &uid), 0);
	hand_close(h);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(an_end_of_the_collector_alone_counts),
		IN_DIR(a_kill_of_the_whole_service_does_not),
		IN_DIR(once_is_killed_without_blame),
		IN_DIR(a_fault_counts_whoever_ran_it),
		IN_DIR(a_kill_of_all_forgives_nothing_else),
		IN_DIR(nothing_in_hand_nobody_blamed),
		IN_DIR(so_many_are_remembered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
