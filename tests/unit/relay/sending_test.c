/* Sessions with a next hop that end badly: what was answered stays answered, what was not is
 * put off, and nothing of a damaged body is ended. */
#include "bench.h"

#include <fcntl.h>

#include "postern/log.h"
#include "postern/smtp_client.h"

/* Minutes by RFC 5321; here it is what a test says. */
static unsigned patience_s;
unsigned __real_smtp_client_patience_s(const struct smtp_client *c);
unsigned __wrap_smtp_client_patience_s(const struct smtp_client *c);

unsigned
__wrap_smtp_client_patience_s(const struct smtp_client *c)
{
	unsigned s = __real_smtp_client_patience_s(c);

	return patience_s > 0 && s > patience_s ? patience_s : s;
}

/* ---- a next hop ---- */

enum { NAMES = 4096, BODY = 200 * 1024 };

struct peer {
	int listener;
	uint16_t port;
	struct thread *thread;
	bool chunking;
	unsigned hangs_up_at; /* this RCPT, counted from 1; 0: none */
	unsigned quiet_at; /* nothing is said after this RCPT */
	void (*at_mail)(struct peer *p); /* before the answer */
	void (*at_data)(struct peer *p);
	struct bench *b;

	unsigned connections, mails, rcpts, ends;
	unsigned got[NAMES]; /* messages that recipient uN has */
	unsigned names[NAMES]; /* of the transaction */
	size_t n;
	bool marked; /* one that ended held the mark */
	struct buf last; /* the last one that ended */
};

/* The relay may be gone. */
static void
peer_say(const struct client *c, const char *text)
{
	(void)!fd_write_all(c->fd, span_of(text));
}

static void
peer_ended(struct peer *p, struct client *c, struct buf *text)
{
	p->ends++;
	p->marked |= holds(text, "MARK-OF-THE-BODY");
	for (size_t i = 0; i < p->n; i++)
		p->got[p->names[i]]++;
	buf_done(&p->last);
	p->last = *text;
	*text = BUF_MAX(1024 * 1024);
	peer_say(c, "250 2.0.0 stored\r\n");
}

static bool
peer_data(struct peer *p, struct client *c, struct buf *text)
{
	peer_say(c, "354 go\r\n");
	while (fgets(c->line, sizeof(c->line), c->in)) {
		if (strcmp(c->line, ".\r\n") == 0) {
			peer_ended(p, c, text);
			return true;
		}
		(void)!buf_add(text, span_of(c->line));
	}
	return false;
}

static bool
peer_chunk(struct peer *p, struct client *c, struct buf *text)
{
	size_t n = strtoul(c->line + 5, NULL, 10);
	bool last = strstr(c->line, "LAST");
	char *room = buf_room(text, n + 1);

	if (!room || fread(room, 1, n, c->in) != n)
		return false;
	buf_grown(text, n);
	if (last)
		peer_ended(p, c, text);
	else
		peer_say(c, "250 2.0.0 more\r\n");
	return true;
}

/* False: it hangs up. */
static bool
peer_rcpt(struct peer *p, struct client *c)
{
	p->rcpts++;
	if (p->rcpts == p->hangs_up_at)
		return false;
	if (strstr(c->line, "<bad")) {
		peer_say(c, "550 5.1.1 no such user\r\n");
		return true;
	}
	const char *u = strstr(c->line, "<u");
	if (u)
		p->names[p->n++] = (unsigned)strtoul(u + 2, NULL, 10) % NAMES;
	peer_say(c, "250 2.1.5 ok\r\n");
	return true;
}

static void
peer_session(struct peer *p, int fd)
{
	struct client c = client_of(fd);
	struct buf text = BUF_MAX(1024 * 1024);
	bool on = true;

	peer_say(&c, "220 inside ESMTP\r\n");
	while (on && fgets(c.line, sizeof(c.line), c.in)) {
		struct span line = span_of(c.line);

		if (p->quiet_at > 0 && p->rcpts >= p->quiet_at)
			continue;
		if (span_starts(line, SPAN("EHLO"))) {
			peer_say(&c,
					p->chunking ? "250-inside\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
						    : "250-inside\r\n250 PIPELINING\r\n");
		} else if (span_starts(line, SPAN("MAIL"))) {
			p->mails++;
			p->n = 0;
			if (p->at_mail)
				p->at_mail(p);
			peer_say(&c, "250 2.1.0 ok\r\n");
		} else if (span_starts(line, SPAN("RCPT"))) {
			on = peer_rcpt(p, &c);
		} else if (span_starts(line, SPAN("DATA"))) {
			if (p->at_data)
				p->at_data(p);
			on = peer_data(p, &c, &text);
		} else if (span_starts(line, SPAN("BDAT"))) {
			on = peer_chunk(p, &c, &text);
		} else if (span_starts(line, SPAN("QUIT"))) {
			peer_say(&c, "221 2.0.0 bye\r\n");
			on = false;
		} else {
			peer_say(&c, "250 2.0.0 ok\r\n");
		}
	}
	buf_done(&text);
	client_close(&c);
}

