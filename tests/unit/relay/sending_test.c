/* Sessions with a next hop that end badly: what was answered stays answered, what was not is
 * put off, and nothing of a damaged body is ended. */
#include "peer.h"

/* ---- tests ---- */

static void
spool_gone(struct peer *p)
{
	char path[512];

	if (p->mails == 1 && files_in(p->b, "spool", "", path, sizeof(path)) == 1)
		assert_int_equal(unlink(path), 0);
}

/* Edge 4: the body of the second transaction cannot be opened while the first, of the same
 * lease, waits for its answer. */
static void
a_body_lost_between_two_transactions_ends_neither_twice(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->at_data = spool_gone;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 250, large(), "250 2.6.0 ");
	wait_count(b, 100, 0, 150);
	for (size_t i = 0; i < 250; i++)
		assert_int_equal(p->got[i], i < 100);
	assert_true(logged(b, "is damaged (its file is gone). It was not delivered; "));
	peer_free(p);
}

static void
hang_up_no_more(struct peer *p)
{
	if (p->connections > 1)
		p->hangs_up_at = 0;
}

static void
first_verdicts_stay_when_the_next_hop_is_lost(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->hangs_up_at = 120;
	p->at_mail = hang_up_no_more;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 350, large(), "250 2.6.0 ");
	wait_count(b, 100, 250, 0); /* some were asked, others were not even that */
	for (size_t i = 0; i < 350; i++)
		assert_int_equal(p->got[i], i < 100);
	peer_free(p);
}

static void
more_than_a_thousand_recipients_are_all_settled(void **state)
{
	struct peer *p = peer_open();
	struct arena a = ARENA_MAX(1024 * 1024);

	(void)state;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 2150, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
	wait_count(b, 2150, 0, 0);
	(void)wait_open(b, 0, &a);
	for (size_t i = 0; i < 2150; i++)
		assert_int_equal(p->got[i], 1);
	assert_int_equal(p->got[2150], 0);
	arena_done(&a);
	peer_free(p);
}

static void
a_session_that_says_nothing_times_out(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->quiet_at = 3;
	patience_s = 1;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 4, large(), "250 2.6.0 ");
	struct count c = wait_count(b, 0, 4, 0);
	if (!strstr(c.reply, "timed out"))
		fail_msg("%s", c.reply);
	assert_int_equal(p->ends, 0);
	peer_free(p);
}

static void
last_octet_turned(struct peer *p)
{
	char path[512], c;

	if (p->mails > 1 || files_in(p->b, "spool", "", path, sizeof(path)) != 1)
		return;
	int fd = open(path, O_RDWR);
	off_t end = lseek(fd, -3, SEEK_END);
	assert_true(fd >= 0 && end > 0);
	assert_int_equal(pread(fd, &c, 1, end), 1);
	c = (char)(c ^ 1);
	assert_int_equal(pwrite(fd, &c, 1, end), 1);
	(void)close(fd);
}

/* Edge 33, on the way out. */
static void
nothing_of_a_damaged_body_is_ended(bool chunking)
{
	struct peer *p = peer_open();
	struct buf bad = BUF_MAX(1024 * 1024);
	char path[512];

	p->chunking = chunking;
	p->at_mail = last_octet_turned;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 2, large(), "250 2.6.0 ");
	wait_count(b, 0, 0, 2);
	for (int i = 0; i < WAIT_MS / 20 && p->ends == 0; i++)
		(void)poll(NULL, 0, 20); /* the postmaster is told */
	assert_int_equal(p->ends, 1);
	assert_false(p->marked);
	assert_true(holds(&p->last, "the stored body is damaged"));
	assert_int_equal(p->got[0] + p->got[1], 0);
	wait_files(b, "Badmail", ".BAD", 1, path, sizeof(path));
	read_all(path, &bad);
	assert_true(holds(&bad, "MARK-OF-THE-BODY") && bad.n > BODY);
	wait_files(b, "Badmail", ".BDR", 1, path, sizeof(path));
	buf_clear(&bad);
	read_all(path, &bad);
	assert_true(holds(&bad, "Reason: general"));
	assert_true(holds(&bad, "5.3.0 the stored body is damaged ("));
	assert_true(logged(b,
			"It was not delivered; what is left of it goes to Badmail, and the"));

	/* It is still at the provider: there it comes again, and is no copy. */
	submit(b, "dTE", 2, large(), "250 2.6.0 ");
	for (int i = 0; i < WAIT_MS / 20 && p->ends < 2; i++)
		(void)poll(NULL, 0, 20);
	assert_true(p->marked);
	assert_int_equal(p->got[0] + p->got[1], 2);
	assert_false(logged(b, "closed")); /* it is no fault of the next hop's */
	buf_done(&bad);
	peer_free(p);
}

