/* Copying a message out of memory and the spool, and the files of a batch, step by step. */
#include "letter.h"

#include <errno.h>
#include <time.h>

#include "faults.h"
#include "folder_dir.h"
#include "postern/body.h"
#include "postern/sum.h"

enum { AT = 3, PIECE = 128 * 1024 };

/* A spool file that holds the bytes from octet AT on, and more behind them. */
static int
spooled(struct span bytes)
{
	int fd = open(folder_path("spool"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);

	assert_true(fd >= 0);
	assert_true(fd_write_all(fd, SPAN("...")) && fd_write_all(fd, bytes) &&
			fd_write_all(fd, SPAN("more")));
	return fd;
}

static bool
copied(const struct letter_body *body, uint64_t skip, struct err *err)
{
	int to = open(folder_path("copy"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);

	assert_true(to >= 0);
	*err = (struct err){ 0 };
	bool ok = letter_copy(to, body, skip, err);
	(void)close(to);
	return ok;
}

static void
expect_copies(const struct letter_body *body, struct span whole)
{
	struct err err;
	char first[40];

	assert_int_equal(letter_size(body), whole.n);
	for (size_t n = 0; n <= whole.n; n++) {
		if (!copied(body, n, &err))
			fail_msg("%zu skipped: %s", n, err.text);
		folder_expect("copy", span_skip(whole, n));
	}
	for (size_t n = 0; n < sizeof(first); n++) {
		size_t want = n < whole.n ? n : whole.n;

		memset(first, '#', sizeof(first));
		assert_int_equal(letter_peek(body, first, n), want);
		assert_memory_equal(first, whole.p, want);
		for (size_t i = n; i < sizeof(first); i++)
			assert_int_equal(first[i], '#');
	}
}

static void
a_message_is_copied_without_the_octets_that_are_skipped(void **state)
{
	static const struct span parts[] = { { SPAN_INIT("") }, { SPAN_INIT("ab") },
		{ SPAN_INIT("") }, { SPAN_INIT("cdef") }, { SPAN_INIT("g") } };
	struct letter_body body = { .parts = parts, .n_parts = 5, .fd = -1 };
	uint8_t sum[SUM_SIZE];

	(void)state;
	expect_copies(&body, SPAN("abcdefg"));
	body.fd = spooled(SPAN("hijklm"));
	body.fd_at = AT;
	body.fd_size = 6;
	expect_copies(&body, SPAN("abcdefghijklm"));
	sum_of(SPAN("hijklm"), sum);
	body.fd_sum = sum;
	expect_copies(&body, SPAN("abcdefghijklm"));
	body.n_parts = 0;
	expect_copies(&body, SPAN("hijklm"));
	sum_of(SPAN(""), sum);
	body.fd_size = 0;
	expect_copies(&body, SPAN(""));
	(void)close(body.fd);
}

/* More than is held in memory at a time, no piece like another. */
static struct span
long_text(void)
{
	static char text[2 * PIECE + 5];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i / 7 % 23 + i / PIECE);
	return (struct span){ text, sizeof(text) };
}

static struct letter_body
long_body(uint8_t sum[SUM_SIZE])
{
	struct span text = long_text();

	sum_of(text, sum);
	return (struct letter_body){
		.fd = spooled(text), .fd_at = AT, .fd_size = text.n, .fd_sum = sum
	};
}

static void
a_long_message_is_copied_in_pieces(void **state)
{
	static const size_t skips[] = { 0, 1, PIECE - 1, PIECE, PIECE + 1,
		2 * PIECE + 4 };
	uint8_t sum[SUM_SIZE];
	struct letter_body body = long_body(sum);
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(skips) / sizeof(skips[0]); i++) {
		assert_true(copied(&body, skips[i], &err));
		folder_expect("copy", span_skip(long_text(), skips[i]));
	}
	faults_begin(folder_dir);
	assert_true(copied(&body, 0, &err));
	faults_end();
	assert_int_equal(faults_count(FAULT_READ), 3);
	(void)close(body.fd);
}

