/* The relay as a whole, in this process: clients on sockets, a state of its own, and what is
 * on disk afterwards. */
#ifndef TESTS_RELAY_BENCH_H
#define TESTS_RELAY_BENCH_H

#include "check.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/conf_load.h"
#include "postern/ctl.h"
#include "postern/file.h"
#include "postern/policystore.h"
#include "postern/queue.h"
#include "postern/relay.h"
#include "postern/store.h"
#include "postern/thread.h"

enum { WAIT_MS = 20 * 1000 };

struct bench {
	char dir[64];
	struct conf *conf;
	struct relay *relay;
	struct thread *thread;
	uint16_t port;
	int listener;
	bool ok;
	struct err err;
};

static inline void
apply_policies(struct bench *b)
{
	struct err err = { 0 };
	struct store *s = store_open(b->dir,
			&(struct store_options){ .now_ms = 1000000 }, NULL, &err);
	const char *domains[] = { "contoso.test", "fabrikam.test" };

	if (!s)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < 2; i++) {
		const struct policystore_domain d = { .name = span_of(domains[i]),
			.authoritative = true };
		assert_true(policystore_add_domain(s, SPAN("test"), 10, &d, NULL, &err));
	}
	store_close(s);
}

static inline struct conf *
read_conf(const char *dir, const char *more)
{
	char text[4096], path[128];
	struct conf_faults *faults = calloc(1, sizeof(*faults));

	(void)snprintf(text, sizeof(text),
			"server:\n  hostname: gw.contoso.test\n  state: %s\n"
			"smtp:\n  listen: [ \"127.0.0.1:0\" ]\n%s",
			dir, more);
	(void)snprintf(path, sizeof(path), "%s/postern.yaml", dir);
	conf_faults_init(faults);
	struct conf *c = conf_parse(
			&(struct conf_source){ .text = span_of(text), .path = path },
			faults);
	for (size_t i = 0; i < faults->n; i++)
		print_message("%u: %s\n", faults->list[i].mark.line,
				faults->list[i].text);
	conf_faults_done(faults);
	free(faults);
	assert_non_null(c);
	return c;
}

static inline void
run(void *arg)
{
	struct bench *b = arg;

	b->ok = relay_run(b->relay, &b->err);
}

static inline void
open_relay_as(struct bench *b, bool once, bool hold)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);

	b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(b->listener, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(b->listener, 64), 0);
	assert_int_equal(getsockname(b->listener, (struct sockaddr *)&at, &n), 0);
	b->port = ntohs(at.sin_port);
	b->relay = relay_new(&(struct relay_options){ .conf = b->conf,
					     .state = b->dir,
					     .listeners = &b->listener,
					     .listeners_n = 1,
					     .once = once,
					     .hold = hold,
					     .ready_fd = -1 },
			&b->err);
	if (!b->relay)
		fail_msg("%s", b->err.text);
	if (once)
		(void)close(b->listener);
	b->thread = thread_start("relay", 1024 * 1024, run, b, &b->err);
	assert_non_null(b->thread);
}

static inline void
open_relay(struct bench *b, bool once)
{
	open_relay_as(b, once, false);
}

static inline struct bench *
bench_make(const char *more)
{
	struct bench *b = calloc(1, sizeof(*b));

	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/postern-relay-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->conf = read_conf(b->dir, more);
	apply_policies(b);
	return b;
}

static inline struct bench *
bench_new(const char *more)
{
	struct bench *b = bench_make(more);

	open_relay(b, false);
	return b;
}

static inline void
stop(struct bench *b)
{
	relay_stop(b->relay);
	thread_join(b->thread);
	if (!b->ok)
		print_message("%s\n", b->err.text);
	assert_true(b->ok);
	relay_free(b->relay);
	b->relay = NULL;
}

static inline void
bench_free(struct bench *b)
{
	char command[128];

	if (b->relay)
		stop(b);
	conf_free(b->conf);
	(void)snprintf(command, sizeof(command), "rm -rf %s", b->dir);
	assert_int_equal(system(command), 0);
	free(b);
}

/* ---- a client ---- */

struct client {
	int fd;
	FILE *in;
	char line[4096];
};

