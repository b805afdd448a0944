#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "peers.h"
#include "postern/clock.h"
#include "postern/header.h"
#include "postern/origin.h"
#include "postern/policystore.h"
#include "postern/smtp_server.h"
#include "postern/store.h"

/* The transaction under way. */
struct part {
	char account[128], uid[256], recipients[512], badmail[64], sender[128];
	struct buf body;
	uint64_t print;
	size_t accepted, refused;
};

static void
text_of(char *to, size_t size, struct span s)
{
	s = span_first(s, size - 1);
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
}

static void
add_recipient(struct part *t, struct span who)
{
	size_t n = strlen(t->recipients);

	if (n > 0 && n + 2 < sizeof(t->recipients))
		t->recipients[n++] = ' ';
	text_of(t->recipients + n, sizeof(t->recipients) - n, who);
}

/* What the relay finds in the header. */
static struct span
message_id(struct span data)
{
	struct header_field f;

	return header_find(data, SPAN("Message-ID"), &f) ? span_trim(f.body) : SPAN("");
}

/* As the relay does it: origin and message in one synced transaction. */
static struct smtp_reply
commit(struct relay_stub *r, struct store *store, struct part *t,
		char text[SMTP_TEXT_SIZE])
{
	struct submission_recipient to = {
		.address = span_of(t->accepted ? "ann@contoso.test" : ""),
		.hop = SPAN("drop"),
		.state = t->accepted ? QUEUE_QUEUED : QUEUE_REFUSED,
		.reason = SPAN("no-recipients"),
	};
	struct submission sub = {
		.job = { .work = STORE_SUBMIT },
		.id = store_new_id(store, clock_wall_ms()),
		.account = span_of(t->account),
		.uidl = span_of(t->uid),
		.print = t->print,
		.message_id = message_id(buf_span(&t->body)),
		.arrived_ms = clock_wall_ms(),
		.body = span_first(buf_span(&t->body), BODY_BLOB_MAX),
		.spool_fd = -1,
		.recipients = &to,
		.n = 1,
	};
	struct list jobs;

	if (r->refuses)
		return smtp_refuse(SMTP_REFUSE_SIZE);
	if (r->put_off > 0 && r->n >= r->put_off)
		return smtp_refuse(SMTP_REFUSE_STORE);
	list_init(&jobs);
	list_add(&jobs, &sub.job.link);
	store_run(store, &jobs);
	if (sub.job.result == STORE_HAD) {
		r->had++;
		return smtp_have_it();
	}
	if (sub.job.result != STORE_DONE)
		return smtp_refuse(SMTP_REFUSE_STORE);

	struct relayed *got = &r->got[r->n];
	memcpy(got->uid, t->uid, sizeof(got->uid));
	memcpy(got->recipients, t->recipients, sizeof(got->recipients));
	memcpy(got->badmail, t->badmail, sizeof(got->badmail));
	got->data = t->body;
	t->body = BUF_MAX(64 * 1024 * 1024);
	r->n++;
	return smtp_queued(SPAN("<x@y>"), sub.id, text);
}

static void
answer(struct relay_stub *r, struct store *store, struct smtp_server *s, struct part *t)
{
	const struct smtp_question *q = smtp_server_ask(s);
	char text[SMTP_TEXT_SIZE];

	switch (q->kind) {
	case SMTP_ASK_MAIL:
		r->mails++;
		if (r->busy) {
			smtp_server_answer(s, smtp_refuse(SMTP_REFUSE_BUSY));
			return;
		}
		*t = (struct part){ .body = t->body };
		buf_clear(&t->body);
		t->print = q->mail.collect.print;
		text_of(t->account, sizeof(t->account), q->mail.collect.account);
		text_of(t->uid, sizeof(t->uid), q->mail.collect.uidl);
		text_of(t->badmail, sizeof(t->badmail), q->mail.collect.badmail);
		text_of(t->sender, sizeof(t->sender), q->mail.sender.mailbox);
		break;
	case SMTP_ASK_RCPT:
		add_recipient(t, q->path.mailbox);
		if (!span_eq_nocase(q->path.domain, SPAN("contoso.test"))) {
			t->refused++;
			smtp_server_answer(s,
					smtp_refuse_for(SMTP_REFUSE_RELAY,
							q->path.mailbox, text));
			return;
		}
		t->accepted++;
		break;
	case SMTP_ASK_BODY:
		if (!buf_add(&t->body, q->bytes))
			abort();
		smtp_server_answer(s, SMTP_LATER);
		return;
	case SMTP_ASK_COMMIT:
		smtp_server_answer(s, commit(r, store, t, text));
		return;
	case SMTP_ASK_DROP:
		smtp_server_answer(s, SMTP_LATER);
		return;
	case SMTP_ASK_NOTHING:
	case SMTP_ASK_VRFY:
	case SMTP_ASK_ROUTE:
	case SMTP_ASK_CLOSE:
		break;
	}
	smtp_server_answer(s, SMTP_YES);
}

