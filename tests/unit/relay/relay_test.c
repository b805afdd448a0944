/* The relay as a whole, in this process: clients on sockets, a state of its own. */
#include "bench.h"

/* ---- tests ---- */

static void
accepts_and_drops_byte_for_byte(void **state)
{
	struct bench *b = bench_new("");
	struct client c = connect_tcp(b);
	char path[512];
	struct buf got = BUF_MAX(65536);

	(void)state;
	greet(&c);
	say(&c, "MAIL FROM:<max@nwtraders.test>\r\n");
	expect(&c, "250 2.1.0 max@nwtraders.test....Sender OK");
	say(&c, "RCPT TO:<eve@nwtraders.test>\r\n");
	expect(&c, "550 5.7.1 Unable to relay for eve@nwtraders.test\r\n");
	say(&c, "RCPT TO:<Ann@contoso.test>\r\nRCPT TO:<ann@CONTOSO.test>\r\n");
	expect(&c, "250 2.1.5 Ann@contoso.test");
	expect(&c, "250 2.1.5 ann@CONTOSO.test"); /* the same again: delivered once */
	say(&c, "DATA\r\n");
	expect(&c, "354 ");
	say(&c, "Message-ID: <one@x>\r\nSubject: s\r\n\r\n..dot\r\nend\r\n.\r\n");
	expect(&c, "250 2.6.0 <one@x> Queued mail for delivery, id ");
	wait_files(b, "Drop", ".eml", 1, path, sizeof(path));
	read_all(path, &got);
	assert_true(holds(&got,
			"X-Sender: max@nwtraders.test\r\nX-Receiver: Ann@contoso.test\r\nReceived: "
			"from client.test ([127.0.0.1])"));
	assert_true(holds(&got, "for <Ann@contoso.test>"));
	assert_true(holds(&got,
			"\r\nMessage-ID: <one@x>\r\nSubject: s\r\n\r\n.dot\r\nend\r\n"));
	assert_false(holds(&got, "eve@nwtraders.test"));
	say(&c, "QUIT\r\n");
	expect(&c, "221 2.0.0 gw.contoso.test Service closing");
	assert_int_equal(files_in(b, "Badmail", "", NULL, 0), 0);
	client_close(&c);
	buf_done(&got);
	bench_free(b);
}

static void
keeps_what_it_refuses_to_the_collector(void **state)
{
	struct bench *b = bench_new("");
	struct client c = connect_internal(b);
	char path[512];
	struct buf got = BUF_MAX(65536);

	(void)state;
	greet(&c);
	for (int again = 0; again < 2; again++) {
		/* dTE is "u1" */
		say(&c,
				"MAIL FROM:<max@nwtraders.test> BODY=BINARYMIME "
				"XCOLLECT=contoso/dTE/pop.isp.test/192.0.2.1/POP3\r\n");
		expect(&c, "250 2.1.0");
		say(&c, "XROUTE 2\r\n{}RCPT TO:<eve@x.test>\r\nRCPT TO:<ann@contoso.test>\r\n");
		expect(&c, "250 2.0.0");
		expect(&c, "550 5.7.1 Unable to relay for eve@x.test");
		expect(&c, "250 2.1.5 ann@contoso.test");
		chunk(&c, "A: b\r\n\r\nbare\nline\r\n");
		expect(&c, again ? "250 2.0.0 already have it" : "250 2.6.0 ");
	}
	wait_files(b, "Drop", ".eml", 1, path, sizeof(path));
	read_all(path, &got);
	assert_true(holds(&got, "Received: from pop.isp.test ([192.0.2.1])"));
	assert_true(holds(&got, "with POP3 (Postern) id "));
	assert_true(holds(&got, "\r\nA: b\r\n\r\nbare\nline\r\n"));
	wait_files(b, "Badmail", ".BDP", 1, path, sizeof(path));
	buf_clear(&got);
	read_all(path, &got);
	assert_true(holds(&got, "eve@x.test"));
	assert_true(holds(&got, "relay-denied"));
	assert_true(holds(&got, "550 5.7.1 Unable to relay for eve@x.test"));
	assert_false(holds(&got, "ann@contoso.test"));

	/* Nobody at all: durable in Badmail all the same. */
	say(&c,
			"MAIL FROM:<> BODY=BINARYMIME "
			"XCOLLECT=contoso/dTI/pop.isp.test/192.0.2.1/POP3S XBADMAIL=no-recipients\r\n");
	expect(&c, "250 2.1.0");
	chunk(&c, "A: b\r\n\r\nx\r\n");
	expect(&c, "250 2.6.0 ");
	wait_files(b, "Badmail", ".BDP", 2, NULL, 0);
	assert_int_equal(files_in(b, "Drop", ".eml", NULL, 0), 1);
	client_close(&c);
	buf_done(&got);
	bench_free(b);
}

