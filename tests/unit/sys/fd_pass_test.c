/* Descriptors on their way to another process. */
#include "postern/fd_pass.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static size_t
open_ones(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static bool
same(int a, int b)
{
	struct stat x, y;

	assert_int_equal(fstat(a, &x), 0);
	assert_int_equal(fstat(b, &y), 0);
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void
pair(int ends[2])
{
	struct err err = { 0 };

	assert_true(fd_pass_pair(ends, &err));
}

static void
send_one(int end, int fd)
{
	struct err err = { 0 };

	assert_true(fd_pass_send(end, &fd, 1, &err));
}

static void
those_sent_last_arrive_and_older_ones_are_closed(void **state)
{
	int ends[2], got[FD_PASS_MAX], a[2], b[2];

	(void)state;
	pair(ends);
	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	size_t open = open_ones();
	send_one(ends[0], a[0]);
	send_one(ends[0], b[0]);
	assert_int_equal(fd_pass_last(ends[1], got), 1);
	assert_true(same(got[0], b[0]));
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(open_ones(), open + 1);
	(void)close(got[0]);
	assert_int_equal(fd_pass_last(ends[1], got), -1);
	for (int i = 0; i < 2; i++) {
		(void)close(a[i]);
		(void)close(b[i]);
		(void)close(ends[i]);
	}
}

static void
none_and_the_most_of_them(void **state)
{
	int ends[2], all[FD_PASS_MAX], got[FD_PASS_MAX];
	struct err err = { 0 };

	(void)state;
	pair(ends);
	size_t open = open_ones();
	assert_true(fd_pass_send(ends[0], NULL, 0, &err));
	assert_int_equal(fd_pass_last(ends[1], got), 0);
	for (int i = 0; i < FD_PASS_MAX; i++)
		all[i] = ends[i % 2];
	assert_true(fd_pass_send(ends[0], all, FD_PASS_MAX, &err));
	assert_true(fd_pass_send(ends[0], NULL, 0, &err)); /* and then none again */
	assert_int_equal(fd_pass_last(ends[1], got), 0);
	assert_int_equal(open_ones(), open);
	assert_true(fd_pass_send(ends[0], all, FD_PASS_MAX, &err));
	assert_int_equal(fd_pass_last(ends[1], got), FD_PASS_MAX);
	for (int i = 0; i < FD_PASS_MAX; i++) {
		assert_true(same(got[i], ends[i % 2]));
		(void)close(got[i]);
	}
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void
nobody_at_the_other_end_is_an_error(void **state)
{
	int ends[2], got[FD_PASS_MAX];
	struct err err = { 0 };

	(void)state;
	pair(ends);
	(void)close(ends[1]);
	assert_false(fd_pass_send(ends[0], ends, 1, &err));
	assert_non_null(strstr(err.text, "cannot hand the sockets over: Broken pipe"));
	assert_int_equal(fd_pass_last(ends[0], got), -1);
	(void)close(ends[0]);
	assert_int_equal(fd_pass_last(-1, got), -1);
	int no_socket = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_pass_last(no_socket, got), -1);
	(void)close(no_socket);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_sent_last_arrive_and_older_ones_are_closed),
		cmocka_unit_test(none_and_the_most_of_them),
		cmocka_unit_test(nobody_at_the_other_end_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
