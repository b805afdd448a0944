/* The folder thread of a whole relay: what becomes of each recipient of a message, where
 * others of it fail, and what Badmail says of those who were refused. */
#include "folders.h"

#include <semaphore.h>

#include "postern/badmail.h"

struct jobs;
struct local;
void __real_jobs_flush(struct jobs *j);
void __wrap_jobs_flush(struct jobs *j);
void __real_local_deliver(struct local *w, struct list *leases);
void __wrap_local_deliver(struct local *w, struct list *leases);
bool __real_mailbox_take_all(struct mailbox *m, struct list *out, int64_t wait_ms);
bool __wrap_mailbox_take_all(struct mailbox *m, struct list *out, int64_t wait_ms);

/* The threads begin when all that is due was handed over: then it is one batch. */
static bool in_one_batch;
static sem_t handed_over;
static bool some_handed; /* the loop thread's */
static _Thread_local bool began;

void
__wrap_local_deliver(struct local *w, struct list *leases)
{
	some_handed = true;
	__real_local_deliver(w, leases);
}

/* The look at all next hops ends with it. */
void
__wrap_jobs_flush(struct jobs *j)
{
	if (some_handed) {
		some_handed = false;
		assert_int_equal(sem_post(&handed_over), 0); /* for the folder thread */
		assert_int_equal(sem_post(&handed_over), 0); /* for that of Pickup */
	}
	__real_jobs_flush(j);
}

bool
__wrap_mailbox_take_all(struct mailbox *m, struct list *out, int64_t wait_ms)
{
	if (in_one_batch && wait_ms < 0 && !began)
		while (sem_wait(&handed_over) != 0)
			;
	began = true;
	return __real_mailbox_take_all(m, out, wait_ms);
}

/* What waits for later is tried at the next start. */
static void
due_again(struct bench *b)
{
	struct retiming job = { .job = { .work = STORE_RETIME },
		.latest_ms = clock_wall_ms() };
	struct list jobs;

	list_init(&jobs);
	list_add(&jobs, &job.job.link);
	store_run(b->store, &jobs);
	assert_int_equal(job.job.result, STORE_DONE);
}

static struct queue_message
shown(const struct bench *b, uint64_t id, struct arena *a)
{
	struct queue_story story;
	struct err err = { 0 };
	bool found = false;

	if (!queue_show(store_reader(b->store), id, a, &story, &found, &err) || !found)
		fail_msg("the message is not shown: %s", err.text);
	return story.message;
}

static struct badmail_item *
bad_item(const struct bench *b, uint64_t id)
{
	struct err err = { 0 };
	struct badmail *all = badmail_open(path_in(b, "Badmail"), 0, 0, &err);

	assert_non_null(all);
	struct badmail_item *item = badmail_get(all, id, &err);
	badmail_close(all);
	if (!item)
		fail_msg("%s", err.text);
	return item;
}

static const struct badmail_row *
bad_row(const struct badmail_item *item, const char *address)
{
	for (size_t i = 0; i < item->n_recipients; i++)
		if (strcmp(item->recipients[i].address, address) == 0)
			return &item->recipients[i];
	fail_msg("%s is not in Badmail", address);
	return NULL;
}

static bool
there(const struct bench *b, const char *name)
{
	return access(path_in(b, name), F_OK) == 0;
}

/* ---- each has it, once ---- */

static const char *const people[] = { "ann", "bob", "cid" };

enum { PEOPLE = 3, DROP, MAIL, BAD, HARMED, MESSAGES };

/* One for two people who get it by Drop; one for three with a Maildir and one whose name
 * has no place there; one refused for two reasons; one that is damaged on its way to
 * Badmail. */
static void
submit_all(struct bench *b, uint64_t id[MESSAGES])
{
	struct submission_recipient two[] = { to_drop, to_drop }, four[4],
				    bad[] = { to_badmail, to_badmail };
	char hop[200];

	two[1].address = SPAN("bob@contoso.test");
	id[DROP] = submit_to(b, two, 2);
	for (size_t i = 0; i < 4; i++)
		four[i] = to_maildir(b, hop);
	four[1].address = SPAN(".x@mail.test");
	four[2].address = SPAN("bob@mail.test");
	four[3].address = SPAN("cid@mail.test");
	id[MAIL] = submit_to(b, four, 4);
	bad[1].address = SPAN("cid@contoso.test");
	bad[1].reason = SPAN("unknown-user");
	id[BAD] = submit_to(b, bad, 2);
	submit_spooled(b, &to_badmail);
	id[HARMED] = b->harm[0];
}

