/* A state of schema version 2, as the last program left it: the present one opens it and
 * everything is still there. Whatever kills it on the way leaves the old version whole or
 * the new one complete. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include <sqlite3.h>

#include "fixture.h"
#include "postern/clock.h"
#include "postern/policystore.h"
#include "postern/recipientstore.h"
#include "sql.h"

enum { OLD = 2, KILLS = 25, HISTORY = 3000 };

#define ID(n) "(" #n " + (1700000000000 << 16))"
#define ID_OF(n) ((uint64_t)(NOW << 16) + (n))

/* What stood in it. Message 1 waits for ann and, after two attempts, for bob; 2 is in the
 * spool, for cid; 3 is history; 4 is on its way to Badmail; 5 is held, its body lost; 6 came
 * by SMTP. */
/* clang-format off */
static const char content[] =
	"UPDATE meta SET value = 7 WHERE key = 'policies';"
	"INSERT INTO account VALUES (1, 'isp', 41), (2, 'old', 3);"
	"INSERT INTO hop VALUES (1, 'drop'), (2, 'smtp:mx.contoso.test:25'), (3, 'badmail');"
	"INSERT INTO message VALUES"
	" (" ID(1) ", 1, 'u1', 'pop.isp.test [192.0.2.1]', 'eve@nwtraders.test',"
	"  '<one@nwtraders.test>', 35, 1700000000000, 0, '{\"kept\":1}'),"
	" (" ID(2) ", 1, 'u2', 'pop.isp.test', NULL, NULL, 21, 1700000000001, 9, NULL),"
	" (" ID(3) ", 1, 'u3', 'pop.isp.test', 'eve@nwtraders.test', '<three@x>', 9, 1700000000002, 0, NULL),"
	" (" ID(4) ", 1, 'u4', 'pop.isp.test', 'eve@nwtraders.test', NULL, 9, 1700000000003, 0, NULL),"
	" (" ID(5) ", 1, 'u5', 'pop.isp.test', NULL, NULL, 9, 1700000000004, 8, NULL),"
	" (" ID(6) ", NULL, NULL, 'client.test', 'dan@contoso.test', NULL, 9, 1700000000005, 0, NULL);"
	"INSERT INTO body VALUES"
	" (" ID(1) ", 35, CAST('Received: by gw' || char(13, 10) AS BLOB), CAST('body of the first.' AS BLOB)),"
	" (" ID(2) ", 21, CAST('A: b' || char(13, 10) AS BLOB), NULL),"
	" (" ID(4) ", 9, CAST('' AS BLOB), CAST('four four' AS BLOB)),"
	" (" ID(5) ", 9, CAST('' AS BLOB), NULL),"
	" (" ID(6) ", 9, CAST('' AS BLOB), CAST('six six s' AS BLOB));"
	"INSERT INTO recipient VALUES"
	" (" ID(1) ", 0, 'ann@contoso.test', 0, 1, 1700000000000, 0, 0, 0, NULL, NULL, NULL),"
	" (" ID(1) ", 1, 'bob@contoso.test', 0, 2, 1700000600000, 2, 1700000000900, 450,"
	"  'mx.contoso.test', '4.2.1 later', NULL),"
	" (" ID(2) ", 0, 'cid@contoso.test', 0, 1, 1700000000001, 0, 0, 0, NULL, NULL, NULL),"
	" (" ID(3) ", 0, 'ann@contoso.test', 4, 1, 1700000000002, 1, 1700000000003, 250, NULL, '2.0.0 ok', NULL),"
	" (" ID(4) ", 0, 'eve@x.test', 1, 3, 1700000000003, 0, 0, 550, NULL, '5.7.1 no', 'relay-denied'),"
	" (" ID(5) ", 0, 'dan@contoso.test', 3, 1, 1700000000004, 0, 0, 0, NULL, '5.3.0 Body lost', NULL),"
	" (" ID(6) ", 0, 'ann@contoso.test', 0, 1, 1700000000005, 0, 0, 0, NULL, NULL, NULL);"
	"INSERT INTO attempt VALUES"
	" (" ID(1) ", 1, 1, 1700000000500, 0, 421, 'mx.contoso.test', '4.3.2 down');"
	"INSERT INTO origin VALUES"
	" (1, 'u1', " ID(1) ", 0, 1700000000000, 0, 0, 11), (1, 'u2', " ID(2) ", 1, 1700000000001, 0, 0, 12),"
	" (1, 'u3', " ID(3) ", 1, 1700000000002, 40, 1700000000009, 13), (1, 'u4', " ID(4) ", 1, 1700000000003, 0, 0, 14),"
	" (1, 'u5', " ID(5) ", 1, 1700000000004, 0, 0, 15), (1, 'seen', 0, 2, 1700000000000, 0, 0, 0);"
	"INSERT INTO poll VALUES (1, 1700000000000, 1700000000100, 1700000060000, 1, 0, 'ok', 5, 4, 3, 2, 1,"
	" 1000, 6, 1700000000100, 600, 'quota 10 MB');"
	"INSERT INTO memo VALUES (1, 'what it remembers');"
	"INSERT INTO session VALUES (1, 1700000000000, 1, 'what was said');"
	"INSERT INTO policy VALUES ('staff', 10), ('default', 1000);"
	"INSERT INTO policy_group VALUES ('staff', 0, 'all');"
	"INSERT INTO policy_address VALUES ('staff', 0, '%m@contoso.test', 1);"
	"INSERT INTO policy_domain VALUES ('staff', 'contoso.test', 0, 1, 1), ('default', 'branch.test', 1, 0, 0);";
