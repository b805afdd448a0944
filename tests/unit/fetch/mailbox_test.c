/* One session per mailbox: in this process, and in others. */
#include "../../../src/fetch/mailbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char dir[64];

static int
setup(void **state)
{
	char run[80];

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/postern-mailbox-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(run, sizeof(run), "%s/run", dir);
	return mkdir(run, 0700);
}

static int
teardown(void **state)
{
	char path[100];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/run/mailboxes.lock", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/run", dir);
	(void)rmdir(path);
	return rmdir(dir);
}

static struct conf_account
account(const char *name, const char *host, unsigned port, const char *user)
{
	return (struct conf_account){
		.name = name, .server = { .name = host, .port = port }, .user = user
	};
}

static void
looking_makes_no_file(void **state)
{
	struct conf_account a = account("a", "pop.isp.test", 995, "ann");
	struct err err = { 0 };
	int fd;

	(void)state;
	assert_int_equal(fetch_mailbox_lock(dir, &a, false, &fd, &err), MAILBOX_FAILED);
	assert_int_equal(fd, -1);
	assert_int_equal(err.event, 9005);
	assert_int_equal(fetch_mailbox_lock("/nonexistent", &a, true, &fd, &err),
			MAILBOX_FAILED);
	assert_int_equal(err.event, 9005);
}

static void
one_at_a_time(void **state)
{
	struct conf_account a = account("a", "pop.isp.test", 995, "ann");
	struct conf_account same = account("b", "POP.isp.test", 995, "ann");
	struct conf_account others[] = {
		account("a", "pop.isp.test", 995, "Ann"),
		account("a", "pop.isp.test", 110, "ann"),
		account("a", "pop2.isp.test", 995, "ann"),
		account("a", "pop.isp.test:9", 95, "ann"),
	};
	struct err err = { 0 };
	int fd, fd2, status;

	(void)state;
	assert_int_equal(fetch_mailbox_lock(dir, &a, true, &fd, &err), MAILBOX_OURS);
	assert_int_equal(fetch_mailbox_lock(dir, &same, true, &fd2, &err),
			MAILBOX_TAKEN);
	assert_int_equal(fd2, -1);
	assert_int_equal(err.event, 4004);
	assert_string_equal(
			err.text, "another poll of the same mailbox is under way here");
	/* Those who only look are kept out as well. */
	assert_int_equal(fetch_mailbox_lock(dir, &a, false, &fd2, &err), MAILBOX_TAKEN);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_int_equal(fetch_mailbox_lock(dir, &others[i], true, &fd2, &err),
				MAILBOX_OURS);
		(void)close(fd2);
	}
	/* Another description of the file does not give ours back when it is closed,
	 * and another process is kept out. */
	pid_t child = fork();
	if (child == 0)
		_exit(fetch_mailbox_lock(dir, &same, true, &fd2, &err) == MAILBOX_TAKEN
						? 0
						: 1);
	assert_true(waitpid(child, &status, 0) == child);
	assert_int_equal(status, 0);
	(void)close(fd);
	assert_int_equal(fetch_mailbox_lock(dir, &same, true, &fd, &err), MAILBOX_OURS);
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looking_makes_no_file),
		cmocka_unit_test(one_at_a_time),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
