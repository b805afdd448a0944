/* Streams where the loop is the test's own: connecting, ends, limits. */
#include "postern/stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "postern/clock.h"
#include "postern/loop.h"

struct side {
	struct stream *s;
	char got[1000];
	size_t n, take; /* take: use at most so many bytes of a call */
	int calls, opened, drained, ended, closed;
	enum stream_end why;
	char words[300];
	bool free_in_bytes, pause_in_bytes, own_end;
};

static struct loop *loop;

/* ---- an event that cannot be added ---- */

struct event;
struct timeval;
int __real_event_add(struct event *ev, const struct timeval *tv);
int __wrap_event_add(struct event *ev, const struct timeval *tv);

static int refused; /* the so-manieth call from now fails; 0: none */

int
__wrap_event_add(struct event *ev, const struct timeval *tv)
{
	if (refused > 0 && --refused == 0)
		return -1;
	return __real_event_add(ev, tv);
}

static void
on_opened(void *host)
{
	((struct side *)host)->opened++;
}

static size_t
on_bytes(void *host, struct span in)
{
	struct side *me = host;
	size_t n = me->take && me->take < in.n ? me->take : in.n;

	me->calls++;
	if (me->free_in_bytes) {
		stream_free(me->s);
		me->s = NULL;
		return 0;
	}
	if (me->pause_in_bytes)
		stream_pause(me->s);
	if (me->n + n < sizeof(me->got))
		memcpy(me->got + me->n, in.p, n);
	me->n += n;
	return n;
}

static void
on_drained(void *host)
{
	((struct side *)host)->drained++;
}

static void
on_ended(void *host)
{
	struct side *me = host;

	me->ended++;
	assert_true(stream_write(me->s, SPAN("last words")));
	stream_close_when_flushed(me->s);
}

static void
on_closed(void *host, enum stream_end why, const char *words)
{
	struct side *me = host;

	me->closed++;
	me->why = why;
	(void)snprintf(me->words, sizeof(me->words), "%s", words);
	stream_free(me->s);
	me->s = NULL;
}

static const struct stream_calls calls = { on_opened, on_bytes, on_drained, NULL,
	on_closed };
static const struct stream_calls with_end = { on_opened, on_bytes, on_drained, on_ended,
	on_closed };

static void
rounds(const int *until, int want)
{
	int64_t end = clock_mono_ms() + 3000;

	while (*until < want && clock_mono_ms() < end)
		(void)loop_round(loop, 50);
	assert_int_equal(*until, want);
}

static void
some_rounds(void)
{
	for (int i = 0; i < 5; i++)
		(void)loop_round(loop, 10);
}

static int
make(void **state)
{
	(void)state;
	loop = loop_new(NULL);
	return loop ? 0 : -1;
}

static int
drop(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

static void
pair(int fd[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
					 0, fd),
			0);
}

static void
test_unused_bytes_come_again(void **state)
{
	struct side me = { .take = 3, .pause_in_bytes = true };
	int fd[2];

	(void)state;
	pair(fd);
	me.s = stream_new(loop, fd[0], &calls, &me);
	assert_int_equal(write(fd[1], "abcdefgh", 8), 8);
	rounds(&me.calls, 1);
	some_rounds();
	assert_int_equal(me.calls, 1);
	stream_resume(me.s);
	assert_int_equal(me.calls, 1);
	rounds(&me.calls, 2);
	me.pause_in_bytes = false;
	stream_resume(me.s);
	rounds(&me.calls, 3);
	assert_int_equal(me.n, 8);
	assert_memory_equal(me.got, "abcdefgh", 8);
	assert_int_equal(stream_bytes_in(me.s), 8);

	/* A rest comes again only with more behind it. */
	me.take = 1;
	assert_int_equal(write(fd[1], "xy", 2), 2);
	rounds(&me.calls, 4);
	some_rounds();
	assert_int_equal(me.calls, 4);
	me.take = 0;
	assert_int_equal(write(fd[1], "z", 1), 1);
	rounds(&me.calls, 5);
	assert_memory_equal(me.got + 8, "xyz", 3);
	stream_free(me.s);
	(void)close(fd[1]);
}

static void
test_hosts_may_free_at_any_time(void **state)
{
	struct side me = { .free_in_bytes = true };
	int fd[2];

	(void)state;
	pair(fd);
	me.s = stream_new(loop, fd[0], &calls, &me);
	assert_true(stream_write(me.s, SPAN("x")));
	assert_int_equal(write(fd[1], "a", 1), 1);
	rounds(&me.calls, 1);
	some_rounds();
	assert_null(me.s);
	assert_int_equal(me.closed, 0);
	(void)close(fd[1]);
}

