/* What the thread of the Pickup folder makes of files. */
#include "picked.h"

/* ---- files ---- */

/* Whatever it is long, it comes octet by octet: in memory, or in the spool. */
static void
a_message_of_any_length_comes_whole(void **state)
{
	static const size_t lengths[] = { 60, 10000, 64 * 1024 - sizeof(envelope) + 1,
		BODY_BLOB_MAX - 1, BODY_BLOB_MAX, BODY_BLOB_MAX + 1, 128 * 1024,
		128 * 1024 + 64 * 1024 - sizeof(envelope) + 1,
		128 * 1024 + 64 * 1024 - sizeof(envelope) + 2, 256 * 1024, HUGE };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct span all = make(lengths[i]);

		put("one.eml", all);
		look(false, true);
		assert_int_equal(got_n, 1);
		assert_int_equal(got[0]->task, PICKED_MAIL);
		assert_int_equal(got[0]->spool_fd >= 0, lengths[i] > BODY_BLOB_MAX);
		holds(got[0], span_skip(all, sizeof(envelope) - 1));
		assert_true(span_eq(heading_get(&got[0]->heading, HEADING_SUBJECT),
				SPAN("s")));
		assert_int_equal(got[0]->file.n, 1);
		assert_true(span_eq(got[0]->file.sender, SPAN("max@nwtraders.test")));
		assert_false(looked->failed || looked->look.more);
		if (got[0]->spool_fd >= 0)
			spool_remove(g->hub.store, got[0]->id);
		remove_all();
		assert_int_equal(got_n, 1);
		assert_int_equal(got[0]->task, PICKED_REMOVED);
		assert_true(got[0]->removed);
		assert_int_equal(files("work") + files("Pickup") + files("spool"), 0);
		forget_all();
	}
}

static void
what_its_octets_are_is_known(void **state)
{
	static const struct {
		const char *body;
		size_t n;
		bool eight, bare, nul;
	} bodies[] = { { "plain\r\n", 7, .eight = false },
		{ "\xc3\xbc\r\n", 4, .eight = true }, { "a\rb\r\n", 5, .bare = true },
		{ "a\0b\r\n", 5, .nul = true }, { "end\r", 4, .bare = true },
		{ "\r\n.\r", 4, .bare = true } };

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		int n = sprintf(text, "%sReceived: a\r\nReceived: b\r\n\r\n", envelope);
		memcpy(text + n, bodies[i].body, bodies[i].n);
		put("one.eml", (struct span){ text, (size_t)n + bodies[i].n });
		look(false, true);
		assert_int_equal(got_n, 1);
		assert_int_equal(got[0]->scan.eight_bit, bodies[i].eight);
		assert_int_equal(got[0]->scan.bare, bodies[i].bare);
		assert_int_equal(got[0]->scan.nul, bodies[i].nul);
		assert_int_equal(got[0]->hops.hops, 2);
		holds(got[0],
				(struct span){ text + sizeof(envelope) - 1,
						(size_t)n + bodies[i].n -
								sizeof(envelope) + 1 });
		remove_all();
		forget_all();
	}
}

/* A head that is longer than the first piece is read on. */
static void
a_head_may_be_long(void **state)
{
	enum { MANY = 9000 };
	size_t n = (size_t)sprintf(text, "X-Sender: max@nwtraders.test\r\n");

	(void)state;
	for (unsigned i = 0; i < MANY; i++)
		n += (size_t)sprintf(text + n, "X-Receiver: u%05u@contoso.test\r\n", i);
	size_t at = n;
	n += (size_t)sprintf(text + n, "Subject: s\r\n\r\nx\r\n.\r\n");
	put("one.eml", (struct span){ text, n });
	look(false, true);
	assert_int_equal(got_n, 1);
	assert_int_equal(got[0]->file.n, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		char want[40];

		(void)snprintf(want, sizeof(want), "u%05u@contoso.test", i);
		assert_true(span_eq(got[0]->file.recipients[i], span_of(want)));
	}
	/* A hand's mark of the end is none of it. */
	holds(got[0], (struct span){ text + at, n - at - 3 });
	forget_all();
}

/* ---- what is none ---- */

