#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <utime.h>

#include "fixture.h"
#include "postern/file.h"
#include "state.h"

static void
path_of(struct state *t, const char *name, char out[160])
{
	snprintf(out, 160, "%s/%s", t->dir, name);
}

static void
overwrite(struct state *t, const char *name, off_t at, const char *bytes, size_t n)
{
	char path[160];
	path_of(t, name, path);
	int fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static void
close_store(struct state *t)
{
	store_close(t->store);
	t->store = NULL;
}

/* As SIGKILL would leave it: a child opens, works and dies. */
static void
in_a_child_that_dies(struct state *t, void (*work)(struct state *t))
{
	close_store(t);
	pid_t pid = fork();
	if (pid == 0) {
		if (!fixture_open(t, true))
			_exit(1);
		work(t);
		raise(SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void
files_are_private(void **state)
{
	struct state *t = *state;
	static const char *const names[] = { "postern.db", "postern.db-wal", "spool",
		"" };
	fixture_submit(t, "a");
	for (size_t i = 0; i < 4; i++) {
		struct stat st;
		char path[160];
		path_of(t, names[i], path);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 077, 0);
	}
}

static void
nothing_is_recovered_after_a_clean_end(void **state)
{
	struct state *t = *state;
	fixture_submit(t, "a");
	fixture_reopen(t);
	assert_false(t->found.unclean);
	assert_int_equal(t->found.queued, 1);
}

static void
work_to_be_lost(struct state *t)
{
	uint64_t written = 0;
	fixture_submit(t, "a");
	struct submission sub = fixture_message(t, "half");
	sub.spool_fd = spool_create(t->store, sub.id, NULL);
	(void)!spool_write(sub.spool_fd, SPAN("half a message"), &written, NULL);
	sub = fixture_message(t, "whole");
	sub.spool_fd = spool_create(t->store, sub.id, NULL);
	(void)!spool_write(
			sub.spool_fd, SPAN("a whole message"), &sub.spool_size, NULL);
	(void)fixture_do(t, &sub.job);
}

static void
a_crash_leaves_what_was_committed(void **state)
{
	struct state *t = *state;
	in_a_child_that_dies(t, work_to_be_lost);
	assert_non_null(fixture_open(t, true));
	assert_true(t->found.unclean);
	assert_int_equal(t->found.queued, 2);
	assert_int_equal(t->found.verified, 1);
	assert_int_equal(t->found.damaged, 0);
	assert_int_equal(t->found.resumed, 1); /* the half file: its session died too */
	struct queue_message *m;
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 2);
}

static void
orphans_are_swept_when_no_session_can_own_them(void **state)
{
	struct state *t = *state;
	/* Of visitors, who may be at work while the service starts. */
	uint64_t id = store_new_id(t->store, NOW) | 0x8000,
		 young = store_new_id(t->store, NOW) | 0x8000, w = 0;
	/* Of the service itself. */
	uint64_t half = store_new_id(t->store, NOW);
	int own = spool_create(t->store, half, &t->err);
	assert_true(own >= 0);
	close(own);
	char name[QID_SIZE], path[160], rel[32];
	for (int i = 0; i < 2; i++) {
		int fd = spool_create(t->store, i ? young : id, &t->err);
		assert_true(spool_write(fd, SPAN("x"), &w, &t->err));
		close(fd);
	}
	for (int i = 0; i < 2; i++) {
		qid_print(i ? young : id, name);
		snprintf(rel, sizeof rel, "spool/%s", name);
		path_of(t, rel, path);
		time_t when = (time_t)(NOW / 1000) - (i ? 35 : 37) * 3600;
		assert_int_equal(utime(path, &(struct utimbuf){ when, when }), 0);
	}
	/* And one as old that a message in the queue still needs. */
	struct submission sub = fixture_message(t, "a");
	sub.spool_fd = spool_create(t->store, sub.id, &t->err);
	assert_true(spool_write(sub.spool_fd, SPAN("x"), &sub.spool_size, &t->err));
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	assert_int_equal(futimens(sub.spool_fd, old), 0);
	close(sub.spool_fd);

	fixture_reopen(t);
	assert_true(fixture_spool_has(t, sub.id));
	assert_int_equal(t->found.resumed, 2);
	assert_false(fixture_spool_has(t, half));
	assert_false(fixture_spool_has(t, id));
	assert_true(fixture_spool_has(t, young));
}

static void
refuses(struct state *t, int event, const char *word)
{
	assert_null(fixture_open(t, true));
	if (t->err.event != event || !strstr(t->err.text, word))
		fail_msg("%d %s", t->err.event, t->err.text);
}

static void
a_damaged_database_is_refused(void **state)
{
	struct state *t = *state;
	static char junk[4096];
	memset(junk, 0x5a, sizeof junk);
	for (int i = 0; i < 50; i++) {
		char uidl[16];
		snprintf(uidl, sizeof uidl, "u%d", i);
		fixture_submit(t, uidl);
	}
	close_store(t);
	overwrite(t, "postern.db", 3 * 4096, junk, sizeof junk);
	refuses(t, 9005, "damaged");
	overwrite(t, "postern.db", 0, junk, sizeof junk);
	refuses(t, 9005, "");
}

/* A large one is read through where there is reason to: after a crash, or damage was met. */
static void
a_large_database_is_read_through_after_a_crash(void **state)
{
	struct state *t = *state;
	static char big[BODY_BLOB_MAX], junk[4096];
	memset(junk, 0x5a, sizeof junk);
	for (int i = 0; i < 100; i++) {
		struct submission sub = fixture_message(t, NULL);
		sub.body = (struct span){ big, sizeof big };
		assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	}
	close_store(t);
	overwrite(t, "postern.db", 1000 * 4096, junk, sizeof junk);
	assert_non_null(fixture_open(t, true));
	assert_false(t->found.unclean);
	place_suspect(t->store->dir);
	close_store(t);
	refuses(t, 9005, "damaged");
	char path[160];
	path_of(t, "postern.suspect", path);
	assert_int_equal(unlink(path), 0);
	assert_non_null(fixture_open(t, true));
	close_store(t);
	path_of(t, "postern.db-wal", path);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, junk, 32), 32);
	close(fd);
	refuses(t, 9005, "damaged");
}