static void
counts_hops(void **state)
{
	struct bench *b = bench_new("  max_hops: 5\n");
	struct client c = connect_tcp(b), f = connect_internal(b);
	const char *message =
			"Received: by a\r\nReceived: by b\r\nReceived: by c\r\n"
			"Received: by d\r\nReceived: by e\r\nReceived: by f\r\nSubject: s\r\n\r\nx\r\n";

	(void)state;
	greet(&c);
	say(&c, "MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@contoso.test>\r\n");
	expect(&c, "250 ");
	expect(&c, "250 ");
	chunk(&c, message);
	expect(&c, "554 5.4.6 ");
	say(&c, "MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@contoso.test>\r\n");
	expect(&c, "250 ");
	expect(&c, "250 ");
	chunk(&c, strchr(message, '\n') + 1);
	expect(&c, "250 2.6.0 ");
	wait_files(b, "Drop", ".eml", 1, NULL, 0);

	/* What was collected is never refused: nobody would hear of it. */
	greet(&f);
	say(&f,
			"MAIL FROM:<a@b.test> BODY=BINARYMIME "
			"XCOLLECT=contoso/dTE/pop.isp.test/192.0.2.1/POP3\r\n"
			"RCPT TO:<ann@contoso.test>\r\n");
	expect(&f, "250 ");
	expect(&f, "250 ");
	chunk(&f, message);
	expect(&f, "250 2.6.0 ");
	wait_files(b, "Badmail", ".BAD", 1, NULL, 0);
	assert_int_equal(files_in(b, "Drop", ".eml", NULL, 0), 1);
	client_close(&c);
	client_close(&f);
	bench_free(b);
}

static uint64_t
status_of(const struct bench *b, const char *key)
{
	char path[128], what[64];
	struct err err = { 0 };
	enum ctl_kind kind;
	struct span body, json;

	(void)snprintf(path, sizeof(path), "%s/run/relay.ctl", b->dir);
	struct ctl_client *c = ctl_connect(path, 1000, &err);
	assert_non_null(c);
	assert_true(ctl_send(c, CTL_STATUS, SPAN(""), &err));
	assert_true(ctl_receive(c, WAIT_MS, &kind, &body, &err));
	assert_int_equal(kind, CTL_OK);
	assert_true(ctl_get_span(&body, &json));
	(void)snprintf(what, sizeof(what), "\"%s\":", key);
	const char *at = memmem(json.p, json.n, what, strlen(what));
	assert_non_null(at);
	uint64_t n = strtoull(at + strlen(what), NULL, 10);
	ctl_client_free(c);
	return n;
}

static void
write_talk(void *arg)
{
	struct client *c = arg;

	for (int i = 0; i < 1000; i++) {
		char m[400];
		int n = snprintf(m, sizeof(m), "Message-ID: <m%d@x>\r\n\r\n%0200d\r\n",
				i, i);

		(void)dprintf(c->fd,
				"MAIL FROM:<a@b.test>\r\nRCPT TO:<u%d@fabrikam.test>\r\nBDAT %d LAST\r\n%s",
				i, n, m);
	}
}

