/* Works, dies at every crash point and at random moments, and is looked at: what was
 * acknowledged is there, nothing is there twice, and the database is whole. */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include <sqlite3.h>

#include "fixture.h"
#include "postern/clock.h"

enum { GROUP = 6, POINTS = 60, KILLS = 60, LARGE = 100000 };

/* What the worker tells, in order, once it is durable. */
struct ack {
	uint64_t id;
	uint32_t uidl;
	enum { ACK_QUEUED, ACK_SETTLED, ACK_WRONG } what;
};

static void
name_of(uint32_t uidl, char out[16])
{
	snprintf(out, 16, "u%08u", uidl);
}

static void
tell(int fd, struct ack a)
{
	if (write(fd, &a, sizeof a) != (ssize_t)sizeof a)
		_exit(3);
}

/* A body that tells its UIDL, so that mixed-up bodies show. */
static void
body_of(uint32_t uidl, char *out, size_t n)
{
	char name[16];
	name_of(uidl, name);
	for (size_t i = 0; i < n; i++)
		out[i] = name[i % 9];
}

static bool
is_large(uint32_t uidl)
{
	return uidl % 5 == 4;
}

static void
submit_group(struct state *t, int fd, uint32_t first, size_t n)
{
	static char bodies[GROUP][LARGE], names[GROUP][16];
	struct submission_recipient to[GROUP];
	char keys[GROUP][STORE_KEY_SIZE];
	uint64_t copy_of[GROUP];
	struct submission s[GROUP];
	struct list jobs;
	list_init(&jobs);
	for (uint32_t i = 0; i < n; i++) {
		name_of(first + i, names[i]);
		s[i] = fixture_message(t, names[i]);
		/* One mail under two UIDLs: the second is a copy, if the first is here. */
		snprintf(keys[i], STORE_KEY_SIZE, "k%014u", (first + i) / 2);
		to[i] = fixture_to;
		to[i].key = (struct span){ keys[i], STORE_KEY_SIZE };
		s[i].recipients = &to[i];
		s[i].copy_of = &copy_of[i];
		s[i].body = (struct span){ bodies[i],
			is_large(first + i) ? LARGE : 3000 };
		body_of(first + i, bodies[i], s[i].body.n);
		if (is_large(first + i)) {
			s[i].spool_fd = spool_create(t->store, s[i].id, NULL);
			if (!spool_write(s[i].spool_fd, s[i].body, &s[i].spool_size,
					    NULL))
				_exit(4);
		}
		list_add(&jobs, &s[i].job.link);
	}
	store_run(t->store, &jobs);
	for (uint32_t i = 0; i < n; i++) {
		bool done = s[i].job.result == STORE_DONE;
		if (s[i].spool_fd >= 0)
			close(s[i].spool_fd);
		tell(fd,
				(struct ack){ .id = done ? s[i].id : s[i].had,
						.uidl = first + i,
						.what = done || s[i].job.result == STORE_HAD
								? ACK_QUEUED
								: ACK_WRONG });
	}
}

static void
settle_some(struct state *t, int fd)
{
	struct arena a = ARENA_MAX(1024 * 1024);
	struct queue_due want = { .hop = SPAN("drop"),
		.now_ms = NOW,
		.messages = GROUP - 2,
		.recipients = 10 };
	struct queue_message *m;
	struct settlement sets[GROUP];
	static const struct settle_recipient r = { .state = QUEUE_DELIVERED,
		.attempted = true };
	struct list jobs;
	size_t n;
	list_init(&jobs);
	if (!queue_due(store_reader(t->store), &want, &a, &m, &n, NULL))
		_exit(5);
	for (size_t i = 0; i < n; i++) {
		sets[i] = (struct settlement){ .job = { .work = STORE_SETTLE },
			.id = m[i].id,
			.at_ms = NOW,
			.recipients = &r,
			.n = 1 };
		list_add(&jobs, &sets[i].job.link);
	}
	store_run(t->store, &jobs);
	for (size_t i = 0; i < n; i++)
		tell(fd,
				(struct ack){ .id = m[i].id,
						.what = sets[i].job.result == STORE_DONE &&
										sets[i].settled
								? ACK_SETTLED
								: ACK_WRONG });
	arena_done(&a);
}

static int
worker(const char *dir, uint32_t first, int fd)
{
	struct state t = { 0 };
	snprintf(t.dir, sizeof t.dir, "%s", dir);
	if (!fixture_open(&t, true))
		return 1;
	/* The first group again: the last run may have lost its answers only. */
	for (uint32_t uidl = first;; uidl += GROUP) {
		submit_group(&t, fd, uidl, GROUP);
		submit_group(&t, fd, uidl, 1 + uidl % GROUP);
		settle_some(&t, fd);
	}
}

/* ---- the one who looks ---- */

static uint64_t ids[1 << 20]; /* by UIDL, as acknowledged */
static bool settled[1 << 20];
static uint32_t end; /* UIDLs below it may be there */

static pid_t
start(const char *self, struct state *t, const char *point, int *acks)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char first[16], fd[16];
		snprintf(first, sizeof first, "%u", end > GROUP ? end - GROUP : 0);
		snprintf(fd, sizeof fd, "%d", fds[1]);
		close(fds[0]);
		if (point)
			setenv("POSTERN_CRASH", point, 1);
		execl("/proc/self/exe", self, t->dir, first, fd, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	*acks = fds[0];
	return pid;
}