/* Whoever looks for a lost database finds words beside its place. */
static void
the_marker_says_what_it_is_for(void **state)
{
	struct state *t = *state;
	AUTO(buf_done) struct buf got = BUF_MAX(1000);
	char path[160];
	path_of(t, "postern.made", path);
	assert_true(file_read(AT_FDCWD, path, 0, &got, &t->err));
	assert_non_null(strstr(buf_cstr(&got), "was made by Postern"));
	assert_true(span_ends_nocase(buf_span(&got), SPAN("begin anew.\n")));
}

static void
a_newer_version_is_refused(void **state)
{
	struct state *t = *state;
	close_store(t);
	overwrite(t, "postern.db", 60, "\0\0\0\x63",
			4); /* user_version in the file's header */
	refuses(t, 9005, "version 99");
	assert_null(reader_open(t->dir, &t->err));
	assert_int_equal(t->err.event, 9005);
}

static void
a_foreign_database_is_refused(void **state)
{
	struct state *t = *state;
	close_store(t);
	overwrite(t, "postern.db", 68, "abcd", 4); /* application_id */
	refuses(t, 9005, "not one of");
}

static void
nothing_starts_empty_beside_mail(void **state)
{
	struct state *t = *state;
	char path[160];
	uint64_t w = 0;
	int fd = spool_create(t->store, store_new_id(t->store, NOW), &t->err);
	assert_true(spool_write(fd, SPAN("x"), &w, &t->err));
	close(fd);
	close_store(t);
	path_of(t, "postern.db", path);
	assert_int_equal(truncate(path, 0), 0);
	refuses(t, 9005, "holds mail");
	assert_int_equal(unlink(path), 0);
	refuses(t, 9005, "holds mail");
	struct stat st;
	assert_int_equal(stat(path, &st), -1); /* and none was made */
}

static void
a_database_taken_away_is_noticed(void **state)
{
	struct state *t = *state;
	char path[160], aside[160];
	path_of(t, "postern.db", path);
	path_of(t, "aside", aside);
	assert_int_equal(rename(path, aside), 0);
	struct submission sub = fixture_message(t, "a");
	assert_int_equal(fixture_do(t, &sub.job), STORE_FAILED);
	sub = fixture_message(t, "a");
	assert_int_equal(fixture_do(t, &sub.job), STORE_FAILED);
	assert_int_equal(store_health(t->store).broken, 2);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rename(aside, path), 0);
	sub = fixture_message(t, "a");
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	assert_int_equal(store_health(t->store).broken, 0);
}

/* RLIMIT_FSIZE stands in for the full disk: writes past it fail. In a child, since
 * SIGXFSZ and the limit stay. By a visitor, who sets no room aside: the service would
 * know before it writes (space_test.c). */
