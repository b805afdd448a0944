/* Disks that fail under Drop, Maildir and Badmail: what a sync covers and in which order,
 * and every call failing, once and for good. What was said to be written is there. */
#include "faults.h"

#include <errno.h>
#include <sys/stat.h>

#include "folder_dir.h"
#include "postern/badmail.h"
#include "postern/clock.h"
#include "postern/drop.h"
#include "postern/evidence.h"
#include "postern/maildir.h"

enum { MESSAGES = 4, LETTERS = 5, OLD_MS = 1000000 };

static const struct span text = { SPAN_INIT("Subject: hi\r\n\r\nbody\n") };
static const struct span ann = { SPAN_INIT("ann@contoso.test") };
static const struct span bob = { SPAN_INIT("bob@contoso.test") };
static const struct letter_body body = { .parts = &text, .n_parts = 1, .fd = -1 };

/* Five letters for four messages: the third and the fourth are for one. */
static uint64_t
message_of(size_t i)
{
	static const uint64_t qids[LETTERS] = { 1, 2, 3, 3, 4 };

	return qids[i] + ((uint64_t)OLD_MS << 16);
}

static const struct span *
receiver_of(size_t i)
{
	return i == 3 ? &bob : &ann;
}

static bool
drop_put(struct drop *d, size_t i, struct err *err)
{
	const struct letter l = { .qid = message_of(i),
		.sender = SPAN("s@x.test"),
		.recipients = receiver_of(i),
		.n_recipients = 1,
		.body = body };

	return drop_write(d, &l, err);
}

static bool
badmail_put(struct badmail *b, size_t i, struct err *err)
{
	const struct badmail_recipient to = { *receiver_of(i), SPAN("5.7.1"),
		SPAN("550 no"), 1 };
	const struct badmail_letter l = { .qid = message_of(i),
		.reason = i == 3 ? BADMAIL_UNKNOWN_USER : BADMAIL_RELAY_DENIED,
		.event = 4032,
		.time_ms = OLD_MS,
		.recipients = &to,
		.n_recipients = 1,
		.body = body };

	return badmail_write(b, &l, err);
}

static const char *
file_of(const char *folder, size_t i, const char *ext)
{
	static char name[100];
	char id[QID_SIZE];

	qid_print(message_of(i), id);
	(void)snprintf(name, sizeof(name), "%s/%s.%s", folder, id, ext);
	return name;
}

/* ---- in which order ---- */

static void
a_drop_file_is_synced_then_named_then_its_folder_synced(void **state)
{
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);
	char id[QID_SIZE], want[300];

	(void)state;
	qid_print(message_of(0), id);
	(void)snprintf(want, sizeof(want),
			"sync Drop/.%s.tmp\nrename Drop/.%s.tmp Drop/%s.eml\nsync Drop/\n",
			id, id, id);
	faults_begin(folder_dir);
	assert_true(drop_put(d, 0, &err) && drop_sync(d, &err));
	faults_end();
	assert_string_equal(faults_story(FAULT_SYNCS | FAULT_RENAME), want);
	drop_close(d);
}

static void
the_bdp_of_badmail_is_named_last(void **state)
{
	struct err err = { 0 };
	struct badmail *b = badmail_open(folder_path("Badmail"), 0, 0, &err);
	static const char *const ext[] = { "BAD", "BDR", "BDP" };
	char id[QID_SIZE], want[600];
	size_t n = 0;

	(void)state;
	qid_print(message_of(0), id);
	for (size_t i = 0; i < 3; i++)
		n += (size_t)snprintf(want + n, sizeof(want) - n,
				"sync Badmail/.%s.%s.tmp\n", id, ext[i]);
	for (size_t i = 0; i < 3; i++)
		n += (size_t)snprintf(want + n, sizeof(want) - n,
				"rename Badmail/.%s.%s.tmp Badmail/%s.%s\n", id, ext[i],
				id, ext[i]);
	(void)snprintf(want + n, sizeof(want) - n, "sync Badmail/\n");
	faults_begin(folder_dir);
	assert_true(badmail_put(b, 0, &err) && badmail_sync(b, &err));
	faults_end();
	assert_string_equal(faults_story(FAULT_SYNCS | FAULT_RENAME), want);
	/* The two others are removed after it. */
	faults_begin(folder_dir);
	assert_true(badmail_remove(b, message_of(0), &err));
	faults_end();
	(void)snprintf(want, sizeof(want),
			"unlink Badmail/%s.BDP\nunlink Badmail/%s.BDR\n"
			"unlink Badmail/%s.BAD\nsync Badmail/\n",
			id, id, id);
	assert_string_equal(faults_story(FAULT_ALL), want);
	badmail_close(b);
}

