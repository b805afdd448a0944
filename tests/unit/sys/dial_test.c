/* dial against streams: both ends of sys' connections, plain and TLS. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certs.h"
#include "check.h"
#include "echo.h"
#include "postern/clock.h"
#include "postern/dial.h"
#include "postern/file.h"
#include "postern/loop.h"
#include "postern/stream.h"
#include "postern/thread.h"

static char dir[] = "/tmp/postern-dial-XXXXXX";
static struct cert *ca, *good, *wrong, *old, *stranger;

static const char *
at(const char *name)
{
	static char path[8][300];
	static size_t turn;
	char *p = path[turn++ % 8];

	(void)snprintf(p, 300, "%s/%s", dir, name);
	return p;
}

static int
prepare(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	ca = cert_make("Test Authority", NULL, NULL, -1, 30);
	good = cert_make("pop", "DNS:localhost,DNS:pop.isp.test,IP:127.0.0.1", ca, -1,
			30);
	wrong = cert_make("other", "DNS:mail.other.test", ca, -1, 30);
	old = cert_make("old", "DNS:localhost", ca, -30, -10);
	stranger = cert_make("localhost", "DNS:localhost", NULL, -1, 30);
	cert_write(ca, at("ca"));
	cert_write(good, at("good"));
	cert_write(wrong, at("wrong"));
	cert_write(old, at("old"));
	cert_write(stranger, at("stranger"));
	return 0;
}

static int
clean(void **state)
{
	char line[400];

	(void)state;
	(void)snprintf(line, sizeof(line), "rm -rf %s", dir);
	cert_free(ca);
	cert_free(good);
	cert_free(wrong);
	cert_free(old);
	cert_free(stranger);
	return system(line);
}

static struct dial *
call(uint16_t port, struct tls *tls)
{
	struct dial_to to = {
		.host = "127.0.0.1", .port = port, .tls = tls, .idle_ms = 3000
	};
	struct err err = { 0 };
	enum dial_end why = DIAL_OK;
	struct dial *d = dial_open(&to, &why, &err);

	assert_string_equal(err.text, "");
	assert_non_null(d);
	return d;
}

static void
expect(struct dial *d, const char *want)
{
	char got[200];
	size_t n = 0, all = strlen(want);

	while (n < all) {
		ssize_t some = dial_read(d, got + n, all - n);
		if (some < 0)
			fail_msg("%s while waiting for %s", dial_error(d), want);
		n += (size_t)some;
	}
	assert_memory_equal(got, want, all);
}

static void
expect_big(struct dial *d)
{
	static char piece[100000];
	size_t n = 0;

	while (n < 3000000) {
		ssize_t some = dial_read(d, piece, sizeof(piece));
		if (some < 0)
			fail_msg("%s after %zu", dial_error(d), n);
		n += (size_t)some;
		assert_int_equal(piece[some - 1], 'b');
	}
	assert_int_equal(n, 3000000);
}

static void
talk(struct dial *d)
{
	static char text[20000];
	const struct span parts[] = { SPAN("one\n"), SPAN(""), SPAN("two\n"),
		SPAN("thr") };

	for (const char *p = "byte at a time\n"; *p; p++)
		assert_int_equal(dial_write(d, p, 1), 1);
	expect(d, "byte at a time\n");
	assert_true(dial_send(d, parts, 4));
	assert_true(dial_send(d, &SPAN("ee\n"), 1));
	expect(d, "one\ntwo\nthree\n");
	assert_int_equal(dial_read_now(d, text, 1), 0);
	assert_true(dial_send(d, &SPAN("BIG\n"), 1));
	expect_big(d);
	assert_true(dial_send(d, &SPAN("after\n"), 1));
	expect(d, "after\n");
	assert_true(dial_send(d, &SPAN("LATER\nx\ny\n"), 1));
	expect(d, "x\ny\n");

	/* Far more than the kernel takes, while the other side echoes. */
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\n';
	for (int i = 0; i < 20; i++) {
		assert_true(dial_send(d, &(struct span){ text, sizeof(text) }, 1));
		for (size_t n = 0; n < sizeof(text);) {
			char back[5000];
			ssize_t some = dial_read(d, back, sizeof(back));
			assert_true(some > 0);
			n += (size_t)some;
		}
	}
	assert_true(dial_send(d, &SPAN("QUIT\nnever seen\n"), 1));
	expect(d, "bye\n");
	assert_int_equal(dial_read(d, text, 1), -1);
	assert_int_equal(dial_why(d), DIAL_EOF);
	assert_int_equal(dial_read(d, text, 1), -1);
}