static void
test_half_close_and_last_words(void **state)
{
	struct side me = { 0 };
	char got[100];
	int fd[2];

	(void)state;
	pair(fd);
	me.s = stream_new(loop, fd[0], &with_end, &me);
	assert_int_equal(write(fd[1], "q", 1), 1);
	assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
	rounds(&me.closed, 1);
	assert_int_equal(me.n, 1);
	assert_int_equal(me.ended, 1);
	assert_int_equal(me.why, STREAM_FLUSHED);
	assert_int_equal(read(fd[1], got, sizeof(got)), 10);
	assert_int_equal(read(fd[1], got, sizeof(got)), 0);
	(void)close(fd[1]);

	/* Without the callback what was written still goes out. */
	me = (struct side){ 0 };
	pair(fd);
	me.s = stream_new(loop, fd[0], &calls, &me);
	assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
	assert_true(stream_write(me.s, SPAN("bye")));
	rounds(&me.closed, 1);
	assert_int_equal(me.why, STREAM_EOF);
	assert_int_equal(read(fd[1], got, sizeof(got)), 3);
	(void)close(fd[1]);

	/* A server that says 421 and hangs up is heard, though we wrote more. */
	me = (struct side){ 0 };
	pair(fd);
	me.s = stream_new(loop, fd[0], &calls, &me);
	assert_int_equal(write(fd[1], "421 no\r\n", 8), 8);
	(void)close(fd[1]);
	static char much[50000];
	assert_true(stream_write(me.s, (struct span){ much, sizeof(much) }));
	rounds(&me.closed, 1);
	assert_int_equal(me.n, 8);
	assert_int_equal(me.why, STREAM_RESET);
}

static void
test_output_has_a_ceiling(void **state)
{
	static char much[2 * 1024 * 1024];
	struct side me = { 0 };
	int fd[2];

	(void)state;
	pair(fd);
	me.s = stream_new(loop, fd[0], &calls, &me);
	assert_false(stream_write(me.s, (struct span){ much, sizeof(much) }));
	assert_true(stream_write(me.s, (struct span){ much, 1024 * 1024 }));
	assert_false(stream_write(me.s, (struct span){ much, 1024 * 1024 }));
	assert_true(stream_pending(me.s) > 0);
	size_t n = 0;
	while (me.drained == 0) {
		ssize_t got = read(fd[1], much, sizeof(much));
		n += got > 0 ? (size_t)got : 0;
		(void)loop_round(loop, 10);
	}
	ssize_t got = read(fd[1], much, sizeof(much));
	n += got > 0 ? (size_t)got : 0;
	assert_int_equal(n, 1024 * 1024);
	assert_int_equal(stream_pending(me.s), 0);
	assert_int_equal(stream_bytes_out(me.s), n);
	stream_close_when_flushed(me.s);
	assert_false(stream_write(me.s, SPAN("x")));
	(void)close(fd[1]);
	rounds(&me.closed, 1);
}

static void
test_limits_of_time(void **state)
{
	struct side me = { 0 };
	int fd[2];
	int64_t began = clock_mono_ms();

	(void)state;
	pair(fd);
	me.s = stream_new(loop, fd[0], &calls, &me);
	stream_set_idle(me.s, 100);
	rounds(&me.closed, 1);
	assert_int_equal(me.why, STREAM_IDLE);
	assert_in_range(clock_mono_ms() - began, 95, 1000);
	(void)close(fd[1]);

	me = (struct side){ 0 };
	pair(fd);
	began = clock_mono_ms();
	me.s = stream_new(loop, fd[0], &calls, &me);
	stream_set_idle(me.s, 100);
	stream_set_deadline(me.s, 250);
	for (int i = 0; i < 30 && !me.closed; i++) {
		ssize_t put = write(fd[1], "x", 1);
		assert_int_equal(put, 1);
		(void)loop_round(loop, 20);
		(void)loop_round(loop, 20);
	}
	assert_int_equal(me.why, STREAM_DEADLINE);
	assert_in_range(clock_mono_ms() - began, 240, 1000);
	(void)close(fd[1]);

	/* Waiting for us is not idling. */
	me = (struct side){ 0 };
	pair(fd);
	me.s = stream_new(loop, fd[0], &calls, &me);
	stream_set_idle(me.s, 50);
	stream_pause(me.s);
	for (int i = 0; i < 10; i++)
		(void)loop_round(loop, 20);
	assert_int_equal(me.closed, 0);
	stream_resume(me.s);
	rounds(&me.closed, 1);
	assert_int_equal(me.why, STREAM_IDLE);
	(void)close(fd[1]);

	/* A peer that never reads. */
	static char much[1000000];
	me = (struct side){ 0 };
	pair(fd);
	me.s = stream_new(loop, fd[0], &calls, &me);
	stream_set_idle(me.s, 100);
	assert_true(stream_write(me.s, (struct span){ much, sizeof(much) }));
	stream_pause(me.s);
	rounds(&me.closed, 1);
	assert_int_equal(me.why, STREAM_IDLE);
	(void)close(fd[1]);
}