/* Durable pipelined acceptance: replies in order, and few commits. */
static void
groups_commits_of_one_connection(void **state)
{
	/* A next hop that never greets, so that nothing is settled meanwhile. */
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int mute = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char more[200];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(bind(mute, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(mute, 64), 0);
	assert_int_equal(getsockname(mute, (struct sockaddr *)&at, &n), 0);
	(void)snprintf(more, sizeof(more),
			"delivery:\n  routes:\n    fabrikam.test: { to: \"smtp:127.0.0.1:%u\" }\n",
			ntohs(at.sin_port));
	struct bench *b = bench_new(more);
	struct client c = connect_tcp(b);
	uint64_t before = status_of(b, "groups");

	greet(&c);
	struct thread *writer = thread_start("writer", 0, write_talk, &c, &err);
	assert_non_null(writer);
	for (int i = 0; i < 1000; i++) {
		char want[64];

		expect(&c, "250 2.1.0");
		expect(&c, "250 2.1.5");
		(void)snprintf(want, sizeof(want), "250 2.6.0 <m%d@x> ", i);
		expect(&c, want);
	}
	thread_join(writer);
	uint64_t groups = status_of(b, "groups") - before;
	print_message("1000 messages in %u commits\n", (unsigned)groups);
	assert_in_range(groups, 1, 49);
	assert_int_equal(status_of(b, "submitted"), 1000);
	client_close(&c);
	bench_free(b);
	(void)close(mute);
}

static void
spools_large_bodies(void **state)
{
	struct bench *b = bench_new("");
	struct client c = connect_tcp(b);
	size_t size = 3 * 1024 * 1024;
	char *body = malloc(size + 3), head[64], path[512];
	struct buf got = BUF_MAX(4 * 1024 * 1024);

	(void)state;
	for (size_t i = 0; i < size; i++)
		body[i] = i % 80 == 78	       ? '\r'
				: i % 80 == 79 ? '\n'
					       : (char)('a' + i / 80 % 26);
	memcpy(body, "Subject: s\r\n\r\n", 14);
	memcpy(body + size, "\r\n", 3);
	greet(&c);
	say(&c, "MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@contoso.test>\r\n");
	expect(&c, "250 ");
	expect(&c, "250 ");
	(void)snprintf(head, sizeof(head), "BDAT %zu LAST\r\n", size + 2);
	say(&c, head);
	assert_true(fd_write_all(c.fd, (struct span){ body, size + 2 }));
	expect(&c, "250 2.6.0 ");
	wait_files(b, "Drop", ".eml", 1, path, sizeof(path));
	read_all(path, &got);
	assert_true(got.n > size + 2);
	assert_memory_equal(got.p + got.n - size - 2, body, size + 2);
	wait_files(b, "spool", "", 0, NULL, 0);

	/* A client that leaves in the middle leaves nothing behind. */
	say(&c, "MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@contoso.test>\r\n");
	expect(&c, "250 ");
	expect(&c, "250 ");
	say(&c, head);
	assert_true(fd_write_all(c.fd, (struct span){ body, size / 2 }));
	wait_files(b, "spool", "", 1, NULL, 0);
	client_close(&c);
	wait_files(b, "spool", "", 0, NULL, 0);
	assert_int_equal(files_in(b, "Drop", ".eml", NULL, 0), 1);
	free(body);
	buf_done(&got);
	bench_free(b);
}

/* ---- a next hop ---- */

struct hop {
	int listener;
	uint16_t port;
	struct thread *thread;
	unsigned takes; /* recipients of a transaction, then 452 */
	unsigned transactions, delivered, connections;
	int64_t last_ms,
			quiet_ms; /* the last connection, the longest time between two */
	bool hangs_up; /* at every MAIL */
};

static void
hop_session(struct hop *h, int fd)
{
	struct client c = client_of(fd);
	unsigned rcpt = 0;

	say(&c, "220 inside ESMTP\r\n");
	while (fgets(c.line, sizeof(c.line), c.in)) {
		struct span line = span_of(c.line);

		if (span_starts(line, SPAN("EHLO"))) {
			say(&c, "250-inside\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n");
		} else if (span_starts(line, SPAN("MAIL"))) {
			rcpt = 0;
			h->transactions++;
			if (h->hangs_up)
				break;
			say(&c, "250 2.1.0 ok\r\n");
		} else if (span_starts(line, SPAN("RCPT TO:<bad"))) {
			say(&c, "550 5.1.1 no such user\r\n");
		} else if (span_starts(line, SPAN("RCPT TO:<later"))) {
			say(&c, "450 4.2.1 try later\r\n");
		} else if (span_starts(line, SPAN("RCPT"))) {
			bool ok = rcpt < h->takes;

			rcpt += ok;
			say(&c, ok ? "250 2.1.5 ok\r\n" : "452 4.5.3 too many\r\n");
		} else if (span_starts(line, SPAN("DATA"))) {
			say(&c, "354 go\r\n");
			while (fgets(c.line, sizeof(c.line), c.in) &&
					strcmp(c.line, ".\r\n") != 0)
				;
			h->delivered += rcpt;
			say(&c, "250 2.0.0 stored\r\n");
		} else if (span_starts(line, SPAN("QUIT"))) {
			say(&c, "221 2.0.0 bye\r\n");
			break;
		} else {
			say(&c, "250 2.0.0 ok\r\n");
		}
	}
	client_close(&c);
}

static void
hop_run(void *arg)
{
	struct hop *h = arg;

	for (;;) {
		int fd = accept(h->listener, NULL, NULL);

		if (fd < 0)
			return;
		int64_t now = clock_mono_ms(),
			quiet = h->last_ms ? now - h->last_ms : 0;

		h->quiet_ms = quiet > h->quiet_ms ? quiet : h->quiet_ms;
		h->last_ms = now;
		h->connections++;
		hop_session(h, fd);
	}
}

static void
hop_open(struct hop *h, unsigned takes)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	struct err err = { 0 };

	*h = (struct hop){ .takes = takes };
	h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(h->listener, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(h->listener, 64), 0);
	assert_int_equal(getsockname(h->listener, (struct sockaddr *)&at, &n), 0);
	h->port = ntohs(at.sin_port);
	h->thread = thread_start("hop", 0, hop_run, h, &err);
	assert_non_null(h->thread);
}

