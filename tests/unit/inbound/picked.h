/* The thread of the Pickup folder by itself, without a thread: it runs between two mailboxes.
 * The group of tests includes it once. */
#ifndef TESTS_INBOUND_PICKED_H
#define TESTS_INBOUND_PICKED_H

#include "told.h"

#include "door.h"

#include "faults.h"

#include <errno.h>
#include <fcntl.h>

#include "pickups.h"

#include "postern/intake.h"

enum { PIECE_LEAST = 100, HUGE = 700 * 1000 };

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

static inline uint64_t
next_claim(void *host)
{
	(void)host;
	return store_new_id(g->hub.store, clock_wall_ms());
}

static inline void
rung(void *host)
{
	(void)host;
}

static inline char *
path_in(const char *name)
{
	static char path[4][300];
	static size_t turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", g->dir, name);
	return p;
}

static inline int
begin(void **state)
{
	struct err err = { 0 };

	(void)told_up(state);
	g = *state;
	door_open(g);
	g->hub.share.pickups = PICKUP_SLICE;
	reading.n = 0;
	reading.struck = false;
	work = (struct pickups){ .in = g->in, .watch_fd = -1 };
	work.path = strdup(path_in("Pickup"));
	work.work = strdup(path_in("work"));
	work.badmail_path = strdup(path_in("Badmail"));
	assert_int_equal(mkdir(work.badmail_path, 0700), 0);
	work.to_thread = mailbox_new();
	work.from_thread = mailbox_new();
	work.bell = loop_wake_new(g->hub.loop, rung, NULL);
	work.badmail = badmail_open(work.badmail_path, 0, 0, &err);
	work.intake = intake_open(&(struct intake_options){ .path = work.path,
						  .work = work.work,
						  .new_id = next_claim },
			&err);
	assert_non_null(work.badmail);
	assert_non_null(work.intake);
	return 0;
}

static inline int
end(void **state)
{
	faults_end();
	intake_close(work.intake);
	badmail_close(work.badmail);
	loop_wake_free(work.bell);
	mailbox_free(work.to_thread);
	mailbox_free(work.from_thread);
	free(work.path);
	free(work.work);
	free(work.badmail_path);
	return told_down(state);
}

static inline void
put(const char *name, struct span bytes)
{
	AUTO(buf_done) struct buf path = BUF_MAX(400);

	assert_true(buf_addf(&path, "Pickup/%s", name));
	int fd = open(path_in(buf_cstr(&path)), O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_true(fd_write_all(fd, bytes));
	(void)close(fd);
}

static inline size_t
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

static inline void
take(void)
{
	struct list out;

	list_init(&out);
	(void)mailbox_take_all(work.from_thread, &out, 0);
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

static inline void
forget_all(void)
{
	while (got_n > 0)
		picked_free(got[--got_n]);
	if (looked)
		picked_free(looked);
	looked = NULL;
}

/* One look, and it ends. */
static inline void
look(bool again, bool badmail)
{
	struct picked *p = picked_new(PICKED_LOOK);

	p->again = again;
	p->badmail_enabled = badmail;
	p->hostname = strdup("gw.contoso.test");
	(void)mailbox_post(work.to_thread, &p->link);
	(void)mailbox_post(work.to_thread, &picked_new(PICKED_END)->link);
	picked_thread(&work);
	take();
	assert_non_null(looked);
}

static inline struct picked *
of_file(const char *name)
{
	for (size_t i = 0; i < got_n; i++)
		if (strcmp(got[i]->claim.file, name) == 0)
			return got[i];
	return NULL;
}

/* Those that came are queued: they are removed, and it ends. */
static inline void
remove_all(void)
{
	for (size_t i = 0; i < got_n; i++) {
		got[i]->task = PICKED_QUEUED;
		(void)mailbox_post(work.to_thread, &got[i]->link);
	}
	(void)mailbox_post(work.to_thread, &picked_new(PICKED_END)->link);
	if (looked)
		picked_free(looked);
	picked_thread(&work);
	take();
}

static const char envelope[] =
		"X-Sender: max@nwtraders.test\r\nX-Receiver: ann@contoso.test\r\n";

/* The message, without its envelope, with so many octets; every part another one. */
static inline struct span
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

static inline void
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

#define IN_PICKUP(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

#endif
