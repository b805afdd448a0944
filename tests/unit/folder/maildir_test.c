#include "postern/maildir.h"

#include <sys/stat.h>

#include "folder_dir.h"
#include "postern/clock.h"

static void
expands(const char *pattern, const char *address, const char *want)
{
	AUTO(buf_done) struct buf out = BUF_MAX(1000);
	bool ok = maildir_expand(span_of(pattern), span_of(address), &out, NULL);

	assert_int_equal(ok, want != NULL);
	if (want)
		assert_string_equal(buf_cstr(&out), want);
}

static void
test_where_an_address_lives(void **state)
{
	(void)state;
	expands("/m/%d/%u", "Ann.Lee@Contoso.TEST", "/m/contoso.test/ann.lee");
	expands("/m/100%%/%u/", "a@b", "/m/100%/a/");
	expands("/m/%d/%u", "../x@b", NULL);
	expands("/m/%d/%u", ".x@b", NULL);
	expands("/m/%d/%u", "a/b@b", NULL);
	expands("/m/%d/%u", "a@..", NULL);
	expands("/m/%d/%u", "a@", NULL);
	expands("/m/%d/%u", "a", NULL);
	expands("/m/%d/%u", "@b", NULL);
	expands("/m/%u", "a\nb@c", NULL);
	expands("/m/%x", "a@b", NULL);
	/* edge 34: a local part has one folder, however it is spelled */
	expands("/m/%u", "\"Ann\"@b", "/m/ann");
	expands("/m/%u", "\"a\\nn\"@b", "/m/ann");
	expands("/m/%d/%u", "\"ann lee\"@b", "/m/b/ann lee");
	expands("/m/%u", "\"a@c\"@b", "/m/a@c");
	expands("/m/%u", "\"\"@b", NULL);
	expands("/m/%u", "\"..\"@b", NULL);
	expands("/m/%u", "\"a/b\"@b", NULL);
	expands("/m/%u", "\"@b", "/m/\"");
	expands("/m/%", "a@b", NULL);
}

static size_t
count_in(const char *name)
{
	return folder_count(name);
}

static void
test_once_even_when_repeated(void **state)
{
	struct span text = SPAN("Subject: x\n\nbody\r\n.\n");
	struct letter_body body = { .parts = &text, .n_parts = 1, .fd = -1 };
	struct maildir *m = maildir_new(64);
	struct err err = { 0 };
	char path[512];
	uint64_t now = (uint64_t)clock_wall_ms() << 16, old = (uint64_t)1000000 << 16;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s", folder_path("m/contoso.test/ann"));
	assert_true(maildir_write(m, path, now, 1, &body, &err));
	assert_true(maildir_write(m, path, now, 2, &body, &err));
	assert_true(maildir_write(m, path, old, 1, &body, &err));
	assert_true(maildir_write(m, path, old, 1, &body, &err));
	assert_int_equal(count_in("m/contoso.test/ann/new"), 0);
	assert_true(maildir_sync(m, &err));
	assert_int_equal(count_in("m/contoso.test/ann/new"), 3);
	assert_int_equal(count_in("m/contoso.test/ann/tmp"), 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);

	/* The bytes, and the name that a repeat finds. */
	char name[200], to[700], id[QID_SIZE];
	qid_print(old, id);
	(void)snprintf(name, sizeof(name), "m/contoso.test/ann/new/1000.Q%sR1.postern",
			id);
	folder_expect(name, text);
	assert_true(maildir_write(m, path, old, 1, &body, &err) &&
			maildir_sync(m, &err));
	assert_int_equal(count_in("m/contoso.test/ann/new"), 3);

	/* Somebody has read it. */
	(void)snprintf(to, sizeof(to), "%s/cur/1000.Q%sR1.postern:2,RS", path, id);
	assert_int_equal(rename(folder_path(name), to), 0);
	assert_true(maildir_write(m, path, old, 1, &body, &err) &&
			maildir_sync(m, &err));
	assert_int_equal(count_in("m/contoso.test/ann/new"), 2);
	assert_int_equal(count_in("m/contoso.test/ann/cur"), 1);
	/* Another recipient of the same message is not that one. */
	assert_true(maildir_write(m, path, old, 3, &body, &err) &&
			maildir_sync(m, &err));
	assert_int_equal(count_in("m/contoso.test/ann/new"), 3);

	/* A batch over several mailboxes. */
	for (int i = 0; i < 6; i++) {
		char box[250];
		(void)snprintf(box, sizeof(box), "%s/m/d/u%d", folder_dir, i);
		assert_true(maildir_write(m, box, now, 1, &body, &err));
	}
	assert_true(maildir_sync(m, &err));
	assert_int_equal(count_in("m/d/u5/new"), 1);

	/* Not synced: nothing. */
	assert_true(maildir_write(m, path, now + 1, 1, &body, &err));
	maildir_free(m);
	assert_int_equal(count_in("m/contoso.test/ann/new"), 3);
	assert_int_equal(count_in("m/contoso.test/ann/tmp"), 0);
}

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

/* edge 20: a list of ten thousand, each with a Maildir of its own. */
static void
ten_thousand_maildirs_in_one_batch(void **state)
{
	enum { MANY = 10000, OPEN = 64 };
	struct span text = SPAN("Subject: x\n\nbody\n");
	struct letter_body body = { .parts = &text, .n_parts = 1, .fd = -1 };
	struct maildir *m = maildir_new(64);
	struct err err = { 0 };
	size_t before = descriptors();
	uint64_t now = (uint64_t)clock_wall_ms() << 16;
	char box[100];

	(void)state;
	assert_int_equal(mkdir(folder_path("m"), 0700), 0);
	for (uint64_t i = 0; i < MANY; i++) {
		(void)snprintf(box, sizeof(box), "m/%llu", (unsigned long long)i);
		assert_true(maildir_write(m, folder_path(box), now, i, &body, &err));
		if (i % 100 == 99)
			assert_true(descriptors() <= before + 3 * OPEN);
	}
	assert_true(maildir_sync(m, &err));
	assert_int_equal(descriptors(), before);
	for (uint64_t i = 0; i < MANY; i += 999) {
		(void)snprintf(box, sizeof(box), "m/%llu/new", (unsigned long long)i);
		assert_int_equal(folder_count(box), 1);
	}
	maildir_free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_where_an_address_lives),
		cmocka_unit_test_setup_teardown(test_once_even_when_repeated,
				folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(ten_thousand_maildirs_in_one_batch,
				folder_make, folder_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
