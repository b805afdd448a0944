#include "postern/badmail.h"

#include <sys/stat.h>
#include <utime.h>

#include "folder_dir.h"
#include "postern/clock.h"

static const struct span text = { SPAN_INIT("Subject: hi\r\n\r\nbody\n") };

static struct badmail_letter
letter(uint64_t qid, const struct badmail_recipient *to, size_t n)
{
	return (struct badmail_letter){
		.qid = qid,
		.reason = BADMAIL_RELAY_DENIED,
		.event = 4032,
		.time_ms = 1234567890123,
		.sender = SPAN("s@x.test"),
		.recipients = to,
		.n_recipients = n,
		.message_id = SPAN("<1@x.test>"),
		.account = SPAN("contoso"),
		.uidl = SPAN("u\xff\"1"),
		.body = { .parts = &text, .n_parts = 1, .fd = -1 },
	};
}

static const char *
name_of(uint64_t qid, const char *ext)
{
	static char name[64];
	char id[QID_SIZE];

	qid_print(qid, id);
	(void)snprintf(name, sizeof(name), "Badmail/%s.%s", id, ext);
	return name;
}

static void
count_one(void *host, const struct badmail_item *item)
{
	uint64_t *last = host;

	assert_true(item->qid > last[1]);
	last[0]++;
	last[1] = item->qid;
}

static uint64_t
listed(struct badmail *b, size_t *broken)
{
	uint64_t seen[2] = { 0 };

	assert_true(badmail_list(b, count_one, seen, broken, NULL));
	return seen[0];
}

static void
test_three_files_and_back(void **state)
{
	struct badmail_recipient to[] = {
		{ SPAN("a@y.test"), SPAN("5.7.1"),
				SPAN("550 5.7.1 Unable to relay for a@y.test"), 1 },
		{ SPAN("b@y.test"), SPAN("5.1.1"), SPAN("550 5.1.1 no\x1b[31m"), 2 },
	};
	struct err err = { 0 };
	struct badmail *b = badmail_open(folder_path("Badmail"), 0, 0, &err);
	AUTO(buf_done) struct buf words = BUF_MAX(10000);
	size_t broken;
	uint64_t size;

	(void)state;
	assert_non_null(b);
	struct badmail_letter l = letter(5, to, 1);
	assert_true(badmail_write(b, &l, &err));
	assert_int_equal(listed(b, &broken), 0);
	assert_true(badmail_sync(b, &err));
	assert_int_equal(folder_count("Badmail"), 3);
	folder_expect(name_of(5, "BAD"), text);

	/* Again, and for one more recipient with another reason. */
	assert_true(badmail_write(b, &l, &err) && badmail_sync(b, &err));
	l.recipients = to + 1;
	l.reason = BADMAIL_UNKNOWN_USER;
	l.time_ms++;
	assert_true(badmail_write(b, &l, &err) && badmail_sync(b, &err));
	assert_int_equal(listed(b, &broken), 1);
	assert_int_equal(broken, 0);

	struct badmail_item *item = badmail_get(b, 5, &err);
	assert_non_null(item);
	assert_int_equal(item->reason, BADMAIL_RELAY_DENIED);
	assert_int_equal(item->event, 4032);
	assert_int_equal(item->time_ms, 1234567890123);
	assert_int_equal(item->size, text.n);
	assert_string_equal(item->sender, "s@x.test");
	assert_string_equal(item->message_id, "<1@x.test>");
	assert_string_equal(item->uidl, "u\xef\xbf\xbd\"1");
	assert_int_equal(item->n_recipients, 2);
	assert_string_equal(item->recipients[0].address, "a@y.test");
	assert_string_equal(item->recipients[0].status, "5.7.1");
	assert_int_equal(item->recipients[1].reason, BADMAIL_UNKNOWN_USER);
	assert_int_equal(item->recipients[1].attempts, 2);
	badmail_item_free(item);

	assert_true(badmail_words(b, 5, &words, &err));
	const char *said = buf_cstr(&words);
	assert_non_null(strstr(said, "Unable to deliver this message because"));
	assert_non_null(strstr(said, "Reason: relay-denied"));
	assert_non_null(strstr(
			said, "a@y.test: 550 5.7.1 Unable to relay for a@y.test"));
	assert_non_null(strstr(said, "no\\x1b[31m"));
	int fd = badmail_message(b, 5, &size, &err);
	assert_true(fd >= 0);
	assert_int_equal(size, text.n);
	(void)close(fd);

	assert_true(badmail_remove(b, 5, &err));
	assert_true(badmail_remove(b, 5, &err));
	assert_int_equal(folder_count("Badmail"), 0);
	assert_null(badmail_get(b, 5, &err));
	badmail_close(b);
}

