/* A failure that nobody gave an event: a build with tests aborts on it, another says so all
 * the same. This file is built both ways. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "postern/buf.h"
#include "postern/file.h"
#include "postern/log.h"

static const struct span nobody = { NULL, 0 };
static const struct err unnamed = { .text = "the disk said no" };

#ifdef POSTERN_STRICT

static void
err_of_no_event(void)
{
	log_err(&unnamed, nobody, nobody);
}

static void
event_of_no_row(void)
{
	log_event(9999, FIELDS(f_str("err", "x")));
}

/* Whether a log is open makes no difference. */
static void
no_failure_has_event_0(void **state)
{
	static void (*const wrong[])(void) = { err_of_no_event, event_of_no_row };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int status = 0;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0) {
			int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

			(void)dup2(null, STDERR_FILENO);
			(void)signal(SIGABRT, SIG_DFL);
			wrong[i]();
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

#else

static void
no_failure_has_event_0(void **state)
{
	char dir[] = "/tmp/postern-log-XXXXXX", path[64];
	AUTO(buf_done) struct buf got = BUF_MAX(100000);
	struct err err = { 0 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/told", dir);
	assert_true(log_open(
			&(struct log_options){ .level = 0, .journal = path }, &err));
	log_err(&unnamed, nobody, nobody);
	log_event(9999, FIELDS(f_str("err", "no such row")));
	log_event_at(9999, 'I', 3, FIELDS(f_str("err", "nor this")));
	log_close();
	assert_true(file_read(AT_FDCWD, path, 0, &got, &err));
	const char *text = buf_cstr(&got);
	assert_non_null(strstr(text, "1006"));
	assert_non_null(strstr(text, "Postern failed in something: the disk said no."));
	assert_non_null(strstr(text, "no such row"));
	assert_non_null(strstr(text, "nor this"));
	(void)unlink(path);
	(void)rmdir(dir);
}

#endif

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(no_failure_has_event_0) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
