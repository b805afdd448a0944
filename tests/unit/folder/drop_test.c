#include "postern/drop.h"

#include <sys/stat.h>

#include "postern/log.h"
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

/* An address in the file is a line of its own, and no more than one. */
static void
only_addresses_that_are_a_line_go_into_a_file(void **state)
{
	static char name[4097];
	static const char *const fit[] = { "a b@c", "a~@c", "\xc3\xa4@c" },
				 *const unfit[] = { "a\n@c", "a\x1f@c", "a\x7f@c" };
	struct span text = SPAN("A: b\r\n\r\n");
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);
	uint64_t qid = 1;

	(void)state;
	memset(name, 'n', sizeof(name));
	for (size_t i = 0; i <= 3; i++) {
		const struct span to[] = { ann,
			i < 3 ? span_of(fit[i]) : (struct span){ name, 4096 } },
				  bad[] = { ann,
					  i < 3 ? span_of(unfit[i])
						: (struct span){ name, 4097 } };
		struct letter l = letter(qid++, to, 2, &text);

		assert_true(drop_write(d, &l, &err));
		l.sender = to[1];
		l.qid = qid++;
		assert_true(drop_write(d, &l, &err));
		l = letter(qid, bad, 2, &text);
		assert_false(drop_write(d, &l, &err));
		assert_non_null(strstr(err.text, "an address"));
		l = letter(qid, &ann, 1, &text);
		l.sender = bad[1];
		err.text[0] = '\0';
		assert_false(drop_write(d, &l, &err));
		assert_non_null(strstr(err.text, "an address"));
	}
	assert_true(drop_sync(d, &err));
	assert_int_equal(folder_count("Drop"), 8);
	drop_close(d);
}

/* What begins like an envelope is none, wherever it lies. */
static void
a_message_that_begins_like_an_envelope_is_renamed(void **state)
{
	static const struct {
		const char *begins, *comes;
	} rows[] = {
		{ "X-Sender: q\r\n\r\n", "X-Old-Sender: q\r\n\r\n" },
		{ "X-RECEIVER:q\r\n\r\n", "X-Old-RECEIVER:q\r\n\r\n" },
		{ "X-Receive: q\r\n\r\n", "X-Receive: q\r\n\r\n" },
		{ "X-Sende", "X-Sende" },
		{ "", "" },
	};
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);
	char want[200];

	(void)state;
	for (uint64_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct span text = span_of(rows[i / 2].begins);
		struct letter l = letter(i, &ann, 1, &text);
		int fd = open(folder_path("spool"),
				O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		if (i % 2) { /* all of it in the spool */
			assert_true(fd_write_all(fd, text));
			l.body = (struct letter_body){ .fd = fd, .fd_size = text.n };
		}
		assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
		(void)close(fd);
		(void)snprintf(want, sizeof(want),
				"X-Sender: s@x.test\r\nX-Receiver: "
				"ann@contoso.test\r\n%s",
				rows[i / 2].comes);
		folder_expect(name_of(i, "eml"), span_of(want));
	}
	drop_close(d);
}

/* More receivers than are read at a time: all of them stay, each once, in their order. */
static void
a_file_with_many_receivers_keeps_them(void **state)
{
	enum { MANY = 6000 };
	static char names[MANY][24];
	static struct span to[MANY];
	AUTO(buf_done) struct buf want = BUF_MAX(1 << 20);
	struct span text = SPAN(
			"Subject: x\r\n\r\nX-Receiver: no line of the envelope\r\n");
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);

	(void)state;
	assert_true(buf_add(&want, SPAN("X-Sender: s@x.test\r\n")));
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "u%d@contoso.test", i);
		to[i] = span_of(names[i]);
		assert_true(buf_addf(&want, "X-Receiver: %s\r\n", names[i]));
	}
	assert_true(buf_add(&want, text));
	/* The first half; an overlapping piece that names somebody twice; the rest. */
	struct letter l = letter(1, to, MANY / 2, &text);
	assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
	struct span twice[] = { to[MANY / 2], to[0], to[MANY / 2 - 1], to[MANY / 2] };
	l = letter(1, twice, 4, &text);
	assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
	l = letter(1, to + 10, MANY - 10, &text);
	assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
	folder_expect(name_of(1, "eml"), buf_span(&want));
	/* Nobody is new: the file stays as it is, though another wrote it. */
	struct stat before, after;
	assert_int_equal(stat(folder_path(name_of(1, "eml")), &before), 0);
	l = letter(1, to, MANY, &text);
	assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
	assert_int_equal(stat(folder_path(name_of(1, "eml")), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(folder_count("Drop"), 1);
	drop_close(d);
}

/* The envelope ends where another line begins, in whatever piece that is. */
static void
an_envelope_ends_at_every_place(void **state)
{
	static const char head[] =
			"X-Sender: s@x.test\r\nX-Receiver: ann@contoso.test\r\n";
	enum { PIECE = 64 * 1024 };
	static char text[PIECE + 100];
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);

	(void)state;
	memset(text, 'b', sizeof(text));
	memcpy(text, "Subject: x\r\n\r\n", 14);
	for (size_t n = 0; n < 60; n++) {
		struct span body = { text,
			n < 30 ? n : PIECE + n - 50 - (sizeof(head) - 1) };
		AUTO(buf_done) struct buf want = BUF_MAX(1 << 20);
		struct letter l = letter(n, &ann, 1, &body);

		assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
		l.recipients = &bob;
		assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
		assert_true(buf_add(&want, span_of(head)) &&
				buf_add(&want, SPAN("X-Receiver: bob@contoso.test\r\n")) &&
				buf_add(&want, body));
		folder_expect(name_of(n, "eml"), buf_span(&want));
	}
	drop_close(d);
}