/* clang-format on */

/* So that there is something to write while it is migrated. */
static const char more[] =
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
		" INSERT INTO policy_domain SELECT 'default', 'd' || i || '.test', 0, 1, 0 FROM n;";

static const char spooled[] = "spooled body...";

static sqlite3 *
raw_open(struct state *t)
{
	char path[128];
	sqlite3 *h;

	(void)snprintf(path, sizeof path, "%s/postern.db", t->dir);
	assert_int_equal(sqlite3_open_v2(path, &h,
					 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
					 NULL),
			SQLITE_OK);
	return h;
}

static void
raw_do(sqlite3 *h, const char *sql)
{
	if (sqlite3_exec(h, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s in %.200s", sqlite3_errmsg(h), sql);
}

static int64_t
raw_ask(sqlite3 *h, const char *sql)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(h, sql, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s in %s", sqlite3_errmsg(h), sql);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_type(st, 0) == SQLITE_TEXT
			? strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0
			: sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

/* In place of what was there. */
static void
old_state(struct state *t)
{
	static const char *const files[] = { "postern.db", "postern.db-wal",
		"postern.db-shm" };
	char path[160], name[QID_SIZE], stamp[100];

	store_close(t->store);
	t->store = NULL;
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", t->dir, files[i]);
		(void)unlink(path);
	}
	sqlite3 *h = raw_open(t);
	raw_do(h, "PRAGMA journal_mode=WAL; BEGIN");
	for (int v = 0; v < OLD; v++)
		raw_do(h, schema_steps[v]);
	raw_do(h, content);
	raw_do(h, more);
	(void)snprintf(stamp, sizeof stamp,
			"PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
			SCHEMA_APPLICATION, OLD);
	raw_do(h, stamp);
	sqlite3_close(h);

	qid_print(ID_OF(2), name);
	(void)snprintf(path, sizeof path, "%s/spool/%s", t->dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, spooled, sizeof spooled - 1), sizeof spooled - 1);
	close(fd);
}

/* ---- all of it is there ---- */

static void
check_body(struct state *t, uint64_t id, const char *want)
{
	struct body *b = body_open(store_reader(t->store), id, &t->err);
	struct buf got = BUF_MAX(1000);
	struct span piece = { "", 1 };

	if (!b)
		fail_msg("%s", t->err.text);
	while (piece.n > 0) {
		assert_true(body_next(b, &piece, &t->err));
		assert_true(buf_add(&got, piece));
	}
	body_close(b);
	assert_span(buf_span(&got), want);
	buf_done(&got);
}

static void
check_queue(struct state *t)
{
	struct queue_message *m;

	assert_int_equal(t->found.queued, 5);
	assert_int_equal(t->found.verified, 1);
	assert_int_equal(fixture_due(t, "drop", NOW + 1000, &m), 3);
	assert_int_equal(m[0].id, ID_OF(1));
	assert_int_equal(m[0].n, 1);
	assert_span(m[0].account, "isp");
	assert_span(m[0].sender, "eve@nwtraders.test");
	assert_span(m[0].message_id, "<one@nwtraders.test>");
	assert_span(m[0].recipients[0].address, "ann@contoso.test");
	assert_span(m[0].recipients[0].asked, "");
	assert_false(m[0].recipients[0].asked_list);
	assert_int_equal(m[1].id, ID_OF(2));
	assert_int_equal(m[2].id, ID_OF(6));
	assert_span(m[2].account, "");
	/* What an older version held for ever, its body lost, is on its way too. */
	assert_int_equal(fixture_due(t, "badmail", NOW + 1000, &m), 2);
	assert_int_equal(m[0].id, ID_OF(5));
	assert_span(m[0].recipients[0].reason, "general");
	assert_span(m[1].recipients[0].reason, "relay-denied");
	check_body(t, ID_OF(1), "Received: by gw\r\nbody of the first.");
	check_body(t, ID_OF(2), "A: b\r\nspooled body...");

	struct queue_story s = fixture_show(t, ID_OF(1));
	assert_span(s.route, "{\"kept\":1}");
	assert_int_equal(s.n, 2);
	assert_int_equal(s.attempts[0].code, 421);
	assert_int_equal(s.message.recipients[1].attempts, 2);
	assert_span(s.message.recipients[1].reply, "4.2.1 later");
	assert_int_equal(fixture_show(t, ID_OF(3)).message.recipients[0].state,
			QUEUE_DELIVERED);
	assert_int_equal(fixture_show(t, ID_OF(5)).message.recipients[0].state,
			QUEUE_BOUNCED);
}

static void
check_collector(struct state *t)
{
	static const struct {
		const char *uidl;
		enum origin_state state;
	} want[] = { { "u1", ORIGIN_COMMITTED }, { "u2", ORIGIN_SETTLED },
		{ "u3", ORIGIN_SETTLED }, { "u4", ORIGIN_SETTLED },
		{ "seen", ORIGIN_ADOPTED }, { "u6", ORIGIN_NEW } };
	struct reader *r = store_reader(t->store);
	struct origin_row row;
	uint64_t prints = 0;

	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
		enum origin_state is;

		assert_true(origin_look(r, SPAN("isp"), span_of(want[i].uidl), &is,
				NULL, &t->err));
		assert_int_equal(is, want[i].state);
	}
	origin_walk(r, SPAN("isp"));
	while (origin_walk_next(r, &row))
		prints += row.print;
	assert_true(origin_walk_end(r, &t->err));
	assert_int_equal(prints, 11 + 12 + 13 + 14 + 15);

	struct span memo;
	struct poll_session *sessions;
	struct poll_result *polls;
	size_t n;
	assert_true(poll_memo(r, SPAN("isp"), &t->arena, &memo, &t->err));
	assert_span(memo, "what it remembers");
	assert_true(poll_sessions(r, SPAN("isp"), &t->arena, &sessions, &n, &t->err));
	assert_int_equal(n, 1);
	assert_span(sessions[0].text, "what was said");
	assert_true(poll_results(r, &t->arena, &polls, &n, &t->err));
	assert_int_equal(n, 1);
	assert_int_equal(polls[0].collected, 4);
	assert_int_equal(polls[0].waiting_octets, 600);
	assert_span(polls[0].says, "quota 10 MB");
}

