/* What is written: each step of each of its statements fails, and what was not done has
 * changed nothing. Included once in each executable; --wrap=sqlite3_step. */
#ifndef TESTS_STORE_DEEDS_H
#define TESTS_STORE_DEEDS_H

#include "fixture.h"
#include "steps.h"

static const struct span isp = { SPAN_INIT("isp") };
static char keys[2][STORE_KEY_SIZE] = { "one", "two" };
static uint64_t first_id, second_id, id; /* two messages of before; the job's own */
static int spool_fd = -1;

/* Every row of every table but those of the steady clock, which goes on by itself. */
static inline void
dump(struct state *t, struct buf *out)
{
	static const char skipped[] = "'meta','mark'";
	char path[160], sql[200];
	sqlite3 *h;
	sqlite3_stmt *tables, *rows;

	buf_clear(out);
	(void)snprintf(path, sizeof path, "%s/postern.db", t->dir);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	(void)snprintf(sql, sizeof sql,
			"SELECT name FROM sqlite_master WHERE type='table' AND name NOT IN (%s) "
			"ORDER BY 1",
			skipped);
	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &tables, NULL), SQLITE_OK);
	while (sqlite3_step(tables) == SQLITE_ROW) {
		(void)snprintf(sql, sizeof sql, "SELECT * FROM %s",
				(const char *)sqlite3_column_text(tables, 0));
		assert_int_equal(
				sqlite3_prepare_v2(h, sql, -1, &rows, NULL), SQLITE_OK);
		while (sqlite3_step(rows) == SQLITE_ROW) {
			assert_true(buf_addf(out, "\n%s", sql + 14));
			for (int i = 0; i < sqlite3_column_count(rows); i++) {
				const char *v = (const char *)sqlite3_column_text(
						rows, i);

				assert_true(buf_addf(out, " | %s", v ? v : "-"));
			}
		}
		(void)sqlite3_finalize(rows);
	}
	(void)sqlite3_finalize(tables);
	(void)sqlite3_close(h);
}

/* ---- what there was before ---- */

static inline struct submission
message(struct state *t, const char *uidl, const struct submission_recipient *to,
		size_t n)
{
	struct submission sub = fixture_message(t, uidl);

	sub.recipients = to;
	sub.n = n;
	return sub;
}

static inline void
spooled(struct state *t, struct submission *sub)
{
	if (spool_fd >= 0)
		(void)close(spool_fd);
	sub->spool_fd = spool_fd = spool_create(t->store, sub->id, &t->err);
	assert_true(spool_write(
			spool_fd, SPAN("a large message"), &sub->spool_size, &t->err));
}

static inline void
before(struct state *t)
{
	const struct submission_recipient to[] = {
		{ .address = SPAN("bob@contoso.test"),
				.hop = SPAN("drop"),
				.state = QUEUE_QUEUED,
				.key = { keys[1], STORE_KEY_SIZE } },
		{ .address = SPAN("ann@contoso.test"),
				.hop = SPAN("drop"),
				.state = QUEUE_QUEUED },
	};
	uint64_t copies[2];
	struct submission sub = message(t, "first", to, 2);

	sub.copy_of = copies;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	first_id = sub.id;
	sub = message(t, "second", &fixture_to, 1);
	spooled(t, &sub);
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	second_id = sub.id;
	id = store_new_id(t->store, NOW);
}

struct deed {
	const char *what;
	void (*prepare)(struct state *t);
	bool (*act)(struct state *t);
	void (*check)(struct state *t);
};

static inline struct state *
begun(const struct deed *d)
{
	void *t;

	(void)fixture_set_up(&t);
	before(t);
	if (d->prepare)
		d->prepare(t);
	return t;
}

static inline void
over(struct state *t)
{
	void *all = t;

	(void)fixture_tear_down(&all);
}

static inline void
expect_nothing(struct state *t, const struct deed *d, unsigned n, const struct buf *was)
{
	AUTO(buf_done) struct buf now = BUF_MAX(1 << 20);

	if (t->err.event != 9005 || !t->err.text[0])
		fail_msg("%s, step %u: %d %s", d->what, n, t->err.event, t->err.text);
	dump(t, &now);
	if (!span_eq(buf_span(&now), buf_span(was)))
		fail_msg("%s, step %u:" SPAN_FMT "\nwas:" SPAN_FMT, d->what, n,
				SPAN_ARG(buf_span(&now)), SPAN_ARG(buf_span(was)));
}

static inline void
every_step_fails(const struct deed *d, unsigned times, int code)
{
	AUTO(buf_done) struct buf was = BUF_MAX(1 << 20);
	struct state *t = begun(d);
	unsigned failed = 0;

	dump(t, &was);
	for (unsigned n = 1;; n++) {
		t->err = (struct err){ 0 };
		steps_fail(n, times, code);
		bool ok = d->act(t);
		bool struck = steps_end();
		assert_true(n < 500);
		if (ok) {
			d->check(t);
			over(t);
			if (!struck)
				break;
			t = begun(d);
			dump(t, &was);
			continue;
		}
		if (!struck)
			fail_msg("%s, step %u: %d %s", d->what, n, t->err.event,
					t->err.text);
		failed++;
		expect_nothing(t, d, n, &was);
	}
	if (failed == 0)
		fail_msg("%s: nothing failed", d->what);
}

static inline void
all_of_them(const struct deed *deeds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		every_step_fails(&deeds[i], 1, SQLITE_IOERR);
		every_step_fails(&deeds[i], 0, SQLITE_IOERR);
		every_step_fails(&deeds[i], 0, SQLITE_FULL);
	}
}

#endif
