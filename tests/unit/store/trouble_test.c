/* The disk and the database fail under the store: nothing that was answered is lost, and
 * nothing that failed is answered. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "fixture.h"
#include "shim.h"
#include "state.h"

/* ---- what the store syncs itself, and when ---- */

static char order[64]; /* F a spool file, D a directory, L the log */
static size_t order_n;
static int spool_syncs, sync_fails_at; /* of fdatasync and fsync; 0: never */

static void
note(char c)
{
	if (order_n < sizeof order - 1)
		order[order_n++] = c;
	order[order_n] = '\0';
}

static bool
fails(void)
{
	if (sync_fails_at == 0 || ++spool_syncs != sync_fails_at)
		return false;
	errno = EIO;
	return true;
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

int
__wrap_fdatasync(int fd)
{
	note('F');
	return fails() ? -1 : __real_fdatasync(fd);
}

int
__wrap_fsync(int fd)
{
	note('D');
	return fails() ? -1 : __real_fsync(fd);
}

static void
note_log(enum shim_call call, bool log)
{
	if (call == SHIM_SYNC && log)
		note('L');
}

/* ---- mail ---- */

static struct submission
large(struct state *t, const char *uidl)
{
	struct submission sub = fixture_message(t, uidl);
	sub.spool_fd = spool_create(t->store, sub.id, &t->err);
	assert_true(sub.spool_fd >= 0);
	assert_true(spool_write(sub.spool_fd, SPAN("a large message"), &sub.spool_size,
			&t->err));
	return sub;
}

static enum store_result
run_one(struct state *t, struct store_job *job)
{
	struct list jobs;
	list_init(&jobs);
	list_add(&jobs, &job->link);
	group_run(t->store, &jobs);
	return job->result;
}

static const struct settle_recipient delivered = { .state = QUEUE_DELIVERED,
	.attempted = true };

static struct settlement
settlement_of(uint64_t id)
{
	return (struct settlement){ .job = { .work = STORE_SETTLE },
		.id = id,
		.at_ms = NOW,
		.recipients = &delivered,
		.n = 1 };
}

static bool
known(struct state *t, uint64_t id, struct queue_story *story)
{
	bool found;
	if (!queue_show(store_reader(t->store), id, &t->arena, story, &found, &t->err))
		fail_msg("%s", t->err.text);
	return found;
}

static void
whole(struct state *t, uint64_t id)
{
	struct body *b = body_open(store_reader(t->store), id, &t->err);
	struct span piece = { "", 1 };
	if (!b)
		fail_msg("%s", t->err.text);
	while (piece.n > 0)
		assert_true(body_next(b, &piece, &t->err));
	body_close(b);
}

/* What is in the queue after everything that a run of `work` did. */
struct work {
	struct submission small, large;
	struct settlement settle;
	struct pruning prune;
	uint64_t old; /* what is settled: its body is a file */
	bool fired[4]; /* the fault came while that group was done */
};

/* Groups one by one: a fault in one must fail it, or change nothing. */
static void
do_work(struct state *t, struct work *w)
{
	struct store_job *const jobs[] = { &w->small.job, &w->large.job, &w->settle.job,
		&w->prune.job };
	w->prune = (struct pruning){ .job = { .work = STORE_PRUNE },
		.keep_ms = STORE_HISTORY_MS };
	for (size_t i = 0; i < 4; i++) {
		long before = shim.failed;
		run_one(t, jobs[i]);
		w->fired[i] = shim.failed > before;
		t->store->wal_pages = 1000000; /* it is time to write the log back */
		(void)space_tidy(t->store);
	}
}

static void
check_work(struct state *t, struct work *w)
{
	struct queue_story s;
	struct submission *const subs[] = { &w->small, &w->large };
	for (size_t i = 0; i < 2; i++) {
		if (w->fired[i])
			assert_int_not_equal(subs[i]->job.result, STORE_DONE);
		if (subs[i]->job.result != STORE_DONE &&
				subs[i]->spool_fd >= 0) /* as the relay does */
			spool_remove(t->store, subs[i]->id);
	}
	close(w->large.spool_fd);
	fixture_reopen(t);
	assert_int_equal(t->found.damaged, 0);
	for (size_t i = 0; i < 2; i++) {
		bool there = known(t, subs[i]->id, &s);
		if (subs[i]->job.result == STORE_DONE)
			assert_true(there);
		if (there)
			whole(t, subs[i]->id);
	}
	assert_true(known(t, w->old, &s));
	bool open = s.message.recipients[0].state == QUEUE_QUEUED;
	if (w->settle.job.result == STORE_DONE)
		assert_false(open);
	if (open)
		whole(t, w->old);
}

/* False: there were fewer calls than n. */
static bool
nth_fails(struct state *t, long n, int code, bool for_good)
{
	struct work w = { 0 };
	w.small = large(t, NULL);
	assert_int_equal(fixture_do(t, &w.small.job), STORE_DONE);
	close(w.small.spool_fd);
	w.old = w.small.id;
	w.small = fixture_message(t, NULL);
	w.large = large(t, NULL);
	w.settle = settlement_of(w.old);
	shim_fail(n, code, for_good);
	do_work(t, &w);
	bool fired = shim.failed > 0;
	shim_fail(0, 0, false);
	/* The disk is well again: so is the store. */
	fixture_submit(t, NULL);
	assert_int_equal(store_health(t->store).trouble, STORE_SOUND);
	check_work(t, &w);
	return fired;
}

static void
whichever_write_or_sync_fails_nothing_answered_is_lost(void **state)
{
	struct state *t = *state;
	static const struct {
		int code;
		bool for_good;
	} rows[] = { { 0, false }, { 0, true }, { SQLITE_FULL, false } };
	/* In turn: a commit is several writes, so each of the three meets each of its parts. */
	long n = 1;
	while (nth_fails(t, n, rows[n % 3].code, rows[n % 3].for_good))
		n++;
	assert_true(n > 50);
}

static void
files_of_a_settlement_that_failed_stay(void **state)
{
	struct state *t = *state;
	struct submission sub = large(t, "a");
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	close(sub.spool_fd);
	struct settlement set = settlement_of(sub.id);
	shim_fail(1, 0, false);
	assert_int_equal(fixture_do(t, &set.job), STORE_FAILED);
	assert_true(fixture_spool_has(t, sub.id));
	/* Not by the next group either. */
	fixture_submit(t, "b");
	assert_true(fixture_spool_has(t, sub.id));
	whole(t, sub.id);
	assert_int_equal(fixture_do(t, &set.job), STORE_DONE);
	assert_false(fixture_spool_has(t, sub.id));
}

/* A log that may hold a commit whole needs the files of all its messages. */
static void
messages_of_one_commit_in_doubt_all_keep_their_files(void **state)
{
	struct state *t = *state;
	size_t kept = 0;
	for (long n = 1; n < 20; n++) {
		struct submission subs[3] = { large(t, NULL), large(t, NULL),
			large(t, NULL) };
		struct list jobs;
		size_t left = 0;
		list_init(&jobs);
		for (size_t i = 0; i < 3; i++)
			list_add(&jobs, &subs[i].job.link);
		shim_fail(n, 0, false);
		group_run(t->store, &jobs);
		bool fired = shim.failed > 0;
		shim_fail(0, 0, false);
		for (size_t i = 0; i < 3; i++) {
			close(subs[i].spool_fd);
			if (subs[i].job.result == STORE_DONE)
				continue;
			spool_remove(t->store, subs[i].id);
			left += fixture_spool_has(t, subs[i].id);
		}
		assert_true(left == 0 || left == 3);
		kept += left;
		if (!fired)
			break;
	}
	assert_true(kept > 0);
}

static void
a_file_is_synced_then_its_directory_then_the_log(void **state)
{
	struct state *t = *state;
	struct submission sub = large(t, "a"), small = fixture_message(t, "b");
	shim.seen = note_log;
	order_n = 0;
	assert_int_equal(run_one(t, &sub.job), STORE_DONE);
	close(sub.spool_fd);
	if (strcmp(order, "FDL") != 0)
		fail_msg("%s", order);
	order_n = 0;
	assert_int_equal(run_one(t, &small.job), STORE_DONE);
	if (strcmp(order, "L") != 0)
		fail_msg("%s", order);
}

static void
a_spool_that_cannot_be_synced_is_trouble(void **state)
{
	struct state *t = *state;
	for (sync_fails_at = 1; sync_fails_at <= 2; sync_fails_at++) {
		struct submission sub = large(t, NULL);
		spool_syncs = 0;
		assert_int_equal(fixture_do(t, &sub.job), STORE_FAILED);
		close(sub.spool_fd);
		assert_int_equal(store_health(t->store).trouble, STORE_DISK_FAILS);
		assert_int_equal(store_health(t->store).broken, sync_fails_at);
		assert_int_equal(store_health(t->store).err.event, 9005);
	}
	sync_fails_at = 0;
	fixture_submit(t, "a");
	assert_int_equal(store_health(t->store).broken, 0);
}

static void
each_trouble_has_its_words(void **state)
{
	struct state *t = *state;
	static const struct {
		int code;
		enum store_result result;
		enum store_trouble trouble;
		const char *words;
	} rows[] = {
		{ SQLITE_FULL, STORE_FULL, STORE_DISK_FULL, "the disk is full" },
		{ SQLITE_IOERR_WRITE, STORE_FAILED, STORE_DISK_FAILS,
				"disk I/O error" },
		{ SQLITE_CORRUPT, STORE_FAILED, STORE_DAMAGED, "damaged" },
		{ SQLITE_BUSY, STORE_BUSY, STORE_LOCKED, "database is locked" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct submission sub = fixture_message(t, NULL);
		shim_fail(1, rows[i].code, true);
		assert_int_equal(fixture_do(t, &sub.job), rows[i].result);
		struct store_health h = store_health(t->store);
		assert_int_equal(h.trouble, rows[i].trouble);
		assert_int_equal(sub.job.trouble, rows[i].trouble);
		if (h.err.event != 9005 || !strstr(h.err.text, rows[i].words))
			fail_msg("%d %s", h.err.event, h.err.text);
		shim_fail(0, 0, false);
		sub = fixture_message(t, NULL);
		assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
		assert_int_equal(store_health(t->store).trouble, STORE_SOUND);
	}
	/* A database that was seen to be damaged is read through at the next start. */
	assert_true(place_suspected(t->store->dir));
	fixture_reopen(t);
	assert_false(place_suspected(t->store->dir));
}

/* ---- files that are taken away ---- */

static char log_path[96], index_path[96], copy_path[96];

static void
remove_log(void)
{
	assert_int_equal(unlink(log_path), 0);
}

static void
remove_index(void)
{
	assert_int_equal(unlink(index_path), 0);
}

static void
remove_both(void)
{
	remove_log();
	remove_index();
}

static void
put(const char *path, const char *octets, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, octets, n), n);
	close(fd);
}

