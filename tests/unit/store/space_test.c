/* Room on the disk: what is in hand can be settled without any, and what is not needed is
 * given back. */
#include "fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { MANY = 64, MOST = 400 };

static char large[BODY_BLOB_MAX];

static void
reopen_with(struct state *t, uint64_t min_free)
{
	struct store_options o = {
		.service = true, .now_ms = NOW, .min_free = min_free
	};
	store_close(t->store);
	t->store = store_open(t->dir, &o, &t->found, &t->err);
	if (!t->store)
		fail_msg("%s", t->err.text);
}

static enum store_result
submit_large(struct state *t, uint64_t *id)
{
	struct submission sub = fixture_message(t, NULL);
	sub.body = (struct span){ large, sizeof large };
	*id = sub.id;
	return fixture_do(t, &sub.job);
}

static bool
settles(struct state *t, uint64_t id)
{
	struct settle_recipient r = { .state = QUEUE_DELIVERED,
		.attempted = true,
		.reply = SPAN("2.0.0 written") };
	struct settlement set = { .job = { .work = STORE_SETTLE },
		.id = id,
		.at_ms = NOW,
		.recipients = &r,
		.n = 1 };
	return fixture_do(t, &set.job) == STORE_DONE && set.settled;
}

static off_t
database_size(const struct state *t)
{
	char path[128];
	struct stat st;
	snprintf(path, sizeof path, "%s/postern.db", t->dir);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* RLIMIT_FSIZE stands in for the full disk: no file may pass 8 MB. */
static int
on_a_full_disk(struct state *t)
{
	struct rlimit small = { 8 << 20, 8 << 20 };
	static uint64_t ids[MOST];
	size_t n = 0;
	enum store_result result = STORE_DONE;
	signal(SIGXFSZ, SIG_IGN);
	if (!fixture_open(t, true) || setrlimit(RLIMIT_FSIZE, &small) != 0)
		return 1;
	while (n < MOST && (result = submit_large(t, &ids[n])) == STORE_DONE)
		n++;
	if (result != STORE_FULL || n < 32)
		return 2;
	if (store_space_spent(t->store))
		return 3;
	for (size_t i = 0; i < n; i++)
		if (!settles(t, ids[i]))
			return 4;
	/* What was delivered made room, though the file is as long as before. */
	return submit_large(t, &ids[0]) == STORE_DONE ? 0 : 5;
}

/* Edges 16, 17. */
static void
a_full_disk_settles_all_that_it_took_and_then_takes_mail_again(void **state)
{
	struct state *t = *state;
	store_close(t->store);
	t->store = NULL;
	pid_t pid = fork();
	if (pid == 0)
		_exit(on_a_full_disk(t));
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("status %x", (unsigned)status);
}

/* Edge 30. */
static void
free_pages_go_back_to_a_disk_that_is_low(void **state)
{
	struct state *t = *state;
	uint64_t ids[MANY];
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(submit_large(t, &ids[i]), STORE_DONE);
	reopen_with(t, UINT64_MAX); /* whatever there is, it is not enough */
	assert_true(store_space_low(t->store));
	for (size_t i = 0; i < MANY; i++)
		assert_true(settles(t, ids[i]));
	struct list none;
	list_init(&none);
	for (int i = 0; i < MANY; i++)
		store_run(t->store, &none);
	assert_in_range(database_size(t), 1, 1 << 20);
	reopen_with(t, 0);
	assert_false(store_space_low(t->store));
	fixture_submit(t, "after");
}

static int
how_it_shrinks(const struct state *t, const char *first)
{
	char path[128];
	sqlite3 *h;
	sqlite3_stmt *st;
	snprintf(path, sizeof path, "%s/postern.db", t->dir);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, first, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(h, "PRAGMA auto_vacuum", -1, &st, NULL),
			SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int how = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(h);
	return how;
}

static void
a_state_of_an_older_version_learns_to_shrink(void **state)
{
	struct state *t = *state;
	struct queue_message *m;
	fixture_submit(t, "a");
	store_close(t->store);
	t->store = NULL;
	assert_int_equal(how_it_shrinks(t, "PRAGMA auto_vacuum=NONE; VACUUM"), 0);
	reopen_with(t, 0);
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 1);
	store_close(t->store);
	t->store = NULL;
	assert_int_equal(how_it_shrinks(t, ""), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_disk_settles_all_that_it_took_and_then_takes_mail_again),
		TEST(free_pages_go_back_to_a_disk_that_is_low),
		TEST(a_state_of_an_older_version_learns_to_shrink),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