static void
hop_close(struct hop *h)
{
	(void)shutdown(h->listener, SHUT_RDWR);
	thread_join(h->thread);
	(void)close(h->listener);
}

/* E12: 250 recipients at a hop that takes 40 at a time: all served in one go. */
static void
splits_recipients(void **state)
{
	struct hop h;
	char more[300];
	struct arena a = ARENA_MAX(64 * 1024 * 1024);

	(void)state;
	hop_open(&h, 40);
	(void)snprintf(more, sizeof(more),
			"delivery:\n  connections_per_host: 1\n  routes:\n"
			"    contoso.test: { to: \"smtp:127.0.0.1:%u\" }\n",
			h.port);
	struct bench *b = bench_new(more);
	struct client c = connect_tcp(b);

	greet(&c);
	say(&c, "MAIL FROM:<a@b.test>\r\n");
	expect(&c, "250 ");
	for (int i = 0; i < 250; i++) {
		(void)dprintf(c.fd, "RCPT TO:<u%d@contoso.test>\r\n", i);
		expect(&c, "250 ");
	}
	say(&c, "RCPT TO:<bad@contoso.test>\r\nRCPT TO:<later@contoso.test>\r\n");
	expect(&c, "250 ");
	expect(&c, "250 ");
	chunk(&c, "Subject: s\r\n\r\nx\r\n");
	expect(&c, "250 2.6.0 ");
	wait_files(b, "Badmail", ".BDP", 1, NULL, 0);
	struct queue_message *m = wait_badmail_settled(b, &a);
	size_t open = 0, bad = 0;
	for (size_t i = 0; i < m->n; i++) {
		struct queue_recipient *to = &m->recipients[i];

		if (to->state == QUEUE_QUEUED) {
			open++;
			assert_true(span_starts(to->address, SPAN("later@")));
			assert_int_equal(to->attempts, 1);
			assert_int_equal(to->code, 450);
			assert_true(span_eq(to->reply, SPAN("4.2.1 try later")));
		} else if (to->state == QUEUE_BADMAIL) {
			bad++;
			assert_true(span_eq(to->reason, SPAN("unknown-user")));
		} else {
			assert_int_equal(to->state, QUEUE_DELIVERED);
			assert_int_equal(to->attempts, 1);
		}
	}
	assert_int_equal(open, 1);
	assert_int_equal(bad, 1);
	client_close(&c);
	stop(b);
	hop_close(&h);
	assert_int_equal(h.delivered, 250);
	assert_in_range(h.transactions, 7, 12);
	arena_done(&a);
	bench_free(b);
}

