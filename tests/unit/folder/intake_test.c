#include "postern/intake.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "folder_dir.h"
#include "postern/clock.h"
#include "postern/log.h"

/* The room's clock (meson.build wraps it): a test waits by turning it on. */
static int64_t ahead_ms;

int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void);

int64_t
__wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() + ahead_ms;
}

static uint64_t
next_id(void *host)
{
	return ++*(uint64_t *)host;
}

static uint64_t ids;

static struct intake *
opened(uint64_t max_size)
{
	struct err err = { 0 };
	struct intake *in = intake_open(
			&(struct intake_options){ .path = folder_path("Pickup"),
					.work = folder_path("work"),
					.max_size = max_size,
					.new_id = next_id,
					.host = &ids },
			&err);

	if (!in)
		fail_msg("%s", err.text);
	return in;
}

static void
put(const char *name, mode_t mode)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "Pickup/%s", name);
	int fd = open(folder_path(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "text", 4), 4);
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

/* Looks until a pass is over and nothing is waited for any more; the files are closed. */
static size_t
taken(struct intake *in, struct claim *out, size_t most)
{
	struct intake_look look = { 0 };
	size_t n = 0;

	do {
		if (look.wait_ms > 0)
			ahead_ms += look.wait_ms + 1;
		n += intake_take(in, out + n, most - n, &look);
	} while (look.more || look.wait_ms > 0);
	for (size_t i = 0; i < n; i++)
		(void)close(out[i].fd);
	return n;
}

static void
only_what_is_ready_and_ours_is_taken(void **state)
{
	struct claim c[9];
	struct intake *in = opened(100);

	(void)state;
	assert_int_equal(log_open(&(struct log_options){ .level = 3,
						  .journal = folder_path("events") },
					 NULL),
			true);
	put("plain", 0600);
	put("wide", 0644);
	put("read-only", 0400);
	put(".hidden", 0600);
	put("two", 0600);
	assert_int_equal(link(folder_path("Pickup/two"), folder_path("Pickup/names")),
			0);
	assert_int_equal(symlink("plain", folder_path("Pickup/link")), 0);
	assert_int_equal(mkfifo(folder_path("Pickup/fifo"), 0600), 0);
	assert_int_equal(mkdir(folder_path("Pickup/dir"), 0700), 0);
	put("large", 0600);
	assert_int_equal(truncate(folder_path("Pickup/large"), 101), 0);

	struct intake_look look;
	assert_int_equal(intake_take(in, c, 9, &look), 0); /* nothing is stable */
	assert_true(look.wait_ms > 0 && look.wait_ms <= 2000);
	assert_int_equal(taken(in, c, 9), 2);
	assert_string_equal(c[0].file, "plain"); /* in the order of names */
	assert_string_equal(c[1].file, "wide");
	assert_int_equal(c[0].size, 4);
	assert_int_equal(folder_count("Pickup"), 8);
	assert_int_equal(folder_count("work"), 2);
	assert_int_equal(taken(in, c, 9), 0);
	/* Made writable, it is another file. */
	assert_int_equal(chmod(folder_path("Pickup/read-only"), 0600), 0);
	assert_int_equal(taken(in, c, 9), 1);
	assert_string_equal(c[0].file, "read-only");
	log_close();

	/* Each of them is told of once, however often it was met. */
	AUTO(buf_done) struct buf got = BUF_MAX(1 << 20);
	struct err err = { 0 };
	size_t told = 0;
	assert_true(file_read(AT_FDCWD, folder_path("events"), 0, &got, &err));
	for (const char *p = buf_cstr(&got); (p = strstr(p, "5102,")); p++)
		told++;
	assert_int_equal(told, 7);
	intake_close(in);
}

