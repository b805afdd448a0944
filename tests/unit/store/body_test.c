/* A stored body is what was stored, or it is said that it is not (edge 33): gone, cut, longer,
 * exchanged, altered, in the spool and in the database, whenever it is looked at. */
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "fixture.h"

enum { SIZE = 300 * 1024 };

static char octets[SIZE];

static void
path_of_file(struct state *t, uint64_t id, char out[160])
{
	char name[QID_SIZE];

	qid_print(id, name);
	(void)snprintf(out, 160, "%s/spool/%s", t->dir, name);
}

static uint64_t
spool(struct state *t, const char *uidl, char first)
{
	struct submission sub = fixture_message(t, uidl);
	struct sum *sum = sum_new();

	for (size_t i = 0; i < SIZE; i++)
		octets[i] = (char)(first + (int)(i % 71));
	sub.spool_fd = spool_create(t->store, sub.id, &t->err);
	assert_true(spool_write(sub.spool_fd, (struct span){ octets, SIZE },
			&sub.spool_size, &t->err));
	sum_add(sum, (struct span){ octets, SIZE });
	sub.spool_sum = sum;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	close(sub.spool_fd);
	sum_free(sum);
	return sub.id;
}

static void
raw(struct state *t, const char *sql)
{
	char path[160];
	sqlite3 *h;

	(void)snprintf(path, sizeof path, "%s/postern.db", t->dir);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	if (sqlite3_exec(h, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(h));
	sqlite3_close(h);
}

static void
flip(struct state *t, uint64_t id, off_t at)
{
	char path[160], c;

	path_of_file(t, id, path);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c = (char)(c ^ 1);
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

enum harm { GONE, CUT, EMPTY, LONGER, FIRST, LAST, EXCHANGED, SYMLINK, FIFO, HARMS };

static void
harm(struct state *t, uint64_t id, enum harm what)
{
	char path[160], other[160];

	path_of_file(t, id, path);
	switch (what) {
	case GONE:
		assert_int_equal(unlink(path), 0);
		break;
	case CUT:
		assert_int_equal(truncate(path, SIZE - 1), 0);
		break;
	case EMPTY:
		assert_int_equal(truncate(path, 0), 0);
		break;
	case LONGER:
		assert_int_equal(truncate(path, SIZE + 1), 0);
		break;
	case FIRST:
		flip(t, id, 0);
		break;
	case LAST:
		flip(t, id, SIZE - 1);
		break;
	case EXCHANGED:
		path_of_file(t, spool(t, NULL, 'B'), other);
		assert_int_equal(rename(other, path), 0);
		break;
	case SYMLINK:
		path_of_file(t, spool(t, NULL, 'A'), other);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink(other, path), 0);
		break;
	case FIFO:
		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkfifo(path, 0600), 0);
		break;
	case HARMS:
		break;
	}
}

/* Octets that were given before it was said; t->err says it. */
static uint64_t
read_all(struct state *t, uint64_t id)
{
	struct body *b = body_open(store_reader(t->store), id, &t->err);
	struct span piece = { "", 1 };
	uint64_t n = 0;

	if (!b)
		return 0;
	while (body_next(b, &piece, &t->err) && piece.n > 0)
		n += piece.n;
	body_close(b);
	return n;
}

static void
nobody_reads_a_damaged_file_to_its_end(void **state)
{
	struct state *t = *state;

	for (int what = 0; what < HARMS; what++) {
		uint64_t id = spool(t, NULL, 'A');

		memset(&t->err, 0, sizeof t->err);
		assert_int_equal(read_all(t, id), SIZE + strlen("Received: by gw\r\n"));
		assert_int_equal(t->err.event, 0);
		harm(t, id, (enum harm)what);
		uint64_t n = read_all(t, id);
		if (n >= SIZE || t->err.event != EVENT_BODY_DAMAGED)
			fail_msg("harm %d: %llu octets, event %d", what,
					(unsigned long long)n, t->err.event);
	}
}

