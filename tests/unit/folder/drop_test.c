#include "postern/drop.h"

#include <sys/stat.h>

#include "sweeps.h"

static const struct span ann = { SPAN_INIT("ann@contoso.test") };
static const struct span bob = { SPAN_INIT("bob@contoso.test") };

static struct letter
letter(uint64_t qid, const struct span *to, size_t n, const struct span *part)
{
	return (struct letter){
		.qid = qid,
		.sender = SPAN("s@x.test"),
		.recipients = to,
		.n_recipients = n,
		.body = { .parts = part, .n_parts = 1, .fd = -1 },
	};
}

static const char *
name_of(uint64_t qid, const char *ext)
{
	static char name[64];
	char id[QID_SIZE];

	qid_print(qid, id);
	(void)snprintf(name, sizeof(name), "Drop/%s.%s", id, ext);
	return name;
}

static void
test_whole_or_not_at_all(void **state)
{
	struct span to[] = { ann, bob },
		    text = SPAN("Received: x\r\nSubject: y\n\n.\nbare\r");
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);

	(void)state;
	assert_non_null(d);
	struct letter l = letter(7, to, 2, &text);
	assert_true(drop_write(d, &l, &err));
	assert_int_not_equal(access(folder_path(name_of(7, "eml")), F_OK), 0);
	assert_true(drop_sync(d, &err));
	folder_expect(name_of(7, "eml"),
			SPAN("X-Sender: s@x.test\r\nX-Receiver: ann@contoso.test\r\n"
			     "X-Receiver: bob@contoso.test\r\n"
			     "Received: x\r\nSubject: y\n\n.\nbare\r"));
	assert_int_equal(folder_count("Drop"), 1);
	struct stat st;
	assert_int_equal(stat(folder_path(name_of(7, "eml")), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* What was not synced leaves nothing. */
	l.qid = 8;
	assert_true(drop_write(d, &l, &err));
	drop_close(d);
	assert_int_equal(folder_count("Drop"), 1);
}

static void
test_repeats_and_late_recipients(void **state)
{
	struct span both[] = { ann, bob }, text = SPAN("A: b\r\n\r\n");
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);
	struct letter one = letter(9, both, 1, &text),
		      two = letter(9, both + 1, 1, &text);
	const struct span want = SPAN("X-Sender: <>\r\nX-Receiver: ann@contoso.test\r\n"
				      "X-Receiver: bob@contoso.test\r\nA: b\r\n\r\n");

	(void)state;
	one.sender = two.sender = SPAN("");
	assert_true(drop_write(d, &one, &err) && drop_sync(d, &err));
	assert_true(drop_write(d, &one, &err) && drop_sync(d, &err));
	folder_expect(name_of(9, "eml"),
			SPAN("X-Sender: <>\r\nX-Receiver: ann@contoso.test\r\n"
			     "A: b\r\n\r\n"));
	assert_true(drop_write(d, &two, &err) && drop_sync(d, &err));
	folder_expect(name_of(9, "eml"), want);
	/* Both in one batch come to the same. */
	assert_int_equal(unlink(folder_path(name_of(9, "eml"))), 0);
	assert_true(drop_write(d, &one, &err) && drop_write(d, &two, &err) &&
			drop_sync(d, &err));
	folder_expect(name_of(9, "eml"), want);
	drop_close(d);
}

static void
test_from_the_spool_and_many(void **state)
{
	static char big[700000];
	struct span head = SPAN("Received: a\r\n");
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);
	int fd = open(folder_path("spool"), O_RDWR | O_CREAT, 0600);

	(void)state;
	memset(big, 'm', sizeof(big));
	assert_true(fd_write_all(fd, SPAN("skip")));
	assert_true(fd_write_all(fd, (struct span){ big, sizeof(big) }));
	struct letter l = letter(1, &ann, 1, &head);
	l.body.fd = fd;
	l.body.fd_at = 4;
	l.body.fd_size = sizeof(big);
	assert_int_equal(letter_size(&l.body), head.n + sizeof(big));
	for (uint64_t q = 1; q <= 20; q++) {
		l.qid = q;
		assert_true(drop_write(d, &l, &err));
	}
	assert_true(drop_sync(d, &err));
	assert_int_equal(folder_count("Drop"), 20);
	struct stat st;
	assert_int_equal(stat(folder_path(name_of(20, "eml")), &st), 0);
	assert_int_equal(st.st_size, 20 + 30 + 13 + sizeof(big));
	/* A spool file that is cut is no message. */
	l.body.fd_size++;
	l.qid = 21;
	assert_false(drop_write(d, &l, &err));
	assert_non_null(strstr(err.text, "cut short"));
	assert_true(drop_sync(d, &err));
	assert_int_equal(folder_count("Drop"), 20);
	(void)close(fd);
	drop_close(d);
}

static void
test_envelope_cannot_be_lengthened(void **state)
{
	struct span evil = SPAN("a@b\r\nX-Receiver: x@y"),
		    text = SPAN("x-receiver: z@w\r\n\r\n");
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);
	struct letter l = letter(3, &evil, 1, &text);

	(void)state;
	assert_false(drop_write(d, &l, &err));
	l = letter(3, &ann, 1, &text);
	l.sender = evil;
	assert_false(drop_write(d, &l, &err));
	l.sender = SPAN("s@x.test");
	assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
	folder_expect(name_of(3, "eml"),
			SPAN("X-Sender: s@x.test\r\nX-Receiver: ann@contoso.test\r\n"
			     "X-Old-receiver: z@w\r\n\r\n"));
	drop_close(d);
}

static void
sweep_drop(void *none, int64_t steady_ms)
{
	struct drop *d = drop_open(folder_path("Drop"), steady_ms, NULL);

	(void)none;
	assert_non_null(d);
	drop_close(d);
}

static void
a_left_over_goes_when_it_is_old_by_both_clocks(void **state)
{
	(void)state;
	sweep_drop(NULL, 0);
	expect_sweeps("Drop", sweep_drop, NULL);
	/* Who does not know the steady clock removes nothing. */
	folder_put("Drop/.half.tmp");
	clock_move(INT64_C(24) * 3600 * 1000);
	sweep_drop(NULL, 0);
	clock_move(INT64_C(-24) * 3600 * 1000);
	assert_int_equal(folder_count("Drop"), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				test_whole_or_not_at_all, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(test_repeats_and_late_recipients,
				folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(test_from_the_spool_and_many,
				folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(test_envelope_cannot_be_lengthened,
				folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
				a_left_over_goes_when_it_is_old_by_both_clocks,
				folder_make, folder_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