static void
a_file_that_is_open_for_writing_waits(void **state)
{
	struct claim c[2];
	struct intake_look look;
	struct intake *in = opened(0);

	(void)state;
	put("slow", 0600);
	int fd = open(folder_path("Pickup/slow"), O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(fd >= 0);
	for (int64_t end = clock_mono_ms() + 2600; clock_mono_ms() < end;) {
		assert_int_equal(intake_take(in, c, 2, &look), 0);
		assert_true(look.wait_ms > 0); /* it will be looked at again */
		ahead_ms += 100;
	}
	assert_int_equal(write(fd, "more", 4), 4);
	(void)close(fd);
	assert_int_equal(intake_take(in, c, 2, &look), 0); /* it has just grown */
	assert_int_equal(taken(in, c, 2), 1);
	assert_int_equal(c[0].size, 8);
	intake_close(in);
}

static void
a_claim_comes_again_until_it_is_removed(void **state)
{
	struct claim c[4], again[4];
	struct err err = { 0 };
	struct intake *in = opened(0);
	char odd[NAME_MAX + 1];

	(void)state;
	memset(odd, 'n', NAME_MAX);
	memcpy(odd, "-\n\xff", 3);
	odd[NAME_MAX] = '\0';
	put("a", 0600);
	put(odd, 0600);
	assert_int_equal(taken(in, c, 4), 2);
	assert_string_equal(c[1].file, "a");
	assert_int_equal(strlen(c[0].name), NAME_MAX);
	assert_int_equal(taken(in, again, 4), 0); /* in hand */
	intake_close(in);

	in = opened(0);
	assert_int_equal(taken(in, again, 4), 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(again[i].name, c[i].name);
		assert_int_equal(again[i].id, c[i].id);
		assert_int_equal(again[i].size, 4);
	}
	assert_string_equal(again[1].file, "a");
	assert_true(intake_remove(in, &c[0]) && intake_remove(in, &c[1]));
	assert_true(intake_sync(in, &err));
	intake_again(in);
	assert_int_equal(taken(in, again, 4), 0);
	assert_int_equal(folder_count("work"), 0);
	intake_close(in);
}

static void
what_is_put_back_stays_until_it_changes(void **state)
{
	struct claim c[2];
	struct intake *in = opened(0);

	(void)state;
	put("a", 0600);
	assert_int_equal(taken(in, c, 2), 1);
	intake_put_back(in, &c[0], "it is no message");
	assert_int_equal(taken(in, c, 2), 0);
	assert_int_equal(folder_count("Pickup"), 1);
	put("a", 0640);
	assert_int_equal(taken(in, c, 2), 1);
	intake_close(in);
}

static void
many_are_taken_by_slices(void **state)
{
	enum { MANY = 100 };
	static struct claim c[MANY];
	struct intake_look look = { 0 };
	struct intake *in = opened(0);
	size_t n = 0;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "m%03d", i);
		put(name, 0600);
	}
	assert_int_equal(intake_take(in, c, 32, &look), 0); /* seen, not yet stable */
	ahead_ms += 2100;
	for (size_t slice; (slice = intake_take(in, c + n, 32, &look)) > 0; n += slice)
		assert_int_equal(look.more, n + slice < MANY);
	assert_int_equal(n, MANY);
	for (size_t i = 0; i < n; i++)
		(void)close(c[i].fd);
	intake_close(in);
}

static void
the_folder_itself(void **state)
{
	struct claim c[2];
	struct intake *in = opened(0);

	(void)state;
	put("a", 0600);
	/* Anybody could put a link, or another's file, there (F02). */
	assert_int_equal(chmod(folder_path("Pickup"), 0777), 0);
	assert_int_equal(taken(in, c, 2), 0);
	assert_int_equal(chmod(folder_path("Pickup"), 0770), 0);
	assert_int_equal(taken(in, c, 2), 1);
	/* Moved away, it is made anew; a link in its place is not followed. */
	assert_int_equal(rename(folder_path("Pickup"), folder_path("Moved")), 0);
	assert_int_equal(taken(in, c, 2), 0);
	put("b", 0600);
	assert_int_equal(taken(in, c, 2), 1);
	assert_string_equal(c[0].file, "b");
	assert_int_equal(rmdir(folder_path("Pickup")), 0);
	assert_int_equal(symlink("Moved", folder_path("Pickup")), 0);
	put("c", 0600);
	assert_int_equal(taken(in, c, 2), 0);
	intake_close(in);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		TEST(only_what_is_ready_and_ours_is_taken),
		TEST(a_file_that_is_open_for_writing_waits),
		TEST(a_claim_comes_again_until_it_is_removed),
		TEST(what_is_put_back_stays_until_it_changes),
		TEST(many_are_taken_by_slices),
		TEST(the_folder_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
