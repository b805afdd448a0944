/* store_load DIR MESSAGES GROUP OCTETS [settle] [spool]: how much the store costs. Not a test.
 * Prints what one message took, in wall and processor time, and the transactions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/arena.h"
#include "postern/body.h"
#include "postern/buf.h"
#include "postern/clock.h"
#include "postern/must.h"
#include "postern/queue.h"

enum { GROUP_MAX = 1024 };

static char body[1024 * 1024];
static bool spooled, settled;
static struct submission subs[GROUP_MAX];
static char uidls[GROUP_MAX][32];
static const struct submission_recipient to = {
	.address = { SPAN_INIT("somebody@contoso.test") },
	.hop = { SPAN_INIT("lmtp:/run/dovecot/lmtp") },
	.state = QUEUE_QUEUED,
};

static uint64_t
submit(struct store *s, size_t first, size_t n, size_t octets)
{
	struct list jobs;
	list_init(&jobs);
	for (size_t i = 0; i < n; i++) {
		snprintf(uidls[i], sizeof uidls[i], "%08zX5f3c2a10", first + i);
		subs[i] = (struct submission){
			.job = { .work = STORE_SUBMIT },
			.id = store_new_id(s, clock_wall_ms()),
			.account = SPAN("contoso"),
			.uidl = span_of(uidls[i]),
			.source = SPAN("pop.isp.test [192.0.2.1]"),
			.sender = SPAN("someone.else@nwtraders.test"),
			.message_id = SPAN(
					"<0123456789abcdef0123456789@mail.nwtraders.test>"),
			.arrived_ms = clock_wall_ms(),
			.top = SPAN("Received: from pop.isp.test ([192.0.2.1]) by gw.corp.contoso.test "
				    "with POP3S (Postern) id 0123456789ABC for <somebody@contoso.test>; "
				    "Fri, 28 Jun 2002 08:00:00 -0500\r\n"),
			.body = { body, octets },
			.spool_fd = -1,
			.route = SPAN("{\"account\":\"contoso\",\"source\":\"X-Original-To\",\"sender\":"
				      "\"someone.else@nwtraders.test\",\"candidates\":[{\"address\":"
				      "\"somebody@contoso.test\",\"header\":\"X-Original-To\",\"kept\":true,"
				      "\"why\":\"policy domain\"}],\"recipients\":[{\"address\":"
				      "\"somebody@contoso.test\",\"route\":\"lmtp:/run/dovecot/lmtp\"}]}"),
			.recipients = &to,
			.n = 1,
		};
		if (spooled) {
			struct err e = { 0 };
			subs[i].spool_fd = spool_create(s, subs[i].id, &e);
			MUST(subs[i].spool_fd >= 0 &&
					spool_write(subs[i].spool_fd, subs[i].body,
							&subs[i].spool_size, &e));
		}
		list_add(&jobs, &subs[i].job.link);
	}
	store_run(s, &jobs);
	for (size_t i = 0; i < n; i++)
		if (subs[i].job.result != STORE_DONE) {
			printf("failed: %d %s\n", (int)subs[i].job.result,
					subs[i].job.err.text);
			exit(1);
		} else if (spooled) {
			close(subs[i].spool_fd);
		}
	return subs[0].id;
}

static size_t
settle(struct store *s, size_t group)
{
	static struct settlement sets[GROUP_MAX];
	static const struct settle_recipient done = {
		.state = QUEUE_DELIVERED,
		.attempted = true,
		.code = 250,
		.host = { SPAN_INIT("/run/dovecot/lmtp") },
		.reply = { SPAN_INIT(
				"2.0.0 <somebody@contoso.test> abcdefghij Saved") },
	};
	AUTO(arena_done) struct arena a = ARENA_MAX(SIZE_MAX);
	struct queue_due want = { .hop = to.hop,
		.now_ms = clock_wall_ms(),
		.messages = group,
		.recipients = 100 };
	struct queue_message *m;
	size_t n;
	struct err e;
	MUST(queue_due(store_reader(s), &want, &a, &m, &n, &e));
	struct list jobs;
	list_init(&jobs);
	for (size_t i = 0; i < n; i++) {
		struct body *b = body_open(store_reader(s), m[i].id, &e);
		struct span piece;
		do
			MUST(b && body_next(b, &piece, &e));
		while (piece.n > 0);
		body_close(b);
		sets[i] = (struct settlement){ .job = { .work = STORE_SETTLE },
			.id = m[i].id,
			.at_ms = clock_wall_ms(),
			.recipients = &done,
			.n = 1 };
		list_add(&jobs, &sets[i].job.link);
	}
	if (n)
		store_run(s, &jobs);
	for (size_t i = 0; i < n; i++)
		MUST(sets[i].job.result == STORE_DONE && sets[i].settled);
	return n;
}

static void
tell(const char *what, size_t n, int64_t wall, int64_t cpu, uint64_t groups)
{
	printf("%s: %zu messages, %.0f/s, %.1f us wall, %.1f us cpu each, %.3f transactions each\n",
			what, n, (double)n * 1e6 / (double)wall,
			(double)wall / (double)n, (double)cpu / (double)n,
			(double)groups / (double)n);
}

int
main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	size_t messages = strtoul(argv[2], NULL, 10),
	       group = strtoul(argv[3], NULL, 10);
	size_t octets = strtoul(argv[4], NULL, 10);
	MUST(group > 0 && group <= GROUP_MAX && octets <= sizeof body);
	for (int i = 5; i < argc; i++) {
		spooled = spooled || strcmp(argv[i], "spool") == 0;
		settled = settled || strcmp(argv[i], "settle") == 0;
	}
	memset(body, 'm', sizeof body);
	struct err e = { 0 };
	struct store_options o = { .service = true, .now_ms = clock_wall_ms() };
	struct store_recovery found;
	int64_t wall, cpu = clock_cpu_us();
	wall = clock_mono_us();
	struct store *s = store_open(argv[1], &o, &found, &e);
	if (!s) {
		printf("%s\n", e.text);
		return 1;
	}
	printf("open: %.2f ms wall, %.2f ms cpu\n",
			(double)(clock_mono_us() - wall) / 1000,
			(double)(clock_cpu_us() - cpu) / 1000);
	cpu = clock_cpu_us();
	wall = clock_mono_us();
	size_t base = (size_t)wall % 100000 * 10000;
	for (size_t i = 0; i < messages; i += group)
		submit(s, base + i, messages - i < group ? messages - i : group,
				octets);
	tell("submit", messages, clock_mono_us() - wall, clock_cpu_us() - cpu,
			store_count(s).groups);
	if (settled) {
		uint64_t before = store_count(s).groups;
		size_t n, all = 0;
		cpu = clock_cpu_us();
		wall = clock_mono_us();
		while ((n = settle(s, group)) > 0)
			all += n;
		tell("settle", all, clock_mono_us() - wall, clock_cpu_us() - cpu,
				store_count(s).groups - before);
	}
	store_close(s);
	return 0;
}