static void
check_policies(struct state *t)
{
	struct reader *r = store_reader(t->store);
	struct policystore_policy *p;
	struct directory_row *rows;
	uint64_t version;
	size_t n;

	assert_true(policystore_load(r, &t->arena, &p, &n, &version, &t->err));
	assert_int_equal(n, 2);
	assert_int_equal(version, 7);
	assert_span(p[0].name, "staff");
	assert_span(p[0].groups[0], "all");
	assert_span(p[0].addresses[0].text, "%m@contoso.test");
	assert_true(p[0].addresses[0].primary);
	assert_span(p[0].domains[0].name, "contoso.test");
	assert_true(p[0].domains[0].authoritative && p[0].domains[0].reject_unknown);
	/* As a policy has it that says nothing about it (SPEC section 4). */
	assert_span(p[0].domains[0].subaddress, "+");
	assert_int_equal(p[1].n_domains, HISTORY + 1);
	assert_true(recipientstore_load(r, &t->arena, &rows, &n, &t->err));
	assert_int_equal(n, 0);
}

static void
check_version(struct state *t)
{
	sqlite3 *h = raw_open(t);

	assert_int_equal(raw_ask(h, "PRAGMA user_version"), SCHEMA_VERSION);
	assert_int_equal(raw_ask(h, "PRAGMA integrity_check(1)"), 1);
	sqlite3_close(h);
}