static void
a_damaged_body_is_never_ended_with_a_dot(void **state)
{
	(void)state;
	nothing_of_a_damaged_body_is_ended(false);
}

static void
a_damaged_body_is_never_ended_with_a_last_chunk(void **state)
{
	(void)state;
	nothing_of_a_damaged_body_is_ended(true);
}

/* ---- into folders ---- */

static void
damaged_bodies_reach_no_folder(const char *kind, const char *folder)
{
	char more[400], path[512], dir[64] = "/tmp/postern-sent-XXXXXX", log[128];
	struct arena a = ARENA_MAX(1024 * 1024);
	struct err err = { 0 };

	assert_non_null(mkdtemp(dir));
	(void)snprintf(more, sizeof(more),
			"delivery:\n  routes:\n    contoso.test: { to: \"%s:%s/%s\" }\n",
			kind, dir, strcmp(kind, "drop") == 0 ? "" : "box");
	struct bench *b = bench_make(more);
	(void)snprintf(log, sizeof(log), "%s/log", b->dir);
	assert_true(log_open(&(struct log_options){ .to = log, .level = 1 }, &err));
	open_relay_as(b, true, true); /* takes, and delivers nothing */
	submit(b, "dTE", 2, large(), "250 2.6.0 ");
	relay_fetched(b->relay);
	thread_join(b->thread);
	relay_free(b->relay);
	b->relay = NULL;

	assert_int_equal(files_in(b, "spool", "", path, sizeof(path)), 1);
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "X", 1, 100), 1);
	(void)close(fd);
	open_relay_as(b, true, true);
	submit(b, "dTI", 2, large(), "250 2.6.0 ");
	submit(b, "dTM", 2, "Subject: s\r\n\r\nMARK\r\n", "250 2.6.0 ");
	relay_fetched(b->relay);
	thread_join(b->thread);
	relay_free(b->relay);
	b->relay = NULL;

	/* In one batch: it is the only one that is not there. */
	open_relay(b, false);
	(void)wait_open(b, 0, &a);
	(void)snprintf(path, sizeof(path), "../../%s/%s", dir + 1, folder);
	/* Two messages of three, and the notice to the postmaster. A maildir has one for each
	 * recipient, all in one box here. */
	size_t each = strcmp(kind, "drop") == 0 ? 1 : 2;
	assert_int_equal(files_in(b, path, "", NULL, 0), 2 * each + 1);
	assert_int_equal(files_in(b, "Badmail", ".BDP", NULL, 0), 1);
	assert_true(logged(
			b, "is damaged (its octets are not those that were stored)"));
	stop(b);
	log_close();
	bench_free(b);
	(void)snprintf(more, sizeof(more), "rm -rf %s", dir);
	assert_int_equal(system(more), 0);
	arena_done(&a);
}

static void
a_damaged_body_reaches_no_drop_folder(void **state)
{
	(void)state;
	damaged_bodies_reach_no_folder("drop", "");
}

static void
a_damaged_body_reaches_no_maildir(void **state)
{
	(void)state;
	damaged_bodies_reach_no_folder("maildir", "box/new");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
				a_body_lost_between_two_transactions_ends_neither_twice),
		cmocka_unit_test(first_verdicts_stay_when_the_next_hop_is_lost),
		cmocka_unit_test(more_than_a_thousand_recipients_are_all_settled),
		cmocka_unit_test(a_session_that_says_nothing_times_out),
		cmocka_unit_test(a_damaged_body_is_never_ended_with_a_dot),
		cmocka_unit_test(a_damaged_body_is_never_ended_with_a_last_chunk),
		cmocka_unit_test(a_damaged_body_reaches_no_drop_folder),
		cmocka_unit_test(a_damaged_body_reaches_no_maildir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