static void
peer_run(void *arg)
{
	struct peer *p = arg;

	for (;;) {
		int fd = accept(p->listener, NULL, NULL);

		if (fd < 0)
			return;
		p->connections++;
		peer_session(p, fd);
	}
}

static struct peer *
peer_open(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	struct peer *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->last = BUF_MAX(1024 * 1024);
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(p->listener, 64), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &n), 0);
	p->port = ntohs(at.sin_port);
	return p;
}

/* A relay whose mail for contoso.test goes to the peer, one connection at a time. */
static struct bench *
peer_bench(struct peer *p)
{
	struct err err = { 0 };
	char more[300], log[128];

	(void)snprintf(more, sizeof(more),
			"delivery:\n  connections_per_host: 1\n  routes:\n"
			"    contoso.test: { to: \"smtp:127.0.0.1:%u\" }\n",
			p->port);
	p->b = bench_make(more);
	(void)snprintf(log, sizeof(log), "%s/log", p->b->dir);
	assert_true(log_open(&(struct log_options){ .to = log, .level = 1 }, &err));
	open_relay(p->b, false);
	p->thread = thread_start("peer", 0, peer_run, p, &err);
	assert_non_null(p->thread);
	return p->b;
}

static void
peer_free(struct peer *p)
{
	if (p->b->relay)
		stop(p->b);
	(void)shutdown(p->listener, SHUT_RDWR);
	thread_join(p->thread);
	(void)close(p->listener);
	log_close();
	bench_free(p->b);
	buf_done(&p->last);
	free(p);
	patience_s = 0;
}

static bool
logged(const struct bench *b, const char *words)
{
	char path[128];
	struct buf log = BUF_MAX(4 * 1024 * 1024);

	(void)snprintf(path, sizeof(path), "%s/log", b->dir);
	read_all(path, &log);
	bool there = holds(&log, words);
	buf_done(&log);
	return there;
}

/* ---- mail for it ---- */

static const char *
large(void)
{
	static char text[BODY + 64];

	if (!text[0]) {
		size_t n = (size_t)sprintf(
				text, "Subject: s\r\n\r\nMARK-OF-THE-BODY\r\n");

		while (n < BODY)
			n += (size_t)sprintf(text + n, "%070d\r\n", (int)n);
	}
	return text;
}

/* For u0, u1, ...; collected with this unique-id, base64url. */
static void
submit(const struct bench *b, const char *uidl, unsigned n, const char *body,
		const char *answer)
{
	struct client c = connect_internal(b);

	greet(&c);
	(void)dprintf(c.fd,
			"MAIL FROM:<a@b.test> BODY=BINARYMIME "
			"XCOLLECT=contoso/%s/pop.isp.test/192.0.2.1/POP3 XDEDUP=NO\r\n",
			uidl);
	expect(&c, "250 ");
	for (unsigned i = 0; i < n; i++) {
		(void)dprintf(c.fd, "RCPT TO:<u%u@contoso.test>\r\n", i);
		expect(&c, "250 ");
	}
	chunk(&c, body);
	expect(&c, answer);
	client_close(&c);
}

struct count {
	size_t delivered, waiting, bad, tried;
	char reply[256];
};

/* What became of the recipients of the oldest message that is or was here. */
static struct count
counted(const struct bench *b)
{
	struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct queue_message *m = NULL;
	struct err err = { 0 };
	struct count c = { 0 };
	size_t n = 0;
	struct reader *r = reader_open(b->dir, &err);

	assert_non_null(r);
	assert_true(queue_list(r, &(struct queue_filter){ 0 }, &a, &m, &n, &err));
	for (size_t i = 0; n > 0 && i < m->n; i++) {
		const struct queue_recipient *to = &m->recipients[i];

		c.delivered += to->state == QUEUE_DELIVERED;
		c.waiting += to->state == QUEUE_QUEUED;
		c.bad += to->state == QUEUE_BADMAIL;
		if (to->state == QUEUE_QUEUED && to->attempts > 0) {
			c.tried++;
			struct span reply = span_first(to->reply, sizeof(c.reply) - 1);
			memcpy(c.reply, reply.p, reply.n);
			c.reply[reply.n] = '\0';
		}
	}
	reader_close(r);
	arena_done(&a);
	return c;
}