/* The mailbox and what is new above it are on disk too. */
static void
a_maildir_file_is_synced_then_named_then_its_directories_synced(void **state)
{
	struct maildir *m = maildir_new(64);
	struct err err = { 0 };
	char id[QID_SIZE], want[700];

	(void)state;
	qid_print(message_of(0), id);
	(void)snprintf(want, sizeof(want),
			"sync ./\nsync m/\n"
			"sync m/ann/tmp/1000.Q%sR1.postern\n"
			"rename m/ann/tmp/1000.Q%sR1.postern m/ann/new/1000.Q%sR1.postern\n"
			"sync m/ann/new/\nsync m/ann/\n",
			id, id, id);
	faults_begin(folder_dir);
	assert_true(maildir_write(
			m, folder_path("m/ann"), message_of(0), 1, &body, &err));
	assert_true(maildir_sync(m, &err));
	faults_end();
	assert_string_equal(faults_story(FAULT_SYNCS | FAULT_RENAME), want);
	maildir_free(m);
}

/* Many files cost one pass over the filesystem; the names still come after it. */
static void
a_large_batch_is_synced_by_its_filesystem(void **state)
{
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, &err);

	(void)state;
	faults_begin(folder_dir);
	for (size_t i = 0; i < LETTERS; i++)
		if (i != 3)
			assert_true(drop_put(d, i, &err));
	assert_true(drop_sync(d, &err));
	faults_end();
	const char *story = faults_story(FAULT_SYNCS | FAULT_RENAME);
	assert_int_equal(strncmp(story, "syncfs Drop/\nrename ", 20), 0);
	assert_string_equal(story + strlen(story) - 12, "\nsync Drop/\n");
	assert_int_equal(faults_count(FAULT_SYNCS), 2);
	drop_close(d);
}

/* ---- every call failing ---- */

/* Nobody asks why. */
static bool silent;
static const char *words; /* of what they are made to fail for */

static struct err *
asked(struct err *err)
{
	*err = (struct err){ 0 };
	return silent ? NULL : err;
}

/* Whatever fails has said why, for the log. */
static bool
told(bool ok, const struct err *err)
{
	if (!ok && !silent)
		assert_non_null(strstr(err->text, words));
	return ok;
}

/* Delivers all letters as one batch; written[i]: so it was said of letter i. False:
 * nothing may be made of it. */
struct folder_kind {
	bool (*deliver)(bool written[LETTERS]);
	bool (*is_there)(size_t i); /* whole, for its receiver */
	void (*expect_files)(void); /* each once, and nothing else */
};

static bool
drop_deliver(bool written[LETTERS])
{
	struct err err = { 0 };
	struct drop *d = drop_open(folder_path("Drop"), 0, asked(&err));

	if (!told(d, &err))
		return false;
	for (size_t i = 0; i < LETTERS; i++)
		written[i] = told(drop_put(d, i, asked(&err)), &err);
	bool ok = told(drop_sync(d, asked(&err)), &err);
	drop_close(d);
	return ok;
}

static bool
drop_is_there(size_t i)
{
	AUTO(buf_done) struct buf got = BUF_MAX(10000);

	if (!file_read(AT_FDCWD, folder_path(file_of("Drop", i, "eml")), 0, &got, NULL))
		return false;
	struct span all = buf_span(&got);
	char *line = strstr(
			buf_cstr(&got), i == 3 ? "X-Receiver: bob" : "X-Receiver: ann");
	return line && span_ends_nocase(all, text);
}

