/* Disks that fail under the spool: what cannot be read now is not damaged, a start that fails
 * removes nothing, and a full disk is told from a failing one. */
#include <errno.h>
#include <fcntl.h>

#include "faults.h"
#include "fixture.h"
#include "postern/sum.h"
#include "steps.h"

enum { SIZE = 300 * 1024 };

static const struct span top = { SPAN_INIT("Received: by gw\r\n") };
static uint8_t sum_of_it[SUM_SIZE];

static struct span
text(void)
{
	static char octets[SIZE];

	for (size_t i = 0; i < SIZE; i++)
		octets[i] = (char)('a' + i % 23 + i / (128 * 1024));
	return (struct span){ octets, SIZE };
}

static struct submission
large(struct state *t, struct sum *sum)
{
	struct submission sub = fixture_message(t, NULL);

	sub.spool_fd = spool_create(t->store, sub.id, &t->err);
	assert_true(spool_write(sub.spool_fd, text(), &sub.spool_size, &t->err));
	if (sum) {
		sum_add(sum, text());
		sum_get(sum, sum_of_it);
	}
	sub.spool_sum = sum;
	return sub;
}

static uint64_t
stored(struct state *t, bool summed)
{
	struct sum *sum = summed ? sum_new() : NULL;
	struct submission sub = large(t, sum);

	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	close(sub.spool_fd);
	sum_free(sum);
	return sub.id;
}

static bool
read_on(struct body *b, struct buf *out, struct err *e)
{
	struct span piece = { "", 1 };

	while (piece.n > 0) {
		if (!body_next(b, &piece, e))
			return false;
		assert_true(buf_add(out, piece));
	}
	return true;
}

static void
expect_whole(const struct buf *got)
{
	assert_int_equal(got->n, top.n + SIZE);
	assert_memory_equal(got->p, top.p, top.n);
	assert_memory_equal(got->p + top.n, text().p, SIZE);
}

static void
a_piece_that_cannot_be_read_is_not_damaged(void **state)
{
	struct state *t = *state;
	uint64_t id = stored(t, true);
	bool struck = true;

	for (unsigned n = 1; struck; n++) {
		AUTO(buf_done) struct buf got = BUF_MAX(1 << 20);
		struct body *b = body_open(store_reader(t->store), id, &t->err);
		struct err e = { 0 };

		faults_begin(t->dir);
		faults_fail(FAULT_READ, n, 1, EIO);
		bool ok = read_on(b, &got, &e);
		struck = faults_struck();
		faults_end();
		assert_int_equal(ok, !struck);
		assert_int_equal(e.event, struck ? 9005 : 0);
		assert_string_equal(e.text,
				struck ? "cannot read the spool file: Input/output error"
				       : "");
		/* From where it was, and all of it once more. */
		assert_true(read_on(b, &got, &e));
		expect_whole(&got);
		body_rewind(b);
		buf_clear(&got);
		assert_true(read_on(b, &got, &e));
		expect_whole(&got);
		body_close(b);
	}
}

static void
a_body_is_read_again_from_anywhere(void **state)
{
	struct state *t = *state;

	for (int pieces = 0; pieces <= 4; pieces++) {
		AUTO(buf_done) struct buf got = BUF_MAX(1 << 20);
		struct body *b = body_open(
				store_reader(t->store), stored(t, true), &t->err);
		struct span piece;

		for (int i = 0; i < pieces; i++)
			assert_true(body_next(b, &piece, &t->err));
		body_rewind(b);
		if (!read_on(b, &got, &t->err))
			fail_msg("after %d: %s", pieces, t->err.text);
		expect_whole(&got);
		body_close(b);
	}
}