static int
on_a_full_disk(struct state *t)
{
	struct rlimit small = { 300000, 300000 };
	struct queue_message *m;
	enum store_result result = STORE_DONE;
	static char big[BODY_BLOB_MAX];
	signal(SIGXFSZ, SIG_IGN);
	if (!fixture_open(t, false) || setrlimit(RLIMIT_FSIZE, &small) != 0)
		return 1;
	size_t good = 0;
	for (; good < 100 && result == STORE_DONE; good += result == STORE_DONE) {
		struct submission sub = fixture_message(t, NULL);
		sub.body = (struct span){ big, sizeof big };
		result = fixture_do(t, &sub.job);
		if (result != STORE_DONE && !sub.job.err.text[0])
			return 2;
	}
	if (result == STORE_DONE || result == STORE_HAD)
		return 3;
	struct queue_due want = {
		.hop = SPAN("drop"), .now_ms = NOW, .messages = 100, .recipients = 1
	};
	size_t n;
	if (!queue_due(store_reader(t->store), &want, &t->arena, &m, &n, &t->err) ||
			n != good)
		return 4;
	/* A commit that failed on the disk may turn out whole: its file stays. */
	struct submission sub;
	do {
		sub = fixture_message(t, NULL);
		sub.spool_fd = spool_create(t->store, sub.id, NULL);
		if (!spool_write(sub.spool_fd, SPAN("x"), &sub.spool_size, NULL))
			return 5;
	} while (fixture_do(t, &sub.job) == STORE_DONE && ++good < 1000);
	spool_remove(t->store, sub.id);
	if (sub.job.result != STORE_FAILED || !fixture_spool_has(t, sub.id))
		return 6;
	return good > 0 ? 0 : 7;
}

static void
a_full_disk_loses_nothing_that_was_acknowledged(void **state)
{
	struct state *t = *state;
	close_store(t);
	pid_t pid = fork();
	if (pid == 0)
		_exit(on_a_full_disk(t));
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("status %x", (unsigned)status);
	assert_non_null(fixture_open(t, true));
	fixture_submit(t, "again");
}

static void
below_the_floor_mail_is_put_off_and_deliveries_go_on(void **state)
{
	struct state *t = *state;
	uint64_t id = fixture_submit(t, "a");
	close_store(t);
	struct store_options o = {
		.service = true, .now_ms = NOW, .min_free = UINT64_MAX
	};
	t->store = store_open(t->dir, &o, &t->found, &t->err);
	assert_non_null(t->store);
	assert_true(store_space_low(t->store));
	struct submission sub = fixture_message(t, "b");
	struct settle_recipient r = { .state = QUEUE_DELIVERED, .attempted = true };
	struct settlement set = { .job = { .work = STORE_SETTLE },
		.id = id,
		.at_ms = NOW,
		.recipients = &r,
		.n = 1 };
	struct list jobs;
	list_init(&jobs);
	list_add(&jobs, &sub.job.link);
	list_add(&jobs, &set.job.link);
	store_run(t->store, &jobs);
	assert_int_equal(sub.job.result, STORE_FULL);
	assert_int_equal(set.job.result, STORE_DONE);
	assert_true(set.settled);
}

static void
two_processes_may_write(void **state)
{
	struct state *t = *state;
	enum { EACH = 200 };
	pid_t pid = fork();
	if (pid == 0) {
		struct state other =
				*t; /* its own connection: t's must not be touched here */
		if (!fixture_open(&other, false))
			_exit(1);
		for (int i = 0; i < EACH; i++) {
			struct submission sub = fixture_message(&other, NULL);
			if (fixture_do(&other, &sub.job) != STORE_DONE)
				_exit(2);
		}
		store_close(other.store);
		_exit(0);
	}
	for (int i = 0; i < EACH; i++)
		fixture_submit(t, NULL);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	struct queue_size size;
	assert_true(queue_count(store_reader(t->store), &size, &t->err));
	assert_int_equal(size.messages, 2 * EACH);
}

/* Takes the byte of the shared memory that SQLite's writers lock, and stands still. */
static int
hold_for_ever(struct state *t)
{
	char path[160];
	struct flock writer = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1
	};
	path_of(t, "postern.db-shm", path);
	int fd = open(path, O_RDWR);
	if (fd < 0 || fcntl(fd, F_SETLK, &writer) != 0)
		return 1;
	raise(SIGSTOP);
	return 0;
}