static void
await_closed(const struct echo *e, int want)
{
	for (int i = 0; i < 500 && (echo_last_end(e) != want || echo_open(e) > 0); i++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(echo_last_end(e), want);
	assert_int_equal(echo_open(e), 0);
}

static void
test_plain_and_unix(void **state)
{
	struct echo *e = echo_start("127.0.0.1:0", NULL, false);
	struct dial *d = call(echo_port(e), NULL);

	(void)state;
	assert_false(dial_is_tls(d));
	talk(d);
	dial_close(d);
	await_closed(e, STREAM_FLUSHED);
	echo_stop(e);

	char path[300];
	(void)snprintf(path, sizeof(path), "%s/sock", dir);
	e = echo_start(path, NULL, false);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	struct dial_to to = { .unix_path = path };
	enum dial_end why;
	d = dial_open(&to, &why, NULL);
	assert_non_null(d);
	talk(d);
	dial_close(d);
	echo_stop(e);

	/* The file is still there and nobody listens: it is taken over. */
	struct err err = { 0 };
	assert_null(dial_open(&to, &why, &err));
	assert_int_equal(why, DIAL_REFUSED);
	assert_non_null(strstr(err.text, path));
	int fd = listen_open(path, &err);
	assert_true(fd >= 0);
	assert_int_equal(listen_open(path, &err), -1);
	(void)close(fd);
}

static struct tls *
client(const char *ca_file, const char *pin, bool verify)
{
	struct tls_policy policy = { .verify = verify, .ca_file = ca_file, .pin = pin };
	struct err err = { 0 };
	struct tls *t = tls_client_new(&policy, &err);

	assert_string_equal(err.text, "");
	return t;
}

static struct tls *
server(const char *name)
{
	char pem[300], key[300];
	struct err err = { 0 };

	(void)snprintf(pem, sizeof(pem), "%s/%s.pem", dir, name);
	(void)snprintf(key, sizeof(key), "%s/%s.key", dir, name);
	struct tls *t = tls_server_new(pem, key, &err);
	assert_string_equal(err.text, "");
	return t;
}

static void
test_tls_from_the_first_byte(void **state)
{
	struct tls *ours = client(at("ca.pem"), NULL, true), *theirs = server("good");
	struct echo *e = echo_start("127.0.0.1:0", theirs, true);
	struct tls_facts facts;

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct dial *d = call(echo_port(e), ours);

		talk(d);
		assert_true(dial_tls_facts(d, &facts));
		assert_string_equal(facts.version, "TLSv1.3");
		assert_true(facts.verified);
		assert_int_equal(facts.resumed, i > 0);
		dial_close(d);
	}
	await_closed(e, STREAM_FLUSHED);
	int days = tls_server_days_left(theirs);
	assert_true(days == 29 || days == 30);
	echo_stop(e);
	tls_free(ours);
	tls_free(theirs);
}

static void
test_starttls_in_place(void **state)
{
	struct tls *ours = client(at("ca.pem"), NULL, true), *theirs = server("good");
	struct echo *e = echo_start("127.0.0.1:0", theirs, false);
	struct dial *d = call(echo_port(e), NULL);
	struct err err = { 0 };

	(void)state;
	assert_true(dial_send(d, &SPAN("hello\nSTLS\n"), 1));
	expect(d, "hello\n+OK\n");
	assert_true(dial_starttls(d, ours, "pop.isp.test", &err));
	talk(d);
	dial_close(d);

	/* The wrong name after the same step. */
	d = call(echo_port(e), NULL);
	assert_true(dial_send(d, &SPAN("STLS\n"), 1));
	expect(d, "+OK\n");
	assert_false(dial_starttls(d, ours, "evil.test", &err));
	assert_int_equal(dial_why(d), DIAL_CERTIFICATE);
	assert_non_null(strstr(
			err.text, "the certificate is for localhost, pop.isp.test"));
	dial_close(d);

	/* Plain text behind the command is never answered inside TLS. */
	d = call(echo_port(e), NULL);
	assert_true(dial_send(d, &SPAN("STLS\nRSET\n"), 1));
	expect(d, "+OK\n");
	assert_false(dial_starttls(d, ours, "localhost", &err));
	dial_close(d);
	await_closed(e, STREAM_INJECTED);
	echo_stop(e);
	tls_free(ours);
	tls_free(theirs);
}

/* One certificate against one policy, by name. "" is good. */
static void
judge(const char *name, struct tls *ours, const char *host, enum dial_end want,
		const char *words)
{
	struct tls *theirs = server(name);
	struct echo *e = echo_start("127.0.0.1:0", theirs, true);
	struct dial_to to = { .host = host, .port = echo_port(e), .tls = ours };
	struct err err = { 0 };
	enum dial_end why = DIAL_OK;
	struct dial *d = dial_open(&to, &why, &err);

	assert_int_equal(d == NULL, want != DIAL_OK);
	assert_int_equal(why, want);
	if (!strstr(err.text, words))
		fail_msg("want: %s, got: %s", words, err.text);
	dial_close(d);
	echo_stop(e);
	tls_free(theirs);
	tls_free(ours);
}