static void
expect_damage(const struct letter_body *body, const char *words)
{
	struct err err;

	assert_false(copied(body, 0, &err));
	assert_int_equal(err.event, EVENT_BODY_DAMAGED);
	assert_string_equal(err.text, words);
}

static void
an_altered_or_cut_file_is_damaged(void **state)
{
	uint8_t sum[SUM_SIZE];
	struct letter_body body = long_body(sum);
	struct err err;

	(void)state;
	sum[SUM_SIZE - 1] ^= 1;
	expect_damage(&body, BODY_ALTERED);
	expect_damage(&(struct letter_body){ .fd = body.fd, .fd_sum = sum },
			BODY_ALTERED);
	sum[SUM_SIZE - 1] ^= 1;
	assert_int_equal(ftruncate(body.fd, (off_t)(AT + body.fd_size)), 0);
	assert_true(copied(&body, 0, &err));
	assert_int_equal(ftruncate(body.fd, (off_t)(AT + body.fd_size - 1)), 0);
	expect_damage(&body, "its file was cut short");
	body.fd_sum = NULL;
	expect_damage(&body, "its file was cut short");
	assert_int_equal(ftruncate(body.fd, PIECE), 0);
	expect_damage(&body, "its file was cut short");
	(void)close(body.fd);
}

/* A disk that cannot read is one thing, a message that is damaged another: that bounces. */
static void
a_file_that_cannot_be_read_is_not_called_damaged(void **state)
{
	uint8_t sum[SUM_SIZE];
	struct letter_body body = long_body(sum);
	struct err err;
	char first[8];

	(void)state;
	assert_int_equal(ftruncate(body.fd, PIECE), 0);
	faults_begin(folder_dir);
	faults_fail(FAULT_READ, 1, 1, EIO);
	assert_false(copied(&body, 0, &err));
	assert_int_equal(err.event, EVENT_DATABASE_TROUBLE);
	assert_string_equal(
			err.text, "cannot read a spooled message: Input/output error");
	faults_fail(FAULT_READ, 1, 1, EIO);
	assert_int_equal(letter_peek(&body, first, sizeof(first)), 0);
	faults_end();
	(void)close(body.fd);
}

/* Of what, as of when: nothing that was not written passes for written. */
static void
a_copy_that_cannot_be_written_says_so(void **state)
{
	static const struct span parts[] = { { SPAN_INIT("ab") }, { SPAN_INIT("cd") } };
	uint8_t sum[SUM_SIZE];
	struct letter_body body = long_body(sum);

	(void)state;
	body.parts = parts;
	body.n_parts = 2;
	for (uint64_t skip = 0; skip < 6; skip++) {
		bool struck = true;

		for (unsigned n = 1; struck; n++) {
			struct err err;

			faults_begin(folder_dir);
			faults_fail(FAULT_WRITE, n, 1, ENOSPC);
			bool ok = copied(&body, skip, &err);
			struck = faults_struck();
			faults_end();
			assert_int_equal(ok, !struck);
			assert_int_equal(err.event, 0);
			assert_string_equal(err.text,
					struck ? "cannot write a message: No space left on device"
					       : "");
		}
	}
	(void)close(body.fd);
}

/* ---- batches ---- */

static void
write_one(struct batch *b, const char *tmp, const char *name)
{
	struct err err = { 0 };
	int fd = batch_create(b, tmp, &err);

	if (fd < 0)
		fail_msg("%s", err.text);
	assert_true(fd_write_all(fd, span_of(name)));
	(void)close(fd);
	batch_add(b, tmp, name);
}

