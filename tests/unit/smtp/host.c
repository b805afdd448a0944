#include "host.h"

#include <string.h>

#include "postern/must.h"

void
host_open(struct host *h, const struct smtp_server_options *o)
{
	*h = (struct host){
		.engine = smtp_server_new(o),
		.diary = BUF_MAX(1 << 26),
		.heard = BUF_MAX(1 << 26),
		.body = BUF_MAX(1 << 26),
	};
}

void
host_done(struct host *h)
{
	smtp_server_free(h->engine);
	buf_done(&h->diary);
	buf_done(&h->heard);
	buf_done(&h->body);
}

void
host_escape(struct buf *out, struct span bytes)
{
	for (size_t i = 0; i < bytes.n; i++) {
		char c = bytes.p[i];

		if (c == '\r')
			MUST(buf_add(out, SPAN("\\r")));
		else if (c == '\n')
			MUST(buf_add(out, SPAN("\\n")));
		else if (c < ' ' || c > '~')
			MUST(buf_addf(out, "\\x%02x", (unsigned)(unsigned char)c));
		else
			MUST(buf_addc(out, c));
	}
}

static void
note(struct host *h, const char *what, struct span of)
{
	MUST(buf_addf(&h->diary, "%s", what));
	host_escape(&h->diary, of);
	MUST(buf_addc(&h->diary, '\n'));
}

static bool
is_for(struct span mailbox, const char *local)
{
	size_t n = strlen(local);

	return mailbox.n > n && memcmp(mailbox.p, local, n) == 0 && mailbox.p[n] == '@';
}

static struct smtp_reply
on_mail(struct host *h, const struct smtp_mail *m)
{
	static const char *const kinds[] = { "", " 8bitmime", " binarymime" };
	struct span sender = m->sender.mailbox;

	if (is_for(sender, "busy"))
		return smtp_refuse(SMTP_REFUSE_BUSY);
	if (is_for(sender, "bye"))
		return smtp_refuse(SMTP_REFUSE_MESSAGES);
	MUST(sender.n < sizeof(h->sender));
	if (sender.n > 0)
		memcpy(h->sender, sender.p, sender.n);
	h->sender[sender.n] = '\0';
	h->later = is_for(sender, "later");
	buf_clear(&h->body);
	MUST(buf_add(&h->diary, SPAN("mail <")));
	host_escape(&h->diary, sender);
	MUST(buf_addf(&h->diary, ">%s", kinds[m->body]));
	if (m->utf8)
		MUST(buf_add(&h->diary, SPAN(" smtputf8")));
	if (m->sized)
		MUST(buf_addf(&h->diary, " size %ju", (uintmax_t)m->size));
	if (m->collected) {
		MUST(buf_add(&h->diary, SPAN(" from ")));
		host_escape(&h->diary, m->collect.account);
		MUST(buf_addc(&h->diary, '/'));
		host_escape(&h->diary, m->collect.uidl);
		MUST(buf_addf(&h->diary,
				" at " SPAN_FMT " [" SPAN_FMT "]%s" SPAN_FMT "%s",
				SPAN_ARG(m->collect.provider), SPAN_ARG(m->collect.ip),
				m->collect.tls ? " tls" : "",
				SPAN_ARG(m->collect.badmail),
				m->collect.copies ? " every copy" : ""));
		if (m->collect.hold.n > 0)
			MUST(buf_addf(&h->diary, " hold " SPAN_FMT,
					SPAN_ARG(m->collect.hold)));
		if (m->collect.fallback.n > 0)
			MUST(buf_addf(&h->diary, " fallback " SPAN_FMT,
					SPAN_ARG(m->collect.fallback)));
	}
	MUST(buf_addc(&h->diary, '\n'));
	return SMTP_YES;
}

static struct smtp_reply
on_commit(struct host *h, const struct smtp_commit *c, char text[SMTP_TEXT_SIZE])
{
	MUST(c->size == h->body.n);
	MUST(buf_addf(&h->diary, "commit%s%s%s: ", c->eight_bit ? " 8bit" : "",
			c->bare ? " bare" : "", c->nul ? " nul" : ""));
	host_escape(&h->diary, buf_span(&h->body));
	MUST(buf_addc(&h->diary, '\n'));
	h->commits++;
	if (h->later)
		return SMTP_LATER;
	return smtp_queued(SPAN("<m@x>"), h->commits, text);
}

void
host_answer(struct host *h)
{
	for (;;) {
		const struct smtp_question *q = smtp_server_ask(h->engine);
		struct smtp_reply r = SMTP_LATER;
		char text[SMTP_TEXT_SIZE];

		switch (q->kind) {
		case SMTP_ASK_NOTHING:
			return;
		case SMTP_ASK_CLOSE:
			if (!h->closed)
				note(h, "close", SPAN(""));
			h->closed = true;
			return;
		case SMTP_ASK_MAIL:
			r = on_mail(h, &q->mail);
			break;
		case SMTP_ASK_RCPT:
		case SMTP_ASK_VRFY:
			r = SMTP_YES;
			if (is_for(q->path.mailbox, "no"))
				r = smtp_refuse_for(SMTP_REFUSE_RELAY, q->path.mailbox,
						text);
			else
				note(h, q->kind == SMTP_ASK_RCPT ? "rcpt " : "vrfy ",
						q->path.mailbox);
			break;
		case SMTP_ASK_ROUTE:
			note(h, "route ", q->bytes);
			r = SMTP_YES;
			break;
		case SMTP_ASK_BODY:
			if (strncmp(h->sender, "full@", 5) == 0)
				r = smtp_refuse(SMTP_REFUSE_STORE);
			else if (strncmp(h->sender, "gone@", 5) == 0)
				r = smtp_refuse(SMTP_REFUSE_SHUTDOWN);
			else
				MUST(buf_add(&h->body, q->bytes));
			break;
		case SMTP_ASK_COMMIT:
			r = on_commit(h, &q->commit, text);
			break;
		case SMTP_ASK_DROP:
			note(h, "drop", SPAN(""));
			break;
		}
		smtp_server_answer(h->engine, r);
	}
}

void
host_drain(struct host *h)
{
	struct span out = smtp_server_output(h->engine);

	MUST(buf_add(&h->heard, out));
	smtp_server_sent(h->engine, out.n);
}

size_t
host_feed(struct host *h, struct span bytes, size_t step)
{
	size_t used = 0;

	while (used < bytes.n && !h->closed) {
		size_t end = (used / step + 1) * step;
		struct span in = span_skip(bytes, used);
		size_t n = smtp_server_feed(h->engine, span_first(in, end - used));

		used += n;
		bool asked = smtp_server_ask(h->engine)->kind != SMTP_ASK_NOTHING;
		host_answer(h);
		if (n > 0 || asked)
			continue;
		size_t out = smtp_server_output(h->engine).n;
		host_drain(h);
		if (out == 0)
			break; /* its window is full */
	}
	return used;
}