/* False, and no end: whoever reads it would take that for all of it. */
static void
what_is_cut_or_altered_while_it_is_read_has_no_end(void **state)
{
	static const off_t cuts[] = { 0, 128 * 1024, SIZE - 1, -1 };
	struct state *t = *state;

	for (size_t i = 0; i < 4; i++) {
		AUTO(buf_done) struct buf got = BUF_MAX(1 << 20);
		struct err e = { 0 };
		char name[QID_SIZE], path[128];
		uint64_t id = stored(t, true);
		struct body *b = body_open(store_reader(t->store), id, &t->err);

		qid_print(id, name);
		(void)snprintf(path, sizeof path, "%s/spool/%s", t->dir, name);
		if (cuts[i] >= 0) {
			assert_int_equal(truncate(path, cuts[i]), 0);
		} else {
			int fd = open(path, O_WRONLY | O_CLOEXEC);
			assert_int_equal(pwrite(fd, "#", 1, SIZE - 1), 1);
			close(fd);
		}
		assert_false(read_on(b, &got, &e));
		assert_int_equal(e.event, EVENT_BODY_DAMAGED);
		assert_string_equal(e.text,
				cuts[i] >= 0 ? "its file was cut short" : BODY_ALTERED);
		assert_true(got.n < top.n + SIZE);
		body_close(b);
	}
}

static void
a_lay_is_what_is_to_be_copied(void **state)
{
	struct state *t = *state;
	struct reader *r = store_reader(t->store);
	uint64_t id = stored(t, true);
	struct body *b = body_open(r, id, &t->err);
	struct body_lay lay = body_lay(b);

	assert_span(lay.held, top.p);
	assert_true(lay.fd >= 0);
	assert_int_equal(lay.fd_size, SIZE);
	assert_non_null(lay.fd_sum);
	assert_memory_equal(lay.fd_sum, sum_of_it, SUM_SIZE);
	body_close(b);
	b = body_open_left(r, id, &t->err);
	lay = body_lay(b); /* whatever is left of it */
	assert_int_equal(lay.fd_size, SIZE);
	assert_null(lay.fd_sum);
	body_close(b);
	b = body_open(r, stored(t, false), &t->err);
	assert_null(body_lay(b).fd_sum);
	body_close(b);
	b = body_open(r, fixture_submit(t, NULL), &t->err);
	lay = body_lay(b);
	assert_span(lay.held, "Received: by gw\r\nSubject: x\r\n\r\nbody\r\n");
	assert_int_equal(lay.fd, -1);
	assert_int_equal(lay.fd_size, 0);
	body_close(b);
}

static void
what_fails_in_the_spool_says_why(void **state)
{
	struct state *t = *state;
	uint64_t id = stored(t, true), other = store_new_id(t->store, NOW), written = 7;
	struct err e = { 0 };

	assert_int_equal(spool_create(t->store, id, &e), -1);
	assert_int_equal(e.event, 9005);
	assert_non_null(strstr(e.text, "cannot make spool/"));
	assert_non_null(strstr(e.text, "File exists"));
	int fd = spool_create(t->store, other, &e);
	assert_true(fd >= 0);
	faults_begin(t->dir);
	faults_fail(FAULT_WRITE, 1, 1, ENOSPC);
	e = (struct err){ 0 };
	assert_false(spool_write(fd, SPAN("text"), &written, &e));
	assert_int_equal(e.event, 9005);
	assert_string_equal(
			e.text, "cannot write to the spool: No space left on device");
	assert_int_equal(written, 7);
	close(fd);
	/* No descriptors: it is not gone. */
	faults_fail(FAULT_OPEN, 1, 1, EMFILE);
	e = (struct err){ 0 };
	assert_null(body_open(store_reader(t->store), id, &e));
	assert_int_equal(e.event, 9005);
	assert_non_null(strstr(e.text, "cannot open spool/"));
	assert_non_null(strstr(e.text, "Too many open files"));
	faults_fail(FAULT_OPEN, 1, 1, EMFILE);
	e = (struct err){ 0 };
	assert_null(body_open_left(store_reader(t->store), id, &e));
	assert_int_equal(e.event, 9005);
	faults_end();
}

