/* Pickup on disks that fail, and what others do to a file in the very moment of its taking. */
#include "faults.h"

#include <errno.h>
#include <malloc.h>
#include <sys/stat.h>

#include "folder_dir.h"
#include "folder_events.h"
#include "moved_clock.h"
#include "postern/intake.h"
#include "postern/log.h"

enum { STABLE = 2100, CLAIMS = 8 };

static uint64_t ids;

static uint64_t
next_id(void *host)
{
	(void)host;
	return ++ids;
}

static struct intake *
opened(void)
{
	return intake_open(&(struct intake_options){ .path = folder_path("Pickup"),
					   .work = folder_path("work"),
					   .new_id = next_id },
			NULL);
}

static void
put(const char *name, const char *text)
{
	int fd = open(folder_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);

	assert_true(fd >= 0);
	assert_true(fd_write_all(fd, span_of(text)));
	(void)close(fd);
}

static struct intake_look look; /* of the last pass */

static size_t
take(struct intake *in, struct claim out[CLAIMS])
{
	size_t n = 0;

	do
		n += intake_take(in, out + n, CLAIMS - n, &look);
	while (look.more);
	for (size_t i = 0; i < n; i++)
		(void)close(out[i].fd);
	return n;
}

/* ---- every call failing ---- */

/* What is queued, by the names of the claims: the store's part of it. */
static struct {
	char claim[CLAIMS][NAME_MAX + 1];
	size_t n;
	unsigned times['c' + 1]; /* that a file of this name became mail */
} queue;

static void
enqueue(const struct claim *c)
{
	for (size_t i = 0; i < queue.n; i++)
		if (strcmp(queue.claim[i], c->name) == 0)
			return; /* had already */
	assert_true(queue.n < CLAIMS);
	(void)snprintf(queue.claim[queue.n++], NAME_MAX + 1, "%s", c->name);
	queue.times[(unsigned char)c->file[0]]++;
}

/* As a service does: taken, queued, removed; some passes of it. */
static void
serve(void)
{
	struct intake *in = opened();

	for (int pass = 0; in && pass < 3; pass++) {
		struct claim c[CLAIMS];
		size_t n = take(in, c);
		bool all = true;

		for (size_t i = 0; i < n; i++) {
			enqueue(&c[i]);
			all &= intake_remove(in, &c[i]);
		}
		if (n > 0)
			all &= intake_sync(in, NULL);
		if (!all)
			intake_again(in);
		clock_move(STABLE);
	}
	intake_close(in);
}

static void
a_file_becomes_mail_once_whatever_call_fails(void **state)
{
	static const unsigned times[] = { 1, 0 };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		bool struck = true;

		for (unsigned n = 1; struck; n++) {
			assert_int_equal(mkdir(folder_path("Pickup"), 0700), 0);
			put("Pickup/a", "a");
			put("Pickup/b", "b");
			memset(&queue, 0, sizeof(queue));
			clock_move(STABLE);
			faults_begin(folder_dir);
			faults_fail(FAULT_ALL & ~(unsigned)FAULT_READ, n, times[k],
					EIO);
			serve();
			struck = faults_struck();
			faults_end();
			assert_true(n < 1000);
			serve();
			if (queue.times['a'] != 1 || queue.times['b'] != 1)
				fail_msg("call %u of these:\n%s", n,
						faults_story(FAULT_ALL));
			assert_int_equal(folder_count("Pickup"), 0);
			assert_int_equal(folder_count("work"), 0);
			(void)folder_remove(NULL);
			assert_int_equal(mkdir(folder_dir, 0700), 0);
		}
	}
}

static void
a_claim_is_on_disk_before_it_is_given(void **state)
{
	struct claim c[CLAIMS];
	struct intake *in = opened();

	(void)state;
	put("Pickup/a", "a");
	clock_move(STABLE);
	faults_begin(folder_dir);
	assert_int_equal(take(in, c), 1);
	faults_end();
	const char *story = faults_story(FAULT_RENAME | FAULT_SYNCS);
	const char *renamed = strstr(story, "rename Pickup/a work/");
	assert_non_null(renamed);
	assert_string_equal(strchr(renamed, '\n'), "\nsync work/\nsync Pickup/\n");
	faults_begin(folder_dir);
	assert_true(intake_remove(in, &c[0]) && intake_sync(in, NULL));
	faults_end();
	story = faults_story(FAULT_UNLINK | FAULT_SYNCS);
	assert_int_equal(strncmp(story, "unlink work/", 12), 0);
	assert_string_equal(strchr(story, '\n'), "\nsync work/\n");
	/* So is the next one; what comes again was synced already. */
	put("Pickup/b", "b");
	clock_move(STABLE);
	faults_begin(folder_dir);
	assert_int_equal(take(in, c), 1);
	assert_string_equal(faults_story(FAULT_SYNCS), "sync work/\nsync Pickup/\n");
	intake_again(in);
	faults_begin(folder_dir);
	assert_int_equal(take(in, c), 1);
	faults_end();
	assert_int_equal(faults_count(FAULT_SYNCS), 0);
	intake_close(in);
}

