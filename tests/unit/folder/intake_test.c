#include "postern/intake.h"

#include <errno.h>
#include <malloc.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "folder_dir.h"
#include "folder_events.h"
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
put_at(const char *path, mode_t mode)
{
	int fd = open(folder_path(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "text", 4), 4);
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

static void
put(const char *name, mode_t mode)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "Pickup/%s", name);
	put_at(path, mode);
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
	events_begin();
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
	assert_int_equal(events("5102,"),
			3); /* what will never be a file is told of at once */
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
	/* Each of them is told of once, however often it was met. */
	assert_int_equal(events("5102,"), 7);
	assert_int_equal(events("it is a directory"), 1);
	assert_int_equal(events("it is a link"), 1);
	assert_int_equal(events("it is no regular file"), 1);
	assert_int_equal(events("hard links"), 2);
	assert_int_equal(events("it is read-only"), 1);
	assert_int_equal(events("it is larger than"), 1);
	log_close();
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
	assert_int_equal(chmod(folder_path("Pickup/a"), 0640),
			0); /* no more than that */
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

/* The one that is ready first says when to come again, whatever its name. */
static void
the_next_look_is_for_the_first_that_is_ready(void **state)
{
	struct claim c[2];
	struct intake_look look;
	struct intake *in = opened(0);

	(void)state;
	put("b", 0600);
	assert_int_equal(intake_take(in, c, 2, &look), 0);
	ahead_ms += 1000;
	put("a", 0600);
	put("c", 0600);
	assert_int_equal(intake_take(in, c, 2, &look), 0);
	assert_true(look.wait_ms > 0 && look.wait_ms <= 1000);
	ahead_ms += look.wait_ms;
	assert_int_equal(intake_take(in, c, 2, &look), 1);
	assert_string_equal(c[0].file, "b");
	(void)close(c[0].fd);
	assert_true(look.wait_ms > 0);
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
	/* So is another that somebody put in its place. */
	assert_int_equal(rename(folder_path("Pickup"), folder_path("Moved again")), 0);
	assert_int_equal(mkdir(folder_path("Pickup"), 0700), 0);
	put("d", 0600);
	assert_int_equal(taken(in, c, 2), 1);
	assert_string_equal(c[0].file, "d");
	assert_int_equal(rmdir(folder_path("Pickup")), 0);
	assert_int_equal(symlink("Moved", folder_path("Pickup")), 0);
	put("c", 0600);
	assert_int_equal(taken(in, c, 2), 0);
	intake_close(in);
}

static void
the_limit_of_size_may_change(void **state)
{
	struct claim c[2];
	struct intake *in = opened(3);

	(void)state;
	put("a", 0600);
	assert_int_equal(taken(in, c, 2), 0);
	intake_limit(in, 4); /* its size */
	assert_int_equal(taken(in, c, 2), 1);
	intake_close(in);
}

/* Not ours to send: somebody else's, which root may have moved there. */
static void
a_file_of_another_user_is_not_taken(void **state)
{
	enum { US = 12345, THEM = 12346 };
	static const uid_t owners[] = { US, THEM, 0 };
	struct claim c[4], again[4];
	char name[NAME_MAX + 10];

	(void)state;
	if (geteuid() != 0)
		return; /* nobody else can give files away */
	struct intake *in = opened(0);
	intake_close(in);
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "Pickup/%c", "abc"[i]);
		put_at(name, 0644);
		assert_int_equal(chown(folder_path(name), owners[i], 0), 0);
	}
	assert_int_equal(chown(folder_dir, US, 0), 0);
	assert_int_equal(chown(folder_path("Pickup"), US, 0), 0);
	assert_int_equal(chown(folder_path("work"), US, 0), 0);
	assert_int_equal(seteuid(US), 0);
	in = opened(0);
	assert_int_equal(taken(in, c, 4), 2);
	assert_string_equal(c[0].file, "a");
	assert_string_equal(c[1].file, "c");
	assert_int_equal(seteuid(0), 0);
	(void)snprintf(name, sizeof(name), "work/%s", c[0].name);
	assert_int_equal(chown(folder_path(name), THEM, 0), 0);
	assert_int_equal(seteuid(US), 0);
	intake_again(in);
	assert_int_equal(taken(in, again, 4), 1);
	assert_string_equal(again[0].file, "c");
	(void)snprintf(name, sizeof(name), "work/%s", c[1].name);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chown(folder_path(name), US, 0), 0);
	assert_int_equal(seteuid(US), 0);
	intake_again(in);
	assert_int_equal(taken(in, again, 4), 1);
	intake_close(in);
	assert_int_equal(seteuid(0), 0);
}