static void
drop_expect_files(void)
{
	assert_int_equal(folder_count("Drop"), MESSAGES);
}

static bool
badmail_deliver(bool written[LETTERS])
{
	struct err err = { 0 };
	struct badmail *b = badmail_open(folder_path("Badmail"), 0, 0, asked(&err));

	if (!told(b, &err))
		return false;
	for (size_t i = 0; i < LETTERS; i++)
		written[i] = told(badmail_put(b, i, asked(&err)), &err);
	bool ok = told(badmail_sync(b, asked(&err)), &err);
	badmail_close(b);
	return ok;
}

static bool
badmail_is_there(size_t i)
{
	struct badmail *b = badmail_open(folder_path("Badmail"), 0, 0, NULL);
	struct badmail_item *item = badmail_get(b, message_of(i), NULL);
	bool there = false;

	for (size_t k = 0; item && k < item->n_recipients; k++)
		there |= span_eq(span_of(item->recipients[k].address), *receiver_of(i));
	badmail_item_free(item);
	badmail_close(b);
	if (there)
		folder_expect(file_of("Badmail", i, "BAD"), text);
	return there;
}

static void
badmail_expect_files(void)
{
	assert_int_equal(folder_count("Badmail"), 3 * MESSAGES);
}

/* Letters to two mailboxes by turns; the fourth is the third again, to another. */
static bool
maildir_put(struct maildir *m, size_t i, struct err *err)
{
	return maildir_write(m, folder_path(i % 2 ? "m/b" : "m/a"), message_of(i), i,
			&body, err);
}

static bool
maildir_deliver(bool written[LETTERS])
{
	struct maildir *m = maildir_new(64);
	struct err err = { 0 };

	for (size_t i = 0; i < LETTERS; i++)
		written[i] = told(maildir_put(m, i, asked(&err)), &err);
	bool again = told(maildir_put(m, 0, asked(&err)), &err);
	written[0] = written[0] && again;
	bool ok = told(maildir_sync(m, asked(&err)), &err);
	maildir_free(m);
	return ok;
}

static bool
maildir_is_there(size_t i)
{
	char id[QID_SIZE], name[200];

	qid_print(message_of(i), id);
	(void)snprintf(name, sizeof(name), "m/%s/new/1000.Q%sR%zu.postern",
			i % 2 ? "b" : "a", id, i);
	if (access(folder_path(name), F_OK) != 0)
		return false;
	folder_expect(name, text);
	return true;
}

static void
maildir_expect_files(void)
{
	assert_int_equal(folder_count("m/a/new") + folder_count("m/b/new"), LETTERS);
	assert_int_equal(folder_count("m/a/tmp") + folder_count("m/b/tmp"), 0);
}

static size_t
descriptors(void)
{
	struct file_names names;
	int fd = dir_open(AT_FDCWD, "/proc/self/fd", NULL);

	assert_true(dir_names(fd, 100000, &names, NULL));
	(void)close(fd);
	size_t n = names.n;
	file_names_done(&names);
	return n;
}

static void
expect_there(const struct folder_kind *k, const bool written[LETTERS], unsigned n)
{
	for (size_t i = 0; i < LETTERS; i++)
		if (written[i] && !k->is_there(i))
			fail_msg("letter %zu was said to be written, call %u failing:\n%s",
					i, n, faults_story(FAULT_ALL));
}

/* The n-th call fails, for every n; what comes then finds a disk that works. */
static void
every_call_fails(const struct folder_kind *k, unsigned calls, unsigned times, int no)
{
	size_t open_before = descriptors();
	bool struck = true;

	words = err_words(no);

	for (unsigned n = 1; struck; n++) {
		bool written[LETTERS] = { 0 };

		faults_begin(folder_dir);
		faults_fail(calls, n, times, no);
		bool ok = k->deliver(written);
		struck = faults_struck();
		faults_end();
		assert_true(n < 1000);
		if (ok)
			expect_there(k, written, n);
		else
			assert_true(struck);
		memset(written, 0, sizeof(written));
		assert_true(k->deliver(written));
		for (size_t i = 0; i < LETTERS; i++)
			assert_true(written[i] && k->is_there(i));
		k->expect_files();
		(void)folder_remove(NULL);
		assert_int_equal(mkdir(folder_dir, 0700), 0);
	}
	assert_int_equal(descriptors(), open_before);
}

