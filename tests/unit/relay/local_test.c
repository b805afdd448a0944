/* The folder thread of a whole relay, on disks that fail: who is deferred, who is not, and
 * what is said. */
#include "folders.h"

/* Delivers MANY of them, a call of these kinds below the folder failing. */
static void
deliver_with_fault(struct bench *b, const struct submission_recipient *to,
		const char *folder, unsigned calls, unsigned n, unsigned times)
{
	for (size_t i = 0; i < MANY; i++)
		submit_to(b, to, 1);
	faults_begin(path_in(b, folder));
	faults_fail(calls, n, times, EIO);
	deliver(b);
	assert_true(faults_struck());
	faults_end();
}

/* ---- tests ---- */

static void
a_fault_in_one_of_300_for_drop_defers_exactly_its_own(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	deliver_with_fault(b, &to_drop, "Drop", FAULT_WRITE, 150, 1);
	assert_int_equal(count(b, "Drop"), MANY - 1);
	assert_int_equal(queued(b), 1);
	assert_int_equal(b->sum.delivered, MANY - 1);
	assert_int_equal(b->sum.deferred, 1);
	assert_int_equal(told(b, "5107", "Input/output error. 1 messages stay"), 1);
	bench_free(b);
}

static void
a_fault_in_one_of_300_for_a_maildir_defers_exactly_its_own(void **state)
{
	struct bench *b = bench_new();
	char hop[200];
	struct submission_recipient to = to_maildir(b, hop);

	(void)state;
	deliver_with_fault(b, &to, "mail", FAULT_WRITE, 150, 1);
	assert_int_equal(count(b, "mail/ann/new"), MANY - 1);
	assert_int_equal(count(b, "mail/ann/tmp"), 0);
	assert_int_equal(queued(b), 1);
	assert_int_equal(told(b, "5107", "1 messages stay"), 1);
	bench_free(b);
}

static void
a_fault_in_one_of_300_for_badmail_defers_exactly_its_own(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	deliver_with_fault(b, &to_badmail, "Badmail", FAULT_WRITE, 150, 1);
	assert_int_equal(count(b, "Badmail"), 3 * (MANY - 1));
	assert_int_equal(queued(b), 1);
	assert_int_equal(b->sum.badmail, MANY - 1);
	assert_int_equal(b->sum.badmail_failed, 1);
	assert_int_equal(told(b, "5107", "/Badmail: mail could not be written"), 1);
	bench_free(b);
}

/* A sync that fails is one of the whole batch: nothing of it is settled, all comes again. */
static void
a_batch_of_the_folder_thread_that_cannot_sync_is_deferred(void **state)
{
	static const struct {
		const char *folder;
		unsigned calls;
	} rows[] = { { "Drop", FAULT_SYNCS }, { "Drop", FAULT_SYNC },
		{ "Drop", FAULT_RENAME }, { "mail", FAULT_SYNCS },
		{ "mail", FAULT_RENAME }, { "Badmail", FAULT_SYNCS },
		{ "Badmail", FAULT_SYNC }, { "Badmail", FAULT_RENAME } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bench *b = bench_new();
		char hop[200];
		struct submission_recipient to = rows[i].folder[0] == 'D' ? to_drop
				: rows[i].folder[0] == 'm' ? to_maildir(b, hop)
							   : to_badmail;
		bool bad = rows[i].folder[0] == 'B';

		deliver_with_fault(b, &to, rows[i].folder, rows[i].calls, 1, 0);
		assert_int_equal(queued(b), MANY);
		assert_int_equal(b->sum.delivered, 0);
		assert_int_equal(b->sum.badmail, 0);
		assert_int_equal(bad ? b->sum.badmail_failed : b->sum.deferred, MANY);
		assert_true(told(b, "5107", "Input/output error") > 0);
		bench_free(b);
	}
}

/* edge 1: refused for two reasons, so written twice; the earlier ones are not lost. */
static void
a_message_refused_for_two_reasons_takes_none_with_it(void **state)
{
	struct bench *b = bench_new();
	struct submission_recipient two[] = { to_badmail, to_badmail };

	(void)state;
	two[1].address = SPAN("cid@contoso.test");
	two[1].reason = SPAN("unknown-user");
	for (size_t i = 0; i < 10; i++)
		submit_to(b, &to_badmail, 1);
	submit_to(b, two, 2);
	faults_begin(path_in(b, "Badmail"));
	faults_fail(FAULT_SYNCS, 1, 1, EIO);
	deliver(b);
	assert_true(faults_struck());
	faults_end();
	assert_int_equal(count(b, "Badmail"), 3 * b->sum.badmail);
	assert_int_equal(queued(b) + b->sum.badmail, 11);
	assert_true(queued(b) > 0);
	bench_free(b);
}

