/* Who is let in, and who is turned away with a word. The listeners are the test's. */
#include "at_socket.h"

static struct {
	void (*accepted)(void *host, int fd, const struct loop_peer *peer);
	void (*refused)(void *host, int no);
	void *host;
} listener[8];
static size_t listeners_n, listeners_freed;

struct loop_listen *__wrap_loop_listen_new(struct loop *l, int fd,
		void (*accepted)(void *host, int fd, const struct loop_peer *peer),
		void (*refused)(void *host, int no), void *host);
void __wrap_loop_listen_free(struct loop_listen *ll);

struct loop_listen *
__wrap_loop_listen_new(struct loop *l, int fd,
		void (*accepted)(void *host, int fd, const struct loop_peer *peer),
		void (*refused)(void *host, int no), void *host)
{
	(void)l, (void)fd;
	listener[listeners_n].accepted = accepted;
	listener[listeners_n].refused = refused;
	listener[listeners_n].host = host;
	return (struct loop_listen *)&listener[listeners_n++];
}

void
__wrap_loop_listen_free(struct loop_listen *ll)
{
	assert_non_null(ll);
	listeners_freed++;
}

/* Somebody connects; what he is told at once. */
static int
connects(struct gate *g, size_t to, const char *ip, uid_t uid)
{
	struct loop_peer peer = { .uid = uid };
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
					 0, fd),
			0);
	client.fd = fd[1];
	client.n = 0;
	client.closed = false;
	assert_true(net_addr_parse(span_of(ip), 25, &peer.addr));
	listener[to].accepted(listener[to].host, fd[0], &peer);
	turn(g);
	return fd[1];
}

static void
each_limit_is_told_and_no_other_client_suffers(void **state)
{
	struct gate *g = *state;
	struct err err = { 0 };
	const int fds[] = { 7, 8 };
	int open[4];

	char path[100];
	(void)snprintf(path, sizeof(path), "%s/run", g->dir);
	(void)mkdir(path, 0700);
	listeners_n = listeners_freed = 0;
	g->hub.once = true;
	g->hub.descriptors = 1000;
	g->hub.share.clients = 3;
	g->hub.share.kept = 10;
	g->conf->smtp.limits.connections_per_client = 2;
	g->hub.state = g->dir;
	struct inbound *i =
			inbound_new(&(struct inbound_options){ .hub = &g->hub }, &err);
	assert_non_null(i);
	assert_int_equal(listeners_n, 1); /* `once` serves its own alone */
	inbound_sockets(i, fds, 2);
	assert_int_equal(listeners_n, 3);

	/* Our own are no clients. */
	open[3] = connects(g, 0, "192.0.2.1", geteuid());
	told_client("220 ");
	assert_int_equal(inbound_internal(i), 1);
	open[0] = connects(g, 1, "192.0.2.1", 0);
	told_client("220 ");
	open[1] = connects(g, 1, "192.0.2.1", 0);
	told_client("220 ");
	(void)close(connects(g, 1, "192.0.2.1", 0));
	told_client("421 4.3.2 ");
	assert_true(client.closed);
	assert_int_equal(event(g, 7013, "192.0.2.1", "connections of one client",
					 "\"max\":2"),
			1);
	turn(g);
	open[2] = connects(g, 2, "192.0.2.2", 0);
	told_client("220 ");
	assert_int_equal(inbound_sessions(i), 4);
	(void)close(connects(g, 2, "192.0.2.3", 0));
	told_client("421 4.3.2 ");
	assert_int_equal(
			event(g, 7013, "192.0.2.3", "\"connections\"", "\"max\":3"), 1);

	/* Others are not let in as such. */
	(void)close(connects(g, 0, "192.0.2.1", geteuid() + 1));
	assert_int_equal(client.n, 0);
	assert_true(client.closed);

	/* No descriptors: a word and the door, told once until the next tick. */
	forget(g);
	g->hub.share.kept = g->hub.descriptors; /* all of them are for others */
	for (unsigned k = 0; k < 2; k++) {
		(void)close(connects(g, 1, "192.0.2.9", 0));
		told_client("421 4.3.2 gw.contoso.test Too many connections\r\n");
		assert_true(client.closed);
	}
	TOLD(1, "\"id\":7013,");
	listener[1].refused(i, 24);
	TOLD(1, "\"id\":7013,");
	inbound_tick(i);
	listener[1].refused(i, 24);
	TOLD(2, "\"id\":7013,");

	inbound_sockets(i, fds, 1);
	assert_int_equal(listeners_freed, 2);
	inbound_free(i);
	assert_int_equal(listeners_freed, 4);
	for (unsigned k = 0; k < 4; k++)
		(void)close(open[k]);
	client.fd = -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SESSION(each_limit_is_told_and_no_other_client_suffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
