/* Maildirs: how many are open, what is synced and when, and whether a message is there already. */
#include "faults.h"

#include <errno.h>
#include <sys/stat.h>

#include "folder_dir.h"
#include "moved_clock.h"
#include "postern/maildir.h"

static const struct span text = { SPAN_INIT("Subject: hi\r\n\r\nbody\n") };
static const struct letter_body body = { .parts = &text, .n_parts = 1, .fd = -1 };

/* The n-th look for a file fails (meson.build wraps it). */
static unsigned looks, look_fails;

int __real_faccessat(int dir, const char *name, int mode, int flags);
int __wrap_faccessat(int dir, const char *name, int mode, int flags);

int
__wrap_faccessat(int dir, const char *name, int mode, int flags)
{
	if (++looks != look_fails)
		return __real_faccessat(dir, name, mode, flags);
	errno = EIO;
	return -1;
}

static uint64_t
queued(int64_t ago_ms)
{
	return (uint64_t)(clock_wall_ms() - ago_ms) << 16;
}

static void
put(struct maildir *m, const char *box, uint64_t qid)
{
	struct err err = { 0 };

	if (!maildir_write(m, folder_path(box), qid, 1, &body, &err))
		fail_msg("%s", err.text);
}

static void
sync_all(struct maildir *m)
{
	struct err err = { 0, "as it was" };

	assert_true(maildir_sync(m, &err));
	assert_string_equal(err.text, "as it was");
}

static void
a_path_that_is_too_long_says_so(void **state)
{
	static char name[257];
	struct err err = { 0 };

	(void)state;
	memset(name, 'n', 256);
	for (size_t room = 1; room < 9; room++) {
		static const char *const patterns[] = { "/m/abcdef", "/m/%u", "/m/%d",
			"/m/a%%%%%%%%%%%%" };

		for (size_t i = 0; i < 4; i++) {
			AUTO(buf_done) struct buf out = BUF_MAX(room);

			err.text[0] = '\0';
			assert_false(maildir_expand(span_of(patterns[i]),
					SPAN("abcdef@ghijkl"), &out, &err));
			assert_string_equal(err.text, "the maildir path is too long");
		}
	}
	AUTO(buf_done) struct buf out = BUF_MAX(1000);
	char address[300];
	(void)snprintf(address, sizeof(address), "a@%s", name);
	assert_false(maildir_expand(SPAN("%d"), span_of(address), &out, &err));
	assert_string_equal(err.text, "the address has no place in a maildir path");
	(void)snprintf(address, sizeof(address), "a@%s", name + 1);
	assert_true(maildir_expand(SPAN("%d"), span_of(address), &out, &err));
	assert_false(maildir_expand(SPAN("%u"), SPAN("a\x7f@b"), &out, &err));
	assert_false(maildir_expand(SPAN("%u"), SPAN("a\x1f@b"), &out, &err));
}

static void
so_many_are_open_and_no_more(void **state)
{
	static const unsigned named[] = { 0, 0, 2, 2, 4, 4 };
	struct maildir *m = maildir_new(2);
	uint64_t qid = queued(0);
	char box[] = "m/a";

	(void)state;
	faults_begin(folder_dir);
	for (size_t i = 0; i < 6; i++) {
		box[2] = (char)('a' + i);
		put(m, box, qid);
		assert_int_equal(faults_count(FAULT_RENAME), named[i]);
	}
	put(m, "m/f", qid + 1); /* it is open */
	assert_int_equal(faults_count(FAULT_RENAME), 4);
	sync_all(m);
	assert_int_equal(faults_count(FAULT_RENAME), 7);
	faults_end();
	maildir_free(m);
}

/* Syncs of message files, and passes over the filesystem. */
static void
expect_synced(struct maildir *m, unsigned files, unsigned passes)
{
	unsigned n = 0;

	faults_begin(folder_dir);
	sync_all(m);
	faults_end();
	for (const char *p = faults_story(FAULT_SYNC); (p = strstr(p, "/tmp/")); p++)
		n++;
	assert_int_equal(n, files);
	assert_int_equal(faults_count(FAULT_SYNCFS), passes);
	if (passes > 0)
		assert_int_equal(strncmp(faults_story(FAULT_SYNCS | FAULT_RENAME),
						 "syncfs ", 7),
				0);
}

static void
each_message_is_synced_whatever_box_it_is_in(void **state)
{
	struct maildir *m = maildir_new(64);
	uint64_t qid = queued(0);
	char box[] = "m/a";

	(void)state;
	for (unsigned n = 1; n <= 5; n++) {
		for (unsigned i = 0; i < n; i++) {
			box[2] = (char)('a' + i);
			put(m, box, qid + n);
		}
		expect_synced(m, n <= 3 ? n : 0, n > 3);
	}
	/* The first box has nothing new in it. */
	put(m, "m/a", qid + 1);
	for (uint64_t i = 10; i < 14; i++)
		put(m, "m/b", qid + i);
	expect_synced(m, 0, 1);
	put(m, "m/a", qid + 1);
	put(m, "m/b", qid + 20);
	expect_synced(m, 1, 0);
	maildir_free(m);
}