struct door {
	struct loop_listen *ll;
	int fds[200];
	int n, refused, last_error;
};

static void
on_accept(void *host, int fd, const struct loop_peer *peer)
{
	struct door *d = host;

	assert_true(peer->addr.family == NET_IP4 || peer->uid == getuid());
	d->fds[d->n++] = fd;
}

static void
on_refuse(void *host, int no)
{
	struct door *d = host;

	d->refused++;
	d->last_error = no;
}

static void
door_close(struct door *d)
{
	for (int i = 0; i < d->n; i++)
		(void)close(d->fds[i]);
	loop_listen_free(d->ll);
}

static void
test_first_address_that_answers(void **state)
{
	struct door door = { 0 };
	struct net_addr addrs[3], at;
	struct side me = { 0 };
	int fd = listen_open("127.0.0.1:0", NULL);

	(void)state;
	assert_true(listen_address(fd, &at));
	door.ll = loop_listen_new(loop, fd, on_accept, on_refuse, &door);
	assert_true(net_addr_parse(SPAN("127.0.0.1"), 1, &addrs[0]));
	assert_true(net_addr_unix(SPAN("/no/such/socket"), &addrs[1]));
	addrs[2] = at;
	me.s = stream_connect(loop, addrs, 3, 2000, &calls, &me);
	assert_true(stream_write(me.s, SPAN("early")));
	rounds(&me.opened, 1);
	assert_true(net_addr_same(stream_peer(me.s), &at));
	rounds(&me.drained, 1);
	stream_free(me.s);

	me = (struct side){ 0 };
	me.s = stream_connect(loop, addrs, 2, 2000, &calls, &me);
	rounds(&me.closed, 1);
	assert_int_equal(me.why, STREAM_REFUSED);
	assert_string_equal(me.words, "/no/such/socket: No such file or directory");

	me = (struct side){ 0 };
	me.s = stream_connect(loop, addrs, 1, 2000, &calls, &me);
	rounds(&me.closed, 1);
	assert_string_equal(me.words, "127.0.0.1 port 1: Connection refused");
	door_close(&door);

	/* One that never answers: the backlog of this listener is full. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	int listener = fd;
	assert_int_equal(listen(listener, 0), 0);
	assert_true(listen_address(listener, &at));
	assert_true(net_addr_parse(SPAN("127.0.0.1"), at.port, &at));
	struct side filler[4] = { 0 };
	for (int i = 0; i < 4; i++)
		filler[i].s = stream_connect(loop, &at, 1, 10000, &calls, &filler[i]);
	some_rounds();
	me = (struct side){ 0 };
	int64_t began = clock_mono_ms();
	me.s = stream_connect(loop, &at, 1, 200, &calls, &me);
	rounds(&me.closed, 1);
	assert_int_equal(me.why, STREAM_DEADLINE);
	assert_in_range(clock_mono_ms() - began, 190, 1500);
	for (int i = 0; i < 4; i++)
		stream_free(filler[i].s);
	(void)close(listener);
}

static void
test_no_descriptors_no_spin(void **state)
{
	struct door door = { 0 };
	struct net_addr at;
	struct rlimit before, few;
	int fd = listen_open("127.0.0.1:0", NULL), callers[3];

	(void)state;
	assert_true(listen_address(fd, &at));
	door.ll = loop_listen_new(loop, fd, on_accept, on_refuse, &door);
	for (int i = 0; i < 3; i++)
		callers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)loop_round(loop, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)callers[2] + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < 3; i++) {
		struct sockaddr_in in = { .sin_family = AF_INET,
			.sin_port = htons(at.port) };

		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		(void)connect(callers[i], (struct sockaddr *)&in, sizeof(in));
	}
	int64_t began = clock_mono_ms();
	int turns = 0;
	while (clock_mono_ms() - began < 350) {
		(void)loop_round(loop, 50);
		turns++;
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(door.last_error, 24); /* EMFILE */
	assert_in_range(door.refused, 1, 4);
	assert_true(turns < 40);
	/* The callers were told, not kept waiting. */
	char c;
	assert_int_equal(recv(callers[0], &c, 1, MSG_DONTWAIT), 0);
	for (int i = 0; i < 3; i++)
		(void)close(callers[i]);
	some_rounds();
	door_close(&door);
}