static void
puts_off_a_dead_hop_and_serves_the_others(void **state)
{
	struct bench *b =
			bench_new("delivery:\n  routes:\n"
				  "    fabrikam.test: { to: \"smtp:127.0.0.1:1\" }\n");
	struct client c = connect_tcp(b);
	struct arena a = ARENA_MAX(64 * 1024 * 1024);

	(void)state;
	greet(&c);
	say(&c, "MAIL FROM:<a@b.test>\r\nRCPT TO:<x@fabrikam.test>\r\nRCPT TO:<y@contoso.test>\r\n");
	expect(&c, "250 ");
	expect(&c, "250 ");
	expect(&c, "250 ");
	chunk(&c, "Subject: s\r\n\r\nx\r\n");
	expect(&c, "250 2.6.0 ");
	wait_files(b, "Drop", ".eml", 1, NULL, 0);
	for (int i = 0;; i++) {
		struct queue_message *m = wait_open(b, 1, &a);
		const struct queue_recipient *to = &m->recipients[0];

		assert_int_equal(to->state, QUEUE_QUEUED);
		if (to->attempts == 1) {
			assert_true(span_starts(to->reply,
					SPAN("4.4.1 connect to 127.0.0.1:1")));
			assert_true(to->next_try_ms > m->arrived_ms + 14 * 60 * 1000);
			break;
		}
		assert_in_range(i, 0, 500);
		(void)poll(NULL, 0, 20);
	}
	client_close(&c);
	arena_done(&a);
	bench_free(b);
}

/* C11: one that greets and then always hangs up is not tried message by message. */
static void
leaves_a_hop_alone_that_always_hangs_up(void **state)
{
	struct hop h;
	char more[300];
	struct arena a = ARENA_MAX(16 * 1024 * 1024);

	(void)state;
	hop_open(&h, 10);
	h.hangs_up = true;
	(void)snprintf(more, sizeof(more),
			"delivery:\n  connections_per_host: 1\n  retry: [ 1s ]\n  routes:\n"
			"    contoso.test: { to: \"smtp:127.0.0.1:%u\" }\n",
			h.port);
	struct bench *b = bench_new(more);
	struct client c = connect_tcp(b);
	greet(&c);
	for (int i = 0; i < 30; i++) {
		say(&c, "MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@contoso.test>\r\n");
		expect(&c, "250 ");
		expect(&c, "250 ");
		chunk(&c, "Subject: s\r\n\r\nx\r\n");
		expect(&c, "250 2.6.0 ");
	}
	for (int i = 0; h.connections < 10 && i < WAIT_MS / 20; i++)
		(void)poll(NULL, 0, 20);
	h.hangs_up = false;
	(void)wait_open(b, 0, &a); /* 5 s after it was shut */
	client_close(&c);
	stop(b);
	hop_close(&h);
	assert_int_equal(h.delivered, 30);
	/* Nobody came in these 5 s, neither for the other 20 nor for those of 1 s. */
	assert_in_range(h.connections, 11, 13);
	assert_true(h.quiet_ms > 4000);
	arena_done(&a);
	bench_free(b);
}