static void
what_is_no_message_goes_to_badmail(void **state)
{
	static const char *const bad[][2] = {
		{ "nothing to be read here", "it has no originator" },
		{ "From: max@x.test\r\n\r\nx\r\n", "it has no recipients" },
		{ "From: max@x.test\r\nTo: a@-d.test\r\n\r\nx\r\n",
				"it has a recipient that is no address" },
	};
	enum { N = sizeof(bad) / sizeof(bad[0]) };
	char name[20];

	(void)state;
	for (unsigned enabled = 0; enabled < 2; enabled++) {
		for (size_t i = 0; i < N && !enabled; i++) {
			(void)snprintf(name, sizeof(name), "%zu.eml", i);
			put(name, span_of(bad[i][0]));
		}
		if (!enabled)
			put("good.eml", make(500));
		forget(g);
		look(false, enabled);
		assert_int_equal(looked->badmail, enabled ? N : 0);
		assert_int_equal(looked->badmail_failed, 0);
		assert_false(looked->failed);
		assert_int_equal(got_n, !enabled); /* the good one, at first */
		for (size_t i = 0; i < N; i++) {
			(void)snprintf(name, sizeof(name), "%zu.eml", i);
			if (event(g, enabled ? 4164 : 5102, name, bad[i][1],
					    enabled ? ""
						    : "badmail.enabled is false") != 1)
				fail_msg("%s", bad[i][0]);
		}
		if (!enabled) {
			assert_non_null(of_file("good.eml"));
			assert_int_equal(files("Pickup"), N);
			assert_int_equal(files("work"), 1);
			remove_all();
			/* Left alone until somebody changes it. */
			for (size_t i = 0; i < N; i++) {
				(void)snprintf(name, sizeof(name), "Pickup/%zu.eml", i);
				int fd = open(path_in(name), O_WRONLY | O_APPEND);
				assert_int_equal(write(fd, "\r\n", 2), 2);
				(void)close(fd);
			}
		} else {
			assert_int_equal(files("Pickup") + files("work"), 0);
			assert_int_equal(files("Badmail"), 3 * N);
		}
		forget_all();
	}
}

/* Badmail says where it lay. That it is gone from there is not told before the disk says so. */
static void
badmail_is_told_where_it_lay(void **state)
{
	AUTO(buf_done) struct buf all = BUF_MAX(1024 * 1024);
	struct file_names names;

	(void)state;
	put("bad.eml", SPAN("nothing"));
	faults_begin(path_in("work"));
	faults_fail(FAULT_SYNC, 2, 1, EIO); /* the first one is that of the claim */
	look(true, true);
	assert_true(faults_struck());
	faults_end();
	assert_int_equal(looked->badmail, 1);
	assert_int_equal(
			event(g, 5108, path_in("Pickup"), "Input/output error", ""), 1);
	forget_all();
	int fd = dir_open(AT_FDCWD, path_in("Badmail"), NULL);
	assert_true(dir_names(fd, 10, &names, NULL));
	for (size_t i = 0; i < names.n; i++)
		assert_true(file_read(fd, names.names[i], 0, &all, NULL));
	file_names_done(&names);
	(void)close(fd);
	assert_non_null(strstr(buf_cstr(&all), path_in("Pickup/bad.eml")));
	assert_int_equal(files("work"), 0);
}

static void
what_is_too_large_stays_where_it_is(void **state)
{
	(void)state;
	put("large.eml", make(1000));
	struct picked *p = picked_new(PICKED_LOOK);
	p->max_size = 999;
	p->hostname = strdup("gw.contoso.test");
	(void)mailbox_post(work.to_thread, &p->link);
	(void)mailbox_post(work.to_thread, &picked_new(PICKED_END)->link);
	picked_thread(&work);
	take();
	assert_int_equal(got_n, 0);
	assert_int_equal(files("Pickup"), 1);
	assert_int_equal(event(g, 5102, "large.eml", "limits.message", ""), 1);
	forget_all();
}

/* A slice has as many as it may, and says that there are more. */
static void
no_more_are_taken_than_may_be_open(void **state)
{
	char name[20];

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof(name), "%u.eml", i);
		put(name, make(500));
	}
	g->hub.share.pickups = 3;
	look(false, true);
	assert_int_equal(got_n, 3);
	assert_true(looked->look.more);
	remove_all();
	forget_all();
	look(false, true);
	assert_int_equal(got_n, 2);
	remove_all();
	forget_all();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PICKUP(a_message_of_any_length_comes_whole),
		IN_PICKUP(what_its_octets_are_is_known),
		IN_PICKUP(a_head_may_be_long),
		IN_PICKUP(what_is_no_message_goes_to_badmail),
		IN_PICKUP(badmail_is_told_where_it_lay),
		IN_PICKUP(what_is_too_large_stays_where_it_is),
		IN_PICKUP(no_more_are_taken_than_may_be_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
