/* Names, against a small server of our own that can misbehave. */
#include "postern/dns.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "postern/clock.h"
#include "postern/loop.h"
#include "postern/thread.h"

static int udp = -1;
static int tcp_later = -1; /* bound to the same port, and not listening at first */
static atomic_int tcp = -1;
static char server[64];
static const char *servers[] = { server, NULL };
static struct thread *thread;
static atomic_bool over;

enum { T_A = 1, T_AAAA = 28, NXDOMAIN = 3, SERVFAIL = 2 };

static size_t
add_record(unsigned char *p, int type, const unsigned char *ip)
{
	size_t n = type == T_A ? 4 : 16;
	const unsigned char head[] = { 0xc0, 12, 0, (unsigned char)type, 0, 1, 0, 0, 0,
		60, 0, (unsigned char)n };

	memcpy(p, head, sizeof(head));
	memcpy(p + sizeof(head), ip, n);
	return sizeof(head) + n;
}

/* The answer to the query in p, in place; 0: none. */
static size_t
answer(unsigned char *p, size_t n, bool by_tcp)
{
	static const unsigned char ip4[4] = { 192, 0, 2, 7 };
	static const unsigned char ip6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 9 };
	char name[300];
	size_t at = 12, out = 0;

	while (at < n && p[at] != 0 && out + p[at] + 1u < sizeof(name)) {
		memcpy(name + out, p + at + 1, p[at]);
		out += p[at];
		name[out++] = '.';
		at += p[at] + 1u;
	}
	name[out ? out - 1 : 0] = '\0';
	int type = p[at + 1] << 8 | p[at + 2];
	size_t end = at + 5;
	int code = 0, count = 0;
	bool cut = false;

	if (strncmp(name, "mute", 4) == 0 ||
			(strncmp(name, "slow6", 5) == 0 && type == T_AAAA))
		return 0;
	if (strncmp(name, "nx", 2) == 0)
		code = NXDOMAIN;
	else if (strncmp(name, "fail", 4) == 0)
		code = SERVFAIL;
	else if (strncmp(name, "half", 4) == 0 && type == T_A)
		code = SERVFAIL;
	else if (strncmp(name, "cut", 3) == 0 && !by_tcp)
		cut = true;
	bool has4 = strstr(name, "four") || strstr(name, "both") ||
			strstr(name, "slow6");
	bool has6 = strstr(name, "six") || strstr(name, "both");
	if (by_tcp && strncmp(name, "cutempty", 8) == 0)
		has4 = true;
	if (code == 0 && type == T_A && has4) {
		end += add_record(p + end, T_A, ip4);
		count++;
	}
	if (code == 0 && type == T_AAAA && has6) {
		end += add_record(p + end, T_AAAA, ip6);
		count++;
	}
	p[2] = (unsigned char)(0x84 | (cut ? 2 : 0) | (p[2] & 1));
	p[3] = (unsigned char)(0x80 | code);
	p[7] = (unsigned char)count;
	p[9] = p[11] = 0;
	return end;
}

static void
serve(void *arg)
{
	(void)arg;
	while (!atomic_load(&over)) {
		struct pollfd fds[2] = { { .fd = udp, .events = POLLIN },
			{ .fd = tcp, .events = POLLIN } };
		unsigned char p[2000];
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);

		if (poll(fds, 2, 50) <= 0)
			continue;
		if (fds[0].revents) {
			ssize_t n = recvfrom(
					udp, p, 512, 0, (struct sockaddr *)&from, &len);
			size_t back = n > 12 ? answer(p, (size_t)n, false) : 0;
			if (back)
				(void)sendto(udp, p, back, 0, (struct sockaddr *)&from,
						len);
		}
		if (fds[1].revents) {
			int fd = accept(tcp, NULL, NULL);
			/* One query per connection is enough here. */
			ssize_t n = recv(fd, p, 514, 0);
			if (n == 2)
				n += recv(fd, p + 2, 512, 0);
			size_t back = n > 14 ? answer(p + 2, (size_t)n - 2, true) : 0;
			if (back) {
				p[0] = (unsigned char)(back >> 8);
				p[1] = (unsigned char)back;
				(void)send(fd, p, back + 2, MSG_NOSIGNAL);
				(void)poll(NULL, 0, 20);
			}
			(void)close(fd);
		}
	}
}