static void
what_is_left_can_be_read_by_people(void **state)
{
	static const uint64_t left[HARMS] = { [CUT] = SIZE - 1,
		[LONGER] = SIZE + 1,
		[FIRST] = SIZE,
		[LAST] = SIZE,
		[EXCHANGED] = SIZE };
	struct state *t = *state;
	const size_t top = strlen("Received: by gw\r\n");

	for (int what = 0; what < HARMS; what++) {
		uint64_t id = spool(t, NULL, 'A'), n = 0;
		struct span piece = { "", 1 };

		harm(t, id, (enum harm)what);
		struct body *b = body_open_left(store_reader(t->store), id, &t->err);
		assert_non_null(b);
		assert_int_equal(body_size(b), top + left[what]);
		while (body_next(b, &piece, &t->err) && piece.n > 0)
			n += piece.n;
		assert_int_equal(n, top + left[what]);
		body_close(b);
	}
}

static void
a_damaged_row_is_seen_before_the_first_octet(void **state)
{
	static const char *const harms[] = {
		"UPDATE body SET bytes = CAST('Subject: y' || substr(bytes, 11) AS BLOB)",
		"UPDATE body SET bytes = substr(bytes, 2)",
		"UPDATE body SET bytes = CAST('' AS BLOB)",
		"UPDATE body SET size = size + 1",
		"UPDATE body SET bytes = NULL",
	};
	struct state *t = *state;

	for (size_t i = 0; i < sizeof harms / sizeof harms[0]; i++) {
		uint64_t id = fixture_submit(t, NULL);

		memset(&t->err, 0, sizeof t->err);
		assert_true(read_all(t, id) > 0);
		raw(t, harms[i]);
		assert_int_equal(read_all(t, id), 0);
		assert_int_equal(t->err.event, EVENT_BODY_DAMAGED);
		raw(t, "DELETE FROM recipient; DELETE FROM body; DELETE FROM message");
	}
}

/* And one that is known to be damaged, in words that are longer than is kept of them. */
static void
what_is_left_of_a_row_can_be_read_by_people(void **state)
{
	static const char *const harms[] = {
		"UPDATE body SET bytes = CAST('Subject: y' || substr(bytes, 11) AS BLOB)",
		"UPDATE body SET bytes = substr(bytes, 2)",
		"UPDATE body SET size = size + 1",
		"UPDATE body SET damage = printf('%.200c', 'd')",
	};
	static const uint64_t gone[] = { 0, 1, 0, 0 };
	struct state *t = *state;

	for (size_t i = 0; i < sizeof harms / sizeof harms[0]; i++) {
		uint64_t id = fixture_submit(t, NULL), n = 0;
		struct span piece = { "", 1 };
		struct submission as = fixture_message(t, NULL);

		raw(t, harms[i]);
		assert_int_equal(read_all(t, id), 0);
		assert_int_equal(t->err.event, EVENT_BODY_DAMAGED);
		if (i == 3)
			assert_int_equal(strspn(t->err.text, "d"), 159);
		memset(&t->err, 0, sizeof t->err);
		struct body *b = body_open_left(store_reader(t->store), id, &t->err);
		if (!b)
			fail_msg("harm %zu: %s", i, t->err.text);
		while (body_next(b, &piece, &t->err) && piece.n > 0)
			n += piece.n;
		assert_int_equal(n, as.top.n + as.body.n - gone[i]);
		assert_int_equal(body_size(b), n);
		body_close(b);
		raw(t, "DELETE FROM recipient; DELETE FROM body; DELETE FROM message");
	}
}

static void
rows_of_older_states_are_not_checked(void **state)
{
	struct state *t = *state;
	uint64_t id = fixture_submit(t, NULL);

	raw(t, "UPDATE body SET sum = NULL");
	assert_true(read_all(t, id) > 0);
	raw(t, "UPDATE body SET bytes = CAST('Subject: y' || substr(bytes, 11) AS BLOB)");
	assert_true(read_all(t, id) > 0);
}

