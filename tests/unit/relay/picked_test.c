/* The thread of the Pickup folder by itself: what it makes of files, of calls that fail, and
 * of an end that comes while it reads. It runs here, between two mailboxes. */
#include "hand.h"

#include "faults.h"

#include <errno.h>
#include <fcntl.h>

#include "pickups.h"

#include "postern/intake.h"

enum { SPOOL_CALLS = FAULT_OPEN | FAULT_WRITE, HUGE = 700 * 1000, PIECE_LEAST = 100 };

int64_t __real_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void);

/* Files have been lying there for a while. */
int64_t
__wrap_clock_wall_ms(void)
{
	return __real_clock_wall_ms() + 3000;
}

static struct gate *g;
static struct pickups work;
static char text[HUGE + 1000];

/* The n-th piece of a larger file that is read: one octet is not there, or it cannot be read, or the
 * relay is told to stop. */
static struct {
	unsigned n;
	enum { CUT, FAILS, STOPS } how;
	bool struck;
} reading;

ssize_t __real_fd_read_at(int fd, void *p, size_t n, uint64_t at);
ssize_t __wrap_fd_read_at(int fd, void *p, size_t n, uint64_t at);

ssize_t
__wrap_fd_read_at(int fd, void *p, size_t n, uint64_t at)
{
	if (n < PIECE_LEAST || reading.n == 0 || --reading.n > 0)
		return __real_fd_read_at(fd, p, n, at);
	reading.struck = true;
	if (reading.how == STOPS)
		work.leaving = 1;
	else if (reading.how == FAILS)
		return -1;
	return __real_fd_read_at(fd, p, n - (reading.how == CUT), at);
}

static uint64_t
next_claim(void *host)
{
	(void)host;
	return store_new_id(g->r.store, clock_wall_ms());
}

static void
rung(void *host)
{
	(void)host;
}

static char *
path_in(const char *name)
{
	static char path[4][300];
	static size_t turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", g->dir, name);
	return p;
}

static int
begin(void **state)
{
	struct err err = { 0 };

	(void)set_up(state);
	g = *state;
	g->r.share.pickups = PICKUP_SLICE;
	reading.n = 0;
	reading.struck = false;
	work = (struct pickups){ .r = &g->r, .watch_fd = -1 };
	work.path = strdup(path_in("Pickup"));
	work.work = strdup(path_in("work"));
	work.badmail_path = strdup(path_in("Badmail"));
	assert_int_equal(mkdir(work.badmail_path, 0700), 0);
	work.in = mailbox_new();
	work.out = mailbox_new();
	work.bell = loop_wake_new(g->r.loop, rung, NULL);
	work.badmail = badmail_open(work.badmail_path, 0, 0, &err);
	work.intake = intake_open(&(struct intake_options){ .path = work.path,
						  .work = work.work,
						  .new_id = next_claim },
			&err);
	assert_non_null(work.badmail);
	assert_non_null(work.intake);
	return 0;
}

static int
end(void **state)
{
	faults_end();
	intake_close(work.intake);
	badmail_close(work.badmail);
	loop_wake_free(work.bell);
	mailbox_free(work.in);
	mailbox_free(work.out);
	free(work.path);
	free(work.work);
	free(work.badmail_path);
	return tear_down(state);
}