/* What else lies there is told of, and stays. */
static void
what_is_no_claim_stays_in_the_work_area(void **state)
{
	static const struct {
		int of_id; /* so many octets of a number, and then */
		const char *rest;
	} odd[] = { { 0, "short" }, { 99, "" }, { 99, "." }, { 99, "x.a" },
		{ 99, "-a" }, { 5, ".abcdefghijklmnopqrst" } };
	struct claim c[4];
	struct intake *in = opened(0);
	char id[QID_SIZE], name[80], path[90];
	size_t n = sizeof(odd) / sizeof(odd[0]);

	(void)state;
	qid_print(UINT64_C(123456789) << 16, id);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "%.*s%s", odd[i].of_id, id,
				odd[i].rest);
		(void)snprintf(path, sizeof(path), "work/%s", name);
		int fd = open(folder_path(path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		(void)close(fd);
	}
	(void)snprintf(path, sizeof(path), "work/%s.dir", id);
	assert_int_equal(mkdir(folder_path(path), 0700), 0);
	(void)snprintf(path, sizeof(path), "work/%s.fifo", id);
	assert_int_equal(mkfifo(folder_path(path), 0600), 0);
	(void)snprintf(path, sizeof(path), "work/%s.link", id);
	assert_int_equal(symlink("short", folder_path(path)), 0);
	(void)snprintf(path, sizeof(path), "work/%s.z", id);
	int fd = open(folder_path(path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "text", 4), 4);
	(void)close(fd);
	events_begin();
	assert_int_equal(taken(in, c, 4), 1);
	assert_string_equal(c[0].file, "z");
	assert_int_equal(c[0].id, UINT64_C(123456789) << 16);
	assert_int_equal(c[0].size, 4);
	assert_int_equal(events("5102,"), n + 3);
	assert_int_equal(events("it is no claim"), n);
	assert_int_equal(events("it is no file of ours"), 2);
	assert_int_equal(events(err_words(ELOOP)), 1);
	assert_int_equal(folder_count("work"), n + 4);
	log_close();
	intake_close(in);
}

