/* Files, locks, programs, secrets, digests, crash points. */
#include "postern/file.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/digest.h"
#include "postern/lock.h"
#include "postern/proc.h"
#include "postern/sandbox.h"
#include "postern/secret_read.h"

static char dir[64];

static int
make(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/postern-file-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int
drop(void **state)
{
	char line[100];

	(void)state;
	(void)snprintf(line, sizeof(line), "rm -rf %s", dir);
	return system(line);
}

static const char *
at(const char *name)
{
	static char path[4][200];
	static size_t turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, 200, "%s/%s", dir, name);
	return p;
}

static void
put(const char *name, const char *text, mode_t mode)
{
	struct err err = { 0 };

	if (!file_write_atomic(AT_FDCWD, at(name), mode, span_of(text), &err))
		fail_msg("%s", err.text);
}

static void
test_whole_files(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(8);
	struct err err = { 0 };
	struct stat st;

	(void)state;
	put("a", "12345678", 0640);
	assert_int_equal(stat(at("a"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_true(file_read(AT_FDCWD, at("a"), 0, &b, &err));
	assert_true(span_eq(buf_span(&b), SPAN("12345678")));
	buf_clear(&b);
	put("a", "123456789", 0600);
	assert_false(file_read(AT_FDCWD, at("a"), 0, &b, &err));
	assert_int_equal(b.n, 0);
	assert_non_null(strstr(err.text, "is too large"));
	assert_false(file_read(AT_FDCWD, at("none"), 0, &b, &err));
	assert_false(file_read(AT_FDCWD, dir, 0, &b, &err));
	assert_int_equal(symlink("a", at("link")), 0);
	assert_false(file_read(AT_FDCWD, at("link"), FILE_NOFOLLOW, &b, &err));
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_false(file_read(AT_FDCWD, at("fifo"), FILE_REGULAR, &b, &err));
	/* Nothing is left beside the files. */
	struct file_names names;
	int fd = dir_open(AT_FDCWD, dir, &err);
	assert_true(dir_names(fd, 100, &names, &err));
	assert_int_equal(names.n, 3);
	file_names_done(&names);
	put("b.yaml", "", 0600);
	put("c.yaml", "", 0600);
	assert_true(file_glob(at("*.yaml"), &names, &err));
	assert_int_equal(names.n, 2);
	assert_string_equal(names.names[0], at("b.yaml"));
	file_names_done(&names);
	assert_true(file_glob(at("*.none"), &names, &err));
	assert_int_equal(names.n, 0);
	(void)close(fd);
}

static void
test_directories(void **state)
{
	struct err err = { 0 };
	struct stat st;
	uint64_t free_bytes, total;

	(void)state;
	(void)umask(0);
	int fd = dir_make(AT_FDCWD, at("d"), 0700, &err);
	assert_true(fd >= 0 && dir_sync(fd, &err));
	int again = dir_make(AT_FDCWD, at("d"), 0700, &err);
	assert_true(again >= 0);
	(void)close(again);
	assert_true(dir_make_path(at("e/f/g"), 0700, &err));
	assert_true(dir_make_path(at("e/f/g/"), 0700, &err));
	assert_int_equal(stat(at("e/f/g"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	put("file", "", 0600);
	assert_false(dir_make_path(at("file"), 0700, &err));
	assert_false(dir_make_path(at("file/x"), 0700, &err));
	assert_int_equal(symlink("d", at("l")), 0);
	assert_int_equal(dir_make(AT_FDCWD, at("l"), 0700, &err), -1);
	assert_true(file_space(dir, &free_bytes, &total, &err));
	assert_true(total >= free_bytes && total > 0);
	(void)close(fd);
}

static void
on_tick(int signo)
{
	(void)signo;
}

static void
test_many_parts(void **state)
{
	struct span parts[200];
	AUTO(buf_done) struct buf b = BUF_MAX(10000);
	int fd = open(at("parts"), O_RDWR | O_CREAT, 0600);

	(void)state;
	for (size_t i = 0; i < 200; i++)
		parts[i] = i % 3 ? SPAN("abc") : SPAN("");
	assert_true(fd_write_parts(fd, parts, 200));
	assert_true(file_read(AT_FDCWD, at("parts"), 0, &b, NULL));
	assert_int_equal(b.n, 133 * 3);
	char piece[5];
	assert_int_equal(fd_read_at(fd, piece, 5, 397), 2);
	(void)close(fd);

	/* A pipe takes it in pieces. */
	static char big[300000];
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct itimerval often = { { 0, 300 }, { 0, 300 } };
		struct sigaction tick = { .sa_handler = on_tick };

		(void)sigaction(SIGALRM, &tick, NULL);
		(void)setitimer(ITIMER_REAL, &often, NULL);
		struct span two[] = { { big, 100000 }, { big, 200000 } };
		_exit(fd_write_parts(ends[1], two, 2) ? 0 : 1);
	}
	(void)close(ends[1]);
	size_t n = 0;
	for (ssize_t got; (got = read(ends[0], big, 7777)) > 0;) {
		n += (size_t)got;
		(void)poll(NULL, 0, 1);
	}
	assert_int_equal(n, 300000);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(ends[0]);
}

static void
test_log_follows_its_name(void **state)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(1000);
	struct file_log *f = file_log_open(at("log"), 0600, &err);

	(void)state;
	assert_non_null(f);
	assert_true(file_log_add(f, SPAN("one\n"), &err));
	assert_true(file_log_rotate(f, 100, 2, &err));
	assert_true(file_log_rotate(f, 3, 2, &err));
	assert_true(file_log_add(f, SPAN("two\n"), &err));
	assert_true(file_log_rotate(f, 3, 2, &err));
	assert_true(file_log_add(f, SPAN("three\n"), &err));
	assert_true(file_read(AT_FDCWD, at("log"), 0, &b, &err));
	assert_true(file_read(AT_FDCWD, at("log.1"), 0, &b, &err));
	assert_true(file_read(AT_FDCWD, at("log.2"), 0, &b, &err));
	assert_true(span_eq(buf_span(&b), SPAN("three\ntwo\none\n")));
	/* Somebody else moved it. */
	assert_int_equal(rename(at("log"), at("old")), 0);
	(void)poll(NULL, 0, 1050);
	assert_true(file_log_add(f, SPAN("four\n"), &err));
	buf_clear(&b);
	assert_true(file_read(AT_FDCWD, at("log"), 0, &b, &err));
	assert_true(span_eq(buf_span(&b), SPAN("four\n")));
	file_log_close(f);
}

static void
test_lock_names_its_holder(void **state)
{
	struct err err = { 0 };
	pid_t holder;
	int ready[2];
	char c;

	(void)state;
	assert_int_equal(lock_holder(dir, &err), 0);
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		int fd = lock_take(dir, NULL, NULL);
		ssize_t n = write(ready[1], "x", 1);
		(void)pause();
		_exit(fd < 0 || n < 0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(lock_take(dir, &holder, &err), -1);
	assert_int_equal(holder, child);
	char want[40];
	(void)snprintf(want, sizeof(want), "(process %d)", (int)child);
	assert_non_null(strstr(err.text, want));
	assert_int_equal(lock_holder(dir, &err), child);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(lock_holder(dir, &err), 0);
	int fd = lock_take(dir, &holder, &err);
	assert_true(fd >= 0);
	assert_int_equal(lock_holder(dir, &err), getpid());
	/* The same process may not take it twice either. */
	assert_int_equal(lock_take(dir, &holder, &err), -1);
	(void)close(fd);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

static bool
sh(const char *script, int64_t ms, struct buf *out, int *status, struct err *err)
{
	const char *const argv[] = { "sh", "-c", script, NULL };

	return proc_run(argv, ms, out, status, err);
}

/* Dead, be it buried or not. */
static bool
gone(const char *pid)
{
	AUTO(buf_done) struct buf stat = BUF_MAX(4096);
	char path[100];

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", atoi(pid));
	return !file_read(AT_FDCWD, path, 0, &stat, NULL) ||
			strstr(buf_cstr(&stat), ") Z ");
}

static void
test_programs_within_limits(void **state)
{
	AUTO(buf_done) struct buf out = BUF_MAX(1000);
	struct err err = { 0 };
	int status = -1;

	(void)state;
	assert_true(sh("cat; echo hi; echo no >&2; exit 3", 5000, &out, &status, &err));
	assert_int_equal(status, 3);
	assert_true(span_eq(buf_span(&out), SPAN("hi\n")));
	assert_true(sh("kill -9 $$", 5000, &out, &status, &err));
	assert_int_equal(status, 137);

	int64_t began = clock_mono_ms();
	assert_false(sh("echo part; sleep 30 & sleep 30", 200, &out, &status, &err));
	assert_in_range(clock_mono_ms() - began, 150, 3000);
	assert_int_equal(out.n, 3); /* as before */
	assert_non_null(strstr(err.text, "did not end in time"));
	assert_false(sh("yes", 5000, &out, &status, &err));
	assert_non_null(strstr(err.text, "says too much"));
	/* One that leaves a child with the pipe behind. */
	began = clock_mono_ms();
	buf_clear(&out);
	assert_true(sh("sleep 30 & echo $!", 5000, &out, &status, &err));
	assert_in_range(clock_mono_ms() - began, 0, 3000);
	for (int i = 0; i < 100 && !gone(buf_cstr(&out)); i++)
		(void)poll(NULL, 0, 10);
	assert_true(gone(buf_cstr(&out)));
	/* No descriptor of ours is in it. */
	AUTO(fd_done) int lock = lock_take(dir, NULL, &err);
	char look[100];
	buf_clear(&out);
	(void)snprintf(look, sizeof(look), "test -e /proc/self/fd/%d && echo leaked",
			lock);
	assert_true(sh(look, 5000, &out, &status, &err));
	assert_int_equal(out.n, 0);
	const char *const none[] = { "/no/such/program", NULL };
	assert_false(proc_run(none, 1000, &out, &status, &err));
	/* Metacharacters are characters. */
	const char *const argv[] = { "printf", "%s", "$(id);|`x`", NULL };
	buf_clear(&out);
	assert_true(proc_run(argv, 5000, &out, &status, &err));
	assert_true(span_eq(buf_span(&out), SPAN("$(id);|`x`")));
}

static void
secret_is(struct secret s, const char *want, const char *fault)
{
	AUTO(secret_done) struct buf out = BUF_MAX(1000);
	struct err err = { 0 };
	bool ok = secret_read(&s, &out, &err);

	if (ok != (want != NULL))
		fail_msg("%s", ok ? "accepted" : err.text);
	if (want)
		assert_string_equal(buf_cstr(&out), want);
	else if (!strstr(err.text, fault))
		fail_msg("%s", err.text);
	assert_null(strstr(err.text, "hunter2"));
}

static void
test_secrets(void **state)
{
	const char *const cmd[] = { "echo", "hunter2", NULL },
			  *const bad[] = { "false", NULL };
	struct secret file = { .kind = SECRET_FILE, .text = at("secret") };

	(void)state;
	put("secret", "hunter2\r\nsecond\n", 0600);
	secret_is(file, "hunter2", NULL);
	put("secret", "hunter2", 0400);
	secret_is(file, "hunter2", NULL);
	put("secret", "hunter2", 0660);
	secret_is(file, NULL, "may be read by group or others (mode 0660)");
	/* What is root's may be read by the group that the service runs with. */
	put("secret", "hunter2", 0640);
	secret_is(file, geteuid() == 0 ? "hunter2" : NULL,
			"may be read by group or others (mode 0640)");
	put("secret", "hunter2", 0604);
	secret_is(file, NULL, "may be read by group or others");
	put("secret", "\nhunter2", 0600);
	secret_is(file, NULL, "is empty");
	put("secret", "hun\x01ter2\n", 0600);
	secret_is(file, NULL, "control byte");
	put("secret", "hun\rter2\n", 0600);
	secret_is(file, NULL, "control byte");
	put("secret", "h\xc3\xbcnter\n", 0600);
	secret_is(file, "h\xc3\xbcnter", NULL);
	secret_is((struct secret){ .kind = SECRET_FILE, .text = at("none") }, NULL,
			"cannot open");
	(void)setenv("TEST_SECRET", "hunter2", 1);
	secret_is((struct secret){ .kind = SECRET_ENV, .text = "TEST_SECRET" },
			"hunter2", NULL);
	secret_is((struct secret){ .kind = SECRET_ENV, .text = "NO_SECRET" }, NULL,
			"is not set");
	secret_is((struct secret){ .kind = SECRET_COMMAND, .argv = cmd }, "hunter2",
			NULL);
	secret_is((struct secret){ .kind = SECRET_COMMAND, .argv = bad }, NULL,
			"status 1");
	secret_is((struct secret){ .kind = SECRET_VALUE, .text = "hunter2" }, "hunter2",
			NULL);
	struct secret cred = { .kind = SECRET_CREDENTIAL, .text = "secret" };
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	secret_is(cred, NULL, "CREDENTIALS_DIRECTORY is not set");
	(void)setenv("CREDENTIALS_DIRECTORY", dir, 1);
	put("secret", "hunter2\n", 0440);
	secret_is(cred, "hunter2", NULL);
	cred.text = "../x";
	secret_is(cred, NULL, "is no name of a credential");
	secret_is((struct secret){ .kind = SECRET_NONE }, NULL, "no password");
}

static void
test_digests(void **state)
{
	uint8_t sum[DIGEST_SIZE];
	char hex[DIGEST_HEX_SIZE];
	struct span two[] = { SPAN("a"), SPAN("bc") };
	struct digest *d = digest_new();

	(void)state;
	digest_of(two, 2, sum);
	digest_hex(sum, hex);
	assert_string_equal(hex,
			"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	for (int i = 0; i < 2; i++) {
		digest_add(d, SPAN("ab"));
		digest_add(d, SPAN(""));
		digest_add(d, SPAN("c"));
		uint8_t again[DIGEST_SIZE];
		digest_end(d, again);
		assert_memory_equal(sum, again, sizeof(sum));
	}
	digest_free(d);
	digest_hmac(SPAN("Jefe"), SPAN("what do ya want for nothing?"), sum);
	digest_hex(sum, hex);
	assert_string_equal(hex,
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	assert_true(digest_md5_hex(two, 2, hex)); /* RFC 1321 A.5 */
	assert_string_equal(hex, "900150983cd24fb0d6963f7d28e17f72");
	assert_true(digest_md5_hex(NULL, 0, hex));
	assert_string_equal(hex, "d41d8cd98f00b204e9800998ecf8427e");
	assert_true(digest_hmac_md5_hex(/* RFC 2104 */
			SPAN("Jefe"), SPAN("what do ya want for nothing?"), hex));
	assert_string_equal(hex, "750c783e6ab0b503eaa86e310a5db738");
	assert_true(digest_same(SPAN("ab"), SPAN("ab")));
	assert_false(digest_same(SPAN("ab"), SPAN("ac")));
	assert_false(digest_same(SPAN("ab"), SPAN("abc")));
}

static int
dies(const char *program, const char *want)
{
	char line[500];

	(void)snprintf(line, sizeof(line),
			"POSTERN_CRASH='%s' POSTERN_CRASH_TRACE=%s exec %s crash", want,
			at("trace"), program);
	pid_t pid = fork();
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(99);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 100 + WTERMSIG(status) : WEXITSTATUS(status);
}

static char self[300];

static void
test_crash_points(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(1000);

	(void)state;
	assert_false(crash_armed);
	assert_int_equal(dies(self, "second"), 109);
	assert_true(file_read(AT_FDCWD, at("trace"), 0, &b, NULL));
	assert_true(span_eq(buf_span(&b), SPAN("first\nsecond\n")));
	assert_int_equal(dies(self, "second#2"), 109);
	assert_int_equal(dies(self, "second#3"), 42);
	assert_int_equal(dies(self, "#3"), 109);
	assert_int_equal(dies(self, "#4"), 42);
	assert_int_equal(dies(self, "none"), 42);
	assert_int_equal(dies(self, ""), 42);
}

static void
test_sandbox_shuts_the_rest_out(void **state)
{
	int status = 0, abi = 0;

	(void)state;
	put("inside", "x", 0600);
	pid_t pid = fork();
	if (pid == 0) {
		const char *const rw[] = { dir, "/no/such/path", NULL };
		const char *const ro[] = { "/usr", NULL };
		struct err err;

		if (!sandbox_start(&err) || !sandbox_user(NULL, &err))
			_exit(1);
		if (!sandbox_files(rw, ro, false, &abi, &err))
			_exit(2);
		if (abi == 0)
			_exit(77);
		if (open(at("inside"), O_RDWR) < 0 ||
				open(at("new"), O_RDWR | O_CREAT, 0600) < 0)
			_exit(3);
		if (rename(at("new"), at("newer")) != 0 ||
				truncate(at("inside"), 0) != 0)
			_exit(4);
		if (open("/usr", O_RDONLY | O_DIRECTORY) < 0)
			_exit(5);
		if (open("/etc/passwd", O_RDONLY) >= 0)
			_exit(6);
		if (open("/usr/x", O_RDWR | O_CREAT, 0600) >= 0)
			_exit(7);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
	struct err err;
	assert_false(sandbox_user("no-such-user-here", &err));
	assert_non_null(strstr(err.text, "there is no user"));
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "crash") == 0) {
		crash_point("first");
		crash_point("second");
		crash_point("second");
		return 42;
	}
	(void)snprintf(self, sizeof(self), "%s", argv[0]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole_files, make, drop),
		cmocka_unit_test_setup_teardown(test_directories, make, drop),
		cmocka_unit_test_setup_teardown(test_many_parts, make, drop),
		cmocka_unit_test_setup_teardown(test_log_follows_its_name, make, drop),
		cmocka_unit_test_setup_teardown(test_lock_names_its_holder, make, drop),
		cmocka_unit_test_setup_teardown(
				test_programs_within_limits, make, drop),
		cmocka_unit_test_setup_teardown(test_secrets, make, drop),
		cmocka_unit_test_setup_teardown(test_digests, make, drop),
		cmocka_unit_test_setup_teardown(test_crash_points, make, drop),
		cmocka_unit_test_setup_teardown(
				test_sandbox_shuts_the_rest_out, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