static void
test_who_is_trusted(void **state)
{
	char pin[64], other[64], two[140];

	(void)state;
	cert_pin(stranger, pin);
	cert_pin(good, other);
	(void)snprintf(two, sizeof(two), "%s;%s", other, pin);
	judge("good", client(at("ca.pem"), NULL, true), "localhost", DIAL_OK, "");
	judge("good", client(at("ca.pem"), NULL, true), "127.0.0.1", DIAL_OK, "");
	judge("wrong", client(at("ca.pem"), NULL, true), "localhost", DIAL_CERTIFICATE,
			"the certificate is for mail.other.test, not for localhost");
	judge("wrong", client(at("ca.pem"), NULL, true), "127.0.0.1", DIAL_CERTIFICATE,
			"not for 127.0.0.1");
	judge("old", client(at("ca.pem"), NULL, true), "localhost", DIAL_CERTIFICATE,
			"has expired on 20");
	judge("good", client(at("stranger.pem"), NULL, true), "localhost",
			DIAL_CERTIFICATE,
			"unable to get local issuer certificate (the certificate of "
			"localhost, pop.isp.test, 127.0.0.1, issued by Test Authority)");
	judge("stranger", client(at("ca.pem"), NULL, true), "localhost",
			DIAL_CERTIFICATE, "self-signed certificate");
	judge("stranger", client(NULL, NULL, true), "localhost", DIAL_CERTIFICATE,
			"self-signed certificate");
	judge("stranger", client(at("stranger.pem"), NULL, true), "localhost", DIAL_OK,
			"");
	judge("old", client(NULL, NULL, false), "localhost", DIAL_OK, "");
	judge("stranger", client(NULL, pin, true), "127.0.0.1", DIAL_OK, "");
	judge("stranger", client(NULL, two, true), "127.0.0.1", DIAL_OK, "");
	judge("stranger", client(NULL, other, true), "localhost", DIAL_PIN,
			"is not the pinned one");
	judge("good", client(at("ca.pem"), pin, true), "localhost", DIAL_PIN,
			"is not the pinned one");
	judge("good", client(at("ca.pem"), other, true), "localhost", DIAL_OK, "");
	assert_true(tls_pin_valid(span_of(two)));
	assert_false(tls_pin_valid(SPAN("sha256//AAAA")));
	assert_false(tls_pin_valid(SPAN("")));
}

static void
test_every_wait_ends(void **state)
{
	struct echo *e = echo_start("127.0.0.1:0", NULL, false);
	struct dial *d = call(echo_port(e), NULL);
	char c;

	(void)state;
	dial_set_idle(d, 100);
	int64_t began = clock_mono_ms();
	assert_int_equal(dial_read(d, &c, 1), -1);
	assert_int_equal(dial_why(d), DIAL_IDLE);
	assert_in_range(clock_mono_ms() - began, 90, 1000);
	dial_close(d);

	d = call(echo_port(e), NULL);
	dial_set_deadline(d, clock_mono_ms() + 100);
	began = clock_mono_ms();
	assert_int_equal(dial_read(d, &c, 1), -1);
	assert_int_equal(dial_why(d), DIAL_DEADLINE);
	assert_in_range(clock_mono_ms() - began, 90, 1000);
	dial_close(d);

	/* A peer that never reads. */
	static char much[1 << 20];
	d = call(echo_port(e), NULL);
	dial_set_idle(d, 100);
	assert_true(dial_send(d, &SPAN("LATER\n"), 1));
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	struct dial *stuck = dial_from_fd(pair[0], 100, NULL);
	assert_false(dial_send(stuck, &(struct span){ much, sizeof(much) }, 1));
	assert_int_equal(dial_why(stuck), DIAL_IDLE);
	(void)close(pair[1]);
	dial_close(stuck);
	dial_close(d);
	echo_stop(e);
}

static void
slow_reader(void *arg)
{
	unsigned char piece[8000];
	size_t n = 0;

	for (ssize_t got; (got = recv(*(int *)arg, piece, sizeof(piece), 0)) > 0;)
		for (ssize_t i = 0; i < got; i++)
			if (piece[i] != (unsigned char)(n++ % 251))
				abort();
	if (n != 3 * 700001)
		abort();
}