static bool
flush(struct smtp_server *s, int fd)
{
	for (;;) {
		struct span out = smtp_server_output(s);
		if (out.n == 0)
			return true;
		ssize_t n = send(fd, out.p, out.n, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		smtp_server_sent(s, (size_t)n);
	}
}

static void
converse(struct relay_stub *r, int fd)
{
	struct smtp_server *s = smtp_server_new(&(struct smtp_server_options){
			.hostname = SPAN("gw.contoso.test"),
			.internal = !r->foreign,
			.max_recipients = 50000,
	});
	struct part t = { .body = BUF_MAX(64 * 1024 * 1024) };
	struct buf in = BUF_MAX(1024 * 1024);
	size_t before = r->n;
	bool open = flush(s, fd);

	while (open) {
		char *at = buf_room(&in, 64 * 1024);
		ssize_t n = at ? recv(fd, at, 64 * 1024, 0) : -1;
		if (n <= 0)
			break;
		buf_grown(&in, (size_t)n);
		for (bool moved = true; moved && open;) {
			size_t used = smtp_server_feed(s, buf_span(&in));

			moved = used > 0;
			while (smtp_server_ask(s)->kind != SMTP_ASK_NOTHING &&
					smtp_server_ask(s)->kind != SMTP_ASK_CLOSE) {
				answer(r, r->store, s, &t);
				moved = true;
			}
			buf_drop(&in, used);
			if (r->dies && r->n > before)
				open = false;
			open = open && flush(s, fd) &&
					smtp_server_ask(s)->kind != SMTP_ASK_CLOSE;
		}
	}
	smtp_server_free(s);
	buf_done(&t.body);
	buf_done(&in);
}

/* QUIT was confirmed: what the relay is told by CTL_SETTLED. */
void
relay_stub_settle(struct relay_stub *r, const char *account, const char *uid)
{
	struct span uidl = span_of(uid);
	struct origin_change change = {
		.job = { .work = STORE_ORIGINS },
		.act = ORIGIN_ACT_SETTLE,
		.account = span_of(account),
		.uidls = &uidl,
		.n = 1,
	};
	struct err err;
	struct store *visitor = store_open(r->state,
			&(struct store_options){ .now_ms = clock_wall_ms() }, NULL,
			&err);
	struct list jobs;

	if (!visitor)
		abort();
	list_init(&jobs);
	list_add(&jobs, &change.job.link);
	store_run(visitor, &jobs);
	if (change.job.result != STORE_DONE)
		abort();
	store_close(visitor);
}

static void *
serve(void *arg)
{
	struct relay_stub *r = arg;

	for (;;) {
		int fd = accept(r->fd, NULL, NULL);
		if (fd < 0)
			break;
		converse(r, fd);
		(void)close(fd);
	}
	store_close(r->store);
	return NULL;
}

void
relay_stub_open(struct relay_stub *r, const char *state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char run[80];
	struct err err;

	*r = (struct relay_stub){ .state = state };
	r->got = calloc(MAILS_MAX, sizeof(*r->got));
	(void)snprintf(run, sizeof(run), "%s/run", state);
	(void)mkdir(run, 0700);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/relay.sock", run);
	(void)unlink(at.sun_path);
	r->store = store_open(state,
			&(struct store_options){
					.service = true, .now_ms = clock_wall_ms() },
			NULL, &err);
	/* A global account without any policy domain would be held (4018). */
	const struct policystore_domain ours = { .name = { SPAN_INIT("contoso.test") },
		.authoritative = true };
	if (!r->store ||
			!policystore_add_domain(r->store, SPAN("contoso"), 10, &ours,
					NULL, &err))
		abort();
	r->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(r->fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
			listen(r->fd, 16) != 0 ||
			pthread_create(&r->thread, NULL, serve, r) != 0)
		abort();
}

void
relay_stub_close(struct relay_stub *r)
{
	(void)shutdown(r->fd, SHUT_RDWR);
	(void)pthread_join(r->thread, NULL);
	(void)close(r->fd);
	for (size_t i = 0; i < r->n; i++)
		buf_done(&r->got[i].data);
	free(r->got);
}