static void
every_call_fails_once_and_for_good(const struct folder_kind *k)
{
	every_call_fails(k, FAULT_ALL, 1, EIO);
	every_call_fails(k, FAULT_WRITE, 1, ENOSPC);
	every_call_fails(k, FAULT_ALL, 0, EIO);
	silent = true;
	every_call_fails(k, FAULT_ALL, 1, EIO);
	silent = false;
}

static void
a_batch_of_drop_that_cannot_sync_defers_all_of_it(void **state)
{
	(void)state;
	every_call_fails_once_and_for_good(&(const struct folder_kind){
			drop_deliver, drop_is_there, drop_expect_files });
}

static void
a_batch_of_badmail_that_cannot_sync_defers_all_of_it(void **state)
{
	(void)state;
	every_call_fails_once_and_for_good(&(const struct folder_kind){
			badmail_deliver, badmail_is_there, badmail_expect_files });
}

static void
a_batch_of_maildir_that_cannot_sync_defers_all_of_it(void **state)
{
	(void)state;
	every_call_fails_once_and_for_good(&(const struct folder_kind){
			maildir_deliver, maildir_is_there, maildir_expect_files });
}

/* What failed in mid-batch is told by the batch's own sync, once: the next is sound. */
static void
a_failed_sync_stays_failed_until_it_was_told(void **state)
{
	struct err err = { 0 };
	struct badmail *b = badmail_open(folder_path("Badmail"), 0, 0, &err);

	(void)state;
	assert_true(badmail_put(b, 0, &err) && badmail_put(b, 2, &err));
	faults_begin(folder_dir);
	faults_fail(FAULT_SYNCS, 1, 1, EIO);
	assert_false(badmail_put(b, 3, &err));
	assert_true(faults_struck());
	assert_false(badmail_put(b, 4, &err));
	err.text[0] = '\0';
	assert_false(badmail_sync(b, &err));
	assert_non_null(strstr(err.text, "Input/output error"));
	faults_end();
	assert_int_equal(folder_count("Badmail"), 0);
	assert_true(badmail_sync(b, &err));
	assert_true(badmail_put(b, 0, &err) && badmail_sync(b, &err));
	assert_int_equal(folder_count("Badmail"), 3);
	badmail_close(b);
}

/* More Maildirs than may be open: those that make room are synced, and what that fails for
 * is told by the batch's own sync. */
static void
a_maildir_that_cannot_make_room_fails_its_batch(void **state)
{
	enum { BOXES = 70 };
	bool struck = true;

	(void)state;
	for (unsigned n = 1; struck; n += 13) {
		struct maildir *m = maildir_new(64);
		struct err err = { 0 };
		char box[40];

		faults_begin(folder_dir);
		faults_fail(FAULT_SYNCFS | FAULT_RENAME, n, 1, EIO);
		bool written = true;
		for (uint64_t i = 0; i < BOXES; i++) {
			(void)snprintf(box, sizeof(box), "m/%llu",
					(unsigned long long)i);
			written &= maildir_write(m, folder_path(box), message_of(0), i,
					&body, &err);
		}
		bool ok = maildir_sync(m, &err);
		struck = faults_struck();
		faults_end();
		assert_int_equal(ok, !struck);
		assert_true(written || struck);
		assert_true(maildir_sync(m, &err));
		maildir_free(m);
		(void)folder_remove(NULL);
		assert_int_equal(mkdir(folder_dir, 0700), 0);
	}
}