/* One port that is free for both: that of one may be taken for the other. */
static bool
bind_both(struct sockaddr_in *in)
{
	socklen_t n = sizeof(*in);

	*in = (struct sockaddr_in){ .sin_family = AF_INET };
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(udp, (struct sockaddr *)in, sizeof(*in)), 0);
	assert_int_equal(getsockname(udp, (struct sockaddr *)in, &n), 0);
	tcp_later = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(tcp_later, (struct sockaddr *)in, sizeof(*in)) == 0)
		return true;
	(void)close(udp);
	(void)close(tcp_later);
	return false;
}

static int
prepare(void **state)
{
	struct sockaddr_in in;

	(void)state;
	for (int tries = 0; !bind_both(&in); tries++)
		assert_true(tries < 50);
	(void)snprintf(server, sizeof(server), "127.0.0.1:%u", ntohs(in.sin_port));
	thread = thread_start("dns", 0, serve, NULL, NULL);
	return thread ? 0 : -1;
}

static void
open_tcp(void)
{
	assert_int_equal(listen(tcp_later, 5), 0);
	tcp = tcp_later;
}

static int
clean(void **state)
{
	(void)state;
	atomic_store(&over, true);
	thread_join(thread);
	(void)close(udp);
	(void)close(tcp_later);
	return 0;
}

static enum dns_answer
ask(const char *name, char first[NET_TEXT_SIZE], size_t *n)
{
	struct dns_setup setup = { .servers = servers, .timeout_ms = 200 };
	struct net_addr addrs[DNS_ADDRS_MAX];
	struct err err = { 0 };

	*n = DNS_ADDRS_MAX;
	const struct dns_question q = { name, 25, clock_mono_ms() + 5000, -1 };
	enum dns_answer a = dns_wait(&setup, &q, addrs, n, &err);
	first[0] = '\0';
	if (a == DNS_FOUND) {
		net_addr_text(&addrs[0], first);
		assert_int_equal(addrs[0].port, 25);
	} else {
		assert_string_not_equal(err.text, "");
	}
	return a;
}

static void
test_answers(void **state)
{
	static const struct {
		const char *name;
		enum dns_answer want;
		const char *first;
		size_t n;
	} rows[] = {
		{ "four.test", DNS_FOUND, "192.0.2.7", 1 },
		{ "six.test", DNS_FOUND, "2001:db8::9", 1 },
		{ "both.test", DNS_FOUND, "2001:db8::9", 2 },
		{ "192.0.2.1", DNS_FOUND, "192.0.2.1", 1 },
		{ "[2001:db8::1]", DNS_FOUND, "2001:db8::1", 1 },
		{ "x.localhost", DNS_FOUND, "::1", 2 },
		{ "nx.test", DNS_NO_NAME, "", 0 },
		{ "nodata.test", DNS_NO_DATA, "", 0 },
		{ "fail.test", DNS_TEMPORARY, "", 0 },
		{ "half.test", DNS_TEMPORARY, "", 0 },
		{ "mute.test", DNS_TEMPORARY, "", 0 },
		/* Cut, and TCP is refused: what there was counts, nothing is no "no". */
		{ "cutfour.test", DNS_FOUND, "192.0.2.7", 1 },
		{ "cutempty.test", DNS_TEMPORARY, "", 0 },
		{ "slow6.test", DNS_FOUND, "192.0.2.7", 1 },
	};
	char first[NET_TEXT_SIZE];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum dns_answer a = ask(rows[i].name, first, &n);

		if (a != rows[i].want || strcmp(first, rows[i].first) != 0 ||
				n != rows[i].n)
			fail_msg("%s: %d %s %zu", rows[i].name, (int)a, first, n);
	}
	open_tcp();
	assert_int_equal(ask("cutempty.test", first, &n), DNS_FOUND);
	assert_string_equal(first, "192.0.2.7");
}

