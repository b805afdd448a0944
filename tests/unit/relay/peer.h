/* A relay whose mail goes to a next hop that behaves as a test says. */
#ifndef TESTS_RELAY_PEER_H
#define TESTS_RELAY_PEER_H

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

enum { NAMES = 4096, BODY = 200 * 1024, NONE = 9999 };

struct peer {
	int listener;
	uint16_t port;
	struct thread *thread;
	bool chunking;
	unsigned hangs_up_at; /* this RCPT, counted from 1; 0: none */
	unsigned quiet_at; /* nothing is said after this RCPT */
	const char *greeting; /* or NULL: a plain one */
	const char *body_refused; /* what MAIL with BODY= is told; NULL: it is taken */
	unsigned mails_most; /* of a connection, then 503; 0: any number */
	unsigned rcpts_most; /* of a message, then 452; NONE: not one; 0: any number */
	bool ends_each; /* it hangs up behind each message that it has, */
	bool ends_silent; /* or instead of the answer */
	void (*at_mail)(struct peer *p); /* before the answer */
	void (*at_data)(struct peer *p);
	struct bench *b;

	unsigned connections, mails, rcpts, ends, quits;
	unsigned here; /* MAIL on this connection */
	unsigned bodies, refused; /* MAIL with BODY=, and those that got 503 */
	unsigned too_many; /* RCPT that got 452 */
	bool off; /* the transaction was refused: so is what follows */
	unsigned got[NAMES]; /* messages that recipient uN has */
	unsigned names[NAMES]; /* of the transaction */
	size_t n;
	bool marked; /* one that ended held the mark */
	struct buf last; /* the last one that ended */
	char from[300]; /* the last MAIL */
};

/* The relay may be gone. */
static inline void
peer_say(const struct client *c, const char *text)
{
	(void)!fd_write_all(c->fd, span_of(text));
}

static inline void
peer_ended(struct peer *p, struct client *c, struct buf *text)
{
	p->ends++;
	p->marked |= holds(text, "MARK-OF-THE-BODY");
	for (size_t i = 0; i < p->n; i++)
		p->got[p->names[i]]++;
	buf_done(&p->last);
	p->last = *text;
	*text = BUF_MAX(1024 * 1024);
	if (!p->ends_silent)
		peer_say(c, "250 2.0.0 stored\r\n");
}

static inline bool
peer_data(struct peer *p, struct client *c, struct buf *text)
{
	peer_say(c, "354 go\r\n");
	while (fgets(c->line, sizeof(c->line), c->in)) {
		if (strcmp(c->line, ".\r\n") == 0) {
			peer_ended(p, c, text);
			return !p->ends_each && !p->ends_silent;
		}
		(void)!buf_add(text, span_of(c->line));
	}
	return false;
}

static inline bool
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
static inline bool
peer_rcpt(struct peer *p, struct client *c)
{
	p->rcpts++;
	if (p->rcpts == p->hangs_up_at)
		return false;
	if (strstr(c->line, "<bad")) {
		peer_say(c, "550 5.1.1 no such user\r\n");
		return true;
	}
	if (p->rcpts_most == NONE || (p->rcpts_most > 0 && p->n >= p->rcpts_most)) {
		p->too_many++;
		peer_say(c, "452 4.5.3 too many recipients\r\n");
		return true;
	}
	const char *u = strstr(c->line, "<u");
	if (u)
		p->names[p->n++] = (unsigned)strtoul(u + 2, NULL, 10) % NAMES;
	peer_say(c, "250 2.1.5 ok\r\n");
	return true;
}

static inline void
peer_mail(struct peer *p, struct client *c)
{
	bool body = strstr(c->line, "BODY=");

	(void)snprintf(p->from, sizeof(p->from), "%.*s", (int)sizeof(p->from) - 1,
			c->line);

	p->bodies += body;
	p->off = true;
	if (p->mails_most > 0 && p->here == p->mails_most) {
		p->refused++;
		peer_say(c, "503 5.5.1 enough of them\r\n");
		return;
	}
	if (body && p->body_refused) {
		peer_say(c, p->body_refused);
		return;
	}
	p->off = false;
	p->here++;
	p->mails++;
	p->n = 0;
	if (p->at_mail)
		p->at_mail(p);
	peer_say(c, "250 2.1.0 ok\r\n");
}

static inline void
peer_session(struct peer *p, int fd)
{
	struct client c = client_of(fd);
	struct buf text = BUF_MAX(1024 * 1024);
	bool on = true;

	p->here = 0;
	p->off = false;
	peer_say(&c, p->greeting ? p->greeting : "220 inside ESMTP\r\n");
	while (on && fgets(c.line, sizeof(c.line), c.in)) {
		struct span line = span_of(c.line);

		if (p->quiet_at > 0 && p->rcpts >= p->quiet_at)
			continue;
		if (span_starts(line, SPAN("EHLO"))) {
			peer_say(&c,
					p->body_refused ? "250-inside\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
							: p->chunking
							? "250-inside\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
							: "250-inside\r\n250 PIPELINING\r\n");
		} else if (span_starts(line, SPAN("MAIL"))) {
			peer_mail(p, &c);
		} else if (p->off && !span_starts(line, SPAN("QUIT"))) {
			peer_say(&c, "503 5.5.1 no transaction\r\n");
		} else if (span_starts(line, SPAN("RCPT"))) {
			on = peer_rcpt(p, &c);
		} else if (p->rcpts_most == NONE && span_starts(line, SPAN("DATA"))) {
			peer_say(&c, "554 5.5.1 no valid recipients\r\n");
		} else if (span_starts(line, SPAN("DATA"))) {
			if (p->at_data)
				p->at_data(p);
			on = peer_data(p, &c, &text);
		} else if (span_starts(line, SPAN("BDAT"))) {
			on = peer_chunk(p, &c, &text);
		} else if (span_starts(line, SPAN("QUIT"))) {
			p->quits++;
			peer_say(&c, "221 2.0.0 bye\r\n");
			on = false;
		} else {
			peer_say(&c, "250 2.0.0 ok\r\n");
		}
	}
	buf_done(&text);
	client_close(&c);
}

static inline void
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

static inline struct peer *
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
static inline struct bench *
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

static inline void
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

static inline bool
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

static inline const char *
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
static inline void
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
static inline struct count
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

static inline struct count
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

#endif