/* What is in the way of one file is told of once, and of nothing else. */
static void
what_cannot_be_opened_or_moved_is_told_of(void **state)
{
	static const struct {
		enum fault_call call;
		const char *words;
	} rows[] = {
		{ FAULT_OPEN, "Too many open files" },
		{ FAULT_RENAME, "it cannot be moved into the work area: Too many open files" }
	};
	struct claim c[CLAIMS];
	struct intake *in = opened();

	(void)state;
	assert_int_equal(take(in, c), 0);
	for (size_t i = 0; i < 2; i++) {
		put("Pickup/a", "a");
		clock_move(STABLE);
		events_begin();
		for (int k = 0; k < 3; k++) {
			faults_begin(folder_dir);
			/* The first open is the directory's. */
			faults_fail(rows[i].call, rows[i].call == FAULT_OPEN ? 2 : 1, 1,
					EMFILE);
			assert_int_equal(take(in, c), 0);
			assert_true(faults_struck());
			faults_fail(rows[i].call, rows[i].call == FAULT_OPEN ? 2 : 1, 1,
					ENOENT);
			assert_int_equal(take(in, c), 0);
			assert_true(faults_struck());
			faults_end();
		}
		assert_int_equal(events("5102,"), 1);
		assert_int_equal(events(rows[i].words), 1);
		log_close();
		(void)unlink(folder_path("events"));
		assert_int_equal(take(in, c), 1);
	}
	intake_close(in);
}

/* Of files that went again nothing is kept. */
static void
what_was_noted_of_a_file_goes_with_it(void **state)
{
	enum { MANY = 100, ROUNDS = 3 };
	struct claim c[CLAIMS];
	struct intake *in = opened();
	size_t memory[ROUNDS];
	char name[30];

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < MANY; i++) {
			(void)snprintf(name, sizeof(name), "Pickup/%d-%d", round, i);
			put(name, "text");
			assert_int_equal(chmod(folder_path(name), 0400), 0);
		}
		assert_int_equal(take(in, c), 0);
		for (int i = 0; i < MANY; i++) {
			(void)snprintf(name, sizeof(name), "Pickup/%d-%d", round, i);
			assert_int_equal(unlink(folder_path(name)), 0);
		}
		assert_int_equal(take(in, c), 0);
		memory[round] = mallinfo2().uordblks;
	}
	/* The allocator keeps some by itself, but not for each of them. */
	assert_true(memory[ROUNDS - 1] < memory[ROUNDS - 2] + (size_t)MANY * 32);
	intake_close(in);
}

/* The renames of a process that was stopped before its sync, and those whose sync failed. */
static void
a_claim_that_was_left_is_synced_too(void **state)
{
	struct claim c[CLAIMS];
	struct intake *in = opened();

	(void)state;
	put("Pickup/a", "a");
	clock_move(STABLE);
	faults_begin(folder_dir);
	faults_fail(FAULT_SYNC, 1, 1, EIO);
	assert_int_equal(take(in, c), 0);
	assert_true(faults_struck());
	assert_int_equal(folder_count("work"), 1);
	faults_begin(folder_dir);
	assert_int_equal(take(in, c), 1);
	assert_string_equal(faults_story(FAULT_SYNCS), "sync work/\nsync Pickup/\n");
	intake_close(in);
	in = opened();
	faults_begin(folder_dir);
	assert_int_equal(take(in, c), 1);
	assert_string_equal(faults_story(FAULT_SYNCS), "sync work/\nsync Pickup/\n");
	faults_end();
	intake_close(in);
}

/* ---- races ---- */

struct race {
	const char *point;
	void (*act)(void);
	unsigned times;
};

static void
at_point(void *host, const char *name)
{
	struct race *r = host;

	if (r->times > 0 || strcmp(name, r->point) != 0)
		return;
	r->times++;
	r->act();
}

/* Takes while that happens at that point, once; how many. */
static size_t
take_while(struct intake *in, const char *point, void (*act)(void),
		struct claim c[CLAIMS])
{
	struct race r = { point, act, 0 };

	put("Pickup/a", "first");
	clock_move(STABLE);
	faults_at_points(at_point, &r);
	size_t n = take(in, c);
	faults_at_points(NULL, NULL);
	assert_int_equal(r.times, 1);
	return n;
}

static void
replace_it(void)
{
	put("Pickup/new", "second");
	assert_int_equal(rename(folder_path("Pickup/new"), folder_path("Pickup/a")), 0);
}

static void
a_file_that_is_replaced_before_the_rename_goes_back(void **state)
{
	struct claim c[CLAIMS];
	struct intake *in = opened();

	(void)state;
	assert_int_equal(take_while(in, "pickup: before rename", replace_it, c), 0);
	assert_int_equal(folder_count("work"), 0);
	folder_expect("Pickup/a", SPAN("second"));
	clock_move(STABLE);
	assert_int_equal(take(in, c), 1);
	assert_int_equal(c[0].size, 6);
	intake_close(in);
}

static void
move_it_aside(void)
{
	assert_int_equal(rename(folder_path("Pickup/a"), folder_path("aside")), 0);
	put("Pickup/a", "second");
}