static void
put(const char *name, struct span bytes)
{
	AUTO(buf_done) struct buf path = BUF_MAX(400);

	assert_true(buf_addf(&path, "Pickup/%s", name));
	int fd = open(path_in(buf_cstr(&path)), O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_true(fd_write_all(fd, bytes));
	(void)close(fd);
}

static size_t
files(const char *folder)
{
	struct file_names names;
	int fd = dir_open(AT_FDCWD, path_in(folder), NULL);

	assert_true(dir_names(fd, 1000, &names, NULL));
	size_t n = names.n;
	file_names_done(&names);
	(void)close(fd);
	return n;
}

/* ---- what comes back ---- */

static struct picked *got[PICKUP_SLICE + 1];
static size_t got_n;
static struct picked *looked; /* the look itself, always last */

static void
take(void)
{
	struct list out;

	list_init(&out);
	(void)mailbox_take_all(work.out, &out, 0);
	got_n = 0;
	looked = NULL;
	LIST_EACH (link, &out) {
		struct picked *p = LIST_ITEM(link, struct picked, link);

		assert_null(looked);
		list_del(link);
		if (p->task == PICKED_LOOK)
			looked = p;
		else
			got[got_n++] = p;
	}
}

static void
forget_all(void)
{
	while (got_n > 0)
		picked_free(got[--got_n]);
	if (looked)
		picked_free(looked);
	looked = NULL;
}

/* One look, and it ends. */
static void
look(bool again, bool badmail)
{
	struct picked *p = picked_new(PICKED_LOOK);

	p->again = again;
	p->badmail_enabled = badmail;
	p->hostname = strdup("gw.contoso.test");
	(void)mailbox_post(work.in, &p->link);
	(void)mailbox_post(work.in, &picked_new(PICKED_END)->link);
	picked_thread(&work);
	take();
	assert_non_null(looked);
}

static struct picked *
of_file(const char *name)
{
	for (size_t i = 0; i < got_n; i++)
		if (strcmp(got[i]->claim.file, name) == 0)
			return got[i];
	return NULL;
}

/* Those that came are queued: they are removed, and it ends. */
static void
remove_all(void)
{
	for (size_t i = 0; i < got_n; i++) {
		got[i]->task = PICKED_QUEUED;
		(void)mailbox_post(work.in, &got[i]->link);
	}
	(void)mailbox_post(work.in, &picked_new(PICKED_END)->link);
	if (looked)
		picked_free(looked);
	picked_thread(&work);
	take();
}

static const char envelope[] =
		"X-Sender: max@nwtraders.test\r\nX-Receiver: ann@contoso.test\r\n";

/* The message, without its envelope, with so many octets; every part another one. */
static struct span
make(size_t n)
{
	size_t at = sizeof(envelope) - 1;
	const size_t all = at + n;

	memcpy(text, envelope, at);
	at += (size_t)sprintf(text + at, "Message-ID: <a@b.c>\r\nSubject: s\r\n\r\n");
	for (unsigned i = 0; at < all; i++)
		at += (size_t)sprintf(text + at, "%07u\r\n", i);
	return (struct span){ text, all };
}

static void
holds(const struct picked *p, struct span want)
{
	AUTO(buf_done) struct buf spool = BUF_MAX(4 * HUGE);
	char qid[QID_SIZE], path[60];
	uint8_t sum[SUM_SIZE], of[SUM_SIZE];
	struct span all = buf_span(&p->body);

	if (p->spool_fd >= 0) {
		qid_print(p->id, qid);
		(void)snprintf(path, sizeof(path), "spool/%s", qid);
		assert_true(file_read(AT_FDCWD, path_in(path), 0, &spool, NULL));
		all = buf_span(&spool);
		assert_int_equal(p->spool_size, want.n);
		sum_get(p->sum, sum);
		sum_of(want, of);
		assert_memory_equal(sum, of, sizeof(sum));
	}
	assert_true(span_eq(all, want));
}

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
			spool_remove(g->r.store, got[0]->id);
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
	(void)mailbox_post(work.in, &p->link);
	(void)mailbox_post(work.in, &picked_new(PICKED_END)->link);
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
	g->r.share.pickups = 3;
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

/* ---- what fails ---- */

static const char *const stories[] = { "a-large.eml", "b-small.eml", "c-large.eml" };

static void
put_all(void)
{
	put("a-large.eml", make(HUGE));
	put("b-small.eml", make(1000));
	put("c-large.eml", make(200 * 1000));
	put("d-bad.eml", SPAN("nothing to be read here"));
	put("e-bad.eml", SPAN("nor here"));
}

/* Of all five each is somewhere, once, and those that came are whole. */
static void
each_is_somewhere(unsigned badmail)
{
	size_t spooled = 0;

	for (size_t i = 0; i < got_n; i++) {
		bool large = strstr(got[i]->claim.file, "large") != NULL;
		struct span all = got[i]->claim.file[0] == 'a'
				? make(HUGE)
				: make(large ? 200 * 1000 : 1000);

		spooled += large;
		holds(got[i], span_skip(all, sizeof(envelope) - 1));
	}
	assert_int_equal(files("spool"), spooled);
	assert_int_equal(files("Pickup") + files("work") + badmail, 5);
}

/* What could not be had now comes with the next look that asks for it, and not before. */
static void
comes_again(unsigned badmail, size_t came)
{
	for (size_t i = 0; i < got_n; i++)
		if (got[i]->spool_fd >= 0)
			spool_remove(g->r.store, got[i]->id);
	remove_all();
	assert_int_equal(got_n, came);
	forget_all();
	look(false, true);
	assert_int_equal(got_n + looked->badmail, 0);
	forget_all();
	look(true, true);
	assert_false(looked->failed);
	assert_int_equal(got_n, 3 - came);
	assert_int_equal(looked->badmail, 2 - badmail);
	each_is_somewhere(2 + (unsigned)came);
	assert_int_equal(files("Badmail"), 2 * 3);
	for (size_t i = 0; i < got_n; i++)
		if (got[i]->spool_fd >= 0)
			spool_remove(g->r.store, got[i]->id);
	remove_all();
	forget_all();
	assert_int_equal(files("Pickup") + files("work") + files("spool"), 0);
	{
		struct file_names names;
		int fd = dir_open(AT_FDCWD, path_in("Badmail"), NULL);

		assert_true(dir_names(fd, 10, &names, NULL));
		for (size_t k = 0; k < names.n; k++)
			assert_int_equal(unlinkat(fd, names.names[k], 0), 0);
		file_names_done(&names);
		(void)close(fd);
	}
}

static void
whichever_piece_is_missing_the_others_come(void **state)
{
	unsigned struck = 0;

	(void)state;
	for (unsigned how = CUT; how <= FAILS; how++)
		for (unsigned n = 1;; n++) {
			put_all();
			forget(g);
			reading.how = how;
			reading.n = n;
			reading.struck = false;
			look(false, true);
			reading.n = 0;
			bool hit = reading.struck;
			const unsigned badmail = looked->badmail;
			assert_int_equal(looked->failed, hit);
			assert_int_equal(looked->badmail_failed, 0);
			assert_int_equal(got_n + badmail, hit ? 4 : 5);
			for (size_t i = 0; i < 3; i++)
				assert_int_equal(
						event(g, 5102, stories[i],
								"it became shorter, or cannot be read",
								""),
						!of_file(stories[i]));
			TOLD(hit ? 1u : 0u, "\"id\":5102,");
			assert_int_equal(badmail, 2);
			each_is_somewhere(badmail);
			comes_again(badmail, got_n);
			struck += hit;
			if (!hit)
				break;
		}
	assert_true(struck >= 2 * (6 + 1 + 2));
}

static void
whichever_write_fails_the_others_come(void **state)
{
	unsigned struck = 0;

	(void)state;
	for (unsigned n = 1;; n++) {
		put_all();
		forget(g);
		faults_begin(path_in("spool"));
		/* One, or all of them from here on: then both large ones. */
		faults_fail(SPOOL_CALLS, n, n % 2, ENOSPC);
		look(false, true);
		bool hit = faults_struck();
		faults_end();
		assert_int_equal(looked->failed, hit);
		assert_int_equal(looked->badmail, 2);
		assert_non_null(of_file("b-small.eml"));
		TOLD(hit ? 1u : 0u, "\"id\":9005,"); /* once for all of a slice */
		if (hit)
			assert_true(got_n < 3);
		each_is_somewhere(2);
		comes_again(2, got_n);
		struck += hit;
		if (!hit)
			break;
	}
	assert_true(struck >= 8);
}

static void
whichever_call_of_badmail_fails_no_file_is_lost(void **state)
{
	unsigned struck = 0;

	(void)state;
	for (unsigned n = 1;; n++) {
		put_all();
		forget(g);
		faults_begin(path_in("Badmail"));
		faults_fail(FAULT_ALL, n, n % 2, ENOSPC);
		look(false, true);
		bool hit = faults_struck();
		faults_end();
		const unsigned badmail = looked->badmail;
		assert_int_equal(got_n, 3);
		assert_int_equal(badmail + looked->badmail_failed, 2);
		assert_int_equal(looked->failed, looked->badmail_failed > 0);
		TOLD(badmail, "\"id\":4164,");
		if (badmail < 2)
			assert_true(event(g, 5108, path_in("Badmail"), "", "") == 1);
		each_is_somewhere(badmail);
		comes_again(badmail, 3);
		struck += hit;
		if (!hit)
			break;
	}
	assert_true(struck >= 5);
}

/* Of three one cannot be removed: it is known by its claim, and that stays. Nor is any gone
 * for good before the directory says so. */
static void
what_is_removed_is_told_one_by_one(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 5; n++) {
		char name[20];

		for (unsigned i = 0; i < 3; i++) {
			(void)snprintf(name, sizeof(name), "%u.eml", i);
			put(name, make(500 + i));
		}
		look(true, true);
		assert_int_equal(got_n, 3);
		forget(g);
		faults_begin(path_in("work"));
		if (n > 0)
			faults_fail(n < 4 ? FAULT_UNLINK : FAULT_SYNC, n < 4 ? n : 1, 1,
					EIO);
		remove_all();
		faults_end();
		assert_int_equal(got_n, 3);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(got[i]->task, PICKED_REMOVED);
			assert_int_equal(got[i]->removed, n != 4 && i + 1 != n);
		}
		TOLD(n >= 1 && n <= 3 ? 1u : 0u, "\"id\":5102,");
		assert_int_equal(event(g, 5108, path_in("Pickup"), "", ""), n == 4);
		forget_all();
		assert_int_equal(files("work"), n >= 1 && n <= 3);
		if (n >= 1 && n <= 3) { /* as at the next start */
			look(true, true);
			assert_int_equal(got_n, 1);
			remove_all();
			forget_all();
		}
	}
}