static void
test_waiting_has_an_end(void **state)
{
	struct dns_setup setup = { .servers = servers, .timeout_ms = 5000 };
	struct net_addr addrs[2];
	size_t n = 2;
	int64_t began = clock_mono_ms();
	int bell = eventfd(1, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(dns_wait(&setup,
					 &(struct dns_question){ "mute.test", 25,
							 began + 200, -1 },
					 addrs, &n, NULL),
			DNS_TEMPORARY);
	assert_in_range(clock_mono_ms() - began, 190, 1500);
	/* One family found: the other gets a moment, not all its time. */
	began = clock_mono_ms();
	n = 2;
	assert_int_equal(dns_wait(&setup,
					 &(struct dns_question){ "slow6.test", 25,
							 began + 9000, -1 },
					 addrs, &n, NULL),
			DNS_FOUND);
	assert_in_range(clock_mono_ms() - began, 0, 2000);
	began = clock_mono_ms();
	n = 2;
	assert_int_equal(dns_wait(&setup,
					 &(struct dns_question){ "mute.test", 25,
							 began + 5000, bell },
					 addrs, &n, NULL),
			DNS_TEMPORARY);
	assert_in_range(clock_mono_ms() - began, 0, 1000);
	(void)close(bell);
}

struct asked {
	struct loop *loop;
	struct dns *dns;
	int answers;
	enum dns_answer last;
	size_t n;
	bool inside;
};

static void
answered(void *host, enum dns_answer a, const struct net_addr *addrs, size_t n,
		const char *words)
{
	struct asked *q = host;

	(void)addrs;
	assert_false(q->inside);
	assert_int_equal(words[0] == '\0', a == DNS_FOUND);
	q->answers++;
	q->last = a;
	q->n = n;
}

static void
run_until(struct asked *q, int answers)
{
	int64_t end = clock_mono_ms() + 5000;

	while (q->answers < answers && clock_mono_ms() < end)
		(void)loop_round(q->loop, 100);
	assert_int_equal(q->answers, answers);
}

static void
test_on_the_loop(void **state)
{
	struct dns_setup setup = { .servers = servers, .timeout_ms = 200 };
	struct asked q = { .loop = loop_new(NULL) };
	struct err err = { 0 };

	(void)state;
	q.dns = dns_new(q.loop, &setup, &err);
	assert_non_null(q.dns);
	q.inside = true;
	(void)dns_lookup(q.dns, "192.0.2.1", 25, answered, &q);
	q.inside = false;
	run_until(&q, 1);
	(void)dns_lookup(q.dns, "both.test", 25, answered, &q);
	run_until(&q, 2);
	assert_int_equal(q.last, DNS_FOUND);
	assert_int_equal(q.n, 2);
	(void)dns_lookup(q.dns, "nx.test", 25, answered, &q);
	run_until(&q, 3);
	assert_int_equal(q.last, DNS_NO_NAME);
	(void)dns_lookup(q.dns, "mute.test", 25, answered, &q);
	run_until(&q, 4);
	assert_int_equal(q.last, DNS_TEMPORARY);
	(void)dns_lookup(q.dns, "cutempty.test", 25, answered, &q);
	run_until(&q, 5);
	assert_int_equal(q.last, DNS_FOUND);
	/* Cancelled, early, and left open when all is freed. */
	dns_cancel(dns_lookup(q.dns, "mute.test", 25, answered, &q));
	dns_cancel(dns_lookup(q.dns, "192.0.2.1", 25, answered, &q));
	(void)dns_lookup(q.dns, "slow6.test", 25, answered, &q);
	run_until(&q, 6);
	(void)dns_lookup(q.dns, "mute2.test", 25, answered, &q);
	dns_free(q.dns);
	for (int i = 0; i < 5; i++)
		(void)loop_round(q.loop, 20);
	assert_int_equal(q.answers, 6);
	static const char *const wrong[] = { "no address", NULL };
	setup.servers = wrong;
	assert_null(dns_new(q.loop, &setup, &err));
	assert_non_null(strstr(err.text, "no address"));
	loop_free(q.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_waiting_has_an_end),
		cmocka_unit_test(test_on_the_loop),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
