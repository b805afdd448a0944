/* A relay run as `once` over what a test put into its queue, for what its folder thread makes
 * of that: Drop, Maildirs and Badmail below one directory, a disk that fails where it is told
 * to, and a listener where mail for a next hop goes. */
#ifndef TESTS_RELAY_FOLDERS_H
#define TESTS_RELAY_FOLDERS_H

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
	/* Called at that moment too: what it lets fail works again when the relay is gone. */
	void (*opened)(struct bench *b);
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

static inline void
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

static inline int
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

static inline void
make_folders(const struct bench *b)
{
	assert_int_equal(mkdir(path_in(b, "Drop"), 0700), 0);
	assert_int_equal(mkdir(path_in(b, "mail"), 0700), 0);
	assert_int_equal(mkdir(path_in(b, "Badmail"), 0700), 0);
}

/* contoso.test goes to Drop, and under two other names to the same folder; mail.test to
 * Maildirs. */
static inline struct bench *
bench_with(const char *more)
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
			"    smtp.test: { to: \"smtp:127.0.0.1:%u\" }\n%s",
			b->dir, b->dir, b->dir, b->dir, (unsigned)b->hop_port, more);
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
	make_folders(b);
	assert_int_equal(symlink("Drop", path_in(b, "link")), 0);
	assert_true(log_open(&(struct log_options){ .level = 3,
					     .journal = path_in(b, "told") },
			&err));
	return b;
}

static inline struct bench *
bench_new(void)
{
	return bench_with("");
}

static inline int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

/* As they were at first. */
static inline void
empty_folders(const struct bench *b)
{
	static const char *const all[] = { "Drop", "mail", "Badmail" };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		(void)nftw(path_in(b, all[i]), remove_one, 8, FTW_DEPTH | FTW_PHYS);
	make_folders(b);
}

static inline void
bench_free(struct bench *b)
{
	log_close();
	(void)close(b->hop);
	store_close(b->store);
	conf_free(b->conf);
	(void)nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(b);
}

static inline void
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
static inline uint64_t
submit_to(struct bench *b, const struct submission_recipient *to, size_t n)
{
	struct submission sub = { .id = store_new_id(b->store, clock_wall_ms()),
		.body = SPAN("Subject: x\r\n\r\nbody\r\n"),
		.spool_fd = -1,
		.recipients = to,
		.n = n };

	submit(b, &sub);
	return sub.id;
}

/* Every other one is cut, the others are gone. */
static inline void
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
static inline void
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
	if (b->opened)
		b->opened(b);
	relay_fetched(relay);
	if (!relay_run(relay, &err))
		fail_msg("%s", err.text);
	relay_summary(relay, &b->sum);
	relay_free(relay);
	(void)close(listener);
	if (b->opened)
		faults_end();
	open_store(b);
}

static inline size_t
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

static inline size_t
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
static inline size_t
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

static inline struct submission_recipient
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

/* A message of 100,000 octets on the spool, which will be harmed. */
static inline void
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

#endif
