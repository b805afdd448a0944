/* The folder thread of a whole relay, on disks that fail: who is deferred, who is not, and
 * what is said. */
#include "faults.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "postern/buf.h"
#include "postern/clock.h"
#include "postern/conf_load.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/policystore.h"
#include "postern/qid.h"
#include "postern/queue.h"
#include "postern/relay.h"
#include "postern/store.h"
#include "postern/thread.h"

enum { MANY = 300 };

struct bench {
	char dir[64];
	struct conf *conf;
	struct store *store;
	struct relay_summary sum;
	int hop; /* where mail for smtp.test goes: a listener */
	uint16_t hop_port;
	/* Spool files that are harmed when the relay has looked at all of them at its start,
	 * before it delivers. */
	uint64_t harm[8];
	size_t harms;
};

static const char *
path_in(const struct bench *b, const char *name)
{
	static char path[4][300];
	static size_t turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", b->dir, name);
	return p;
}

static void
open_store(struct bench *b)
{
	struct err err = { 0 };

	b->store = store_open(b->dir,
			&(struct store_options){
					.service = true, .now_ms = clock_wall_ms() },
			NULL, &err);
	if (!b->store)
		fail_msg("%s", err.text);
}

static int
listener_new(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* contoso.test goes to Drop, and under two other names to the same folder; mail.test to
 * Maildirs. */
static struct bench *
bench_new(void)
{
	static const char *const domains[] = { "contoso.test", "again.test",
		"link.test", "mail.test", "smtp.test" };
	struct bench *b = calloc(1, sizeof(*b));
	struct conf_faults faults;
	struct err err = { 0 };
	char text[1024];

	(void)snprintf(b->dir, sizeof(b->dir), "%s/postern-local-XXXXXX",
			access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(b->dir));
	b->hop = listener_new(&b->hop_port);
	(void)snprintf(text, sizeof(text),
			"server:\n  hostname: gw.contoso.test\n  state: %s\n"
			"smtp:\n  listen: [ \"127.0.0.1:0\" ]\n"
			"delivery:\n  routes:\n"
			"    again.test: { to: \"drop:%s/Drop/\" }\n"
			"    link.test: { to: \"drop:%s/link\" }\n"
			"    mail.test: { to: \"maildir:%s/mail/%%u\" }\n"
			"    smtp.test: { to: \"smtp:127.0.0.1:%u\" }\n",
			b->dir, b->dir, b->dir, b->dir, (unsigned)b->hop_port);
	conf_faults_init(&faults);
	b->conf = conf_parse(&(struct conf_source){ .text = span_of(text),
					     .path = path_in(b, "postern.yaml") },
			&faults);
	conf_faults_done(&faults);
	assert_non_null(b->conf);
	open_store(b);
	for (size_t i = 0; i < sizeof(domains) / sizeof(*domains); i++) {
		const struct policystore_domain d = { .name = span_of(domains[i]),
			.authoritative = true };

		assert_true(policystore_add_domain(
				b->store, SPAN("test"), 10, &d, NULL, &err));
	}
	assert_int_equal(mkdir(path_in(b, "Drop"), 0700), 0);
	assert_int_equal(mkdir(path_in(b, "mail"), 0700), 0);
	assert_int_equal(mkdir(path_in(b, "Badmail"), 0700), 0);
	assert_int_equal(symlink("Drop", path_in(b, "link")), 0);
	assert_true(log_open(&(struct log_options){ .level = 3,
					     .journal = path_in(b, "told") },
			&err));
	return b;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static void
bench_free(struct bench *b)
{
	log_close();
	(void)close(b->hop);
	store_close(b->store);
	conf_free(b->conf);
	(void)nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(b);
}

static void
submit(struct bench *b, struct submission *sub)
{
	struct list jobs;

	sub->job.work = STORE_SUBMIT;
	sub->source = SPAN("test");
	sub->sender = SPAN("eve@nwtraders.test");
	sub->message_id = SPAN("<one@nwtraders.test>");
	sub->arrived_ms = clock_wall_ms();
	sub->top = SPAN("Received: by gw\r\n");
	list_init(&jobs);
	list_add(&jobs, &sub->job.link);
	store_run(b->store, &jobs);
	if (sub->job.result != STORE_DONE)
		fail_msg("%s", sub->job.err.text);
}

/* One message for each; refused: for Badmail. */
static void
submit_to(struct bench *b, const struct submission_recipient *to, size_t n)
{
	struct submission sub = { .id = store_new_id(b->store, clock_wall_ms()),
		.body = SPAN("Subject: x\r\n\r\nbody\r\n"),
		.spool_fd = -1,
		.recipients = to,
		.n = n };

	submit(b, &sub);
}

/* Every other one is cut, the others are gone. */
static void
harm(const struct bench *b)
{
	for (size_t i = 0; i < b->harms; i++) {
		char id[QID_SIZE], name[40];

		qid_print(b->harm[i], id);
		(void)snprintf(name, sizeof(name), "spool/%s", id);
		if (i % 2 == 0)
			assert_int_equal(truncate(path_in(b, name), 50000), 0);
		else
			assert_int_equal(unlink(path_in(b, name)), 0);
	}
}

/* What is due is attempted once; then it ends. */
static void
deliver(struct bench *b)
{
	struct err err = { 0 };
	uint16_t port;
	int listener = listener_new(&port);

	store_close(b->store);
	b->store = NULL;
	assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
	struct relay *relay = relay_new(&(struct relay_options){ .conf = b->conf,
							.state = b->dir,
							.listeners = &listener,
							.listeners_n = 1,
							.once = true,
							.ready_fd = -1 },
			&err);
	if (!relay)
		fail_msg("%s", err.text);
	harm(b);
	relay_fetched(relay);
	if (!relay_run(relay, &err))
		fail_msg("%s", err.text);
	relay_summary(relay, &b->sum);
	relay_free(relay);
	open_store(b);
}

static size_t
count(const struct bench *b, const char *folder)
{
	struct file_names names;
	int fd = dir_open(AT_FDCWD, path_in(b, folder), NULL);

	assert_true(fd >= 0);
	assert_true(dir_names(fd, 100000, &names, NULL));
	size_t n = names.n;
	file_names_done(&names);
	(void)close(fd);
	return n;
}

static size_t
queued(const struct bench *b)
{
	struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct queue_message *m = NULL;
	struct err err = { 0 };
	size_t n = 0;

	assert_true(queue_list(store_reader(b->store),
			&(struct queue_filter){ .open = true, .limit = 2 * MANY }, &a,
			&m, &n, &err));
	arena_done(&a);
	return n;
}

/* How often the event was told, and whether with these words. */
static size_t
told(const struct bench *b, const char *event, const char *words)
{
	AUTO(buf_done) struct buf got = BUF_MAX(16 * 1024 * 1024);
	struct err err = { 0 };
	char key[40];
	size_t n = 0;

	if (!file_read(AT_FDCWD, path_in(b, "told"), 0, &got, &err))
		fail_msg("%s", err.text);
	(void)snprintf(key, sizeof(key), "%s,", event);
	for (const char *p = buf_cstr(&got); (p = strstr(p, key)); p++) {
		const char *end = strchr(p, '\n');

		n += !words || memmem(p, (size_t)(end - p), words, strlen(words));
	}
	return n;
}

static const struct submission_recipient to_drop = {
	.address = { SPAN_INIT("ann@contoso.test") },
	.hop = { SPAN_INIT("drop") },
	.state = QUEUE_QUEUED,
};

static struct submission_recipient
to_maildir(const struct bench *b, char hop[200])
{
	(void)snprintf(hop, 200, "maildir:%s/mail/%%u", b->dir);
	return (struct submission_recipient){ .address = SPAN("ann@mail.test"),
		.hop = span_of(hop),
		.state = QUEUE_QUEUED };
}

static const struct submission_recipient to_badmail = {
	.address = { SPAN_INIT("bob@elsewhere.test") },
	.hop = { SPAN_INIT("badmail") },
	.state = QUEUE_REFUSED,
	.reason = { SPAN_INIT("relay-denied") },
};

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

/* A message of 100,000 octets on the spool, which will be harmed. */
static void
submit_spooled(struct bench *b, const struct submission_recipient *to)
{
	static char text[100000];
	struct submission sub = {
		.id = store_new_id(b->store, clock_wall_ms()), .recipients = to, .n = 1
	};
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 50 == 48 ? '\r' : i % 50 == 49 ? '\n' : 'm';
	sub.spool_fd = spool_create(b->store, sub.id, &err);
	assert_true(spool_write(sub.spool_fd, (struct span){ text, sizeof(text) },
			&sub.spool_size, &err));
	submit(b, &sub);
	(void)close(sub.spool_fd);
	b->harm[b->harms++] = sub.id;
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