/* The other one is whole, and somewhere else: what is opened is not what would be removed. */
static void
a_file_that_is_exchanged_before_the_rename_goes_back(void **state)
{
	struct claim c[CLAIMS];
	struct intake *in = opened();

	(void)state;
	assert_int_equal(take_while(in, "pickup: before rename", move_it_aside, c), 0);
	assert_true(look.wait_ms > 0);
	assert_int_equal(folder_count("work"), 0);
	folder_expect("Pickup/a", SPAN("second"));
	intake_close(in);
}

static void
remove_it(void)
{
	assert_int_equal(unlink(folder_path("Pickup/a")), 0);
}

static void
a_file_that_goes_before_the_rename_is_nothing(void **state)
{
	struct claim c[CLAIMS];
	struct intake *in = opened();

	(void)state;
	assert_int_equal(take_while(in, "pickup: before rename", remove_it, c), 0);
	assert_int_equal(folder_count("work") + folder_count("Pickup"), 0);
	intake_close(in);
}

static void
link_it(void)
{
	assert_int_equal(link(folder_path("Pickup/a"), folder_path("Pickup/b")), 0);
}

/* Taken with two names it would be sent twice. */
static void
a_file_that_gets_a_second_name_before_the_rename_goes_back(void **state)
{
	struct claim c[CLAIMS];
	struct intake *in = opened();

	(void)state;
	assert_int_equal(take_while(in, "pickup: before rename", link_it, c), 0);
	assert_int_equal(folder_count("work"), 0);
	assert_int_equal(unlink(folder_path("Pickup/b")), 0);
	clock_move(STABLE);
	assert_int_equal(take(in, c), 1);
	intake_close(in);
}

static int writer = -1;

/* Whoever opened it by its old name goes on writing into what is ours now. */
static void
write_to_it(void)
{
	struct file_names names;
	int work = dir_open(AT_FDCWD, folder_path("work"), NULL);

	assert_true(dir_names(work, 10, &names, NULL));
	assert_int_equal(names.n, 1);
	writer = openat(work, names.names[0], O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(writer >= 0);
	file_names_done(&names);
	(void)close(work);
}

static void
a_file_that_is_opened_in_the_moment_of_the_rename_waits(void **state)
{
	struct claim c[CLAIMS];
	struct intake *in = opened();

	(void)state;
	assert_int_equal(take_while(in, "pickup: renamed", write_to_it, c), 0);
	assert_true(look.wait_ms > 0);
	clock_move(STABLE);
	assert_int_equal(take(in, c), 0); /* still open */
	assert_true(look.wait_ms > 0);
	assert_int_equal(write(writer, " more", 5), 5);
	(void)close(writer);
	assert_int_equal(take(in, c), 1);
	assert_int_equal(c[0].size, 10);
	assert_string_equal(c[0].file, "a");
	assert_int_equal(take(in, c), 0);
	assert_int_equal(look.wait_ms, 0); /* nobody writes any more */
	intake_close(in);
}

static void
put_another(void)
{
	put("Pickup/a", "second");
}

static void
a_new_file_of_that_name_is_another(void **state)
{
	struct claim c[CLAIMS];
	struct intake *in = opened();

	(void)state;
	assert_int_equal(take_while(in, "pickup: renamed", put_another, c), 1);
	assert_int_equal(c[0].size, 5);
	clock_move(STABLE);
	assert_int_equal(take(in, c), 1);
	assert_int_equal(c[0].size, 6);
	intake_close(in);
}

/* The name of the claim is taken, by whomever: nothing is overwritten. */
static void
take_its_place(void)
{
	char id[QID_SIZE], name[60];

	qid_print(ids, id);
	(void)snprintf(name, sizeof(name), "work/%s.a", id);
	put(name, "other");
}

static void
a_claim_overwrites_nothing(void **state)
{
	struct claim c[CLAIMS];
	struct intake *in = opened();

	(void)state;
	assert_int_equal(take_while(in, "pickup: before rename", take_its_place, c), 0);
	folder_expect("Pickup/a", SPAN("first"));
	assert_int_equal(folder_count("work"), 1);
	clock_move(STABLE);
	assert_int_equal(take(in, c), 1); /* under another number */
	intake_close(in);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		TEST(a_file_becomes_mail_once_whatever_call_fails),
		TEST(a_claim_is_on_disk_before_it_is_given),
		TEST(what_cannot_be_opened_or_moved_is_told_of),
		TEST(what_was_noted_of_a_file_goes_with_it),
		TEST(a_claim_that_was_left_is_synced_too),
		TEST(a_file_that_is_replaced_before_the_rename_goes_back),
		TEST(a_file_that_is_exchanged_before_the_rename_goes_back),
		TEST(a_file_that_goes_before_the_rename_is_nothing),
		TEST(a_file_that_gets_a_second_name_before_the_rename_goes_back),
		TEST(a_file_that_is_opened_in_the_moment_of_the_rename_waits),
		TEST(a_new_file_of_that_name_is_another),
		TEST(a_claim_overwrites_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