static void
replace_by_junk(void)
{
	remove_log();
	put(log_path, "junk", 4);
}

/* A log of before is whole in itself: read again, it would take everything back. */
static void
replace_by_copy(void)
{
	assert_int_equal(rename(copy_path, log_path), 0);
}

static void
copy_log(void)
{
	char octets[8192];
	ssize_t n;
	int from = open(log_path, O_RDONLY);
	int to = open(copy_path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	while ((n = read(from, octets, sizeof octets)) > 0)
		assert_int_equal(write(to, octets, (size_t)n), n);
	assert_int_equal(n, 0);
	close(from);
	close(to);
}

static void (*const takings[])(void) = { remove_log, remove_index, remove_both,
	replace_by_junk, replace_by_copy };
enum { TAKINGS = sizeof takings / sizeof takings[0] };

/* The service: two messages, the second after a copy of the log was made; then the files
 * are taken, at one of three moments. It is killed when it has done so in each of its states. */
enum moment { BEFORE_A_GROUP, WHILE_IDLE, DURING_A_COMMIT, MOMENTS };

static void (*taking)(void);

static void
take_in_commit(enum shim_call call, bool log)
{
	if (call == SHIM_SYNC && log) {
		shim.seen = NULL;
		taking();
	}
}

static int
service(struct state *t, enum moment moment)
{
	bool answered = false;
	shim_fail(0, 0, false);
	snprintf(log_path, sizeof log_path, "%s/postern.db-wal", t->dir);
	snprintf(index_path, sizeof index_path, "%s/postern.db-shm", t->dir);
	snprintf(copy_path, sizeof copy_path, "%s/copy", t->dir);
	if (!fixture_open(t, true))
		return 1;
	fixture_submit(t, "first");
	if (taking == replace_by_copy)
		copy_log();
	fixture_submit(t, "second");
	struct submission sub = fixture_message(t, "third");
	if (moment == DURING_A_COMMIT)
		shim.seen = take_in_commit;
	else
		taking();
	if (moment == WHILE_IDLE)
		transaction_look(t->store);
	else
		answered = fixture_do(t, &sub.job) == STORE_DONE;
	struct store_health h = store_health(t->store);
	if (!h.over || h.trouble != STORE_MOVED || h.err.event != 9015 ||
			!strstr(h.err.text, "saved in postern.db"))
		return 2;
	/* What is in the log when it loses its name may be answered; nothing after. */
	if ((moment == DURING_A_COMMIT) != answered)
		return 3;
	sub = fixture_message(t, "fourth");
	if (fixture_do(t, &sub.job) != STORE_FAILED || sub.job.trouble != STORE_MOVED)
		return 4;
	return 0;
}

static void
services(struct state *all[MOMENTS][TAKINGS])
{
	for (int moment = 0; moment < MOMENTS; moment++)
		for (size_t i = 0; i < TAKINGS; i++) {
			taking = takings[i];
			int bad = service(all[moment][i], (enum moment)moment);
			if (bad == 0)
				continue;
			print_error("moment %d, taking %zu: %d\n", moment, i, bad);
			_exit(1);
		}
	raise(SIGKILL);
}

static void
is_left(struct state *t, enum moment moment, size_t which)
{
	if (!fixture_open(t, true))
		fail_msg("moment %d, taking %zu: %s", (int)moment, which, t->err.text);
	struct queue_message *m;
	size_t due = fixture_due(t, "drop", NOW, &m);
	if (due != (moment == DURING_A_COMMIT ? 3u : 2u))
		fail_msg("moment %d, taking %zu: %zu are left", (int)moment, which,
				due);
	fixture_submit(t, "after");
}

/* Edge 7. */
static void
a_log_taken_away_takes_nothing_with_it(void **state)
{
	(void)state;
	struct state *all[MOMENTS][TAKINGS];
	int status;
	for (size_t i = 0; i < (size_t)MOMENTS * TAKINGS; i++)
		all[i / TAKINGS][i % TAKINGS] = fixture_make();
	pid_t pid = fork();
	if (pid == 0)
		services(all);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	shim_fail(0, 0, false);
	for (size_t i = 0; i < (size_t)MOMENTS * TAKINGS; i++) {
		void *s = all[i / TAKINGS][i % TAKINGS];
		is_left(s, (enum moment)(i / TAKINGS), i % TAKINGS);
		fixture_tear_down(&s);
	}
}

/* It cannot be saved on a failing disk: then nobody is answered, and it is tried again. */
static void
a_log_that_cannot_be_saved_yet_stays_open(void **state)
{
	struct state *t = *state;
	snprintf(log_path, sizeof log_path, "%s/postern.db-wal", t->dir);
	fixture_submit(t, "first");
	remove_log();
	for (int i = 0; i < 3; i++) {
		struct submission sub = fixture_message(t, "second");
		shim_fail(1, 0, true);
		assert_int_equal(fixture_do(t, &sub.job), STORE_FAILED);
		assert_false(store_health(t->store).over);
	}
	shim_fail(0, 0, false);
	transaction_look(t->store);
	assert_true(store_health(t->store).over);
	fixture_reopen(t);
	struct queue_message *m;
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 1);
}