/* Nobody is new to it, but it is not there. */
static void
a_message_for_nobody_is_a_file_too(void **state)
{
	struct span text = SPAN("A: b\r\n\r\n");
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);
	struct letter l = letter(4, NULL, 0, &text);

	(void)state;
	assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
	folder_expect(name_of(4, "eml"), SPAN("X-Sender: s@x.test\r\nA: b\r\n\r\n"));
	drop_close(d);
}

static void
what_is_no_file_stays_in_the_way(void **state)
{
	struct span text = SPAN("A: b\r\n\r\n");
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);
	struct letter l = letter(5, &ann, 1, &text);

	(void)state;
	assert_int_equal(symlink("elsewhere", folder_path(name_of(5, "eml"))), 0);
	assert_false(drop_write(d, &l, &err));
	assert_non_null(strstr(err.text, "cannot look at"));
	assert_true(drop_sync(d, &err));
	assert_int_equal(unlink(folder_path(name_of(5, "eml"))), 0);
	assert_true(drop_write(d, &l, &err) && drop_sync(d, &err));
	drop_close(d);
}

static size_t
told(const char *what)
{
	AUTO(buf_done) struct buf got = BUF_MAX(1 << 20);
	size_t n = 0;

	assert_true(file_read(AT_FDCWD, folder_path("events"), 0, &got, NULL));
	for (const char *p = buf_cstr(&got); (p = strstr(p, what)); p++)
		n++;
	return n;
}

/* Of each message once, when it is durable. */
static void
a_file_is_told_of_when_it_is_there(void **state)
{
	enum { MANY = 20 };
	struct span both[] = { ann, bob }, text = SPAN("A: b\r\n\r\n");
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);
	char id[QID_SIZE], line[100];

	(void)state;
	assert_true(log_open(&(struct log_options){ .level = 3,
					     .journal = folder_path("events") },
			NULL));
	for (uint64_t q = 1; q <= MANY; q++) {
		struct letter l = letter(q, both, q % 2 ? 1 : 2, &text);

		assert_true(drop_write(d, &l, &err));
	}
	assert_int_equal(told("5103,"), 0);
	assert_true(drop_sync(d, &err) && drop_sync(d, &err));
	assert_int_equal(told("5103,"), MANY);
	for (uint64_t q = 1; q <= MANY; q++) {
		qid_print(q, id);
		(void)snprintf(line, sizeof(line), "\"%s.eml\"", id);
		assert_int_equal(told(line), 1);
	}
	assert_int_equal(told("\"recipients\":2"), MANY / 2);
	log_close();
	drop_close(d);
}

static void
a_folder_is_known_by_its_directory(void **state)
{
	struct drop *d = drop_open(folder_path("Drop"), 0, NULL);
	struct stat st;

	(void)state;
	assert_int_equal(stat(folder_path("Drop"), &st), 0);
	assert_int_equal(drop_identity(d).ino, st.st_ino);
	assert_int_equal(drop_identity(d).dev, st.st_dev);
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
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				test_whole_or_not_at_all, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(test_repeats_and_late_recipients,
				folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(test_from_the_spool_and_many,
				folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(test_envelope_cannot_be_lengthened,
				folder_make, folder_remove),
		TEST(only_addresses_that_are_a_line_go_into_a_file),
		TEST(a_message_that_begins_like_an_envelope_is_renamed),
		TEST(a_file_with_many_receivers_keeps_them),
		TEST(an_envelope_ends_at_every_place),
		TEST(a_message_for_nobody_is_a_file_too),
		TEST(what_is_no_file_stays_in_the_way),
		TEST(a_file_is_told_of_when_it_is_there),
		TEST(a_folder_is_known_by_its_directory),
		TEST(a_left_over_goes_when_it_is_old_by_both_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