/* An item that cannot be read at the moment is not one that is not there. */
static void
no_recipient_of_badmail_is_forgotten_for_a_failed_open(void **state)
{
	struct err err = { 0 };
	struct badmail *b = badmail_open(folder_path("Badmail"), 0, 0, &err);

	(void)state;
	assert_true(badmail_put(b, 2, &err) && badmail_sync(b, &err));
	faults_begin(folder_dir);
	faults_fail(FAULT_OPEN, 1, 1, EMFILE);
	assert_false(badmail_put(b, 3, &err));
	faults_end();
	assert_true(badmail_put(b, 3, &err) && badmail_sync(b, &err));
	assert_true(badmail_is_there(2) && badmail_is_there(3));
	badmail_close(b);
}

/* Names of a directory that was never synced would pass for durable the next time. */
static void
a_folder_whose_name_was_not_synced_is_made_again(void **state)
{
	(void)state;
	faults_begin(folder_dir);
	faults_fail(FAULT_SYNC, 1, 1, EIO);
	assert_null(drop_open(folder_path("Drop"), 0, NULL));
	struct drop *d = drop_open(folder_path("Drop"), 0, NULL);
	faults_end();
	assert_non_null(d);
	assert_string_equal(faults_story(FAULT_SYNC),
			"sync ./ = Input/output error\nsync ./\n");
	drop_close(d);
}

/* ---- what cleaning says ---- */

static bool
clean_remove(struct badmail *b, struct err *err)
{
	return badmail_remove(b, message_of(0), err);
}

static bool
clean_prune(struct badmail *b, struct err *err)
{
	bool more;

	return badmail_prune(b, clock_wall_ms() + INT64_C(1000) * 1000, &more, err);
}

static bool
clean_evidence(struct badmail *b, struct err *err)
{
	const struct evidence_limits l = { .steady_ms = clock_wall_ms(), .most = 0 };
	bool more;

	(void)b;
	return evidence_prune(folder_dir, &l, &more, err);
}

/* Whatever call fails: an err without an event would have no place in the log. */
static void
what_fails_in_cleaning_has_the_event_of_a_folder(void **state)
{
	static bool (*const clean[])(struct badmail *, struct err *) = { clean_remove,
		clean_prune, clean_evidence };

	(void)state;
	for (size_t k = 0; k < sizeof(clean) / sizeof(clean[0]); k++) {
		bool struck = true;
		size_t failed = 0;

		for (unsigned n = 1; struck; n++) {
			struct badmail *b = badmail_open(
					folder_path("Badmail"), 1, 0, NULL);
			struct err err = { 0 };

			assert_true(badmail_put(b, 0, &err) && badmail_sync(b, &err));
			(void)mkdir(folder_path("evidence"), 0700);
			int fd = open(folder_path("evidence/a"), O_WRONLY | O_CREAT,
					0600);
			assert_true(fd >= 0);
			(void)close(fd);
			faults_begin(folder_dir);
			faults_fail(FAULT_ALL, n, 1, EIO);
			bool ok = clean[k](b, &err);
			struck = faults_struck();
			faults_end();
			if (!ok) {
				assert_true(struck);
				assert_int_equal(err.event, 5108);
				assert_non_null(strstr(err.text, "Input/output error"));
				failed++;
			}
			badmail_close(b);
		}
		assert_true(failed >= 2);
	}
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		TEST(a_drop_file_is_synced_then_named_then_its_folder_synced),
		TEST(the_bdp_of_badmail_is_named_last),
		TEST(a_maildir_file_is_synced_then_named_then_its_directories_synced),
		TEST(a_large_batch_is_synced_by_its_filesystem),
		TEST(a_batch_of_drop_that_cannot_sync_defers_all_of_it),
		TEST(a_batch_of_badmail_that_cannot_sync_defers_all_of_it),
		TEST(a_batch_of_maildir_that_cannot_sync_defers_all_of_it),
		TEST(a_maildir_that_cannot_make_room_fails_its_batch),
		TEST(a_failed_sync_stays_failed_until_it_was_told),
		TEST(no_recipient_of_badmail_is_forgotten_for_a_failed_open),
		TEST(a_folder_whose_name_was_not_synced_is_made_again),
		TEST(what_fails_in_cleaning_has_the_event_of_a_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