/* The store calls nobody's mail delivered that is not where it should be. */
static void
what_is_settled_is_there(const struct bench *b, const uint64_t id[MESSAGES])
{
	struct arena a = ARENA_MAX(16 * 1024 * 1024);
	size_t delivered = 0, bad = 0;

	for (size_t k = DROP; k < MESSAGES; k++) {
		struct queue_message m = shown(b, id[k], &a);
		bool in_badmail = false;
		char name[40], folder[60];

		qid_print(m.id, name);
		for (size_t i = 0; i < m.n; i++) {
			const struct queue_recipient *to = &m.recipients[i];

			in_badmail |= to->state == QUEUE_BADMAIL;
			if (to->state != QUEUE_DELIVERED)
				continue;
			delivered++;
			(void)snprintf(folder, sizeof(folder), "mail/%.3s/new",
					to->address.p);
			assert_int_equal(count(b, k == DROP ? "Drop" : folder), 1);
		}
		bad += in_badmail;
		(void)snprintf(folder, sizeof(folder), "Badmail/%s.BDP", name);
		assert_true(!in_badmail || there(b, folder));
	}
	assert_int_equal(b->sum.delivered, delivered);
	assert_int_equal(b->sum.badmail, bad);
	arena_done(&a);
}

static void
each_has_it_once(const struct bench *b, const uint64_t id[MESSAGES])
{
	assert_int_equal(queued(b), 0);
	assert_int_equal(count(b, "Drop"), 1);
	for (size_t i = 0; i < PEOPLE; i++) {
		char folder[40];

		(void)snprintf(folder, sizeof(folder), "mail/%s/new", people[i]);
		assert_int_equal(count(b, folder), 1);
	}
	assert_int_equal(count(b, "mail"), PEOPLE);
	assert_int_equal(count(b, "Badmail"), 3 * 3);
	for (size_t k = MAIL; k < MESSAGES; k++) {
		struct badmail_item *item = bad_item(b, id[k]);

		assert_int_equal(item->n_recipients, k == BAD ? 2 : 1);
		badmail_item_free(item);
	}
}

enum { FAULT_CALLS = FAULT_ALL & ~FAULT_UNLINK };

/* The call that fails while the relay works, and those behind it. */
static struct {
	const char *folder;
	unsigned calls, n, times;
} fault = { .calls = FAULT_CALLS };

static void
fail_it(struct bench *b)
{
	faults_begin(path_in(b, fault.folder));
	faults_fail(fault.calls, fault.n, fault.times, EIO);
}

static size_t
descriptors(void)
{
	struct file_names names;
	AUTO(fd_done) int fd = dir_open(AT_FDCWD, "/proc/self/fd", NULL);

	assert_true(dir_names(fd, 100000, &names, NULL));
	size_t n = names.n;
	file_names_done(&names);
	return n;
}

/* Whichever call fails: who has nothing keeps his place in the queue, and at the next
 * attempt each has it. False: there is no such call. */
static bool
a_call_fails(struct bench *b, const char *folder, unsigned n, unsigned times)
{
	uint64_t id[MESSAGES];

	fault.folder = folder;
	fault.n = n;
	fault.times = times;
	empty_folders(b);
	b->harms = 0;
	submit_all(b, id);
	b->opened = fail_it;
	deliver(b);
	bool struck = faults_struck();
	what_is_settled_is_there(b, id);
	due_again(b);
	b->harms = 0;
	b->opened = NULL;
	deliver(b);
	each_has_it_once(b, id);
	return struck;
}