/* ---- the end ---- */

static void
who_leaves_reads_no_further(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 7; n++) {
		put_all();
		forget(g);
		reading.how = STOPS;
		reading.n = n;
		work.leaving = n == 0;
		look(true, true);
		reading.n = 0;
		work.leaving = 0;
		if (n == 0)
			assert_int_equal(got_n + looked->badmail, 0);
		else
			assert_true(got_n + looked->badmail < 5);
		/* Nothing has gone wrong. */
		TOLD(0, "\"id\":5108,");
		TOLD(0, "\"id\":5102,");
		TOLD(0, "\"id\":9005,");
		each_is_somewhere(looked->badmail);
		const unsigned badmail = looked->badmail;
		comes_again(badmail, got_n);
	}
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_message_of_any_length_comes_whole),
		TEST(what_its_octets_are_is_known),
		TEST(a_head_may_be_long),
		TEST(what_is_no_message_goes_to_badmail),
		TEST(badmail_is_told_where_it_lay),
		TEST(what_is_too_large_stays_where_it_is),
		TEST(no_more_are_taken_than_may_be_open),
		TEST(whichever_piece_is_missing_the_others_come),
		TEST(whichever_write_fails_the_others_come),
		TEST(whichever_call_of_badmail_fails_no_file_is_lost),
		TEST(what_is_removed_is_told_one_by_one),
		TEST(who_leaves_reads_no_further),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