/* Another program in the middle of its transaction. */
static void
a_database_held_by_another_is_a_clear_failure(void **state)
{
	struct state *t = *state;
	close_store(t);
	struct store_options o = { .service = true, .now_ms = NOW, .busy_ms = 200 };
	t->store = store_open(t->dir, &o, &t->found, &t->err);
	assert_non_null(t->store);
	fixture_submit(t, "first");
	pid_t pid = fork();
	if (pid == 0)
		_exit(hold_for_ever(t));
	int status;
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	struct submission sub = fixture_message(t, "a");
	assert_int_equal(fixture_do(t, &sub.job), STORE_BUSY);
	if (!strstr(sub.job.err.text, "database is locked"))
		fail_msg("%s", sub.job.err.text);
	assert_int_equal(store_health(t->store).trouble, STORE_LOCKED);
	assert_int_equal(store_health(t->store).broken, 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	sub = fixture_message(t, "a");
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
}

static void
a_reader_sees_what_is_committed_and_may_not_write(void **state)
{
	struct state *t = *state;
	struct reader *r = reader_open(t->dir, &t->err);
	assert_non_null(r);
	uint64_t id = fixture_submit(t, "a");
	struct queue_story story;
	bool found;
	assert_true(queue_show(r, id, &t->arena, &story, &found, &t->err));
	assert_true(found);
	struct body *b = body_open(r, id, &t->err);
	assert_non_null(b);
	body_close(b);
	reader_close(r);
}

static bool
reads(struct state *t, const char *dir, bool *none)
{
	t->err = (struct err){ 0 };
	struct reader *r = reader_find(dir, none, &t->err);
	if (!r && !*none && t->err.event == 0)
		fail_msg("no event: %s", t->err.text);
	reader_close(r);
	return r != NULL;
}

/* Edge 2. */
static void
only_a_database_that_never_was_counts_as_none(void **state)
{
	struct state *t = *state;
	char path[160], made[160], shut[160];
	bool none;
	assert_false(reads(t, "/nonexistent", &none));
	assert_true(none);
	assert_null(reader_open("/nonexistent", &t->err));
	assert_int_equal(t->err.event, 9005);

	assert_true(reads(t, t->dir, &none));
	path_of(t, "postern.db", path);
	path_of(t, "postern.made", made);
	close_store(t);
	assert_int_equal(truncate(path, 0), 0);
	assert_false(reads(t, t->dir, &none));
	assert_false(none);
	assert_non_null(strstr(t->err.text, "empty"));
	assert_int_equal(unlink(path), 0);
	assert_false(reads(t, t->dir, &none));
	assert_false(none);
	assert_non_null(strstr(t->err.text, "missing"));
	refuses(t, 9005, "missing");
	assert_int_equal(t->found.trouble, STORE_DAMAGED);

	/* A directory that is not there, in one that is no directory. */
	path_of(t, "postern.made/state", shut);
	assert_false(reads(t, shut, &none));
	assert_false(none);
	/* Whoever removes the marker too begins anew. */
	assert_int_equal(unlink(made), 0);
	assert_false(reads(t, t->dir, &none));
	assert_true(none);
	assert_non_null(fixture_open(t, true));
	assert_int_equal(access(made, F_OK), 0);
}

static void
a_database_without_content_is_not_filled_beside_a_state_in_use(void **state)
{
	struct state *t = *state;
	char path[160];
	bool none;
	path_of(t, "postern.db", path);
	close_store(t);
	assert_int_equal(unlink(path), 0);
	sqlite3 *h;
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, "PRAGMA journal_mode=WAL", NULL, NULL, NULL),
			SQLITE_OK);
	sqlite3_close(h);
	assert_false(reads(t, t->dir, &none));
	assert_false(none);
	refuses(t, 9005, "without content");
}

/* No descriptor is left: every open fails with EMFILE, as it does in a crowd. */
static int
without_descriptors(struct state *t)
{
	int fds[64], n = 0;
	bool none = true;
	struct rlimit few = { 32, 32 };
	if (setrlimit(RLIMIT_NOFILE, &few) != 0)
		return 1;
	while (n < 64 && (fds[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	for (; n >= 0; n--) {
		struct reader *r = reader_find(t->dir, &none, &t->err);
		reader_close(r);
		if (none || (!r && t->err.event != 9005))
			return 2;
		if (r)
			return 0;
		if (n > 0)
			close(fds[n - 1]);
	}
	return 3;
}

/* Edge 2: however many opens go well before the one that fails. */
static void
a_failed_open_is_never_taken_for_no_state(void **state)
{
	struct state *t = *state;
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(without_descriptors(t));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_are_private),
		TEST(nothing_is_recovered_after_a_clean_end),
		TEST(a_crash_leaves_what_was_committed),
		TEST(orphans_are_swept_when_no_session_can_own_them),
		TEST(a_damaged_database_is_refused),
		TEST(a_large_database_is_read_through_after_a_crash),
		TEST(the_marker_says_what_it_is_for),
		TEST(a_newer_version_is_refused),
		TEST(a_foreign_database_is_refused),
		TEST(nothing_starts_empty_beside_mail),
		TEST(a_database_taken_away_is_noticed),
		TEST(a_full_disk_loses_nothing_that_was_acknowledged),
		TEST(below_the_floor_mail_is_put_off_and_deliveries_go_on),
		TEST(two_processes_may_write),
		TEST(a_database_held_by_another_is_a_clear_failure),
		TEST(a_reader_sees_what_is_committed_and_may_not_write),
		TEST(only_a_database_that_never_was_counts_as_none),
		TEST(a_database_without_content_is_not_filled_beside_a_state_in_use),
		TEST(a_failed_open_is_never_taken_for_no_state),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