static void
a_left_over_of_that_name_is_gone_or_in_the_way(void **state)
{
	struct batch b = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_true(batch_open(&b, folder_path("f"), &err));
	write_one(&b, ".a.tmp", "longer");
	batch_cut(&b, 0);
	assert_int_equal(folder_count("f"), 0);
	write_one(&b, ".a.tmp", "longer");
	write_one(&b, ".a.tmp", "a");
	folder_expect("f/.a.tmp", SPAN("a"));
	faults_begin(folder_dir);
	faults_fail(FAULT_UNLINK, 1, 1, EPERM);
	assert_int_equal(batch_create(&b, ".a.tmp", &err), -1);
	assert_string_equal(err.text,
			"cannot remove the left-over .a.tmp: Operation not permitted");
	folder_expect("f/.a.tmp", SPAN("a"));
	faults_fail(FAULT_OPEN, 1, 1, EMFILE);
	assert_int_equal(batch_create(&b, ".b.tmp", &err), -1);
	assert_string_equal(err.text, "cannot create .b.tmp: Too many open files");
	faults_end();
	batch_close(&b);
	assert_int_equal(folder_count("f"), 0);
}

/* More than the list holds at first, and the last of them taken out again. */
static void
what_is_cut_from_a_batch_does_not_come(void **state)
{
	enum { MANY = 40, KEPT = 33 };
	struct batch b = { 0 };
	struct err err = { 0 };
	char tmp[20], name[20];

	(void)state;
	assert_true(batch_open(&b, folder_path("f"), &err));
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(tmp, sizeof(tmp), ".%d.tmp", i);
		(void)snprintf(name, sizeof(name), "%d", i);
		write_one(&b, tmp, name);
	}
	batch_cut(&b, KEPT);
	assert_int_equal(folder_count("f"), KEPT);
	assert_true(batch_sync(&b, &err));
	assert_int_equal(b.n, 0);
	assert_int_equal(folder_count("f"), KEPT);
	for (int i = 0; i < KEPT; i++) {
		(void)snprintf(name, sizeof(name), "f/%d", i);
		folder_expect(name, span_of(name + 2));
	}
	batch_close(&b);
	assert_int_equal(folder_count("f"), KEPT);
}

/* By one pass or file by file: as many as BATCH_FEW have a sync each. */
static void
few_files_are_synced_one_by_one(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= BATCH_FEW + 1; n++) {
		struct batch b = { 0 };
		struct err err = { 0 };
		unsigned each = n <= BATCH_FEW ? n : 0;

		assert_true(batch_open(&b, folder_path("f"), &err));
		for (size_t i = 0; i < n; i++) {
			char name[] = "a";

			name[0] = (char)(name[0] + (char)i);
			write_one(&b, (const char *[]){ ".1", ".2", ".3", ".4" }[i],
					name);
		}
		faults_begin(folder_dir);
		assert_true(batch_sync(&b, &err));
		faults_end();
		assert_int_equal(faults_count(FAULT_SYNCFS), n > BATCH_FEW);
		assert_int_equal(faults_count(FAULT_SYNC), n > 0 ? each + 1 : 0);
		faults_begin(folder_dir);
		assert_true(batch_sync_files(&b, true, &err)); /* nothing to sync */
		assert_true(batch_sync(&b, &err));
		faults_end();
		assert_int_equal(faults_count(FAULT_ALL), 0);
		batch_close(&b);
		(void)folder_remove(NULL);
		assert_int_equal(mkdir(folder_dir, 0700), 0);
	}
}

/* The first reason is the one that is told, until the owner's sync has told it. */
static void
a_failed_batch_keeps_its_reason(void **state)
{
	struct batch b = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_true(batch_open(&b, folder_path("f"), &err));
	write_one(&b, ".a.tmp", "a");
	batch_fail(&b, &(struct err){ 0, "first" });
	assert_int_equal(folder_count("f"), 0);
	batch_fail(&b, &(struct err){ 0, "second" });
	assert_int_equal(batch_create(&b, ".b.tmp", &err), -1);
	assert_string_equal(err.text, "first");
	assert_false(batch_sound(&b, NULL));
	assert_false(batch_flush(&b, NULL));
	err.text[0] = '\0';
	assert_false(batch_sync(&b, &err));
	assert_string_equal(err.text, "first");
	assert_true(batch_sound(&b, &err));
	write_one(&b, ".b.tmp", "b");
	assert_true(batch_sync(&b, &err));
	assert_int_equal(folder_count("f"), 1);
	batch_close(&b);
}