/* Whoever named it may have been stopped before the sync. */
static void
what_is_there_already_has_its_directory_synced(void **state)
{
	struct maildir *m = maildir_new(64);
	uint64_t qid = queued(100000);

	(void)state;
	put(m, "m/a", qid);
	sync_all(m);
	faults_begin(folder_dir);
	put(m, "m/a", qid);
	sync_all(m);
	faults_end();
	assert_string_equal(faults_story(FAULT_SYNCS | FAULT_RENAME | FAULT_WRITE),
			"sync m/a/new/\nsync m/a/\n");
	maildir_free(m);
}

static void
what_cannot_be_looked_for_is_not_delivered(void **state)
{
	struct maildir *m = maildir_new(64);

	(void)state;
	for (unsigned n = 1; n <= 2; n++) {
		struct err err = { 0 };

		looks = 0;
		look_fails = n;
		assert_false(maildir_write(
				m, folder_path("m/a"), queued(0), 1, &body, &err));
		look_fails = 0;
		assert_non_null(strstr(err.text, "cannot look for "));
		assert_non_null(strstr(err.text, "Input/output error"));
	}
	sync_all(m);
	assert_int_equal(folder_count("m/a/new"), 0);
	maildir_free(m);
}

/* Moves the only message of the box to cur/, with these flags. */
static void
read_it(const char *box, const char *flags)
{
	struct file_names names;
	char from[300], to[300];

	(void)snprintf(from, sizeof(from), "%s/new", box);
	int dir = dir_open(AT_FDCWD, folder_path(from), NULL);
	assert_true(dir_names(dir, 10, &names, NULL));
	assert_int_equal(names.n, 1);
	(void)snprintf(from, sizeof(from), "%s/new/%s", box, names.names[0]);
	(void)snprintf(to, sizeof(to), "%s/cur/%s:2,%s", box, names.names[0], flags);
	assert_int_equal(rename(folder_path(from), folder_path(to)), 0);
	file_names_done(&names);
	(void)close(dir);
}

/* How often a cur/ was read. */
static unsigned
readings(void)
{
	unsigned n = 0;

	for (const char *p = faults_story(FAULT_OPEN); (p = strstr(p, "/cur/.\n")); p++)
		n++;
	return n;
}

static void
a_message_that_was_read_does_not_come_again(void **state)
{
	static const struct {
		const char *what, *flags;
		int64_t ago_ms, born_ms; /* queued, the process began: so long ago */
		bool looks; /* all of cur/ is read for it */
	} rows[] = {
		{ "young and without flags", "", 1000, 9000, false },
		{ "old and without flags", "", 60000, 90000, false },
		{ "old", "S", 60000, 90000, true },
		{ "not quite young", "S", 5000, 90000, true },
		{ "from before a restart", "S", 1000, 900, true },
		{ "of the future", "S", -60000, 90000, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		clock_move(-rows[i].born_ms);
		struct maildir *m = maildir_new(64);
		clock_move(rows[i].born_ms);
		uint64_t qid = queued(rows[i].ago_ms);
		char box[20];

		(void)snprintf(box, sizeof(box), "m/%zu", i);
		put(m, box, qid);
		sync_all(m);
		read_it(box, rows[i].flags);
		faults_begin(folder_dir);
		put(m, box, qid);
		unsigned once = readings();
		put(m, box, qid);
		put(m, box, qid);
		faults_end();
		if (once != rows[i].looks || readings() != once)
			fail_msg("%s: %s", rows[i].what, faults_story(FAULT_OPEN));
		sync_all(m);
		(void)snprintf(box, sizeof(box), "m/%zu/new", i);
		if (folder_count(box) != 0)
			fail_msg("%s: it came twice", rows[i].what);
		maildir_free(m);
	}
}

static void
a_young_message_does_not_cost_a_look_at_all(void **state)
{
	struct maildir *m = maildir_new(64);

	(void)state;
	clock_move(9000);
	faults_begin(folder_dir);
	put(m, "m/a", queued(1000));
	faults_end();
	assert_int_equal(readings(), 0);
	clock_move(-9000);
	maildir_free(m);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_that_is_too_long_says_so),
		TEST(so_many_are_open_and_no_more),
		TEST(each_message_is_synced_whatever_box_it_is_in),
		TEST(what_is_there_already_has_its_directory_synced),
		TEST(what_cannot_be_looked_for_is_not_delivered),
		TEST(a_message_that_was_read_does_not_come_again),
		TEST(a_young_message_does_not_cost_a_look_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