static void
test_broken_ones_stop_nobody(void **state)
{
	struct badmail_recipient to = { SPAN("a@y.test"), SPAN(""), SPAN(""), 0 };
	struct err err = { 0 };
	struct badmail *b = badmail_open(folder_path("Badmail"), 0, 0, &err);
	size_t broken;

	(void)state;
	for (uint64_t q = 1; q <= 5; q++) {
		struct badmail_letter l = letter(q, &to, 1);
		assert_true(badmail_write(b, &l, &err));
	}
	assert_true(badmail_sync(b, &err));
	assert_int_equal(truncate(folder_path(name_of(2, "BDP")), 30), 0);
	assert_int_equal(unlink(folder_path(name_of(3, "BDP"))), 0);
	assert_int_equal(unlink(folder_path(name_of(4, "BAD"))), 0);
	assert_int_equal(listed(b, &broken), 2);
	assert_int_equal(broken, 2);
	/* The next attempt mends what a crash left. */
	for (uint64_t q = 2; q <= 4; q++) {
		struct badmail_letter l = letter(q, &to, 1);
		assert_true(badmail_write(b, &l, &err));
	}
	assert_true(badmail_sync(b, &err));
	assert_int_equal(listed(b, &broken), 5);
	badmail_close(b);
}

static void
age(uint64_t qid, int64_t hours)
{
	static const char *const ext[] = { "BAD", "BDR", "BDP" };
	time_t then = (time_t)(clock_wall_ms() / 1000 - hours * 3600);
	struct utimbuf t = { then, then };

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(utime(folder_path(name_of(qid, ext[i])), &t), 0);
}

static void
test_kept_within_limits(void **state)
{
	struct badmail_recipient to = { SPAN("a@y.test"), SPAN(""), SPAN(""), 0 };
	struct err err = { 0 };
	struct badmail *b = badmail_open(folder_path("Badmail"), 100 * 3600, 0, &err);
	size_t broken;
	bool more;

	(void)state;
	for (uint64_t q = 1; q <= 6; q++) {
		struct badmail_letter l = letter(q, &to, 1);
		assert_true(badmail_write(b, &l, &err));
	}
	assert_true(badmail_sync(b, &err));
	age(1, 101);
	age(2, 50);
	age(3, 40);
	age(4, 99);
	assert_true(badmail_prune(b, clock_wall_ms(), &more, &err));
	assert_int_equal(listed(b, &broken), 5);
	assert_null(badmail_get(b, 1, NULL));
	badmail_close(b);

	/* One octet over: the oldest goes, 4. */
	struct stat st;
	uint64_t total = 0;
	for (uint64_t q = 2; q <= 6; q++) {
		static const char *const ext[] = { "BAD", "BDR", "BDP" };
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(stat(folder_path(name_of(q, ext[i])), &st), 0);
			total += (uint64_t)st.st_size;
		}
	}
	b = badmail_open(folder_path("Badmail"), 0, total - 1, &err);
	assert_true(badmail_prune(b, clock_wall_ms(), &more, &err));
	assert_int_equal(listed(b, &broken), 4);
	assert_null(badmail_get(b, 4, NULL));
	badmail_close(b);

	/* Young ones stay, whatever the limit. */
	b = badmail_open(folder_path("Badmail"), 0, 1, &err);
	assert_true(badmail_prune(b, clock_wall_ms(), &more, &err));
	assert_int_equal(listed(b, &broken), 2);
	badmail_close(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				test_three_files_and_back, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(test_broken_ones_stop_nobody,
				folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
				test_kept_within_limits, folder_make, folder_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