static void
check_all(struct state *t)
{
	uint8_t secret[STORE_SECRET_SIZE];

	if (!fixture_open(t, true))
		fail_msg("%s", t->err.text);
	check_version(t);
	check_queue(t);
	check_collector(t);
	check_policies(t);
	assert_true(store_secret(store_reader(t->store), "loop", secret, &t->err));
}

/* ---- and works ---- */

static void
settle(struct state *t, uint64_t id, uint32_t seq, enum queue_state state)
{
	(void)fixture_settle(t, id,
			(struct settle_recipient){ .seq = seq,
					.state = state,
					.attempted = true });
}

static void
everything_is_there_and_goes_on(void **state)
{
	struct state *t = *state;
	static const char *const known[] = { "u1", "u2", "u3", "u4", "u5" };
	struct queue_size left;

	old_state(t);
	check_all(t);
	/* What was collected is known, whatever became of it; what was adopted is not here. */
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		struct submission sub = fixture_message(t, known[i]);

		assert_int_equal(fixture_do(t, &sub.job), STORE_HAD);
		assert_int_equal(sub.had, ID_OF(i + 1));
	}
	assert_true(fixture_submit(t, "u6") > ID_OF(6));
	/* The old mail is delivered, and its body goes. */
	settle(t, ID_OF(1), 0, QUEUE_DELIVERED);
	settle(t, ID_OF(1), 1, QUEUE_DELIVERED);
	settle(t, ID_OF(2), 0, QUEUE_DELIVERED);
	settle(t, ID_OF(4), 0, QUEUE_BADMAIL);
	settle(t, ID_OF(6), 0, QUEUE_DELIVERED);
	assert_false(fixture_spool_has(t, ID_OF(2)));
	fixture_reopen(t);
	assert_true(queue_count(store_reader(t->store), &left, &t->err));
	assert_int_equal(left.messages, 2); /* the new one, and what was held */
	assert_int_equal(fixture_show(t, ID_OF(1)).n, 4);
}

/* Readers wait for it; a word of the command line does it as the service would. */
static void
readers_wait_and_visitors_migrate(void **state)
{
	struct state *t = *state;

	old_state(t);
	assert_null(reader_open(t->dir, &t->err));
	assert_int_equal(t->err.event, 9005);
	assert_non_null(fixture_open(t, false));
	check_version(t);
	store_close(t->store);
	check_all(t);
}

