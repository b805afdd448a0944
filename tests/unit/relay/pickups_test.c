/* Files of Pickup on their way through a whole relay, on disks that fail. */
#include "folders.h"

#include "postern/clock.h"

enum { LARGE = 400 * 1000 };

int64_t __real_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void);

/* Files have been lying there for a while. */
int64_t
__wrap_clock_wall_ms(void)
{
	return __real_clock_wall_ms() + 3000;
}

static const char envelope[] =
		"X-Sender: max@nwtraders.test\r\nX-Receiver: ann@contoso.test\r\n";
static const char small[] = "From: a@contoso.test\r\nTo: ann@contoso.test\r\n\r\nx\r\n";
static char large[LARGE + 100];

static void
put(const struct bench *b, const char *name, const char *text, size_t n)
{
	AUTO(buf_done) struct buf path = BUF_MAX(400);

	assert_true(buf_addf(&path, "Pickup/%s", name));
	int fd = open(path_in(b, buf_cstr(&path)), O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_true(fd_write_all(fd, (struct span){ text, n }));
	(void)close(fd);
}

/* A message that is spooled, one that is not, and what is none. */
static void
put_three(const struct bench *b)
{
	put(b, "large.eml", large, strlen(large));
	put(b, "small.eml", small, strlen(small));
	put(b, "none.eml", "nothing to be read here", 23);
}

static struct bench *
pickup_new(void)
{
	struct bench *b = bench_new();

	assert_int_equal(mkdir(path_in(b, "Pickup"), 0700), 0);
	if (large[0] == '\0') {
		size_t n = sizeof(envelope) - 1;

		memcpy(large, envelope, n);
		n += (size_t)snprintf(large + n, 40, "Subject: large\r\n\r\n");
		/* Every line another one: what was left out or said twice shows. */
		for (unsigned i = 0; n < LARGE; i++)
			n += (size_t)snprintf(large + n, 60,
					"line %u of a large message\r\n", i);
	}
	return b;
}

/* The message of that subject in Drop holds that text at its end. */
static void
holds(const struct bench *b, const char *text)
{
	AUTO(buf_done) struct buf got = BUF_MAX(1024 * 1024);
	struct file_names names;
	struct err err = { 0 };
	int fd = dir_open(AT_FDCWD, path_in(b, "Drop"), NULL);
	bool found = false;

	assert_true(dir_names(fd, 100, &names, NULL));
	for (size_t i = 0; i < names.n && !found; i++) {
		buf_clear(&got);
		assert_true(file_read(fd, names.names[i], 0, &got, &err));
		size_t n = strlen(text);
		found = got.n > n && memcmp(got.p + got.n - n, text, n) == 0;
	}
	file_names_done(&names);
	(void)close(fd);
	assert_true(found);
}

static void
nothing_is_left(const struct bench *b)
{
	assert_int_equal(count(b, "Pickup"), 0);
	assert_int_equal(count(b, "run/pickup"), 0);
	assert_int_equal(count(b, "spool"), 0);
	assert_int_equal(queued(b), 0);
}

static void
all_three_come_where_they_belong(void **state)
{
	struct bench *b = pickup_new();

	(void)state;
	put_three(b);
	deliver(b);
	assert_int_equal(count(b, "Drop"), 2);
	holds(b, strstr(large, "Subject: large"));
	holds(b, "\r\n\r\nx\r\n");
	assert_int_equal(count(b, "Badmail"), 3); /* BAD, BDP, BDR */
	assert_int_equal(b->sum.badmail, 1);
	assert_int_equal(b->sum.badmail_failed, 0);
	assert_int_equal(told(b, "4164", "none.eml"), 1);
	nothing_is_left(b);
	bench_free(b);
}

static void
all_due(const struct bench *b)
{
	struct err err = { 0 };
	uint64_t changed;

	assert_true(queue_retry(
			b->store, 0, SPAN(""), clock_wall_ms(), &changed, &err));
}

static struct {
	const char *folder;
	unsigned calls, n, times;
} fault;

static void
begin_faults(struct bench *b)
{
	faults_begin(path_in(b, fault.folder));
	faults_fail(fault.calls, fault.n, fault.times, EIO);
}

/* Whatever fails, once or for good: at the next start each is there once. */
static void
whichever_call_fails_each_has_it_once(void **state)
{
	static const char *const folders[] = { "spool", "run/pickup", "Pickup",
		"Badmail" };
	unsigned struck = 0;

	(void)state;
	for (size_t k = 0; k < 4; k++)
		for (fault.n = 1; fault.n < 60; fault.n++) {
			struct bench *b = pickup_new();

			fault.folder = folders[k];
			fault.calls = FAULT_ALL;
			fault.times = fault.n % 2;
			put_three(b);
			if (k == 1) {
				(void)mkdir(path_in(b, "run"), 0700);
				assert_int_equal(mkdir(path_in(b, "run/pickup"), 0700),
						0);
			}
			b->opened = begin_faults;
			deliver(b);
			bool hit = faults_struck();
			struck += hit;
			if (hit && b->sum.badmail == 0 && k == 3)
				assert_true(b->sum.badmail_failed > 0);
			b->opened = NULL;
			all_due(b);
			deliver(b);
			if (count(b, "Drop") != 2 || count(b, "Badmail") != 3)
				fail_msg("%s %u: %zu in Drop, %zu in Badmail",
						fault.folder, fault.n, count(b, "Drop"),
						count(b, "Badmail"));
			holds(b, strstr(large, "Subject: large"));
			nothing_is_left(b);
			bench_free(b);
			if (!hit)
				break;
		}
	assert_true(struck > 30);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_three_come_where_they_belong),
		cmocka_unit_test(whichever_call_fails_each_has_it_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
