/* How SQLite answers the statements that are asked page by page: each page by seeking to
 * where the last one ended. One that sorts, or gathers first, reads all of the rest for
 * every page. */
#include "fixture.h"
#include "state.h"

static void
explain(struct state *t, enum sql which, struct buf *plan)
{
	AUTO(buf_done) struct buf sql = BUF_MAX(8192);
	sqlite3_stmt *st = NULL;

	assert_true(buf_addf(&sql, "EXPLAIN QUERY PLAN %s", sql_text[which]));
	assert_int_equal(sqlite3_prepare_v2(t->store->self.db.h, buf_cstr(&sql), -1,
					 &st, NULL),
			SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		assert_true(buf_addf(plan, "%s\n",
				(const char *)sqlite3_column_text(st, 3)));
	sqlite3_finalize(st);
}

static void
a_page_is_sought_never_sorted(void **state)
{
	static const enum sql pages[] = { SQL_LIST_OPEN, SQL_LIST_ALL, SQL_UNROUTED,
		SQL_COLLECTED_AFTER, SQL_RECIPIENTS_ALL, SQL_DUE_NEXT,
		SQL_DUE_RECIPIENTS, SQL_HOP_NEXT, SQL_PRUNE_FIND, SQL_ORIGIN_WALK,
		SQL_DIRECTORY, SQL_DIRECTORY_GROUPS, SQL_DIRECTORY_MEMBERS,
		SQL_SPOOLED_WALK };
	static const char *const dear[] = { "TEMP B-TREE", "MATERIALIZE",
		"CO-ROUTINE" };
	struct state *t = *state;

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		AUTO(buf_done) struct buf plan = BUF_MAX(8192);
		explain(t, pages[i], &plan);
		for (size_t k = 0; k < sizeof(dear) / sizeof(dear[0]); k++)
			if (strstr(buf_cstr(&plan), dear[k]))
				fail_msg("%s\nis answered by\n%s", sql_text[pages[i]],
						buf_cstr(&plan));
	}
}

/* The list of what is held begins where the last page ended, too: it gathers no ids. */
static void
what_is_held_is_walked(void **state)
{
	struct state *t = *state;
	AUTO(buf_done) struct buf plan = BUF_MAX(8192);

	explain(t, SQL_UNROUTED, &plan);
	assert_null(strstr(buf_cstr(&plan), "LIST SUBQUERY"));
	assert_non_null(strstr(buf_cstr(&plan), "INDEX held"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_page_is_sought_never_sorted,
				fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(what_is_held_is_walked, fixture_set_up,
				fixture_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