/* `once`: ends by itself, with what was left from before done too. */
static void
once_ends_when_nothing_is_due(void **state)
{
	struct bench *b =
			bench_make("delivery:\n  routes:\n"
				   "    fabrikam.test: { to: \"smtp:127.0.0.1:1\" }\n");
	struct relay_summary sum;

	(void)state;
	open_relay(b, true);
	struct client f = connect_internal(b);
	greet(&f);
	for (int i = 0; i < 20; i++) {
		char text[40];

		(void)snprintf(text, sizeof(text),
				"Message-ID: <%d@b.test>\r\n\r\nx\r\n", i);
		(void)dprintf(f.fd,
				"MAIL FROM:<a@b.test> BODY=BINARYMIME "
				"XCOLLECT=contoso/dT%02d/pop.isp.test/192.0.2.1/POP3\r\n"
				"RCPT TO:<ann@contoso.test>\r\nRCPT TO:<x@fabrikam.test>\r\n"
				"RCPT TO:<eve@x.test>\r\n",
				i + 10);
		expect(&f, "250 ");
		expect(&f, "250 ");
		expect(&f, "250 ");
		expect(&f, "550 ");
		chunk(&f, text);
		expect(&f, "250 2.6.0 ");
	}
	client_close(&f);
	relay_fetched(b->relay);
	thread_join(b->thread);
	assert_true(b->ok);
	relay_summary(b->relay, &sum);
	assert_int_equal(sum.delivered, 20);
	assert_int_equal(sum.deferred, 20);
	assert_int_equal(sum.refused, 20);
	assert_int_equal(sum.badmail, 20);
	relay_free(b->relay);
	b->relay = NULL;
	assert_int_equal(files_in(b, "Drop", ".eml", NULL, 0), 20);
	assert_int_equal(files_in(b, "Badmail", ".BAD", NULL, 0), 20);
	bench_free(b);
}

/* The ladder to its end: Badmail with the reason, never a report to the sender. */
static void
expires_into_badmail(void **state)
{
	struct hop h;
	char more[300], path[512];
	struct buf got = BUF_MAX(65536);

	(void)state;
	hop_open(&h, 10);
	(void)snprintf(more, sizeof(more),
			"delivery:\n  retry: [ 1s ]\n  expire: 3s\n  routes:\n"
			"    contoso.test: { to: \"smtp:127.0.0.1:%u\" }\n",
			h.port);
	struct bench *b = bench_new(more);
	struct client c = connect_tcp(b);
	greet(&c);
	say(&c, "MAIL FROM:<a@b.test>\r\nRCPT TO:<later@contoso.test>\r\n");
	expect(&c, "250 ");
	expect(&c, "250 ");
	chunk(&c, ""); /* no octet at all is a message too */
	expect(&c, "250 2.6.0 ");
	wait_files(b, "Badmail", ".BDP", 1, path, sizeof(path));
	read_all(path, &got);
	assert_true(holds(&got, "expired"));
	assert_true(holds(&got, "450 4.2.1 try later"));
	client_close(&c);
	stop(b);
	hop_close(&h);
	assert_in_range(h.transactions, 3, 5); /* at 0, 1, 2 and 3 s */
	assert_int_equal(h.delivered, 0);
	buf_done(&got);
	bench_free(b);
}

/* badmail.enabled: false loses nothing. */
static void
keeps_bad_mail_in_the_queue_without_badmail(void **state)
{
	struct bench *b = bench_new("badmail: { enabled: false }\n");
	struct client f = connect_internal(b);
	struct arena a = ARENA_MAX(64 * 1024 * 1024);

	(void)state;
	greet(&f);
	say(&f,
			"MAIL FROM:<a@b.test> BODY=BINARYMIME "
			"XCOLLECT=contoso/dTE/pop.isp.test/192.0.2.1/POP3\r\n"
			"RCPT TO:<eve@x.test>\r\n");
	expect(&f, "250 ");
	expect(&f, "550 ");
	chunk(&f, "A: b\r\n\r\nx\r\n");
	expect(&f, "250 2.6.0 ");
	struct queue_message *m = wait_open(b, 1, &a);
	for (int i = 0; i < 500 && m->recipients[0].next_try_ms < m->arrived_ms + 60000;
			i++) {
		(void)poll(NULL, 0, 10);
		m = wait_open(b, 1, &a);
	}
	assert_int_equal(m->recipients[0].state, QUEUE_REFUSED);
	assert_true(m->recipients[0].next_try_ms > m->arrived_ms + 60000);
	assert_int_equal(files_in(b, "Badmail", ".BAD", NULL, 0), 0);
	client_close(&f);
	arena_done(&a);
	bench_free(b);
}