/* ---- what becomes of it ---- */

static struct settlement
said(struct state *t, uint64_t id)
{
	static struct settle_recipient r;

	r = (struct settle_recipient){ .attempted = true,
		.state = QUEUE_BOUNCED,
		.hop = SPAN(QUEUE_HOP_BADMAIL),
		.reply = SPAN("5.3.0 the stored body is damaged"),
		.reason = SPAN("general") };
	struct settlement set = { .job = { .work = STORE_SETTLE },
		.id = id,
		.at_ms = NOW + 5,
		.recipients = &r,
		.n = 1,
		.damage = SPAN("its file is gone") };
	if (fixture_do(t, &set.job) != STORE_DONE)
		fail_msg("%s", set.job.err.text);
	return set;
}

static enum origin_state
origin(struct state *t, const char *uidl)
{
	enum origin_state s;

	assert_true(origin_look(store_reader(t->store), SPAN("isp"), span_of(uidl), &s,
			NULL, &t->err));
	return s;
}

static void
origin_do(struct state *t, enum origin_act act, const char *uidl)
{
	const struct span u = span_of(uidl);
	struct origin_change c = { .job = { .work = STORE_ORIGINS },
		.act = act,
		.account = SPAN("isp"),
		.uidls = &u,
		.n = 1 };

	assert_int_equal(fixture_do(t, &c.job), STORE_DONE);
}

static void
it_is_collected_again_where_the_provider_still_has_it(void **state)
{
	struct state *t = *state;
	uint64_t kept = spool(t, "kept", 'A'), deleted = spool(t, "deleted", 'A'),
		 absent = spool(t, "absent", 'A'), other = spool(t, "other", 'A');

	origin_do(t, ORIGIN_ACT_SETTLE, "deleted");
	origin_do(t, ORIGIN_ACT_LISTED, "absent");
	struct settlement set = said(t, kept);
	assert_true(set.damage_new);
	assert_true(set.again);
	set = said(t, kept); /* another of its recipients */
	assert_false(set.damage_new);
	assert_false(set.again);
	set = said(t, deleted);
	assert_true(set.damage_new);
	assert_false(set.again);
	set = said(t, absent);
	assert_false(set.again);
	assert_int_equal(origin(t, "kept"), ORIGIN_NEW);
	assert_int_equal(origin(t, "deleted"), ORIGIN_SETTLED);
	assert_int_equal(origin(t, "absent"), ORIGIN_COMMITTED);
	assert_int_equal(origin(t, "other"), ORIGIN_COMMITTED);
	/* And it is no other message's origin that goes. */
	uint64_t again = spool(t, "kept", 'A');
	set = said(t, kept);
	assert_int_equal(origin(t, "kept"), ORIGIN_COMMITTED);
	assert_true(read_all(t, again) > SIZE && read_all(t, other) > SIZE);
}

/* One whose other recipients wait for hours: they are told now, and the same mail by another
 * mailbox is no copy of it for them. */
static void
all_of_its_recipients_are_told_and_none_counts_as_served(void **state)
{
	struct state *t = *state;
	const struct span key[2] = { SPAN("0123456789abcdef"),
		SPAN("fedcba9876543210") };
	struct submission_recipient to[2] = { fixture_to, fixture_to };
	uint64_t copy_of[2];
	struct submission sub = fixture_message(t, "a");
	struct queue_message *m;

	to[1].hop = SPAN("smtp:inside.test:25");
	to[0].key = key[0];
	to[1].key = key[1];
	sub.recipients = to;
	sub.n = 2;
	sub.copy_of = copy_of;
	assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	fixture_settle(t, sub.id,
			(struct settle_recipient){ .seq = 1,
					.attempted = true,
					.state = QUEUE_QUEUED,
					.next_try_ms = NOW + 3600000 });
	assert_int_equal(fixture_due(t, "smtp:inside.test:25", NOW + 10, &m), 0);
	(void)said(t, sub.id);
	assert_int_equal(fixture_due(t, "smtp:inside.test:25", NOW + 10, &m), 1);
	assert_int_equal(fixture_due(t, "badmail", NOW + 3600000, &m), 1);
	assert_int_equal(read_all(t, sub.id), 0); /* nobody tries it again */
	assert_int_equal(t->err.event, EVENT_BODY_DAMAGED);

	struct submission copy = fixture_message(t, "b");
	copy.recipients = to;
	copy.n = 2;
	copy.copy_of = copy_of;
	assert_int_equal(fixture_do(t, &copy.job), STORE_DONE);
	assert_int_equal(copy_of[0], 0);
	assert_int_equal(copy_of[1], 0);
}