static void
whichever_call_fails_each_has_it_once(void **state)
{
	/* A file takes about fifteen calls; some of each are enough. */
	static const struct {
		const char *folder;
		unsigned step;
	} rows[] = { { "Drop", 1 }, { "mail", 4 }, { "Badmail", 4 }, { "spool", 1 } };
	struct bench *b = bench_new();

	(void)state;
	assert_false(a_call_fails(b, "Drop", 1000, 1));
	size_t open = descriptors();
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		unsigned n = 1;

		for (; a_call_fails(b, rows[i].folder, n, 1); n += rows[i].step)
			;
		print_message("%s: less than %u calls\n", rows[i].folder, n);
		assert_true(n > 1);
		for (unsigned from = 1; from < n - rows[i].step;
				from += 4 * rows[i].step) /* it stays broken */
			assert_true(a_call_fails(b, rows[i].folder, from, 0));
		assert_int_equal(descriptors(), open);
	}
	bench_free(b);
}

/* A message is never for all or nobody: who has no place bounces, the others have it. */
static void
who_has_no_place_in_a_maildir_bounces_alone(void **state)
{
	struct bench *b = bench_new();
	uint64_t id[MESSAGES];

	(void)state;
	submit_all(b, id);
	deliver(b);
	what_is_settled_is_there(b, id);
	each_has_it_once(b, id);
	assert_int_equal(b->sum.delivered, 5);
	assert_int_equal(b->sum.refused, 1);
	assert_int_equal(b->sum.deferred, 0);
	struct badmail_item *item = bad_item(b, id[MAIL]);
	const struct badmail_row *row = bad_row(item, ".x@mail.test");
	assert_string_equal(row->status, "5.1.3");
	assert_int_equal(row->attempts, 1);
	if (!strstr(row->reply, "5.1.3 ") || strlen(row->reply) < 12)
		fail_msg("\"%s\" does not say why", row->reply);
	badmail_item_free(item);
	assert_int_equal(told(b, "4031", ".x@mail.test"), 1);
	assert_int_equal(told(b, "2001", "\"host\":\"drop\""), 1);
	assert_int_equal(told(b, "2001", "\"delivered\":3,\"undeliverable\":1"), 1);
	assert_int_equal(told(b, "5107", NULL), 0);
	bench_free(b);
}

/* Two good messages for each folder, and one that is damaged for each but Badmail. A folder
 * that fails keeps its own two waiting, and is named once; all others have theirs. */
static void
a_folder_that_fails_holds_up_no_other_of_its_batch(void **state)
{
	static const struct {
		const char *below;
		unsigned drop, mail, bad; /* what waits */
	} rows[] = { { "Drop", 2, 0, 0 }, { "mail", 0, 2, 0 }, { "Badmail", 0, 0, 2 },
		{ ".", 2, 2, 2 } };

	(void)state;
	in_one_batch = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bench *b = bench_new();
		char hop[200];
		struct submission_recipient mail = to_maildir(b, hop);

		assert_int_equal(sem_init(&handed_over, 0, 0), 0);
		for (size_t k = 0; k < 2; k++) {
			submit_to(b, &to_drop, 1);
			submit_to(b, &mail, 1);
			submit_to(b, &to_badmail, 1);
		}
		submit_spooled(b, &to_drop);
		submit_spooled(b, &mail);
		fault.folder = rows[i].below;
		fault.calls = FAULT_RENAME;
		fault.n = 1;
		fault.times = 0;
		b->opened = fail_it;
		deliver(b);
		fault.calls = FAULT_CALLS;
		assert_int_equal(b->sum.deferred, rows[i].drop + rows[i].mail);
		assert_int_equal(b->sum.delivered, 4 - rows[i].drop - rows[i].mail);
		assert_int_equal(b->sum.refused, 2); /* those that are damaged */
		assert_int_equal(told(b, "5009", "its file"), 2);
		assert_int_equal(told(b, "4031", "is damaged (its file"), 2);
		assert_int_equal(told(b, "5107", "/Drop: mail could not be written: "),
				rows[i].drop / 2);
		assert_int_equal(told(b, "5107", "/mail/%u: mail could not be"),
				rows[i].mail / 2);
		assert_int_equal(told(b, "5107", "/Badmail: ") > 0, rows[i].bad / 2);
		assert_int_equal(told(b, "5107", "2 messages stay") >= 1, 1);
		assert_int_equal(told(b, "5107", "written: -."), 0);
		assert_int_equal(b->sum.badmail_failed > 0, rows[i].bad > 0);
		assert_int_equal(count(b, "Drop"), 2 - rows[i].drop);
		assert_int_equal(count(b, "Badmail"), rows[i].bad > 0 ? 0 : 3 * 4);
		bench_free(b);
	}
	in_one_batch = false;
}