/* More than a window holds, found on disk at the start. */
static void
works_through_a_long_queue(void **state)
{
	enum { MANY = 700 };
	struct bench *b = bench_make("");
	struct arena a = ARENA_MAX(16 * 1024 * 1024);

	(void)state;
	open_relay_as(b, true, true);
	struct client f = connect_internal(b);
	greet(&f);
	for (int i = 0; i < MANY; i++) {
		say(&f, "MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@contoso.test>\r\n");
		chunk(&f, "A: b\r\n\r\nx\r\n");
	}
	for (int i = 0; i < 3 * MANY; i++)
		expect(&f, "250 ");
	client_close(&f);
	relay_fetched(b->relay);
	thread_join(b->thread);
	assert_true(b->ok);
	relay_free(b->relay);
	b->relay = NULL;
	assert_int_equal(files_in(b, "Drop", ".eml", NULL, 0), 0);
	open_relay(b, false);
	wait_files(b, "Drop", ".eml", MANY, NULL, 0);
	(void)wait_open(b, 0, &a);
	arena_done(&a);
	bench_free(b);
}

/* A new policy counts as soon as somebody says CTL_WAKE. */
static void
takes_new_policies(void **state)
{
	struct bench *b = bench_new("");
	struct client c = connect_tcp(b);
	struct err err = { 0 };
	char path[128];

	(void)state;
	greet(&c);
	say(&c, "MAIL FROM:<a@b.test>\r\nRCPT TO:<u@new.test>\r\n");
	expect(&c, "250 ");
	expect(&c, "550 5.7.1 ");
	struct store *s = store_open(b->dir,
			&(struct store_options){ .now_ms = 1000000 }, NULL, &err);
	const struct policystore_domain d = { .name = SPAN("new.test") };
	assert_non_null(s);
	assert_true(policystore_add_domain(s, SPAN("test"), 10, &d, NULL, &err));
	store_close(s);
	(void)snprintf(path, sizeof(path), "%s/run/relay.ctl", b->dir);
	struct ctl_client *ctl = ctl_connect(path, 1000, &err);
	assert_non_null(ctl);
	assert_true(ctl_ask(ctl, CTL_WAKE, SPAN(""), &err));
	ctl_client_free(ctl);
	say(&c, "RCPT TO:<u@new.test>\r\n");
	expect(&c, "250 2.1.5 u@new.test");
	client_close(&c);
	bench_free(b);
}

static void
answers_a_client_that_has_closed_its_side(void **state)
{
	struct bench *b = bench_new("");
	struct client c = connect_tcp(b);

	(void)state;
	greet(&c);
	say(&c, "MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@contoso.test>\r\n");
	expect(&c, "250 ");
	expect(&c, "250 ");
	chunk(&c, "Subject: s\r\n\r\nx\r\n");
	assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
	expect(&c, "250 2.6.0 ");
	assert_null(fgets(c.line, sizeof(c.line), c.in));
	client_close(&c);
	bench_free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_and_drops_byte_for_byte),
		cmocka_unit_test(keeps_what_it_refuses_to_the_collector),
		cmocka_unit_test(counts_hops),
		cmocka_unit_test(groups_commits_of_one_connection),
		cmocka_unit_test(spools_large_bodies),
		cmocka_unit_test(splits_recipients),
		cmocka_unit_test(puts_off_a_dead_hop_and_serves_the_others),
		cmocka_unit_test(leaves_a_hop_alone_that_always_hangs_up),
		cmocka_unit_test(once_ends_when_nothing_is_due),
		cmocka_unit_test(expires_into_badmail),
		cmocka_unit_test(keeps_bad_mail_in_the_queue_without_badmail),
		cmocka_unit_test(works_through_a_long_queue),
		cmocka_unit_test(takes_new_policies),
		cmocka_unit_test(answers_a_client_that_has_closed_its_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