/* ---- at a start ---- */

static void
crash_with_mail(struct state *t)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (!fixture_open(t, true))
			_exit(1);
		(void)spool(t, NULL, 'A');
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
a_start_finds_what_is_gone_or_cut(void **state)
{
	struct state *t = *state;
	uint64_t good = spool(t, NULL, 'A'), gone = spool(t, NULL, 'A'),
		 cut = spool(t, NULL, 'A');
	struct queue_message *m;

	for (int i = 0; i < 2; i++)
		fixture_settle(t, i ? cut : gone,
				(struct settle_recipient){ .attempted = true,
						.state = QUEUE_QUEUED,
						.next_try_ms = NOW + 3600000 });
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 1);
	harm(t, gone, GONE);
	harm(t, cut, CUT);
	fixture_reopen(t);
	assert_int_equal(t->found.damaged, 2);
	assert_int_equal(t->found.verified, 1);
	/* Who would have delivered it hours later does it now, and finds it. */
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 3);
	assert_int_equal(read_all(t, gone), 0);
	assert_int_equal(t->err.event, EVENT_BODY_DAMAGED);
	assert_true(read_all(t, good) > SIZE);
	assert_true(said(t, gone).damage_new); /* nobody has said it so far */
	fixture_reopen(t);
	assert_int_equal(t->found.damaged, 0);
}

static void
after_a_crash_the_octets_are_looked_at_too(void **state)
{
	struct state *t = *state;
	uint64_t id = spool(t, NULL, 'A');

	flip(t, id, SIZE / 2);
	fixture_reopen(t); /* a clean end: nobody was torn from his work */
	assert_int_equal(t->found.damaged, 0);
	store_close(t->store);
	t->store = NULL;
	crash_with_mail(t);
	assert_non_null(fixture_open(t, true));
	assert_true(t->found.unclean);
	assert_int_equal(t->found.verified, 1);
	assert_int_equal(t->found.damaged, 1);
}

/* Held for somebody's word, which nobody can give any more. */
static void
what_is_held_goes_to_badmail(void **state)
{
	struct state *t = *state;
	struct queue_message *m;
	uint64_t id = spool(t, "u", 'A');
	raw(t, "UPDATE recipient SET state = 3, address = NULL, reason = 'unrouted'");
	harm(t, id, GONE);
	fixture_reopen(t);
	assert_int_equal(fixture_due(t, "badmail", NOW, &m), 1);
	assert_int_equal(m->recipients[0].state, QUEUE_BOUNCED);
	assert_int_equal(m->recipients[0].address.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_reads_a_damaged_file_to_its_end),
		TEST(what_is_left_can_be_read_by_people),
		TEST(a_damaged_row_is_seen_before_the_first_octet),
		TEST(what_is_left_of_a_row_can_be_read_by_people),
		TEST(rows_of_older_states_are_not_checked),
		TEST(it_is_collected_again_where_the_provider_still_has_it),
		TEST(all_of_its_recipients_are_told_and_none_counts_as_served),
		TEST(a_start_finds_what_is_gone_or_cut),
		TEST(after_a_crash_the_octets_are_looked_at_too),
		TEST(what_is_held_goes_to_badmail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