static struct count
wait_count(const struct bench *b, size_t delivered, size_t tried, size_t bad)
{
	struct count c = counted(b);

	for (int i = 0; i < WAIT_MS / 20 &&
			(c.delivered != delivered || c.tried != tried || c.bad != bad);
			i++) {
		(void)poll(NULL, 0, 20);
		c = counted(b);
	}
	if (c.delivered != delivered || c.tried != tried || c.bad != bad)
		fail_msg("%zu delivered, %zu tried, %zu in Badmail", c.delivered,
				c.tried, c.bad);
	return c;
}

/* ---- tests ---- */

static void
spool_gone(struct peer *p)
{
	char path[512];

	if (p->mails == 1 && files_in(p->b, "spool", "", path, sizeof(path)) == 1)
		assert_int_equal(unlink(path), 0);
}

/* Edge 4: the body of the second transaction cannot be opened while the first, of the same
 * lease, waits for its answer. */
static void
a_body_lost_between_two_transactions_ends_neither_twice(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->at_data = spool_gone;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 250, large(), "250 2.6.0 ");
	wait_count(b, 100, 0, 150);
	for (size_t i = 0; i < 250; i++)
		assert_int_equal(p->got[i], i < 100);
	assert_true(logged(b, "is damaged (its file is gone). It was not delivered; "));
	peer_free(p);
}

static void
hang_up_no_more(struct peer *p)
{
	if (p->connections > 1)
		p->hangs_up_at = 0;
}

static void
first_verdicts_stay_when_the_next_hop_is_lost(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->hangs_up_at = 120;
	p->at_mail = hang_up_no_more;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 350, large(), "250 2.6.0 ");
	wait_count(b, 100, 250, 0); /* some were asked, others were not even that */
	for (size_t i = 0; i < 350; i++)
		assert_int_equal(p->got[i], i < 100);
	peer_free(p);
}

static void
more_than_a_thousand_recipients_are_all_settled(void **state)
{
	struct peer *p = peer_open();
	struct arena a = ARENA_MAX(1024 * 1024);

	(void)state;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 2150, "Subject: s\r\n\r\nx\r\n", "250 2.6.0 ");
	wait_count(b, 2150, 0, 0);
	(void)wait_open(b, 0, &a);
	for (size_t i = 0; i < 2150; i++)
		assert_int_equal(p->got[i], 1);
	assert_int_equal(p->got[2150], 0);
	arena_done(&a);
	peer_free(p);
}

static void
a_session_that_says_nothing_times_out(void **state)
{
	struct peer *p = peer_open();

	(void)state;
	p->quiet_at = 3;
	patience_s = 1;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 4, large(), "250 2.6.0 ");
	struct count c = wait_count(b, 0, 4, 0);
	if (!strstr(c.reply, "timed out"))
		fail_msg("%s", c.reply);
	assert_int_equal(p->ends, 0);
	peer_free(p);
}

static void
last_octet_turned(struct peer *p)
{
	char path[512], c;

	if (p->mails > 1 || files_in(p->b, "spool", "", path, sizeof(path)) != 1)
		return;
	int fd = open(path, O_RDWR);
	off_t end = lseek(fd, -3, SEEK_END);
	assert_true(fd >= 0 && end > 0);
	assert_int_equal(pread(fd, &c, 1, end), 1);
	c = (char)(c ^ 1);
	assert_int_equal(pwrite(fd, &c, 1, end), 1);
	(void)close(fd);
}

/* Edge 33, on the way out. */
static void
nothing_of_a_damaged_body_is_ended(bool chunking)
{
	struct peer *p = peer_open();
	struct buf bad = BUF_MAX(1024 * 1024);
	char path[512];

	p->chunking = chunking;
	p->at_mail = last_octet_turned;
	struct bench *b = peer_bench(p);
	submit(b, "dTE", 2, large(), "250 2.6.0 ");
	wait_count(b, 0, 0, 2);
	for (int i = 0; i < WAIT_MS / 20 && p->ends == 0; i++)
		(void)poll(NULL, 0, 20); /* the postmaster is told */
	assert_int_equal(p->ends, 1);
	assert_false(p->marked);
	assert_true(holds(&p->last, "the stored body is damaged"));
	assert_int_equal(p->got[0] + p->got[1], 0);
	wait_files(b, "Badmail", ".BAD", 1, path, sizeof(path));
	read_all(path, &bad);
	assert_true(holds(&bad, "MARK-OF-THE-BODY") && bad.n > BODY);
	wait_files(b, "Badmail", ".BDR", 1, path, sizeof(path));
	buf_clear(&bad);
	read_all(path, &bad);
	assert_true(holds(&bad, "Reason: general"));
	assert_true(holds(&bad, "5.3.0 the stored body is damaged ("));
	assert_true(logged(b,
			"It was not delivered; what is left of it goes to Badmail, and the"));

	/* It is still at the provider: there it comes again, and is no copy. */
	submit(b, "dTE", 2, large(), "250 2.6.0 ");
	for (int i = 0; i < WAIT_MS / 20 && p->ends < 2; i++)
		(void)poll(NULL, 0, 20);
	assert_true(p->marked);
	assert_int_equal(p->got[0] + p->got[1], 2);
	assert_false(logged(b, "closed")); /* it is no fault of the next hop's */
	buf_done(&bad);
	peer_free(p);
}