static void
what_cannot_be_opened_is_no_folder(void **state)
{
	struct batch b = { 0 };
	struct err err = { 0 };

	(void)state;
	faults_begin(folder_dir);
	faults_fail(FAULT_MKDIR, 1, 1, EIO);
	assert_false(batch_open(&b, folder_path("f"), &err));
	assert_int_equal(b.dir, -1);
	assert_int_equal(mkdir(folder_path("f"), 0700), 0);
	faults_fail(FAULT_OPEN, 1, 1, EMFILE);
	assert_false(batch_open(&b, folder_path("f"), &err));
	faults_end();
	assert_int_equal(b.dir, -1);
	assert_non_null(strstr(err.text, "Too many open files"));
}

static void
put_old(const char *name, int64_t at_s)
{
	int fd = open(folder_path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	(void)close(fd);
	file_set_time(AT_FDCWD, folder_path(name), at_s);
}

static int64_t
time_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(folder_path(name), &st), 0);
	return st.st_mtime;
}

/* Only files of a batch, and only young by both clocks are made young. */
static void
nothing_but_left_overs_is_swept(void **state)
{
	enum { HOUR = 3600 };
	static const char *const stay[] = { "f/.a", "f/a.tmp", "f/a", "f/.tmp.a",
		"f/.dir.tmp" };
	const struct timespec old[2] = { { .tv_sec = 5 }, { .tv_sec = 5 } };
	struct batch b = { 0 };
	struct err err = { 0 };
	int64_t now = time(NULL);

	(void)state;
	assert_true(batch_open(&b, folder_path("f"), &err));
	put_old("f/.a.tmp", 5);
	for (size_t i = 0; i < 4; i++)
		put_old(stay[i], 5);
	assert_int_equal(mkdir(folder_path("f/.dir.tmp"), 0700), 0);
	assert_int_equal(symlink("x", folder_path("f/.link.tmp")), 0);
	assert_int_equal(utimensat(AT_FDCWD, folder_path("f/.link.tmp"), old,
					 AT_SYMLINK_NOFOLLOW),
			0);
	put_old("f/.wall.tmp", now + 2 * HOUR);
	put_old("f/.steady.tmp", now);
	batch_sweep(b.dir, now + 2 * HOUR, HOUR);
	assert_int_equal(folder_count("f"), 8);
	assert_int_equal(access(folder_path("f/.a.tmp"), F_OK), -1);
	assert_int_equal(time_of("f/.wall.tmp"), now + 2 * HOUR);
	batch_sweep(b.dir, now - 2 * HOUR, HOUR);
	assert_int_equal(time_of("f/.steady.tmp"), now);
	assert_true(time_of("f/.wall.tmp") < now + HOUR);
	batch_close(&b);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		TEST(a_message_is_copied_without_the_octets_that_are_skipped),
		TEST(a_long_message_is_copied_in_pieces),
		TEST(an_altered_or_cut_file_is_damaged),
		TEST(a_file_that_cannot_be_read_is_not_called_damaged),
		TEST(a_copy_that_cannot_be_written_says_so),
		TEST(a_left_over_of_that_name_is_gone_or_in_the_way),
		TEST(what_is_cut_from_a_batch_does_not_come),
		TEST(few_files_are_synced_one_by_one),
		TEST(a_failed_batch_keeps_its_reason),
		TEST(what_cannot_be_opened_is_no_folder),
		TEST(nothing_but_left_overs_is_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
