/* One client at a socket, and a store whose answers are the test's. The group of tests includes
 * it once. */
#ifndef TESTS_INBOUND_AT_SOCKET_H
#define TESTS_INBOUND_AT_SOCKET_H

#include "told.h"

#include "door.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "session.h"

static int about_to_end; /* what the store was told so far */
static bool space_low;
static unsigned flushes;
void __wrap_store_about_to_end(struct store *s, int change);
bool __wrap_store_space_low(struct store *s);
void __wrap_jobs_flush(struct jobs *j);

void
__wrap_store_about_to_end(struct store *s, int change)
{
	(void)s;
	about_to_end += change;
}

bool
__wrap_store_space_low(struct store *s)
{
	(void)s;
	return space_low;
}

void
__wrap_jobs_flush(struct jobs *j)
{
	(void)j;
	flushes++;
}

/* The client's side. */
static struct {
	int fd, other; /* its own, and what the session has */
	char said[64 * 1024];
	size_t n;
	bool closed;
} client;

static inline int
begin(void **state)
{
	struct gate *g;

	(void)told_up(state);
	g = *state;
	door_open(g);
	space_low = false;
	g->hurries = g->looks = 0;
	client.n = 0;
	client.closed = false;
	return 0;
}

static inline int
end(void **state)
{
	LIST_EACH (link, &in.sessions)
		session_free(LIST_ITEM(link, struct session, link));
	assert_int_equal(in.n + in.n_internal, 0);
	assert_int_equal(about_to_end, 0);
	clients_done(&in.clients);
	(void)close(client.fd);
	return told_down(state);
}

/* What is ready is done, and what the client was told is read. */
static inline void
turn(struct gate *g)
{
	for (unsigned i = 0; i < 4; i++) {
		ssize_t n = 1;

		gate_turn(g, 0);
		while (n > 0) {
			n = read(client.fd, client.said + client.n,
					sizeof(client.said) - 1 - client.n);
			client.n += n > 0 ? (size_t)n : 0;
			client.closed |= n == 0;
		}
		client.said[client.n] = '\0';
	}
}

static inline struct session *
session(struct gate *g, const char *ip, bool internal)
{
	struct loop_peer peer = { .uid = geteuid() };
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
					 0, fd),
			0);
	client.fd = fd[1];
	client.other = fd[0];
	assert_true(net_addr_parse(span_of(ip), 25, &peer.addr));
	struct session *s = session_new(&in, fd[0], &peer, internal);
	assert_true(session_settle(s));
	turn(g);
	return s;
}

static inline void
say(struct gate *g, const char *words)
{
	client.n = 0;
	assert_int_equal(
			write(client.fd, words, strlen(words)), (ssize_t)strlen(words));
	turn(g);
}

static inline void
told_client(const char *words)
{
	if (!strstr(client.said, words))
		fail_msg("\"%s\" is not in \"%s\"", words, client.said);
}

/* It has read that it is over, and goes. */
static inline void
hangs_up(struct gate *g)
{
	assert_true(client.closed);
	assert_int_equal(shutdown(client.fd, SHUT_RDWR), 0);
	turn(g);
	assert_int_equal(in.n, 0);
}

/* The oldest message that went to the store comes back. */
static inline void
store_says(struct gate *g, enum store_result result)
{
	assert_false(list_empty(&handed));
	struct store_job *job = LIST_ITEM(handed.next, struct store_job, link);

	list_del(&job->link);
	job->result = result;
	client.n = 0;
	client.said[0] = '\0';
	g->hurries = 0;
	job->done(job->host, job);
	assert_int_equal(g->hurries, result == STORE_FULL); /* to be told soon */
	assert_true(client.n == 0); /* with those of its batch */
	inbound_flush(&in);
	turn(g);
}

static inline void
greet(struct gate *g)
{
	say(g, "EHLO pc.test\r\n");
	told_client("250");
}

static inline void
send_one(struct gate *g)
{
	say(g, "MAIL FROM:<a@x.test>\r\nRCPT TO:<u@contoso.test>\r\nDATA\r\n");
	told_client("\r\n354 ");
	assert_int_equal(about_to_end, 1);
	say(g, "Subject: s\r\n\r\nx\r\n.\r\n");
}

#define IN_SESSION(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

#endif