/* What cannot be read is no fault of the folder's. */
static void
a_spool_that_cannot_be_read_is_no_folder(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	submit_spooled(b, &to_drop);
	b->harms = 0;
	fault.folder = "spool";
	fault.n = 1;
	fault.times = 0;
	b->opened = fail_it;
	deliver(b);
	assert_int_equal(b->sum.deferred, 1);
	assert_int_equal(told(b, "5107", NULL), 0);
	assert_int_equal(told(b, "5009", NULL), 0);
	b->opened = NULL;
	due_again(b);
	deliver(b);
	assert_int_equal(b->sum.delivered, 1);
	size_t open = descriptors();
	submit_spooled(b, &to_drop);
	b->harms = 0;
	deliver(b);
	assert_int_equal(b->sum.delivered, 1);
	assert_int_equal(descriptors(), open);
	bench_free(b);
}

/* ---- Badmail ---- */

static void
badmail_says_what_each_was_told(void **state)
{
	static const struct {
		const char *address;
		int code;
		const char *reply, *status, *told;
		const char *reason;
		enum badmail_reason means;
	} rows[] = {
		{ "a@x.test", 550, "5.1.1 no such user", "5.1.1",
				"550 5.1.1 no such user", "unknown-user",
				BADMAIL_UNKNOWN_USER },
		{ "b@x.test", 0, "5.4.7 too late", "5.4.7", "5.4.7 too late", "expired",
				BADMAIL_EXPIRED },
		{ "c@x.test", 554, "sorry for that", "", "554 sorry for that",
				"relay-denied", BADMAIL_RELAY_DENIED },
		{ "d@x.test", 554, "5.1 x", "", "554 5.1 x", "hop-count",
				BADMAIL_HOP_COUNT },
		{ "e@x.test", 0, "5.1234.1234", "5.1234.1234", "5.1234.1234", "loop",
				BADMAIL_LOOP },
		{ "f@x.test", 0, "5.1234.12345 x", "", "5.1234.12345 x", "general",
				BADMAIL_GENERAL },
		{ "g@x.test", 550, "", "", "550 ", "no-recipients",
				BADMAIL_NO_RECIPIENTS },
		{ "h@x.test", 0, "5.0.0", "5.0.0", "5.0.0", "of another version",
				BADMAIL_GENERAL },
	};
	enum { N = sizeof(rows) / sizeof(*rows) };
	struct bench *b = bench_new();
	struct submission_recipient to[N];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		to[i] = to_badmail;
		to[i].address = span_of(rows[i].address);
		to[i].code = rows[i].code;
		to[i].reply = span_of(rows[i].reply);
		to[i].reason = span_of(rows[i].reason);
	}
	uint64_t id = submit_to(b, to, N);
	deliver(b);
	assert_int_equal(count(b, "Badmail"), 3);
	struct badmail_item *item = bad_item(b, id);
	assert_int_equal(item->n_recipients, N);
	assert_string_equal(item->sender, "eve@nwtraders.test");
	assert_string_equal(item->message_id, "<one@nwtraders.test>");
	for (size_t i = 0; i < N; i++) {
		const struct badmail_row *row = bad_row(item, rows[i].address);

		assert_string_equal(row->status, rows[i].status);
		assert_string_equal(row->reply, rows[i].told);
		assert_int_equal(row->reason, rows[i].means);
		assert_int_equal(row->attempts, 0);
	}
	badmail_item_free(item);
	bench_free(b);
}