static void
note(const struct ack *a)
{
	if (a->what == ACK_WRONG)
		fail_msg("the worker failed at %u", a->uidl);
	if (a->what == ACK_QUEUED) {
		assert_true(a->uidl < sizeof ids / sizeof ids[0]);
		if (ids[a->uidl] && ids[a->uidl] != a->id)
			fail_msg("%u was queued twice", a->uidl);
		ids[a->uidl] = a->id;
		if (a->uidl >= end)
			end = a->uidl + 1;
		return;
	}
	for (uint32_t i = 0; i < end; i++)
		if (ids[i] == a->id)
			settled[i] = true;
}

static void
one_run(const char *self, struct state *t, const char *point, long kill_after_us)
{
	int acks, status;
	struct ack a;
	pid_t pid = start(self, t, point, &acks);
	if (!point) {
		nanosleep(&(struct timespec){ 0, kill_after_us * 1000 }, NULL);
		kill(pid, SIGKILL);
	}
	while (read(acks, &a, sizeof a) == (ssize_t)sizeof a)
		note(&a);
	close(acks);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("%s: the worker ended by itself: %x", point ? point : "killed",
				(unsigned)status);
}

static int64_t
ask(struct state *t, const char *sql)
{
	char path[128];
	sqlite3 *h;
	sqlite3_stmt *st;
	snprintf(path, sizeof path, "%s/postern.db", t->dir);
	assert_int_equal(sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE, NULL),
			SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_type(st, 0) == SQLITE_TEXT
			? strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0
			: sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(h);
	return n;
}

static void
look_at_body(struct state *t, uint32_t uidl, uint64_t id)
{
	static char want[LARGE], got[LARGE + 100];
	size_t n = is_large(uidl) ? LARGE : 3000, have = 0,
	       top = strlen("Received: by gw\r\n");
	struct body *b = body_open(store_reader(t->store), id, &t->err);
	struct span piece;
	if (!b)
		fail_msg("%s", t->err.text);
	body_of(uidl, want, n);
	do {
		assert_true(body_next(b, &piece, &t->err));
		assert_true(have + piece.n <= sizeof got);
		memcpy(got + have, piece.p, piece.n);
		have += piece.n;
	} while (piece.n > 0);
	body_close(b);
	assert_int_equal(have, top + n);
	assert_memory_equal(got + top, want, n);
}

static void
look(struct state *t)
{
	if (!fixture_open(t, true))
		fail_msg("%s", t->err.text);
	assert_int_equal(t->found.damaged, 0);
	assert_int_equal(ask(t, "PRAGMA integrity_check(1)"), 1);
	assert_int_equal(ask(t, "SELECT count(*) FROM message"),
			ask(t, "SELECT count(*) FROM origin"));
	assert_int_equal(ask(t, "SELECT count(*) FROM recipient WHERE state < 4"),
			ask(t, "SELECT count(*) FROM body"));
	/* Of each mail one copy was taken, and the ledger knows it. */
	int64_t mails = ask(
			t, "SELECT count(DISTINCT substr(uidl, 2) / 2) FROM message");
	assert_int_equal(ask(t, "SELECT count(*) FROM recipient WHERE state <> 7"),
			mails);
	assert_int_equal(ask(t, "SELECT count(*) FROM ledger"), mails);
	assert_int_equal(ask(t,
					 "SELECT count(*) FROM ledger JOIN recipient r"
					 " ON r.message = ledger.id AND r.state <> 7"),
			mails);
	for (uint32_t i = 0; i < end; i++) {
		char name[16];
		enum origin_state is;
		uint64_t id = 0;
		name_of(i, name);
		assert_true(origin_look(store_reader(t->store), SPAN("isp"),
				span_of(name), &is, &id, &t->err));
		if (is == ORIGIN_NEW || id != ids[i])
			fail_msg("%s was acknowledged and is not there", name);
		struct queue_story s = fixture_show(t, id);
		if (settled[i] && s.message.body)
			fail_msg("%s was settled and is open again", name);
		if (s.message.body)
			look_at_body(t, i, id);
		else if (fixture_spool_has(t, id))
			fail_msg("the file of %s was not removed", name);
	}
	store_close(t->store);
	t->store = NULL;
	arena_done(&t->arena);
	t->arena = ARENA_MAX(64 * 1024 * 1024);
}

static const char *myself;

static void
reset(struct state *t)
{
	memset(ids, 0, sizeof ids);
	memset(settled, 0, sizeof settled);
	end = 0;
	store_close(t->store);
	t->store = NULL;
}

static void
dies_at_every_point(void **state)
{
	struct state *t = *state;
	reset(t);
	for (int n = 1; n <= POINTS; n++) {
		char point[16];
		snprintf(point, sizeof point, "#%d", n);
		one_run(myself, t, point, 0);
		look(t);
	}
}

static void
dies_at_any_moment(void **state)
{
	struct state *t = *state;
	unsigned seed = (unsigned)clock_mono_us();
	reset(t);
	print_message("seed %u\n", seed);
	srandom(seed);
	for (int n = 0; n < KILLS; n++) {
		one_run(myself, t, NULL, 1 + random() % 30000);
		look(t);
	}
}

int
main(int argc, char **argv)
{
	if (argc == 4)
		return worker(argv[1], (uint32_t)strtoul(argv[2], NULL, 10),
				atoi(argv[3]));
	myself = argv[0];
	const struct CMUnitTest tests[] = {
		TEST(dies_at_every_point),
		TEST(dies_at_any_moment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
