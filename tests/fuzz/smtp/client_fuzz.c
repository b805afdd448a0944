/* Any peer, its bytes whole and cut: the sending engine must neither crash nor differ,
 * and every recipient gets exactly one verdict.
 *
 * The first byte chooses the kind of session, the second the cut; a byte of 0xff ends a
 * flight and is not sent: there the connection takes what the client wrote. */
#include <stdint.h>
#include <stdlib.h>

#include "postern/must.h"
#include "postern/smtp_client.h"

enum { MESSAGES = 5, MOST = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct span to[MOST] = { { SPAN_INIT("a@d.test") },
	{ SPAN_INIT("not\r\none") }, { SPAN_INIT("b@d.test") },
	{ SPAN_INIT("postmaster") } };
static const struct smtp_collect origin = {
	.account = { SPAN_INIT("acc") },
	.uidl = { SPAN_INIT("u/1") },
	.provider = { SPAN_INIT("pop") },
	.ip = { SPAN_INIT("::1") },
	.print = 1,
};

static const struct smtp_client_out messages[MESSAGES] = {
	{ .mark = 0,
			.sender = { SPAN_INIT("s@x") },
			.recipients = to,
			.n = 4,
			.bare = true },
	{ .mark = 1, .recipients = to, .n = 3, .eight_bit = true, .size = 100000 },
	{ .mark = 2, .sender = { SPAN_INIT("s x") }, .recipients = to, .n = 1 },
	{ .mark = 3, .sender = { SPAN_INIT("s@x") }, .recipients = to + 1, .n = 1 },
	{ .mark = 4,
			.recipients = to,
			.n = 0,
			.collect = &origin,
			.route = { SPAN_INIT("{}") } },
};

struct peer {
	struct smtp_client *client;
	struct buf wrote, diary;
	size_t sent;
	unsigned told[MESSAGES][MOST], done[MESSAGES];
	bool over;
};

static void
note(struct peer *p, const struct smtp_fact *f)
{
	MUST(buf_addf(&p->diary, "%d %ju %zu %d%d%d%d %s\n", (int)f->kind,
			(uintmax_t)f->mark, f->recipient, f->again, f->in_doubt,
			f->changed, f->clean, f->verdict ? f->verdict->text : ""));
	MUST(buf_add(&p->diary, f->said) && buf_add(&p->diary, f->heard));
	MUST(!p->over);
	p->over = f->kind == SMTP_FACT_OVER;
	if (f->kind == SMTP_FACT_RECIPIENT)
		MUST(!p->told[f->mark][f->recipient]++ && !p->done[f->mark]);
	if (f->kind == SMTP_FACT_MESSAGE)
		MUST(!p->done[f->mark]++);
}

static void
take_facts(struct peer *p)
{
	struct smtp_fact f;

	while (smtp_client_next(p->client, &f))
		note(p, &f);
}

/* All that can be done without the peer. Only between flights, for what is handed over
 * in the middle of one depends on where it is cut. */
static void
work(struct peer *p)
{
	for (;;) {
		take_facts(p);

		struct span out = smtp_client_output(p->client);
		MUST(buf_add(&p->wrote, out));
		smtp_client_sent(p->client, out.n);
		if (p->sent < MESSAGES && smtp_client_may_send(p->client))
			smtp_client_send(p->client, &messages[p->sent++]);
		else if (smtp_client_wants_body(p->client))
			(void)smtp_client_body(p->client, SPAN(".x\n.\r\n"), true);
		else if (out.n == 0)
			return;
	}
}

static void
hold(struct peer *p, struct span in, unsigned kind, size_t step)
{
	struct smtp_client_options o = { .hostname = SPAN("gw.test"),
		.lmtp = kind % 4 == 1,
		.internal = kind % 4 == 2,
		.window = 1 + kind % 3,
		.transcript = kind / 4 % 2 };

	*p = (struct peer){ .client = smtp_client_new(&o),
		.wrote = BUF_MAX(1 << 24),
		.diary = BUF_MAX(1 << 26) };
	while (in.n > 0 && !smtp_client_over(p->client)) {
		struct span flight = span_until(&in, '\xff');

		while (flight.n > 0 && !smtp_client_over(p->client)) {
			size_t n = smtp_client_feed(
					p->client, span_first(flight, step));

			flight = span_skip(flight, n);
			take_facts(p);
		}
		work(p);
		if (kind & 8)
			smtp_client_quit(p->client);
		work(p);
	}
	smtp_client_lost(p->client, "closed");
	work(p);
	MUST(p->over && smtp_client_under_way(p->client) == 0);
	for (size_t i = 0; i < p->sent; i++) {
		MUST(p->done[i] == 1);
		for (size_t k = 0; k < messages[i].n; k++)
			MUST(p->told[i][k] == 1);
	}
	smtp_client_free(p->client);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct peer whole, cut;

	if (size < 2)
		return 0;
	struct span in = { (const char *)data + 2, size - 2 };
	hold(&whole, in, data[0], in.n + 1);
	hold(&cut, in, data[0], 1u + data[1] % 40);
	MUST(span_eq(buf_span(&whole.wrote), buf_span(&cut.wrote)));
	MUST(span_eq(buf_span(&whole.diary), buf_span(&cut.diary)));
	buf_done(&whole.wrote);
	buf_done(&whole.diary);
	buf_done(&cut.wrote);
	buf_done(&cut.diary);
	return 0;
}