static void
a_message_for_nobody_has_no_recipients_in_badmail(void **state)
{
	struct bench *b = bench_new();
	struct submission_recipient nobody = to_badmail;

	(void)state;
	nobody.address = SPAN("");
	nobody.reason = SPAN("no-recipients");
	uint64_t id = submit_to(b, &nobody, 1);
	deliver(b);
	struct badmail_item *item = bad_item(b, id);
	assert_int_equal(item->n_recipients, 0);
	assert_int_equal(item->reason, BADMAIL_NO_RECIPIENTS);
	badmail_item_free(item);
	assert_int_equal(queued(b), 0);
	bench_free(b);
}

/* What is left of a damaged body is not taken for the message; said once, also where that
 * is what it was refused for. */
static void
badmail_says_that_only_a_part_is_left(void **state)
{
	struct bench *b = bench_new();
	struct submission_recipient to = to_badmail;

	(void)state;
	to.code = 550;
	to.reply = SPAN("5.1.1 no such user");
	submit_spooled(b, &to);
	submit_spooled(b, &to);
	to.code = 0;
	to.reply = SPAN("5.3.0 the stored body is damaged (its file was cut short)");
	submit_spooled(b, &to);
	deliver(b);
	for (size_t i = 0; i < 3; i++) {
		struct badmail_item *item = bad_item(b, b->harm[i]);
		const char *reply = bad_row(item, "bob@elsewhere.test")->reply;
		const char *left =
				strstr(reply, " (of the body this is what is left: ");

		if (i < 2)
			assert_int_equal(strncmp(reply, "550 5.1.1 no such user (of",
							 26),
					0);
		assert_int_equal(left != NULL, i < 2);
		assert_true(!left || strstr(left, ": its file "));
		if (i != 1)
			assert_in_range(item->size, 50000, 51000);
		badmail_item_free(item);
	}
	assert_int_equal(queued(b), 0);
	bench_free(b);
}

/* ---- what is too old ---- */

static const char *
old_item(const struct bench *b, uint64_t id, int64_t age_s, const char *ending)
{
	static char name[60];
	char qid[QID_SIZE];
	struct timespec then[2] = { { .tv_sec = clock_wall_ms() / 1000 - age_s } };

	qid_print(id, qid);
	(void)snprintf(name, sizeof(name), "Badmail/%s%s", qid, ending);
	then[1] = then[0];
	assert_int_equal(utimensat(AT_FDCWD, path_in(b, name), then, 0), 0);
	return name;
}

static void
badmail_is_kept_as_long_as_it_says(void **state)
{
	struct bench *b = bench_with("badmail: { keep: 2h }\n");

	(void)state;
	uint64_t old = submit_to(b, &to_badmail, 1),
		 young = submit_to(b, &to_badmail, 1);
	deliver(b);
	assert_int_equal(count(b, "Badmail"), 6);
	old_item(b, old, 3 * 3600, ".BDP");
	old_item(b, young, 3600, ".BDP");
	assert_true(file_write_atomic(AT_FDCWD, path_in(b, "evidence"), 0600,
			SPAN("no directory"), NULL));
	fault.folder = "Badmail";
	fault.n = 1;
	fault.times = 0;
	b->opened = fail_it;
	deliver(b);
	b->opened = NULL;
	assert_int_equal(count(b, "Badmail"), 6);
	assert_int_equal(told(b, "5108", "/Badmail"), 1);
	assert_int_equal(told(b, "5108", "evidence"), 1);
	assert_int_equal(unlink(path_in(b, "evidence")), 0);
	deliver(b);
	assert_int_equal(count(b, "Badmail"), 3);
	assert_true(there(b, old_item(b, young, 0, ".BDP")));
	assert_int_equal(told(b, "5108", NULL), 2);
	bench_free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whichever_call_fails_each_has_it_once),
		cmocka_unit_test(who_has_no_place_in_a_maildir_bounces_alone),
		cmocka_unit_test(a_folder_that_fails_holds_up_no_other_of_its_batch),
		cmocka_unit_test(a_spool_that_cannot_be_read_is_no_folder),
		cmocka_unit_test(badmail_says_what_each_was_told),
		cmocka_unit_test(a_message_for_nobody_has_no_recipients_in_badmail),
		cmocka_unit_test(badmail_says_that_only_a_part_is_left),
		cmocka_unit_test(badmail_is_kept_as_long_as_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