/* Paths differ, the folder is one: one file with the receivers of all. */
static void
two_hops_into_one_folder_write_one_file(void **state)
{
	struct bench *b = bench_new();
	char again[200], link[200];
	struct submission_recipient to[] = { to_drop, to_drop, to_drop };
	AUTO(buf_done) struct buf got = BUF_MAX(10000);
	struct err err = { 0 };
	char name[100], id[QID_SIZE];

	(void)state;
	(void)snprintf(again, sizeof(again), "drop:%s/Drop/", b->dir);
	(void)snprintf(link, sizeof(link), "drop:%s/link", b->dir);
	to[1].address = SPAN("ann@again.test");
	to[1].hop = span_of(again);
	to[2].address = SPAN("ann@link.test");
	to[2].hop = span_of(link);
	struct submission sub = { .id = store_new_id(b->store, clock_wall_ms()),
		.body = SPAN("Subject: x\r\n\r\nbody\r\n"),
		.spool_fd = -1,
		.recipients = to,
		.n = 3 };
	submit(b, &sub);
	deliver(b);
	assert_int_equal(b->sum.delivered, 3);
	assert_int_equal(count(b, "Drop"), 1);
	qid_print(sub.id, id);
	(void)snprintf(name, sizeof(name), "Drop/%s.eml", id);
	assert_true(file_read(AT_FDCWD, path_in(b, name), 0, &got, &err));
	const char *text = buf_cstr(&got);
	assert_non_null(strstr(text, "X-Receiver: ann@contoso.test\r\n"));
	assert_non_null(strstr(text, "X-Receiver: ann@again.test\r\n"));
	assert_non_null(strstr(text, "X-Receiver: ann@link.test\r\n"));
	bench_free(b);
}

/* What a next hop was told, all connections one behind the other. */
struct heard {
	int listener;
	struct buf all;
};

/* It takes whatever comes, and answers in plain SMTP. */
static void
hop_session(struct heard *h, FILE *in, int fd)
{
	char line[4096];
	bool data = false;

	assert_true(fd_write_all(fd, SPAN("220 hop.test\r\n")));
	while (fgets(line, sizeof(line), in)) {
		assert_true(buf_add(&h->all, span_of(line)));
		if (data && strcmp(line, ".\r\n") != 0)
			continue;
		data = strncmp(line, "DATA", 4) == 0;
		if (!fd_write_all(fd, data ? SPAN("354 go\r\n") : SPAN("250 ok\r\n")))
			break;
	}
}

static void
hop_run(void *arg)
{
	struct heard *h = arg;
	int fd;

	while ((fd = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		FILE *in = fdopen(fd, "r");

		hop_session(h, in, fd);
		(void)fclose(in);
	}
}

/* A body on the spool that is cut, or gone, is no message: not for a folder, and no next
 * hop hears the end of it. */
static void
a_body_that_cannot_be_read_is_delivered_nowhere(void **state)
{
	struct bench *b = bench_new();
	char hop[200], smtp[60];
	(void)snprintf(smtp, sizeof(smtp), "smtp:127.0.0.1:%u", (unsigned)b->hop_port);
	const struct submission_recipient to[] = { to_drop, to_maildir(b, hop),
		to_badmail,
		{ .address = SPAN("ann@smtp.test"),
				.hop = span_of(smtp),
				.state = QUEUE_QUEUED } };
	struct heard h = { b->hop, BUF_MAX(1 << 20) };
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		submit_spooled(b, &to[i]);
		submit_spooled(b, &to[i]);
	}
	struct thread *t = thread_start("hop", 1024 * 1024, hop_run, &h, &err);
	assert_non_null(t);
	deliver(b);
	(void)shutdown(b->hop, SHUT_RDWR);
	thread_join(t);
	assert_int_equal(count(b, "Drop"), 0);
	if (access(path_in(b, "mail/ann/new"), F_OK) == 0)
		assert_int_equal(count(b, "mail/ann/new"), 0);
	assert_int_equal(b->sum.delivered, 0);
	assert_true(queued(b) + b->sum.badmail >= 8); /* it is somewhere */
	assert_int_equal(told(b, "5107", NULL), 0); /* no folder is to blame */
	const char *heard = buf_cstr(&h.all);
	assert_true(told(b, "5009", NULL) > 0); /* the damage is said */
	assert_null(strstr(heard, "\r\n.\r\n"));
	buf_done(&h.all);
	bench_free(b);
}

/* A crash may have left both; into the young one somebody may still write. */
static void
what_was_left_over_in_drop_goes_with_the_next_message(void **state)
{
	struct bench *b = bench_new();
	int64_t now_s = clock_wall_ms() / 1000;

	(void)state;
	assert_true(mkdir(path_in(b, "Drop"), 0700) == 0 || errno == EEXIST);
	AUTO(fd_done) int drop = dir_open(AT_FDCWD, path_in(b, "Drop"), NULL);
	assert_true(file_write_atomic(drop, ".old.tmp", 0600, SPAN("half"), NULL));
	assert_true(file_write_atomic(drop, ".new.tmp", 0600, SPAN("half"), NULL));
	file_set_time(drop, ".old.tmp", now_s - 2 * 3600);
	submit_to(b, &to_drop, 1);
	deliver(b);
	assert_int_equal(count(b, "Drop"), 2);
	assert_int_equal(faccessat(drop, ".old.tmp", F_OK, 0), -1);
	assert_int_equal(faccessat(drop, ".new.tmp", F_OK, 0), 0);
	bench_free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fault_in_one_of_300_for_drop_defers_exactly_its_own),
		cmocka_unit_test(
				a_fault_in_one_of_300_for_a_maildir_defers_exactly_its_own),
		cmocka_unit_test(
				a_fault_in_one_of_300_for_badmail_defers_exactly_its_own),
		cmocka_unit_test(
				a_batch_of_the_folder_thread_that_cannot_sync_is_deferred),
		cmocka_unit_test(a_message_refused_for_two_reasons_takes_none_with_it),
		cmocka_unit_test(two_hops_into_one_folder_write_one_file),
		cmocka_unit_test(a_body_that_cannot_be_read_is_delivered_nowhere),
		cmocka_unit_test(what_was_left_over_in_drop_goes_with_the_next_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