static void
test_long_parts_arrive_whole(void **state)
{
	static unsigned char all[3 * 700001];
	struct span parts[3];
	int pair[2];

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)(i % 251);
	for (size_t i = 0; i < 3; i++)
		parts[i] = (struct span){ (const char *)all + i * 700001, 700001 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_true(fd_nonblock(pair[0]));
	struct thread *t = thread_start("reader", 0, slow_reader, &pair[1], NULL);
	struct dial *d = dial_from_fd(pair[0], 3000, NULL);
	assert_true(dial_send(d, parts, 3));
	assert_int_equal(dial_bytes_out(d), sizeof(all));
	dial_close(d);
	thread_join(t);
	(void)close(pair[1]);
}

static void
cancel_later(void *arg)
{
	(void)poll(NULL, 0, 100);
	dial_cancel_now(arg);
}

static void
test_cancel_from_another_thread(void **state)
{
	struct echo *e = echo_start("127.0.0.1:0", NULL, false);
	struct dial_cancel *c = dial_cancel_new(NULL);
	struct dial_to to = { .host = "127.0.0.1", .port = echo_port(e), .cancel = c };
	enum dial_end why;
	struct dial *d = dial_open(&to, &why, NULL);
	char one;

	(void)state;
	assert_non_null(d);
	struct thread *t = thread_start("later", 0, cancel_later, c, NULL);
	int64_t began = clock_mono_ms();
	assert_int_equal(dial_read(d, &one, 1), -1);
	assert_int_equal(dial_why(d), DIAL_CANCELLED);
	assert_in_range(clock_mono_ms() - began, 50, 2000);
	thread_join(t);
	dial_close(d);
	assert_true(dial_cancelled(c));
	d = dial_open(&to, &why, NULL);
	if (d) {
		assert_int_equal(dial_read(d, &one, 1), -1);
		dial_close(d);
	}
	dial_cancel_reset(c);
	d = dial_open(&to, &why, NULL);
	assert_non_null(d);
	dial_close(d);
	dial_cancel_free(c);
	echo_stop(e);
}

static void
test_high_descriptors_and_dead_peers(void **state)
{
	struct rlimit lim;
	int pair[2];
	char c;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	lim.rlim_cur = lim.rlim_max < 4096 ? lim.rlim_max : 4096;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	int high = fcntl(pair[0], F_DUPFD_CLOEXEC, 1500);
	if (high < 0) {
		print_message("fewer than 1500 descriptors here: not tried\n");
		high = dup(pair[0]);
	}
	(void)close(pair[0]);
	struct dial *d = dial_from_fd(high, 1000, NULL);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_true(dial_wait(d, 1000));
	assert_int_equal(dial_read(d, &c, 1), 1);
	assert_false(dial_wait(d, 0));
	(void)close(pair[1]);
	/* No signal, only an end. */
	(void)signal(SIGPIPE, SIG_DFL);
	assert_int_equal(dial_write(d, "x", 1), -1);
	assert_int_equal(dial_why(d), DIAL_RESET);
	dial_close(d);
}

static void
test_where_nobody_is(void **state)
{
	struct dial_to to = { .host = "127.0.0.1", .port = 1 };
	enum dial_end why = DIAL_OK;
	struct err err = { 0 };

	(void)state;
	assert_null(dial_open(&to, &why, &err));
	assert_int_equal(why, DIAL_REFUSED);
	assert_string_equal(err.text,
			"cannot connect to 127.0.0.1 (127.0.0.1) port 1: "
			"Connection refused");
}

static void
test_tls_cut_is_no_end(void **state)
{
	struct tls *ours = client(NULL, NULL, false), *theirs = server("good");
	struct echo *e = echo_start("127.0.0.1:0", theirs, true);
	struct dial *d = call(echo_port(e), ours);
	char c;

	(void)state;
	/* The kernel ends both directions, nobody says goodbye. */
	assert_int_equal(shutdown(dial_fd(d), SHUT_RDWR), 0);
	assert_int_equal(dial_read(d, &c, 1), -1);
	assert_int_equal(dial_why(d), DIAL_RESET);
	dial_close(d);
	await_closed(e, STREAM_RESET);
	echo_stop(e);
	tls_free(ours);
	tls_free(theirs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_and_unix),
		cmocka_unit_test(test_tls_from_the_first_byte),
		cmocka_unit_test(test_starttls_in_place),
		cmocka_unit_test(test_who_is_trusted),
		cmocka_unit_test(test_every_wait_ends),
		cmocka_unit_test(test_long_parts_arrive_whole),
		cmocka_unit_test(test_cancel_from_another_thread),
		cmocka_unit_test(test_high_descriptors_and_dead_peers),
		cmocka_unit_test(test_where_nobody_is),
		cmocka_unit_test(test_tls_cut_is_no_end),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