/* Something of that name is there already: nothing is changed, and it is said. */
static void
what_cannot_be_migrated_stays(void **state)
{
	struct state *t = *state;

	old_state(t);
	sqlite3 *h = raw_open(t);
	raw_do(h, "CREATE TABLE ledger (x)"); /* comes last in the step */
	sqlite3_close(h);
	assert_null(fixture_open(t, true));
	assert_int_equal(t->err.event, 9005);
	if (!strstr(t->err.text, "ledger"))
		fail_msg("%s", t->err.text);
	h = raw_open(t);
	assert_int_equal(raw_ask(h, "PRAGMA user_version"), OLD);
	assert_int_equal(
			raw_ask(h, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'directory%'"),
			0);
	raw_do(h, "DROP TABLE ledger");
	sqlite3_close(h);
	check_all(t);
}

/* ---- killed ---- */

static const char *myself;

/* At a point, or so long after it began to open. */
static void
open_and_die(struct state *t, const char *point, long after_us)
{
	int status, fds[2];
	char byte;

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char fd[16];

		(void)snprintf(fd, sizeof fd, "%d", fds[1]);
		if (point)
			(void)setenv("POSTERN_CRASH", point, 1);
		execl("/proc/self/exe", myself, t->dir, fd, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	if (!point) {
		(void)nanosleep(&(struct timespec){ 0, after_us * 1000 }, NULL);
		(void)kill(pid, SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("%s: it ended by itself: %x", point ? point : "killed",
				(unsigned)status);
}

/* The old version as it was, or the new one; then it is opened again. */
static int64_t
look(struct state *t)
{
	sqlite3 *h = raw_open(t);
	int64_t version = raw_ask(h, "PRAGMA user_version");

	assert_true(version == OLD || version == SCHEMA_VERSION);
	assert_int_equal(raw_ask(h, "PRAGMA integrity_check(1)"), 1);
	assert_int_equal(
			raw_ask(h,
					"SELECT count(*) FROM sqlite_schema WHERE name IN"
					" ('ledger', 'directory', 'notice', 'mark')"),
			version == OLD ? 0 : 4);
	assert_int_equal(
			raw_ask(h, "SELECT count(*) FROM pragma_table_info('recipient')"),
			version == OLD ? 12 : 14);
	assert_int_equal(raw_ask(h, "SELECT count(*) FROM recipient"), 7);
	sqlite3_close(h);
	check_all(t);
	return version;
}

static void
killed_at_its_points_it_is_old_or_new(void **state)
{
	struct state *t = *state;

	old_state(t);
	open_and_die(t, "store: schema step#1", 0);
	assert_int_equal(look(t), OLD);
	old_state(t);
	open_and_die(t, "store: migrated", 0);
	assert_int_equal(look(t), SCHEMA_VERSION);
}

static void
killed_at_any_moment_it_is_old_or_new(void **state)
{
	struct state *t = *state;
	unsigned seed = (unsigned)clock_mono_us(), old = 0;

	print_message("seed %u\n", seed);
	srandom(seed);
	old_state(t);
	int64_t began = clock_mono_us();
	check_all(t);
	long takes = (long)(clock_mono_us() - began);
	for (int n = 0; n < KILLS; n++) {
		old_state(t);
		open_and_die(t, NULL, random() % takes);
		old += look(t) == OLD;
	}
	print_message("%u of %d were of the old version\n", old, KILLS);
}

static int
worker(const char *dir, int fd)
{
	struct state t = { 0 };

	(void)snprintf(t.dir, sizeof t.dir, "%s", dir);
	if (write(fd, "", 1) != 1 || !fixture_open(&t, true))
		return 1;
	for (;;)
		pause(); /* it is killed, migrated or not */
}

int
main(int argc, char **argv)
{
	if (argc == 3)
		return worker(argv[1], atoi(argv[2]));
	myself = argv[0];
	const struct CMUnitTest tests[] = {
		TEST(everything_is_there_and_goes_on),
		TEST(readers_wait_and_visitors_migrate),
		TEST(what_cannot_be_migrated_stays),
		TEST(killed_at_its_points_it_is_old_or_new),
		TEST(killed_at_any_moment_it_is_old_or_new),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