static off_t
log_size(void)
{
	struct stat st;
	assert_int_equal(stat(log_path, &st), 0);
	return st.st_size;
}

static void
a_file_in_the_place_of_the_log_is_left_as_it_is(void **state)
{
	struct state *t = *state;
	snprintf(log_path, sizeof log_path, "%s/postern.db-wal", t->dir);
	fixture_submit(t, "first");
	replace_by_junk();
	t->store->wal_pages = 1000000; /* it is time to write the log back */
	(void)space_tidy(t->store);
	assert_int_equal(log_size(), 4);
	struct submission sub = fixture_message(t, "second");
	shim_fail(1, 0, true);
	assert_int_equal(fixture_do(t, &sub.job), STORE_FAILED);
	assert_int_equal(store_health(t->store).err.event, 9015);
	assert_int_equal(log_size(), 4);
}

static void
a_database_replaced_by_another_is_not_gone_on_with(void **state)
{
	struct state *t = *state;
	char path[96], aside[96];
	struct submission sub;
	snprintf(path, sizeof path, "%s/postern.db", t->dir);
	snprintf(aside, sizeof aside, "%s/aside", t->dir);
	uint64_t id = fixture_submit(t, "first");
	/* Nor is it written back to: a visitor keeps the log, which is full. */
	struct reader *visitor = reader_open(t->dir, &t->err);
	struct queue_size size;
	assert_true(visitor && queue_count(visitor, &size, &t->err));
	assert_int_equal(rename(path, aside), 0);
	put(path, "", 0);
	for (int i = 0; i < 3; i++) {
		t->store->log_pages = INT_MAX;
		sub = fixture_message(t, "second");
		assert_int_equal(fixture_do(t, &sub.job), STORE_FAILED);
		assert_int_equal(store_health(t->store).trouble, STORE_MOVED);
		assert_int_equal(store_health(t->store).err.event, 9015);
	}
	assert_int_equal(rename(aside, path), 0);
	sub = fixture_message(t, "second");
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	struct queue_story s;
	assert_true(known(t, id, &s));
	reader_close(visitor);
}

static int
set_up(void **state)
{
	shim_fail(0, 0, false);
	return fixture_set_up(state);
}

static int
tear_down(void **state)
{
	shim_fail(0, 0, false);
	return fixture_tear_down(state);
}

#define IN_TROUBLE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_taken_away_takes_nothing_with_it),
		IN_TROUBLE(whichever_write_or_sync_fails_nothing_answered_is_lost),
		IN_TROUBLE(files_of_a_settlement_that_failed_stay),
		IN_TROUBLE(messages_of_one_commit_in_doubt_all_keep_their_files),
		IN_TROUBLE(a_file_is_synced_then_its_directory_then_the_log),
		IN_TROUBLE(a_spool_that_cannot_be_synced_is_trouble),
		IN_TROUBLE(each_trouble_has_its_words),
		IN_TROUBLE(a_log_that_cannot_be_saved_yet_stays_open),
		IN_TROUBLE(a_file_in_the_place_of_the_log_is_left_as_it_is),
		IN_TROUBLE(a_database_replaced_by_another_is_not_gone_on_with),
	};
	shim_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
