/* A whole session with real libetpan against a server whose answers are written
 * beforehand, in packets: an octet of 1 ends each, so that the next one comes only
 * with the next read. No relay is there: it ends with the first message, or before. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../src/fetch/session.h"
#include "postern/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SCRIPT_MAX = 64 * 1024, PACKETS_MAX = 60 };

static const char *const domains[] = { "contoso.test" };

static struct conf_account account = {
	.name = "contoso",
	.server = { .name = "pop.isp.test", .port = 110 },
	.tls = CONF_TLS_NONE,
	.user = "user",
	.password = { .kind = SECRET_VALUE, .text = "secret" },
	.domains = { domains, 1 },
	.trusted_hops = 1,
	.max_size = 100000,
};

/* The server's end of the connection, with all it is going to say in it. */
static struct dial *
script(struct span says, int *peer)
{
	int fds[2];

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds) == 0);
	for (int n = 0; says.n > 0 && n < PACKETS_MAX; n++) {
		struct span packet = span_until(&says, '\1');
		if (packet.n > 0)
			MUST(send(fds[1], packet.p, packet.n, 0) == (ssize_t)packet.n);
	}
	MUST(shutdown(fds[1], SHUT_WR) == 0);
	*peer = fds[1];
	return dial_from_fd(fds[0], 1000, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conf conf = { .server = { .hostname = "gw.test",
						    .state = "/nonexistent" } };
	struct fetch_setup setup;
	struct fetch_memo memo;
	struct err err;
	atomic_bool ending = false;
	bool more = false;
	int peer;

	if (size < 1 || size > SCRIPT_MAX)
		return 0;
	conf.accounts = (struct conf_accounts){ &account, 1 };
	account.auth = data[0] & 1 ? CONF_AUTH_PLAIN : CONF_AUTH_AUTO;
	account.keep_s = data[0] & 2 ? CONF_KEEP_FOREVER : 0;
	fetch_setup_init(&setup, &conf, conf.server.state);
	fetch_memo_init(&memo, setup.seed);

	struct fetch_poll poll = {
		.setup = &setup,
		.account = &account,
		.name = SPAN("contoso"),
		.ending = &ending,
		.memo = &memo,
		.connected = script((struct span){ (const char *)data + 1, size - 1 },
				&peer),
	};
	MUST(routing_init(&poll.routing, &conf, &account, NULL, NULL, &err));
	bool ok = pop_session_run(&poll, &more);
	MUST(ok || poll.result.error.event != 0);
	MUST(poll.result.collected == 0 && poll.result.deleted == 0);
	(void)close(peer);
	routing_done(&poll.routing);
	fetch_memo_done(&memo);
	fetch_setup_done(&setup);
	return 0;
}
