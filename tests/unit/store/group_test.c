/* Faults of the database under a group, made from the inside. */
#include "fixture.h"
#include "state.h"

static void
pragma(struct state *t, const char *sql)
{
	assert_int_equal(sqlite3_exec(t->store->self.db.h, sql, NULL, NULL, NULL),
			SQLITE_OK);
}

static void
a_full_database_puts_mail_off_and_deliveries_go_on(void **state)
{
	struct state *t = *state;
	static char big[BODY_BLOB_MAX];
	uint64_t id = fixture_submit(t, "a");
	pragma(t, "PRAGMA max_page_count=40");
	struct submission sub = fixture_message(t, "b");
	struct settle_recipient r = { .state = QUEUE_DELIVERED, .attempted = true };
	struct settlement set = { .job = { .work = STORE_SETTLE },
		.id = id,
		.at_ms = NOW,
		.recipients = &r,
		.n = 1 };
	struct list jobs;
	sub.body = (struct span){ big, sizeof big };
	list_init(&jobs);
	for (int i = 0; i < 3 && sub.job.result == STORE_DONE; i++) {
		list_init(&jobs);
		sub.job.work = STORE_SUBMIT;
		sub.uidl = span_of((const char *const[]){ "b", "c", "d" }[i]);
		sub.id = store_new_id(t->store, NOW);
		list_add(&jobs, &sub.job.link);
		list_add(&jobs, &set.job.link);
		store_run(t->store, &jobs);
		assert_int_equal(set.job.result, STORE_DONE);
	}
	assert_int_equal(sub.job.result, STORE_FULL);
	assert_true(sub.job.err.event == 9005 && sub.job.err.text[0]);
	assert_false(fixture_show(t, id).message.body);
	pragma(t, "PRAGMA max_page_count=100000");
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
}

/* An id that was remembered in a transaction that did not happen would point to
 * nothing, or to another account. */
static void
names_of_a_transaction_that_failed_are_forgotten(void **state)
{
	struct state *t = *state;
	struct submission_recipient to = fixture_to;
	struct submission bad = fixture_message(t, "a"), good;
	uint64_t first = fixture_submit(t, "first");
	bad.account = SPAN("new one");
	to.hop = SPAN("new hop");
	bad.recipients = &to;
	bad.id = first;
	assert_int_equal(fixture_do(t, &bad.job), STORE_FAILED);
	good = fixture_message(t, "a");
	good.account = SPAN("another");
	assert_int_equal(fixture_do(t, &good.job), STORE_DONE);
	bad.id = store_new_id(t->store, NOW);
	assert_int_equal(fixture_do(t, &bad.job), STORE_DONE);
	assert_span(fixture_show(t, bad.id).message.account, "new one");
	assert_span(fixture_show(t, bad.id).message.recipients[0].hop, "new hop");
	assert_span(fixture_show(t, good.id).message.account, "another");
}

/* The log is written back into the database before it grows without end. */
static void
the_log_stays_small(void **state)
{
	struct state *t = *state;
	static char big[BODY_BLOB_MAX];
	char path[160];
	struct stat st;
	for (int i = 0; i < 1500; i++) {
		struct submission sub = fixture_message(t, NULL);
		sub.body = (struct span){ big, sizeof big };
		assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	}
	snprintf(path, sizeof path, "%s/postern.db-wal", t->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < 50 * 1024 * 1024);
}

static int64_t
setting(struct state *t, const char *sql)
{
	sqlite3_stmt *st;
	assert_int_equal(sqlite3_prepare_v2(t->store->self.db.h, sql, -1, &st, NULL),
			SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

/* What 250 rests on. */
static void
the_database_is_set_to_be_durable(void **state)
{
	struct state *t = *state;
	assert_int_equal(setting(t, "PRAGMA synchronous"), 2);
	assert_int_equal(setting(t, "PRAGMA foreign_keys"), 1);
	assert_int_equal(setting(t, "PRAGMA cell_size_check"), 1);
	assert_int_equal(setting(t, "PRAGMA trusted_schema"), 0);
	int on = 0;
	assert_int_equal(sqlite3_db_config(t->store->self.db.h,
					 SQLITE_DBCONFIG_DEFENSIVE, -1, &on),
			SQLITE_OK);
	assert_true(on);
	/* A reader's connection cannot write, whatever it is asked. */
	struct reader *r = reader_open(t->dir, &t->err);
	assert_int_equal(sqlite3_exec(r->db.h, "DELETE FROM hop", NULL, NULL, NULL),
			SQLITE_READONLY);
	reader_close(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_database_puts_mail_off_and_deliveries_go_on),
		TEST(names_of_a_transaction_that_failed_are_forgotten),
		TEST(the_log_stays_small),
		TEST(the_database_is_set_to_be_durable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