/* The folder cannot be made: what was taken before goes on. */
static void
claims_go_on_without_the_folder(void **state)
{
	struct claim c[2];
	struct intake *in = opened(0);

	(void)state;
	put("a", 0600);
	put("b", 0600);
	assert_int_equal(taken(in, c, 2), 2);
	intake_close(in);
	assert_int_equal(rmdir(folder_path("Pickup")), 0);
	int fd = open(folder_path("Pickup"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	in = opened(0);
	events_begin();
	assert_int_equal(taken(in, c, 2), 2);
	assert_int_equal(taken(in, c, 2), 0);
	assert_int_equal(events("5102,"), 1); /* and why it is in the way */
	assert_true(intake_remove(in, &c[0]) && intake_remove(in, &c[1]));
	assert_int_equal(unlink(folder_path("Pickup")), 0);
	assert_int_equal(taken(in, c, 2), 0);
	put("c", 0600);
	assert_int_equal(taken(in, c, 2), 1);
	log_close();
	intake_close(in);
}

static void
what_is_wrong_with_the_folder_is_told_once_a_time(void **state)
{
	struct claim c[2];
	struct intake *in;

	(void)state;
	assert_int_equal(mkdir(folder_path("p"), 0700), 0);
	in = intake_open(&(struct intake_options){ .path = folder_path("p/Pickup"),
					 .work = folder_path("work"),
					 .new_id = next_id,
					 .host = &ids },
			NULL);
	assert_non_null(in);
	events_begin();
	for (size_t i = 1; i <= 2; i++) {
		/* It cannot even be looked at. */
		put_at("p/Pickup/a", 0600);
		assert_int_equal(rename(folder_path("p"), folder_path("q")), 0);
		int fd = open(folder_path("p"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		(void)close(fd);
		for (int k = 0; k < 3; k++)
			assert_int_equal(taken(in, c, 2), 0);
		assert_int_equal(events("5102,"), 2 * i - 1);
		assert_int_equal(events(err_words(ENOTDIR)), i);
		/* The same directory is back, and then anybody may write into it. */
		assert_int_equal(unlink(folder_path("p")), 0);
		assert_int_equal(rename(folder_path("q"), folder_path("p")), 0);
		assert_int_equal(taken(in, c, 2), 1);
		assert_int_equal(chmod(folder_path("p/Pickup"), 0777), 0);
		for (int k = 0; k < 3; k++)
			assert_int_equal(taken(in, c, 2), 0);
		assert_int_equal(events("anybody may write"), i);
		assert_int_equal(chmod(folder_path("p/Pickup"), 0700), 0);
		assert_int_equal(taken(in, c, 2), 0);
		assert_int_equal(events("5105,"), 0); /* it was there all the time */
	}
	assert_int_equal(rmdir(folder_path("p/Pickup")), 0);
	for (int k = 0; k < 3; k++)
		assert_int_equal(taken(in, c, 2), 0);
	assert_int_equal(events("5105,"), 1);
	assert_int_equal(events("5102,"), 4);
	log_close();
	intake_close(in);
}

static void
what_cannot_be_put_back_stays_and_is_told_of(void **state)
{
	struct claim c[2];
	struct intake *in = opened(0);

	(void)state;
	put("a", 0600);
	assert_int_equal(taken(in, c, 2), 1);
	events_begin();
	put("a", 0600); /* a second of that name */
	intake_put_back(in, &c[0], "why not");
	assert_int_equal(events("why not"), 1);
	assert_int_equal(folder_count("work"), 1);
	assert_int_equal(folder_count("Pickup"), 1);
	assert_int_equal(unlink(folder_path("Pickup/a")), 0);
	intake_put_back(in, &c[0], "why then");
	assert_int_equal(folder_count("work"), 0);
	assert_int_equal(taken(in, c, 2), 0);
	assert_int_equal(taken(in, c, 2), 0);
	assert_int_equal(events("why then"), 1);
	assert_int_equal(events("5102,"), 2);
	log_close();
	intake_close(in);
}

static void
what_cannot_be_removed_is_told_of(void **state)
{
	struct claim c[1];
	struct intake *in = opened(0);
	char path[NAME_MAX + 10];

	(void)state;
	put("a", 0600);
	assert_int_equal(taken(in, c, 1), 1);
	(void)snprintf(path, sizeof(path), "work/%s", c[0].name);
	assert_int_equal(unlink(folder_path(path)), 0);
	events_begin();
	assert_true(intake_remove(in, &c[0])); /* somebody did */
	assert_int_equal(events("5102,"), 0);
	assert_int_equal(mkdir(folder_path(path), 0700), 0);
	assert_false(intake_remove(in, &c[0]));
	assert_int_equal(events("5102,"), 1);
	log_close();
	intake_close(in);
}

/* One call looks at so many names at most, whatever comes of them. */
static void
a_heap_of_what_is_not_taken_is_looked_at_by_turns(void **state)
{
	enum { AT_ONCE = 2000 };
	struct claim c[2];
	struct intake_look look;
	struct intake *in = opened(0);
	char name[20];

	(void)state;
	for (int i = 0; i < AT_ONCE; i++) {
		(void)snprintf(name, sizeof(name), ".%d", i);
		put(name, 0600);
	}
	put("a", 0600);
	look.wait_ms = 77; /* whatever was there before */
	assert_int_equal(intake_take(in, c, 2, &look), 0);
	assert_true(look.more);
	assert_int_equal(look.wait_ms, 0);
	assert_int_equal(intake_take(in, c, 2, &look), 0);
	assert_false(look.more);
	assert_true(look.wait_ms > 0); /* until it is stable */
	ahead_ms += 2100;
	assert_int_equal(intake_take(in, c, 2, &look), 0);
	assert_int_equal(intake_take(in, c, 2, &look), 1);
	assert_false(look.more);
	(void)close(c[0].fd);
	assert_int_equal(unlink(folder_path("Pickup/.7")), 0);
	assert_int_equal(intake_take(in, c, 2, &look), 0);
	assert_false(look.more);
	intake_close(in);
}

/* Neither memory nor descriptors, however far it came; nor anybody else's descriptor. */
static void
open_and_close(void)
{
	struct claim c[1];
	struct intake_look look;
	struct intake *in = opened(0);

	intake_close(NULL);
	put("a", 0600);
	put("b", 0600);
	put("c", 0400);
	assert_int_equal(intake_take(in, c, 1, &look), 0);
	ahead_ms += 2100;
	assert_int_equal(intake_take(in, c, 1, &look), 1);
	assert_true(look.more); /* in the middle of a listing */
	(void)close(c[0].fd);
	assert_int_equal(intake_take(in, c, 1, &look), 1);
	(void)close(c[0].fd);
	intake_close(in);
	in = opened(0);
	assert_int_equal(intake_take(in, c, 1, &look), 1);
	(void)close(c[0].fd);
	intake_close(in); /* in the middle of the claims */
	in = opened(0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(intake_take(in, c, 1, &look), 1);
		assert_true(intake_remove(in, &c[0]));
		(void)close(c[0].fd);
	}
	intake_close(in);
	assert_null(intake_open(&(struct intake_options){ .path = folder_path("Pickup"),
						.work = folder_path("none/work"),
						.new_id = next_id },
			NULL)); /* the work area cannot be made */
	assert_int_equal(unlink(folder_path("Pickup/c")), 0);
	/* Nor can the folder be opened. */
	assert_int_equal(rmdir(folder_path("Pickup")), 0);
	put_at("Pickup", 0600);
	in = opened(0);
	assert_int_equal(intake_take(in, c, 1, &look), 0);
	intake_close(in);
	assert_int_equal(unlink(folder_path("Pickup")), 0);
}

static void
what_is_closed_leaves_nothing_behind(void **state)
{
	enum { ROUNDS = 60 };

	(void)state;
	put_at("none", 0600);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(null >= 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO);
	open_and_close();
	size_t memory = mallinfo2().uordblks;
	for (int i = 0; i < ROUNDS; i++)
		open_and_close();
	/* The allocator keeps some by itself, but not each time. */
	assert_true(mallinfo2().uordblks < memory + (size_t)ROUNDS * 32);
	assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(next, null + 1);
	(void)close(next);
	(void)close(null);
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
		TEST(the_next_look_is_for_the_first_that_is_ready),
		TEST(the_folder_itself),
		TEST(the_limit_of_size_may_change),
		TEST(a_file_of_another_user_is_not_taken),
		TEST(what_is_no_claim_stays_in_the_work_area),
		TEST(claims_go_on_without_the_folder),
		TEST(what_is_wrong_with_the_folder_is_told_once_a_time),
		TEST(what_cannot_be_put_back_stays_and_is_told_of),
		TEST(what_cannot_be_removed_is_told_of),
		TEST(what_is_closed_leaves_nothing_behind),
		TEST(a_heap_of_what_is_not_taken_is_looked_at_by_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