/* Connects, writes more than the kernel takes, reads after a pause; in a process of its own. */
static _Noreturn void
talk_with_a_refused_event(int n)
{
	const struct rlimit no_core = { 0, 0 };
	struct side near = { 0 }, far = { 0 };
	struct net_addr at;
	int fd = listen_open("127.0.0.1:0", NULL);
	static char much[512 * 1024];

	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)close(STDERR_FILENO);
	loop = loop_new(NULL);
	(void)alarm(20);
	if (fd < 0 || !listen_address(fd, &at))
		_exit(1);
	refused = n;
	near.s = stream_connect(loop, &at, 1, 60000, &calls, &near);
	while (near.opened == 0)
		(void)loop_round(loop, 10);
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
		_exit(1);
	near.s = stream_new(loop, ends[0], &calls, &near);
	far.s = stream_new(loop, ends[1], &calls, &far);
	stream_pause(far.s);
	if (!stream_write(near.s, (struct span){ much, sizeof(much) }))
		_exit(1);
	(void)loop_round(loop, 10);
	stream_resume(far.s);
	while (far.n < sizeof(much) || near.drained == 0)
		(void)loop_round(loop, 10);
	_exit(refused > 0 ? 2 : 0);
}

static void
test_an_event_that_cannot_be_added_is_no_silence(void **state)
{
	int aborted = 0, n = 0, status;

	(void)state;
	do {
		pid_t pid = fork();
		if (pid == 0)
			talk_with_a_refused_event(++n);
		n++;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFSIGNALED(status)) {
			assert_int_equal(WTERMSIG(status), SIGABRT); /* not SIGALRM */
			aborted++;
		}
	} while (!WIFEXITED(status) || WEXITSTATUS(status) == 0);
	assert_int_equal(WEXITSTATUS(status), 2); /* fewer calls than that */
	assert_true(aborted >= 5);
	assert_int_equal(aborted, n - 1);
}

static void
free_listener(void *host, int fd, const struct loop_peer *peer)
{
	struct door *d = host;

	(void)peer;
	(void)close(fd);
	d->n++;
	loop_listen_free(d->ll);
}

static void
test_listener_freed_from_its_callback(void **state)
{
	struct door door = { 0 };
	struct net_addr at;
	int fd = listen_open("*:0", NULL);
	struct side one = { 0 }, two = { 0 };

	(void)state;
	assert_true(listen_address(fd, &at));
	assert_true(net_addr_parse(SPAN("127.0.0.1"), at.port, &at));
	door.ll = loop_listen_new(loop, fd, free_listener, NULL, &door);
	one.s = stream_connect(loop, &at, 1, 2000, &calls, &one);
	two.s = stream_connect(loop, &at, 1, 2000, &calls, &two);
	rounds(&door.n, 1);
	rounds(&one.closed, 1);
	rounds(&two.closed, 1);
	assert_int_equal(listen_open("nonsense", NULL), -1);
	assert_int_equal(listen_open("127.0.0.1", NULL), -1);
	assert_int_equal(listen_open("no.such.host.test:25", NULL), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				test_unused_bytes_come_again, make, drop),
		cmocka_unit_test_setup_teardown(
				test_hosts_may_free_at_any_time, make, drop),
		cmocka_unit_test_setup_teardown(
				test_half_close_and_last_words, make, drop),
		cmocka_unit_test_setup_teardown(test_output_has_a_ceiling, make, drop),
		cmocka_unit_test_setup_teardown(test_limits_of_time, make, drop),
		cmocka_unit_test_setup_teardown(
				test_first_address_that_answers, make, drop),
		cmocka_unit_test_setup_teardown(
				test_no_descriptors_no_spin, make, drop),
		cmocka_unit_test_setup_teardown(
				test_listener_freed_from_its_callback, make, drop),
		cmocka_unit_test_setup_teardown(
				test_an_event_that_cannot_be_added_is_no_silence, make,
				drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