/* Of two files one cannot be synced: it alone has failed, and how. */
static void
a_file_that_finds_no_room_is_not_a_failing_disk(void **state)
{
	static const struct {
		int no;
		enum store_result result;
		enum store_trouble trouble, health;
	} rows[] = {
		{ ENOSPC, STORE_FULL, STORE_DISK_FULL, STORE_SOUND },
		{ EDQUOT, STORE_FULL, STORE_DISK_FULL, STORE_SOUND },
		{ EIO, STORE_FAILED, STORE_DISK_FAILS, STORE_SOUND },
	};
	struct state *t = *state;

	for (size_t i = 0; i < 3; i++)
		for (unsigned n = 1; n <= 2; n++) {
			struct submission sub[2] = { large(t, NULL), large(t, NULL) };
			struct list jobs;

			list_init(&jobs);
			list_add(&jobs, &sub[0].job.link);
			list_add(&jobs, &sub[1].job.link);
			faults_begin(t->dir);
			faults_fail(FAULT_SYNC, n, 1, rows[i].no);
			store_run(t->store, &jobs);
			faults_end();
			struct store_job *bad = &sub[n - 1].job;
			assert_int_equal(bad->result, rows[i].result);
			assert_int_equal(bad->trouble, rows[i].trouble);
			assert_int_equal(bad->err.event, 9005);
			assert_non_null(strstr(bad->err.text, "cannot sync the spool"));
			assert_int_equal(sub[2 - n].job.result, STORE_DONE);
			assert_int_equal(fixture_spool_has(t, sub[n - 1].id),
					rows[i].result == STORE_FAILED);
			assert_true(fixture_spool_has(t, sub[2 - n].id));
			assert_int_equal(
					store_health(t->store).trouble, rows[i].health);
			close(sub[0].spool_fd);
			close(sub[1].spool_fd);
		}
}

/* ---- a start ---- */

static void
expect_mail(struct state *t, uint64_t id, unsigned n)
{
	AUTO(buf_done) struct buf got = BUF_MAX(1 << 20);
	struct queue_message *m;

	if (!fixture_open(t, true))
		fail_msg("after %u: %s", n, t->err.text);
	assert_int_equal(t->found.damaged, 0);
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 2);
	struct body *b = body_open(store_reader(t->store), id, &t->err);
	if (!b || !read_on(b, &got, &t->err))
		fail_msg("after %u: %s", n, t->err.text);
	expect_whole(&got);
	body_close(b);
	store_close(t->store);
	t->store = NULL;
}

static void
a_start_that_fails_loses_nothing(void **state)
{
	struct state *t = *state;
	uint64_t id = stored(t, true);
	bool struck = true;

	fixture_submit(t, NULL);
	store_close(t->store);
	t->store = NULL;
	for (unsigned n = 1; struck; n++) {
		faults_begin(t->dir);
		faults_fail(FAULT_ALL, n, 1, EIO);
		bool ok = fixture_open(t, true);
		struck = faults_struck();
		faults_end();
		if (!ok && !t->err.text[0])
			fail_msg("call %u: no reason", n);
		assert_true(ok || struck);
		store_close(t->store);
		t->store = NULL;
		expect_mail(t, id, n);
	}
	struck = true;
	for (unsigned n = 1; struck; n++) {
		steps_fail(n, 1, SQLITE_IOERR);
		bool ok = fixture_open(t, true);
		struck = steps_end();
		if (!ok && !t->err.text[0])
			fail_msg("step %u: no reason", n);
		assert_true(ok || struck);
		store_close(t->store);
		t->store = NULL;
		expect_mail(t, id, n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_piece_that_cannot_be_read_is_not_damaged),
		TEST(a_body_is_read_again_from_anywhere),
		TEST(what_is_cut_or_altered_while_it_is_read_has_no_end),
		TEST(a_lay_is_what_is_to_be_copied),
		TEST(what_fails_in_the_spool_says_why),
		TEST(a_file_that_finds_no_room_is_not_a_failing_disk),
		TEST(a_start_that_fails_loses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
