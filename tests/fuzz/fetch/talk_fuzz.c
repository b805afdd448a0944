/* The whole client against a server that the fuzzer plays: the answers are the input,
 * cut at octets of 1, and each is given when a line has come for it. The same answers
 * whole and in small pieces: what the client says and how it ends must be the same.
 * Logging on with every mechanism, and the fast way in. No relay is there, so it ends
 * with the first message at the latest. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../src/fetch/session.h"
#include "postern/clock.h"
#include "postern/file.h"
#include "postern/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 * 1024, SAID_MAX = 64 * 1024, IDLE_MS = 3000, STUCK_MS = 20 };

struct talk {
	int fd;
	struct span answers;
	size_t piece; /* octets at once; 0: whole */
	struct buf said;
	bool stuck;
};

struct outcome {
	struct buf said;
	struct err err;
	bool ok, stuck;
};

static void
give(struct talk *t, struct span answer)
{
	while (answer.n > 0) {
		struct span now = span_first(answer, t->piece ? t->piece : answer.n);

		if (send(t->fd, now.p, now.n, MSG_NOSIGNAL) != (ssize_t)now.n)
			return;
		answer = span_skip(answer, now.n);
	}
}

/* A client that closed before it read all makes one recv fail; what it said is there. */
static ssize_t
hear(int fd, char *p, size_t n)
{
	ssize_t got = recv(fd, p, n, 0);

	return got < 0 && errno == ECONNRESET ? recv(fd, p, n, 0) : got;
}

/* The greeting, then an answer for each line; then the end. */
static void *
serve(void *arg)
{
	struct talk *t = arg;
	static _Thread_local char in[64 * 1024];
	ssize_t n;

	give(t, span_until(&t->answers, '\1'));
	while (t->answers.n > 0) {
		struct pollfd fds = { .fd = t->fd, .events = POLLIN };

		/* It waits for more of what is no answer: nothing to compare. */
		t->stuck = poll(&fds, 1, STUCK_MS) == 0;
		if (t->stuck || (n = hear(t->fd, in, sizeof(in))) <= 0)
			break;
		(void)!buf_add(&t->said, (struct span){ in, (size_t)n });
		for (ssize_t i = 0; i < n && t->answers.n > 0; i++)
			if (in[i] == '\n')
				give(t, span_until(&t->answers, '\1'));
	}
	(void)shutdown(t->fd, SHUT_WR);
	while ((n = hear(t->fd, in, sizeof(in))) > 0)
		(void)!buf_add(&t->said, (struct span){ in, (size_t)n });
	return NULL;
}

static void
set_account(struct conf_account *a, uint8_t flags)
{
	static const enum conf_auth auths[] = { CONF_AUTH_AUTO, CONF_AUTH_USER,
		CONF_AUTH_PLAIN, CONF_AUTH_LOGIN, CONF_AUTH_CRAM_MD5, CONF_AUTH_APOP,
		CONF_AUTH_XOAUTH2, CONF_AUTH_OAUTHBEARER };
	static const char *const domains[] = { "contoso.test" };

	*a = (struct conf_account){
		.name = "contoso",
		.server = { .name = "pop.isp.test", .port = 110 },
		.tls = CONF_TLS_NONE,
		.user = "user",
		.password = { .kind = SECRET_VALUE, .text = "secret-password" },
		.token = { .kind = SECRET_VALUE, .text = "secret-token" },
		.auth = auths[flags & 7],
		.keep_s = flags & 8 ? CONF_KEEP_FOREVER : 0,
		.domains = { domains, 1 },
		.trusted_hops = 1,
		.max_size = 100000,
	};
}

static void
talk(const uint8_t *data, size_t size, size_t piece, struct outcome *out)
{
	struct conf_account account;
	struct conf conf = { .server = { .hostname = "gw.test",
					     .state = "/nonexistent" } };
	struct talk t = { .answers = { (const char *)data + 1, size - 1 },
		.piece = piece,
		.said = BUF_MAX(SAID_MAX) };
	struct fetch_setup setup;
	struct fetch_memo memo;
	struct err err;
	atomic_bool ending = false;
	bool more = false;
	pthread_t server;
	int fds[2];

	set_account(&account, data[0]);
	conf.accounts = (struct conf_accounts){ &account, 1 };
	/* Pieces stay pieces. */
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	MUST(fd_nonblock(fds[0]));
	t.fd = fds[1];
	MUST(pthread_create(&server, NULL, serve, &t) == 0);
	fetch_setup_init(&setup, &conf, conf.server.state);
	fetch_memo_init(&memo, setup.seed);

	struct fetch_poll poll = {
		.setup = &setup,
		.account = &account,
		.name = SPAN("contoso"),
		.ending = &ending,
		.memo = &memo,
		.connected = dial_from_fd(fds[0], IDLE_MS, NULL),
		.says = BUF_MAX(512),
	};
	ring_init(&poll.ring, clock_mono_ms());
	MUST(routing_init(&poll.routing, &conf, &account, NULL, NULL, &err));
	out->ok = pop_session_run(&poll, &more);
	out->err = poll.result.error;
	MUST(out->ok || out->err.event != 0);
	MUST(poll.result.collected == 0 && poll.result.deleted == 0);
	MUST(pthread_join(server, NULL) == 0);
	out->said = t.said;
	out->stuck = t.stuck;

	/* Nothing secret is noted, whatever the server says. */
	struct buf noted = BUF_MAX(64 * 1024);
	MUST(ring_print(&poll.ring, &noted));
	MUST(!memmem(buf_span(&noted).p, noted.n, "secret-", 7) ||
			memmem(data, size, "secret-", 7));
	buf_done(&noted);
	ring_done(&poll.ring);
	buf_done(&poll.says);
	(void)close(fds[1]);
	routing_done(&poll.routing);
	fetch_memo_done(&memo);
	fetch_setup_done(&setup);
}

/* Bytes that nobody asked for are seen at once or later, as they happen to come. */
static bool
of_timing(const struct outcome *o)
{
	return o->stuck || strstr(o->err.text, "before it is asked") ||
			strstr(o->err.text, "in clear");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = { 0 }, split = { 0 };

	if (size < 2 || size > INPUT_MAX)
		return 0;
	talk(data, size, 0, &whole);
	talk(data, size, 1 + (data[0] >> 4), &split);
	if (!of_timing(&whole) && !of_timing(&split)) {
		MUST(whole.ok == split.ok && whole.err.event == split.err.event);
		MUST(span_eq(buf_span(&whole.said), buf_span(&split.said)));
	}
	buf_done(&whole.said);
	buf_done(&split.said);
	return 0;
}
