#include "drops.h"

#include "faults.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../folder/folder_dir.h"

enum { FOLDERS = 300, OPEN = 32 };

static size_t
descriptors(void)
{
	struct file_names names;
	int fd = dir_open(AT_FDCWD, "/proc/self/fd", NULL);

	assert_true(dir_names(fd, 100000, &names, NULL));
	(void)close(fd);
	size_t n = names.n;
	file_names_done(&names);
	return n;
}

static bool
put(struct drops *d, size_t folder, uint64_t qid, struct drop_at **at)
{
	static const struct span ann = { SPAN_INIT("ann@contoso.test") },
				 text = { SPAN_INIT("Subject: x\r\n\r\n") };
	const struct letter l = { .qid = qid,
		.sender = SPAN("s@x.test"),
		.recipients = &ann,
		.n_recipients = 1,
		.body = { .parts = &text, .n_parts = 1, .fd = -1 } };
	struct err err = { 0 };
	char name[20];

	(void)snprintf(name, sizeof(name), "d%zu", folder);
	return drops_write(d, folder_path(name), &l, at, &err);
}

/* edge 20: more folders than may be open, twice in one batch. */
static void
hundreds_of_folders_in_one_batch(void **state)
{
	struct drops *d = drops_new(OPEN);
	static struct drop_at *at[2 * FOLDERS];
	size_t before = descriptors();

	(void)state;
	for (size_t i = 0; i < 2 * FOLDERS; i++) {
		assert_true(put(d, i % FOLDERS, i + 1, &at[i]));
		assert_true(descriptors() <= before + OPEN);
	}
	drops_sync(d);
	for (size_t i = 0; i < 2 * FOLDERS; i++)
		assert_null(drop_at_failed(at[i]));
	drops_end(d);
	for (size_t i = 0; i < FOLDERS; i++) {
		char name[20];

		(void)snprintf(name, sizeof(name), "d%zu", i);
		assert_int_equal(folder_count(name), 2);
	}
	drops_free(d);
	assert_int_equal(descriptors(), before);
}

/* What fails when a folder makes room concerns that folder's messages, and them alone. */
static void
a_sync_that_fails_to_make_room_is_told(void **state)
{
	struct drops *d = drops_new(2);
	struct drop_at *at[5];

	(void)state;
	assert_true(put(d, 0, 1, &at[0]) && put(d, 1, 2, &at[1]));
	faults_begin(folder_dir);
	faults_fail(FAULT_RENAME, 1, 1, EIO);
	assert_true(put(d, 2, 3, &at[2]));
	assert_true(faults_struck());
	assert_true(put(d, 0, 4, &at[3]) && put(d, 2, 5, &at[4]));
	drops_sync(d);
	faults_end();
	assert_non_null(drop_at_failed(at[0]));
	for (size_t i = 1; i < 5; i++)
		assert_null(drop_at_failed(at[i]));
	drops_end(d);
	assert_int_equal(folder_count("d0"), 1);
	assert_int_equal(folder_count("d2"), 2);
	/* The next batch knows nothing of it. */
	assert_true(put(d, 0, 1, &at[0]));
	drops_sync(d);
	assert_null(drop_at_failed(at[0]));
	drops_end(d);
	assert_int_equal(folder_count("d0"), 2);
	drops_free(d);
}

/* Somebody moved the folder away while it was open: mail goes where the path leads. */
static void
a_folder_that_was_replaced_is_opened_anew(void **state)
{
	struct drops *d = drops_new(2);
	struct drop_at *at;

	(void)state;
	assert_true(put(d, 0, 1, &at));
	drops_sync(d);
	drops_end(d);
	assert_int_equal(rename(folder_path("d0"), folder_path("away")), 0);
	assert_true(put(d, 0, 2, &at));
	drops_sync(d);
	assert_null(drop_at_failed(at));
	drops_end(d);
	assert_int_equal(folder_count("d0"), 1);
	assert_int_equal(folder_count("away"), 1);
	drops_free(d);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		TEST(hundreds_of_folders_in_one_batch),
		TEST(a_sync_that_fails_to_make_room_is_told),
		TEST(a_folder_that_was_replaced_is_opened_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