static void
a_damaged_body_is_never_ended_with_a_dot(void **state)
{
	(void)state;
	nothing_of_a_damaged_body_is_ended(false);
}

static void
a_damaged_body_is_never_ended_with_a_last_chunk(void **state)
{
	(void)state;
	nothing_of_a_damaged_body_is_ended(true);
}

/* ---- into folders ---- */

static void
damaged_bodies_reach_no_folder(const char *kind, const char *folder)
{
	char more[400], path[512], dir[64] = "/tmp/postern-sent-XXXXXX", log[128];
	struct arena a = ARENA_MAX(1024 * 1024);
	struct err err = { 0 };

	assert_non_null(mkdtemp(dir));
	(void)snprintf(more, sizeof(more),
			"delivery:\n  routes:\n    contoso.test: { to: \"%s:%s/%s\" }\n",
			kind, dir, strcmp(kind, "drop") == 0 ? "" : "box");
	struct bench *b = bench_make(more);
	(void)snprintf(log, sizeof(log), "%s/log", b->dir);
	assert_true(log_open(&(struct log_options){ .to = log, .level = 1 }, &err));
	open_relay_as(b, true, true); /* takes, and delivers nothing */
	submit(b, "dTE", 2, large(), "250 2.6.0 ");
	relay_fetched(b->relay);
	thread_join(b->thread);
	relay_free(b->relay);
	b->relay = NULL;

	assert_int_equal(files_in(b, "spool", "", path, sizeof(path)), 1);
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "X", 1, 100), 1);
	(void)close(fd);
	open_relay_as(b, true, true);
	submit(b, "dTI", 2, large(), "250 2.6.0 ");
	submit(b, "dTM", 2, "Subject: s\r\n\r\nMARK\r\n", "250 2.6.0 ");
	relay_fetched(b->relay);
	thread_join(b->thread);
	relay_free(b->relay);
	b->relay = NULL;

	/* In one batch: it is the only one that is not there. */
	open_relay(b, false);
	(void)wait_open(b, 0, &a);
	(void)snprintf(path, sizeof(path), "../../%s/%s", dir + 1, folder);
	/* Two messages of three, and the notice to the postmaster. A maildir has one for each
	 * recipient, all in one box here. */
	size_t each = strcmp(kind, "drop") == 0 ? 1 : 2;
	assert_int_equal(files_in(b, path, "", NULL, 0), 2 * each + 1);
	assert_int_equal(files_in(b, "Badmail", ".BDP", NULL, 0), 1);
	assert_true(logged(
			b, "is damaged (its octets are not those that were stored)"));
	stop(b);
	log_close();
	bench_free(b);
	(void)snprintf(more, sizeof(more), "rm -rf %s", dir);
	assert_int_equal(system(more), 0);
	arena_done(&a);
}

static void
a_damaged_body_reaches_no_drop_folder(void **state)
{
	(void)state;
	damaged_bodies_reach_no_folder("drop", "");
}

static void
a_damaged_body_reaches_no_maildir(void **state)
{
	(void)state;
	damaged_bodies_reach_no_folder("maildir", "box/new");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
				a_body_lost_between_two_transactions_ends_neither_twice),
		cmocka_unit_test(first_verdicts_stay_when_the_next_hop_is_lost),
		cmocka_unit_test(more_than_a_thousand_recipients_are_all_settled),
		cmocka_unit_test(a_session_that_says_nothing_times_out),
		cmocka_unit_test(a_damaged_body_is_never_ended_with_a_dot),
		cmocka_unit_test(a_damaged_body_is_never_ended_with_a_last_chunk),
		cmocka_unit_test(a_damaged_body_reaches_no_drop_folder),
		cmocka_unit_test(a_damaged_body_reaches_no_maildir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