static inline struct client
client_of(int fd)
{
	struct timeval limit = { .tv_sec = WAIT_MS / 1000 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)),
			0);
	return (struct client){ .fd = fd, .in = fdopen(dup(fd), "r") };
}

static inline struct client
connect_tcp(const struct bench *b)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(b->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return client_of(fd);
}

static inline struct client
connect_internal(const struct bench *b)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/run/relay.sock", b->dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return client_of(fd);
}

static inline void
client_close(struct client *c)
{
	(void)fclose(c->in);
	(void)close(c->fd);
}

static inline void
say(struct client *c, const char *text)
{
	assert_true(fd_write_all(c->fd, span_of(text)));
}

/* The last line of the next reply must begin so. */
static inline void
expect(struct client *c, const char *want)
{
	do {
		if (!fgets(c->line, sizeof(c->line), c->in))
			fail_msg("no reply where \"%s\" was expected", want);
	} while (strlen(c->line) > 3 && c->line[3] == '-');
	if (strncmp(c->line, want, strlen(want)) != 0)
		fail_msg("got \"%s\", want \"%s\"", c->line, want);
}

static inline void
greet(struct client *c)
{
	expect(c, "220 gw.contoso.test Postern ESMTP MAIL Service ready at ");
	say(c, "EHLO client.test\r\n");
	expect(c, "250 ");
}

static inline void
chunk(struct client *c, const char *body)
{
	char head[64];

	(void)snprintf(head, sizeof(head), "BDAT %zu LAST\r\n", strlen(body));
	say(c, head);
	say(c, body);
}

/* ---- what is on disk ---- */

static inline size_t
files_in(const struct bench *b, const char *folder, const char *ending, char *last,
		size_t size)
{
	char path[128];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/%.40s", b->dir, folder);
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.' ||
				!span_ends_nocase(span_of(e->d_name), span_of(ending)))
			continue;
		if (last)
			(void)snprintf(last, size, "%s/%s", path, e->d_name);
		n++;
	}
	if (d)
		(void)closedir(d);
	return n;
}

static inline void
wait_files(const struct bench *b, const char *folder, const char *ending, size_t n,
		char *last, size_t size)
{
	for (int i = 0; i < WAIT_MS / 20; i++) {
		if (files_in(b, folder, ending, last, size) == n)
			return;
		(void)poll(NULL, 0, 20);
	}
	fail_msg("%zu files of %s in %s, want %zu",
			files_in(b, folder, ending, NULL, 0), ending, folder, n);
}

static inline void
read_all(const char *path, struct buf *out)
{
	struct err err = { 0 };

	if (!file_read(AT_FDCWD, path, 0, out, &err))
		fail_msg("%s", err.text);
}

static inline bool
holds(const struct buf *b, const char *text)
{
	return memmem(b->p, b->n, text, strlen(text)) != NULL;
}

/* Messages with open recipients, once there are so many. */
static inline struct queue_message *
wait_open(const struct bench *b, size_t n, struct arena *a)
{
	struct err err = { 0 };
	size_t got = 0;

	for (int i = 0; i < WAIT_MS / 20; i++) {
		struct queue_message *m = NULL;
		struct arena look = ARENA_MAX(16 * 1024 * 1024);
		struct reader *r = reader_open(b->dir, &err);

		assert_non_null(r);
		assert_true(queue_list(r, &(struct queue_filter){ .open = true }, &look,
				&m, &got, &err));
		arena_done(&look);
		if (got == n)
			assert_true(queue_list(r,
					&(struct queue_filter){ .open = true }, a, &m,
					&got, &err));
		reader_close(r);
		if (got == n)
			return m;
		(void)poll(NULL, 0, 20);
	}
	fail_msg("%zu messages in the queue, want %zu", got, n);
	abort();
}

/* The one open message, once nothing of it is on its way to Badmail any more. */
static inline struct queue_message *
wait_badmail_settled(const struct bench *b, struct arena *a)
{
	for (int i = 0; i < WAIT_MS / 20; i++) {
		struct queue_message *m = wait_open(b, 1, a);
		bool waits = false;

		for (size_t k = 0; k < m->n; k++)
			waits |= m->recipients[k].state == QUEUE_BOUNCED;
		if (!waits)
			return m;
		(void)poll(NULL, 0, 20);
	}
	fail_msg("the bounced recipient was not settled");
	abort();
}

#endif
